"""The polar factor as a torch function whose derivative does not go through singular vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["polar_with_gradient"]


class _Polar(torch.autograd.Function):
    """Polar factor of stacks ``(..., m, n)`` with ``m >= n`` and full rank."""

    @staticmethod
    def forward(ctx: Any, M: torch.Tensor, factor: Callable[[Any], Any]) -> torch.Tensor:
        U = factor(M)
        ctx.save_for_backward(M, U)
        return U

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        # M = U P. A change of M turns U by U X with X skew and P X + X P = U^H dM - dM^H U, and adds the part of
        # dM outside of the range of U, times the inverse of P.
        M, U = ctx.saved_tensors
        (U_bar,) = grads
        P = U.mH @ M
        s, V = torch.linalg.eigh((P + P.mH) / 2)
        inside = V.mH @ (U.mH @ U_bar - U_bar.mH @ U) @ V
        turned = V @ (inside / (s[..., :, None] + s[..., None, :])) @ V.mH
        M_bar = U @ turned
        if M.shape[-2] > M.shape[-1]:
            outside = U_bar - U @ (U.mH @ U_bar)
            M_bar = M_bar + (outside @ V / s[..., None, :]) @ V.mH
        return M_bar, None


def polar_with_gradient(M: torch.Tensor, factor: Callable[[Any], Any]) -> torch.Tensor:
    """Polar factor by `factor`, a function without gradients, and its derivative."""
    if M.shape[-2] < M.shape[-1]:
        return _Polar.apply(M.mH, factor).mH
    return _Polar.apply(M, factor)
