"""The Kronecker sum operator."""

from __future__ import annotations

import math

from structkit._backend.namespace import cast
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import check_square
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context
from structkit.kron.operators.convert import as_factor

__all__ = ["KroneckerSum"]


class KroneckerSum(LinearOperator):
    r"""Kronecker sum :math:`\sum_d I \otimes \dots \otimes A_d \otimes \dots \otimes I`.

    The discrete Laplacian on a grid is the Kronecker sum of one-dimensional ones.

    Parameters
    ----------
    *factors : array, scipy sparse matrix or LinearOperator, shapes ``(n_d, n_d)``
        Square; first factor slowest.

    Attributes
    ----------
    factors : tuple of LinearOperator

    Raises
    ------
    ShapeError
        If there is no factor or one is not square.

    Examples
    --------
    >>> import numpy as np
    >>> KroneckerSum(np.diag([1.0, 2.0]), np.diag([10.0, 20.0])).diagonal().tolist()
    [11.0, 21.0, 12.0, 22.0]
    """

    def __init__(self, *factors: object) -> None:
        if not factors:
            raise ShapeError("KroneckerSum needs at least one factor; got none.")
        self.factors = tuple(as_factor(f, i) for i, f in enumerate(factors))
        check_square(self.factors, "KroneckerSum")  # type: ignore[arg-type]
        sizes = tuple(f.shape[0] for f in self.factors)
        n = math.prod(sizes)
        super().__init__((n, n), self.factors, row_sizes=sizes, column_sizes=sizes)

    def _apply(self, X: Array, adjoint: bool) -> Array:
        batch, k = tuple(X.shape[:-2]), X.shape[-1]
        total: Array | None = None
        for d, f in enumerate(self.factors):
            left, right = math.prod(self.row_sizes[:d]), math.prod(self.row_sizes[d + 1 :])
            y = X.reshape((*batch, left, self.row_sizes[d], right * k))  # type: ignore[arg-type]
            y = (f._adjoint_matmat(y) if adjoint else f._matmat(y)).reshape(X.shape)  # type: ignore[arg-type]
            total = y if total is None else total + y
        assert total is not None
        return total

    def _matmat(self, X: Array) -> Array:
        return self._apply(X, False)

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._apply(X, True)

    def _adjoint(self) -> LinearOperator:
        return KroneckerSum(*(f.H for f in self.factors))

    def _conj(self) -> LinearOperator:
        return KroneckerSum(*(f.conj() for f in self.factors))

    def _diagonal(self, ctx: Context) -> Array:
        out = ctx.zeros((1,))
        for f in self.factors:
            out = (out[:, None] + cast(f._diagonal(ctx), ctx.dtype)[None, :]).reshape(-1)
        return out

    def _trace(self, ctx: Context) -> Array:
        total = ctx.zeros(())
        for f in self.factors:
            total = total + f._trace(ctx) * (self.shape[0] // f.shape[0] if f.shape[0] else 0)
        return total
