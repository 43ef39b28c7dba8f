"""Orthogonal matrices: the nearest one to a given matrix."""

from structkit.orthogonal.polar import polar_factor

__all__ = ["polar_factor"]
