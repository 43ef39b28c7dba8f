"""What is tried for a problem, in which order, and how the solutions are judged against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from structkit.pde.expansion import Expansion
from structkit.pde.features import AxisFeatures
from structkit.pde.problem import PDE

__all__ = ["CHECK_POINTS", "VIOLATED", "Attempt", "Search", "Trial", "best_of", "between", "estimate", "is_due", "plan"]

# Lengths of the envelope over that of the domain, in the order in which they are tried.
_RATIOS = (0.35, 0.6, 0.2, 0.1, 0.07, 0.04)
# Degrees of plain polynomials, by the number of axes: they resolve layers at the ends that no envelope does.
_DEGREES = {1: (200, 800, 950), 2: (120, 280, 340), 3: (50, 100, 120)}
# The same behind a mask, where all functions of the box are coupled.
_MASKED_DEGREES = (24, 40, 56)
# Polynomials of more than the first degree are not needed below this error.
_GOOD = 1e-8
# Points of the off-grid residual per axis, by the number of axes.
CHECK_POINTS = {1: 2001, 2: 151, 3: 41}
# Relative violations of conditions beyond this are contradictions, or data that the basis does not resolve.
VIOLATED = 1e-4
# Attempts count in the estimate of the error if their residual is at most this many times that of the runner-up.
_RIVALS = 3.0
# Below this the solution is known well enough to show its own carriers.
_TRUSTED = 0.3


@dataclass(frozen=True)
class Search:
    """What to try.

    Attributes
    ----------
    n_points : tuple of int or None
        Points per axis; None chooses them.
    lengthscale : float or None
        Length-scale of the envelopes over the length of the axis; None searches.
    frequencies : tuple of array or None
        Carriers per axis; None discovers them.
    tol : float
        Off-grid residual that ends the search.
    max_iter : int
        Most Newton steps.
    seed : int
        Of the fibres that are looked at.
    """

    n_points: tuple[int, ...] | None
    lengthscale: float | None
    frequencies: tuple[np.ndarray, ...] | None
    tol: float
    max_iter: int
    seed: int


@dataclass
class Attempt:
    """One solution.

    Attributes
    ----------
    expansion : Expansion
        The solution.
    ratio : float
        Length-scale over length of the axis.
    residual : float
        Off-grid residual of the equation, or the violation of a condition if that is larger.
    mismatch : float
        Largest relative violation of a condition.
    solved : bool
        Whether the equations on the coefficients were solved.
    n_iter : int
        Newton steps; 0 for linear equations.
    resonance : float
        Smallest over typical eigenvalue of the operator.
    values : array
        The solution off the grid, where the residual was formed.
    error : float
        Estimated relative error.
    misfit : float
        Share of given samples of the source that is not matched.
    """

    expansion: Expansion
    ratio: float
    residual: float
    mismatch: float
    solved: bool = True
    n_iter: int = 0
    resonance: float = math.inf
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    error: float = math.inf
    misfit: float = 0.0

    def has(self, features: Sequence[AxisFeatures]) -> bool:
        """Whether it was made of the same features."""
        return all(
            f.lengthscale == b.features.lengthscale
            and f.modes.shape == b.features.modes.shape
            and np.array_equal(f.frequencies, b.features.frequencies)
            for f, b in zip(features, self.expansion.bases, strict=True)
        )


@dataclass(frozen=True)
class Trial:
    """Functions to try: envelopes of a length-scale, over that of the axis, or polynomials up to a degree."""

    ratio: float
    degree: int = 0
    again: bool = False


def plan(search: Search, problem: PDE) -> list[Trial]:
    """What to try, in this order, until a solution is good enough."""
    if search.lengthscale is not None:
        given = [Trial(search.lengthscale), Trial(0.8 * search.lengthscale)]
        return given + ([] if search.frequencies else [replace(t, again=True) for t in given])
    first = [Trial(r) for r in _RATIOS]
    if search.frequencies:
        return first
    polynomials = [Trial(1 / k, degree=k) for k in _degrees(problem)]
    return [*first, *polynomials, *(Trial(r, again=True) for r in _RATIOS)]


def _degrees(problem: PDE) -> tuple[int, ...]:
    return _DEGREES[problem.n_axes] if problem.mask is None else _MASKED_DEGREES


def is_due(trial: Trial, problem: PDE, attempts: Sequence[Attempt]) -> bool:
    """Whether a trial can help after the earlier ones."""
    if not attempts:
        return True
    best = best_of(attempts)
    if trial.again:
        return best.residual <= _TRUSTED
    if trial.degree:
        lowest = trial.degree == _degrees(problem)[0]
        # High derivatives of high polynomials are all rounding.
        low_order = max(problem.order(a) for a in range(problem.n_axes)) <= 2
        return best.solved and best.mismatch <= VIOLATED and (lowest or (low_order and best.error > _GOOD))
    return True


def best_of(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt with the smallest residual."""
    return min(attempts, key=lambda a: a.residual)


def estimate(best: Attempt, attempts: Sequence[Attempt]) -> float:
    """Relative error of the best attempt: its difference from the runners-up, scaled down if these are much worse.

    The residual itself weighs errors by the operator: it is blind to slow ones where the solution is fast, and
    magnifies fast ones where it is slow. Solutions with different functions err independently.
    """
    same = [b.features for b in best.expansion.bases]
    others = [a for a in attempts if a.ratio != best.ratio and math.isfinite(a.residual) and not a.has(same)]
    if not others or not best.solved or not math.isfinite(best.residual):
        return best.residual
    near = _RIVALS * max(best_of(others).residual, best.residual)
    size = float(np.linalg.norm(best.values)) or 1.0
    error = max(
        float(np.linalg.norm(best.values - a.values)) / size * math.sqrt(min(1.0, best.residual / (a.residual or 1.0)))
        for a in others
        if a.residual <= near
    )
    # Conditions that are violated are no rounding, and on this every solution may agree.
    return max(error, best.mismatch) if best.mismatch > VIOLATED else error


def between(a: float, b: float, n: int) -> np.ndarray:
    """Midpoints of an even grid, off the collocation points."""
    return a + (b - a) * (np.arange(n) + 0.5) / n
