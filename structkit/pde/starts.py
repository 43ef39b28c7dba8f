"""Where the ascent of the evidence begins: carriers, length-scales, values of the parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from structkit._core.errors import SizeError
from structkit.pde.evidence import Evidence, Hyperparameters, Settings
from structkit.pde.features import axis_features
from structkit.pde.frequencies import companions, discover_frequencies, fibres, has_no_lines
from structkit.pde.knowns import knowns_of
from structkit.pde.learning import Objective, exact_misfit, start_weights
from structkit.pde.observations import Observations
from structkit.pde.operators import Coefficient, Operator, Term
from structkit.pde.problem import PDE

__all__ = ["CUTOFF", "LEARNING_CUTOFF", "Learner", "PosteriorSearch", "Start", "starts"]

# Envelope modes below this share do not count when carriers are looked for: what only they fit is improbable under
# the prior, and the evidence would reject the truth.
DISCOVERY = 1e-5
RATIOS = (0.35, 0.2, 0.6)
# Products of features below this share of the largest prior variance are dropped, by number of axes; more while
# hyperparameters are learned.
CUTOFF = {1: 1e-20, 2: 1e-10, 3: 1e-8}
LEARNING_CUTOFF = {1: 1e-20, 2: 1e-7, 3: 1e-5}
_MOST_FEATURES = 4000
# Trial values of parameters with bounds.
_TRIALS = {1: 256, 2: 32, 3: 16}
_RESOLVED = 1e-5


@dataclass(frozen=True)
class PosteriorSearch:
    """What to try.

    Attributes
    ----------
    noise_var : float or "learn"
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

    noise_var: float | str
    lengthscale: float | None
    frequencies: tuple[np.ndarray, ...] | None
    n_points: tuple[int, ...] | None
    max_iter: int
    seed: int


@dataclass(frozen=True)
class Start:
    """Carriers and hyperparameters from which an ascent begins."""

    frequencies: list[np.ndarray]
    hyperparameters: Hyperparameters


class Learner:
    """One problem and its data, evaluated with different carriers."""

    def __init__(self, problem: PDE, observations: Sequence[Observations], search: PosteriorSearch) -> None:
        if problem.nonlinearity is not None:
            raise ValueError(
                "The equation is nonlinear; posteriors are available for linear ones. Linearise it around a solution, "
                "or leave noise_var and observations away."
            )
        if search.noise_var == 0 and not observations:
            names = ", ".join(p.name for p in problem.parameters)
            raise ValueError(
                f"The operator has unknown parameters ({names}) and there are no data to learn them from. Give "
                "observations to fit, or put numbers in their place."
            )
        self.problem, self.search, self.observations = problem, search, observations
        self.d = problem.n_axes
        self.rng = np.random.default_rng(search.seed)
        self.ratio = search.lengthscale or RATIOS[0]
        self.frequencies = self.carriers(self.ratio, {})
        self.knowns = knowns_of(problem, observations, search.noise_var, self.counts())
        self.exact_source = self.knowns.blocks[0].exact
        self.fixed_ratios = search.lengthscale is not None or self.exact_source
        self._last: tuple[tuple[object, ...], Evidence] | None = None
        size = self.evidence(self.frequencies, CUTOFF).design(self._blank(self.frequencies, self.ratio, {})).size
        if size > _MOST_FEATURES:
            raise SizeError(
                f"The posterior would have {size} features, and matrices of their square; at most {_MOST_FEATURES} are "
                "supported. Give a larger lengthscale, fewer frequencies or a smaller domain."
            )

    def carriers(self, ratio: float, values: Mapping[str, float]) -> list[np.ndarray]:
        """Carriers of each axis, with those of homogeneous solutions at values of the parameters."""
        if self.search.frequencies is not None:
            found = list(self.search.frequencies)
        else:
            found = []
            for axis, (a, b) in enumerate(self.problem.domain):
                lines = _lines(self.problem, axis, np.random.default_rng(self.search.seed))
                ell = ratio * (b - a)
                test = None if self.search.noise_var == 0 else has_no_lines
                found.append(discover_frequencies(lines, a, b, ell, tol=1e-6, cutoff=DISCOVERY, is_noise=test))
            found = companions(_with_values(self.problem, values), found)
        return found

    def counts(self) -> list[int]:
        """Points per axis for callables."""
        if self.search.n_points is not None:
            return list(self.search.n_points)
        counts = []
        for (a, b), f in zip(self.problem.domain, self.frequencies, strict=True):
            richest = axis_features(a, b, self.ratio * (b - a), (0.0,), cutoff=CUTOFF[self.d]).n_features
            counts.append(
                math.ceil(2 * math.pi * float(f.max()) * (b - a) / 2 + (2.0 if self.d == 1 else 1.3) * richest + 8)
            )
        return counts

    def evidence(self, frequencies: Sequence[np.ndarray], cutoff: Mapping[int, float]) -> Evidence:
        """Evidence with some carriers; the last one is kept, with its features."""
        key = (cutoff[self.d], *(f.tobytes() for f in frequencies))
        if self._last is None or self._last[0] != key:
            settings = Settings(self.problem.domain, frequencies, cutoff[self.d], self.fixed_ratios)
            self._last = key, Evidence(self.knowns.blocks, settings)
        return self._last[1]

    def start(self, frequencies: list[np.ndarray], ratio: float, values: Mapping[str, float]) -> Start:
        """Hyperparameters to start from."""
        h = self._blank(frequencies, ratio, values)
        return Start(frequencies, start_weights(self.evidence(frequencies, LEARNING_CUTOFF), self.knowns, h))

    def _blank(self, frequencies: Sequence[np.ndarray], ratio: float, values: Mapping[str, float]) -> Hyperparameters:
        noise = {name: math.log(s) for name, s in self.knowns.starts.items()}
        weights = tuple(np.zeros(len(f)) for f in frequencies)
        return Hyperparameters(weights, np.full(self.d, math.log(ratio)), noise, dict(values))

    def objective(self, start: Start, cutoff: Mapping[int, float]) -> Objective:
        """What an ascent from a start maximises."""
        parameters = self.problem.parameters
        return Objective(
            self.evidence(start.frequencies, cutoff),
            start.hyperparameters,
            self.knowns,
            [p.bounds for p in parameters],
            [_unit(p.initial, p.bounds, _TRIALS[self.d]) for p in parameters],
            self.fixed_ratios,
        )


def starts(learner: Learner) -> list[Start]:
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


def _resolving(learner: Learner, values: Mapping[str, float]) -> tuple[float, list[np.ndarray]]:
    """Length-scale and carriers that resolve an exact source."""
    best, least = (learner.ratio, learner.frequencies), math.inf
    for ratio in (0.35, 0.2, 0.12):
        carriers = learner.carriers(ratio, values)
        start = learner.start(carriers, ratio, values)
        misfit = exact_misfit(learner.evidence(carriers, LEARNING_CUTOFF), start.hyperparameters)
        if misfit < least:
            best, least = (ratio, carriers), misfit
        if least < _RESOLVED:
            break
    return best


def _parameter_starts(learner: Learner, ratio: float) -> list[Start]:
    """The best of many trial values of the parameters: the evidence has many modes."""
    scored: list[tuple[float, int, Start]] = []
    for values in _trial_values(learner):
        carriers = companions(_with_values(learner.problem, values), learner.frequencies)
        start = learner.start(carriers, ratio, values)
        scored.append((-learner.evidence(carriers, LEARNING_CUTOFF).value(start.hyperparameters), len(scored), start))
    return [s for _, _, s in sorted(scored)[:4]]


def _trial_values(learner: Learner) -> list[dict[str, float]]:
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
