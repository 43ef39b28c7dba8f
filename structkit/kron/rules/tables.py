"""The tables of rules, the results they return, and the fallback to dense matrices."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from structkit._core.errors import DensificationWarning, ShapeError
from structkit._core.types import Array
from structkit._core.validation import remedy
from structkit.kron.dispatch import Rules
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.dense import Dense

__all__ = [
    "CHOLESKY",
    "EIGH",
    "INVERSE",
    "PINV",
    "SLOGDET",
    "SQRTM",
    "SVD",
    "EighResult",
    "SVDResult",
    "SlogdetResult",
    "densify",
    "require_square",
    "require_square_factors",
]


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute determinant.

    Attributes
    ----------
    sign : float or complex
        Of modulus one; zero for a singular matrix.
    logabsdet : float
        Natural logarithm of the absolute determinant; minus infinity for a singular matrix.
    """

    sign: Array
    logabsdet: Array


class EighResult(NamedTuple):
    """Eigendecomposition ``V @ diag @ V.H`` of a Hermitian operator.

    Attributes
    ----------
    eigenvalues : LinearOperator
        Diagonal operator; ``eigenvalues.diagonal()`` gives the vector. Ascending for one matrix; for Kronecker
        structures in the order of the factors, so that nothing of full size is formed or sorted.
    eigenvectors : LinearOperator
        Unitary, with the eigenvectors as columns.
    """

    eigenvalues: LinearOperator
    eigenvectors: LinearOperator


class SVDResult(NamedTuple):
    """Singular value decomposition ``U @ S @ Vh`` of an operator.

    Attributes
    ----------
    U : LinearOperator
        Left singular vectors as columns.
    S : LinearOperator
        Diagonal operator of singular values, in the order of the factors for Kronecker structures.
    Vh : LinearOperator
        Conjugated right singular vectors as rows.
    """

    U: LinearOperator
    S: LinearOperator
    Vh: LinearOperator


INVERSE: Rules[LinearOperator] = Rules("inverse")
SLOGDET: Rules[SlogdetResult] = Rules("slogdet")
EIGH: Rules[EighResult] = Rules("eigh")
SVD: Rules[SVDResult] = Rules("svd")
CHOLESKY: Rules[LinearOperator] = Rules("cholesky")
SQRTM: Rules[LinearOperator] = Rules("sqrtm")
PINV: Rules[LinearOperator] = Rules("pinv")


def densify(op: LinearOperator, operation: str) -> Dense:
    """Return the operator as a dense matrix and say so."""
    warnings.warn(
        f"{operation} of {op!r} has no structured rule; the operator becomes a dense matrix.",
        DensificationWarning,
        stacklevel=4,
    )
    return Dense(op.to_dense())


def require_square(op: LinearOperator, operation: str) -> None:
    """Raise unless the operator is square."""
    if not op.is_square:
        raise ShapeError(
            f"{type(op).__name__} has shape {op.shape}; {operation} needs a square operator.{remedy(operation)}"
        )


def require_square_factors(op: LinearOperator, operation: str) -> None:
    """Raise unless every factor is square: the rules of Kronecker products hold factor by factor."""
    for i, (m, n) in enumerate(zip(op.row_sizes, op.column_sizes, strict=True)):
        if m != n:
            raise ShapeError(
                f"factors[{i}] has shape ({m}, {n}); {operation} of a Kronecker product needs every factor square."
                + remedy(operation)
            )
