"""Simultaneous diagonalisation of two Kronecker products, pair by pair of factors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from structkit._backend.namespace import cast, get_namespace
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

__all__ = ["SimultaneousEigh", "check_positive", "simultaneous_eigh", "whitened"]


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


@dataclass(frozen=True)
class Whitened:
    """``L_d^-1 A_d L_d^-H`` for every pair of factors, with the Cholesky factors ``L_d`` of the second product.

    Attributes
    ----------
    factors : list of array, shapes ``(n_d, n_d)``
    roots : list of TriangularSolve
    scales : tuple of float
        Numbers in front of the two products.
    logdet_second : float
        Log-determinant of the second product.
    """

    factors: list[Array]
    roots: list[TriangularSolve]
    scales: tuple[float, float]
    logdet_second: Array


def whitened(first: Kronecker, second: Kronecker) -> Whitened:
    """Whiten ``first`` (Hermitian factors) by ``second`` (positive definite factors)."""
    scales = real_scale(first, "simultaneous diagonalisation"), real_scale(second, "simultaneous diagonalisation")
    if not scales[1] > 0:
        raise NotPositiveDefiniteError(f"second is scaled by {scales[1]}; it must be positive definite.")
    ctx = ADD(first, second)._context()
    first._check_memory(first.shape[0], f"The spectrum of {first!r}")
    xp, n = ctx.xp, first.shape[0]
    factors, roots = [], []
    logdet = n * xp.log(xp.real(ctx.ones(())) * scales[1])
    for i, (a, b) in enumerate(zip(first.factors, second.factors, strict=True)):
        A, B = cast(a._dense(ctx), ctx.dtype), cast(b._dense(ctx), ctx.dtype)
        check_hermitian(A, "simultaneous diagonalisation", f"first.factors[{i}]")
        L = cholesky_of(B, f"second.factors[{i}]")
        whiten = TriangularSolve(L, lower=True)
        C = whiten.solve(xp.conj(whiten.solve(A)).T)
        factors.append((C + xp.conj(C).T) / 2)
        roots.append(whiten)
        if A.shape[0]:
            logdet = logdet + 2 * (n // A.shape[0]) * xp.sum(xp.log(xp.real(xp.linalg.diagonal(L))))
    return Whitened(factors, roots, scales, logdet)


def simultaneous_eigh(first: Kronecker, second: Kronecker) -> SimultaneousEigh:
    """Diagonalise ``first`` (Hermitian factors) and ``second`` (positive definite factors) together."""
    white = whitened(first, second)
    pairs = [get_namespace(C).linalg.eigh(C) for C in white.factors]
    bases = [Dense(root.solve_adjoint(Q)) for root, (_, Q) in zip(white.roots, pairs, strict=True)]
    relative = functools.reduce(lambda p, w: (p[:, None] * w[None, :]).reshape(-1), (w for w, _ in pairs))
    total = white.scales[0] / white.scales[1] * relative + 1
    check_positive(get_namespace(total), total, total, "first + second")
    return SimultaneousEigh(total, Kronecker(*bases, scale=white.scales[1] ** -0.5), white.logdet_second)


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
