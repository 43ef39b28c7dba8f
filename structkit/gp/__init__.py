"""Gaussian processes on grids: covariance kernels and the grid regression model."""

__all__: list[str] = []
