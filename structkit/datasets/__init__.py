"""Real samples and generators of data on grids, to try things out and to test."""

from structkit.datasets.generators import GridSample, block_mask, random_mask, sample_grid
from structkit.datasets.loaders import HyperspectralImage, indian_pines

__all__ = ["GridSample", "HyperspectralImage", "block_mask", "indian_pines", "random_mask", "sample_grid"]
