"""Switching functions off where the bound gains by it: coordinate ascent often keeps near copies of a function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from structkit._core.progress import Progress
from structkit.tucker.ascent import Ascent
from structkit.tucker.cores import Core
from structkit.tucker.functions import Moments
from structkit.tucker.packing import pack, unpack

__all__ = ["prune"]

# Sweeps in which the other functions take over what a function carried.
_TRIAL_SWEEPS = 8
_OFF = 1e-9


def prune(ascent: Ascent, progress: Progress) -> bool:
    """Try to switch off functions, those that carry least first; return whether any was."""
    changed = False
    n_axes = len(ascent.posterior.core.relevance.ranks)
    for axis in range(n_axes):
        energy = ascent.posterior.core.shares(axis)
        for r in np.argsort(energy):
            if energy[r] > _OFF and np.sum(energy > _OFF) > 1:
                if progress.stopped:
                    return changed
                if _try_without(ascent, axis, int(r), progress):
                    energy, changed = ascent.posterior.core.shares(axis), True
    return changed


def _try_without(ascent: Ascent, axis: int, r: int, progress: Progress) -> bool:
    """Switch one function off and sweep; keep that if the bound is better, otherwise restore the state."""
    posterior, before = ascent.posterior, ascent.bound
    saved = posterior.state
    _switch_off(posterior.core, axis, r)
    for f in posterior.functions if posterior.core.shared else [posterior.functions[axis]]:
        f.moments = _without(f.moments, r)
    bound = -np.inf
    for left in reversed(range(_TRIAL_SWEEPS)):
        last, bound = bound, posterior.sweep() + ascent.offset
        # gains shrink from sweep to sweep: what they would not reach if they stayed the same is out of reach
        if bound > before or bound + left * (bound - last) < before:
            break
    better = bound > before
    if better:
        ascent.bounds.append(bound)
    else:
        posterior.state = saved
    progress.step({"stage": "pruning", "axis": axis, "function": r, "elbo": ascent.bound})
    return better


def _switch_off(core: Core, axis: int, r: int) -> None:
    """Set the weights of one function to zero, and their precision to a large number."""
    ranks = core.relevance.ranks
    chosen = np.zeros(ranks, dtype=bool)
    chosen[(slice(None),) * axis + (r,)] = True
    flat = chosen.ravel()
    core.mean, core.cov = np.where(flat, 0.0, core.mean), core.cov.copy()
    core.cov[flat, :] = core.cov[:, flat] = 0.0
    core.cov[flat, flat] = _OFF**2
    rate = core.relevance.rate[axis].copy()
    rate[r] = _OFF
    core.relevance.rate[axis] = rate


def _without(moments: Moments, r: int) -> Moments:
    """Moments in which one function is that of the prior, independent of the others."""
    rank = moments.mean.shape[1]
    mean, second = moments.mean.copy(), unpack(moments.second, rank)
    mean[:, r] = 0.0
    second[:, r, :] = second[:, :, r] = 0.0
    second[:, r, r] = 1.0
    cross = None
    if moments.cross is not None:
        cross = moments.cross.copy()
        cross[:, r] = 0.0
    return replace(moments, mean=mean, second=pack(second), cross=cross)
