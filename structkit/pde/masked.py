"""Domains in the plane that are no boxes: least squares over points inside and on the border.

The functions of the box are a frame on what is inside of it: far from independent, but with coefficients of moderate
size for every smooth solution, which damped least squares find to nearly full precision [1]_.

References
----------
.. [1] Adcock, Huybrechs, "Frames and numerical approximation", SIAM Review 61, 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.stats import qmc

from structkit._core.errors import SizeError
from structkit.pde.basis import AxisBasis
from structkit.pde.conditions import values_at
from structkit.pde.curves import OnCurve
from structkit.pde.expansion import Expansion
from structkit.pde.features import AxisFeatures
from structkit.pde.operators import Term
from structkit.pde.problem import PDE
from structkit.pde.system import project
from structkit.pde.trials import CHECK_POINTS, Attempt, Search, Trial, best_of

__all__ = ["Masked"]

# Equations inside for every unknown, and points on the border for every function that is alive there.
_OVERSAMPLING = 2.5
# Fewest points on a curve, and most unknowns: a least-squares problem of half a gigabyte.
_FEWEST_ON_CURVE = 64
_MOST_UNKNOWNS = 4096
# Share of the box that has to be inside.
_SMALLEST = 0.01
# What coefficients of functions that the equations do not see are damped with, over the size of the columns.
_DAMPING = 1e-15
# How much functions of the size of one equation may grow inside. Solutions that are determined stay below some
# thousand, those that conditions leave open grow without bound.
_MOST_GROWTH = 1e6
_DIRECTIONS = 8
# Steps are halved at most this often; a residual of this size, relative to its terms, is solved.
_HALVINGS = 12
_SOLVED = 1e-8


@dataclass(frozen=True)
class _Border:
    """One condition at points: ``sum of weights times derivatives = values``."""

    points: np.ndarray
    terms: Sequence[tuple[float | np.ndarray, dict[int, int]]]
    values: np.ndarray

    def mismatch(self, u: Expansion, inside: np.ndarray) -> float:
        """Largest violation over the size of the data, or where these vanish over what they are of points inside."""
        sizes = [float(np.abs(self.values).max())]
        found = np.zeros(len(self.points))
        for weight, orders in self.terms:
            found = found + weight * u.at(self.points, orders)
            sizes.append(float(np.abs(weight).max() * np.abs(u.at(inside, orders)).max()))
        return float(np.abs(found - self.values).max()) / (max(sizes) or 1.0)


class Masked:
    """A problem behind a mask.

    Parameters
    ----------
    problem : PDE
        The problem.
    search : Search
        What to try.

    Attributes
    ----------
    slack : float
        Times the tolerance of the search that an error may be: the frame costs a digit.
    """

    slack = 10.0

    def __init__(self, problem: PDE, search: Search) -> None:
        self.problem, self.search = problem, search
        self.check = problem.points_inside(CHECK_POINTS[2])
        self.check_border = self._border(3 * _FEWEST_ON_CURVE, math.inf)
        self.area = len(self.check) / CHECK_POINTS[2] ** 2
        if self.area < _SMALLEST:
            raise ValueError(
                f"The mask is True on {self.area:.2%} of the domain {problem.domain}. Give one that fits it closely."
            )

    def attempt(self, trial: Trial, features: Sequence[AxisFeatures], earlier: Sequence[Attempt]) -> Attempt | None:
        """Solve with given features; None if that is not worth trying.

        Raises
        ------
        SizeError
            If they were chosen by the user, or no attempt before had fewer.
        """
        if sum(a.resonance == 0 for a in earlier) > 1 or any(a.has(features) for a in earlier):
            return None
        counts = self.search.n_points or [_resolving(f) for f in features]
        bases = [AxisBasis(f, n) for f, n in zip(features, counts, strict=True)]
        shape = tuple(b.rank for b in bases)
        if math.prod(shape) > _MOST_UNKNOWNS:
            if earlier:
                return None
            raise SizeError(
                f"Behind a mask all {shape[0]} x {shape[1]} functions of the box are coupled; more than "
                f"{_MOST_UNKNOWNS} unknowns are not solved. Give fewer frequencies, a larger lengthscale, or a domain "
                "that fits the mask more closely."
            )
        system = _LeastSquares(self, bases)
        start = project(best_of(earlier).expansion.on([b.x for b in bases]), bases) if earlier else None
        c, solved, n_iter, unique = system.solve(start)
        u = Expansion(bases, c.reshape(shape))
        mismatch = max(b.mismatch(u, self.check[::7]) for b in self.check_border)
        with np.errstate(all="ignore"):
            residual = max(u.residual_at(self.problem, self.check), mismatch)
        residual = residual if math.isfinite(residual) else math.inf
        resonance = math.inf if unique else 0.0
        return Attempt(u, trial.ratio, residual, mismatch, solved, n_iter, resonance, u.at(self.check))

    def interior(self, n: int) -> np.ndarray:
        """Evenly scattered points inside, shape ``(n, 2)``."""
        lower, upper = np.array(self.problem.domain).T
        sampler = qmc.Sobol(2, seed=self.search.seed)
        found = np.empty((0, 2))
        while len(found) < n:
            more = lower + (upper - lower) * sampler.random(2 ** math.ceil(math.log2(n / self.area + 16)))
            found = np.concatenate([found, more[self.problem.inside(more)]])
        return found[:n]

    def border(self, rank: int) -> list[_Border]:
        """Conditions at points that are dense enough for a number of functions per axis, summed over the axes."""
        perimeter = 2 * sum(b - a for a, b in self.problem.domain)
        n = math.ceil(2 * _OVERSAMPLING * rank)
        return self._border(n, perimeter / n)

    def _border(self, n_face: int, spacing: float) -> list[_Border]:
        problem, out = self.problem, []
        for c in problem.conditions:
            if isinstance(c, OnCurve):
                out.append(self._on_curve(c, max(math.ceil(c.length / spacing), _FEWEST_ON_CURVE)))
                continue
            for axis, side in c.faces(2):
                p = problem.points_on_face(axis, side, max(n_face // 4, _FEWEST_ON_CURVE))
                if len(p):
                    terms = [(w, {axis: k}) for k, w in c.weights(side).items() if w]
                    out.append(_Border(p, terms, values_at(c.value, p, type(c).__name__)))  # type: ignore[attr-defined]
        return out

    def _on_curve(self, c: OnCurve, n: int) -> _Border:
        p = c.points(n)
        terms: list[tuple[float | np.ndarray, dict[int, int]]] = [(c.a, {})] if c.a else []
        if c.b:
            normals = c.normals(n)
            step = 1e-4 * c.length
            ahead, behind = (np.mean(self.problem.inside(p + s * step * normals)) for s in (1, -1))
            if min(ahead, behind) > 0.2 or max(ahead, behind) < 0.8:
                raise ValueError(
                    f"Which side of the curve is outward? The mask is True at {ahead:.0%} of the points on its right "
                    f"and {behind:.0%} of those on its left; expected a border of what is inside."
                )
            outward = normals if ahead < behind else -normals
            terms += [(c.b * outward[:, 0], {0: 1}), (c.b * outward[:, 1], {1: 1})]
        return _Border(p, terms, values_at(c.value, p, "The value of OnCurve"))


class _LeastSquares:
    """Equations at points and conditions at others, weighted to the same size, on the functions of a box."""

    def __init__(self, masked: Masked, bases: Sequence[AxisBasis]) -> None:
        self.problem, self.bases, self.max_iter = masked.problem, bases, masked.search.max_iter
        n = math.prod(b.rank for b in bases)
        self.points = masked.interior(math.ceil(_OVERSAMPLING * n))
        self.grids = list(self.points.T)
        self.equation = self._operated(self.problem.operator.terms)
        border = masked.border(sum(b.rank for b in bases))
        parts = [sum(_column(w) * self._rows(b.points, orders) for w, orders in b.terms) for b in border]
        size = _rms(self.equation)
        # Rows of one size: more weight for conditions would lose digits of the equation to rounding, less their own.
        weights = [size / _rms(rows) for rows in parts]
        self.conditions = np.concatenate([w * rows for w, rows in zip(weights, parts, strict=True)])
        self.data = np.concatenate([w * b.values for w, b in zip(weights, border, strict=True)])
        self.source = self.problem.source_at(self.points)
        self.scale = math.sqrt(len(self.data) / len(self.source))  # both kinds of rows count the same

    def solve(self, start: np.ndarray | None) -> tuple[np.ndarray, bool, int, bool]:
        """Coefficients, whether the equations are solved, Newton steps, and whether the solution is unique."""
        c, unseen = self._minimise(self.equation, self.source, self.data)
        if self.problem.nonlinearity is None:
            return c, True, 0, self._is_unique(unseen)
        return self._newton(c if start is None else start.ravel())

    def _newton(self, c: np.ndarray) -> tuple[np.ndarray, bool, int, bool]:
        nonlinearity = self.problem.nonlinearity
        assert nonlinearity is not None
        rows = [self._operated(o.terms) for o in nonlinearity.operators]
        r, s, size = self._residuals(c, rows)
        unseen = np.zeros((len(c), 1))
        for n in range(self.max_iter):
            with np.errstate(all="ignore"):
                slopes = nonlinearity.slopes([a @ c for a in rows])
            matrix = self.equation + sum(_column(d) * a for d, a in zip(slopes, rows, strict=True))
            step, unseen = self._minimise(matrix, r, s)
            length = 1.0
            while length >= 2.0**-_HALVINGS:
                trial = c - length * step
                r_new, s_new, size_new = self._residuals(trial, rows)
                if self._norm(r_new, s_new) < (1 - 1e-4 * length) * self._norm(r, s):
                    break
                length /= 2
            else:
                return c, self._norm(r, s) <= _SOLVED * size, n + 1, self._is_unique(unseen)
            c, r, s, size = trial, r_new, s_new, size_new
        return c, self._norm(r, s) <= _SOLVED * size, self.max_iter, self._is_unique(unseen)

    def _residuals(self, c: np.ndarray, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
        """Residuals of equation and conditions, and the size of their largest term."""
        nonlinearity = self.problem.nonlinearity
        assert nonlinearity is not None
        linear = self.equation @ c
        with np.errstate(all="ignore"):
            extra = nonlinearity.value([a @ c for a in rows])
        known = self.conditions @ c
        sizes = [self._norm(v, np.zeros(1)) for v in (linear, extra, self.source)] + [self._norm(np.zeros(1), known)]
        return linear + extra - self.source, known - self.data, max(sizes)

    def _norm(self, r: np.ndarray, s: np.ndarray) -> float:
        norm = math.hypot(self.scale * float(np.linalg.norm(r)), float(np.linalg.norm(s)))
        return norm if math.isfinite(norm) else math.inf

    def _minimise(self, matrix: np.ndarray, r: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Damped least-squares solution, and directions that the equations hardly see, as columns."""
        M = np.concatenate([self.scale * matrix, self.conditions])
        columns = np.linalg.norm(M, axis=0)
        columns[columns == 0] = 1.0
        n = len(columns)
        damped = np.zeros((len(M) + n, n + 1))
        damped[: len(M), :n] = M / columns
        damped[: len(M), n] = np.concatenate([self.scale * r, s])
        damped[len(M) + np.arange(n), np.arange(n)] = _DAMPING
        R = scipy.linalg.qr(damped, mode="r", overwrite_a=True, check_finite=False)[0]
        c = scipy.linalg.solve_triangular(R[:n, :n], R[:n, n], check_finite=False)
        unseen = np.random.default_rng(0).standard_normal((n, _DIRECTIONS))
        for trans in ("T", "N"):
            unseen = scipy.linalg.solve_triangular(R[:n, :n], unseen, trans=trans, check_finite=False)
        # One equation's size for each, so that the values inside say how much the equations amplify errors.
        unseen *= _rms(M) * math.sqrt(len(M) / n) / np.linalg.norm(R[:n, :n] @ unseen, axis=0)
        return c / columns, unseen / columns[:, None]

    def _is_unique(self, unseen: np.ndarray) -> bool:
        """Whether directions that the equations hardly see are small inside."""
        directions = Expansion(self.bases, unseen.reshape(*(b.rank for b in self.bases), -1))
        inside = np.sqrt(np.mean(directions.at(self.points) ** 2, axis=0))
        area = math.prod(b - a for a, b in self.problem.domain)
        return bool(np.all(inside * math.sqrt(area) <= _MOST_GROWTH))

    def _operated(self, terms: Sequence[Term]) -> np.ndarray:
        """Rows of a differential operator at the points inside."""
        return sum(_column(t.coefficient.at(self.grids, {})) * self._rows(self.points, dict(t.orders)) for t in terms)  # type: ignore[return-value]

    def _rows(self, points: np.ndarray, orders: Mapping[int, int]) -> np.ndarray:
        """A derivative of all products of functions at points, shape ``(n, r_1 r_2)``."""
        left, right = (b.at(points[:, a], orders.get(a, 0)) for a, b in enumerate(self.bases))
        return (left[:, :, None] * right[:, None, :]).reshape(len(points), -1)


def _column(weights: float | np.ndarray) -> np.ndarray:
    return np.reshape(weights, (-1, 1))


def _rms(rows: np.ndarray) -> float:
    return float(np.linalg.norm(rows)) / math.sqrt(len(rows))


def _resolving(features: AxisFeatures) -> int:
    """Points of an axis that resolve its functions."""
    length = features.upper - features.lower
    return math.ceil(math.pi * float(np.max(features.frequencies)) * length + 1.2 * features.modes.shape[0]) + 16
