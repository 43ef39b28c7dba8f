"""Gaussian evidence in torch: the analytic gradient as an autograd rule; eigenvectors are never differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch.autograd.function import once_differentiable

from structkit._backend.torch_solve import as_scalar

__all__ = ["evidence"]

Tensor: TypeAlias = Any


class _Evidence(torch.autograd.Function):
    """Value with stored gradients."""

    @staticmethod
    def forward(
        ctx: Any, compute: Callable, box: list, grad: bool, y: Tensor, sigma2: Tensor, *factors: Tensor
    ) -> Tensor:  # type: ignore[override]
        wanted = grad or any(ctx.needs_input_grad)
        result = compute(factors, y, float(sigma2), wanted)
        box.append(result)
        if wanted:
            ctx.save_for_backward(result.grad.y, *result.grad.factors)
            ctx.noise_bar = result.grad.noise_var
        return sigma2.new_tensor(result.value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, value_bar: Tensor) -> tuple:  # type: ignore[override]
        y_bar, *factor_bars = ctx.saved_tensors
        return (None, None, None, value_bar * y_bar, value_bar * ctx.noise_bar, *(value_bar * g for g in factor_bars))


def evidence(compute: Callable, factors: Sequence[Tensor], y: Tensor, noise_var: object, grad: bool) -> Any:
    """Run `compute` (factors, y, noise_var, grad) under autograd; return its result with tensors in place of floats."""
    box: list = []
    value = _Evidence.apply(compute, box, grad, y, as_scalar(noise_var, y), *factors)
    (result,) = box
    if not grad:
        return replace(result, value=value, grad=None)
    slope = value.new_tensor(result.grad.noise_var)
    return replace(result, value=value, grad=replace(result.grad, noise_var=slope))
