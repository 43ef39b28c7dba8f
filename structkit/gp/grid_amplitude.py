"""The prior variance that learning starts from: the data's, as far as the user left it open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from structkit.gp.gpytorch_adapter import GPyTorchKernel
from structkit.gp.grid_data import AxisCovariance
from structkit.gp.kernels import Constant, Kernel, Product, Sum

__all__ = ["folded", "prior_level", "with_prior_variance"]


def prior_level(kernels: Sequence[AxisCovariance], coords: Sequence[np.ndarray | None]) -> float:
    """Product of the mean variances of the kernels, free covariances left out."""
    pairs = zip(kernels, coords, strict=True)
    return math.prod(float(np.mean(np.asarray(k.diagonal(x)))) for k, x in pairs if isinstance(k, Kernel))


def with_prior_variance(
    kernels: Sequence[AxisCovariance], coords: Sequence[np.ndarray | None], variance: float
) -> list[AxisCovariance]:
    """Return the kernels with the first open amplitude such that the product has a given variance.

    Amplitudes that the user fixed, bounded or gave a prior stay. Where no kernel has an amplitude at all, as with
    gpytorch kernels without a ``ScaleKernel``, the first is multiplied by a `Constant` to be learned.
    """
    out = list(kernels)
    factor = variance / prior_level(kernels, coords)
    for d, k in enumerate(out):
        if isinstance(k, Kernel) and _is_open(k):
            out[d] = k * factor  # type: ignore[call-overload]
            return out
    if isinstance(out[0], Kernel) and not any(_has_amplitude(k) for k in out):
        out[0] = Constant(factor) * out[0]
    return out


def folded(start: AxisCovariance, learned: AxisCovariance) -> AxisCovariance:
    """Move the constant by which learning scaled a gpytorch kernel into the kernel's own outputscale."""
    if not isinstance(start, GPyTorchKernel) or not isinstance(learned, Product) or not _is_open(start):
        return learned
    constant, kernel = learned.kernels
    module = kernel.module  # type: ignore[attr-defined]
    module.outputscale = module.outputscale.detach() * constant.variance  # type: ignore[attr-defined]
    return kernel._copy(_theta=GPyTorchKernel(module)._theta)


def _is_open(kernel: Kernel) -> bool:
    """Whether multiplying the kernel by a number changes nothing but free, unbounded amplitudes without a prior."""
    if isinstance(kernel, Product):
        return _is_open(kernel.kernels[0])
    if isinstance(kernel, Sum):
        return all(_is_open(k) for k in kernel.kernels)
    if isinstance(kernel, GPyTorchKernel):
        return _is_open_module(kernel)
    touched = kernel._fixed | set(kernel._limits)
    return not any(name.startswith(("variance", "weights")) for name in touched)


def _is_open_module(kernel: GPyTorchKernel) -> bool:
    module: Any = kernel._vector.module
    if "raw_outputscale" not in kernel.parameter_names or "raw_outputscale" in kernel._limits:
        return False
    constraint = module.raw_outputscale_constraint
    whole = float(constraint.lower_bound) == 0.0 and float(constraint.upper_bound) == math.inf and constraint.enforced
    return whole and "outputscale_prior" not in module._priors


def _has_amplitude(kernel: AxisCovariance) -> bool:
    """Whether the kernel has an amplitude of its own, free or not."""
    if isinstance(kernel, (Product, Sum)):
        return any(_has_amplitude(k) for k in kernel.kernels)
    if not isinstance(kernel, GPyTorchKernel):
        return True
    names = [name for name, _ in kernel._vector.module.named_parameters()]
    return any(part in name for name in names for part in ("outputscale", "mixture_weights", "variance", "constant"))
