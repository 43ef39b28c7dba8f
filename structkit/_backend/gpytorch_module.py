"""A gpytorch kernel module that evaluates a kernel object; imported only when gpytorch is asked for."""

from __future__ import annotations

from typing import Any

import gpytorch
import torch

__all__ = ["StructkitKernel"]


class StructkitKernel(gpytorch.kernels.Kernel):
    """gpytorch kernel that evaluates a structkit kernel of one input.

    Parameters
    ----------
    kernel : structkit.gp.Kernel
        Its free hyperparameters become the parameter `theta`.

    Attributes
    ----------
    theta : torch.nn.Parameter, shape ``(p,)``
        Free hyperparameters: logarithms of positive ones, others as they are. Registered priors see these values.
    parameter_names : tuple of str
        One name for each entry of `theta`.
    """

    def __init__(self, kernel: Any) -> None:
        super().__init__()
        self.kernel = kernel
        start = torch.tensor(kernel.theta.tolist(), dtype=torch.get_default_dtype())
        self.register_parameter(name="theta", parameter=torch.nn.Parameter(start))

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the entries of `theta`."""
        return self.kernel.parameter_names

    @property
    def is_stationary(self) -> bool:
        """Whether the covariance depends on differences of inputs only."""
        return self.kernel.is_stationary

    def structkit_kernel(self) -> Any:
        """Return the structkit kernel at `theta`, on its graph."""
        return self.kernel.with_theta(self.theta)

    def forward(self, x1: Any, x2: Any, diag: bool = False, last_dim_is_batch: bool = False, **params: Any) -> Any:
        """Covariance matrix ``(..., n1, n2)``, or its diagonal, between inputs ``(..., n, 1)``."""
        if x1.shape[-1] != 1 or last_dim_is_batch:
            raise ValueError(
                f"This kernel has one input; got {x1.shape[-1]}. Choose one with active_dims, or multiply kernels."
            )
        kernel = self.structkit_kernel()
        batch = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
        a = x1[..., 0].expand(*batch, x1.shape[-2])
        b = x2[..., 0].expand(*batch, x2.shape[-2])
        if diag and torch.equal(a, b):
            return kernel.diagonal(a.reshape(-1)).reshape(a.shape)
        a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        K = [kernel(u, v) for u, v in zip(a, b, strict=True)]
        if diag:
            return torch.stack([k.diagonal() for k in K]).reshape(*batch, -1)
        return torch.stack(K).reshape(*batch, a.shape[-1], b.shape[-1])
