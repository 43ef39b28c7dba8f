"""Where the ascent starts from: functions close to constants, several draws, several models of the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit.tucker.cores import Core, CPCore
from structkit.tucker.functions import ModeFunctions, Moments
from structkit.tucker.priors import ModePrior
from structkit.tucker.relevance import Relevance
from structkit.tucker.tucker_core import TuckerCore

__all__ = ["make_core", "start_core", "start_functions"]

# Functions start near a constant, so that the first sweeps see averages over the other modes. Starts far from it, or
# with a large variance, end in optima that are worse by thousands of nats on temperature records.
_DEVIATION, _VARIANCE = 0.6, 0.03
_WAVES = 5
_CORE_DEVIATION = 0.1


def start_functions(
    prior: ModePrior, levels: np.ndarray, rank: int, effect: bool, rng: np.random.Generator
) -> ModeFunctions:
    """Return functions of one mode with random smooth means around one."""
    functions = ModeFunctions(prior, levels, rank, effect)
    span = float(levels[-1] - levels[0])
    t = (levels - levels[0]) / (span if span > 0 else 1.0)
    order = np.arange(1, _WAVES + 1)
    phases = rng.uniform(0.0, 2 * np.pi, (rank, _WAVES))
    weights = rng.standard_normal((rank, _WAVES)) / (order + 1)
    waves = np.cos(np.pi * order * t[:, None, None] + phases)
    smooth = rng.standard_normal(rank) + np.sum(weights * waves, axis=-1)
    smooth /= np.sqrt(np.mean(smooth**2, axis=0))
    size = rank + effect
    mean, cov = np.zeros((len(t), size)), np.zeros((len(t), size, size))
    mean[:, :rank] = 1 + _DEVIATION * smooth
    cov[:, range(rank), range(rank)] = _VARIANCE
    functions.moments = Moments.of(mean, cov, rank)
    return functions


def start_core(ranks: Sequence[int], superdiagonal: bool, rng: np.random.Generator) -> Core:
    """Return weights of one for every component; a Tucker core has small ones besides."""
    if superdiagonal:
        return make_core(ranks, np.ones(ranks[0]), superdiagonal)
    tensor = _CORE_DEVIATION * rng.standard_normal(tuple(ranks))
    for r in range(max(ranks)):
        tensor[tuple(r % n for n in ranks)] += 1.0
    return make_core(ranks, tensor.ravel(), superdiagonal)


def make_core(ranks: Sequence[int], mean: np.ndarray, superdiagonal: bool) -> Core:
    """Return a CP core, with one weight per component, or a Tucker core, with one per combination."""
    if superdiagonal:
        return CPCore(ranks, mean, Relevance(ranks[:1]))
    return TuckerCore(ranks, mean, Relevance(ranks))
