"""Rounds over the terms of a sum of sparse products, the noise between them, and the number of terms."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.progress import Progress
from structkit.sbl.forward_backward import search
from structkit.sbl.options import Options
from structkit.sbl.penalty import column_penalties
from structkit.sbl.polish import NOISE_FLOOR
from structkit.sbl.problem import Problem
from structkit.sbl.recovery import log_evidence
from structkit.sbl.spectral import abs2
from structkit.sbl.starts import leading_vectors, peak_start
from structkit.sbl.terms import Term, fit_term, start_term

__all__ = ["SumOfTerms", "fit_terms"]

_MOST_TERMS = 8  # where their number is chosen
_FIRST_ROUNDS = 3  # of every start, before the better one goes on
_SWEEPS = 20  # of the power iteration for a leading product


@dataclass
class SumOfTerms:
    """Terms, noise variance, cost without and with penalties, and how the rounds ended."""

    terms: list[Term]
    noise_var: float
    cost: float = math.inf
    penalized: float = math.inf
    converged: bool = False
    n_iter: int = 0


class _Rounds:
    """The problem, its options, and what every round needs."""

    def __init__(self, problem: Problem, options: Options, progress: Progress) -> None:
        self.problem, self.options, self.progress = problem, options, progress
        self.y = np.ascontiguousarray(to_numpy(problem.y))
        self.penalties = column_penalties(options.penalty, problem)

    def residual(self, terms: Sequence[Term]) -> np.ndarray:
        """What the terms leave of the measurements."""
        rest = self.y
        for term in terms:
            rest = rest - term.tensor()
        return rest

    def noise(self, terms: Sequence[Term]) -> float:
        """The given noise variance, or the residual over the measurements that the vectors leave free."""
        if self.options.noise_var is not None:
            return self.options.noise_var
        used = sum(sum(len(x) for x in t.means) + len(t.weights) - len(t.means) for t in terms)
        free = max(self.y.size - used, 1)
        return max(float(abs2(self.residual(terms)).sum()) / free, NOISE_FLOOR)

    def round(self, fit: SumOfTerms) -> None:
        """Fit every term to what the others leave, then the noise and the cost."""
        for r, term in enumerate(fit.terms):
            others = fit.terms[:r] + fit.terms[r + 1 :]
            fit_term(self.problem, self.residual(others), term, fit.noise_var, self.options, self.penalties)
            fit.noise_var = self.noise(fit.terms)
        energy = float(abs2(self.residual(fit.terms)).sum())
        fit.cost = self.y.size * math.log(fit.noise_var) + energy / fit.noise_var
        counts = [sum(len(t.means[i]) for t in fit.terms) for i in range(len(self.problem.sizes))]
        fit.penalized = fit.cost + sum(p * k for p, k in zip(self.penalties, counts, strict=True))
        fit.n_iter += 1

    def settle(self, fit: SumOfTerms, limit: int) -> bool:
        """Go round until the cost settles; whether it did."""
        for _ in range(limit):
            before = fit.cost
            self.round(fit)
            record = {
                "stage": f"{len(fit.terms)} terms",
                "log_likelihood": log_evidence(self.problem, fit.cost),
                "noise_var": fit.noise_var * self.problem.scale**2,
                "n_active": [[len(x) for x in t.means] for t in fit.terms],
            }
            if self.progress.step(record):
                return False
            if abs(before - fit.cost) <= self.options.tol * self.y.size:
                return True
        return False

    def start(self, terms: Sequence[Term], images: Sequence[np.ndarray]) -> SumOfTerms:
        """Add a term that is seen as the given vectors of the modes."""
        others = copy.deepcopy(list(terms))
        fresh = start_term(images, self.residual(others))
        fit = SumOfTerms([*others, fresh], 1.0)
        rest = float(abs2(self.residual(fit.terms)).mean())
        fit.noise_var = max(rest, NOISE_FLOOR) if self.options.noise_var is None else self.options.noise_var
        return fit

    def first(self) -> SumOfTerms:
        """The better one of two starts of the first term: the leading product of the data, and of a found block."""
        active = peak_start(self.problem, self.options.noise_var)
        found = search(self.problem, active, self.options, self.penalties, lambda record: False)
        block = leading_vectors(np.asarray(found.model.posterior()[0]), _SWEEPS)
        images = [A[:, c] @ v for A, c, v in zip(self.problem.host, active.columns, block, strict=False)]
        starts = [self.start([], leading_vectors(self.y, _SWEEPS)[:-1]), self.start([], images)]
        starts[1].terms[0].columns = list(active.columns)
        for fit in starts:
            self.settle(fit, _FIRST_ROUNDS)
        return min(starts, key=lambda fit: fit.penalized)


def fit_terms(problem: Problem, options: Options, progress: Progress, rank: int | None, max_iter: int) -> SumOfTerms:
    """Fit `rank` terms, or as many as the penalised likelihood pays for."""
    rounds = _Rounds(problem, options, progress)
    progress.stage("rounds")
    best = rounds.first()
    best.converged = rounds.settle(best, max_iter)
    while len(best.terms) < (rank or _MOST_TERMS) and not progress.stopped:
        vectors = leading_vectors(rounds.residual(best.terms), _SWEEPS)
        trial = rounds.start(best.terms, vectors[:-1])
        trial.converged = rounds.settle(trial, max_iter)
        if rank is None and trial.penalized >= best.penalized:
            break
        best = trial
    return best
