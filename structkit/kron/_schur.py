"""Kronecker product plus a multiple of the identity with unsymmetric factors: Schur forms and back substitution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._core.errors import NotFiniteError, SingularFactorError
from structkit.kron._symmetric import machine_eps
from structkit.kron.tensor import multi_mode_product

__all__ = ["solve_shifted"]


def solve_shifted(factors: Sequence[np.ndarray], y: np.ndarray, shift: complex, assume: str) -> np.ndarray:
    """Solve ``(kron(factors) + shift I) x = y`` for arrays ``(columns, n_1, ..., n_D)``."""
    if assume == "upper":
        return _back_substitute(list(factors), y, shift)
    if assume == "lower":
        # Reversing every axis turns lower triangular factors into upper triangular ones.
        every = tuple(range(1, y.ndim))
        upper = [np.ascontiguousarray(a[::-1, ::-1]) for a in factors]
        return np.flip(_back_substitute(upper, np.ascontiguousarray(np.flip(y, every)), shift), every)
    from scipy.linalg import schur

    for i, a in enumerate(factors):
        if not np.isfinite(a).all():
            raise NotFiniteError(f"factors[{i}] of shape {a.shape} contains NaN or infinity.")
    pairs = [schur(a, output="complex") for a in factors]
    modes = range(1, y.ndim)
    vectors = [q for _, q in pairs]
    z = multi_mode_product(y, vectors, modes=modes, adjoint=True)  # type: ignore[arg-type]
    z = _back_substitute([t for t, _ in pairs], np.asarray(z), shift)
    x = np.asarray(multi_mode_product(z, vectors, modes=modes))  # type: ignore[arg-type]
    return x if np.iscomplexobj(y) else np.ascontiguousarray(x.real)


def _back_substitute(upper: list[np.ndarray], y: np.ndarray, shift: complex) -> np.ndarray:
    """Solve with upper triangular factors; the largest goes last, where LAPACK does the work."""
    diagonals = [np.diagonal(t) for t in upper]
    shifted = diagonals[0]
    for d in diagonals[1:]:
        shifted = np.multiply.outer(shifted, d)
    size = np.abs(shifted + shift)
    limit = max(len(t) for t in upper) * machine_eps(upper[0])  # type: ignore[arg-type]
    if not size.min() >= limit * size.max():
        raise SingularFactorError(
            f"The sum of the Kronecker product and {shift:.3g} times the identity has eigenvalues from "
            f"{size.min():.3g} to {size.max():.3g} in magnitude, singular to working precision. "
            "Use another noise_var (shift)."
        )
    order = sorted(range(len(upper)), key=lambda d: len(upper[d]))
    axes = [d + 1 for d in order]
    moved = np.ascontiguousarray(y.transpose(*axes, 0))
    x = _recurse([upper[d] for d in order], moved, upper[0].dtype.type(1), shift)
    return np.ascontiguousarray(x.transpose(np.argsort([*axes, 0])))


def _recurse(upper: Sequence[np.ndarray], y: np.ndarray, scale: complex, shift: complex) -> np.ndarray:
    """Solve ``(scale kron(upper) + shift I) x = y`` for ``y`` of shape ``(n_1, ..., n_D, columns)``."""
    from scipy.linalg import solve_triangular

    t = upper[0]
    if len(upper) == 1:
        return solve_triangular(scale * t + shift * np.eye(len(t), dtype=t.dtype), y, check_finite=False)
    x = np.empty(y.shape, dtype=np.result_type(y, t))
    # images[j] is the product of the remaining factors with x[j], which every earlier row needs.
    images = np.empty_like(x)
    rest, modes = list(upper[1:]), range(len(upper) - 1)
    width = math.prod(x.shape[1:])
    for i in range(len(t) - 1, -1, -1):
        known = (t[i, i + 1 :] @ images[i + 1 :].reshape(-1, width)).reshape(y.shape[1:])
        x[i] = _recurse(rest, y[i] - scale * known, scale * t[i, i], shift)
        images[i] = multi_mode_product(x[i], rest, modes=modes)  # type: ignore[arg-type]
    return x
