"""Sum of two Kronecker products with positive definite factors."""

from __future__ import annotations

from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import check_square
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context
from structkit.kron.operators.kronecker import Kronecker

__all__ = ["SumOfKroneckers"]


class SumOfKroneckers(LinearOperator):
    r"""Sum of two Kronecker products, :math:`A_1 \otimes B_1 \otimes \dots + A_2 \otimes B_2 \otimes \dots`.

    With Hermitian factors in the first and positive definite ones in the second, every pair of factors is
    diagonalised simultaneously and the sum solved exactly in :math:`O(\sum_d n_d^3 + N \sum_d n_d)`: Gaussian process
    covariances with structured noise.

    Parameters
    ----------
    first, second : Kronecker
        The same number of factors, of the same square shapes.

    Attributes
    ----------
    first, second : Kronecker

    Raises
    ------
    ShapeError
        If the factors do not pair up.

    References
    ----------
    .. [1] Rakitsch, Lippert, Borgwardt, Stegle, "It is all in the noise: efficient multi-task Gaussian process
       inference with structured residuals", NeurIPS 2013, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker, solve
    >>> I2, I3 = np.eye(2), np.eye(3)
    >>> C = SumOfKroneckers(Kronecker(I2, I3), Kronecker(3 * I2, I3))
    >>> solve(C, np.full(6, 4.0)).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, first: Kronecker, second: Kronecker) -> None:
        for name, k in (("first", first), ("second", second)):
            if not isinstance(k, Kronecker):
                raise TypeError(f"{name} is a {type(k).__name__}; expected a Kronecker operator.")
            check_square(k.factors, "SumOfKroneckers", f"{name}.factors")  # type: ignore[arg-type]
        if first.row_sizes != second.row_sizes:
            raise ShapeError(
                f"first has factors of sizes {first.row_sizes} and second {second.row_sizes}; they must pair up."
            )
        sizes = first.row_sizes
        super().__init__(first.shape, (first, second), row_sizes=sizes, column_sizes=sizes)
        self.first = first
        self.second = second

    def _matmat(self, X: Array) -> Array:
        return self.first._matmat(X) + self.second._matmat(X)

    def _matvec(self, x: Array) -> Array:
        return self.first._matvec(x) + self.second._matvec(x)

    def _adjoint_matmat(self, X: Array) -> Array:
        return self.first._adjoint_matmat(X) + self.second._adjoint_matmat(X)

    def _adjoint(self) -> LinearOperator:
        return SumOfKroneckers(self.first.H, self.second.H)  # type: ignore[arg-type]

    def _conj(self) -> LinearOperator:
        return SumOfKroneckers(self.first.conj(), self.second.conj())  # type: ignore[arg-type]

    def _dense(self, ctx: Context) -> Array:
        return self.first._dense(ctx) + self.second._dense(ctx)

    def _diagonal(self, ctx: Context) -> Array:
        return self.first._diagonal(ctx) + self.second._diagonal(ctx)

    def _trace(self, ctx: Context) -> Array:
        return self.first._trace(ctx) + self.second._trace(ctx)
