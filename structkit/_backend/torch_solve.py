"""Torch side of Kronecker solves: factorisations, and a solve with noise whose gradient avoids eigenvectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

__all__ = ["as_scalar", "factorise", "solve", "stack"]

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
            grads = _factor_gradients(b_bar, x, factors, ctx.needs_input_grad[3:])
        return None, b_bar, sigma2_bar, *grads


def _factor_gradients(
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
