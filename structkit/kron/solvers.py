r"""Direct solution of Kronecker systems, with and without a multiple of the identity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from structkit._backend.namespace import as_array, backend_name, cast, is_torch, result_dtype
from structkit._core.errors import NotTriangularError, ShapeError
from structkit._core.types import Array, Shape
from structkit._core.validation import check_vector
from structkit.kron._lapack import factorise
from structkit.kron._schur import solve_shifted
from structkit.kron._spectrum import LOG_MAX, check_noise, check_shifted, spectrum
from structkit.kron._symmetric import check_symmetric, square_factors
from structkit.kron.tensor import apply_modes

__all__ = ["kron_solve", "schur_solve"]

_ASSUME = ("general", "sym", "pos", "lower", "upper")


def kron_solve(factors: Sequence[Array], b: Array, *, noise_var: float = 0.0, assume: str = "general") -> Array:
    r"""Solve a Kronecker system, optionally with a constant added to the diagonal.

    Computes :math:`x = (A_1 \otimes \dots \otimes A_D + \sigma^2 I)^{-1} b` in
    :math:`O(\sum_d n_d^3 + N \sum_d n_d)` time, :math:`N = \prod_d n_d`, without forming the product.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., n_d, n_d)``
        Square factors, the first one slowest; numpy or torch (gradients flow). Leading axes are a batch.
    b : array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``
        Right-hand sides; not modified.
    noise_var : float, >= 0, default 0
        Constant :math:`\sigma^2` on the diagonal, in squared units of the data. 0 solves the plain system.
    assume : {"general", "sym", "pos", "lower", "upper"}, default "general"
        What is known of every factor: nothing (safe); symmetric or Hermitian; positive definite (semi-definite with
        noise) too; lower or upper triangular. Checked, not trusted.

    Returns
    -------
    x : array, same shape as `b`
        Dtype by promotion of `factors` and `b`.

    Raises
    ------
    ShapeError
        If a factor is not square or `b` has the wrong length.
    SingularFactorError
        If the reciprocal condition number of a factor is below ``n_d * eps``; names the factor and the number. With
        noise: if the sum is singular in the same sense.
    NotSymmetricError, NotTriangularError
        If a factor is not what `assume` says.
    NotPositiveDefiniteError
        With ``assume="pos"``, if a factor has no Cholesky factor or, with noise, an eigenvalue below ``-n_d eps`` times
        its largest. Eigenvalues between that and 0 are rounding and count as 0.
    ValueError
        If `noise_var` is negative, `assume` unknown, or torch is asked for noise with unsymmetric factors.

    See Also
    --------
    kron_slogdet : determinant.
    kron_matmul : product.
    gaussian_evidence : solve, determinant and gradient of the Gaussian log density at once.

    Notes
    -----
    Without noise every factor is factorised (LU, Bunch-Kaufman, Cholesky or not at all) and applied along its mode;
    condition numbers are LAPACK's estimates. With noise, symmetric factors take their eigendecomposition,
    :math:`x = V (\Lambda + \sigma^2 I)^{-1} V^H b`; others take their complex Schur form and a back substitution over
    all modes but the largest, as for Sylvester equations [1]_: stable, :math:`O(N \sum_d n_d)` too, with a Python step
    for each combination of the other indices, so that ``assume="sym"`` is much faster where it holds.

    References
    ----------
    .. [1] Bartels and Stewart, "Solution of the matrix equation AX + XB = C", Comm. ACM 15, 1972.

    Examples
    --------
    >>> import numpy as np
    >>> kron_solve([2 * np.eye(2), np.eye(3)], np.ones(6))
    array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    >>> kron_solve([2 * np.eye(2), np.eye(3)], np.ones(6), noise_var=2.0, assume="pos")
    array([0.25, 0.25, 0.25, 0.25, 0.25, 0.25])
    """
    if assume not in _ASSUME:
        raise ValueError(f"assume must be one of {', '.join(_ASSUME)}; got {assume!r}.")
    arrays = square_factors(factors, "kron_solve")
    rhs = as_array(b, "b")
    backend_name(rhs, *arrays)
    check_vector(rhs, tuple(a.shape[-1] for a in arrays), "b")
    dtype = result_dtype(rhs, *arrays)
    arrays, rhs = [cast(a, dtype) for a in arrays], cast(rhs, dtype)
    noise = check_noise(noise_var, rhs)
    if any(a.ndim > 2 for a in arrays):
        return _batched(arrays, rhs, noise_var, assume)
    check_assumption(arrays, assume)
    if 0 in rhs.shape:
        return rhs * 1  # type: ignore[operator]
    if noise == 0 and not _needs_noise_gradient(noise_var):
        return _with_columns_first(rhs, arrays, _plain_solver(arrays, assume))
    if is_torch(rhs):
        from structkit._backend import torch_solve

        if assume in ("general", "lower", "upper"):
            raise ValueError(
                f'noise_var > 0 with assume="{assume}" needs the Schur form, which torch does not have. Use '
                'assume="sym" where it holds, or numpy arrays.'
            )
        sigma2 = torch_solve.as_scalar(noise_var, rhs)
        return torch_solve.solve(_eigen_solve_with(assume), rhs, sigma2, arrays)
    if assume in ("sym", "pos"):
        return eigen_solve(arrays, rhs, noise, assume)
    return schur_solve(arrays, rhs, noise, assume)


def check_assumption(arrays: Sequence[Array], assume: str) -> None:
    """Raise unless every factor is symmetric or triangular where `assume` says so."""
    if assume in ("sym", "pos"):
        check_symmetric(arrays, f'kron_solve with assume="{assume}"')
    if assume in ("lower", "upper"):
        for i, a in enumerate(arrays):
            other = a.tril(-1) if is_torch(a) and assume == "upper" else a.triu(1) if is_torch(a) else None  # type: ignore[attr-defined]
            if other is None:
                other = np.tril(np.asarray(a), -1) if assume == "upper" else np.triu(np.asarray(a), 1)
            if bool((other != 0).any()):
                raise NotTriangularError(
                    f"factors[{i}] of shape {tuple(a.shape)} is not {assume} triangular. Pass numpy.tril(A) or "
                    'numpy.triu(A) to use one triangle, or assume="general".'
                )


def _needs_noise_gradient(noise_var: object) -> bool:
    """Whether a zero noise variance is a tensor whose gradient is wanted."""
    return is_torch(noise_var) and bool(noise_var.requires_grad)  # type: ignore[attr-defined]


def _with_columns_first(b: Array, arrays: Sequence[Array], solver: Callable[[Array], Array]) -> Array:
    """Apply a solver for arrays ``(columns, n_1, ..., n_D)`` to ``(N,)`` or ``(..., N, k)``."""
    sizes = [a.shape[-1] for a in arrays]
    if b.ndim == 1:
        return solver(b.reshape(1, *sizes)).reshape(b.shape[0])
    moved = b.swapaxes(-1, -2)  # type: ignore[attr-defined]
    x = solver(moved.reshape(math.prod(moved.shape[:-1]), *sizes))
    return x.reshape(moved.shape).swapaxes(-1, -2)


def _plain_solver(arrays: Sequence[Array], assume: str) -> Callable[[Array], Array]:
    """Factorise every factor once; return the solver for arrays ``(columns, n_1, ..., n_D)``."""
    solvers = [factorise(a, assume, i) for i, a in enumerate(arrays)]

    def solve(y: Array) -> Array:
        shape, columns = tuple(y.shape), y.shape[0]
        # The last mode is solved in place of its own rows, then moves to the front: D turns restore the order.
        for solver, n in zip(reversed(solvers), reversed(shape[1:]), strict=True):
            rest = math.prod(shape[1:]) // n
            rows = solver(y.reshape(columns * rest, n))
            y = rows.reshape(columns, rest, n).swapaxes(-1, -2)
        return y.reshape(shape)

    return solve


def _eigen_solve_with(assume: str) -> Callable[[Sequence[Array], Array, float], Array]:
    """Return `eigen_solve` with its assumption fixed."""
    return lambda arrays, b, noise: eigen_solve(arrays, b, noise, assume)


def eigen_solve(arrays: Sequence[Array], b: Array, noise: float, assume: str) -> Array:
    """Solve with noise through the eigendecomposition of every symmetric factor."""
    spec = spectrum(arrays, f'kron_solve with assume="{assume}" and noise', semidefinite=assume == "pos")
    shifted, log_unit = spec.shifted(noise)
    check_shifted(shifted, arrays, noise)
    eigenvalues = shifted * math.exp(min(log_unit, LOG_MAX))

    def solve(y: Array) -> Array:
        z = apply_modes(y, spec.vectors, first=1, adjoint=True) / eigenvalues
        return apply_modes(z, spec.vectors, first=1)

    return _with_columns_first(b, arrays, solve)


def schur_solve(arrays: Sequence[Array], b: Array, shift: complex, assume: str = "general") -> Array:
    """Solve with any multiple of the identity added, through the Schur forms of the factors (numpy only)."""
    if 0 in b.shape:
        return b * 1  # type: ignore[operator]
    dtype = result_dtype(b, *arrays)
    mats = [np.asarray(cast(a, dtype)) for a in arrays]
    return _with_columns_first(cast(b, dtype), arrays, lambda y: solve_shifted(mats, np.asarray(y), shift, assume))


def _batched(arrays: Sequence[Array], b: Array, noise_var: float, assume: str) -> Array:
    """Solve one system after another for factors with leading batch axes."""
    sizes = tuple(a.shape[-1] for a in arrays)
    try:
        batch: Shape = np.broadcast_shapes(*(tuple(a.shape[:-2]) for a in arrays), tuple(b.shape[:-2]))
    except ValueError as err:
        shapes = [tuple(a.shape) for a in arrays]
        raise ShapeError(
            f"Batch axes of factors with shapes {shapes} and b with shape {tuple(b.shape)} disagree."
        ) from err
    column = b.reshape(b.shape[0], 1) if b.ndim == 1 else b
    everything = [_expand(a, (*batch, n, n)) for a, n in zip(arrays, sizes, strict=True)]
    rhs = _expand(column, (*batch, *column.shape[-2:]))
    solutions = [
        kron_solve([a[i] for a in everything], rhs[i], noise_var=noise_var, assume=assume) for i in np.ndindex(*batch)
    ]
    shape = batch + (tuple(b.shape) if b.ndim == 1 else tuple(column.shape[-2:]))
    if not solutions:
        return rhs.reshape(shape)
    if is_torch(b):
        from structkit._backend import torch_solve

        return torch_solve.stack(solutions).reshape(shape)
    return np.stack(solutions).reshape(shape)  # type: ignore[arg-type]


def _expand(a: Array, shape: Shape) -> Array:
    """Broadcast to `shape`."""
    return a.expand(shape) if is_torch(a) else np.broadcast_to(np.asarray(a), shape)  # type: ignore[attr-defined]
