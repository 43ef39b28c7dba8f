"""Rules of inverses: each returns an operator that holds what repeated solves need."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from structkit._backend.namespace import is_torch
from structkit._core.errors import (
    BackendMismatchError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    SingularFactorError,
)
from structkit._core.types import Array
from structkit.kron._implicit import implicit_inverse, solution
from structkit.kron.iterative import solve_cg, warn_unconverged
from structkit.kron.operators.base import Adjoint, Conjugate, LinearOperator
from structkit.kron.operators.block_tridiagonal import BlockTridiagonal
from structkit.kron.operators.common import MATMUL, SCALE, as_float, eps_of
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense, Triangular
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.inverses import Inverse
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Product, Scaled
from structkit.kron.operators.low_rank import LowRankPlusDiagonal
from structkit.kron.operators.masked import Masked
from structkit.kron.operators.sparse import Sparse
from structkit.kron.operators.sum_of_kroneckers import SumOfKroneckers
from structkit.kron.operators.toeplitz import Toeplitz
from structkit.kron.rules.factorizations import LU, SparseLU, TriangularSolve, check_finite
from structkit.kron.rules.preconditioners import closest_product, full_grid_inverse
from structkit.kron.rules.simultaneous import check_positive, simultaneous_eigh
from structkit.kron.rules.spectral import per_factor, real_diagonal
from structkit.kron.rules.structured import BandedBlocks, BlockLU, Levinson, SchurSum, Woodbury
from structkit.kron.rules.tables import CHOLESKY, EIGH, INVERSE, densify, require_square, require_square_factors
from structkit.kron.solvers import schur_solve

__all__ = ["ConjugateGradients", "cholesky_inverse"]


class ConjugateGradients:
    """Solves by preconditioned conjugate gradients; the preconditioner is what is prepared.

    Parameters
    ----------
    op : LinearOperator
        Hermitian positive definite.
    preconditioner : LinearOperator or None
        Approximate inverse.
    tol : float
        Relative residual. Default 1e-10.
    max_iter : int, optional
        As in `cg`.
    """

    def __init__(
        self,
        op: LinearOperator,
        preconditioner: LinearOperator | None,
        tol: float = 1e-10,
        max_iter: int | None = None,
    ) -> None:
        self.op, self.preconditioner, self.tol, self.max_iter = op, preconditioner, tol, max_iter

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``; warns if the tolerance is not reached."""
        return solution(self.op, B, self._iterate)

    def _iterate(self, B: Array) -> Array:
        result = solve_cg(self.op, B, preconditioner=self.preconditioner, tol=self.tol, max_iter=self.max_iter)
        if result.status == "breakdown":
            raise NotPositiveDefiniteError(f"{self.op!r} is not positive definite: {result.message}")
        warn_unconverged(result, self.tol, stacklevel=8)
        return result.value

    solve_adjoint = solve  # the operator is Hermitian


class ShiftedKronecker:
    """Kronecker product of unsymmetric factors plus a multiple of the identity, solved by Schur forms.

    Parameters
    ----------
    factors : list of array, shapes ``(n_d, n_d)``
    shift : float or complex
    """

    def __init__(self, factors: list[Array], shift: complex) -> None:
        self.factors, self.shift = factors, shift

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        return schur_solve(self.factors, B, self.shift)

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        adjoints = [a.conj().T for a in self.factors]  # type: ignore[attr-defined]
        return schur_solve(adjoints, B, self.shift.conjugate())


def implicitly_differentiated(rule: Callable[..., LinearOperator]) -> Callable[..., LinearOperator]:
    """Give a rule that diagonalises or iterates implicit gradients, where torch records any."""

    @functools.wraps(rule)
    def wrapped(op: LinearOperator, **options: object) -> LinearOperator:
        return implicit_inverse(op, lambda fixed: rule(fixed, **options))

    return wrapped


def cholesky_inverse(op: LinearOperator) -> LinearOperator:
    """Inverse of a positive definite operator by its Cholesky factor."""
    root = INVERSE(CHOLESKY(op))
    return MATMUL(root.H, root)


@INVERSE.register(LinearOperator)
def _fallback(op: LinearOperator, **options: object) -> LinearOperator:
    require_square(op, "inverse")
    return _dense(densify(op, "inverse"))


@INVERSE.register(Dense)
def _dense(op: Dense, **options: object) -> LinearOperator:
    require_square(op, "inverse")
    return Inverse(op, LU(op.matrix))


@INVERSE.register(Triangular)
def _triangular(op: Triangular, **options: object) -> LinearOperator:
    return Inverse(op, TriangularSolve(op.matrix, op.lower))


@INVERSE.register(Identity)
def _identity(op: Identity, **options: object) -> LinearOperator:
    return op


@INVERSE.register(Diagonal)
def _diagonal(op: Diagonal, **options: object) -> LinearOperator:
    xp = op._context().xp
    size = xp.abs(op.values)
    smallest = as_float(xp.min(size)) if op.shape[0] else 1.0
    largest = as_float(xp.max(size)) if op.shape[0] else 1.0
    # Each entry is its own system, so spread does no harm; only zeros and what is not finite do.
    if not (smallest > 0 and math.isfinite(largest)):
        check_finite(op.values, "diagonal")
        raise SingularFactorError(
            f"Diagonal of size {op.shape[0]} is singular: reciprocal condition 0, entries from {smallest:.3e} to "
            f'{largest:.3e} in modulus. Ask for the minimum-norm solution with method="pinv".'
        )
    return Diagonal(1 / op.values)  # type: ignore[operator]


@INVERSE.register(Sparse)
def _sparse(op: Sparse, **options: object) -> LinearOperator:
    require_square(op, "inverse")
    return Inverse(op, SparseLU(op.matrix))


@INVERSE.register(Toeplitz)
def _toeplitz(op: Toeplitz, **options: object) -> LinearOperator:
    require_square(op, "inverse")
    return _fallback(op) if is_torch(op.column) else Inverse(op, Levinson(op))


@INVERSE.register(BlockTridiagonal)
def _blocks(op: BlockTridiagonal, **options: object) -> LinearOperator:
    return Inverse(op, BlockLU(op) if is_torch(op.diag) else BandedBlocks(op))


@INVERSE.register(LowRankPlusDiagonal)
def _low_rank(op: LowRankPlusDiagonal, **options: object) -> LinearOperator:
    return Inverse(op, Woodbury(op))


@INVERSE.register(Kronecker)
def _kron(op: Kronecker, **options: object) -> LinearOperator:
    """Inverse of the product is the product of the inverses, if every factor is square."""
    require_square_factors(op, "inverse")
    if op.scale == 0:
        raise SingularFactorError(f"{op!r} is scaled by 0: reciprocal condition 0.")
    return Kronecker(*per_factor(INVERSE, op), scale=1 / op.scale)  # type: ignore[operator]


@INVERSE.register(KroneckerSum)
@implicitly_differentiated
def _kron_sum(op: KroneckerSum, **options: object) -> LinearOperator:
    try:
        values, vectors = EIGH(op)
    except NotSymmetricError:
        return Inverse(op, SchurSum(op))
    sums = values.diagonal()
    xp = op._context().xp
    size = xp.abs(sums)
    if op.shape[0] and not as_float(xp.min(size)) > eps_of(op.dtype) * as_float(xp.max(size)):
        raise SingularFactorError(
            f"{op!r} is singular to working precision: sums of the eigenvalues from {as_float(xp.min(size)):.3e} "
            f'to {as_float(xp.max(size)):.3e} in modulus. Shift it (op + c * Identity(n)), or use method="pinv".'
        )
    return Congruence(vectors, 1 / sums, unitary=True)  # type: ignore[operator]


@INVERSE.register(KroneckerPlusDiagonal)
@implicitly_differentiated
def _kron_diagonal(
    op: KroneckerPlusDiagonal, *, tol: float = 1e-10, max_iter: int | None = None, **options: object
) -> LinearOperator:
    """Scalar: eigenvectors of the factors. Product: after whitening. Arbitrary: conjugate gradients."""
    if op.kind == "scalar":
        if op.shift == 0:
            return INVERSE(op.kron)
        try:
            values, vectors = EIGH(op)
        except NotSymmetricError:
            return _general_shift(op)
        spectrum = values.diagonal()
        check_positive(op._context().xp, spectrum, spectrum, repr(op))
        return Congruence(vectors, 1 / spectrum, unitary=True)  # type: ignore[operator]
    if op.kind == "product":
        return simultaneous_eigh(op.kron, op.diag).inverse()  # type: ignore[arg-type]
    real_diagonal(op.diag, "conjugate gradients")  # type: ignore[arg-type]
    return Inverse(op, ConjugateGradients(op, INVERSE(closest_product(op)), tol, max_iter))


def _general_shift(op: KroneckerPlusDiagonal) -> LinearOperator:
    """Unsymmetric factors: Schur forms of the factors."""
    if op._backend == "torch":
        raise BackendMismatchError(
            f"{op!r} has factors that are not symmetric; solving needs their Schur forms, which exist for numpy arrays "
            "only. Convert the factors with .numpy()."
        )
    ctx = op._context()
    first, *rest = (f._dense(ctx) for f in op.kron.factors)
    return Inverse(op, ShiftedKronecker([op.kron.scale * first, *rest], op.shift))  # type: ignore[operator, arg-type]


@INVERSE.register(SumOfKroneckers)
@implicitly_differentiated
def _sum_of_kroneckers(op: SumOfKroneckers, **options: object) -> LinearOperator:
    return simultaneous_eigh(op.first, op.second).inverse()


@INVERSE.register(Masked)
@implicitly_differentiated
def _masked(op: Masked, *, tol: float = 1e-10, max_iter: int | None = None, **options: object) -> LinearOperator:
    """Conjugate gradients with the inverse on the full grid, restricted, as preconditioner."""
    require_square(op, "inverse")
    return Inverse(op, ConjugateGradients(op, full_grid_inverse(op), tol, max_iter))


@INVERSE.register(Congruence)
def _congruence(op: Congruence, **options: object) -> LinearOperator:
    reciprocal = _diagonal(op.diagonal_part).diagonal()
    basis = op.basis if op.unitary else INVERSE(op.basis).H
    return Congruence(basis, reciprocal, unitary=op.unitary)


@INVERSE.register(Inverse)
def _inverse(op: Inverse, **options: object) -> LinearOperator:
    return op.op


@INVERSE.register(Scaled)
def _scaled(op: Scaled, **options: object) -> LinearOperator:
    if op.scalar == 0:
        raise SingularFactorError(f"{op!r} is scaled by 0: reciprocal condition 0.")
    return SCALE(INVERSE(op.op, **options), 1 / op.scalar)  # type: ignore[operator]


@INVERSE.register(Product)
def _product(op: Product, **options: object) -> LinearOperator:
    if not all(t.is_square for t in op.terms):
        return _fallback(op)
    return Product(*(INVERSE(t, **options) for t in reversed(op.terms)))


@INVERSE.register(Adjoint)
def _adjoint(op: Adjoint, **options: object) -> LinearOperator:
    return INVERSE(op.op, **options).H


@INVERSE.register(Conjugate)
def _conjugate(op: Conjugate, **options: object) -> LinearOperator:
    return INVERSE(op.op, **options).conj()
