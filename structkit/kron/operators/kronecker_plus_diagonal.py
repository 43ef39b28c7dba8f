"""Kronecker product plus a diagonal: covariance plus noise."""

from __future__ import annotations

from collections.abc import Sequence

from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import check_square
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import SCALE, Context, Scalar, check_scalar, freeze
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.lazy import Scaled

__all__ = ["KroneckerPlusDiagonal"]


class KroneckerPlusDiagonal(LinearOperator):
    r"""Kronecker product plus a diagonal, :math:`A_1 \otimes \dots \otimes A_D + \mathrm{diag}(d)`.

    Three kinds of diagonal, told apart by what is given, each with its own way to solve: a scalar (noise of one
    variance; exact, by one eigendecomposition per factor), a product over axes (exact, after whitening every factor
    by its own diagonal), and an arbitrary diagonal (conjugate gradients with the closest product as preconditioner).

    Parameters
    ----------
    kron : Kronecker, or sequence of arrays, shapes ``(n_d, n_d)``
        Every factor square. Solving needs Hermitian factors.
    diag : float; list of arrays, shapes ``(n_d,)``; array, shape ``(N,)`` or ``(n_1, ..., n_D)``; or operator
        A number stands for ``number * I``; a list of one-dimensional arrays for
        ``diag_1 x ... x diag_D``; an array for an arbitrary diagonal.

    Attributes
    ----------
    kron : Kronecker
    kind : {"scalar", "product", "arbitrary"}
    shift : float
        The number, for the kind ``"scalar"``.
    diag : LinearOperator
        The diagonal part as an operator.

    Raises
    ------
    ShapeError
        If a factor is not square or the diagonal does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker, solve
    >>> C = KroneckerPlusDiagonal(Kronecker(np.eye(2), np.eye(3)), 1.0)
    >>> solve(C, np.ones(6)).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, kron: Kronecker | Sequence[Array], diag: object) -> None:
        self.kron = kron if isinstance(kron, Kronecker) else Kronecker(*_sequence(kron))
        check_square(self.kron.factors, "KroneckerPlusDiagonal")  # type: ignore[arg-type]
        self.diag, self.shift = _as_diagonal(diag, self.kron)
        if self.diag.shape != self.kron.shape:
            raise ShapeError(
                f"diag has size {self.diag.shape[0]}; expected {self.kron.shape[0]}, the rows of {self.kron!r}."
            )
        sizes = self.kron.row_sizes
        super().__init__(self.kron.shape, (self.kron, self.diag), row_sizes=sizes, column_sizes=sizes)
        check_scalar(self.shift, self._backend)
        if self.shift is not None:
            self.kind = "scalar"
        else:
            self.kind = "product" if isinstance(self.diag, Kronecker) else "arbitrary"

    def _matmat(self, X: Array) -> Array:
        shifted = self.shift * X if self.shift is not None else self.diag._matmat(X)  # type: ignore[operator]
        return self.kron._matmat(X) + shifted

    def _matvec(self, x: Array) -> Array:
        shifted = self.shift * x if self.shift is not None else self.diag._matvec(x)  # type: ignore[operator]
        return self.kron._matvec(x) + shifted

    def _adjoint_matmat(self, X: Array) -> Array:
        return self.kron._adjoint_matmat(X) + self.diag._adjoint_matmat(X)

    def _adjoint(self) -> LinearOperator:
        return KroneckerPlusDiagonal(self.kron.H, self.diag.H)  # type: ignore[arg-type]

    def _conj(self) -> LinearOperator:
        return KroneckerPlusDiagonal(self.kron.conj(), self.diag.conj())  # type: ignore[arg-type]

    def _dense(self, ctx: Context) -> Array:
        return self.kron._dense(ctx) + self.diag._dense(ctx)

    def _diagonal(self, ctx: Context) -> Array:
        return self.kron._diagonal(ctx) + self.diag._diagonal(ctx)


def _sequence(kron: object) -> Sequence[object]:
    if isinstance(kron, (list, tuple)):
        return kron
    raise TypeError(f"kron is a {type(kron).__name__}; expected a Kronecker operator or a list of factors.")


def _as_diagonal(diag: object, kron: Kronecker) -> tuple[LinearOperator, Scalar | None]:
    """Bring every way to give a diagonal to an operator, and to a number where it is one."""
    n = kron.shape[0]
    if isinstance(diag, LinearOperator):
        if isinstance(diag, Scaled) and isinstance(diag.op, Identity):
            return diag, diag.scalar
        if isinstance(diag, Identity):
            return diag, 1.0
        if isinstance(diag, Diagonal):
            return diag, None
        if isinstance(diag, Kronecker) and all(isinstance(f, (Diagonal, Identity)) for f in diag.factors):
            return _product_diagonal(diag, kron)
        raise TypeError(f"diag is a {type(diag).__name__}; expected a diagonal operator, a number or arrays.")
    if isinstance(diag, (list, tuple)) and any(getattr(d, "ndim", 0) for d in diag):
        return _product_diagonal(Kronecker(*(Diagonal(d) for d in diag)), kron)
    values = freeze(diag, "diag")
    if values.ndim == 0:
        scalar = values.item() if not hasattr(values, "requires_grad") else values  # type: ignore[attr-defined]
        return SCALE(Identity(n), scalar), scalar
    if tuple(values.shape) == kron.row_sizes:
        values = values.reshape(-1)
    if tuple(values.shape) != (n,):
        raise ShapeError(
            f"diag has shape {tuple(values.shape)}; expected a number, a list of arrays of lengths {kron.row_sizes}, "
            f"or an array of shape ({n},) or {kron.row_sizes}."
        )
    return Diagonal(values), None


def _product_diagonal(diag: Kronecker, kron: Kronecker) -> tuple[LinearOperator, Scalar | None]:
    if diag.row_sizes != kron.row_sizes:
        raise ShapeError(f"diag has axes of lengths {diag.row_sizes}; expected those of the factors, {kron.row_sizes}.")
    if all(isinstance(f, Identity) for f in diag.factors):
        return SCALE(Identity(diag.shape[0]), diag.scale), diag.scale
    return diag, None
