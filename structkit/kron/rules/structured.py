"""Factorisations that use a structure: Toeplitz, block tridiagonal, low rank, Kronecker sum."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import cast, get_namespace, result_dtype
from structkit._core.errors import (
    BackendMismatchError,
    DensificationWarning,
    NotPositiveDefiniteError,
    SingularFactorError,
)
from structkit._core.types import Array
from structkit.kron.operators.block_tridiagonal import BlockTridiagonal
from structkit.kron.operators.common import eps_of
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.low_rank import LowRankPlusDiagonal
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.products import kron_matmul
from structkit.kron.rules.factorizations import LU, by_columns, check_finite

__all__ = ["BandedBlocks", "BlockLU", "Levinson", "SchurSum", "Woodbury", "durbin_logdet"]


class Levinson:
    """Levinson recursion for Toeplitz systems, O(n^2), with its backward error checked.

    The recursion needs non-singular leading blocks. Where it fails, or loses more than half of the digits, the
    matrix is factorised densely with a warning.

    Parameters
    ----------
    op : Toeplitz, shape ``(n, n)``
        With numpy arrays.
    """

    def __init__(self, op: Toeplitz) -> None:
        self.op = op

    @functools.cached_property
    def _dense(self) -> LU:
        warnings.warn(
            f"The Levinson recursion is not accurate for {self.op!r} (a leading block is nearly singular); "
            "the matrix is factorised densely.",
            DensificationWarning,
            stacklevel=5,
        )
        return LU(self.op.to_dense())

    def _solve(self, op: Toeplitz, B: np.ndarray, adjoint: bool) -> np.ndarray:
        from scipy.linalg import solve_toeplitz

        if B.shape[-1] == 0:
            return B * 1
        dtype = np.result_type(op.column, op.row, B)  # type: ignore[arg-type]
        try:
            X = solve_toeplitz((op.column, op.row), B, check_finite=False).astype(dtype, copy=False)
        except np.linalg.LinAlgError:
            X = None
        if X is not None:
            residual = np.abs(B - op._matmat(X)).max(initial=0)
            row_sum = np.abs(op.column).sum() + np.abs(op.row).sum()  # type: ignore[call-overload]
            if residual <= np.sqrt(eps_of(dtype)) * (
                row_sum * np.abs(X).max(initial=0) * 1e-3 + np.abs(B).max(initial=0)
            ):
                return X
        return self._dense.solve_adjoint(B) if adjoint else self._dense.solve(B)  # type: ignore[return-value, arg-type]

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., n, k)``."""
        return by_columns(lambda b: self._solve(self.op, b, False), B)  # type: ignore[arg-type, return-value]

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return by_columns(lambda b: self._solve(self.op.H, b, True), B)  # type: ignore[arg-type, return-value]


def durbin_logdet(column: np.ndarray) -> float | None:
    """Log-determinant of a Hermitian Toeplitz matrix by Durbin's recursion; None unless positive definite.

    The prediction errors of the recursion are the ratios of successive leading minors.
    """
    error = float(column[0].real)
    logdet = 0.0
    a = np.zeros(0, column.dtype)
    for k in range(1, len(column)):
        if not error > 0:
            return None
        logdet += np.log(error)
        reflection = -(column[k] + a @ column[k - 1 : 0 : -1]) / error
        a = np.append(a + reflection * a[::-1].conj(), reflection)
        error *= 1 - abs(reflection) ** 2
    return float(logdet + np.log(error)) if error > 0 else None


class BandedBlocks:
    """Banded Cholesky (Hermitian) or LU (general) factorisation of a block tridiagonal matrix, O(T s^3).

    Parameters
    ----------
    op : BlockTridiagonal
        With numpy arrays.
    positive : bool
        Insist on positive definiteness instead of falling back to LU. Default False.
    check : bool
        Refuse a matrix that is singular to working precision. Default True.
    """

    def __init__(self, op: BlockTridiagonal, *, positive: bool = False, check: bool = True) -> None:
        self.op = op
        for name in ("diag", "lower", "upper"):
            check_finite(getattr(op, name), name)
        self.width = min(2 * op.row_sizes[1] - 1, op.shape[0] - 1)
        self.cholesky: np.ndarray | None = None
        if op.is_hermitian:
            self.cholesky = self._try_cholesky()
        if self.cholesky is None:
            if positive:
                raise NotPositiveDefiniteError(
                    f"{op!r} is not Hermitian positive definite; cholesky needs that. Add a diagonal shift."
                )
            self._factorize_lu(check)

    def _band(self) -> np.ndarray:
        """LAPACK band storage: entry (i, j) in row ``2 * width + i - j``, the upper `width` rows left for fill."""
        op, w = self.op, self.width
        steps, s = op.row_sizes
        band = np.zeros((3 * w + 1, op.shape[0]), op.dtype)  # type: ignore[call-overload]
        first = s * np.arange(steps)[:, None, None]
        a, b = np.arange(s)[None, :, None], np.arange(s)[None, None, :]
        for blocks, di, dj in ((op.diag, 0, 0), (op.lower, s, 0), (op.upper, 0, s)):
            start = first[: blocks.shape[0]]
            i, j = np.broadcast_arrays(start + di + a, start + dj + b)
            band[2 * w + i - j, j] = blocks
        return band

    def _try_cholesky(self) -> np.ndarray | None:
        from scipy.linalg import cholesky_banded

        gap = np.abs(self.op.diag - self.op.diag.conj().swapaxes(-1, -2)).max(initial=0)  # type: ignore[attr-defined]
        if gap > 10 * self.op.shape[0] * eps_of(self.op.dtype) * np.abs(self.op.diag).max(initial=0):  # type: ignore[call-overload]
            return None
        try:
            return cholesky_banded(self._band()[2 * self.width :], lower=True)
        except np.linalg.LinAlgError:
            return None

    def _factorize_lu(self, check: bool) -> None:
        from scipy.linalg import get_lapack_funcs

        band = self._band()
        gbtrf, gbcon = get_lapack_funcs(("gbtrf", "gbcon"), (band,))
        self.lu, self.pivots, info = gbtrf(band, self.width, self.width)
        norm = np.abs(band).sum(axis=0).max()
        rcond = float(gbcon(self.width, self.width, self.lu, self.pivots, norm)[0]) if info == 0 else 0.0
        if check and not rcond >= self.op.shape[0] * eps_of(self.op.dtype):
            raise SingularFactorError(
                f"{self.op!r} is singular to working precision: reciprocal condition {rcond:.2e}. Add a diagonal shift."
            )

    def slogdet(self) -> tuple[complex, float]:
        """Sign and log absolute determinant."""
        if self.cholesky is not None:
            return 1.0, 2 * float(np.sum(np.log(self.cholesky[0].real)))
        diagonal = self.lu[2 * self.width]
        if not diagonal.all():
            return 0.0, -math.inf
        swaps = int(np.count_nonzero(self.pivots != np.arange(len(self.pivots))))
        return (-1) ** swaps * np.prod(diagonal / np.abs(diagonal)), float(np.sum(np.log(np.abs(diagonal))))

    def lower_factor(self) -> BlockTridiagonal:
        """Return the Cholesky factor, again as a block tridiagonal operator with nothing over the diagonal."""
        assert self.cholesky is not None
        steps, s = self.op.row_sizes
        band = np.zeros((2 * s, self.op.shape[0]), self.cholesky.dtype)
        band[: self.width + 1] = self.cholesky
        first = s * np.arange(steps)[:, None, None]
        a, b = np.arange(s)[None, :, None], np.arange(s)[None, None, :]
        i, j = np.broadcast_arrays(first + a, first + b)
        diag = np.where(i >= j, band[np.maximum(i - j, 0), j], 0)
        i, j = np.broadcast_arrays(first[:-1] + s + a, first[:-1] + b)
        lower = band[i - j, j]
        return BlockTridiagonal(diag, lower, np.zeros_like(lower))

    def _solve(self, B: np.ndarray, adjoint: bool) -> np.ndarray:
        from scipy.linalg import cho_solve_banded, get_lapack_funcs

        if B.shape[-1] == 0:
            return B * 1
        if self.cholesky is not None:
            return cho_solve_banded((self.cholesky, True), B, check_finite=False)
        (gbtrs,) = get_lapack_funcs(("gbtrs",), (self.lu, B))
        x, _ = gbtrs(self.lu, self.width, self.width, B, self.pivots, trans=2 if adjoint else 0)
        return x

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        return by_columns(lambda b: self._solve(b, False), B)  # type: ignore[arg-type, return-value]

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return by_columns(lambda b: self._solve(b, True), B)  # type: ignore[arg-type, return-value]


class BlockLU:
    """Block elimination of a block tridiagonal matrix, O(T s^3): the torch twin of `BandedBlocks`.

    Pivots within blocks only, which is stable for positive definite and block diagonally dominant matrices.

    Parameters
    ----------
    op : BlockTridiagonal
    """

    def __init__(self, op: BlockTridiagonal) -> None:
        self.op = op
        self.pivots: list[LU] = []
        block = op.diag[0]
        for t in range(op.row_sizes[0]):
            if t:
                block = op.diag[t] - op.lower[t - 1] @ self.pivots[-1].solve(op.upper[t - 1])
            self.pivots.append(LU(block))

    def slogdet(self) -> tuple[Array, Array]:
        """Sign and log absolute determinant."""
        xp = get_namespace(self.op.diag)
        parts = [xp.linalg.slogdet(p.matrix) for p in self.pivots]
        sign = functools.reduce(lambda a, b: a * b, (p[0] for p in parts))
        return sign, functools.reduce(lambda a, b: a + b, (p[1] for p in parts))

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        op, xp = self.op, get_namespace(B)
        steps, s = op.row_sizes
        b = B.reshape((*B.shape[:-2], steps, s, B.shape[-1]))
        forward = [b[..., 0, :, :]]
        for t in range(1, steps):
            forward.append(b[..., t, :, :] - cast(op.lower[t - 1], B.dtype) @ self.pivots[t - 1].solve(forward[-1]))
        x = [self.pivots[-1].solve(forward[-1])]
        for t in range(steps - 2, -1, -1):
            x.append(self.pivots[t].solve(forward[t] - cast(op.upper[t], B.dtype) @ x[-1]))
        return xp.stack(x[::-1], axis=-3).reshape(B.shape)

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return BlockLU(self.op.H).solve(B)  # type: ignore[arg-type]


class Woodbury:
    r"""Woodbury identity for diagonal plus low rank, O(N r^2), with one step of refinement.

    Parameters
    ----------
    op : LowRankPlusDiagonal
        With no zero on the diagonal.
    """

    def __init__(self, op: LowRankPlusDiagonal) -> None:
        self.op = op
        ctx = op._context()
        if bool(ctx.xp.any(op.diag == 0)):
            raise SingularFactorError(
                "diag has zeros; the Woodbury identity divides by it. Use Dense, or add a small positive diagonal."
            )
        U = cast(op.U, ctx.dtype)
        self.projected = ctx.xp.conj(U).T / op.diag  # U^H D^-1
        small = self.projected @ U
        if op.C is not None:
            small = cast(op.C, ctx.dtype) @ small
        self.capacitance = ctx.eye(U.shape[1]) + small
        check_finite(self.capacitance, "U^H diag^-1 U")

    @functools.cached_property
    def lu(self) -> LU:
        """Factors of the small matrix; raises for a singular one."""
        return LU(self.capacitance)

    def slogdet(self) -> tuple[Array, Array]:
        """Sign and log absolute determinant, by the matrix determinant lemma."""
        xp = get_namespace(self.capacitance)
        sign, logabs = xp.linalg.slogdet(self.capacitance)
        size = xp.abs(self.op.diag)
        return sign * xp.prod(self.op.diag / size), logabs + xp.sum(xp.log(size))

    def _once(self, B: Array) -> Array:
        inner = cast(self.projected, B.dtype) @ B
        if self.op.C is not None:
            inner = cast(self.op.C, B.dtype) @ inner
        return (B - cast(self.op.U, B.dtype) @ self.lu.solve(inner)) / self.op.diag[:, None]

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        X = self._once(B)
        return X + self._once(B - self.op._matmat(X))

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return Woodbury(self.op.H).solve(B)  # type: ignore[arg-type]


class SchurSum:
    r"""Kronecker sum of matrices that are not all Hermitian, by their complex Schur forms.

    For two factors this is the Sylvester equation :math:`A X + X B^T = C`; for more, back substitution over the first
    factors around it.

    Parameters
    ----------
    op : KroneckerSum
        With numpy arrays.
    """

    def __init__(self, op: KroneckerSum) -> None:
        from scipy.linalg import schur

        if op._backend not in (None, "numpy"):
            raise BackendMismatchError(
                "Kronecker sums of factors that are not symmetric are solved by Schur forms, which exist for numpy "
                "arrays only. Convert the factors with .numpy()."
            )
        self.op = op
        forms = [schur(f.to_dense(), output="complex") for f in op.factors]
        self.T: list[np.ndarray] = [t for t, _ in forms]
        self.Q: list[np.ndarray] = [q for _, q in forms]
        self.eigenvalues = functools.reduce(np.add.outer, (np.diagonal(t) for t in self.T)).ravel()
        size = np.abs(self.eigenvalues)
        if size.size and not size.min() > eps_of(op.dtype) * size.max():
            raise SingularFactorError(
                f"{op!r} is singular to working precision: eigenvalues of the factors sum to {size.min():.2e} "
                f"(largest {size.max():.2e}). Shift it, or ask for method='pinv'."
            )

    def _solve(self, B: np.ndarray) -> np.ndarray:
        if B.size == 0:
            return B * 1
        dtype = result_dtype(B, *self.op._arrays)  # type: ignore[arg-type]
        rotated = kron_matmul(self.Q, B.astype(np.complex128), adjoint=True)  # type: ignore[arg-type]
        tensor = rotated.reshape((*self.op.row_sizes, B.shape[-1]))  # type: ignore[arg-type]
        solved = _back_substitute(self.T, 0.0, tensor).reshape(B.shape)  # type: ignore[arg-type]
        X = kron_matmul(self.Q, solved)
        return (X if np.dtype(dtype).kind == "c" else X.real).astype(dtype)  # type: ignore[call-overload, union-attr, attr-defined]

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        return by_columns(self._solve, B)  # type: ignore[arg-type]

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return SchurSum(self.op.H).solve(B)  # type: ignore[arg-type]


def _back_substitute(T: Sequence[np.ndarray], shift: complex, C: np.ndarray) -> np.ndarray:
    """Solve with the Kronecker sum of upper triangular `T` plus a shift; C has shape (n_1, ..., n_D, k)."""
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import ztrsyl

    first = T[0] + shift * np.eye(T[0].shape[0])
    if len(T) == 1:
        return solve_triangular(first, C, check_finite=False)
    if len(T) == 2:
        X = np.empty_like(C)
        for k in range(C.shape[-1]):
            # T_1 X + X T_2^T = C; LAPACK knows the conjugate transpose only, hence the conjugate
            x, scale, _ = ztrsyl(first, T[1].conj(), C[..., k], tranb="C")
            X[..., k] = x / scale
        return X
    X = np.empty_like(C)
    for i in range(T[0].shape[0] - 1, -1, -1):
        known = np.tensordot(T[0][i, i + 1 :], X[i + 1 :], axes=1)
        X[i] = _back_substitute(T[1:], first[i, i], C[i] - known)
    return X
