"""From a checked problem to a solution: starts, the chosen method, and the model without any column to compare with."""

from __future__ import annotations

import math

from structkit._core.progress import Progress
from structkit.sbl.forward_backward import search
from structkit.sbl.full import from_all_columns
from structkit.sbl.options import Options
from structkit.sbl.penalty import column_penalties
from structkit.sbl.polish import NOISE_FLOOR
from structkit.sbl.problem import Problem
from structkit.sbl.recovery import Solution, block_of, empty_block
from structkit.sbl.restarts import reconsider
from structkit.sbl.starts import peak_start, spread_start

__all__ = ["solve"]


def solve(problem: Problem, options: Options, progress: Progress) -> Solution:
    """Recover the coefficients by the chosen method."""
    solver = forward_backward if options.method == "fb" else from_all_columns
    return solver(problem, options, progress)


def forward_backward(problem: Problem, options: Options, progress: Progress) -> Solution:
    """Search from every start; the smallest penalised cost wins, the model of noise alone included."""
    penalties = column_penalties(options.penalty, problem)

    def report(record: dict[str, object]) -> bool:
        return progress.step({"stage": "search", **record})

    progress.stage("search")
    active = peak_start(problem, options.noise_var)
    result = search(problem, active, options, penalties, report)
    if options.n_starts > 1 and not progress.stopped:
        # Far more columns than the first search found would only cost time.
        other = spread_start(problem, options.noise_var, [2 * len(c) + 4 for c in active.columns])
        second = search(problem, other, options, penalties, report)
        if second.penalized < result.penalized:
            active, result = other, second
    if options.n_starts > 1 and not progress.stopped:
        active, result = reconsider(problem, active, result, options, penalties, report)
    alone = _noise_alone(problem, options)
    if result.penalized >= alone.penalized:
        return alone
    block = block_of(problem, active.columns, result.model)
    return Solution(block, result.cost, result.penalized, result.converged, result.n_iter)


def _noise_alone(problem: Problem, options: Options) -> Solution:
    """The model without any column."""
    noise = 1.0 if options.noise_var is None else options.noise_var
    cost = problem.n_data * (math.log(max(noise, NOISE_FLOOR)) + 1.0 / max(noise, NOISE_FLOOR))
    return Solution(empty_block(problem, noise), cost, cost, True, 0)
