"""Torch side of Kronecker solves: factorisations, and a solve with noise whose gradient avoids eigenvectors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch

__all__ = ["LinearSystem", "as_scalar", "factor_gradients", "factorise", "grad_enabled", "implicit", "solve", "stack"]

Tensor: TypeAlias = Any


def as_scalar(value: object, like: Tensor) -> Tensor:
    """Return a number as a real scalar tensor beside `like`; tensors keep their graph."""
    dtype = like.real.dtype if like.is_complex() else like.dtype
    if isinstance(value, torch.Tensor):
        return value.to(device=like.device, dtype=dtype).reshape(())
    return torch.tensor(float(value), dtype=dtype, device=like.device)  # type: ignore[arg-type]


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Stack along a new first axis."""
    return torch.stack(list(tensors))


def factorise(a: Tensor, assume: str, not_positive: Exception) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return a solver for the rows of a matrix and the reciprocal condition number in the 1-norm."""
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    if assume == "pos":
        c, info = torch.linalg.cholesky_ex(a)
        if int(info) > 0:
            raise not_positive
        columns = lambda y: torch.cholesky_solve(y, c)  # noqa: E731
    elif assume in ("lower", "upper"):
        columns = lambda y: torch.linalg.solve_triangular(a, y, upper=assume == "upper")  # noqa: E731
        if bool((torch.diagonal(a) == 0).any()):
            return columns, 0.0
    else:
        lu, pivots, info = torch.linalg.lu_factor_ex(a)
        if int(info) > 0:
            return (lambda y: y), 0.0
        columns = lambda y: torch.linalg.lu_solve(lu, pivots, y)  # noqa: E731
    with torch.no_grad():
        condition = torch.linalg.matrix_norm(a, 1) * torch.linalg.matrix_norm(columns(eye), 1)
        rcond = 1 / float(condition) if float(condition) > 0 else 0.0
    return (lambda y: columns(y.mT).mT), (math.nan if not bool(torch.isfinite(a).all()) else rcond)


class _ShiftedSolve(torch.autograd.Function):
    """Solve with a symmetric Kronecker product plus noise; derivatives need only further solves."""

    @staticmethod
    def forward(ctx: Any, run: Callable, b: Tensor, sigma2: Tensor, *factors: Tensor) -> Tensor:  # type: ignore[override]
        x = run(factors, b, float(sigma2))
        ctx.run = run
        ctx.save_for_backward(x, sigma2, *factors)
        return x

    @staticmethod
    def backward(ctx: Any, x_bar: Tensor) -> tuple:  # type: ignore[override]
        x, sigma2, *factors = ctx.saved_tensors
        # With C x = b and C Hermitian: b_bar = C^-1 x_bar and C_bar = -b_bar x^H.
        b_bar = _ShiftedSolve.apply(ctx.run, x_bar, sigma2, *factors)
        sigma2_bar = -(b_bar * x.conj()).sum().real if ctx.needs_input_grad[2] else None
        grads: list[Tensor | None] = [None] * len(factors)
        if any(ctx.needs_input_grad[3:]):
            grads = factor_gradients(b_bar, x, factors, ctx.needs_input_grad[3:])
        return None, b_bar, sigma2_bar, *grads


def factor_gradients(
    b_bar: Tensor, x: Tensor, factors: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Return ``-unfold_d(b_bar) unfold_d(x times all other factors)^H`` for every factor, symmetrised."""
    sizes = [len(a) for a in factors]
    columns = (lambda t: t.reshape(1, *sizes)) if x.ndim == 1 else (lambda t: t.mT.reshape(-1, *sizes))
    left, right = columns(b_bar), columns(x)
    grads: list[Tensor | None] = []
    for d, a in enumerate(factors):
        if not wanted[d]:
            grads.append(None)
            continue
        image = right
        for e, other in enumerate(factors):
            if e != d:
                image = torch.tensordot(image, other, dims=([e + 1], [1])).movedim(-1, e + 1)
        rows = left.movedim(d + 1, 0).reshape(len(a), -1)
        grad = -rows @ image.movedim(d + 1, 0).reshape(len(a), -1).mH
        grads.append((grad + grad.mH) / 2)
    return grads


def solve(run: Callable, b: Tensor, sigma2: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Solve ``(kron(factors) + sigma2 I) x = b`` by `run`, which need not be differentiable."""
    return _ShiftedSolve.apply(run, b, sigma2, *factors)


def grad_enabled() -> bool:
    """Whether torch records gradients at the moment."""
    return torch.is_grad_enabled()


class _ImplicitSolve(torch.autograd.Function):
    """Solution, or least-squares solution of least norm, of a linear system; differentiable as often as wanted."""

    @staticmethod
    def forward(ctx: Any, system: LinearSystem, adjoint: bool, b: Tensor, *parameters: Tensor) -> Tensor:  # type: ignore[override]
        x = system.solve[adjoint](b)
        ctx.system, ctx.adjoint = system, adjoint
        ctx.save_for_backward(b, x, *parameters)
        return x

    @staticmethod
    def backward(ctx: Any, x_bar: Tensor) -> tuple:  # type: ignore[override]
        b, x, *parameters = ctx.saved_tensors

        def solve(right: Tensor, adjoint: bool) -> Tensor:
            return _ImplicitSolve.apply(ctx.system, adjoint, right, *parameters)

        b_bar = solve(x_bar, not ctx.adjoint)
        bars: list[Tensor | None] = [None] * len(parameters)
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[3:]) if needed]
        if not wanted:
            return None, None, b_bar, *bars
        # The change of the solution is a sum of inner products <c, dA z>, as pairs (z, c).
        pairs = [(x, -b_bar)]
        if not ctx.system.exact:
            product = functools.partial(ctx.system.product, parameters)
            pairs.append((solve(b_bar, ctx.adjoint), b - product(x, ctx.adjoint)))
            pairs.append((x_bar - solve(product(x_bar, ctx.adjoint), ctx.adjoint), solve(x, not ctx.adjoint)))
        twice = torch.is_grad_enabled()
        with torch.enable_grad():
            # Aliases: of parameters that depend on each other every one gets its own share.
            aliases = [p.view_as(p) if twice else p.detach().requires_grad_(p.requires_grad) for p in parameters]
            images = [ctx.system.product(aliases, z if twice else z.detach(), ctx.adjoint) for z, _ in pairs]
            sources = [aliases[i] for i in wanted]
            found = torch.autograd.grad(images, sources, [c for _, c in pairs], create_graph=twice, allow_unused=True)
        for i, bar in zip(wanted, found, strict=True):
            bars[i] = bar
        return None, None, b_bar, *bars


class LinearSystem(NamedTuple):
    """A linear system for `implicit`; the flag is True for the conjugate transpose.

    Attributes
    ----------
    solve : tuple of callable, length 2
        Solvers without gradients, indexed by the flag.
    product : callable
        ``product(parameters, x, flag)``, the differentiable product of the system's matrix.
    exact : bool
        Whether the solvers invert the matrix; otherwise they apply its pseudo-inverse.
    """

    solve: tuple[Callable, Callable]
    product: Callable
    exact: bool


def implicit(system: LinearSystem, adjoint: bool, b: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Solve a system, with gradients to `b` and to the parameters of its matrix."""
    return _ImplicitSolve.apply(system, adjoint, b, *parameters)
