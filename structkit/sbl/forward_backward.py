"""Columns enter and leave one by one, each change judged by the exact evidence and a penalty per column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from structkit.kron import multi_mode_product
from structkit.sbl.gains import mode_gains
from structkit.sbl.options import Options
from structkit.sbl.polish import polish
from structkit.sbl.problem import Problem
from structkit.sbl.recovery import log_evidence
from structkit.sbl.spectral import Data, Spectral, abs2

__all__ = ["Active", "SearchResult", "search"]

# Fixed-point steps between changes, and before the search may end.
_QUICK_STEPS, _LAST_STEPS = 4, 60
# Columns of other modes enter together with the best one if they gain at least this share of what it gains.
_WORTH = 0.3
# The search ends when so many changes in a row gain less than this per measurement.
_PATIENCE, _LEAST = 10, 1e-9


class Action(NamedTuple):
    """A column that enters with a prior variance, or leaves where that is zero."""

    mode: int
    column: int
    gamma: float


@dataclass
class Active:
    """Active columns of every mode, their prior variances, and the noise variance."""

    columns: list[np.ndarray]
    gammas: list[np.ndarray]
    noise_var: float

    def add(self, mode: int, column: int, gamma: float) -> None:
        """Let one column in."""
        self.columns[mode] = np.append(self.columns[mode], column)
        self.gammas[mode] = np.append(self.gammas[mode], gamma)

    def remove(self, mode: int, column: int) -> None:
        """Take one column out."""
        keep = self.columns[mode] != column
        self.columns[mode], self.gammas[mode] = self.columns[mode][keep], self.gammas[mode][keep]

    def become(self, other: Active) -> None:
        """Take over the state of another set."""
        self.columns, self.gammas, self.noise_var = list(other.columns), list(other.gammas), other.noise_var

    def copy(self) -> Active:
        """Return a set that changes on its own."""
        return Active(list(self.columns), list(self.gammas), self.noise_var)


class Workspace:
    """The problem seen through the ranges of the active columns."""

    def __init__(self, problem: Problem, active: Active) -> None:
        self.problem, self.active = problem, active
        chosen = [np.linalg.qr(A[:, c]) for A, c in zip(problem.host, active.columns, strict=True)]
        self.ranges = [Q for Q, _ in chosen]
        inside = problem.project(self.ranges)
        n_lost = problem.n_data - inside.size
        self.data = Data([R for _, R in chosen], inside, self._lost(inside) if n_lost else 0.0, n_lost)

    def _lost(self, inside: np.ndarray) -> float:
        """Energy of the measurements outside of the ranges; the total is the number of data."""
        difference = self.problem.n_data - float(abs2(inside).sum())
        if difference > 1e-6 * self.problem.n_data:
            return difference
        problem = self.problem
        modes, bases = list(range(len(self.ranges))), [problem.from_host(Q) for Q in self.ranges]
        outside = problem.y - multi_mode_product(problem.from_host(inside), bases, modes=modes)
        return float(abs2(outside).sum())  # type: ignore[attr-defined]

    def model(self) -> Spectral:
        """The model at the hyperparameters of the active set."""
        return Spectral(self.data, self.active.gammas, self.active.noise_var)


@dataclass(frozen=True)
class SearchResult:
    """The model of the columns that the search ended with, its cost without and with penalties, and how it ended."""

    model: Spectral
    cost: float
    penalized: float
    converged: bool
    n_iter: int


def search(
    problem: Problem,
    active: Active,
    options: Options,
    penalties: Sequence[float],
    report: Callable[[dict[str, object]], bool],
) -> SearchResult:
    """Add and delete columns until no change lowers the penalised cost; `active` ends as the result."""
    best, kept, stalled = None, active.copy(), 0
    for step in range(1, options.max_iter + 1):
        space = Workspace(problem, active)
        model = space.model()
        actions = _settle(space, model, options, penalties)
        cost = model.cost()
        penalized = cost + sum(p * len(c) for p, c in zip(penalties, active.columns, strict=True))
        stalled = 0 if best is None or penalized < best.penalized - _LEAST * problem.n_data else stalled + 1
        if best is None or penalized < best.penalized:
            best, kept = SearchResult(model, cost, penalized, False, step), active.copy()
        stopped = report(
            {
                "log_evidence": log_evidence(problem, cost),
                "noise_var": model.noise_var * problem.scale**2,
                "n_active": [len(c) for c in active.columns],
            }
        )
        # At rounding, changes may promise gains that they do not bring.
        ended = not actions or stalled == _PATIENCE
        if ended or stopped or step == options.max_iter:
            break
        for mode, column, gamma in actions:
            if gamma > 0:
                active.add(mode, column, gamma)
            else:
                active.remove(mode, column)
    active.become(kept)
    return replace(best, converged=ended, n_iter=step)  # type: ignore[type-var, return-value]


def _settle(space: Workspace, model: Spectral, options: Options, penalties: Sequence[float]) -> list[Action]:
    """Improve the hyperparameters and name the next changes; before there are none, improve them to the end."""
    learn = options.noise_var is None
    actions: list[Action] = []
    for n_steps in (_QUICK_STEPS, _LAST_STEPS):
        polish(model, learn_noise=learn, n_steps=n_steps, tol=options.tol)
        space.active.gammas, space.active.noise_var = list(model.gammas), model.noise_var
        actions = _next_actions(space, model, penalties)
        if actions:
            break
    return actions


def _next_actions(space: Workspace, model: Spectral, penalties: Sequence[float]) -> list[Action]:
    """The deletion that lowers the penalised cost most, or else the best addition of every mode that is worth it."""
    additions: dict[Action, float] = {}
    loss, deletion = 0.0, None
    for mode, A in enumerate(space.problem.host):
        columns = space.active.columns[mode]
        gains = mode_gains(model, mode, space.problem.project(space.ranges, skip=mode), A, space.ranges[mode], columns)
        net = gains.gain - penalties[mode]
        losses = -net[columns]
        net[columns] = -np.inf
        enters, leaves = int(net.argmax()), int(losses.argmax())
        # More columns than rows would span nothing new.
        if net[enters] > 0 and len(columns) < len(A):
            additions[Action(mode, enters, float(gains.gamma[enters]))] = float(net[enters])
        if len(columns) > 1 and losses[leaves] > loss:
            loss, deletion = float(losses[leaves]), Action(mode, int(columns[leaves]), 0.0)
    best = max(additions.values(), default=0.0)
    if best > loss:
        return [action for action, gain in additions.items() if gain >= _WORTH * best]
    return [] if deletion is None else [deletion]
