"""Functions with a kink, differentiated by closed forms: automatic derivatives of ``abs`` are wrong at zero."""

from __future__ import annotations

from typing import Any

import torch

from structkit._core.types import Array

__all__ = ["matern"]

REACH = 800.0


class _Matern(torch.autograd.Function):
    """``P(|u|) exp(-|u|)``, times ``sign(u)`` if `odd`; the derivative has the same form with another polynomial."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: torch.Tensor, coefficients: tuple[float, ...], odd: int) -> torch.Tensor:
        r = u.abs().clamp(max=REACH)
        value = torch.full_like(r, coefficients[-1])
        for c in coefficients[-2::-1]:
            value = value * r + c
        value = value * torch.exp(-r)
        return value * torch.sign(u) if odd else value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        u, ctx.coefficients, ctx.odd = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def slope(ctx: Any) -> torch.Tensor:
        """Derivative in u, itself differentiable."""
        (u,) = ctx.saved_tensors
        p = ctx.coefficients
        slope = tuple((k + 1) * p[k + 1] - p[k] if k + 1 < len(p) else -p[k] for k in range(len(p)))
        return _Matern.apply(u, slope, 1 - ctx.odd)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return grad * _Matern.slope(ctx), None, None

    @staticmethod
    def jvp(ctx: Any, du: torch.Tensor, *_: object) -> torch.Tensor:
        return du * _Matern.slope(ctx)


def matern(u: Array, coefficients: tuple[float, ...], odd: int) -> Array:
    """Derivative of the unit Matern function at scaled differences, given its polynomial and parity."""
    return _Matern.apply(u, coefficients, odd)
