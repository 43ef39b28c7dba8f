"""Conditions on the faces of a box: values, derivatives, mixtures, periodicity, initial states."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError

__all__ = [
    "Condition",
    "Dirichlet",
    "Initial",
    "Neumann",
    "Periodic",
    "Robin",
    "Value",
    "check_mixture",
    "values_at",
    "values_on",
]

SIDES = ("lower", "upper")
Value = Callable[..., Any] | float


@dataclass(frozen=True)
class Condition:
    """Base of the conditions: what is known of the solution on some faces."""

    def __post_init__(self) -> None:
        axis, side = getattr(self, "axis", None), getattr(self, "side", None)
        if axis is not None and (not isinstance(axis, int) or axis < 0):
            raise ValueError(f"axis = {axis!r}; expected None or the number of an axis, from 0.")
        if side is not None and side not in SIDES:
            raise ValueError(f"side = {side!r}; expected None (both) or one of {SIDES}.")
        _check_value(getattr(self, "value", 0.0), type(self).__name__)

    def faces(self, n_axes: int) -> list[tuple[int, str]]:
        """Faces of a box with `n_axes` axes that the condition is about.

        Parameters
        ----------
        n_axes : int
            Number of axes of the box.

        Returns
        -------
        list of (int, str)
            Axis and end of each face.
        """
        return self._faces(n_axes)

    def _faces(self, n_axes: int) -> list[tuple[int, str]]:
        axis, side = getattr(self, "axis", None), getattr(self, "side", None)
        axes = range(n_axes) if axis is None else [axis]
        return [(a, s) for a in axes for s in (SIDES if side is None else [side])]

    def weights(self, side: str) -> dict[int, float]:
        """Weights of the derivatives along the normal axis whose sum has the value.

        Parameters
        ----------
        side : {"lower", "upper"}
            End of the axis.

        Returns
        -------
        dict of int to float
            Weight by order of the derivative.
        """
        return self._weights(side)

    def _weights(self, side: str) -> dict[int, float]:
        raise NotImplementedError


@dataclass(frozen=True)
class Dirichlet(Condition):
    """The value of the solution on one face or on all.

    Parameters
    ----------
    value : float or callable, default 0
        The value. A callable takes all coordinates, broadcast, as ``f(x, y, ...)``.
    axis : int, optional
        Axis that is normal to the face. Default: all axes.
    side : {"lower", "upper"}, optional
        End of the axis. Default: both.

    Examples
    --------
    >>> Dirichlet(lambda x, y: x * y).faces(2)
    [(0, 'lower'), (0, 'upper'), (1, 'lower'), (1, 'upper')]
    """

    value: Value = 0.0
    axis: int | None = None
    side: str | None = None

    def _weights(self, side: str) -> dict[int, float]:
        return {0: 1.0}


@dataclass(frozen=True)
class Neumann(Condition):
    """The derivative of the solution along an axis, on one face or on all.

    Parameters
    ----------
    value : float or callable, default 0
        Derivative along the axis in the direction of growing coordinates (not the outward normal); its `order` may be
        higher, as for clamped and free beams.
    axis : int, optional
        Axis that is normal to the face. Default: all axes.
    side : {"lower", "upper"}, optional
        End of the axis. Default: both.
    order : int, default 1
        Order of the derivative.

    Examples
    --------
    >>> Neumann(0.0, axis=0, side="upper").faces(2)
    [(0, 'upper')]
    """

    value: Value = 0.0
    axis: int | None = None
    side: str | None = None
    order: int = 1

    def _weights(self, side: str) -> dict[int, float]:
        return {self.order: 1.0}


@dataclass(frozen=True)
class Robin(Condition):
    r"""A mixture :math:`a u + b \, \partial u / \partial n` with the outward normal, on one face or on all.

    Parameters
    ----------
    a, b : float
        Weights of the value and of the outward normal derivative.
    value : float or callable, default 0
        What they add up to.
    axis : int, optional
        Axis that is normal to the face. Default: all axes.
    side : {"lower", "upper"}, optional
        End of the axis. Default: both.

    Examples
    --------
    >>> Robin(1.0, 2.0, 0.0, axis=0).weights("lower")
    {0: 1.0, 1: -2.0}
    """

    a: float
    b: float
    value: Value = 0.0
    axis: int | None = None
    side: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mixture(self.a, self.b)

    def _weights(self, side: str) -> dict[int, float]:
        return {0: float(self.a), 1: float(self.b) if side == "upper" else -float(self.b)}


@dataclass(frozen=True)
class Periodic(Condition):
    """The solution and its derivatives agree at both ends of an axis.

    Parameters
    ----------
    axis : int
        The axis.

    Examples
    --------
    >>> Periodic(1)
    Periodic(axis=1)
    """

    axis: int

    def _faces(self, n_axes: int) -> list[tuple[int, str]]:
        return [(self.axis, "lower"), (self.axis, "upper")]


@dataclass(frozen=True)
class Initial(Condition):
    """The solution, or a derivative in time, at the beginning of an axis.

    Parameters
    ----------
    value : float or callable, default 0
        The value. A callable takes all coordinates, broadcast.
    axis : int, default -1
        Axis of time; -1 is the last one.
    order : int, default 0
        Order of the derivative in time: 0 for the state, 1 for the velocity.

    Examples
    --------
    >>> Initial(0.0, axis=1, order=1).weights("lower")
    {1: 1.0}
    """

    value: Value = 0.0
    axis: int = -1
    order: int = 0
    side: str = field(default="lower", init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis < -1:
            raise ValueError(f"axis = {self.axis!r}; expected the number of an axis, from 0, or -1 for the last one.")
        _check_value(self.value, "Initial")

    def _faces(self, n_axes: int) -> list[tuple[int, str]]:
        return [(self.axis % n_axes, "lower")]

    def _weights(self, side: str) -> dict[int, float]:
        return {self.order: 1.0}


def check_mixture(a: object, b: object) -> None:
    """Raise unless the weights of value and normal derivative are finite, and one is not 0."""
    if not all(isinstance(w, numbers.Real) and math.isfinite(w) for w in (a, b)) or a == b == 0:
        raise ValueError(f"a = {a!r} and b = {b!r}; expected finite numbers, one of them not 0.")


def _check_value(value: object, name: str) -> None:
    if callable(value):
        return
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"The value of {name} is {value!r}; expected a finite number or a callable.")


def values_on(value: Value, coords: list[np.ndarray], name: str) -> np.ndarray:
    """Values of a number or callable on the tensor grid of `coords`."""
    shape = tuple(len(c) for c in coords)
    return _values(value, np.meshgrid(*coords, indexing="ij", sparse=True), shape, name)


def values_at(value: Value, points: np.ndarray, name: str) -> np.ndarray:
    """Values of a number or callable at points ``(n, D)``."""
    return _values(value, list(points.T), (len(points),), name)


def _values(value: Value, grids: Sequence[np.ndarray], shape: tuple[int, ...], name: str) -> np.ndarray:
    if not callable(value):
        return np.full(shape, float(value))
    try:
        found = np.asarray(value(*grids))
    except TypeError as err:
        raise TypeError(f"{name} failed for {len(grids)} coordinate arrays, one for each axis: {err}") from err
    if found.dtype.kind not in "fiub":
        raise TypeError(f"{name} returned {found.dtype}; expected real numbers.")
    try:
        out = np.broadcast_to(found.astype(float), shape)
    except ValueError:
        raise ShapeError(
            f"{name} returned shape {found.shape} for coordinates that broadcast to {shape}. It must take all "
            "coordinates and broadcast, as f(x, y, ...)."
        ) from None
    if not np.isfinite(out).all():
        where = np.unravel_index(int(np.argmin(np.isfinite(out))), shape)
        point = ", ".join(f"{np.broadcast_to(g, shape)[where]:.6g}" for g in grids)
        raise NotFiniteError(f"{name} is {out[where]} at ({point}); it must be finite on the whole domain.")
    return out
