"""A second look at crowded modes, whose columns a greedy search may have got wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from structkit.sbl.forward_backward import Active, SearchResult, Workspace, search
from structkit.sbl.gains import mode_gains
from structkit.sbl.options import Options
from structkit.sbl.polish import polish
from structkit.sbl.problem import Problem

__all__ = ["reconsider"]

_MOST = 16  # columns to start again from
_PAIRS = 24  # pairs of them to start again from, at most
_STEPS = 4  # fixed-point steps that judge a pair

Report = Callable[[dict[str, object]], bool]


def reconsider(
    problem: Problem,
    active: Active,
    result: SearchResult,
    options: Options,
    penalties: Sequence[float],
    report: Report,
) -> tuple[Active, SearchResult]:
    """Start again from single columns in every mode with at least half as many columns as rows, then from pairs.

    Fewer columns than that are the sparsest solution, in general; more need not be. Columns are tried in the order of
    what each would gain alone, until some lead to a better solution that is no longer crowded; pairs only where a mode
    has more than half as many columns as rows after that.
    """
    if all(len(c) >= m for c, m in zip(active.columns, problem.rows, strict=True)) and len(problem.rows) > 1:
        return active, result  # as many columns as rows in every mode: nothing is sparse here
    for mode, m in enumerate(problem.rows):
        if 2 * len(active.columns[mode]) < m or len(active.columns[mode]) == 1:
            continue
        singles = _singles(problem, active, mode)
        starts = ([single] for single in singles)
        active, result = _try(problem, active, result, mode, starts, options, penalties, report)
        if 2 * len(active.columns[mode]) > m > 4:
            pairs = _pairs(problem, active, mode, singles, options.noise_var is None)
            active, result = _try(problem, active, result, mode, pairs, options, penalties, report)
    return active, result


def _try(
    problem: Problem,
    active: Active,
    result: SearchResult,
    mode: int,
    starts: Iterable[Sequence[tuple[int, float]]],
    options: Options,
    penalties: Sequence[float],
    report: Report,
) -> tuple[Active, SearchResult]:
    """Search from other columns of one mode until a better solution is no longer crowded."""
    for start in starts:
        trial = _replaced(active, mode, start)
        found = search(problem, trial, options, penalties, report)
        if found.penalized < result.penalized:
            active, result = trial, found
            if 2 * len(active.columns[mode]) < problem.rows[mode]:
                break
    return active, result


def _replaced(active: Active, mode: int, start: Sequence[tuple[int, float]]) -> Active:
    """The set with other columns in one mode."""
    trial = active.copy()
    trial.columns[mode], trial.gammas[mode] = np.array([j for j, _ in start]), np.array([g for _, g in start])
    return trial


def _singles(problem: Problem, active: Active, mode: int) -> list[tuple[int, float]]:
    """The columns that would gain most as the only one of their mode, with their prior variances."""
    # One column of vanishing prior variance stands for none.
    lone = _replaced(active, mode, [(int(active.columns[mode][0]), 1e-9 * float(active.gammas[mode][0]))])
    space = Workspace(problem, lone)
    slices = problem.project(space.ranges, skip=mode)
    gains = mode_gains(space.model(), mode, slices, problem.host[mode], space.ranges[mode], lone.columns[mode])
    best = np.argsort(-gains.gain, kind="stable")[:_MOST]
    return [(int(j), float(gains.gamma[j])) for j in best if gains.gamma[j] > 0]


def _pairs(
    problem: Problem, active: Active, mode: int, singles: Sequence[tuple[int, float]], learn_noise: bool
) -> list[tuple[tuple[int, float], ...]]:
    """The pairs of these columns that explain most, best first."""
    costs = []
    for pair in itertools.combinations(singles, 2):
        model = Workspace(problem, _replaced(active, mode, pair)).model()
        costs.append((polish(model, learn_noise=learn_noise, n_steps=_STEPS, tol=0.0)[0], pair))
    return [pair for _, pair in sorted(costs)[:_PAIRS]]
