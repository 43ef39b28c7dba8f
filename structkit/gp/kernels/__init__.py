"""Covariance kernels of one real input, with closed-form derivative blocks and hyperparameter gradients."""

from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.combine import Product, Sum
from structkit.gp.kernels.matern import Matern
from structkit.gp.kernels.periodic import Constant, Periodic, White
from structkit.gp.kernels.smooth import RationalQuadratic, SquaredExponential
from structkit.gp.kernels.spectral import SpectralMixture

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
