"""Entrywise products of operators."""

from __future__ import annotations

import warnings

from structkit._backend.namespace import backend_name, cast, result_dtype
from structkit._core.errors import DensificationWarning, ShapeError
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import HADAMARD, SCALE
from structkit.kron.operators.convert import as_operator
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.khatri_rao import KhatriRao
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.lazy import Scaled, Sum
from structkit.kron.operators.sparse import Sparse
from structkit.kron.operators.toeplitz import Toeplitz

__all__ = ["hadamard"]


def hadamard(a: object, b: object) -> LinearOperator:
    r"""Entrywise (Hadamard) product of two operators.

    Kronecker products with factors of the same shapes stay Kronecker:
    :math:`(A \otimes B) \circ (C \otimes D) = (A \circ C) \otimes (B \circ D)`.

    Parameters
    ----------
    a, b : LinearOperator, array or scipy sparse matrix, shape ``(M, N)``

    Returns
    -------
    LinearOperator, shape ``(M, N)``

    Raises
    ------
    ShapeError
        If the shapes differ.

    Warns
    -----
    DensificationWarning
        If no rule keeps the structure of this pair.

    Examples
    --------
    >>> import numpy as np
    >>> K = Kronecker(np.full((2, 2), 3.0), np.eye(2))
    >>> type(hadamard(K, K)).__name__, hadamard(K, K).diagonal().tolist()
    ('Kronecker', [9.0, 9.0, 9.0, 9.0])
    """
    left, right = as_operator(a), as_operator(b)
    if left.shape != right.shape:
        raise ShapeError(f"Operators of shapes {left.shape} and {right.shape} have no entrywise product.")
    backend_name(*left._arrays, *right._arrays)
    return HADAMARD(left, right)


@HADAMARD.register(LinearOperator, LinearOperator)
def _fallback(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    warnings.warn(
        f"The entrywise product of {a!r} and {b!r} has no structured rule; both become dense.",
        DensificationWarning,
        stacklevel=3,
    )
    return _dense(Dense(a.to_dense()), Dense(b.to_dense()))


@HADAMARD.register(Dense, Dense)
def _dense(a: Dense, b: Dense) -> LinearOperator:
    dtype = result_dtype(a.matrix, b.matrix)
    return Dense(cast(a.matrix, dtype) * cast(b.matrix, dtype))


@HADAMARD.register(Kronecker, Kronecker)
def _kron(a: Kronecker, b: Kronecker) -> LinearOperator:
    if a.row_sizes != b.row_sizes or a.column_sizes != b.column_sizes:
        return NotImplemented
    factors = (HADAMARD(f, g) for f, g in zip(a.factors, b.factors, strict=True))
    return Kronecker(*factors, scale=a.scale * b.scale)  # type: ignore[operator]


@HADAMARD.register(KhatriRao, KhatriRao)
def _khatri_rao(a: KhatriRao, b: KhatriRao) -> LinearOperator:
    if a.row_sizes != b.row_sizes:
        return NotImplemented
    return KhatriRao(*(u * v for u, v in zip(a.matrices, b.matrices, strict=True)))


@HADAMARD.register(Toeplitz, Toeplitz)
def _toeplitz(a: Toeplitz, b: Toeplitz) -> LinearOperator:
    return Toeplitz(a.column * b.column, a.row * b.row)


@HADAMARD.register(Sparse, Sparse)
def _sparse(a: Sparse, b: Sparse) -> LinearOperator:
    return Sparse(a.matrix.multiply(b.matrix))


@HADAMARD.register(Diagonal, LinearOperator)
@HADAMARD.register(Identity, LinearOperator)
def _diagonal_left(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    if isinstance(a, Identity):
        return a if isinstance(b, Identity) else Diagonal(b.diagonal())
    ctx = Sum(a, b)._context()
    return Diagonal(a._diagonal(ctx) * b._diagonal(ctx))


@HADAMARD.register(LinearOperator, Diagonal)
@HADAMARD.register(LinearOperator, Identity)
def _diagonal_right(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    return _diagonal_left(b, a)


@HADAMARD.register(Scaled, LinearOperator)
def _scaled_left(a: Scaled, b: LinearOperator) -> LinearOperator:
    return SCALE(HADAMARD(a.op, b), a.scalar)


@HADAMARD.register(Diagonal, Scaled)
@HADAMARD.register(Identity, Scaled)
@HADAMARD.register(LinearOperator, Scaled)
def _scaled_right(a: LinearOperator, b: Scaled) -> LinearOperator:
    return SCALE(HADAMARD(a, b.op), b.scalar)
