"""Real samples and generators of data on grids and at real coordinates, to try things out and to test."""

from structkit.datasets.air_quality import MeasuredTensor, beijing_pm25, us_temperature
from structkit.datasets.classics import CLASSIC_PROBLEMS, classic_pde
from structkit.datasets.equations import HIGH_FREQUENCY_PROBLEMS, SolvedPDE, high_frequency_pde
from structkit.datasets.functional import FunctionalTensor, sample_functional_tensor
from structkit.datasets.generators import GridSample, block_mask, random_mask, sample_grid
from structkit.datasets.loaders import HyperspectralImage, indian_pines

__all__ = [
    "CLASSIC_PROBLEMS",
    "HIGH_FREQUENCY_PROBLEMS",
    "FunctionalTensor",
    "GridSample",
    "HyperspectralImage",
    "MeasuredTensor",
    "SolvedPDE",
    "beijing_pm25",
    "block_mask",
    "classic_pde",
    "high_frequency_pde",
    "indian_pines",
    "random_mask",
    "sample_functional_tensor",
    "sample_grid",
    "us_temperature",
]
