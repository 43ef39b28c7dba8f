"""Measurements of the solution, or of a derivative, at scattered points."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array
from structkit.pde.arrays import check_inside, real_array
from structkit.pde.operators import MAX_ORDER
from structkit.pde.problem import PDE

__all__ = ["Observations", "as_noise", "checked_observations"]

_LARGEST = 1e70  # fourth powers stay finite


@dataclass(frozen=True)
class Observations:
    """Measurements of the solution, or of a derivative of it, at scattered points.

    Parameters
    ----------
    points : array, shape ``(n, D)``
        Where; ``(n,)`` will do in one dimension.
    values : array, shape ``(n,)``
        What was measured.
    noise_var : float, array of shape ``(n,)`` or "learn", default "learn"
        Variance of the noise, in squared units of the values.
    derivative : mapping, optional
        Order of the derivative by axis: ``{0: 1}`` is the slope along the first axis. Default: the solution itself.

    Examples
    --------
    >>> import numpy as np
    >>> sensors = Observations(np.array([0.1, 0.5, 0.8]), np.array([1.0, 1.2, 0.9]), 1e-4)
    >>> fluxes = Observations(np.array([0.0]), np.array([0.3]), 1e-6, derivative={0: 1})
    """

    points: Array
    values: Array
    noise_var: float | Array | str = "learn"
    derivative: Mapping[int, int] = field(default_factory=dict)


def checked_observations(given: Any, problem: PDE) -> list[Observations]:
    """Observations, tuples of their arguments, or a list of these, with checked arrays."""
    if given is None:
        return []
    if isinstance(given, Observations) or (isinstance(given, tuple) and not isinstance(given[0], Observations)):
        given = [given]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            f"observations is {type(given).__name__}; expected (points, values, noise_var) or a list of it."
        )
    return [
        _checked(o, problem, f"observations[{i}]" if len(given) > 1 else "observations") for i, o in enumerate(given)
    ]


def _checked(given: Any, problem: PDE, name: str) -> Observations:
    if not isinstance(given, Observations):
        if not isinstance(given, (tuple, list)) or not 2 <= len(given) <= 4:
            raise TypeError(f"{name} is {given!r}; expected (points, values, noise_var) or Observations.")
        given = Observations(*given)
    points, values = real_array(given.points, f"{name}: points"), real_array(given.values, f"{name}: values")
    if points.ndim == 1 and problem.n_axes == 1:
        points = points[:, None]
    if points.ndim != 2 or points.shape[1] != problem.n_axes or not len(points):
        raise ShapeError(f"{name}: points have shape {points.shape}; expected (n, {problem.n_axes}) with n > 0.")
    if values.shape != (len(points),):
        raise ShapeError(f"{name}: values have shape {values.shape}; expected ({len(points)},), one for each point.")
    if np.abs(values).max() > _LARGEST:
        raise NotFiniteError(
            f"{name}: values reach {np.abs(values).max():.1g}, whose powers overflow. Choose larger units."
        )
    for axis, (a, b) in enumerate(problem.domain):
        check_inside(points[:, axis], axis, a, b, f"{name}: the array of points")
    orders = dict(given.derivative or {})
    for axis, order in orders.items():
        if axis not in range(problem.n_axes) or order not in range(MAX_ORDER + 1):
            raise ValueError(
                f"{name}: derivative = {orders!r}; expected orders 0 to {MAX_ORDER} by number of the axis."
            )
    return Observations(points, values, as_noise(given.noise_var, len(points), f"{name}: noise_var"), orders)


def as_noise(given: Any, n: int, name: str) -> np.ndarray | str:
    """Noise variances, shape ``(n,)``, or "learn"."""
    if isinstance(given, str):
        if given != "learn":
            raise ValueError(f"{name} is {given!r}; expected a variance or 'learn'.")
        return given
    if isinstance(given, bool) or not (isinstance(given, numbers.Real) or np.ndim(given)):
        raise TypeError(f"{name} is {given!r}; expected a variance or 'learn'.")
    variance = real_array(given, name) if np.ndim(given) else np.asarray(given, dtype=float)
    if variance.ndim and variance.shape != (n,):
        raise ShapeError(f"{name} has shape {variance.shape}; expected a number or ({n},).")
    if not (np.isfinite(variance).all() and (variance > 0).all()):
        raise ValueError(f"{name} is {given!r}; variances of observations are positive and finite.")
    return np.broadcast_to(variance, (n,)).astype(float)
