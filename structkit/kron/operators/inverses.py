"""Inverses that hold a factorisation: factor once, solve many times."""

from __future__ import annotations

from typing import Protocol

from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator

__all__ = ["Factorization", "FactorizedInverse", "Inverse", "PseudoInverse"]


class Factorization(Protocol):
    """What an `Inverse` needs to know: how to solve with an operator and with its conjugate transpose."""

    def solve(self, B: Array) -> Array:
        """Solve for right-hand sides ``(..., N, k)``."""

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose for right-hand sides ``(..., N, k)``."""


class _AdjointFactorization:
    """A factorisation read the other way round."""

    def __init__(self, of: Factorization) -> None:
        self.of = of

    def solve(self, B: Array) -> Array:
        return self.of.solve_adjoint(B)

    def solve_adjoint(self, B: Array) -> Array:
        return self.of.solve(B)


class FactorizedInverse(LinearOperator):
    """Base of operators that act through the factorisation of another one."""

    def __init__(self, op: LinearOperator, factorization: Factorization) -> None:
        super().__init__(op.shape[::-1], (op,), row_sizes=op.column_sizes, column_sizes=op.row_sizes)
        self.op = op
        self.factorization = factorization

    def _matmat(self, X: Array) -> Array:
        return self.factorization.solve(X)

    def _adjoint_matmat(self, X: Array) -> Array:
        return self.factorization.solve_adjoint(X)

    def _adjoint(self) -> LinearOperator:
        return type(self)(self.op.H, _AdjointFactorization(self.factorization))


class Inverse(FactorizedInverse):
    """The inverse of an operator, applied through a factorisation computed once.

    Parameters
    ----------
    op : LinearOperator, shape ``(N, N)``
        The operator that was factorised.
    factorization : Factorization
        Solves with `op` and with its conjugate transpose.

    Attributes
    ----------
    op : LinearOperator
    factorization : Factorization

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import inverse
    >>> P = inverse(np.array([[2.0, 0.0], [0.0, 4.0]]))
    >>> type(P).__name__, (P @ np.ones(2)).tolist()
    ('Inverse', [0.5, 0.25])
    """


class PseudoInverse(FactorizedInverse):
    """The pseudo-inverse of an operator ``(M, N)``, shape ``(N, M)``; `Inverse` describes the parameters."""
