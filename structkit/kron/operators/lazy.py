"""Lazy arithmetic: scaled operators, sums and products, and the fallbacks of the algebra."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import MATMUL, SCALE, Context, Scalar, check_scalar, is_complex, plain_scalar

__all__ = ["Product", "Scaled", "Sum"]


def _conj_scalar(scalar: Scalar) -> Scalar:
    return scalar.conjugate() if isinstance(scalar, (int, float, complex)) else scalar.conj()  # type: ignore[attr-defined]


class Scaled(LinearOperator):
    """A number times an operator.

    Parameters
    ----------
    scalar : float, complex or array of no dimensions
        The number; a torch scalar keeps its gradient.
    op : LinearOperator
        The operator.

    Attributes
    ----------
    scalar : float, complex or array of no dimensions
    op : LinearOperator

    Examples
    --------
    >>> from structkit.kron import Identity
    >>> Scaled(3.0, Identity(2)).diagonal().tolist()
    [3.0, 3.0]
    """

    def __init__(self, scalar: Scalar, op: LinearOperator) -> None:
        super().__init__(
            op.shape, (op,), row_sizes=op.row_sizes, column_sizes=op.column_sizes, is_complex=is_complex(scalar)
        )
        check_scalar(scalar, self._backend)
        self.scalar = plain_scalar(scalar)
        self.op = op

    def _matmat(self, X: Array) -> Array:
        return self.scalar * self.op._matmat(X)  # type: ignore[operator]

    def _matvec(self, x: Array) -> Array:
        return self.scalar * self.op._matvec(x)  # type: ignore[operator]

    def _adjoint_matmat(self, X: Array) -> Array:
        return _conj_scalar(self.scalar) * self.op._adjoint_matmat(X)  # type: ignore[operator]

    def _adjoint(self) -> LinearOperator:
        return Scaled(_conj_scalar(self.scalar), self.op.H)

    def _conj(self) -> LinearOperator:
        return Scaled(_conj_scalar(self.scalar), self.op.conj())

    def _dense(self, ctx: Context) -> Array:
        return self.scalar * self.op._dense(ctx)  # type: ignore[operator]

    def _diagonal(self, ctx: Context) -> Array:
        return self.scalar * self.op._diagonal(ctx)  # type: ignore[operator]

    def _trace(self, ctx: Context) -> Array:
        return self.scalar * self.op._trace(ctx)  # type: ignore[operator]


class Sum(LinearOperator):
    """Sum of operators of one shape; nested sums are flattened.

    Parameters
    ----------
    *terms : LinearOperator
        Operators of the same shape.

    Attributes
    ----------
    terms : tuple of LinearOperator

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Dense, Identity
    >>> Sum(Dense(np.ones((2, 2))), Identity(2)).to_dense().tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """

    def __init__(self, *terms: LinearOperator) -> None:
        flat: list[LinearOperator] = []
        for t in terms:
            flat.extend(t.terms if isinstance(t, Sum) else (t,))
        first = max(flat, key=lambda t: len(t.row_sizes))  # the finest tensor shape known
        super().__init__(first.shape, flat, row_sizes=first.row_sizes, column_sizes=first.column_sizes)
        self.terms: tuple[LinearOperator, ...] = tuple(flat)

    def _matmat(self, X: Array) -> Array:
        return functools.reduce(operator.add, (t._matmat(X) for t in self.terms))

    def _matvec(self, x: Array) -> Array:
        return functools.reduce(operator.add, (t._matvec(x) for t in self.terms))

    def _adjoint_matmat(self, X: Array) -> Array:
        return functools.reduce(operator.add, (t._adjoint_matmat(X) for t in self.terms))

    def _adjoint(self) -> LinearOperator:
        return Sum(*(t.H for t in self.terms))

    def _conj(self) -> LinearOperator:
        return Sum(*(t.conj() for t in self.terms))

    def _dense(self, ctx: Context) -> Array:
        return functools.reduce(operator.add, (t._dense(ctx) for t in self.terms))

    def _diagonal(self, ctx: Context) -> Array:
        return functools.reduce(operator.add, (t._diagonal(ctx) for t in self.terms))

    def _trace(self, ctx: Context) -> Array:
        return functools.reduce(operator.add, (t._trace(ctx) for t in self.terms))


class Product(LinearOperator):
    """Product of operators, applied from the right; nested products are flattened.

    Parameters
    ----------
    *terms : LinearOperator
        Operators whose shapes chain.

    Attributes
    ----------
    terms : tuple of LinearOperator

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Dense, Diagonal
    >>> Product(Dense(np.ones((2, 2))), Diagonal(np.array([1.0, 2.0]))).to_dense().tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    def __init__(self, *terms: LinearOperator) -> None:
        flat: list[LinearOperator] = []
        for t in terms:
            flat.extend(t.terms if isinstance(t, Product) else (t,))
        super().__init__(
            (flat[0].shape[0], flat[-1].shape[1]),
            flat,
            row_sizes=flat[0].row_sizes,
            column_sizes=flat[-1].column_sizes,
        )
        self.terms: tuple[LinearOperator, ...] = tuple(flat)

    def _matmat(self, X: Array) -> Array:
        return functools.reduce(lambda y, t: t._matmat(y), reversed(self.terms), X)

    def _matvec(self, x: Array) -> Array:
        return functools.reduce(lambda y, t: t._matvec(y), reversed(self.terms), x)

    def _adjoint_matmat(self, X: Array) -> Array:
        return functools.reduce(lambda y, t: t._adjoint_matmat(y), self.terms, X)

    def _adjoint(self) -> LinearOperator:
        return Product(*(t.H for t in reversed(self.terms)))

    def _conj(self) -> LinearOperator:
        return Product(*(t.conj() for t in self.terms))

    def _dense(self, ctx: Context) -> Array:
        return functools.reduce(lambda y, t: t._matmat(y), reversed(self.terms[:-1]), self.terms[-1]._dense(ctx))


@MATMUL.register(LinearOperator, LinearOperator)
def _product(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    return Product(a, b)


def collapse(terms: Sequence[LinearOperator]) -> LinearOperator:
    """Multiply a sequence of operators by the rules of the algebra."""
    return functools.reduce(lambda a, b: MATMUL(a, b), terms)


@SCALE.register(LinearOperator, object)
def _scaled(a: LinearOperator, scalar: Scalar) -> LinearOperator:
    return a if isinstance(scalar, (int, float)) and scalar == 1 else Scaled(scalar, a)


@SCALE.register(Scaled, object)
def _scaled_scaled(a: Scaled, scalar: Scalar) -> LinearOperator:
    return SCALE(a.op, scalar * a.scalar)  # type: ignore[operator]


@MATMUL.register(Scaled, LinearOperator)
def _scaled_left(a: Scaled, b: LinearOperator) -> LinearOperator:
    return SCALE(MATMUL(a.op, b), a.scalar)


@MATMUL.register(LinearOperator, Scaled)
def _scaled_right(a: LinearOperator, b: Scaled) -> LinearOperator:
    return SCALE(MATMUL(a, b.op), b.scalar)
