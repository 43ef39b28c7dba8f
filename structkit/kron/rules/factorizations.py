"""Factorisations of one matrix, held for repeated solves: LU, triangular, sparse LU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import cast, get_namespace, is_torch, result_dtype
from structkit._core.errors import NotFiniteError, NotSymmetricError, SingularFactorError, StructKitError
from structkit._core.types import Array
from structkit.kron.operators.common import as_float, eps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_array

__all__ = [
    "LU",
    "SparseLU",
    "TriangularSolve",
    "by_columns",
    "check_finite",
    "check_hermitian",
    "hermitian_gap",
    "hermitian_tolerance",
]


def by_columns(solve: Callable[[Array], Array], B: Array) -> Array:
    """Apply a solver of ``(N, k)`` to ``(..., N, k)`` in one call."""
    if B.ndim == 2:
        return solve(B)
    xp = get_namespace(B)
    *batch, n, k = B.shape
    flat = xp.moveaxis(B, -2, 0).reshape((n, math.prod(batch) * k))
    return xp.moveaxis(solve(flat).reshape((n, *batch, k)), 0, -2)  # type: ignore[arg-type]


def check_finite(A: Array, name: str = "matrix") -> None:
    """Raise if an array contains NaN or infinity."""
    xp = get_namespace(A)
    if not bool(xp.all(xp.isfinite(A))):
        raise NotFiniteError(f"{name} of shape {tuple(A.shape)} contains NaN or infinity.")


def hermitian_gap(A: Array, name: str = "matrix") -> float:
    """Largest deviation from Hermitian symmetry relative to the largest entry."""
    xp = get_namespace(A)
    if A.shape[0] == 0:
        return 0.0
    gap = xp.max(xp.abs(A - xp.conj(xp.matrix_transpose(A))))
    size = as_float(xp.max(xp.abs(A)))
    if not math.isfinite(size):
        check_finite(A, name)
    return as_float(gap) / size if size > 0 else 0.0


def hermitian_tolerance(A: Array) -> float:
    """Relative asymmetry that rounding in the construction of a matrix may leave."""
    return 10 * A.shape[-1] * eps_of(A.dtype)


def check_hermitian(A: Array, operation: str, name: str = "matrix") -> None:
    """Raise unless a matrix is Hermitian to ``10 n eps`` of its largest entry."""
    gap = hermitian_gap(A, name)
    if not gap <= hermitian_tolerance(A):
        raise NotSymmetricError(
            f"{name} of shape {tuple(A.shape)} is not symmetric (Hermitian): largest relative difference to its "
            f"conjugate transpose {gap:.2e}; {operation} needs symmetry. Symmetrise it with (A + A.T.conj()) / 2 if "
            "it should be."
        )


def _check_rcond(rcond: float, matrix: Array) -> None:
    """Raise unless the reciprocal condition is at least ``n eps``."""
    if not rcond >= matrix.shape[0] * eps_of(matrix.dtype):
        check_finite(matrix)
        raise SingularFactorError(
            f"matrix of shape {tuple(matrix.shape)} is singular to working precision: reciprocal condition {rcond:.2e}."
            ' Add noise (a diagonal shift), or ask for the minimum-norm solution with method="pinv".'
        )


class LU:
    """LU factorisation with a condition check; solves with the matrix and its conjugate transpose.

    Parameters
    ----------
    matrix : array, shape ``(n, n)``
        Not modified.
    """

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix
        n = matrix.shape[0]
        if n == 0:
            return
        xp = get_namespace(matrix)
        if is_torch(matrix):
            self.lu, self.pivots, _ = xp.linalg.lu_factor_ex(matrix)
            rcond = self._torch_rcond()
        else:
            from scipy.linalg import get_lapack_funcs

            getrf, gecon = get_lapack_funcs(("getrf", "gecon"), (matrix,))
            self.lu, self.pivots, info = getrf(matrix)
            anorm = np.abs(matrix).sum(axis=0).max()  # type: ignore[call-overload]
            rcond = float(gecon(self.lu, anorm)[0]) if info == 0 and math.isfinite(anorm) else 0.0
        self.rcond = rcond
        _check_rcond(rcond, matrix)

    def _torch_rcond(self) -> float:
        """Exact reciprocal condition in the one-norm: torch has no estimator."""
        xp = get_namespace(self.matrix)
        diagonal = xp.linalg.diagonal(self.lu)
        if not bool(xp.all(xp.isfinite(diagonal) & (diagonal != 0))):
            return 0.0
        eye = xp.eye(self.matrix.shape[0], dtype=self.matrix.dtype, device=self.matrix.device)  # type: ignore[attr-defined]
        inverse = xp.linalg.lu_solve(self.lu, self.pivots, eye)
        norms = [as_float(xp.max(xp.sum(xp.abs(a), axis=0))) for a in (self.matrix, inverse)]
        return 1 / (norms[0] * norms[1]) if math.isfinite(norms[1]) else 0.0

    def _solve(self, B: Array, adjoint: bool) -> Array:
        if self.matrix.shape[0] == 0 or B.shape[-1] == 0:
            return B * 1
        dtype = result_dtype(self.matrix, B)
        if eps_of(dtype) < eps_of(self.matrix.dtype):
            # single precision factors would spoil a double precision right-hand side
            return LU(cast(self.matrix, dtype))._solve(B, adjoint)
        B = cast(B, dtype)
        xp = get_namespace(B)
        if is_torch(B):
            return xp.linalg.lu_solve(cast(self.lu, dtype), self.pivots, B, adjoint=adjoint)
        from scipy.linalg import get_lapack_funcs

        (getrs,) = get_lapack_funcs(("getrs",), (self.lu, B))
        x, info = getrs(self.lu, self.pivots, B, trans=2 if adjoint else 0)
        if info != 0:
            raise StructKitError(f"LAPACK getrs reported {info}.")
        return x

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., n, k)``."""
        return by_columns(lambda b: self._solve(b, False), B)

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return by_columns(lambda b: self._solve(b, True), B)


class TriangularSolve:
    """Substitution with a triangular matrix, after a check of its condition.

    Parameters
    ----------
    matrix : array, shape ``(n, n)``
        Triangular.
    lower : bool
        Which triangle.
    """

    def __init__(self, matrix: Array, lower: bool) -> None:
        self.matrix, self.lower = matrix, lower
        n = matrix.shape[0]
        if n == 0:
            return
        xp = get_namespace(matrix)
        diagonal = xp.linalg.diagonal(matrix)
        if not bool(xp.all(xp.isfinite(diagonal) & (diagonal != 0))):
            rcond = 0.0
        elif is_torch(matrix):
            eye = xp.eye(n, dtype=matrix.dtype, device=matrix.device)  # type: ignore[attr-defined]
            inverse = xp.linalg.solve_triangular(matrix, eye, upper=not lower)
            norms = [as_float(xp.max(xp.sum(xp.abs(a), axis=0))) for a in (matrix, inverse)]
            rcond = 1 / (norms[0] * norms[1])
        else:
            from scipy.linalg import get_lapack_funcs

            (trcon,) = get_lapack_funcs(("trcon",), (matrix,))
            rcond = float(trcon(matrix, uplo="L" if lower else "U")[0])
        self.rcond = rcond
        _check_rcond(rcond, matrix)

    def _solve(self, B: Array, adjoint: bool) -> Array:
        if self.matrix.shape[0] == 0 or B.shape[-1] == 0:
            return B * 1
        dtype = result_dtype(self.matrix, B)
        T, B = cast(self.matrix, dtype), cast(B, dtype)
        xp = get_namespace(B)
        if is_torch(B):
            if adjoint:
                return xp.linalg.solve_triangular(xp.conj(T.T), B, upper=self.lower)  # type: ignore[attr-defined]
            return xp.linalg.solve_triangular(T, B, upper=not self.lower)
        from scipy.linalg import solve_triangular

        return solve_triangular(T, B, lower=self.lower, trans=2 if adjoint else 0, check_finite=False)

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., n, k)``."""
        return by_columns(lambda b: self._solve(b, False), B)

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return by_columns(lambda b: self._solve(b, True), B)


class SparseLU:
    """Sparse LU factorisation (SuperLU).

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, shape ``(n, n)``
    check : bool
        Refuse a matrix that is singular to working precision, not only one with a zero pivot. Default True.
    """

    def __init__(self, matrix: csr_array, *, check: bool = True) -> None:
        from scipy.sparse.linalg import splu

        self.matrix = matrix
        try:
            self.lu = splu(matrix.tocsc())
            pivots = np.abs(self.lu.U.diagonal())
            # The spread of pivots bounds the condition from below; scipy offers no estimator for SuperLU.
            rcond = float(pivots.min() / pivots.max()) if pivots.size else 1.0
        except RuntimeError:  # SuperLU's way to report an exactly zero pivot
            rcond, check = 0.0, True
        if check and not rcond >= matrix.shape[0] * eps_of(matrix.dtype):
            check_finite(matrix.data, "data of the sparse matrix")
            raise SingularFactorError(
                f"sparse matrix of shape {matrix.shape} is singular to working precision: reciprocal condition "
                f"{rcond:.2e}. Add noise (a diagonal shift), or ask for the minimum-norm solution with "
                'method="pinv".'
            )

    def __getstate__(self) -> dict[str, object]:
        return {"matrix": self.matrix}

    def __setstate__(self, state: dict[str, csr_array]) -> None:
        self.__init__(state["matrix"])  # type: ignore[misc]  # SuperLU objects cannot be pickled

    def slogdet(self) -> tuple[complex, float]:
        """Sign and log absolute determinant from the factors and the two permutations."""
        diagonal = self.lu.U.diagonal()
        phases = diagonal / np.abs(diagonal)
        parity = _parity(self.lu.perm_r) * _parity(self.lu.perm_c)
        return parity * np.prod(phases), float(np.sum(np.log(np.abs(diagonal))))

    def _solve(self, B: np.ndarray, trans: str) -> np.ndarray:
        if B.size == 0:
            return B * 1
        real_with_complex = B.dtype.kind == "c" and self.matrix.dtype.kind != "c"
        if real_with_complex:
            return self._solve(B.real.copy(), trans) + 1j * self._solve(B.imag.copy(), trans)
        if eps_of(B.dtype) < eps_of(self.matrix.dtype):
            return SparseLU(self.matrix.astype(B.dtype))._solve(B, trans)
        return self.lu.solve(np.ascontiguousarray(B), trans=trans)

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., n, k)``."""
        return by_columns(lambda b: self._solve(b, "N"), B)  # type: ignore[arg-type, return-value]

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return by_columns(lambda b: self._solve(b, "H"), B)  # type: ignore[arg-type, return-value]


def _parity(permutation: np.ndarray) -> int:
    """Sign of a permutation: minus one to the number of even cycles."""
    seen = np.zeros(len(permutation), bool)
    sign = 1
    for start in range(len(permutation)):
        length, i = 0, start
        while not seen[i]:
            seen[i] = True
            i = permutation[i]
            length += 1
        if length and length % 2 == 0:
            sign = -sign
    return sign
