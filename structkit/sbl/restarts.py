"""A second look at crowded modes, whose columns a greedy search may have got wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from structkit.sbl.forward_backward import Active, SearchResult, Workspace, search
from structkit.sbl.gains import mode_gains
from structkit.sbl.options import Options
from structkit.sbl.problem import Problem

__all__ = ["reconsider"]

_MOST = 16  # columns to start again from


def reconsider(
    problem: Problem,
    active: Active,
    result: SearchResult,
    options: Options,
    penalties: Sequence[float],
    report: Callable[[dict[str, object]], bool],
) -> tuple[Active, SearchResult]:
    """Start again from single columns in every mode with at least half as many columns as rows.

    Fewer columns than that are the sparsest solution, in general; more need not be. The columns are tried in the order
    of what each would gain alone, until one leads to a better solution that is no longer crowded.
    """
    if all(len(c) >= m for c, m in zip(active.columns, problem.rows, strict=True)) and len(problem.rows) > 1:
        return active, result  # as many columns as rows in every mode: nothing is sparse here
    for mode, m in enumerate(problem.rows):
        if 2 * len(active.columns[mode]) < m or len(active.columns[mode]) == 1:
            continue
        for column, gamma in _firsts(problem, active, mode):
            trial = active.copy()
            trial.columns[mode], trial.gammas[mode] = np.array([column]), np.array([gamma])
            found = search(problem, trial, options, penalties, report)
            if found.penalized < result.penalized:
                active, result = trial, found
                if 2 * len(active.columns[mode]) < m:
                    break
    return active, result


def _firsts(problem: Problem, active: Active, mode: int) -> list[tuple[int, float]]:
    """The columns that would gain most as the only one of their mode, with their prior variances."""
    lone = active.copy()
    # One column of vanishing prior variance stands for none.
    lone.columns[mode] = active.columns[mode][:1]
    lone.gammas[mode] = active.gammas[mode][:1] * 1e-9
    space = Workspace(problem, lone)
    slices = problem.project(space.ranges, skip=mode)
    gains = mode_gains(space.model(), mode, slices, problem.host[mode], space.ranges[mode], lone.columns[mode])
    best = np.argsort(-gains.gain, kind="stable")[:_MOST]
    return [(int(j), float(gains.gamma[j])) for j in best if gains.gamma[j] > 0]
