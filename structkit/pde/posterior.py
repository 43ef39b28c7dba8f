"""The posterior of a solution given noisy data: carriers, starts of the parameters, and the mixture that is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from structkit._core.progress import Progress
from structkit.pde.basis import AxisBasis
from structkit.pde.evidence import Evidence, Hyperparameters, Settings, prior_roots
from structkit.pde.expansion import Expansion
from structkit.pde.features import axis_features
from structkit.pde.frequencies import companions, discover_frequencies, fibres, has_no_lines
from structkit.pde.knowns import EXACT, knowns_of
from structkit.pde.learning import (
    Objective,
    Optimum,
    climb,
    curvature_root,
    draws,
    exact_misfit,
    start_weights,
)
from structkit.pde.observations import Observations
from structkit.pde.operators import Coefficient, Operator, Term
from structkit.pde.problem import PDE
from structkit.pde.rows import Design

__all__ = ["Estimate", "PosteriorFit", "PosteriorSearch", "fit_posterior"]

# Envelope modes below this share do not count when carriers are looked for: what only they fit is improbable under
# the prior, and the evidence would reject the truth.
DISCOVERY = 1e-5
RATIOS = (0.35, 0.2, 0.6)
# Products of features below this share of the largest prior variance are dropped, by number of axes.
_CUTOFF = {1: 1e-20, 2: 1e-10, 3: 1e-8}
_LEARNING_CUTOFF = {1: 1e-20, 2: 1e-7, 3: 1e-5}
# Directions of the common basis below this share of the largest one are dropped.
_RANK = {1: 1e-9, 2: 1e-5, 3: 1e-4}
_MOST_FEATURES = 4000
# Pairs of draws of the hyperparameters.
_DRAWS = {1: 12, 2: 3, 3: 1}
# Trial values of parameters with bounds.
_TRIALS = {1: 256, 2: 32, 3: 16}
_RESOLVED = 1e-5


@dataclass(frozen=True)
class Estimate:
    """A parameter that was learned: value and standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class PosteriorSearch:
    """What to try.

    Attributes
    ----------
    noise_var : float, array or "learn"
        Noise variance of the source; 0 is an exact one.
    lengthscale : float or None
        Length-scale over length of the axis; None learns it.
    frequencies : tuple of array or None
        Carriers per axis; None discovers them.
    n_points : tuple of int or None
        Points per axis at which a callable source is taken.
    max_iter : int
        Most steps of an ascent.
    seed : int
        Of lines, draws and trial values.
    """

    noise_var: np.ndarray | float | str
    lengthscale: float | None
    frequencies: tuple[np.ndarray, ...] | None
    n_points: tuple[int, ...] | None
    max_iter: int
    seed: int


@dataclass
class PosteriorFit:
    """Posterior of a solution.

    Attributes
    ----------
    expansion : Expansion
        Its mean.
    root : array, shape ``(r_1, ..., r_D, k)``
        Square root of the covariance of the coefficients.
    parameters : dict of str to Estimate
        What was learned of the equation.
    noise_var : dict of str to float
        Noise variances that were learned.
    log_evidence : float
        At the mode of the hyperparameters, of what is noisy given what is exact.
    converged : bool
        Whether the ascent ended by itself.
    n_iter : int
        Its steps.
    residual : float
        Root mean square of the standard deviation over that of the mean.
    equation_residual : float
        Root mean square of ``L u - f`` at the points of the source over that of its largest term.
    condition_residual : float
        Largest violation of a condition over the size of its data.
    """

    expansion: Expansion
    root: np.ndarray
    parameters: dict[str, Estimate]
    noise_var: dict[str, float]
    log_evidence: float
    converged: bool
    n_iter: int
    residual: float
    equation_residual: float
    condition_residual: float


@dataclass(frozen=True)
class _Start:
    """Carriers and hyperparameters from which an ascent begins."""

    frequencies: list[np.ndarray]
    hyperparameters: Hyperparameters


class _Learner:
    """One problem and its data, evaluated with different carriers."""

    def __init__(self, problem: PDE, observations: Sequence[Observations], search: PosteriorSearch) -> None:
        self.problem, self.search, self.observations = problem, search, observations
        self.d = problem.n_axes
        self.rng = np.random.default_rng(search.seed)
        self.ratio = search.lengthscale or RATIOS[0]
        self.frequencies = self.carriers(self.ratio, {})
        self.knowns = knowns_of(problem, observations, search.noise_var, self.counts())
        self.exact_source = self.knowns.blocks[0].exact

    def carriers(self, ratio: float, values: Mapping[str, float]) -> list[np.ndarray]:
        """Carriers of each axis, with those of homogeneous solutions at values of the parameters."""
        if self.search.frequencies is not None:
            found = list(self.search.frequencies)
        else:
            found = []
            for axis, (a, b) in enumerate(self.problem.domain):
                lines = _lines(self.problem, axis, np.random.default_rng(self.search.seed))
                ell = ratio * (b - a)
                test = None if np.all(self.search.noise_var == 0) else has_no_lines  # type: ignore[comparison-overlap]
                found.append(discover_frequencies(lines, a, b, ell, tol=1e-6, cutoff=DISCOVERY, is_noise=test))
            found = companions(_with_values(self.problem, values), found)
        return found

    def counts(self) -> list[int]:
        """Points per axis for callables."""
        if self.search.n_points is not None:
            return list(self.search.n_points)
        counts = []
        for (a, b), f in zip(self.problem.domain, self.frequencies, strict=True):
            richest = axis_features(a, b, self.ratio * (b - a), (0.0,), cutoff=_CUTOFF[self.d]).n_features
            counts.append(
                math.ceil(2 * math.pi * float(f.max()) * (b - a) / 2 + (2.0 if self.d == 1 else 1.3) * richest + 8)
            )
        return counts

    def evidence(self, frequencies: Sequence[np.ndarray], cutoff: Mapping[int, float]) -> Evidence:
        """Evidence with some carriers."""
        return Evidence(self.knowns.blocks, Settings(self.problem.domain, frequencies, cutoff[self.d]))

    def start(self, frequencies: list[np.ndarray], ratio: float, values: Mapping[str, float]) -> _Start:
        """Hyperparameters to start from."""
        noise = {name: math.log(s) for name, s in self.knowns.starts.items()}
        h = Hyperparameters(
            tuple(np.zeros(len(f)) for f in frequencies), np.full(self.d, math.log(ratio)), noise, dict(values)
        )
        return _Start(frequencies, start_weights(self.evidence(frequencies, _LEARNING_CUTOFF), self.knowns, h))

    def objective(self, start: _Start, cutoff: Mapping[int, float]) -> Objective:
        """What an ascent from a start maximises."""
        parameters = self.problem.parameters
        return Objective(
            self.evidence(start.frequencies, cutoff),
            start.hyperparameters,
            self.knowns,
            [p.bounds for p in parameters],
            [_unit(p.initial, p.bounds, _TRIALS[self.d]) for p in parameters],
            self.search.lengthscale is not None or self.exact_source,
        )


def fit_posterior(
    problem: PDE, observations: Sequence[Observations], search: PosteriorSearch, progress: Progress
) -> PosteriorFit:
    """Learn hyperparameters by evidence and return the posterior of the solution."""
    learner = _Learner(problem, observations, search)
    progress.stage("evidence", None)

    def report(value: float) -> bool:
        return progress.step({"stage": "evidence", "log_evidence": value})

    best, optimum = _ascend(learner, _starts(learner), report)
    objective = learner.objective(best, _LEARNING_CUTOFF)
    root = curvature_root(objective, optimum.x)
    mixture = draws(objective, optimum, root, _DRAWS[learner.d], learner.rng)
    progress.close()
    final = learner.evidence(best.frequencies, _CUTOFF)
    mode = objective.hyperparameters(optimum.x)
    expansion, covariance = _mixed(learner, best.frequencies, final, mixture)
    errors = np.linalg.norm(root, axis=1) * objective.scale[objective.free]
    names = list(mode.parameters)
    return PosteriorFit(
        expansion,
        covariance,
        {n: Estimate(mode.parameters[n], float(errors[len(errors) - len(names) + i])) for i, n in enumerate(names)},
        {name: math.exp(2 * s) for name, s in mode.log_noise.items()},
        objective.evidence.value(mode),
        optimum.converged,
        optimum.n_iter,
        *_residuals(learner, expansion, covariance, mode.parameters),
    )


def _residuals(
    learner: _Learner, mean: Expansion, root: np.ndarray, values: Mapping[str, float]
) -> tuple[float, float, float]:
    """Relative size of the standard deviation, residual of the equation, violation of conditions."""
    source, *others = learner.knowns.blocks
    points = source.terms[0].points
    spread = float(np.sqrt(np.mean(np.sum(Expansion(mean.bases, root).at(points[:: len(points) // 500 + 1]) ** 2, -1))))
    size = float(np.sqrt(np.mean(mean.at(points) ** 2)))
    terms = [t.factor(values) * mean.at(t.points, dict(t.orders)) for t in source.terms]
    largest = max(float(np.linalg.norm(v)) for v in [*terms, source.values])
    equation = float(np.linalg.norm(sum(terms) - source.values)) / (largest or 1.0)
    violated = 0.0
    for block in others:
        if block.exact:
            found = sum(t.factor(values) * mean.at(t.points, dict(t.orders)) for t in block.terms)
            violated = max(violated, float(np.max(np.abs(found - block.values) * EXACT / block.scale)))
    return spread / (size or 1.0), equation, violated


def _starts(learner: _Learner) -> list[_Start]:
    """Where ascents begin: several length-scales, or several values of the parameters."""
    initial = {p.name: p.initial for p in learner.problem.parameters}
    ratio, frequencies = learner.ratio, learner.frequencies
    if learner.exact_source and learner.search.lengthscale is None:
        ratio, frequencies = _resolving(learner, initial)
    if initial:
        return _parameter_starts(learner, ratio)
    found = [learner.start(frequencies, ratio, initial)]
    if not learner.exact_source and learner.search.lengthscale is None:
        for other in RATIOS[1:]:
            carriers = learner.carriers(other, initial)
            known = [s.frequencies for s in found]
            if not any(all(len(a) == len(b) for a, b in zip(carriers, k, strict=True)) for k in known):
                found.append(learner.start(carriers, other, initial))
    return found


def _resolving(learner: _Learner, values: Mapping[str, float]) -> tuple[float, list[np.ndarray]]:
    """Length-scale and carriers that resolve an exact source."""
    best, least = (learner.ratio, learner.frequencies), math.inf
    for ratio in (0.35, 0.2, 0.12):
        carriers = learner.carriers(ratio, values)
        start = learner.start(carriers, ratio, values)
        misfit = exact_misfit(learner.evidence(carriers, _LEARNING_CUTOFF), start.hyperparameters)
        if misfit < least:
            best, least = (ratio, carriers), misfit
        if least < _RESOLVED:
            break
    return best


def _parameter_starts(learner: _Learner, ratio: float) -> list[_Start]:
    """The best of many trial values of the parameters: the evidence has many modes."""
    scored: list[tuple[float, int, _Start]] = []
    for values in _trial_values(learner):
        carriers = companions(_with_values(learner.problem, values), learner.frequencies)
        start = learner.start(carriers, ratio, values)
        scored.append((-learner.evidence(carriers, _LEARNING_CUTOFF).value(start.hyperparameters), len(scored), start))
    return [s for _, _, s in sorted(scored)[:4]]


def _trial_values(learner: _Learner) -> list[dict[str, float]]:
    """Trial values within bounds: evenly spaced and, where bounds are positive, geometrically; without bounds one."""
    parameters = learner.problem.parameters
    bounded = [p for p in parameters if all(map(math.isfinite, p.bounds))]
    initial = {p.name: p.initial for p in parameters}
    if not bounded:
        return [initial]
    n = _TRIALS[learner.d]
    if len(bounded) == 1:
        (p,) = bounded
        grid = np.linspace(*p.bounds, n)
        if p.bounds[0] > 0:
            grid = np.concatenate([grid[::2], np.geomspace(*p.bounds, n // 2)])
        return [initial, *({**initial, p.name: float(v)} for v in np.unique(grid))]
    low, high = np.array([p.bounds for p in bounded]).T
    points = low + (high - low) * learner.rng.random((n, len(bounded)))
    return [initial, *({**initial, **{p.name: float(v) for p, v in zip(bounded, row, strict=True)}} for row in points)]


def _ascend(learner: _Learner, starts: Sequence[_Start], report: object) -> tuple[_Start, Optimum]:
    best: tuple[_Start, Optimum] | None = None
    for start in starts:
        objective = learner.objective(start, _LEARNING_CUTOFF)
        x = objective.variables(start.hyperparameters)
        found = climb(objective, x, learner.search.max_iter, report)  # type: ignore[arg-type]
        if best is None or found.value < best[1].value:
            best = start, found
    assert best is not None
    return best


def _mixed(
    learner: _Learner,
    frequencies: Sequence[np.ndarray],
    evidence: Evidence,
    mixture: Sequence[tuple[float, Hyperparameters]],
) -> tuple[Expansion, np.ndarray]:
    """Mean and square root of the covariance of a mixture of posteriors, in a basis that all of them share."""
    kept = [(w, h) for w, h in mixture if w > 1e-6]
    shortest = np.exp(np.min([h.log_ratios for _, h in kept], axis=0))
    bases = [_common_basis(learner, a, frequencies[a], float(shortest[a])) for a in range(learner.d)]
    shape = tuple(b.rank for b in bases)
    means, roots = [], []
    for w, h in kept:
        design, posterior = evidence.posterior(h)
        T = _transfer(design, bases) * prior_roots(h, design)
        means.append(T @ posterior.mean)
        roots.append(math.sqrt(w) * (T @ posterior.root))
    weights = np.array([w for w, _ in kept])
    mean = weights @ np.array(means)
    stacked = np.hstack([*roots, (np.sqrt(weights)[:, None] * (np.array(means) - mean)).T])
    if stacked.shape[1] > len(mean):
        (R,) = scipy.linalg.qr(stacked.T, mode="r")
        stacked = R[: len(mean)].T
    return Expansion(bases, mean.reshape(shape)), stacked.reshape(*shape, -1)


def _transfer(design: Design, bases: Sequence[AxisBasis]) -> np.ndarray:
    """Products of features as coefficients of products of basis functions, shape ``(r_1 ... r_D, p)``."""
    out = np.ones((1, design.size))
    for f, columns, basis in zip(design.features, design.columns, bases, strict=True):
        T = (basis.test.T @ f(basis.x))[:, columns]
        out = (out[:, None, :] * T).reshape(-1, design.size)
    return out


def _common_basis(learner: _Learner, axis: int, frequencies: np.ndarray, ratio: float) -> AxisBasis:
    a, b = learner.problem.domain[axis]
    features = axis_features(a, b, ratio * (b - a), frequencies)
    n = math.ceil(math.pi * float(frequencies.max()) * (b - a) + 0.8 * len(features.modes) + 16)
    whole = AxisBasis(features, n)
    values = np.sqrt(whole.weights)[:, None] * features(whole.x)
    _, s, vt = scipy.linalg.svd(values, full_matrices=False)
    r = int(np.sum(s > _RANK[learner.d] * s[0]))
    return AxisBasis(features, n, vt[:r].T / s[:r])


def _lines(problem: PDE, axis: int, rng: np.random.Generator) -> np.ndarray:
    """Evenly spaced samples along one axis in which carriers are looked for."""
    if problem.grid is None:
        return fibres(problem, axis, rng)
    unfolded = np.moveaxis(np.asarray(problem.source), axis, 0).reshape(len(problem.grid[axis]), -1)
    u, s, _ = scipy.linalg.svd(unfolded, full_matrices=False)
    return (u * s)[:, : min(8, len(s))]


def _with_values(problem: PDE, values: Mapping[str, float]) -> PDE:
    """The problem with numbers in place of its parameters."""
    out = copy.copy(problem)
    out.operator = Operator(
        tuple(
            Term(Coefficient(t.coefficient.number(values), t.coefficient.functions), t.orders)
            for t in problem.operator.terms
        )
    )
    return out


def _unit(initial: float, bounds: tuple[float, float], trials: int) -> float:
    """Unit in which a parameter is counted: the distance of trial values, or its size."""
    if all(map(math.isfinite, bounds)):
        return (bounds[1] - bounds[0]) / trials
    return 0.1 * abs(initial) or 1.0
