"""Simultaneous diagonalisation of two Kronecker products, pair by pair of factors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from structkit._backend.namespace import cast
from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import ADD, as_float, eps_of
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.rules.factorizations import TriangularSolve, check_hermitian
from structkit.kron.rules.roots import cholesky_of
from structkit.kron.rules.spectral import real_scale

__all__ = ["SimultaneousEigh", "check_positive", "simultaneous_eigh"]


@dataclass(frozen=True)
class SimultaneousEigh:
    """``U^H second U = I`` and ``U^H (first + second) U = diag(values)``.

    Attributes
    ----------
    values : array, shape ``(N,)``
        Eigenvalues of the sum relative to the second product.
    basis : LinearOperator
        The matrix U, a Kronecker product.
    logdet_second : float
        Log-determinant of the second product.
    """

    values: Array
    basis: LinearOperator
    logdet_second: Array

    def inverse(self) -> Congruence:
        """Return the inverse of the sum."""
        return Congruence(self.basis, 1 / self.values, unitary=False)  # type: ignore[operator]


def simultaneous_eigh(first: Kronecker, second: Kronecker) -> SimultaneousEigh:
    """Diagonalise ``first`` (Hermitian factors) and ``second`` (positive definite factors) together."""
    scales = real_scale(first, "simultaneous diagonalisation"), real_scale(second, "simultaneous diagonalisation")
    if not scales[1] > 0:
        raise NotPositiveDefiniteError(f"second is scaled by {scales[1]}; it must be positive definite.")
    ctx = ADD(first, second)._context()
    xp, n = ctx.xp, first.shape[0]
    values, bases, logdet = [], [], ctx.zeros(())
    for i, (a, b) in enumerate(zip(first.factors, second.factors, strict=True)):
        A, B = cast(a._dense(ctx), ctx.dtype), cast(b._dense(ctx), ctx.dtype)
        check_hermitian(A, "simultaneous diagonalisation", f"first.factors[{i}]")
        L = cholesky_of(B, f"second.factors[{i}]")
        whiten = TriangularSolve(L, lower=True)
        C = whiten.solve(xp.conj(whiten.solve(A)).T)
        w, Q = xp.linalg.eigh((C + xp.conj(C).T) / 2)
        values.append(w)
        bases.append(Dense(whiten.solve_adjoint(Q)))
        if A.shape[0]:
            logdet = logdet + 2 * (n // A.shape[0]) * xp.sum(xp.log(xp.real(xp.linalg.diagonal(L))))
    relative = functools.reduce(lambda p, w: (p[:, None] * w[None, :]).reshape(-1), values)
    basis = Kronecker(*bases, scale=scales[1] ** -0.5)
    total = scales[0] / scales[1] * relative + 1
    check_positive(xp, total, total, "first + second")
    return SimultaneousEigh(total, basis, xp.real(logdet) + n * xp.log(xp.real(ctx.ones(())) * scales[1]))


def check_positive(xp: object, values: Array, reference: Array, name: str) -> None:
    """Raise unless every eigenvalue is above rounding of the largest."""
    if not values.shape[0]:
        return
    smallest, largest = as_float(xp.min(values)), as_float(xp.max(xp.abs(reference)))  # type: ignore[attr-defined]
    if not smallest > eps_of(values.dtype) * largest:
        raise NotPositiveDefiniteError(
            f"{name} is not positive definite to working precision: eigenvalues from {smallest:.3e} to {largest:.3e}. "
            "Add noise (a larger diagonal)."
        )
