"""What one more column costs: penalties of model order in units of the cost."""

from __future__ import annotations

import math

from structkit.sbl.problem import Problem

__all__ = ["column_penalties"]


def column_penalties(penalty: str | float, problem: Problem) -> list[float]:
    """Penalty per column of every mode; the cost is minus the log evidence, twice that if real."""
    unit = 1.0 if problem.is_complex else 2.0
    bic = 0.5 * math.log(problem.n_data * (2 if problem.is_complex else 1))
    if penalty == "bic":
        return [unit * bic] * len(problem.sizes)
    if penalty == "ebic":
        # The second term pays for the choice among n columns.
        return [unit * max(bic, math.log(n) + 2.0) for n in problem.sizes]
    return [unit * float(penalty)] * len(problem.sizes)
