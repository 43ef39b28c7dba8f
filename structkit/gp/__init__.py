"""Gaussian processes on grids: covariance kernels and the grid regression model."""

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
    "Kernel",
    "Matern",
    "Periodic",
    "Product",
    "RationalQuadratic",
    "SpectralMixture",
    "SquaredExponential",
    "Sum",
    "White",
]
