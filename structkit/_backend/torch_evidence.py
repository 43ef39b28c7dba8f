"""Gaussian evidence in torch: the analytic gradient as an autograd rule; eigenvectors are never differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch

from structkit._backend.torch_logdet import slopes
from structkit._backend.torch_solve import as_scalar, factor_gradients, solve

__all__ = ["evidence"]

Tensor: TypeAlias = Any


class _Evidence(torch.autograd.Function):
    """Value with stored gradients; second derivatives by differentiating what the gradients are made of."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, compute: Callable, run: Callable, box: list, grad: bool, y: Tensor, sigma2: Tensor, *factors: Tensor
    ) -> Tensor:
        wanted = grad or any(ctx.needs_input_grad)
        result = compute(factors, y, float(sigma2), wanted)
        box.append(result)
        ctx.run, ctx.count = run, len(factors)
        if wanted:
            ctx.noise_bar = result.grad.noise_var
            ctx.save_for_backward(y, sigma2, *factors, result.grad.y, *result.grad.factors)
        return sigma2.new_tensor(result.value)

    @staticmethod
    def backward(ctx: Any, value_bar: Tensor) -> tuple:  # type: ignore[override]
        y, sigma2, *rest = ctx.saved_tensors
        factors, (y_bar, *factor_bars) = rest[: ctx.count], rest[ctx.count :]
        noise_bar = ctx.noise_bar
        if torch.is_grad_enabled():  # a second derivative is wanted
            y_bar, noise_bar, factor_bars = _gradient(ctx.run, y, sigma2, factors)
        bars = (value_bar * y_bar, value_bar * noise_bar, *(value_bar * g for g in factor_bars))
        return None, None, None, None, *bars


def _gradient(
    run: Callable, y: Tensor, sigma2: Tensor, factors: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradient of the evidence in y, the noise variance and the factors, in differentiable operations."""
    half = 1.0 if y.is_complex() else 0.5
    x = solve(run, y.reshape(-1), sigma2, factors)
    slope, *traces = slopes(factors, sigma2)
    fits = factor_gradients(x, x, factors, [True] * len(factors))
    noise_bar = -half * (slope - (x * x.conj()).real.sum())
    return -2 * half * x.reshape(y.shape), noise_bar, [-half * (t + f) for t, f in zip(traces, fits, strict=True)]


def evidence(
    compute: Callable, run: Callable, factors: Sequence[Tensor], y: Tensor, noise_var: object, grad: bool
) -> Any:
    """Run `compute` (factors, y, noise_var, grad) under autograd; return its result with tensors in place of floats.

    ``run(factors, y, noise_var)`` solves with the covariance; second derivatives need it.
    """
    box: list = []
    value = _Evidence.apply(compute, run, box, grad, y, as_scalar(noise_var, y), *factors)
    (result,) = box
    if not grad:
        return replace(result, value=value, grad=None)
    slope = value.new_tensor(result.grad.noise_var)
    return replace(result, value=value, grad=replace(result.grad, noise_var=slope))
