"""The Galerkin method: carriers and length-scale found by themselves, judged by the residual off the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._core.progress import Progress
from structkit._core.validation import check_memory
from structkit.pde.basis import AxisBasis
from structkit.pde.constraints import Constraints, select_rows
from structkit.pde.expansion import Expansion
from structkit.pde.features import AxisFeatures, axis_features, polynomial_features
from structkit.pde.frequencies import chords, companions, discover_frequencies, fibres, merged
from structkit.pde.linear import FreeSystem
from structkit.pde.masked import Masked
from structkit.pde.newton import solve_nonlinear
from structkit.pde.problem import PDE
from structkit.pde.system import System, project
from structkit.pde.trials import CHECK_POINTS, Attempt, Search, Trial, best_of, between, estimate, is_due, plan

__all__ = ["solve_galerkin"]

# Most points per axis that are chosen automatically.
_MOST_POINTS = {1: 4000, 2: 800, 3: 160}
# Arrays of the size of the grid that exist at the same time.
_ARRAYS = 4
# Trials, by their number, that take their time with a nonlinear equation if none before has solved it.
_PATIENT = (2, 3, 4)


def solve_galerkin(problem: PDE, search: Search, progress: Progress) -> Attempt:
    """Return the attempt with the smallest off-grid residual, its error estimated from the runners-up."""
    method = _Box(problem, search) if problem.mask is None else Masked(problem, search)
    attempts: list[Attempt] = []
    trials = plan(search, problem)
    progress.stage("length-scales", len(trials))
    for trial in trials:
        if not is_due(trial, problem, attempts):
            continue
        attempt = method.attempt(trial, _features(problem, search, trial, attempts), attempts)
        if attempt is None:
            continue
        attempts.append(attempt)
        best = best_of(attempts)
        best.error = estimate(best, attempts)
        record = {"stage": "length-scales", "lengthscale": trial.ratio, "residual": attempts[-1].residual}
        done = len(attempts) > 1 and best.error <= method.slack * search.tol
        if progress.step({**record, "error": best.error}) or done:
            break
    progress.close()
    return best_of(attempts)


def _features(problem: PDE, search: Search, trial: Trial, attempts: Sequence[Attempt]) -> list[AxisFeatures]:
    """Features of each axis."""
    if trial.degree:
        most = [int(0.8 * n) for n in search.n_points or [2 * trial.degree] * problem.n_axes]
        return [polynomial_features(a, b, min(trial.degree, m)) for (a, b), m in zip(problem.domain, most, strict=True)]
    found = search.frequencies or _carriers(problem, search, trial.ratio, best_of(attempts) if trial.again else None)
    return [axis_features(a, b, trial.ratio * (b - a), f) for (a, b), f in zip(problem.domain, found, strict=True)]


def _carriers(problem: PDE, search: Search, ratio: float, known: Attempt | None) -> list[np.ndarray]:
    """Carriers of each axis, from the data of the problem or from a solution."""
    rng = np.random.default_rng(search.seed)
    tol = 1e-3 if problem.nonlinearity is not None and known is None else 1e-11
    found = []
    for axis, (a, b) in enumerate(problem.domain):
        if known is not None:
            lines = [(a, b, _solution_lines(known.expansion, axis, (a, b), rng))]
        elif problem.mask is None:
            lines = [(a, b, fibres(problem, axis, rng))]
        else:
            lines = chords(problem, axis, rng)
        parts = [discover_frequencies(columns, *ends, ratio * (b - a), tol=tol) for *ends, columns in lines]
        found.append(merged(parts, [upper - lower for lower, upper, _ in lines]))
    return companions(problem, found) if known is None else found


def _solution_lines(u: Expansion, axis: int, ends: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Fibres of a solution along one axis."""
    x = np.linspace(*ends, 4 * u.bases[axis].n)
    coords = [x if a == axis else rng.uniform(b.x[0], b.x[-1], 3) for a, b in enumerate(u.bases)]
    return np.moveaxis(u.on(coords), axis, 0).reshape(len(x), -1)


class _Box:
    """A problem on the whole box: conditions are built into the functions."""

    slack = 1.0

    def __init__(self, problem: PDE, search: Search) -> None:
        self.problem, self.search = problem, search
        self.rows = select_rows(problem)

    def attempt(self, trial: Trial, features: Sequence[AxisFeatures], earlier: Sequence[Attempt]) -> Attempt:
        """Solve with given features."""
        problem, search = self.problem, self.search
        points = search.n_points or [_points(problem, f, 1.4 if trial.again else 1.0) for f in features]
        check_memory(_ARRAYS * 8 * math.prod(points), f"A grid of {points} points", advice="Give fewer n_points.")
        bases = [AxisBasis(f, n) for f, n in zip(features, points, strict=True)]
        constraints = Constraints(problem, bases, *self.rows)
        system = System(problem, bases)
        f = project(problem.source_on([b.x for b in bases]), bases)
        free = FreeSystem(system, constraints)
        resonance = free.resonance()
        C = constraints.lift + free.expand(free.solve(free.restrict(f - system.apply(constraints.lift))))
        solved, n_iter = True, 0
        if problem.nonlinearity is not None:
            start = C
            if earlier and best_of(earlier).solved:
                near = project(best_of(earlier).expansion.on([b.x for b in bases]), bases)
                start = constraints.lift + free.expand(free.restrict(near - constraints.lift))
            unsolved = not any(a.solved for a in earlier)
            patient = unsolved and (search.lengthscale is not None or len(earlier) in _PATIENT)
            result = solve_nonlinear(
                system, constraints, f, problem.nonlinearity, start, search.max_iter, patient=patient
            )
            C, solved, n_iter = result.coefficients, result.converged, result.n_iter
        u = Expansion(bases, C)
        coords = [between(b.x[0], b.x[-1], CHECK_POINTS[problem.n_axes]) for b in bases]
        mismatch = constraints.mismatch(C, coords)
        residual = max(u.residual(problem, coords), mismatch) if np.isfinite(C).all() else math.inf
        residual = residual if math.isfinite(residual) else math.inf
        return Attempt(u, trial.ratio, residual, mismatch, solved, n_iter, resonance, u.on(coords))


def _points(problem: PDE, features: AxisFeatures, margin: float) -> int:
    """Points that resolve the carriers and the envelope."""
    degree, length = features.modes.shape[0], features.upper - features.lower
    if features.lengthscale == 0:
        return math.ceil(1.2 * degree) + 16
    n = math.pi * float(np.max(features.frequencies)) * length + 0.8 * degree + 16
    n *= margin * (1.25 if problem.nonlinearity is not None else 1.0)
    return min(math.ceil(n), _MOST_POINTS[problem.n_axes])
