"""Methods that start from all columns and drop those whose prior variance vanishes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from structkit._backend.namespace import asarray_like, to_numpy
from structkit._core.progress import Progress
from structkit.sbl import published
from structkit.sbl.options import Options
from structkit.sbl.penalty import column_penalties
from structkit.sbl.polish import NOISE_FLOOR, polish
from structkit.sbl.problem import Problem
from structkit.sbl.recovery import Solution, block_of, log_evidence
from structkit.sbl.spectral import Spectral, compress

__all__ = ["METHODS", "Method", "from_all_columns"]


@dataclass(frozen=True)
class Method:
    """What a method does by default: columns below `prune` times the largest of their mode leave."""

    prune: float
    tol: float
    max_iter: int
    step: Callable[[Spectral, Sequence[np.ndarray], Sequence[float]], list[np.ndarray]] | None = None


METHODS = {
    "mm": Method(1e-6, 1e-7, 1000),
    "am": Method(1e-2, 1e-4, 150, published.alternating),
    "svd": Method(1e-3, 1e-4, 150, published.nested_svd),
    "ksbl": Method(1e-2, 1e-4, 150, published.single_sweep),
    "block": Method(1e-2, 1e-4, 150, published.block_alternating),
}


class AllColumns:
    """Columns that are left, and the model of them."""

    def __init__(self, problem: Problem, noise_var: float, variance: float | None, *, host: bool) -> None:
        self.problem, self.host = problem, host
        self.columns = [np.arange(n) for n in problem.sizes]
        self.y = np.asarray(to_numpy(problem.y)) if host else problem.y
        gammas = [n**2 for n in problem.norms]
        powers = [(np.linalg.norm(A, axis=0) ** 2) @ g for A, g in zip(problem.host, gammas, strict=True)]
        # Without a given variance, that whose measurements have the mean square of these.
        fitting = math.prod(problem.rows) / math.prod(float(p) for p in powers)
        gammas[-1] = gammas[-1] * (fitting if variance is None else variance / problem.scale**2)
        self.build(gammas, noise_var)

    def build(self, gammas: Sequence[np.ndarray], noise_var: float) -> None:
        """Set up the model of the columns that are left."""
        chosen = [A[:, c] for A, c in zip(self.problem.host, self.columns, strict=True)]
        if not self.host:
            chosen = [asarray_like(A, self.problem.y) for A in chosen]
            gammas = [asarray_like(g, self.problem.y.real) for g in gammas]  # type: ignore[attr-defined]
        self.model = Spectral(compress(chosen, self.y), gammas, noise_var)

    def prune(self, shares: Sequence[float]) -> None:
        """Drop columns below these shares of the largest prior variance of their mode."""
        gammas = [to_numpy(g) for g in self.model.gammas]
        kept = [g >= share * g.max() for g, share in zip(gammas, shares, strict=True)]
        if all(k.all() for k in kept):
            return
        self.columns = [c[k] for c, k in zip(self.columns, kept, strict=True)]
        self.build([g[k] for g, k in zip(gammas, kept, strict=True)], self.model.noise_var)


def from_all_columns(problem: Problem, options: Options, progress: Progress) -> Solution:
    """Recover by ``"mm"`` or one of the published methods."""
    if options.method != "mm":
        # The published methods see the dictionaries as they are: their thresholds depend on the norms of the columns.
        factors = [
            asarray_like(to_numpy(A) * n, problem.y) for A, n in zip(problem.factors, problem.norms, strict=True)
        ]
        problem = replace(problem, factors=factors, norms=[np.ones_like(n) for n in problem.norms])
    noise = 0.1 if options.noise_var is None else options.noise_var
    state = AllColumns(problem, noise, options.initial_variance, host=options.method != "mm")
    progress.stage(f"method {options.method}", options.max_iter)
    converged = False
    for n_iter in range(1, options.max_iter + 1):  # noqa: B007
        state.prune(options.prune)
        converged = _majorise(state, options) if options.method == "mm" else _expect(state, options)
        record = {
            "stage": options.method,
            "log_evidence": log_evidence(problem, state.model.cost()),
            "noise_var": state.model.noise_var * problem.scale**2,
            "n_active": [len(c) for c in state.columns],
        }
        if progress.step(record) or converged:
            break
    state.prune(options.prune)
    cost = state.model.cost()
    penalties = column_penalties(options.penalty, problem)
    penalized = cost + sum(p * len(c) for p, c in zip(penalties, state.columns, strict=True))
    return Solution(block_of(problem, state.columns, state.model), cost, penalized, converged, n_iter)


def _majorise(state: AllColumns, options: Options) -> bool:
    """One monotone step of every mode and of the noise."""
    learn = options.noise_var is None
    return polish(state.model, learn_noise=learn, n_steps=1, tol=options.tol, exponent=0.5)[1]


def _expect(state: AllColumns, options: Options) -> bool:
    """One step of expectation maximisation; whether the product of the prior variances has settled."""
    model = state.model
    before = list(model.gammas)
    new = METHODS[options.method].step(model, state.columns, options.coupling)  # type: ignore[misc]
    noise = model.noise_var if options.noise_var is not None else max(published.expected_noise(model), NOISE_FLOOR)
    for i, gamma in enumerate(new):
        model.set_mode(i, np.maximum(gamma, np.finfo(float).tiny))
    model.refresh()
    model.noise_var = noise
    return published.relative_change(new, before) <= options.tol
