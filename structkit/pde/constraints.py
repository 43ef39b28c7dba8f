"""Hard conditions: rows that the coefficients of each axis obey, what is free besides, and a lifting of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

from structkit.kron import mode_product, multi_mode_product
from structkit.pde.basis import AxisBasis
from structkit.pde.conditions import Condition, Periodic, values_on
from structkit.pde.problem import PDE

__all__ = ["Constraints", "Row", "select_rows"]


@dataclass(frozen=True)
class Row:
    """One condition at an end of an axis.

    Attributes
    ----------
    axis : int
        Normal axis.
    side : str
        End of the axis, ``"lower"`` or ``"upper"``; ``"both"`` for a periodic one.
    weights : tuple of (int, float)
        Order and weight of the derivatives along the axis whose sum is given.
    condition : Condition
        Where it comes from; rows are equal where only this differs.
    """

    axis: int
    side: str
    weights: tuple[tuple[int, float], ...]
    condition: Condition = field(compare=False)

    @property
    def detail(self) -> int:
        """How much the condition says about which faces it is for."""
        return sum(getattr(self.condition, name, None) is not None for name in ("axis", "side"))

    def functional(self, basis: AxisBasis) -> np.ndarray:
        """The row of the axis's coefficients, shape ``(r,)``."""
        if self.side == "both":
            order = self.weights[0][0]
            lower, upper = basis.at(basis.x[[0, -1]], order)
            return np.asarray(upper - lower)
        end = basis.x[[0 if self.side == "lower" else -1]]
        return sum((w * basis.at(end, k)[0] for k, w in self.weights), np.zeros(basis.rank))

    def data(self, problem: PDE, coords: Sequence[np.ndarray]) -> np.ndarray:
        """What the row is equal to on the grid of the other axes; the normal axis has length one."""
        if isinstance(self.condition, Periodic):
            return np.zeros([1 if a == self.axis else len(c) for a, c in enumerate(coords)])
        end = problem.domain[self.axis][0 if self.side == "lower" else 1]
        face = [np.array([end]) if a == self.axis else np.asarray(c) for a, c in enumerate(coords)]
        return values_on(self.condition.value, face, f"The value of {type(self.condition).__name__}")  # type: ignore[attr-defined]


def select_rows(problem: PDE) -> tuple[list[list[Row]], list[Row]]:
    """Return the rows that each axis needs, and those that are given besides and only checked.

    Raises
    ------
    ValueError
        If an axis has fewer conditions than its equation needs.
    """
    rows, repeated = _unique_rows(problem)
    kept, extra = [], repeated
    for axis in range(problem.n_axes):
        own, needed = [r for r in rows if r.axis == axis], problem.order(axis)
        if len(own) < needed:
            raise ValueError(
                f"Axis {axis} has {len(own)} condition(s) and derivatives up to order {needed}: the solution is not "
                f"determined. Add {needed - len(own)} more condition(s) on its faces: Dirichlet, Neumann, Robin, "
                "Periodic or Initial."
            )
        first = _inflow(problem, axis)
        own = _without_general(own, len(own) - needed)
        own.sort(key=lambda r: r.side not in (first, "both"))
        kept.append(own[:needed])
        extra += own[needed:]
    return kept, extra


def _unique_rows(problem: PDE) -> tuple[list[Row], list[Row]]:
    """Rows of all conditions, each once and from the one that says most about the face; and the repetitions."""
    rows: dict[Row, Row] = {}
    repeated = []
    for c in problem.conditions:
        if isinstance(c, Periodic):
            for k in range(problem.order(c.axis)):
                row = Row(c.axis, "both", ((k, 1.0),), c)
                rows[row] = row
            continue
        for axis, side in c.faces(problem.n_axes):
            weights = tuple((k, w) for k, w in sorted(c.weights(side).items()) if w)
            row = Row(axis, side, weights, c)
            old = rows.setdefault(row, row)
            if row.detail > old.detail:
                rows[row] = row
            elif row.detail == old.detail and c is not old.condition:
                repeated.append(row)
    return list(rows.values()), repeated


def _without_general(own: list[Row], surplus: int) -> list[Row]:
    """Drop up to `surplus` rows for all faces where others name the face, then where others name the axis."""
    for same_side in (True, False):
        for row in own[::-1]:
            better = [r for r in own if r.detail > row.detail and (r.side in (row.side, "both") or not same_side)]
            if surplus > 0 and better:
                own = [r for r in own if r is not row]
                surplus -= 1
    return own


def _inflow(problem: PDE, axis: int) -> str:
    """End of an axis where information comes in, if the equation has order one there."""
    if any(problem.order(a) > 1 for a in range(problem.n_axes)):
        return "lower"
    speeds = [
        sum(t.coefficient.number({}) for t in problem.operator.terms if t.orders == ((a, 1),))
        for a in (axis, problem.n_axes - 1)
    ]
    return "lower" if speeds[0] * speeds[1] >= 0 else "upper"


@dataclass
class Constraints:
    """Conditions on the tensor of coefficients.

    Attributes
    ----------
    free : list of array, shapes ``(r, r - m)``
        Orthonormal bases of what obeys the homogeneous conditions of each axis.
    tests : list of array, shapes ``(r, r - m)``
        What the equation is tested with, scaled so that ``tests[d].T @ free[d]`` is the identity. Galerkin's method
        tests with the free functions themselves. On an axis with all its conditions at one end this is unstable
        (rounding errors grow a thousandfold and more); there the leading functions of the basis are used, as in
        Lanczos's tau method.
    lift : array, shape ``(r_1, ..., r_D)``
        Coefficients of a function that has the data.
    """

    problem: PDE
    bases: Sequence[AxisBasis]
    rows: list[list[Row]]
    extra: list[Row]
    free: list[np.ndarray] = field(init=False)
    tests: list[np.ndarray] = field(init=False)
    lift: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.free, self.tests = [], []
        self.lift = np.zeros([b.rank for b in self.bases])
        coords = [b.x for b in self.bases]
        projections = [b.test for b in self.bases]
        for axis, (rows, basis) in enumerate(zip(self.rows, self.bases, strict=True)):
            if not rows:
                self.free.append(np.eye(basis.rank))
                self.tests.append(self.free[-1])
                continue
            R = np.stack([row.functional(basis) for row in rows])
            scale = np.linalg.norm(R, axis=1)
            R = R / scale[:, None]
            Q, upper = scipy.linalg.qr(R.T)
            m = len(rows)
            self.free.append(Q[:, m:])
            self.tests.append(_tests(rows, Q[:, m:]))
            data = np.concatenate(
                [row.data(self.problem, coords) / c for row, c in zip(rows, scale, strict=True)], axis
            )
            others = [a for a in range(len(projections)) if a != axis]
            if others:
                chosen = [projections[a] for a in others]
                data = np.asarray(multi_mode_product(data, chosen, modes=others, adjoint=True))
            missing = np.asarray(data) - np.asarray(mode_product(self.lift, R, axis))
            pseudo = Q[:, :m] @ scipy.linalg.solve_triangular(upper[:m], np.eye(m), trans="T")
            self.lift = self.lift + np.asarray(mode_product(missing, pseudo, axis))

    def mismatch(self, coefficients: np.ndarray, coords: Sequence[np.ndarray]) -> float:
        """Largest violation of a condition, also of those that were given besides, over the size of its data."""
        worst = 0.0
        for row in [r for rows in self.rows for r in rows] + self.extra:
            R = row.functional(self.bases[row.axis])[None]
            values = [R if a == row.axis else b.at(c) for a, (b, c) in enumerate(zip(self.bases, coords, strict=True))]
            found = np.asarray(multi_mode_product(coefficients, values))
            wanted = row.data(self.problem, coords)
            size = max(np.abs(wanted).max(), np.linalg.norm(R) * np.abs(coefficients).max() * 1e-3, 1e-300)
            worst = max(worst, float(np.abs(found - wanted).max() / size))
        return worst


def _tests(rows: Sequence[Row], free: np.ndarray) -> np.ndarray:
    """Test functions for the conditions of one axis."""
    sides = {row.side for row in rows}
    if len(sides) > 1 or sides == {"both"}:
        return free
    n = free.shape[1]
    out = np.zeros_like(free)
    out[:n] = np.linalg.inv(free[:n]).T
    return out
