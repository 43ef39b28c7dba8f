"""Numbers that users give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError

__all__ = ["check_inside", "grid_axes", "real_array"]


def real_array(given: object, name: str) -> np.ndarray:
    """Return finite real numbers of any library as a float64 array of numpy.

    Raises
    ------
    TypeError
        If they are no real numbers, or a masked array.
    NotFiniteError
        If one is NaN or infinite.
    """
    array = to_numpy(as_array(given, name))
    if array.dtype.kind == "c":
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers.")
    if not np.isfinite(array).all():
        raise NotFiniteError(f"{name} holds NaN or infinity; expected finite numbers.")
    return array.astype(np.float64)


def check_inside(x: np.ndarray, axis: int, lower: float, upper: float, name: str = "The array of coordinates") -> None:
    """Raise if coordinates of an axis leave the domain."""
    margin = 1e-9 * (upper - lower)
    if x.size and not (x.min() >= lower - margin and x.max() <= upper + margin):
        raise ValueError(f"{name} leaves the domain [{lower:g}, {upper:g}] of axis {axis}.")


def grid_axes(coords: Sequence[object], domain: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """Return checked coordinates of a tensor grid: one float64 array of one dimension per axis, in the domain."""
    axes = [real_array(c, f"coords[{i}]") for i, c in enumerate(coords)]
    if len(axes) != len(domain) or any(c.ndim != 1 for c in axes):
        shapes = ", ".join(str(c.shape) for c in axes)
        raise ShapeError(
            f"coords holds {len(axes)} arrays, of shape {shapes[:80]}; expected {len(domain)} one-dimensional ones: "
            "the coordinates of each axis. Scattered points are for predict_points."
        )
    for axis, (c, (lower, upper)) in enumerate(zip(axes, domain, strict=True)):
        check_inside(c, axis, lower, upper)
    return axes
