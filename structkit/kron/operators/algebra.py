"""Rules that keep structure in products, sums and multiples of operators."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace, result_dtype
from structkit._core.types import Array
from structkit.kron.operators.base import Adjoint, LinearOperator
from structkit.kron.operators.common import ADD, MATMUL, SCALE, Scalar, check_scalar
from structkit.kron.operators.dense import Dense, Triangular
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.khatri_rao import KhatriRao
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Scaled, Sum
from structkit.kron.operators.low_rank import LowRankPlusDiagonal
from structkit.kron.operators.masked import Masked
from structkit.kron.operators.toeplitz import Toeplitz

__all__: list[str] = []


def _promote(*arrays: Array) -> list[Array]:
    dtype = result_dtype(*arrays)
    return [cast(a, dtype) for a in arrays]


def _diagonal_values(op: LinearOperator) -> Array | Scalar | None:
    """Values of a diagonal operator: an array, a number for multiples of the identity, None for anything else."""
    if isinstance(op, Identity):
        return 1
    if isinstance(op, Diagonal):
        return op.values
    if isinstance(op, Scaled):
        inner = _diagonal_values(op.op)
        return None if inner is None else op.scalar * inner  # type: ignore[operator]
    return None


# ---- products ---------------------------------------------------------------------------------------
@MATMUL.register(Identity, LinearOperator)
def _identity_left(a: Identity, b: LinearOperator) -> LinearOperator:
    return b


@MATMUL.register(LinearOperator, Identity)
def _identity_right(a: LinearOperator, b: Identity) -> LinearOperator:
    return a


@MATMUL.register(Dense, Dense)
def _dense_dense(a: Dense, b: Dense) -> LinearOperator:
    left, right = _promote(a.matrix, b.matrix)
    return Dense(left @ right)


@MATMUL.register(Triangular, Triangular)
def _triangular_triangular(a: Triangular, b: Triangular) -> LinearOperator:
    left, right = _promote(a.matrix, b.matrix)
    return Triangular(left @ right, lower=a.lower) if a.lower == b.lower else Dense(left @ right)


@MATMUL.register(Diagonal, Diagonal)
def _diagonal_diagonal(a: Diagonal, b: Diagonal) -> LinearOperator:
    return Diagonal(a.values * b.values)


@MATMUL.register(Diagonal, Dense)
def _diagonal_dense(a: Diagonal, b: Dense) -> LinearOperator:
    return b._like(a.values[:, None] * b.matrix)


@MATMUL.register(Dense, Diagonal)
def _dense_diagonal(a: Dense, b: Diagonal) -> LinearOperator:
    return a._like(a.matrix * b.values)


@MATMUL.register(Kronecker, Kronecker)
def _kron_kron(a: Kronecker, b: Kronecker) -> LinearOperator:
    """Mixed product rule, where the factors' inner sizes agree one by one."""
    if a.column_sizes != b.row_sizes:
        return NotImplemented
    return Kronecker(*(MATMUL(f, g) for f, g in zip(a.factors, b.factors, strict=True)), scale=a.scale * b.scale)  # type: ignore[operator]


@MATMUL.register(Kronecker, KhatriRao)
def _kron_khatri_rao(a: Kronecker, b: KhatriRao) -> LinearOperator:
    """Apply each factor to the matrix of its axis."""
    if a.column_sizes != b.row_sizes:
        return NotImplemented
    return SCALE(KhatriRao(*(f @ m for f, m in zip(a.factors, b.matrices, strict=True))), a.scale)  # type: ignore[arg-type]


@MATMUL.register(Adjoint, KhatriRao)
def _khatri_rao_gram(a: Adjoint, b: KhatriRao) -> LinearOperator:
    """Gram matrix of two Khatri-Rao products: the entrywise product of the factors' Gram matrices."""
    left = a.op
    if not isinstance(left, KhatriRao) or left.row_sizes != b.row_sizes:
        return NotImplemented
    xp = get_namespace(b.matrices[0])
    out: Array | None = None
    for u, v in zip(left.matrices, b.matrices, strict=True):
        p, q = _promote(u, v)
        gram = xp.conj(p).T @ q
        out = gram if out is None else out * gram
    return Dense(out)  # type: ignore[arg-type]


# ---- multiples --------------------------------------------------------------------------------------
@SCALE.register(Kronecker, object)
def _scale_kron(a: Kronecker, scalar: Scalar) -> LinearOperator:
    return Kronecker(*a.factors, scale=a.scale * scalar)  # type: ignore[operator]


@SCALE.register(Dense, object)
def _scale_dense(a: Dense, scalar: Scalar) -> LinearOperator:
    return a._like(a.matrix * scalar)  # type: ignore[operator]


@SCALE.register(Diagonal, object)
def _scale_diagonal(a: Diagonal, scalar: Scalar) -> LinearOperator:
    return Diagonal(a.values * scalar)  # type: ignore[operator]


@SCALE.register(KroneckerPlusDiagonal, object)
def _scale_kron_diagonal(a: KroneckerPlusDiagonal, scalar: Scalar) -> LinearOperator:
    return KroneckerPlusDiagonal(SCALE(a.kron, scalar), SCALE(a.diag, scalar))  # type: ignore[arg-type]


@SCALE.register(KroneckerSum, object)
def _scale_kron_sum(a: KroneckerSum, scalar: Scalar) -> LinearOperator:
    return KroneckerSum(*(SCALE(f, scalar) for f in a.factors))


@SCALE.register(Toeplitz, object)
def _scale_toeplitz(a: Toeplitz, scalar: Scalar) -> LinearOperator:
    return Toeplitz(a.column * scalar, a.row * scalar)  # type: ignore[operator]


@SCALE.register(Masked, object)
def _scale_masked(a: Masked, scalar: Scalar) -> LinearOperator:
    return a.with_operator(SCALE(a.op, scalar))


# ---- sums -------------------------------------------------------------------------------------------
def _plus_diagonal(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    """Rules for ``a + diagonal``; NotImplemented where none keeps a structure."""
    values = _diagonal_values(b)
    if values is None:
        return NotImplemented
    is_scalar = getattr(values, "ndim", 0) == 0
    check_scalar(values, a._backend)
    if isinstance(a, Kronecker) and a.has_square_factors:
        return KroneckerPlusDiagonal(a, b if is_scalar else Diagonal(values))  # type: ignore[arg-type]
    if isinstance(a, KroneckerPlusDiagonal):
        return _more_diagonal(a, values, is_scalar)
    if isinstance(a, Masked) and a.is_principal and is_scalar:
        return a.with_operator(ADD(a.op, SCALE(Identity(a.op.shape[0]), values)))
    if isinstance(a, LowRankPlusDiagonal):
        return LowRankPlusDiagonal(a.U, a.diag + values, a.C)  # type: ignore[operator]
    if isinstance(a, KroneckerSum) and is_scalar:
        first = ADD(a.factors[0], SCALE(Identity(a.factors[0].shape[0]), values))
        return KroneckerSum(first, *a.factors[1:])
    if isinstance(a, Toeplitz) and is_scalar and a.is_square:
        shift = values * get_namespace(a.column).ones_like(a.column[:1])  # type: ignore[operator]
        xp = get_namespace(a.column)
        return Toeplitz(xp.concat([a.column[:1] + shift, a.column[1:]]), xp.concat([a.row[:1] + shift, a.row[1:]]))
    if isinstance(a, Dense):
        xp = get_namespace(a.matrix)
        eye = xp.eye(a.shape[0], dtype=a.matrix.dtype, device=a.matrix.device)  # type: ignore[attr-defined]
        return a._like(a.matrix + eye * values)  # type: ignore[operator]
    own = _diagonal_values(a)
    if own is None:
        return NotImplemented
    total = own + values  # type: ignore[operator]
    return SCALE(Identity(a.shape[0]), total) if getattr(total, "ndim", 0) == 0 else Diagonal(total)  # type: ignore[arg-type]


def _more_diagonal(a: KroneckerPlusDiagonal, values: Array | Scalar, is_scalar: bool) -> LinearOperator:
    if is_scalar and a.shift is not None:
        return KroneckerPlusDiagonal(a.kron, SCALE(Identity(a.shape[0]), a.shift + values))  # type: ignore[operator]
    if a.shift is not None:
        return KroneckerPlusDiagonal(a.kron, Diagonal(a.shift + values))  # type: ignore[operator, arg-type]
    return KroneckerPlusDiagonal(a.kron, Diagonal(a.diag.diagonal() + values))  # type: ignore[operator]


@ADD.register(LinearOperator, LinearOperator)
def _sum_with_diagonal(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    out = _plus_diagonal(a, b)
    if out is NotImplemented:
        out = _plus_diagonal(b, a)
    return Sum(a, b) if out is NotImplemented else out


@ADD.register(Kronecker, Kronecker)
def _kron_plus_kron(a: Kronecker, b: Kronecker) -> LinearOperator:
    for k, d in ((a, b), (b, a)):
        is_diagonal = all(isinstance(f, (Diagonal, Identity)) for f in d.factors)
        if is_diagonal and k.has_square_factors and k.row_sizes == d.row_sizes:
            return KroneckerPlusDiagonal(k, d)
    return NotImplemented


@ADD.register(Dense, Dense)
def _dense_plus_dense(a: Dense, b: Dense) -> LinearOperator:
    left, right = _promote(a.matrix, b.matrix)
    return Dense(left + right)


@ADD.register(Toeplitz, Toeplitz)
def _toeplitz_plus_toeplitz(a: Toeplitz, b: Toeplitz) -> LinearOperator:
    return Toeplitz(a.column + b.column, a.row + b.row)


@ADD.register(Masked, Masked)
def _masked_plus_masked(a: Masked, b: Masked) -> LinearOperator:
    if a.op.shape != b.op.shape or a.rows is not b.rows or a.columns is not b.columns:
        return NotImplemented
    return a.with_operator(ADD(a.op, b.op))
