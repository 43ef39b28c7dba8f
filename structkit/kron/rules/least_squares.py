"""Rules of pseudo-inverses, for minimum-norm least squares."""

from __future__ import annotations

from structkit._backend.namespace import get_namespace
from structkit._core.types import Array
from structkit.kron._implicit import implicit_inverse
from structkit.kron.operators.base import Adjoint, LinearOperator
from structkit.kron.operators.common import SCALE, as_float, eps_of
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.inverses import PseudoInverse
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Scaled
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.rules.factorizations import check_finite
from structkit.kron.rules.spectral import per_factor
from structkit.kron.rules.tables import EIGH, PINV, densify

__all__: list[str] = []


def _cutoff(rcond: float | None, values: Array, size: int) -> float:
    """Singular values below this count as zero: ``rcond`` (default ``size * eps``) times the largest."""
    xp = get_namespace(values)
    largest = as_float(xp.max(xp.abs(values))) if values.shape[0] else 0.0
    return (size * eps_of(values.dtype) if rcond is None else rcond) * largest


def _reciprocal(values: Array, cutoff: float) -> Array:
    xp = get_namespace(values)
    keep = xp.abs(values) > cutoff
    return xp.where(keep, 1 / xp.where(keep, values, xp.ones_like(values)), xp.zeros_like(values))


@PINV.register(LinearOperator)
def _fallback(op: LinearOperator, rcond: float | None = None) -> LinearOperator:
    return _dense(densify(op, "lstsq"), rcond)


@PINV.register(Dense)
def _dense(op: Dense, rcond: float | None = None) -> LinearOperator:
    return implicit_inverse(op, lambda fixed: _by_singular_values(fixed, rcond), exact=False)  # type: ignore[arg-type]


def _by_singular_values(op: Dense, rcond: float | None) -> Dense:
    xp = get_namespace(op.matrix)
    check_finite(op.matrix)
    U, s, Vh = xp.linalg.svd(op.matrix, full_matrices=False)
    inverse = _reciprocal(s, _cutoff(rcond, s, max(op.shape)))
    return Dense((xp.conj(Vh).T * inverse) @ xp.conj(U).T)


@PINV.register(Toeplitz)
def _toeplitz(op: Toeplitz, rcond: float | None = None) -> LinearOperator:
    """The pseudo-inverse of a Toeplitz matrix is dense, so forming it costs nothing more."""
    return _dense(Dense(op.to_dense()), rcond)


@PINV.register(Identity)
def _identity(op: Identity, rcond: float | None = None) -> LinearOperator:
    return op


@PINV.register(Diagonal)
def _diagonal(op: Diagonal, rcond: float | None = None) -> LinearOperator:
    return Diagonal(_reciprocal(op.values, _cutoff(rcond, op.values, op.shape[0])))


@PINV.register(Scaled)
def _scaled(op: Scaled, rcond: float | None = None) -> LinearOperator:
    inner = PINV(op.op, rcond)
    return SCALE(inner, 1 / op.scalar if op.scalar != 0 else 0)  # type: ignore[operator]


@PINV.register(PseudoInverse)
def _pseudo_inverse(op: PseudoInverse, rcond: float | None = None) -> LinearOperator:
    return op.op


@PINV.register(Adjoint)
def _adjoint(op: Adjoint, rcond: float | None = None) -> LinearOperator:
    return PINV(op.op, rcond).H


@PINV.register(Kronecker)
def _kron(op: Kronecker, rcond: float | None = None) -> LinearOperator:
    """Pseudo-inverse of the product is the product of the pseudo-inverses, rectangular factors included."""
    scale = 1 / op.scale if op.scale != 0 else 0  # type: ignore[operator]
    return Kronecker(*per_factor(lambda f: PINV(f, rcond), op), scale=scale)


@PINV.register(KroneckerSum)
def _kron_sum(op: KroneckerSum, rcond: float | None = None) -> LinearOperator:
    return implicit_inverse(op, lambda fixed: _by_eigenvalues(fixed, rcond), exact=False)  # type: ignore[arg-type]


def _by_eigenvalues(op: KroneckerSum, rcond: float | None) -> Congruence:
    values, vectors = EIGH(op)
    sums = values.diagonal()
    return Congruence(vectors, _reciprocal(sums, _cutoff(rcond, sums, op.shape[0])), unitary=True)
