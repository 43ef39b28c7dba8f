"""Log density of observed values from the predictions of the filter."""

from __future__ import annotations

import math

import numpy as np

from structkit._backend.namespace import asarray_like, get_namespace, is_torch
from structkit._core.types import Array
from structkit.statespace.observations import Observations
from structkit.statespace.transitions import Transitions

__all__ = ["value_log_likelihood"]


def value_log_likelihood(transitions: Transitions, obs: Observations, mean: Array, cov: Array) -> Array:
    """Return ``log N(y)``, shape ``(...)``, summed over one-step predictions.

    The same number follows from log Z by subtracting ``y^2 / noise_var``, but with precise data that difference loses
    the digits in which models differ.
    """
    xp = get_namespace(mean)
    a, q, p0, h = (_like(x, mean) for x in (transitions.A, transitions.Q, transitions.Pinf, transitions.H))
    forward = h @ a[1:]
    f = (mean[..., :-1, :] * forward).sum(-1)
    carried = (forward[:, None, :] @ cov[..., :-1, :, :])[..., 0, :]
    spread = (carried * forward).sum(-1) + (h @ q[1:]) @ h
    first = xp.zeros_like(mean[..., :1, 0])
    f = xp.concat([first, f], axis=-1)
    spread = xp.concat([first + h @ p0 @ h, spread], axis=-1)
    total = spread + obs.noise_var
    missing = xp.isnan(obs.y)
    residual = xp.where(missing, xp.zeros_like(f), obs.y - f)
    terms = residual * residual / total + xp.log(2 * math.pi * total)
    return -xp.where(missing, xp.zeros_like(f), terms).sum(-1) / 2


def _like(x: Array, like: Array) -> Array:
    """Return an array in the library, dtype and device of another; torch tensors keep their graph."""
    return x.to(like) if is_torch(x) else asarray_like(np.asarray(x), like)  # type: ignore[attr-defined]
