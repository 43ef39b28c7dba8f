"""The Galerkin method: carriers and length-scale found by themselves, judged by the residual off the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from structkit._core.progress import Progress
from structkit.pde.basis import AxisBasis
from structkit.pde.constraints import Constraints, Row, select_rows
from structkit.pde.expansion import Expansion
from structkit.pde.features import AxisFeatures, axis_features, polynomial_features
from structkit.pde.frequencies import companions, discover_frequencies, fibres
from structkit.pde.linear import FreeSystem
from structkit.pde.newton import solve_nonlinear
from structkit.pde.problem import PDE
from structkit.pde.system import System, project

__all__ = ["CHECK_POINTS", "VIOLATED", "Attempt", "Search", "between", "solve_galerkin"]

# Lengths of the envelope over that of the domain, in the order in which they are tried.
RATIOS = (0.35, 0.6, 0.2, 0.1, 0.07, 0.04)
# Degrees of plain polynomials, by the number of axes: they resolve layers at the ends that no envelope does.
_DEGREES = {1: (200, 800, 950), 2: (120, 280, 340), 3: (50, 100, 120)}
# Polynomials of more than the first degree are not needed below this error.
_GOOD = 1e-8
# Trials, by their number, that take their time with a nonlinear equation if none before has solved it.
_PATIENT = (2, 3, 4)
# Points of the off-grid residual per axis, by the number of axes.
CHECK_POINTS = {1: 2001, 2: 151, 3: 41}
# Most points per axis that are chosen automatically.
_MOST_POINTS = {1: 4000, 2: 800, 3: 160}
# Relative violations of conditions beyond this are contradictions, or data that the basis does not resolve.
VIOLATED = 1e-4
# Attempts count in the estimate of the error if their residual is at most this many times that of the runner-up.
_RIVALS = 3.0
# Below this the solution is known well enough to show its own carriers.
_TRUSTED = 0.3


@dataclass(frozen=True)
class Search:
    """What to try.

    Attributes
    ----------
    n_points : tuple of int or None
        Points per axis; None chooses them.
    lengthscale : float or None
        Length-scale of the envelopes over the length of the axis; None searches.
    frequencies : tuple of array or None
        Carriers per axis; None discovers them.
    tol : float
        Off-grid residual that ends the search.
    max_iter : int
        Most Newton steps.
    seed : int
        Of the fibres that are looked at.
    """

    n_points: tuple[int, ...] | None
    lengthscale: float | None
    frequencies: tuple[np.ndarray, ...] | None
    tol: float
    max_iter: int
    seed: int


@dataclass
class Attempt:
    """One solution.

    Attributes
    ----------
    expansion : Expansion
        The solution.
    ratio : float
        Length-scale over length of the axis.
    residual : float
        Off-grid residual of the equation, or the violation of a condition if that is larger.
    mismatch : float
        Largest relative violation of a condition.
    solved : bool
        Whether the equations on the coefficients were solved.
    n_iter : int
        Newton steps; 0 for linear equations.
    resonance : float
        Smallest over typical eigenvalue of the operator.
    values : array
        The solution off the grid, where the residual was formed.
    error : float
        Estimated relative error.
    misfit : float
        Share of given samples of the source that is not matched.
    """

    expansion: Expansion
    ratio: float
    residual: float
    mismatch: float
    solved: bool = True
    n_iter: int = 0
    resonance: float = math.inf
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    error: float = math.inf
    misfit: float = 0.0


@dataclass(frozen=True)
class Trial:
    """Functions to try: envelopes of a length-scale, over that of the axis, or polynomials up to a degree."""

    ratio: float
    degree: int = 0
    again: bool = False


def _trials(search: Search, n_axes: int) -> list[Trial]:
    """What to try, in this order, until a solution is good enough."""
    if search.lengthscale is not None:
        given = [Trial(search.lengthscale), Trial(0.8 * search.lengthscale)]
        return given + ([] if search.frequencies else [replace(t, again=True) for t in given])
    first = [Trial(r) for r in RATIOS]
    if search.frequencies:
        return first
    polynomials = [Trial(1 / k, degree=k) for k in _DEGREES[n_axes]]
    return [*first, *polynomials, *(Trial(r, again=True) for r in RATIOS)]


def _is_due(trial: Trial, problem: PDE, attempts: Sequence[Attempt]) -> bool:
    """Whether a trial can help after the earlier ones."""
    if not attempts:
        return True
    best = _best(attempts)
    if trial.again:
        return best.residual <= _TRUSTED
    if trial.degree:
        lowest = trial.degree == _DEGREES[problem.n_axes][0]
        # High derivatives of high polynomials are all rounding.
        low_order = max(problem.order(a) for a in range(problem.n_axes)) <= 2
        return best.solved and best.mismatch <= VIOLATED and (lowest or (low_order and best.error > _GOOD))
    return True


def solve_galerkin(problem: PDE, search: Search, progress: Progress) -> Attempt:
    """Return the attempt with the smallest off-grid residual, its error estimated from the runners-up."""
    rows = select_rows(problem)
    attempts: list[Attempt] = []
    trials = _trials(search, problem.n_axes)
    progress.stage("length-scales", len(trials))
    for trial in trials:
        if not _is_due(trial, problem, attempts):
            continue
        features = _features(problem, search, trial, attempts)
        attempts.append(_attempt(problem, rows, search, trial, features, attempts))
        best = _best(attempts)
        best.error = _estimate(best, attempts)
        record = {"stage": "length-scales", "lengthscale": trial.ratio, "residual": attempts[-1].residual}
        done = len(attempts) > 1 and best.error <= search.tol
        if progress.step({**record, "error": best.error}) or done:
            break
    progress.close()
    return _best(attempts)


def _features(problem: PDE, search: Search, trial: Trial, attempts: Sequence[Attempt]) -> list[AxisFeatures]:
    """Features of each axis."""
    if trial.degree:
        most = [int(0.8 * n) for n in search.n_points or [2 * trial.degree] * problem.n_axes]
        return [polynomial_features(a, b, min(trial.degree, m)) for (a, b), m in zip(problem.domain, most, strict=True)]
    found = search.frequencies or _carriers(problem, search, trial.ratio, _best(attempts) if trial.again else None)
    return [axis_features(a, b, trial.ratio * (b - a), f) for (a, b), f in zip(problem.domain, found, strict=True)]


def _best(attempts: Sequence[Attempt]) -> Attempt:
    return min(attempts, key=lambda a: a.residual)


def _estimate(best: Attempt, attempts: Sequence[Attempt]) -> float:
    """Relative error of the best attempt: its difference from the runners-up, scaled down if these are much worse.

    The residual itself weighs errors by the operator: it is blind to slow ones where the solution is fast, and
    magnifies fast ones where it is slow. Solutions with different functions err independently.
    """
    others = [a for a in attempts if a.ratio != best.ratio and math.isfinite(a.residual)]
    if not others or not best.solved or not math.isfinite(best.residual):
        return best.residual
    near = _RIVALS * max(_best(others).residual, best.residual)
    size = float(np.linalg.norm(best.values)) or 1.0
    error = max(
        float(np.linalg.norm(best.values - a.values)) / size * math.sqrt(min(1.0, best.residual / (a.residual or 1.0)))
        for a in others
        if a.residual <= near
    )
    # Conditions that are violated are no rounding, and on this every solution may agree.
    return max(error, best.mismatch) if best.mismatch > VIOLATED else error


def _carriers(problem: PDE, search: Search, ratio: float, known: Attempt | None) -> list[np.ndarray]:
    """Carriers of each axis, from the data of the problem or from a solution."""
    rng = np.random.default_rng(search.seed)
    tol = 1e-3 if problem.nonlinearity is not None and known is None else 1e-11
    found = []
    for axis, (a, b) in enumerate(problem.domain):
        columns = fibres(problem, axis, rng) if known is None else _solution_lines(known.expansion, axis, (a, b), rng)
        found.append(discover_frequencies(columns, a, b, ratio * (b - a), tol=tol))
    return companions(problem, found) if known is None else found


def _solution_lines(u: Expansion, axis: int, ends: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Fibres of a solution along one axis."""
    x = np.linspace(*ends, 4 * u.bases[axis].n)
    coords = [x if a == axis else rng.uniform(b.x[0], b.x[-1], 3) for a, b in enumerate(u.bases)]
    return np.moveaxis(u.on(coords), axis, 0).reshape(len(x), -1)


def _attempt(
    problem: PDE,
    rows: tuple[list[list[Row]], list[Row]],
    search: Search,
    trial: Trial,
    features: Sequence[AxisFeatures],
    earlier: Sequence[Attempt],
) -> Attempt:
    points = search.n_points or [_points(problem, f, 1.4 if trial.again else 1.0) for f in features]
    bases = [AxisBasis(f, n) for f, n in zip(features, points, strict=True)]
    constraints = Constraints(problem, bases, *rows)
    system = System(problem, bases)
    f = project(problem.source_on([b.x for b in bases]), bases)
    free = FreeSystem(system, constraints)
    resonance = free.resonance()
    C = constraints.lift + free.expand(free.solve(free.restrict(f - system.apply(constraints.lift))))
    solved, n_iter = True, 0
    if problem.nonlinearity is not None:
        start = C
        if earlier and _best(earlier).solved:
            near = project(_best(earlier).expansion.on([b.x for b in bases]), bases)
            start = constraints.lift + free.expand(free.restrict(near - constraints.lift))
        unsolved = not any(a.solved for a in earlier)
        patient = unsolved and (search.lengthscale is not None or len(earlier) in _PATIENT)
        result = solve_nonlinear(system, constraints, f, problem.nonlinearity, start, search.max_iter, patient=patient)
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


def between(a: float, b: float, n: int) -> np.ndarray:
    """Midpoints of an even grid, off the collocation points."""
    return a + (b - a) * (np.arange(n) + 0.5) / n
