"""Gaussian processes on grids: covariance kernels and the grid regression model."""

from structkit.gp.covariance import FreeCovariance
from structkit.gp.gpytorch_adapter import GPyTorchKernel, as_kernel
from structkit.gp.gpytorch_convert import from_gpytorch
from structkit.gp.gridgp import GridGP
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
    White,
)

__all__ = [
    "Constant",
    "FreeCovariance",
    "GPyTorchKernel",
    "GridGP",
    "Kernel",
    "Matern",
    "Periodic",
    "Product",
    "RationalQuadratic",
    "SpectralMixture",
    "SquaredExponential",
    "Sum",
    "White",
    "as_kernel",
    "from_gpytorch",
]
