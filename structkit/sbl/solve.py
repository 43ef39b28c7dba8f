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
from structkit.sbl.starts import peak_start, spread_start

__all__ = ["solve"]


def solve(problem: Problem, options: Options, progress: Progress) -> Solution:
    """Recover the coefficients by the chosen method."""
    solver = forward_backward if options.method == "fb" else from_all_columns
    return solver(problem, options, progress)


def forward_backward(problem: Problem, options: Options, progress: Progress) -> Solution:
    """Search from every start; the smallest penalised cost wins, the model of noise alone included."""
    penalties = column_penalties(options.penalty, problem)
    best = _noise_alone(problem, options)
    active = peak_start(problem, options.noise_var)
    for name in ("peak", "spread")[: options.n_starts]:
        if name == "spread":
            # Far more columns than the first search found would only cost time.
            active = spread_start(problem, options.noise_var, [2 * len(c) + 4 for c in active.columns])
        progress.stage(f"search from {name}")
        result = search(problem, active, options, penalties, lambda r, name=name: progress.step({"stage": name, **r}))
        if result.penalized < best.penalized:
            block = block_of(problem, active.columns, result.model)
            best = Solution(block, result.cost, result.penalized, result.converged, result.n_iter)
        if progress.stopped:
            break
    return best


def _noise_alone(problem: Problem, options: Options) -> Solution:
    """The model without any column."""
    noise = 1.0 if options.noise_var is None else options.noise_var
    cost = problem.n_data * (math.log(max(noise, NOISE_FLOOR)) + 1.0 / max(noise, NOISE_FLOOR))
    return Solution(empty_block(problem, noise), cost, cost, True, 0)
