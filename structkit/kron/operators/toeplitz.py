"""Toeplitz operators: products by the fast Fourier transform."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze, is_complex

__all__ = ["Toeplitz"]


class Toeplitz(LinearOperator):
    r"""A Toeplitz matrix, constant along diagonals; products cost :math:`O((M + N) \log (M + N))`.

    The matrix is embedded in a circulant one, which the Fourier transform diagonalises. A stationary kernel on a
    regular grid gives a symmetric Toeplitz matrix.

    Parameters
    ----------
    column : array, shape ``(M,)``
        First column.
    row : array, shape ``(N,)``, optional
        First row; its first entry must equal ``column[0]``. Default ``conj(column)``: a Hermitian matrix.

    Attributes
    ----------
    column, row : array

    References
    ----------
    .. [1] Golub, Van Loan, "Matrix Computations", 4th ed., 2013, section 4.7.7.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Toeplitz
    >>> Toeplitz(np.array([2.0, 1.0, 0.0])).to_dense().tolist()
    [[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 2.0]]
    """

    def __init__(self, column: Array, row: Array | None = None) -> None:
        self.column = freeze(column, "column", 1)
        xp = get_namespace(self.column)
        self.row = freeze(xp.conj(self.column) if row is None else row, "row", 1)
        if self.column.shape[0] == 0 or self.row.shape[0] == 0:
            raise ShapeError("A Toeplitz operator needs at least one row and one column.")
        corner, again = self.column[0], self.row[0]
        if bool(corner != again) and not bool((corner != corner) & (again != again)):  # NaN agrees with NaN
            raise ShapeError(
                f"column[0] is {complex(corner)} and row[0] is {complex(again)}; "
                "both are the corner entry and must agree (a Hermitian Toeplitz matrix has a real diagonal)."
            )
        super().__init__((self.column.shape[0], self.row.shape[0]), (self.column, self.row))

    def _fft_size(self) -> int:
        from scipy.fft import next_fast_len

        return next_fast_len(self.shape[0] + self.shape[1] - 1, real=True)

    def _matmat(self, X: Array) -> Array:
        (m, n), size = self.shape, self._fft_size()
        xp = get_namespace(X)
        c, r = cast(self.column, X.dtype), cast(self.row, X.dtype)
        gap = xp.zeros((size - m - n + 1,), dtype=c.dtype, device=c.device)  # type: ignore[attr-defined]
        circulant = xp.concat([c, gap, xp.flip(r[1:])])
        if is_complex(X):
            spectrum = xp.fft.fft(circulant, n=size)
            return xp.fft.ifft(spectrum[:, None] * xp.fft.fft(X, n=size, axis=-2), n=size, axis=-2)[..., :m, :]
        spectrum = xp.fft.rfft(circulant, n=size)
        return xp.fft.irfft(spectrum[:, None] * xp.fft.rfft(X, n=size, axis=-2), n=size, axis=-2)[..., :m, :]

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._adjoint()._matmat(X)

    def _adjoint(self) -> LinearOperator:
        xp = get_namespace(self.column)
        # The corner stays that of the column, which then gets all of its gradient.
        column = xp.concat([self.column[:1], self.row[1:]])
        return Toeplitz(xp.conj(column), xp.conj(self.column))

    def _conj(self) -> LinearOperator:
        xp = get_namespace(self.column)
        return Toeplitz(xp.conj(self.column), xp.conj(self.row))

    def _dense(self, ctx: Context) -> Array:
        m, n = self.shape
        band = ctx.xp.concat([ctx.xp.flip(self.row[1:]), self.column])
        index = ctx.xp.arange(m, device=ctx.device)[:, None] - ctx.xp.arange(n, device=ctx.device)[None, :] + n - 1
        return cast(band[index], ctx.dtype)

    def _diagonal(self, ctx: Context) -> Array:
        return self.column[0] * ctx.ones((self.shape[0],))

    @property
    def is_hermitian(self) -> bool:
        """Whether the first row is the conjugate of the first column."""
        xp = get_namespace(self.column)
        return self.is_square and bool(xp.all(self.row == xp.conj(self.column)))
