"""Conditions on curves in the plane, the borders of domains that are no boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array
from structkit.pde.arrays import real_array
from structkit.pde.conditions import Condition, Value, check_mixture

__all__ = ["OnCurve", "inside_curves"]

# Parameters at which a curve is sampled to measure its length, and corners of the polygon that stands for it.
_SAMPLES = 4096
_POLYGON = 1024
# Central difference of order eight: weights of the steps 1 to 4, and the step.
_DIFFERENCE = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
_STEP = 2.0**-9


@dataclass(frozen=True, eq=False)
class OnCurve(Condition):
    r"""A mixture :math:`a u + b \, \partial u / \partial n` with the outward normal, along a curve in the plane.

    The defaults prescribe the value of the solution. ``a=0, b=1`` prescribes its normal derivative.

    Parameters
    ----------
    curve : callable or array, shape ``(n, 2)``
        A callable takes an array of parameters in [0, 1] and returns the two coordinates of the points; it should be
        smooth, and may end elsewhere than it begins. An array holds the corners of a closed polygon.
    value : float or callable, default 0
        What is prescribed. A callable takes both coordinates, as ``f(x, y)``.
    a, b : float, default 1 and 0
        Weights of the value and of the outward normal derivative.

    Raises
    ------
    TypeError, ShapeError, NotFiniteError, ValueError
        If the curve is no curve in the plane, or a weight or the value is not finite.

    See Also
    --------
    PDE : its `mask` says which side is inside.

    Examples
    --------
    >>> import numpy as np
    >>> circle = lambda t: (np.cos(2 * np.pi * t), np.sin(2 * np.pi * t))
    >>> OnCurve(circle).points(4).round(3) + 0.0
    array([[ 0.707,  0.707],
           [-0.707,  0.707],
           [-0.707, -0.707],
           [ 0.707, -0.707]])
    >>> round(OnCurve([[0, 0], [1, 0], [1, 1]], a=0, b=1).length, 3)
    3.414
    """

    curve: Callable[[np.ndarray], Sequence[Any]] | Array
    value: Value = 0.0
    a: float = 1.0
    b: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mixture(self.a, self.b)
        if not callable(self.curve):
            corners = real_array(self.curve, "curve")
            if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
                raise ShapeError(f"curve has shape {corners.shape}; expected (n, 2) with three corners or more.")
            object.__setattr__(self, "curve", np.concatenate([corners, corners[:1]]))
        self._at(np.linspace(0, 1, 33))

    def _faces(self, n_axes: int) -> list[tuple[int, str]]:
        return []

    @property
    def length(self) -> float:
        """Length of the curve."""
        return float(self._arc()[1][-1])

    @property
    def is_closed(self) -> bool:
        """Whether it ends where it begins."""
        ends = self._at(np.array([0.0, 1.0]))
        return bool(np.abs(ends[1] - ends[0]).max() < 1e-9 * max(self.length, 1e-300))

    @property
    def outline(self) -> np.ndarray:
        """Corners of a polygon that stands for the curve, shape ``(n, 2)``."""
        return self._at(np.linspace(0, 1, _POLYGON, endpoint=False)) if callable(self.curve) else np.asarray(self.curve)

    def points(self, n: int) -> np.ndarray:
        """Evenly spaced points, shape ``(n, 2)``.

        Parameters
        ----------
        n : int
            Number of points.

        Returns
        -------
        numpy.ndarray, shape ``(n, 2)``
        """
        return self._at(self._parameters(n))

    def normals(self, n: int) -> np.ndarray:
        """Unit normals at the same points, to the right of the direction of the curve, shape ``(n, 2)``.

        Parameters
        ----------
        n : int
            Number of points.

        Returns
        -------
        numpy.ndarray, shape ``(n, 2)``
        """
        t = self._parameters(n)
        if callable(self.curve):
            tangent = sum(
                w * (self._at(t + k * _STEP) - self._at(t - k * _STEP)) for k, w in enumerate(_DIFFERENCE, 1)
            ) / np.float64(_STEP)
        else:
            edges = np.diff(np.asarray(self.curve), axis=0)
            tangent = edges[np.minimum((t * len(edges)).astype(int), len(edges) - 1)]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        return np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)

    def _at(self, t: np.ndarray) -> np.ndarray:
        if callable(self.curve):
            found = self.curve(t)
        else:
            places = np.linspace(0, 1, len(self.curve))
            found = [np.interp(t, places, c) for c in np.asarray(self.curve).T]
        try:
            x, y = (np.broadcast_to(np.asarray(c, dtype=float), t.shape) for c in found)
        except (TypeError, ValueError):
            raise TypeError(
                f"curve returned {type(found).__name__} for an array of {len(t)} parameters; expected the two "
                "coordinates of the points, as (x(t), y(t))."
            ) from None
        out = np.stack([x, y], axis=1)
        if not np.isfinite(out).all():
            bad = t[np.argmin(np.isfinite(out).all(axis=1))]
            raise NotFiniteError(f"curve is not finite at the parameter {bad:.6g}.")
        return out

    def _arc(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters, and the length of the curve up to each."""
        edges = 1 if callable(self.curve) else len(self.curve) - 1
        t = np.linspace(0, 1, edges * math.ceil(_SAMPLES / edges) + 1)  # with all corners
        steps = np.linalg.norm(np.diff(self._at(t), axis=0), axis=1)
        return t, np.concatenate([[0.0], np.cumsum(steps)])

    def _parameters(self, n: int) -> np.ndarray:
        """Parameters of `n` points in the middle of equal parts."""
        t, s = self._arc()
        return np.interp((np.arange(n) + 0.5) / n * s[-1], s, t)


def inside_curves(curves: Sequence[OnCurve]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the mask of what lies inside of an odd number of closed curves; a curve of two conditions counts once."""
    polygons: list[np.ndarray] = []
    for outline in (c.outline for c in curves):
        if not any(np.array_equal(outline, p) for p in polygons):
            polygons.append(outline)

    def mask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = np.broadcast_arrays(x, y)
        order = np.argsort(y, axis=None)
        xs, ys = x.ravel()[order], y.ravel()[order]
        odd = np.zeros(len(xs), bool)
        for start in polygons:
            end = np.roll(start, -1, axis=0)
            slope = np.divide(end[:, 0] - start[:, 0], dy := end[:, 1] - start[:, 1], where=dy != 0, out=dy * 0)
            lowest, highest = np.sort([start[:, 1], end[:, 1]], axis=0)
            # An edge is crossed on the way to the right by the points beside it, which lie together.
            for i, j, (x0, y0), k in zip(*np.searchsorted(ys, [lowest, highest]), start, slope, strict=True):
                odd[i:j] ^= xs[i:j] < x0 + k * (ys[i:j] - y0)
        inside = np.empty_like(odd)
        inside[order] = odd
        return inside.reshape(x.shape)

    return mask
