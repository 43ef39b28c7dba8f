"""The posterior of a solution given noisy data, a mixture over the hyperparameters, in one basis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from structkit._core.progress import Progress
from structkit.pde.basis import AxisBasis
from structkit.pde.evidence import Evidence, Hyperparameters, prior_roots
from structkit.pde.expansion import Expansion
from structkit.pde.features import axis_features
from structkit.pde.knowns import EXACT, SOURCE
from structkit.pde.learning import Objective, Optimum, climb, curvature_root, draws
from structkit.pde.observations import Observations
from structkit.pde.problem import PDE
from structkit.pde.rows import Design
from structkit.pde.starts import CUTOFF, LEARNING_CUTOFF, Learner, PosteriorSearch, Start, starts

__all__ = ["Estimate", "PosteriorFit", "fit_posterior"]

# Directions of the common basis below this share of the largest one are dropped.
_RANK = {1: 1e-9, 2: 1e-5, 3: 1e-4}
# Steps from each of several starts.
_SHORT = 20
# Pairs of draws of the hyperparameters.
_DRAWS = {1: 12, 2: 3, 3: 1}


@dataclass(frozen=True)
class Estimate:
    """A parameter that was learned.

    Parameters
    ----------
    value : float
        Mode of its posterior.
    standard_error : float
        Standard deviation in Laplace's approximation, with the uncertainty of all hyperparameters.

    Examples
    --------
    >>> Estimate(33.01, 0.02)
    Estimate(value=33.01, standard_error=0.02)
    """

    value: float
    standard_error: float


@dataclass
class PosteriorFit:
    """Posterior of a solution.

    Attributes
    ----------
    expansion : Expansion
        Its mean.
    root : array, shape ``(r_1, ..., r_D, k)``
        Square root of the covariance of the coefficients.
    parameters : dict of str to Estimate
        What was learned of the equation.
    noise_var : float
        Noise variance of the source.
    observation_noise_var : list of float or array
        Noise variance of each set of observations.
    log_evidence : float
        At the mode of the hyperparameters, of what is noisy given what is exact.
    converged : bool
        Whether the ascent ended by itself.
    n_iter : int
        Its steps.
    residual : float
        Root mean square of the standard deviation over that of the mean.
    equation_residual : float
        Root mean square of ``L u - f`` at the points of the source over that of its largest term.
    condition_residual : float
        Largest violation of a condition over the size of its data.
    """

    expansion: Expansion
    root: np.ndarray
    parameters: dict[str, Estimate]
    noise_var: float
    observation_noise_var: list[float | np.ndarray]
    log_evidence: float
    converged: bool
    n_iter: int
    residual: float
    equation_residual: float
    condition_residual: float


def fit_posterior(
    problem: PDE, observations: Sequence[Observations], search: PosteriorSearch, progress: Progress
) -> PosteriorFit:
    """Learn hyperparameters by evidence and return the posterior of the solution.

    Raises
    ------
    ValueError
        If the equation is nonlinear, or nothing was measured.
    SizeError
        If the posterior has more features than a dense matrix can hold.
    """
    learner = Learner(problem, observations, search)
    progress.stage("evidence", None)

    def report(value: float) -> bool:
        return progress.step({"stage": "evidence", "log_evidence": value})

    best, objective, optimum = _ascend(learner, starts(learner), report)
    root = curvature_root(objective, optimum.x)
    mixture = draws(objective, optimum, root, _DRAWS[learner.d], learner.rng)
    progress.close()
    final = learner.evidence(best.frequencies, CUTOFF)
    mode = objective.hyperparameters(optimum.x)
    expansion, covariance = _mixed(learner, best.frequencies, final, mixture)
    errors = np.linalg.norm(root, axis=1) * objective.scale[objective.free]
    names = list(mode.parameters)
    return PosteriorFit(
        expansion,
        covariance,
        {n: Estimate(mode.parameters[n], float(errors[len(errors) - len(names) + i])) for i, n in enumerate(names)},
        _variance(search.noise_var, mode, SOURCE),
        [_variance(o.noise_var, mode, f"observations {i}") for i, o in enumerate(observations)],
        objective.evidence.value(mode),
        optimum.converged,
        optimum.n_iter,
        *_residuals(learner, expansion, covariance, mode.parameters),
    )


def _variance(given: Any, h: Hyperparameters, name: str) -> Any:
    """Noise variance that was given, or else learned."""
    return math.exp(2 * h.log_noise[name]) if isinstance(given, str) else given


def _residuals(
    learner: Learner, mean: Expansion, root: np.ndarray, values: Mapping[str, float]
) -> tuple[float, float, float]:
    """Relative size of the standard deviation, residual of the equation, violation of conditions."""
    source, *others = learner.knowns.blocks
    points = source.terms[0].points
    spread = float(np.sqrt(np.mean(np.sum(Expansion(mean.bases, root).at(points[:: len(points) // 500 + 1]) ** 2, -1))))
    size = float(np.sqrt(np.mean(mean.at(points) ** 2)))
    terms = [t.factor(values) * mean.at(t.points, dict(t.orders)) for t in source.terms]
    largest = max(float(np.linalg.norm(v)) for v in [*terms, source.values])
    equation = float(np.linalg.norm(sum(terms) - source.values)) / (largest or 1.0)
    violated = 0.0
    for block in others:
        if block.exact:
            found = sum(t.factor(values) * mean.at(t.points, dict(t.orders)) for t in block.terms)
            violated = max(violated, float(np.max(np.abs(found - block.values) * EXACT / block.scale)))
    return spread / (size or 1.0), equation, violated


def _ascend(
    learner: Learner, begins: Sequence[Start], report: Callable[[float], bool]
) -> tuple[Start, Objective, Optimum]:
    """Climb a little from every start, and on from the best."""
    most = learner.search.max_iter
    short = most if len(begins) == 1 else min(_SHORT, most)
    best: tuple[Start, Objective, Optimum] | None = None
    for start in begins:
        objective = learner.objective(start, LEARNING_CUTOFF)
        found = climb(objective, objective.variables(start.hyperparameters), short, report)
        if best is None or found.value < best[2].value:
            best = start, objective, found
    assert best is not None
    start, objective, found = best
    if not found.converged and short < most:
        found = climb(objective, found.x, most - short, report)
    return start, objective, found


def _mixed(
    learner: Learner,
    frequencies: Sequence[np.ndarray],
    evidence: Evidence,
    mixture: Sequence[tuple[float, Hyperparameters]],
) -> tuple[Expansion, np.ndarray]:
    """Mean and square root of the covariance of a mixture of posteriors, in a basis that all of them share."""
    kept = [(w, h) for w, h in mixture if w > 1e-6]
    shortest = np.exp(np.min([h.log_ratios for _, h in kept], axis=0))
    bases = [_common_basis(learner, a, frequencies[a], float(shortest[a])) for a in range(learner.d)]
    shape = tuple(b.rank for b in bases)
    means, roots = [], []
    for w, h in kept:
        design, posterior = evidence.posterior(h)
        T = _transfer(design, bases) * prior_roots(h, design)
        means.append(T @ posterior.mean)
        roots.append(math.sqrt(w) * (T @ posterior.root))
    weights = np.array([w for w, _ in kept])
    mean = weights @ np.array(means)
    stacked = np.hstack([*roots, (np.sqrt(weights)[:, None] * (np.array(means) - mean)).T])
    if stacked.shape[1] > len(mean):
        (R,) = scipy.linalg.qr(stacked.T, mode="r")
        stacked = R[: len(mean)].T
    return Expansion(bases, mean.reshape(shape)), stacked.reshape(*shape, -1)


def _transfer(design: Design, bases: Sequence[AxisBasis]) -> np.ndarray:
    """Products of features as coefficients of products of basis functions, shape ``(r_1 ... r_D, p)``."""
    out = np.ones((1, design.size))
    for f, columns, basis in zip(design.features, design.columns, bases, strict=True):
        T = (basis.test.T @ f(basis.x))[:, columns]
        out = (out[:, None, :] * T).reshape(-1, design.size)
    return out


def _common_basis(learner: Learner, axis: int, frequencies: np.ndarray, ratio: float) -> AxisBasis:
    a, b = learner.problem.domain[axis]
    features = axis_features(a, b, ratio * (b - a), frequencies)
    n = math.ceil(math.pi * float(frequencies.max()) * (b - a) + 0.8 * len(features.modes) + 16)
    whole = AxisBasis(features, n)
    values = np.sqrt(whole.weights)[:, None] * features(whole.x)
    _, s, vt = scipy.linalg.svd(values, full_matrices=False)
    r = int(np.sum(s > _RANK[learner.d] * s[0]))
    return AxisBasis(features, n, vt[:r].T / s[:r])
