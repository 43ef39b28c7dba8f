"""Columns enter and leave one by one, each change judged by the exact evidence and a penalty per column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
_QUICK_STEPS, _LAST_STEPS = 8, 60


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

    @property
    def count(self) -> int:
        """Number of columns, all modes together."""
        return sum(len(c) for c in self.columns)


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
    converged = False
    for step in range(1, options.max_iter + 1):
        space = Workspace(problem, active)
        model = space.model()
        action = _settle(space, model, options, penalties)
        cost = model.cost()
        penalized = cost + sum(p * len(c) for p, c in zip(penalties, active.columns, strict=True))
        record = {
            "log_evidence": log_evidence(problem, cost),
            "noise_var": model.noise_var * problem.scale**2,
            "n_active": [len(c) for c in active.columns],
        }
        stopped = report(record)
        converged = action is None
        if converged or stopped or step == options.max_iter:
            break
        mode, column, gamma = action  # type: ignore[misc]
        if gamma > 0:
            active.add(mode, column, gamma)
        else:
            active.remove(mode, column)
    return SearchResult(model, cost, penalized, converged, step)


def _settle(
    space: Workspace, model: Spectral, options: Options, penalties: Sequence[float]
) -> tuple[int, int, float] | None:
    """Improve the hyperparameters and name the best change; before the last word, improve them to the end."""
    learn = options.noise_var is None
    action = None
    for n_steps in (_QUICK_STEPS, _LAST_STEPS):
        polish(model, learn_noise=learn, n_steps=n_steps, tol=options.tol)
        space.active.gammas, space.active.noise_var = list(model.gammas), model.noise_var
        action = _best_action(space, model, penalties)
        if action is not None:
            break
    return action


def _best_action(space: Workspace, model: Spectral, penalties: Sequence[float]) -> tuple[int, int, float] | None:
    """The change of one column that lowers the penalised cost most: mode, column, prior variance (zero: delete)."""
    best, action = 0.0, None
    for mode, A in enumerate(space.problem.host):
        columns = space.active.columns[mode]
        gains = mode_gains(model, mode, space.problem.project(space.ranges, skip=mode), A, space.ranges[mode], columns)
        net = gains.gain - penalties[mode]
        losses = -net[columns]
        net[columns] = -np.inf
        enters = int(net.argmax())
        if net[enters] > best:
            best, action = float(net[enters]), (mode, enters, float(gains.gamma[enters]))
        leaves = int(losses.argmax())
        if len(columns) > 1 and losses[leaves] > best:
            best, action = float(losses[leaves]), (mode, int(columns[leaves]), 0.0)
    return action
