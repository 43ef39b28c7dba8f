"""From gpytorch kernels to structkit kernels with the same covariance function."""

from __future__ import annotations

import math
from typing import Any

from structkit._core.validation import require
from structkit.gp.kernels import (
    Constant,
    Kernel,
    Matern,
    Periodic,
    Product,
    RationalQuadratic,
    SpectralMixture,
    SquaredExponential,
    Sum,
)

__all__ = ["from_gpytorch"]


def from_gpytorch(module: Any) -> Kernel:
    r"""Return the structkit kernel with the covariance function of a gpytorch kernel of one input.

    Parameters
    ----------
    module : gpytorch.kernels.Kernel
        RBF, Matern, RQ, Periodic, SpectralMixture and Constant kernels, scaled, their sums and products.

    Returns
    -------
    kernel : Kernel
        Its hyperparameters are torch scalars on the graph of the module's raw parameters; evaluate it on torch
        coordinates, or take numbers only with ``Kernel.from_dict(kernel.to_dict())``. Priors and
        constraints are left behind.

    Raises
    ------
    TypeError
        If a kernel in the module has no equivalent.

    Notes
    -----
    gpytorch's periodic lengthscale is the square of ours; a mixture scale :math:`s` (cycles per unit) is the
    lengthscale :math:`1 / (2 \pi s)`.

    Examples
    --------
    >>> import gpytorch
    >>> from structkit.gp import Kernel, from_gpytorch
    >>> k = gpytorch.kernels.MaternKernel(nu=2.5).double()
    >>> k.lengthscale = 0.5
    >>> Kernel.from_dict(from_gpytorch(k).to_dict()).max_order
    4.0
    """
    kinds = require("gpytorch").kernels  # type: ignore[attr-defined]
    if module.active_dims is not None or len(module.batch_shape) or (module.ard_num_dims or 1) > 1:
        raise TypeError(
            "Only kernels of one input without batch have an equivalent; got active_dims, batch or several inputs."
        )
    simple = {
        kinds.ScaleKernel: lambda m: from_gpytorch(m.base_kernel)._scaled_by(_scalar(m.outputscale)),
        kinds.AdditiveKernel: lambda m: Sum(*map(from_gpytorch, m.kernels)),
        kinds.ProductKernel: lambda m: Product(*map(from_gpytorch, m.kernels)),
        kinds.RBFKernel: lambda m: SquaredExponential(_scalar(m.lengthscale)),
        kinds.MaternKernel: lambda m: Matern(m.nu, _scalar(m.lengthscale)),
        kinds.RQKernel: lambda m: RationalQuadratic(_scalar(m.lengthscale), _scalar(m.alpha)),
        kinds.PeriodicKernel: lambda m: Periodic(_scalar(m.lengthscale) ** 0.5, _scalar(m.period_length)),
        kinds.ConstantKernel: lambda m: Constant(_scalar(m.constant)),
        kinds.SpectralMixtureKernel: _mixture,
    }
    for kind, convert in simple.items():
        if type(module) is kind:
            return convert(module)
    own = getattr(module, "structkit_kernel", None)
    if own is not None:
        return own()
    raise TypeError(
        f"{type(module).__name__} has no equivalent structkit kernel; "
        f"known are {', '.join(kind.__name__ for kind in simple)}."
    )


def _scalar(value: Any) -> Any:
    """One number on its graph."""
    return value.reshape(())


def _mixture(module: Any) -> Kernel:
    ell = 1.0 / (2 * math.pi * module.mixture_scales.reshape(-1))
    return SpectralMixture(module.mixture_weights.reshape(-1), module.mixture_means.reshape(-1), ell)
