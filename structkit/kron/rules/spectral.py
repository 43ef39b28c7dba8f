"""Rules of eigendecompositions, singular values, Cholesky factors and square roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from structkit._backend.namespace import get_namespace
from structkit._core.errors import NotSymmetricError, StructKitError
from structkit._core.types import Array
from structkit.kron.decompositions import eigh
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import ADD, SCALE, is_complex
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.inverses import Inverse
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Scaled
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.rules.factorizations import check_finite, check_hermitian
from structkit.kron.rules.tables import (
    EIGH,
    INVERSE,
    SVD,
    EighResult,
    SVDResult,
    densify,
    require_square,
    require_square_factors,
)

__all__ = ["per_factor", "real_diagonal", "real_scale"]

T = TypeVar("T")


def per_factor(rule: Callable[[LinearOperator], T], op: Kronecker | KroneckerSum) -> list[T]:
    """Apply a rule to every factor; an error names the factor it comes from."""
    out = []
    for i, f in enumerate(op.factors):
        try:
            out.append(rule(f))
        except StructKitError as err:
            raise type(err)(f"factors[{i}]: {err}") from err
    return out


def real_scale(op: Kronecker, operation: str) -> float:
    """Return the number in front of a Kronecker product, which a Hermitian one needs real."""
    if is_complex(op.scale) and complex(op.scale).imag != 0:  # type: ignore[arg-type]
        raise NotSymmetricError(f"{op!r} has the complex scale {op.scale}; {operation} needs a Hermitian operator.")
    return op.scale.real if is_complex(op.scale) else op.scale  # type: ignore[return-value, union-attr]


def real_diagonal(op: Diagonal, operation: str) -> Array:
    """Return the values of a diagonal operator that has to be Hermitian, as a real array."""
    xp = get_namespace(op.values)
    if is_complex(op.values):
        if bool(xp.any(xp.imag(op.values) != 0)):
            raise NotSymmetricError(f"The diagonal has complex entries; {operation} needs a Hermitian operator.")
        return xp.real(op.values)
    return op.values


# ---- eigendecomposition -----------------------------------------------------------------------------
@EIGH.register(LinearOperator)
def _eigh_fallback(op: LinearOperator) -> EighResult:
    require_square(op, "eigh")
    return _eigh_dense(densify(op, "eigh"))


@EIGH.register(Dense)
def _eigh_dense(op: Dense) -> EighResult:
    require_square(op, "eigh")
    check_hermitian(op.matrix, "eigh")
    w, V = eigh(op.matrix)
    return EighResult(Diagonal(w), Dense(V))


@EIGH.register(Toeplitz)
def _eigh_toeplitz(op: Toeplitz) -> EighResult:
    """Eigenvectors of a Toeplitz matrix are dense, so forming it costs nothing more."""
    require_square(op, "eigh")
    return _eigh_dense(Dense(op.to_dense()))


@EIGH.register(Identity)
def _eigh_identity(op: Identity) -> EighResult:
    return EighResult(op, op)


@EIGH.register(Diagonal)
def _eigh_diagonal(op: Diagonal) -> EighResult:
    return EighResult(Diagonal(real_diagonal(op, "eigh")), Identity(op.shape[0]))


@EIGH.register(Scaled)
def _eigh_scaled(op: Scaled) -> EighResult:
    if is_complex(op.scalar) and complex(op.scalar).imag != 0:  # type: ignore[arg-type]
        raise NotSymmetricError(f"The operator has the complex scale {op.scalar}; eigh needs a Hermitian operator.")
    scalar = op.scalar.real if is_complex(op.scalar) else op.scalar  # type: ignore[union-attr]
    values, vectors = EIGH(op.op)
    return EighResult(SCALE(values, scalar), vectors)


@EIGH.register(Kronecker)
def _eigh_kron(op: Kronecker) -> EighResult:
    require_square_factors(op, "eigh")
    scale = real_scale(op, "eigh")
    parts = per_factor(EIGH, op)
    return EighResult(
        Kronecker(*(p.eigenvalues for p in parts), scale=scale), Kronecker(*(p.eigenvectors for p in parts))
    )


@EIGH.register(KroneckerSum)
def _eigh_kron_sum(op: KroneckerSum) -> EighResult:
    parts = per_factor(EIGH, op)
    return EighResult(KroneckerSum(*(p.eigenvalues for p in parts)), Kronecker(*(p.eigenvectors for p in parts)))


@EIGH.register(KroneckerPlusDiagonal)
def _eigh_kron_diagonal(op: KroneckerPlusDiagonal) -> EighResult:
    if op.shift is None:
        return _eigh_fallback(op)
    if is_complex(op.shift) and complex(op.shift).imag != 0:  # type: ignore[arg-type]
        raise NotSymmetricError(f"The diagonal shift {op.shift} is complex; eigh needs a Hermitian operator.")
    values, vectors = EIGH(op.kron)
    return EighResult(ADD(values, op.diag), vectors)


@EIGH.register(Congruence)
def _eigh_congruence(op: Congruence) -> EighResult:
    return EighResult(op.diagonal_part, op.basis) if op.unitary else _eigh_fallback(op)


@EIGH.register(Inverse)
def _eigh_inverse(op: Inverse) -> EighResult:
    values, vectors = EIGH(op.op)
    return EighResult(INVERSE(values), vectors)


# ---- singular values --------------------------------------------------------------------------------
@SVD.register(LinearOperator)
def _svd_fallback(op: LinearOperator) -> SVDResult:
    return _svd_dense(densify(op, "svd"))


@SVD.register(Dense)
def _svd_dense(op: Dense) -> SVDResult:
    check_finite(op.matrix)
    U, s, Vh = get_namespace(op.matrix).linalg.svd(op.matrix, full_matrices=False)
    return SVDResult(Dense(U), Diagonal(s), Dense(Vh))


@SVD.register(Toeplitz)
def _svd_toeplitz(op: Toeplitz) -> SVDResult:
    """Singular vectors of a Toeplitz matrix are dense, so forming it costs nothing more."""
    return _svd_dense(Dense(op.to_dense()))


@SVD.register(Identity)
def _svd_identity(op: Identity) -> SVDResult:
    return SVDResult(op, op, op)


@SVD.register(Diagonal)
def _svd_diagonal(op: Diagonal) -> SVDResult:
    xp = get_namespace(op.values)
    size = xp.abs(op.values)
    phase = xp.where(size > 0, op.values / xp.where(size > 0, size, xp.ones_like(size)), xp.ones_like(op.values))
    return SVDResult(Diagonal(phase), Diagonal(size), Identity(op.shape[0]))


@SVD.register(Scaled)
def _svd_scaled(op: Scaled) -> SVDResult:
    U, S, Vh = SVD(op.op)
    size = abs(op.scalar)  # type: ignore[arg-type]
    return SVDResult(SCALE(U, op.scalar / size if size else 1), SCALE(S, size), Vh)  # type: ignore[operator]


@SVD.register(Kronecker)
def _svd_kron(op: Kronecker) -> SVDResult:
    """Rectangular factors are fine: the economy sizes multiply, which drops only zeros."""
    parts = per_factor(SVD, op)
    size = abs(op.scale)  # type: ignore[arg-type]
    phase = op.scale / size if size else 1  # type: ignore[operator]
    return SVDResult(
        Kronecker(*(p.U for p in parts), scale=phase if phase != 1 else 1),
        Kronecker(*(p.S for p in parts), scale=size),
        Kronecker(*(p.Vh for p in parts)),
    )
