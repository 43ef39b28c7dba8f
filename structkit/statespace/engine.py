"""Passes over batches of series: the compiled kernels on numpy arrays, their batched twins on torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from structkit._backend.kernels import kalman, packed
from structkit._backend.namespace import is_torch
from structkit._core.types import Array
from structkit._core.validation import check_memory
from structkit.statespace.observations import Observations
from structkit.statespace.transitions import Transitions

__all__ = ["filter_pass", "interpolate_pass", "marginal_pass", "smooth_pass", "state_pass", "state_scale"]

Pair = tuple[Array, Array]


def _twin() -> ModuleType:
    """Return the torch twins of the kernels."""
    from structkit._backend import torch_kalman

    return torch_kalman


def _matrices(transitions: Transitions, dtype: np.dtype) -> list[np.ndarray]:
    """Return ``a``, ``q``, ``p0``, ``h`` as the kernels take them."""
    return [packed(x, dtype) for x in (transitions.A, transitions.Q, transitions.Pinf, transitions.H)]


def state_scale(obs: Observations, n_states: int) -> np.ndarray:
    """Factors ``(R, s)`` of the states of every output."""
    return np.ones((obs.n_copies, n_states)) if obs.scale is None else obs.scale


def _each(*arrays: tuple[Array, int]) -> list[np.ndarray]:
    """Flatten the batch of each array, given with the number of its own axes."""
    return [packed(x.reshape(-1, *x.shape[x.ndim - n :])) for x, n in arrays]


def _moments(batch: tuple[int, ...], n: int, m: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Allocate means ``(B, n, m)`` and covariances ``(B, n, m, m)``."""
    b = int(np.prod(batch))
    check_memory(b * n * m * (m + 1) * dtype.itemsize, f"The moments of {b * n} states of size {m}")
    return np.empty((b, n, m), dtype), np.empty((b, n, m, m), dtype)


def _shaped(batch: tuple[int, ...], *arrays: np.ndarray) -> Pair:
    """Give the batch its shape back."""
    first, second = (x.reshape(*batch, *x.shape[1:]) for x in arrays)
    return first, second


def filter_pass(transitions: Transitions, obs: Observations) -> tuple[Array, Array, Array]:
    """Return filtered means ``(..., T, m)`` and covariances, and log Z ``(...)``."""
    if is_torch(obs.information):
        t = transitions
        return _twin().filter_steps(t.A, t.Q, t.Pinf, t.H, state_scale(obs, len(t.H)), obs.precision, obs.information)
    dtype = obs.information.dtype
    matrices = _matrices(transitions, dtype)  # type: ignore[arg-type]
    precision, information = _each((obs.precision, 3), (obs.information, 2))
    matrices.append(packed(state_scale(obs, len(matrices[3])), dtype))
    n_times, m = information.shape[1], len(matrices[3]) * obs.n_copies
    mean, cov = _moments(obs.batch, n_times, m, np.dtype(dtype))  # type: ignore[call-overload]
    filter_steps: Callable[..., float] = kalman().filter_steps
    log_z = [filter_steps(*matrices, precision[b], information[b], mean[b], cov[b]) for b in range(len(mean))]
    return (*_shaped(obs.batch, mean, cov), np.array(log_z, dtype=np.float64).reshape(obs.batch))  # type: ignore[return-value]


def smooth_pass(transitions: Transitions, obs: Observations, mean: Array, cov: Array) -> Pair:
    """Return the adjoints ``(..., T, m)``, ``(..., T, m, m)`` of the predicted states."""
    if is_torch(mean):
        t = transitions
        scale = state_scale(obs, len(t.H))
        return _twin().smooth_steps(t.A, t.Q, t.Pinf, t.H, scale, obs.precision, obs.information, mean, cov)
    matrices = _matrices(transitions, mean.dtype)  # type: ignore[arg-type]
    matrices.append(packed(state_scale(obs, len(matrices[3])), mean.dtype))
    flat = _each((obs.precision, 3), (obs.information, 2), (mean, 2), (cov, 3))
    score, curvature = np.empty_like(flat[2]), np.empty_like(flat[3])
    for b in range(len(score)):
        kalman().smooth_steps(*matrices, *(x[b] for x in flat), score[b], curvature[b])
    return _shaped(obs.batch, score, curvature)


def marginal_pass(transitions: Transitions, states: tuple[Array, Array, Array, Array]) -> Pair:
    """Return the smoothed moments ``(..., T, R)``, ``(..., T, R, R)`` of the outputs; `states` are the four moments."""
    if is_torch(states[0]):
        return _twin().marginals(transitions.H, transitions.A, *states)
    batch = tuple(states[0].shape[:-2])
    a, _, _, h = _matrices(transitions, states[0].dtype)  # type: ignore[arg-type]
    flat = _each(*zip(states, (2, 3, 2, 3), strict=True))
    f_mean, f_cov = _moments(batch, flat[0].shape[1], flat[0].shape[2] // len(h), flat[0].dtype)
    for b in range(len(f_mean)):
        kalman().marginals(h, a, *(x[b] for x in flat), f_mean[b], f_cov[b])
    return _shaped(batch, f_mean, f_cov)


def state_pass(transitions: Transitions, states: tuple[Array, Array, Array, Array]) -> Pair:
    """Return the smoothed moments ``(..., T, m)``, ``(..., T, m, m)`` of the states."""
    if is_torch(states[0]):
        return _twin().smoothed_states(transitions.A, *states)
    batch = tuple(states[0].shape[:-2])
    a = _matrices(transitions, states[0].dtype)[0]  # type: ignore[arg-type]
    flat = _each(*zip(states, (2, 3, 2, 3), strict=True))
    out_mean, out_cov = np.empty_like(flat[0]), np.empty_like(flat[1])
    for b in range(len(out_mean)):
        kalman().smoothed_states(a, *(x[b] for x in flat), out_mean[b], out_cov[b])
    return _shaped(batch, out_mean, out_cov)


def interpolate_pass(
    left: np.ndarray,
    first: Transitions,
    second: Transitions,
    scale: np.ndarray,
    states: tuple[Array, Array, Array, Array],
) -> Pair:
    """Return the moments ``(..., S, R)``, ``(..., S, R, R)`` of the outputs between the steps `left` and the next."""
    if is_torch(states[0]):
        return _twin().interpolate(left, first.A, first.Q, second.A, first.Pinf, first.H, scale, *states)
    batch = tuple(states[0].shape[:-2])
    a1, q1, p0, h = _matrices(first, states[0].dtype)  # type: ignore[arg-type]
    factors = packed(scale, states[0].dtype)
    a2 = _matrices(second, states[0].dtype)[0]  # type: ignore[arg-type]
    flat = _each(*zip(states, (2, 3, 2, 3), strict=True))
    f_mean, f_cov = _moments(batch, len(left), flat[0].shape[2] // len(h), flat[0].dtype)
    for b in range(len(f_mean)):
        kalman().interpolate(left, a1, q1, a2, p0, h, factors, *(x[b] for x in flat), f_mean[b], f_cov[b])
    return _shaped(batch, f_mean, f_cov)
