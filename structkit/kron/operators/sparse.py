"""Scipy sparse matrices as operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix

__all__ = ["Sparse"]


class Sparse(LinearOperator):
    """A scipy sparse matrix or array as an operator (numpy only).

    Parameters
    ----------
    matrix : scipy.sparse array or matrix, shape ``(M, N)``
        Kept in compressed row format; integers become float64.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape ``(M, N)``

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from structkit.kron import Sparse
    >>> (Sparse(sp.eye_array(3)) @ np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, matrix: sparray | spmatrix) -> None:
        from scipy import sparse

        if not sparse.issparse(matrix):
            raise TypeError(
                f"matrix is a {type(matrix).__name__}; expected a scipy sparse matrix. Use Dense for arrays."
            )
        if matrix.ndim != 2:
            raise ShapeError(f"matrix has shape {matrix.shape}; expected 2 dimensions.")
        self.matrix = sparse.csr_array(matrix)
        if self.matrix.dtype.kind in "biu":
            self.matrix = self.matrix.astype(np.float64)
        super().__init__(self.matrix.shape, (self.matrix.data,))

    def _matmat(self, X: Array) -> Array:
        n, k = X.shape[-2:]
        if X.ndim == 2:
            return self.matrix @ X
        # scipy multiplies matrices only: bring the batch behind the rows, one product, and back
        batch = X.shape[:-2]
        flat = np.moveaxis(X, -2, 0).reshape(n, -1)  # type: ignore[type-var]
        return np.moveaxis((self.matrix @ flat).reshape(self.shape[0], *batch, k), 0, -2)

    def _matvec(self, x: Array) -> Array:
        return self.matrix @ x

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._adjoint()._matmat(X)

    def _adjoint(self) -> LinearOperator:
        return Sparse(self.matrix.conj().T)

    def _conj(self) -> LinearOperator:
        return Sparse(self.matrix.conj())

    def _dense(self, ctx: Context) -> Array:
        return self.matrix.toarray().astype(ctx.dtype, copy=False)  # type: ignore[arg-type]

    def _diagonal(self, ctx: Context) -> Array:
        return self.matrix.diagonal().astype(ctx.dtype, copy=False)  # type: ignore[arg-type]
