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
    forward = xp.einsum("k,tkl->tl", h, a[1:])
    f = (mean[..., :-1, :] * forward).sum(-1)
    spread = _quadratic(forward, cov[..., :-1, :, :]) + xp.einsum("k,tkl,l->t", h, q[1:], h)
    first = xp.zeros_like(mean[..., :1, 0])
    f = xp.concat([first, f], axis=-1)
    spread = xp.concat([first + h @ p0 @ h, spread], axis=-1)
    total = spread + obs.noise_var
    missing = xp.isnan(obs.y)
    residual = xp.where(missing, xp.zeros_like(f), obs.y - f)
    terms = residual * residual / total + xp.log(2 * math.pi * total)
    return -xp.where(missing, xp.zeros_like(f), terms).sum(-1) / 2


def _quadratic(rows: Array, cov: Array) -> Array:
    """Return ``rows[t] cov[t] rows[t]``: entry by entry, as products of stacks of tiny matrices are slow."""
    total = rows[:, 0] * rows[:, 0] * cov[..., 0, 0]
    for k in range(1, rows.shape[1]):
        total = total + rows[:, k] * rows[:, k] * cov[..., k, k]
        for l in range(k):
            total = total + 2 * rows[:, k] * rows[:, l] * cov[..., k, l]
    return total


def _like(x: Array, like: Array) -> Array:
    """Return an array in the library, dtype and device of another; torch tensors keep their graph."""
    return x.to(like) if is_torch(x) else asarray_like(np.asarray(x), like)  # type: ignore[attr-defined]
