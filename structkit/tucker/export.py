"""Draws from the posterior, and the decomposition on a grid as tensorly's types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from structkit._core.validation import require
from structkit.statespace import sample as sample_paths
from structkit.tucker.cores import CPCore
from structkit.tucker.entries import find_levels
from structkit.tucker.fitting import Fitted
from structkit.tucker.functions import Moments

__all__ = ["draw", "tensor_on_grid"]


def draw(fitted: Fitted, X: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return joint draws ``(n_samples, n)`` of the noise-free tensor at coordinates, in units of the data."""
    posterior = fitted.posterior
    levels, index = find_levels(X)
    weights = rng.multivariate_normal(posterior.core.mean, posterior.core.cov, n_samples, method="cholesky")
    paths = []
    for f, t in zip(posterior.functions, levels, strict=True):
        assert f.smoothed is not None
        drawn = sample_paths(f.smoothed, n_samples, times=f.prior.times(t), random_state=rng)
        paths.append(np.asarray(drawn))
    out = np.empty((n_samples, len(X)))
    for s in range(n_samples):
        core = posterior.core.copied(carry=False)
        core.mean = weights[s]
        out[s] = core.at(
            index, [np.ascontiguousarray(p[s, :, : f.rank]) for p, f in zip(paths, posterior.functions, strict=True)]
        )
        for k, f in enumerate(posterior.functions):
            if f.effect:
                out[s] += paths[k][s][index[:, k], f.rank]
    return fitted.shift + fitted.scale * out


def tensor_on_grid(fitted: Fitted, moments: Sequence[Moments]) -> Any:
    """Return the posterior mean on the grid of the coordinates of `moments` as a CP or Tucker tensor of tensorly.

    Constant and main effects become components of their own: functions of one mode, ones in the others.
    """
    core = fitted.posterior.core
    d, effects = len(moments), moments[0].effect is not None
    ones = [np.ones((len(m.mean), 1)) for m in moments]
    own = [m.effect[:, None] if m.effect is not None else ones[k] for k, m in enumerate(moments)]
    if isinstance(core, CPCore):
        columns = [[m.mean, ones[k]] for k, m in enumerate(moments)]
        weights = [fitted.scale * core.mean, np.array([fitted.shift])]
        if effects:
            for j in range(d):
                for k in range(d):
                    columns[k].append(own[k] if k == j else ones[k])
            weights.append(np.full(d, fitted.scale))
        cp = require("tensorly.cp_tensor")
        return cp.CPTensor((np.concatenate(weights), [np.concatenate(c, axis=1) for c in columns]))
    # per mode: the functions, one, and the main effect
    extra = 2 if effects else 1
    tensor = np.zeros([r + extra for r in core.ranks])
    tensor[tuple(slice(r) for r in core.ranks)] = fitted.scale * core.tensor
    constant = list(core.ranks)
    tensor[tuple(constant)] = fitted.shift
    for k in range(d if effects else 0):
        place = list(constant)
        place[k] += 1
        tensor[tuple(place)] = fitted.scale
    parts = [[m.mean, ones[k], *([own[k]] if effects else [])] for k, m in enumerate(moments)]
    tucker = require("tensorly.tucker_tensor")
    return tucker.TuckerTensor((tensor, [np.concatenate(p, axis=1) for p in parts]))
