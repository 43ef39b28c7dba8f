"""Operators known by a diagonal in some basis: what eigendecompositions leave behind."""

from __future__ import annotations

from structkit._backend.namespace import cast
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import HADAMARD, Context
from structkit.kron.operators.diagonal import Diagonal

__all__ = ["Congruence"]


class Congruence(LinearOperator):
    r"""The operator :math:`U \,\mathrm{diag}(d)\, U^H`.

    With unitary :math:`U` this is an eigendecomposition in use; with a general basis it is the inverse that
    simultaneous diagonalisation gives. Inverses, roots and determinants are as cheap as those of the basis.

    Parameters
    ----------
    basis : LinearOperator, shape ``(N, N)``
        The matrix :math:`U`.
    values : array, shape ``(N,)``
        The real diagonal :math:`d`.
    unitary : bool
        Whether ``basis.H`` is the inverse of `basis`; trusted, not checked.

    Attributes
    ----------
    basis : LinearOperator
    values : array
    unitary : bool

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Dense
    >>> (Congruence(Dense(np.eye(2)), np.array([1.0, 2.0]), unitary=True) @ np.ones(2)).tolist()
    [1.0, 2.0]
    """

    def __init__(self, basis: LinearOperator, values: Array, *, unitary: bool) -> None:
        if not basis.is_square or tuple(values.shape) != basis.shape[:1]:
            raise ShapeError(
                f"basis has shape {basis.shape} and values {tuple(values.shape)}; expected (N, N) and (N,)."
            )
        self.diagonal_part = Diagonal(values)
        super().__init__(
            basis.shape, (basis, self.diagonal_part), row_sizes=basis.row_sizes, column_sizes=basis.row_sizes
        )
        self.basis = basis
        self.values = self.diagonal_part.values
        self.unitary = unitary

    def _matmat(self, X: Array) -> Array:
        return self.basis._matmat(self.values[:, None] * self.basis._adjoint_matmat(X))

    _adjoint_matmat = _matmat

    def _adjoint(self) -> LinearOperator:
        return self

    def _conj(self) -> LinearOperator:
        return Congruence(self.basis.conj(), self.values, unitary=self.unitary)

    def _diagonal(self, ctx: Context) -> Array:
        squared = HADAMARD(self.basis, self.basis.conj())
        return squared @ cast(self.values, ctx.dtype)  # type: ignore[return-value]

    def root(self) -> LinearOperator:
        """Return an operator ``S`` with ``S @ S.H`` equal to this one; the values must not be negative."""
        xp = self._context().xp
        return self.basis @ Diagonal(xp.sqrt(self.values))  # type: ignore[return-value]
