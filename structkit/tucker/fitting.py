"""From entries to a posterior: candidates, the choice among them, the long run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from structkit._core.progress import Progress
from structkit.tucker.ascent import Ascent, best_start
from structkit.tucker.entries import Entries, find_levels, keep, merge
from structkit.tucker.functions import ModeFunctions
from structkit.tucker.inference import Posterior
from structkit.tucker.noise import Noise, StudentNoise
from structkit.tucker.options import Settings
from structkit.tucker.priors import mode_prior
from structkit.tucker.starts import start_core, start_functions

__all__ = ["Fitted", "Observed", "Plan", "fit_posterior", "observe", "refit"]

# Starts are compared on at most this many observations.
_START_ENTRIES = 100_000


@dataclass(frozen=True)
class Plan:
    """How to fit, beyond the checked settings."""

    settings: Settings
    superdiagonal: bool
    student: bool
    learn_kernels: bool
    n_starts: int
    max_iter: int
    tol: float


@dataclass(frozen=True)
class Observed:
    """Entries about their mean, with the levels of every mode."""

    levels: list[np.ndarray]
    entries: Entries
    average: float
    deviation: float

    def standardization(self, mean: str) -> tuple[float, float]:
        """Shift and scale of ``z = (y - shift) / scale`` whose mean square is one."""
        if mean != "zero":
            return self.average, self.deviation if self.deviation > 0 else 1.0
        size = float(np.hypot(self.average, self.deviation))
        return 0.0, size if size > 0 else 1.0

    def standardized(self, shift: float, scale: float) -> Entries:
        """The entries in units of the fit."""
        blocks = tuple(block.rescaled(shift - self.average, scale) for block in self.entries.blocks)
        return replace(self.entries, blocks=blocks)


@dataclass
class Fitted:
    """A posterior in standardised units."""

    posterior: Posterior
    mean: str
    shift: float
    scale: float
    bound: float = -np.inf
    converged: bool = False
    history: list[dict[str, object]] = field(default_factory=list)


def observe(X: np.ndarray, y: np.ndarray, *, separate: bool) -> Observed:
    """Return the entries; observations of the same entry are added up unless they are to stay `separate`."""
    levels, index = find_levels(X)
    average = float(np.mean(y))
    centred = y - average
    deviation = float(np.sqrt(np.mean(centred**2)))
    if deviation < 1e-14 * abs(average):
        deviation = 0.0
    block = keep(index, centred) if separate else merge(index, centred, [len(v) for v in levels])
    return Observed(levels, Entries((block,), len(y)), average, deviation)


def fit_posterior(observed: Observed, plan: Plan, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Choose the best of several starts and run it to the end."""
    part = _part(observed, rng)
    means = [plan.settings.means[i % len(plan.settings.means)] for i in range(plan.n_starts)]
    candidates = [_start(part, plan, mean, rng) for mean in means]
    chosen = best_start([ascent for ascent, _ in candidates], progress)
    ascent, fitted = candidates[chosen]
    if part is not observed:
        _use_all(fitted, observed)
        ascent = Ascent(fitted.posterior, _offset(observed, fitted.scale), plan.learn_kernels)
    return finish(ascent, fitted, plan, progress)


def finish(ascent: Ascent, fitted: Fitted, plan: Plan, progress: Progress) -> Fitted:
    """Run an ascent to the end and note how it went."""
    if not progress.stopped:
        fitted.converged = ascent.run(plan.max_iter, plan.tol, progress)
    fitted.bound, fitted.history = ascent.bound, progress.history
    return fitted


def _start(observed: Observed, plan: Plan, mean: str, rng: np.random.Generator) -> tuple[Ascent, Fitted]:
    """A candidate with random functions."""
    s = plan.settings
    shift, scale = observed.standardization(mean)
    functions = [
        start_functions(mode_prior(kernel, levels), levels, rank, mean == "main-effects", rng)
        for kernel, levels, rank in zip(s.kernels, observed.levels, s.ranks, strict=True)
    ]
    core = start_core(s.ranks, plan.superdiagonal, rng)
    known = None if s.noise_var is None else s.noise_var / scale**2
    kind = StudentNoise if plan.student else Noise
    noise = kind(observed.entries.n_observations, known)
    posterior = Posterior(observed.standardized(shift, scale), functions, core, noise)
    ascent = Ascent(posterior, _offset(observed, scale), plan.learn_kernels)
    return ascent, Fitted(posterior, mean, shift, scale)


def _offset(observed: Observed, scale: float) -> float:
    """Logarithm of the density of the standardised values relative to that of the values."""
    return -observed.entries.n_observations * float(np.log(scale))


def _part(observed: Observed, rng: np.random.Generator) -> Observed:
    """A random part of many entries, with all levels."""
    (block,) = observed.entries.blocks
    n = len(block.weight)
    if n <= 2 * _START_ENTRIES:
        return observed
    rows = np.sort(rng.choice(n, _START_ENTRIES, replace=False))
    total, weight = block.total[rows], block.weight[rows]
    values = block.values[rows] if len(block.values) else block.values
    # The spread of observations that were added up is not known entry by entry: the part takes the average.
    square = float(values @ values) if len(values) else block.square * float(weight.sum() / block.weight.sum())
    smaller = replace(block, index=block.index[rows], weight=weight, total=total, square=square, values=values)
    return replace(observed, entries=Entries((smaller,), round(float(weight.sum()))))


def _use_all(fitted: Fitted, observed: Observed) -> None:
    """Go on with all entries from the posterior of a part of them."""
    posterior = fitted.posterior
    posterior.entries = observed.standardized(fitted.shift, fitted.scale)
    posterior.noise.resize(observed.entries.n_observations)


def refit(fitted: Fitted, observed: Observed, plan: Plan, progress: Progress) -> Fitted:
    """Start from an earlier posterior, evaluated at the levels of new entries."""
    old = fitted.posterior
    functions: list[ModeFunctions] = [f.moved(levels) for f, levels in zip(old.functions, observed.levels, strict=True)]
    entries = observed.standardized(fitted.shift, fitted.scale)
    posterior = Posterior(entries, functions, old.core, old.noise)
    posterior.noise.resize(observed.entries.n_observations)
    ascent = Ascent(posterior, _offset(observed, fitted.scale), plan.learn_kernels)
    return finish(ascent, Fitted(posterior, fitted.mean, fitted.shift, fitted.scale), plan, progress)
