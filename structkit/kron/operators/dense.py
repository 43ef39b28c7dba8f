"""Operators that hold their matrix: dense and triangular."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze

__all__ = ["Dense", "Triangular"]


class Dense(LinearOperator):
    """A dense matrix as an operator.

    Parameters
    ----------
    matrix : array, shape ``(M, N)``
        Kept as a read-only view, not copied: later edits of the original change the operator.

    Attributes
    ----------
    matrix : array, shape ``(M, N)``
        The matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Dense
    >>> (Dense(np.eye(2)) @ np.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, matrix: Array) -> None:
        self.matrix = freeze(matrix, "matrix", 2)
        super().__init__(self.matrix.shape, (self.matrix,))

    def _matmat(self, X: Array) -> Array:
        return cast(self.matrix, X.dtype) @ X

    def _matvec(self, x: Array) -> Array:
        return cast(self.matrix, x.dtype) @ x

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._adjoint()._matmat(X)

    def _like(self, matrix: Array) -> LinearOperator:
        return type(self)(matrix)

    def _adjoint(self) -> LinearOperator:
        xp = get_namespace(self.matrix)
        flipped = xp.matrix_transpose(self.matrix)
        return type(self)(xp.conj(flipped) if xp.isdtype(self.dtype, "complex floating") else flipped)

    def _conj(self) -> LinearOperator:
        return self._like(get_namespace(self.matrix).conj(self.matrix))

    def _dense(self, ctx: Context) -> Array:
        return cast(self.matrix, ctx.dtype)

    def _diagonal(self, ctx: Context) -> Array:
        return cast(ctx.xp.linalg.diagonal(self.matrix), ctx.dtype)


class Triangular(Dense):
    """A triangular matrix: solved by substitution, its determinant read off the diagonal.

    Parameters
    ----------
    matrix : array, shape ``(N, N)``
        The other triangle must be zero; it is set to zero in a copy where it is not.
    lower : bool, optional
        Which triangle holds the values. Default True, the convention of Cholesky factors.

    Attributes
    ----------
    matrix : array, shape ``(N, N)``
    lower : bool

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Triangular, solve
    >>> solve(Triangular(np.array([[2.0, 0.0], [1.0, 1.0]])), np.array([2.0, 3.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, matrix: Array, *, lower: bool = True) -> None:
        matrix = freeze(matrix, "matrix", 2)
        if matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"matrix has shape {tuple(matrix.shape)}; a triangular operator is square.")
        xp = get_namespace(matrix)
        other = xp.triu(matrix, k=1) if lower else xp.tril(matrix, k=-1)
        super().__init__((xp.tril(matrix) if lower else xp.triu(matrix)) if bool(xp.any(other != 0)) else matrix)
        self.lower = lower

    def _like(self, matrix: Array) -> LinearOperator:
        return Triangular(matrix, lower=self.lower)

    def _adjoint(self) -> LinearOperator:
        xp = get_namespace(self.matrix)
        return Triangular(xp.conj(xp.matrix_transpose(self.matrix)), lower=not self.lower)
