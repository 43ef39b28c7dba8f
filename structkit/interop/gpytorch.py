"""structkit kernels inside of gpytorch models."""

from __future__ import annotations

from typing import Any

from structkit._core.validation import require
from structkit.gp import GPyTorchKernel, Kernel

__all__ = ["to_gpytorch"]


def to_gpytorch(kernel: Kernel, *, active_dims: tuple[int, ...] | None = None) -> Any:
    r"""Return a gpytorch kernel that evaluates a structkit kernel and trains its free hyperparameters.

    Parameters
    ----------
    kernel : Kernel
        Any kernel of `structkit.gp`; fixed hyperparameters stay constant.
    active_dims : tuple of one int, optional
        Column of a several-dimensional input that the kernel sees. Default: the input has one column.

    Returns
    -------
    module : gpytorch.kernels.Kernel
        Its parameter ``theta``, shape ``(p,)``, holds the free hyperparameters (logarithms of positive ones) in
        the default dtype of torch; ``module.structkit_kernel()`` returns the trained structkit kernel. For a wrapped
        `GPyTorchKernel` the result is its own module, a copy.

    Raises
    ------
    TypeError
        If `kernel` is not a structkit kernel.

    See Also
    --------
    structkit.gp.as_kernel : the way back.

    Examples
    --------
    >>> import gpytorch, torch
    >>> from structkit.gp import SpectralMixture
    >>> from structkit.interop import to_gpytorch
    >>> module = to_gpytorch(SpectralMixture([1.0], [2.0], [0.5]))
    >>> module(torch.zeros(1, 1), torch.tensor([[0.0], [0.25]])).to_dense().detach().round(decimals=3)
    tensor([[ 1.0000, -0.8820]])
    >>> model = gpytorch.kernels.ScaleKernel(module)              # trainable like any other
    """
    if not isinstance(kernel, Kernel):
        raise TypeError(f"to_gpytorch converts structkit kernels; got {type(kernel).__name__}.")
    require("gpytorch")
    if isinstance(kernel, GPyTorchKernel):
        module = kernel.module
    else:
        from structkit._backend.gpytorch_module import StructkitKernel

        module = StructkitKernel(kernel)
    if active_dims is not None:
        if len(active_dims) != 1:
            raise ValueError(f"active_dims must name one column; got {active_dims!r}.")
        from structkit._backend.torch_gpytorch import column_index

        module.active_dims = column_index(active_dims[0])
    return module
