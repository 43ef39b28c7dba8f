"""Rules of log-determinants: sums over factors, never products of eigenvalues."""

from __future__ import annotations

import cmath
import functools
import math
import operator
from collections.abc import Callable, Sequence

from structkit._backend.namespace import is_torch
from structkit._core.errors import NotSymmetricError, SingularFactorError
from structkit._core.types import Array
from structkit.kron._implicit import detached, records_gradient
from structkit.kron.decompositions import kron_slogdet
from structkit.kron.operators.base import Adjoint, Conjugate, LinearOperator
from structkit.kron.operators.block_tridiagonal import BlockTridiagonal
from structkit.kron.operators.common import SCALE, Context, Scalar, as_float, is_complex
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense, Triangular
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.inverses import Inverse
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Product, Scaled
from structkit.kron.operators.low_rank import LowRankPlusDiagonal
from structkit.kron.operators.sparse import Sparse
from structkit.kron.operators.sum_of_kroneckers import SumOfKroneckers
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.rules.factorizations import SparseLU, check_hermitian
from structkit.kron.rules.simultaneous import simultaneous_eigh, whitened
from structkit.kron.rules.spectral import per_factor, real_diagonal
from structkit.kron.rules.structured import BandedBlocks, BlockLU, Woodbury, durbin_logdet
from structkit.kron.rules.tables import (
    EIGH,
    SLOGDET,
    SlogdetResult,
    densify,
    require_square,
    require_square_factors,
)

__all__: list[str] = []


def _power(sign: Array, exponent: int) -> Array:
    """Sign to a possibly huge integer power: parity for real signs, angle modulo a turn for complex ones."""
    value = sign.item() if hasattr(sign, "item") else sign
    if value == 0 or exponent == 0:
        return sign if exponent else sign * 0 + 1  # type: ignore[return-value]
    if not isinstance(value, complex):
        return sign if exponent % 2 else sign * sign
    turns = cmath.phase(value) / (2 * math.pi)
    # exact reduction: the float is a rational number, so the power's angle is known modulo one turn
    numerator, denominator = turns.as_integer_ratio()
    angle = 2 * math.pi * ((numerator * exponent) % denominator) / denominator
    return sign * 0 + cmath.exp(1j * angle)  # type: ignore[return-value]


def _weight(power: int) -> float:
    """Turn an integer of any size into a float, infinity beyond its range."""
    return float(power) if power < 2**1000 else math.inf


def _result(ctx: Context, sign: object, logabs: object) -> SlogdetResult:
    """Scalars in the operator's library."""
    real = ctx.xp.real(ctx.zeros(())) if ctx.xp.isdtype(ctx.dtype, "complex floating") else ctx.zeros(())
    return SlogdetResult(_scalar(ctx.zeros(()) + sign), _scalar(real + logabs))


def _scalar(x: Array) -> Array:
    return x if is_torch(x) else x[()]  # type: ignore[index]


def _scalar_slogdet(ctx: Context, scalar: Scalar, n: int) -> SlogdetResult:
    """Determinant of ``scalar * I`` of size `n`."""
    s = ctx.zeros(()) + scalar  # type: ignore[operator]
    size = ctx.xp.abs(s)
    if as_float(size) == 0:
        return _result(ctx, 0.0 if n else 1.0, -math.inf if n else 0.0)
    return SlogdetResult(_power(s / size, n), _scalar(_weight(n) * ctx.xp.log(size)))


@SLOGDET.register(LinearOperator)
def _fallback(op: LinearOperator) -> SlogdetResult:
    require_square(op, "slogdet")
    return _dense(densify(op, "slogdet"))


@SLOGDET.register(Dense)
def _dense(op: Dense) -> SlogdetResult:
    require_square(op, "slogdet")
    sign, logabs = op._context().xp.linalg.slogdet(op.matrix)
    return SlogdetResult(sign, logabs)


@SLOGDET.register(Toeplitz)
def _toeplitz(op: Toeplitz) -> SlogdetResult:
    """Hermitian positive definite: Durbin's recursion, O(n^2). Others become dense."""
    require_square(op, "slogdet")
    value = durbin_logdet(op.column) if op.is_hermitian and not is_torch(op.column) else None  # type: ignore[arg-type]
    return _fallback(op) if value is None else _result(op._context(), 1.0, value)


@SLOGDET.register(Identity)
def _identity(op: Identity) -> SlogdetResult:
    return _result(op._context(), 1.0, 0.0)


@SLOGDET.register(Triangular)
def _triangular(op: Triangular) -> SlogdetResult:
    return _diagonal(Diagonal(op.diagonal()))


@SLOGDET.register(Diagonal)
def _diagonal(op: Diagonal) -> SlogdetResult:
    ctx = op._context()
    size = ctx.xp.abs(op.values)
    if bool(ctx.xp.any(size == 0)):
        return _result(ctx, 0.0, -math.inf)
    return _result(ctx, ctx.xp.prod(op.values / size), ctx.xp.sum(ctx.xp.log(size)))


@SLOGDET.register(Scaled)
def _scaled(op: Scaled) -> SlogdetResult:
    require_square(op, "slogdet")
    inner = SLOGDET(op.op)
    front = _scalar_slogdet(op._context(), op.scalar, op.shape[0])
    return SlogdetResult(front.sign * inner.sign, front.logabsdet + inner.logabsdet)


@SLOGDET.register(Kronecker)
def _kron(op: Kronecker) -> SlogdetResult:
    """Each factor's determinant enters to the power N / n_i, an exact integer."""
    require_square_factors(op, "slogdet")
    ctx, n = op._context(), op.shape[0]
    if n == 0:
        return _result(ctx, 1.0, 0.0)
    sign, logabs = _scalar_slogdet(ctx, op.scale, n)
    arrays = op.arrays
    if arrays is not None:
        dense = kron_slogdet(arrays)
        return _result(ctx, sign * dense.sign, logabs + dense.logabsdet)
    for part, f in zip(per_factor(SLOGDET, op), op.factors, strict=True):
        if isinstance(f, Identity):
            continue
        power = n // f.shape[0]
        sign = sign * _power(part.sign, power)
        logabs = logabs + _weight(power) * part.logabsdet
    return _result(ctx, sign, logabs)


def _of_eigenvalues(ctx: Context, eigenvalues: Array) -> SlogdetResult:
    return _diagonal(Diagonal(eigenvalues)) if eigenvalues.shape[0] else _result(ctx, 1.0, 0.0)


@SLOGDET.register(KroneckerSum)
def _kron_sum(op: KroneckerSum) -> SlogdetResult:
    try:
        if records_gradient(op):
            return _recorded(op.factors, op._context().zeros(()), is_sum=True)
        return _of_eigenvalues(op._context(), EIGH(op).eigenvalues.diagonal())
    except NotSymmetricError:
        return _of_general_factors(op, operator.add)


@SLOGDET.register(KroneckerPlusDiagonal)
def _kron_diagonal(op: KroneckerPlusDiagonal) -> SlogdetResult:
    if op.kind == "arbitrary":
        return _fallback(op)
    if op.kind == "product":
        return _sum_of_kroneckers(SumOfKroneckers(op.kron, op.diag))  # type: ignore[arg-type]
    if op.shift == 0:
        return _kron(op.kron)
    try:
        if records_gradient(op):
            first, *rest = op.kron.factors
            return _recorded((SCALE(first, op.kron.scale), *rest), op.shift, is_sum=False)  # type: ignore[arg-type]
        return _of_eigenvalues(op._context(), EIGH(op).eigenvalues.diagonal())
    except NotSymmetricError:
        return _of_general_factors(op.kron, operator.mul, op.kron.scale, op.shift)  # type: ignore[arg-type]


def _recorded(factors: Sequence[LinearOperator], shift: Scalar, *, is_sum: bool) -> SlogdetResult:
    """Hermitian factors in torch with gradients: twice differentiable, whatever eigenvalues repeat."""
    from structkit._backend import torch_logdet

    if is_complex(shift):
        raise NotSymmetricError(f"The diagonal shift {shift} is complex.")
    whole = Kronecker(*factors)
    whole._check_memory(whole.shape[0], f"The spectrum of {whole!r}")
    ctx = whole._context()
    parts = []
    for i, f in enumerate(factors):
        if isinstance(f, (Diagonal, Identity)):
            parts.append(real_diagonal(Diagonal(f._diagonal(ctx)), "slogdet"))
        else:
            parts.append(f._dense(ctx))
            check_hermitian(parts[-1], "slogdet", f"factors[{i}]")
    number = ctx.xp.real(ctx.ones(())) * shift  # type: ignore[operator]
    return SlogdetResult(*torch_logdet.logdet(parts, number, is_sum=is_sum))


def _of_general_factors(
    op: Kronecker | KroneckerSum, combine: Callable[[Array, Array], Array], scale: Scalar = 1, shift: Scalar = 0
) -> SlogdetResult:
    """Factors that are not symmetric: eigenvalues of the product or sum, times a number, plus another."""
    ctx = op._context()
    op._check_memory(2 * op.shape[0], f"The spectrum of {op!r}")
    parts = [ctx.xp.linalg.eigvals(f._dense(ctx)) for f in op.factors]
    values = functools.reduce(lambda v, w: combine(v[:, None], w[None, :]).reshape(-1), parts)
    sign, logabs = _of_eigenvalues(ctx, scale * values + shift)  # type: ignore[operator]
    if is_complex(ctx.zeros(())) or is_complex(scale) or is_complex(shift):
        return SlogdetResult(sign, logabs)
    return _result(ctx, round(as_float(ctx.xp.real(sign))), logabs)


@SLOGDET.register(SumOfKroneckers)
def _sum_of_kroneckers(op: SumOfKroneckers) -> SlogdetResult:
    ctx = op._context()
    if not records_gradient(op):
        eig = simultaneous_eigh(op.first, op.second)
        return _result(ctx, 1.0, ctx.xp.sum(ctx.xp.log(eig.values)) + eig.logdet_second)
    simultaneous_eigh(*map(detached, (op.first, op.second)))  # type: ignore[arg-type]  # is it positive definite?
    white = whitened(op.first, op.second)
    first, *rest = white.factors
    factors = [Dense(white.scales[0] / white.scales[1] * first), *map(Dense, rest)]
    sign, logabs = _recorded(factors, 1, is_sum=False)
    return SlogdetResult(sign, logabs + white.logdet_second)


@SLOGDET.register(LowRankPlusDiagonal)
def _low_rank(op: LowRankPlusDiagonal) -> SlogdetResult:
    return _result(op._context(), *Woodbury(op).slogdet())


@SLOGDET.register(BlockTridiagonal)
def _blocks(op: BlockTridiagonal) -> SlogdetResult:
    factored = BlockLU(op) if is_torch(op.diag) else BandedBlocks(op, check=False)
    return _result(op._context(), *factored.slogdet())


@SLOGDET.register(Sparse)
def _sparse(op: Sparse) -> SlogdetResult:
    require_square(op, "slogdet")
    try:
        return _result(op._context(), *SparseLU(op.matrix, check=False).slogdet())
    except SingularFactorError:  # a pivot is zero
        return _result(op._context(), 0.0, -math.inf)


@SLOGDET.register(Congruence)
def _congruence(op: Congruence) -> SlogdetResult:
    values = _of_eigenvalues(op._context(), op.values)
    if op.unitary:
        return values
    return SlogdetResult(values.sign, values.logabsdet + 2 * SLOGDET(op.basis).logabsdet)


@SLOGDET.register(Inverse)
def _inverse(op: Inverse) -> SlogdetResult:
    sign, logabs = SLOGDET(op.op)
    return SlogdetResult(1 / sign, -logabs)  # type: ignore[operator]


@SLOGDET.register(Product)
def _product(op: Product) -> SlogdetResult:
    if not all(t.is_square for t in op.terms):
        return _fallback(op)
    sign, logabs = SLOGDET(op.terms[0])
    for t in op.terms[1:]:
        s, v = SLOGDET(t)
        sign, logabs = sign * s, logabs + v
    return SlogdetResult(sign, logabs)


@SLOGDET.register(Adjoint)
@SLOGDET.register(Conjugate)
def _conjugated(op: Adjoint | Conjugate) -> SlogdetResult:
    sign, logabs = SLOGDET(op.op)
    return SlogdetResult(op._context().xp.conj(sign), logabs)
