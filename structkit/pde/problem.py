"""A boundary or initial value problem: operator, source, conditions, nonlinearity, on a box."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array
from structkit.pde.arrays import check_inside, real_array
from structkit.pde.conditions import Condition, Periodic, values_at, values_on
from structkit.pde.curves import OnCurve, inside_curves
from structkit.pde.nonlinearity import Nonlinearity, checked_nonlinearity
from structkit.pde.operators import Operator, Parameter

__all__ = ["PDE"]

_MASK_PROBES = 61  # per axis: a mask without any of them inside is a mistake


class PDE:
    """A linear or nonlinear problem ``L u + N(u) = f`` on a box, with conditions on its faces.

    Parameters
    ----------
    operator : Operator
        ``L``: sums of `D`, with coefficients.
    domain : sequence of (float, float)
        Lower and upper end of each axis, 1 to 3 axes; time is an axis like any other.
    source : float, callable or array, default 0
        ``f``. A callable takes all coordinates, broadcast, as ``f(x, y, ...)``. An array holds samples on `grid`.
    conditions : sequence of Condition
        Boundary, initial and periodicity conditions. Where there are more than the equation needs, one that names a
        face or an axis takes the place of one for all faces; others are checked against the solution.
    nonlinearity : (callable, callable) or Nonlinearity, optional
        ``N`` and its derivative as functions of ``u``, or a `Nonlinearity` of several derivatives.
    grid : sequence of array, optional
        Coordinates of the samples of the source: for each axis an evenly spaced array from end to end.
    mask : callable, optional
        Where in the box the equation holds, for domains in the plane that are no boxes: takes both coordinates,
        broadcast, and returns booleans. Default: the whole box, or what lies inside of an odd number of the curves
        of `OnCurve` conditions. Conditions on faces hold where the face borders what is inside.

    Raises
    ------
    ShapeError
        If an axis of the operator, of a condition or of the samples is not an axis of the domain.
    NotFiniteError
        If the source, a coefficient or a condition is not finite.
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, or samples are not evenly spaced.

    Examples
    --------
    >>> from structkit.pde import D, Dirichlet, PDE
    >>> problem = PDE(D(0, 2) + D(1, 2), domain=[(0, 1), (0, 1)], source=1.0, conditions=[Dirichlet(0.0)])
    >>> problem
    PDE(D(0, 2) + D(1, 2), domain=((0.0, 1.0), (0.0, 1.0)))
    """

    def __init__(
        self,
        operator: Operator,
        *,
        domain: Sequence[tuple[float, float]],
        source: float | Callable[..., Any] | Array = 0.0,
        conditions: Sequence[Condition] | Condition = (),
        nonlinearity: Nonlinearity | tuple[Callable[..., Any], Callable[..., Any]] | None = None,
        grid: Sequence[Array] | None = None,
        mask: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(operator, Operator):
            raise TypeError(f"operator is {operator!r}; build it from D(axis, order), for example D(0, 2) + D(1, 2).")
        self.operator = _simplified(operator)
        self.domain = _checked_domain(domain)
        self.conditions = (conditions,) if isinstance(conditions, Condition) else tuple(conditions)
        self.nonlinearity = checked_nonlinearity(nonlinearity)
        self._check_axes()
        self.grid = None if grid is None else _checked_grid(grid, self.domain)
        self.source = self._checked_source(source)
        self.mask = self._checked_mask(mask)
        self._probe()

    @property
    def n_axes(self) -> int:
        """Number of axes."""
        return len(self.domain)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The unknown numbers of the operator."""
        return self.operator.parameters

    def order(self, axis: int) -> int:
        """Highest derivative along an axis, nonlinear terms included.

        Parameters
        ----------
        axis : int
            The axis.

        Returns
        -------
        int
        """
        extra = self.nonlinearity.operators if self.nonlinearity else ()
        return max(self.operator.order(axis), *(o.order(axis) for o in extra), 0)

    @property
    def operator_size(self) -> float:
        """Largest term of the operator for a function that changes by one over the domain."""
        if self.mask is None:
            axes = [np.linspace(a, b, 5) for a, b in self.domain]
            grids = list(np.meshgrid(*axes, indexing="ij", sparse=True))
        else:
            grids = list(self.points_inside(5).T)
        lengths = [b - a for a, b in self.domain]
        return max(
            float(np.abs(t.coefficient.at(grids, {})).max()) / math.prod(lengths[axis] ** k for axis, k in t.orders)
            for t in self.operator.terms
        )

    def source_on(self, coords: Sequence[np.ndarray]) -> np.ndarray:
        """Values of a source that is a number or a callable on the tensor grid of `coords`.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis.

        Returns
        -------
        numpy.ndarray, shape ``(n_1, ..., n_D)``
        """
        return values_on(self.source, list(coords), "source")  # type: ignore[arg-type]

    def coefficients_on(self, coords: Sequence[np.ndarray], values: Mapping[str, float]) -> list[Any]:
        """Coefficient of each term on the tensor grid of `coords`; a float where it is constant.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis.
        values : mapping of str to float
            Values of parameters; the others have their initial ones.

        Returns
        -------
        list of float or numpy.ndarray, shape ``(n_1, ..., n_D)``
        """
        found: list[Any] = []
        for t in self.operator.terms:
            c = t.coefficient
            if c.is_constant:
                found.append(c.number(values))
            else:
                name = f"The coefficient of {t!r}"
                found.append(values_on(lambda *x, c=c: c.at(x, values), list(coords), name))
        return found

    def source_at(self, points: np.ndarray) -> np.ndarray:
        """Values of a source that is a number or a callable at points ``(n, D)``.

        Parameters
        ----------
        points : array, shape ``(n, D)``
            Points of the box.

        Returns
        -------
        numpy.ndarray, shape ``(n,)``
        """
        return values_at(self.source, points, "source")  # type: ignore[arg-type]

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which points ``(n, D)`` belong to the domain, if there is a mask.

        Parameters
        ----------
        points : array, shape ``(n, D)``
            Points of the box.

        Returns
        -------
        numpy.ndarray of bool, shape ``(n,)``
        """
        assert self.mask is not None
        found = np.asarray(self.mask(*points.T))
        if found.dtype != bool or found.shape not in ((), (len(points),)):
            raise TypeError(
                f"mask returned {found.dtype} of shape {found.shape} for coordinates of shape ({len(points)},); "
                "expected booleans of that shape."
            )
        return np.broadcast_to(found, len(points))

    def points_inside(self, n: int) -> np.ndarray:
        """Points of an even grid, `n` midpoints per axis or more until there are some, that belong to the domain.

        Parameters
        ----------
        n : int
            Points of each axis.

        Returns
        -------
        numpy.ndarray, shape ``(m, 2)``
        """
        while True:
            axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b in self.domain]
            points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.n_axes)
            points = points[self.inside(points)]
            if len(points):
                return points
            if n > _MASK_PROBES:
                raise ValueError(f"mask is False at all of {n} x {n} points of the domain {self.domain}.")
            n *= 2

    def points_on_face(self, axis: int, side: str, n: int) -> np.ndarray:
        """Points of a face, of `n` evenly spaced ones, that border what is inside.

        Parameters
        ----------
        axis : int
            Axis that is normal to the face.
        side : {"lower", "upper"}
            End of the axis.
        n : int
            Number of points.

        Returns
        -------
        numpy.ndarray, shape ``(m, 2)``
        """
        ends, (a, b) = self.domain[axis], self.domain[1 - axis]
        points = np.empty((n, 2))
        points[:, 1 - axis] = a + (b - a) * (np.arange(n) + 0.5) / n
        points[:, axis] = ends[0 if side == "lower" else 1]
        step = 1e-6 * (ends[1] - ends[0]) * (1 if side == "lower" else -1)
        return points[self.inside(points + step * np.eye(2)[axis])]

    def _check_axes(self) -> None:
        n = self.n_axes
        used = [self.operator, *(self.nonlinearity.operators if self.nonlinearity else ())]
        for op in used:
            if op.n_axes > n:
                raise ShapeError(f"{op!r} differentiates along axis {op.n_axes - 1}; the domain has {n} axes.")
        for c in self.conditions:
            if not isinstance(c, Condition):
                raise TypeError(f"conditions hold {c!r}; expected Dirichlet, Neumann, Robin, Periodic or Initial.")
            for axis, side in c.faces(n):
                if axis >= n:
                    raise ShapeError(f"{c!r} is about axis {axis}; the domain has {n} axes.")
                if not isinstance(c, Periodic):
                    self._check_condition(c, axis, side)

    def _check_condition(self, c: Condition, axis: int, side: str) -> None:
        highest = max((k for k, w in c.weights(side).items() if w), default=0)
        if highest >= max(self.order(axis), 1):
            raise ValueError(
                f"{c!r} prescribes derivative {highest} along axis {axis}, where the equation has order "
                f"{self.order(axis)}. A condition's order must be smaller."
            )

    def _checked_source(self, source: Any) -> Any:
        if callable(source) or isinstance(source, numbers.Real):
            if not callable(source) and not math.isfinite(source):
                raise NotFiniteError(f"source is {source!r}; expected a finite number.")
            if self.grid is not None:
                raise ValueError("grid belongs to a source that is an array of samples.")
            return source
        samples = real_array(source, "source")
        if self.grid is None:
            raise ValueError("source is an array; give the coordinates of its samples as grid.")
        shape = tuple(len(g) for g in self.grid)
        if samples.shape != shape:
            raise ShapeError(f"source has shape {samples.shape}; the grid has {shape}.")
        return samples

    def _checked_mask(self, mask: Any) -> Callable[..., Any] | None:
        """The mask; what a curve needs to have a side that is inside."""
        curves = [c for c in self.conditions if isinstance(c, OnCurve)]
        if mask is None and not curves:
            return None
        if mask is not None and not callable(mask):
            raise TypeError(f"mask is {type(mask).__name__}; expected a callable of both coordinates.")
        if self.n_axes != 2 or isinstance(self.source, np.ndarray):
            raise ValueError("mask and OnCurve are for two axes and a source that is a number or a callable.")
        if any(isinstance(c, Periodic) for c in self.conditions):
            raise ValueError("Periodic conditions need the whole box; leave mask and OnCurve out.")
        if not self.conditions:
            raise ValueError("Behind a mask the solution needs conditions on its border. Add OnCurve.")
        if mask is None and (len(curves) < len(self.conditions) or not all(c.is_closed for c in curves)):
            raise ValueError(
                "Which side of the curves is inside? Give mask: it can be left out only if all conditions are on "
                "closed curves."
            )
        for c in curves:
            for axis, (a, b) in enumerate(self.domain):
                check_inside(c.outline[:, axis], axis, a, b, f"The curve of {c!r}")
        return mask or inside_curves(curves)

    def _probe(self) -> None:
        """Call everything once inside and at the ends, so that mistakes show before any work."""
        if self.mask is not None:
            self._probe_masked()
            return
        coords = [np.array([a, 0.4142 * a + 0.5858 * b, b]) for a, b in self.domain]
        if not isinstance(self.source, np.ndarray):
            self.source_on(coords)
        self.coefficients_on(coords, {})
        for c in self.conditions:
            if not isinstance(c, Periodic):
                for axis, side in c.faces(self.n_axes):
                    end = self.domain[axis][0 if side == "lower" else 1]
                    face = [np.array([end]) if a == axis else x for a, x in enumerate(coords)]
                    values_on(c.value, face, f"The value of {type(c).__name__}")  # type: ignore[attr-defined]

    def _probe_masked(self) -> None:
        points = self.points_inside(_MASK_PROBES)
        self.source_at(points)
        for t in self.operator.terms:
            values_at(lambda *x, c=t.coefficient: c.at(x, {}), points, f"The coefficient of {t!r}")
        for c in self.conditions:
            faces = c.faces(2)
            sets = [self.points_on_face(*face, _MASK_PROBES) for face in faces] if faces else [c.points(_MASK_PROBES)]  # type: ignore[attr-defined]
            if not any(map(len, sets)):
                raise ValueError(f"{c!r} is about no part of the border of what is inside of the mask.")
            for p in sets:
                values_at(c.value, p, f"The value of {type(c).__name__}")  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"PDE({self.operator!r}{', nonlinear' if self.nonlinearity else ''}, domain={self.domain})"


def _simplified(operator: Operator) -> Operator:
    """The operator without terms whose coefficient is 0, which ask for conditions all the same."""
    terms = tuple(t for t in operator.terms if t.coefficient.scale != 0)
    if not terms:
        raise ValueError(f"operator is {operator!r}, which vanishes.")
    return Operator(terms)


def _checked_domain(domain: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    try:
        box = tuple((float(a), float(b)) for a, b in domain)
    except (TypeError, ValueError):
        raise ValueError(f"domain = {domain!r}; expected a (lower, upper) pair for each axis.") from None
    if not 1 <= len(box) <= 3:
        raise ValueError(f"domain has {len(box)} axes; expected 1 to 3.")
    for axis, (a, b) in enumerate(box):
        if not (math.isfinite(a) and math.isfinite(b) and a < b):
            raise ValueError(f"domain of axis {axis} is {(a, b)}; expected finite ends, the lower one first.")
    return box


def _checked_grid(grid: Sequence[Array], domain: Sequence[tuple[float, float]]) -> tuple[np.ndarray, ...]:
    if len(grid) != len(domain):
        raise ShapeError(f"grid has {len(grid)} axes; the domain has {len(domain)}.")
    axes = tuple(real_array(g, f"grid[{i}]") for i, g in enumerate(grid))
    for axis, (g, (a, b)) in enumerate(zip(axes, domain, strict=True)):
        if g.ndim != 1 or len(g) < 4:
            raise ShapeError(f"grid[{axis}] has shape {g.shape}; expected at least four coordinates.")
        step = (b - a) / (len(g) - 1)
        if np.abs(g - (a + step * np.arange(len(g)))).max() > 1e-8 * (b - a):
            raise ValueError(
                f"grid[{axis}] is not evenly spaced from {a:g} to {b:g}. Interpolate the samples to such a "
                "grid, or give the source as a callable."
            )
    return axes
