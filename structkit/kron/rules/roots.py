"""Rules of Cholesky factors and square roots."""

from __future__ import annotations

import math

from structkit._backend.namespace import get_namespace
from structkit._core.errors import NotPositiveDefiniteError, NotSymmetricError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.block_tridiagonal import BlockTridiagonal
from structkit.kron.operators.common import SCALE, as_float, eps_of, is_complex
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense, Triangular
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.inverses import Inverse
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Scaled
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.rules.factorizations import check_hermitian, hermitian_gap, hermitian_tolerance
from structkit.kron.rules.spectral import per_factor, real_diagonal
from structkit.kron.rules.structured import BandedBlocks
from structkit.kron.rules.tables import CHOLESKY, EIGH, INVERSE, SQRTM, densify, require_square, require_square_factors

__all__ = ["cholesky_of"]


# ---- Cholesky factors -------------------------------------------------------------------------------
def cholesky_of(A: Array, name: str = "matrix") -> Array:
    """Lower Cholesky factor of a Hermitian matrix; raises with the smallest eigenvalue where there is none."""
    check_hermitian(A, "cholesky", name)
    xp = get_namespace(A)
    try:
        L = xp.linalg.cholesky(A)
    except (ArithmeticError, RuntimeError, ValueError) as err:  # LinAlgError of numpy and torch
        smallest = as_float(xp.linalg.eigvalsh(A)[0]) if bool(xp.all(xp.isfinite(A))) else math.nan
        raise NotPositiveDefiniteError(
            f"{name} of shape {tuple(A.shape)} is not positive definite: smallest eigenvalue {smallest:.3e}. "
            "Add a diagonal shift (noise) if it should be."
        ) from err
    return L


@CHOLESKY.register(LinearOperator)
def _cholesky_fallback(op: LinearOperator) -> LinearOperator:
    require_square(op, "cholesky")
    return _cholesky_dense(densify(op, "cholesky"))


@CHOLESKY.register(Dense)
def _cholesky_dense(op: Dense) -> LinearOperator:
    require_square(op, "cholesky")
    return Triangular(cholesky_of(op.matrix))


@CHOLESKY.register(Toeplitz)
def _cholesky_toeplitz(op: Toeplitz) -> LinearOperator:
    """The factor is a dense triangle, so forming the matrix costs nothing more."""
    require_square(op, "cholesky")
    return Triangular(cholesky_of(op.to_dense()))


@CHOLESKY.register(Identity)
def _cholesky_identity(op: Identity) -> LinearOperator:
    return op


def _root_of_diagonal(values: Array, operation: str, *, strict: bool) -> Array:
    xp = get_namespace(values)
    bad = values <= 0 if strict else values < 0  # type: ignore[operator]
    if values.shape[0] and bool(xp.any(bad)):
        raise NotPositiveDefiniteError(
            f"The diagonal reaches {as_float(xp.min(values)):.3e}; {operation} needs "
            f"{'positive' if strict else 'non-negative'} entries."
        )
    return xp.sqrt(values)


@CHOLESKY.register(Diagonal)
def _cholesky_diagonal(op: Diagonal) -> LinearOperator:
    return Diagonal(_root_of_diagonal(real_diagonal(op, "cholesky"), "cholesky", strict=True))


def _root_of_number(scalar: object, operation: str) -> object:
    value = scalar.real if isinstance(scalar, complex) else scalar
    if (is_complex(scalar) and complex(scalar).imag != 0) or not value > 0:  # type: ignore[call-overload, operator]
        raise NotPositiveDefiniteError(f"The operator is scaled by {scalar}; {operation} needs a positive number.")
    return value**0.5  # type: ignore[operator]


@CHOLESKY.register(Scaled)
def _cholesky_scaled(op: Scaled) -> LinearOperator:
    return SCALE(CHOLESKY(op.op), _root_of_number(op.scalar, "cholesky"))


@CHOLESKY.register(Kronecker)
def _cholesky_kron(op: Kronecker) -> LinearOperator:
    require_square_factors(op, "cholesky")
    root = _root_of_number(op.scale, "cholesky")
    return Kronecker(*per_factor(CHOLESKY, op), scale=root)  # type: ignore[arg-type]


@CHOLESKY.register(BlockTridiagonal)
def _cholesky_blocks(op: BlockTridiagonal) -> LinearOperator:
    if op._backend != "numpy":
        return _cholesky_fallback(op)
    return BandedBlocks(op, positive=True).lower_factor()


# ---- square roots -----------------------------------------------------------------------------------
@SQRTM.register(LinearOperator)
def _sqrtm_fallback(op: LinearOperator) -> LinearOperator:
    require_square(op, "sqrtm")
    return _sqrtm_dense(densify(op, "sqrtm"))


@SQRTM.register(Dense)
def _sqrtm_dense(op: Dense) -> LinearOperator:
    """Hermitian: by eigenvalues, tiny negative ones (rounding) taken as zero; others by scipy's Schur method."""
    require_square(op, "sqrtm")
    A, xp = op.matrix, get_namespace(op.matrix)
    if hermitian_gap(A) <= hermitian_tolerance(A):
        w, V = xp.linalg.eigh(A)
        floor = -eps_of(A.dtype) * A.shape[0] * (as_float(xp.max(xp.abs(w))) if w.shape[0] else 0.0)
        if w.shape[0] and as_float(w[0]) < floor:  # type: ignore[arg-type]
            raise NotPositiveDefiniteError(
                f"matrix of shape {tuple(A.shape)} has the negative eigenvalue {as_float(w[0]):.3e}; "  # type: ignore[arg-type]
                "sqrtm of a Hermitian matrix needs non-negative ones."
            )
        return Dense((V * xp.sqrt(xp.clip(w, 0, None))) @ xp.conj(V).T)
    if op._backend != "numpy":
        raise NotSymmetricError("sqrtm of torch matrices needs symmetry; convert with .numpy() for the general root.")
    from scipy.linalg import sqrtm

    return Dense(sqrtm(A))


@SQRTM.register(Toeplitz)
def _sqrtm_toeplitz(op: Toeplitz) -> LinearOperator:
    require_square(op, "sqrtm")
    return _sqrtm_dense(Dense(op.to_dense()))


@SQRTM.register(Identity)
def _sqrtm_identity(op: Identity) -> LinearOperator:
    return op


@SQRTM.register(Diagonal)
def _sqrtm_diagonal(op: Diagonal) -> LinearOperator:
    if is_complex(op.values):
        return Diagonal(get_namespace(op.values).sqrt(op.values))
    return Diagonal(_root_of_diagonal(op.values, "sqrtm", strict=False))


@SQRTM.register(Scaled)
def _sqrtm_scaled(op: Scaled) -> LinearOperator:
    return SCALE(SQRTM(op.op), _root_of_number(op.scalar, "sqrtm"))


@SQRTM.register(Kronecker)
def _sqrtm_kron(op: Kronecker) -> LinearOperator:
    """A square root of the product; the principal one where the factors are positive semi-definite."""
    require_square_factors(op, "sqrtm")
    return Kronecker(*per_factor(SQRTM, op), scale=_root_of_number(op.scale, "sqrtm"))  # type: ignore[arg-type]


@SQRTM.register(KroneckerPlusDiagonal)
def _sqrtm_kron_diagonal(op: KroneckerPlusDiagonal) -> LinearOperator:
    if op.shift is None:
        return _sqrtm_fallback(op)
    values, vectors = EIGH(op)
    return Congruence(vectors, _root_of_diagonal(values.diagonal(), "sqrtm", strict=False), unitary=True)


@SQRTM.register(KroneckerSum)
def _sqrtm_kron_sum(op: KroneckerSum) -> LinearOperator:
    values, vectors = EIGH(op)
    return Congruence(vectors, _root_of_diagonal(values.diagonal(), "sqrtm", strict=False), unitary=True)


@SQRTM.register(Congruence)
def _sqrtm_congruence(op: Congruence) -> LinearOperator:
    if not op.unitary:
        return _sqrtm_fallback(op)
    return Congruence(op.basis, _root_of_diagonal(op.values, "sqrtm", strict=False), unitary=True)


@SQRTM.register(Inverse)
def _sqrtm_inverse(op: Inverse) -> LinearOperator:
    return INVERSE(SQRTM(op.op))
