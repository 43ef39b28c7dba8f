"""The polar factor: the nearest matrix with orthonormal columns or rows."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from structkit._backend.namespace import as_array, backend_name, get_namespace, is_torch
from structkit._core.errors import NotFiniteError, ShapeError, SingularFactorError
from structkit._core.types import Array

__all__ = ["fast_polar", "polar_factor"]

METHODS = ("auto", "svd", "eigh", "newton-schulz")
# The Gram matrix squares the condition, and with it the error: up to here that costs three digits at most.
GRAM_CONDITION = 32.0
# Up to this many columns a singular value decomposition is as fast as the calls around the Gram matrix (measured).
SVD_COLUMNS = 16
# Coefficients of a quintic step that lifts small singular values 3.4 times and keeps all below 1.2
# (K. Jordan and others, "Muon", 2024).
LIFT = (3.4445, -4.7750, 2.0315)
MAX_STEPS = 60


def polar_factor(M: Array, *, method: str = "auto") -> Array:
    r"""Return the nearest matrix with orthonormal columns, or rows where it is wide.

    With the singular value decomposition :math:`M = U \Sigma V^H` it is :math:`U V^H`, the orthogonal factor of
    :math:`M = (U V^H) P`. It is the nearest orthogonal matrix in every unitarily invariant norm, and it maximises
    :math:`\operatorname{Re} \langle S, M \rangle` over all :math:`S` with :math:`\|S\|_2 \le 1`.

    Parameters
    ----------
    M : array, shape ``(..., m, n)``
        One matrix or a stack; numpy or torch, real or complex; not modified.
    method : {"auto", "svd", "eigh", "newton-schulz"}, default "auto"
        ``"svd"``: accurate for every input. ``"eigh"``: eigenvalues of the Gram matrix, the fastest on a CPU, with an
        error that grows with the square of the condition. ``"newton-schulz"``: products only, for GPUs and large
        stacks. ``"auto"``: on a CPU ``"svd"`` up to 16 columns and ``"eigh"`` above, for matrices of condition up to
        32; on a GPU ``"newton-schulz"``; and ``"svd"`` for each matrix that these do not suit.

    Returns
    -------
    U : array, shape ``(..., m, n)``
        Library, dtype and device of `M`. Orthonormal to working precision, whatever the method. Of a matrix without
        full rank, one of its several nearest matrices (``"svd"``, ``"auto"``).

    Raises
    ------
    ShapeError
        If `M` is not a matrix or a stack of them.
    NotFiniteError
        If `M` holds NaN or infinity.
    SingularFactorError
        If ``"eigh"`` or ``"newton-schulz"`` was asked for and a matrix is too ill-conditioned for it.

    Notes
    -----
    The error of the factor is of the order of the machine precision times the condition number (``"svd"``), or its
    square (``"eigh"``; up to 32 under ``"auto"``). Newton-Schulz steps [1]_ start with quintic steps that lift small
    singular values and end with steps of third order, :math:`X (I + E/2 + 3 E^2/8)` with :math:`E = I - X^H X`, until
    :math:`E` is at working precision. Each takes three products; a condition of 1e4 takes about 15 steps.

    In torch the derivative solves a Sylvester equation and needs no distinct singular values, only full rank.

    References
    ----------
    .. [1] Higham, "Functions of Matrices: Theory and Computation", SIAM, 2008, chapter 8.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.orthogonal import polar_factor
    >>> polar_factor(np.array([[0.0, -3.0], [2.0, 0.0]])).round(12) + 0.0
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    M = as_array(M, "M")
    if method not in METHODS:
        raise ValueError(f"method={method!r} is unknown; expected one of {', '.join(METHODS)}.")
    if backend_name(M) == "dask":
        raise TypeError("M is a dask array; polar_factor takes numpy arrays and torch tensors. Call M.compute() first.")
    if M.ndim < 2:
        raise ShapeError(f"M has shape {tuple(M.shape)}; expected a matrix (m, n) or a stack (..., m, n).")
    xp = get_namespace(M)
    if not bool(xp.all(xp.isfinite(M))):
        raise NotFiniteError("M holds NaN or infinity; a polar factor needs finite numbers.")
    if math.prod(M.shape) == 0:
        return xp.zeros_like(M)
    if is_torch(M) and M.requires_grad:  # type: ignore[attr-defined]
        from structkit._backend.torch_dictionary import polar_with_gradient

        return polar_with_gradient(M, lambda A: _factor(A, method, xp))  # type: ignore[arg-type]
    return _factor(M, method, xp)


def fast_polar(M: Array) -> Array:
    """Polar factor by ``method="auto"`` of a finite matrix, without checks."""
    return _factor(M, "auto", get_namespace(M))


def _factor(M: Any, method: str, xp: ModuleType) -> Any:
    """Scale, turn wide matrices upright, and dispatch."""
    if M.shape[-2] < M.shape[-1]:
        return _adjoint(_factor(_adjoint(M), method, xp))
    on_gpu = is_torch(M) and M.device.type == "cuda"
    if method == "svd" or (method == "auto" and not on_gpu and M.shape[-1] <= SVD_COLUMNS):
        return _by_svd(M, xp)
    scale = xp.max(xp.abs(M), axis=(-2, -1), keepdims=True)
    A = M / xp.where(scale > 0, scale, xp.ones_like(scale))
    if method == "newton-schulz" or (method == "auto" and on_gpu):
        U, fine = _by_newton_schulz(A, xp)
    else:
        U, fine = _by_eigh(A, xp, GRAM_CONDITION if method == "auto" else None)
    if bool(xp.all(fine)):
        return U
    if method != "auto":
        raise SingularFactorError(
            f"M is too ill-conditioned for method={method!r}; use method='svd', which takes every matrix."
        )
    if M.ndim == 2:
        return _by_svd(A, xp)
    U[~fine] = _by_svd(A[~fine], xp)
    return U


def _adjoint(A: Any) -> Any:
    """Conjugate transpose of the last two axes."""
    return A.swapaxes(-1, -2).conj()


def _by_svd(M: Any, xp: ModuleType) -> Any:
    U, _, Vh = xp.linalg.svd(M, full_matrices=False)
    return U @ Vh


def _by_eigh(A: Any, xp: ModuleType, limit: float | None) -> tuple[Any, Any]:
    """Polar factor from the Gram matrix, and whether the condition is below `limit` (default: what the dtype bears)."""
    w, V = xp.linalg.eigh(_adjoint(A) @ A)
    largest = w[..., -1]
    eps = float(xp.finfo(A.dtype).eps)
    floor = largest / limit**2 if limit is not None else largest * (8 * A.shape[-1] * eps)
    fine = (w[..., 0] >= floor) & (largest > 0)
    s = xp.sqrt(xp.where((w > 0) & fine[..., None], w, xp.ones_like(w)))
    U = (A @ (V / s[..., None, :])) @ _adjoint(V)
    for _ in range(1 if limit is not None else 3):
        U = 1.5 * U - 0.5 * U @ (_adjoint(U) @ U)
    return U, fine


def _by_newton_schulz(A: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Polar factor by products alone, and whether each matrix of the stack arrived."""
    n = A.shape[-1]
    eye = xp.eye(n, dtype=A.dtype, device=A.device) if is_torch(A) else np.eye(n, dtype=A.dtype)
    norm = xp.sqrt(xp.sum(xp.abs(A) ** 2, axis=(-2, -1), keepdims=True))
    X = A / xp.where(norm > 0, norm, xp.ones_like(norm))
    tol = 8 * n * float(xp.finfo(A.dtype).eps)
    polished = False
    for _ in range(MAX_STEPS):
        E = eye - _adjoint(X) @ X
        residual = xp.sqrt(xp.sum(xp.abs(E) ** 2, axis=(-2, -1)))
        worst = float(xp.max(residual))
        if worst < tol and polished:
            break
        polished = worst < 0.5
        if worst > 0.6 * math.sqrt(n):
            # a X + b X G + c X G^2 with G = I - E
            a, b, c = LIFT
            X = X @ ((a + b + c) * eye - (b + 2 * c) * E + c * (E @ E))
        else:
            X = X @ (eye + 0.5 * E + 0.375 * (E @ E))
    return X, residual < tol
