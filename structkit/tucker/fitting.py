"""From entries to a posterior: candidates, the choice among them, the long run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from structkit._backend.namespace import is_dask
from structkit._core.progress import Progress
from structkit._core.types import Array
from structkit.tucker.ascent import Ascent, best_start
from structkit.tucker.distributed import distributed_entries
from structkit.tucker.entries import Block, Entries, find_levels, keep, merge
from structkit.tucker.inference import Posterior
from structkit.tucker.noise import Noise, StudentNoise
from structkit.tucker.options import Settings
from structkit.tucker.priors import mode_prior
from structkit.tucker.pruning import prune
from structkit.tucker.starts import start_core, start_functions

__all__ = ["Fitted", "Observed", "Plan", "fit_posterior", "observe", "refit", "update"]

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
        return self.entries.rescaled(shift - self.average, scale)


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


def observe(X: Array, y: Array, *, separate: bool) -> Observed:
    """Return the entries; observations of the same entry are added up unless they are to stay `separate`."""
    levels, entries, average = (distributed_entries if is_dask(X) else _entries)(X, y, separate)  # type: ignore[arg-type]
    deviation = float(np.sqrt(entries.square / entries.n_observations))
    return Observed(levels, entries, average, deviation if deviation >= 1e-14 * abs(average) else 0.0)


def _entries(X: np.ndarray, y: np.ndarray, separate: bool) -> tuple[list[np.ndarray], Entries, float]:
    """Levels, entries about their average, and the average."""
    levels, index = find_levels(X)
    average = float(np.mean(y))
    block = keep(index, y - average) if separate else merge(index, y - average, [len(v) for v in levels])
    return levels, Entries((block,), len(y)), average


def fit_posterior(observed: Observed, plan: Plan, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Choose the best of several starts and run it to the end."""
    part = _part(observed, rng)
    means = [plan.settings.means[i % len(plan.settings.means)] for i in range(plan.n_starts)]
    candidates = [_start(part, plan, mean, rng) for mean in means]
    chosen = best_start([ascent for ascent, _ in candidates], means, progress)
    ascent, fitted = candidates[chosen]
    if part is not observed:
        _use_all(fitted, observed)
        ascent = Ascent(fitted.posterior, _offset(observed, fitted.scale), plan.learn_kernels)
    return finish(ascent, fitted, plan, progress, pruned=True)


def finish(ascent: Ascent, fitted: Fitted, plan: Plan, progress: Progress, *, pruned: bool = False) -> Fitted:
    """Run an ascent to the end, and with `pruned` again without the functions that it can do without."""
    if not progress.stopped:
        fitted.converged = ascent.run(plan.max_iter, plan.tol, progress)
    if pruned and fitted.converged and prune(ascent, progress) and not progress.stopped:
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
    """A random part of many entries, in memory, with all levels."""
    if sum(observed.entries.sizes) <= 2 * _START_ENTRIES:
        return observed
    return replace(observed, entries=observed.entries.sample(_START_ENTRIES, rng))


def _use_all(fitted: Fitted, observed: Observed) -> None:
    """Go on with all entries from the posterior of a part of them."""
    posterior = fitted.posterior
    posterior.entries = observed.standardized(fitted.shift, fitted.scale)
    posterior.noise = posterior.noise.resized(observed.entries.n_observations)


def refit(fitted: Fitted, observed: Observed, plan: Plan, progress: Progress) -> Fitted:
    """Start from an earlier posterior, evaluated at the levels of new entries."""
    old = fitted.posterior
    functions = [f.moved(levels) for f, levels in zip(old.functions, observed.levels, strict=True)]
    core = old.core.copied(carry=False)
    noise = old.noise.resized(observed.entries.n_observations)
    entries = observed.standardized(fitted.shift, fitted.scale)
    return _go_on(fitted, Posterior(entries, functions, core, noise), plan, progress)


def update(fitted: Fitted, observed: Observed, plan: Plan, progress: Progress) -> Fitted:
    """Add entries to a posterior: what earlier ones said about each part of it is kept as it is."""
    old = fitted.posterior
    functions = [f.extended(levels) for f, levels in zip(old.functions, observed.levels, strict=True)]
    places = [np.searchsorted(f.levels, levels) for f, levels in zip(functions, observed.levels, strict=True)]
    entries = observed.standardized(fitted.shift, fitted.scale).map(_relabelled, places)
    noise = old.noise.resized(observed.entries.n_observations, carry=True)
    return _go_on(fitted, Posterior(entries, functions, old.core.copied(carry=True), noise), plan, progress)


def _go_on(fitted: Fitted, posterior: Posterior, plan: Plan, progress: Progress) -> Fitted:
    offset = -posterior.noise.n * float(np.log(fitted.scale))
    ascent = Ascent(posterior, offset, plan.learn_kernels)
    return finish(ascent, Fitted(posterior, fitted.mean, fitted.shift, fitted.scale), plan, progress)


def _relabelled(block: Block, places: list[np.ndarray]) -> Block:
    """The block with other numbers for its levels."""
    return replace(block, index=np.stack([p[block.index[:, k]] for k, p in enumerate(places)], axis=1))
