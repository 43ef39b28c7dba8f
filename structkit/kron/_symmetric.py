"""Square and symmetric factors: the checks and the eigendecomposition that solvers and decompositions share."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import as_factors, get_namespace, is_torch
from structkit._core.errors import NotFiniteError, NotSymmetricError
from structkit._core.types import Array
from structkit._core.validation import check_square
from structkit.kron._centrosymmetric import centrosymmetric_eigh, is_centrosymmetric
from structkit.kron.entries import no_dask

__all__ = ["check_symmetric", "eigh", "eigh_each", "is_complex", "machine_eps", "square_factors"]


def square_factors(factors: Sequence[Array], operation: str) -> list[Array]:
    """Return the factors as arrays in memory, all square."""
    arrays = as_factors(factors)
    no_dask(*arrays)
    check_square(arrays, operation)
    return arrays


def machine_eps(a: Array) -> float:
    """Return the distance from 1 to the next number in the precision of `a`."""
    return _eps_of(a.dtype)


@functools.cache
def _eps_of(dtype: object) -> float:
    """Machine epsilon of a dtype of any library."""
    return 2.0**-23 if str(dtype).split(".")[-1] in ("float32", "complex64") else 2.0**-52


def is_complex(a: Array) -> bool:
    """Whether `a` holds complex numbers."""
    return _is_complex(a.dtype)


@functools.cache
def _is_complex(dtype: object) -> bool:
    """Whether a dtype of any library is complex; spelling a numpy dtype out takes as long as a small product."""
    return "complex" in str(dtype)


def eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of one symmetric (Hermitian) matrix by the fastest driver at hand."""
    if is_torch(a) or a.ndim > 2 or 0 in a.shape:
        return get_namespace(a).linalg.eigh(a)
    matrix = np.asarray(a)
    return centrosymmetric_eigh(matrix, _eigh) if is_centrosymmetric(matrix) else _eigh(matrix)


def eigh_each(arrays: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Eigenvalues and eigenvectors of every factor; equal ones, as on square grids with one kernel, are done once."""
    pairs: list[tuple[Array, Array]] = []
    for i, a in enumerate(arrays):
        twin = next((j for j in range(i) if _same(arrays[j], a)), None)
        pairs.append(eigh(a) if twin is None else pairs[twin])
    return pairs


def _same(a: Array, b: Array) -> bool:
    """Whether two factors are one; equal tensors may carry gradients of their own."""
    return a is b or (not is_torch(a) and a.shape == b.shape and np.array_equal(np.asarray(a), np.asarray(b)))


def _eigh(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of one numpy matrix by divide and conquer, the best driver here."""
    import scipy.linalg

    try:
        return scipy.linalg.eigh(a, driver="evd")
    except ValueError as err:
        if isinstance(err, np.linalg.LinAlgError):
            raise
        raise NotFiniteError(f"A matrix of shape {a.shape} contains NaN or infinity.") from err


def check_symmetric(arrays: Sequence[Array], operation: str) -> None:
    """Raise unless every factor is symmetric (Hermitian) to ``10 n eps`` of its largest entry."""
    for i, a in enumerate(arrays):
        if 0 in a.shape:
            continue
        if is_torch(a):
            a = a.detach()  # type: ignore[attr-defined]
        adjoint = a.swapaxes(-1, -2)  # type: ignore[attr-defined]
        if is_complex(a):
            adjoint = adjoint.conj()
        if bool((a == adjoint).all()):  # type: ignore[attr-defined]
            # the usual case, cheaper than measuring the difference; NaN is not equal to itself, infinity is
            if bool((abs(a) < math.inf).all()):  # type: ignore
                continue
            raise NotFiniteError(f"factors[{i}] of shape {tuple(a.shape)} contains NaN or infinity.")
        difference, scale = float(abs(a - adjoint).max()), float(abs(a).max())  # type: ignore[arg-type]
        if not math.isfinite(scale):
            raise NotFiniteError(f"factors[{i}] of shape {tuple(a.shape)} contains NaN or infinity.")
        if not difference <= 10 * a.shape[-1] * machine_eps(a) * scale:
            raise NotSymmetricError(
                f"factors[{i}] of shape {tuple(a.shape)} is not symmetric: it differs from its (conjugate) transpose "
                f"by {difference:.3g}, its largest entry is {scale:.3g}. {operation} needs symmetric factors here; "
                'symmetrise it, (A + A.T) / 2, or use assume="general" where there is such an argument.'
            )
