"""Diagonal and identity operators."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze

__all__ = ["Diagonal", "Identity"]


class Diagonal(LinearOperator):
    """A diagonal matrix.

    Parameters
    ----------
    values : array, shape ``(N,)``
        The diagonal, kept as a read-only view.

    Attributes
    ----------
    values : array, shape ``(N,)``

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Diagonal
    >>> (Diagonal(np.array([1.0, 3.0])) @ np.ones(2)).tolist()
    [1.0, 3.0]
    """

    def __init__(self, values: Array) -> None:
        self.values = freeze(values, "values", 1)
        n = self.values.shape[0]
        super().__init__((n, n), (self.values,))

    def _matmat(self, X: Array) -> Array:
        return self.values[:, None] * X

    def _matvec(self, x: Array) -> Array:
        return self.values * x

    def _adjoint_matmat(self, X: Array) -> Array:
        return get_namespace(X).conj(self.values)[:, None] * X

    def _adjoint(self) -> LinearOperator:
        return self.conj()

    def _conj(self) -> LinearOperator:
        return Diagonal(get_namespace(self.values).conj(self.values))

    def _dense(self, ctx: Context) -> Array:
        return cast(self.values, ctx.dtype)[:, None] * ctx.eye(self.shape[0])

    def _diagonal(self, ctx: Context) -> Array:
        return cast(self.values, ctx.dtype)


class Identity(LinearOperator):
    """The identity matrix: no arrays, so it adapts to the library and dtype of whatever it meets.

    Parameters
    ----------
    n : int
        Number of rows; may exceed ``2**63``.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Identity
    >>> (Identity(2) @ np.array([1.0, 3.0])).tolist()
    [1.0, 3.0]
    """

    def __init__(self, n: int) -> None:
        super().__init__((n, n), ())

    def _matmat(self, X: Array) -> Array:
        return X * 1  # a copy: results never alias their inputs

    def _matvec(self, x: Array) -> Array:
        return x * 1

    def _adjoint_matmat(self, X: Array) -> Array:
        return X * 1

    def _adjoint(self) -> LinearOperator:
        return self

    def _conj(self) -> LinearOperator:
        return self

    def _dense(self, ctx: Context) -> Array:
        return ctx.eye(self.shape[0])

    def _diagonal(self, ctx: Context) -> Array:
        return ctx.ones((self.shape[0],))

    def _trace(self, ctx: Context) -> Array:
        return ctx.ones(()) * self.shape[0]
