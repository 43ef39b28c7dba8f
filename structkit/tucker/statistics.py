"""Sums over entries that the updates need; each function takes one block of entries and can run anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit.tucker.cores import Core, crossed_means
from structkit.tucker.entries import Block
from structkit.tucker.functions import Moments

__all__ = ["effect_sums", "entry_moments", "mode_sums"]


def mode_sums(block: Block, core: Core, moments: Sequence[Moments], mode: int) -> tuple[np.ndarray, ...]:
    """Return `Sums` for one mode, followed with main effects by those of `effect_sums`."""
    sums = core.sums(block, moments, mode)
    return (*sums, *effect_sums(block, moments, mode)) if moments[mode].effect is not None else tuple(sums)


def effect_sums(block: Block, moments: Sequence[Moments], mode: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums for the main effect of one mode, given those of the others, which add up to `o`.

    Returns
    -------
    rest, count : array, shape ``(I,)``
        ``total - weight E[o]`` and ``weight`` by level.
    constant : array, shape ``(1,)``
        ``weight E[o^2] - 2 total E[o]``, over all entries.
    """
    offset, variance = np.zeros((2, len(block.weight)))
    for k, m in enumerate(moments):
        if k != mode:
            levels = block.index[:, k]
            offset += m.effect[levels]  # type: ignore[index]
            variance += (m.effect_second - m.effect**2)[levels]  # type: ignore[operator, index]
    levels, n_levels = block.index[:, mode], len(moments[mode].mean)
    rest = np.bincount(levels, block.total - block.weight * offset, n_levels)
    count = np.bincount(levels, block.weight, n_levels)
    constant = np.sum(block.weight * (offset**2 + variance) - 2 * block.total * offset)
    return rest, count, np.array([constant])


def entry_moments(index: np.ndarray, core: Core, moments: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the noise-free tensor at entries, shape ``(n,)`` each."""
    mean = core.at(index, [m.mean for m in moments])
    variance = core.second_at(index, [m.second for m in moments]) - mean**2
    if moments[0].effect is None:
        return mean, np.maximum(variance, 0.0)
    total = mean.copy()
    for k, m in enumerate(moments):
        effect = m.effect[index[:, k]]  # type: ignore[index]
        total += effect
        # a main effect depends on the functions of its own mode
        variance += 2 * (core.at(index, crossed_means(moments, k)) - mean * effect)
        variance += m.effect_second[index[:, k]] - effect**2  # type: ignore[index]
    return total, np.maximum(variance, 0.0)
