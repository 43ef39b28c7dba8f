"""Joint draws of whole paths, from the prior and from the posterior."""

from __future__ import annotations

import dataclasses

import numpy as np

from structkit._backend.kernels import kalman, packed
from structkit._backend.namespace import is_torch
from structkit._core.random import check_random_state
from structkit._core.types import Array, RandomState
from structkit._core.validation import check_memory
from structkit.statespace.engine import filter_pass, marginal_pass, smooth_pass, state_scale
from structkit.statespace.filtering import FilterResult, SmootherResult
from structkit.statespace.observations import Observations, check_times
from structkit.statespace.sde import LinearSDE
from structkit.statespace.transitions import Transitions, check_model, discretize

__all__ = ["sample", "sample_prior"]


def sample_prior(sde: LinearSDE, times: Array, n: int = 1, *, random_state: RandomState = None) -> np.ndarray:
    """Draw paths of a process.

    Parameters
    ----------
    sde : LinearSDE
        The model.
    times : array, shape ``(T,)``
        Any finite times in any order; equal times get equal values.
    n : int, >= 1
        Number of paths. Default 1.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    paths : array, shape ``(n, T)``

    Raises
    ------
    ValueError
        If `n` is not a positive integer.
    TypeError, ShapeError, NotFiniteError
        If another argument is of another kind or not finite.

    Examples
    --------
    >>> from structkit.statespace import matern_sde
    >>> paths = sample_prior(matern_sde(1.5), [0.0, 2.0, 0.0], 1000, random_state=0)
    >>> paths.shape, bool((paths[:, 0] == paths[:, 2]).all())
    ((1000, 3), True)
    """
    check_model(sde)
    given = check_times(times, ordered=False)
    rng = check_random_state(random_state)
    order = np.argsort(given, kind="stable")
    knots = given[order]
    paths = np.empty((check_count(n), len(knots)))
    if len(knots):
        paths[:, order] = _paths(discretize(sde, np.diff(knots, prepend=knots[0])), n, rng)
    return paths


def check_count(n: int) -> int:
    """Return a positive number of samples or raise."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n = {n!r}; expected a positive integer.")
    return int(n)


def _paths(transitions: Transitions, n: int, rng: np.random.Generator, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """Draw outputs ``(n, T)`` of the prior at ordered times; `scale`, shape ``(n, s)``, are factors of the states."""
    a, q = packed(transitions.A), packed(transitions.Q)
    check_memory(8 * n * a.shape[0] * a.shape[1], f"{n} paths of {a.shape[0]} states")
    noise = rng.standard_normal((n, *a.shape[:2]))
    noise[:, 0] = noise[:, 0] @ semidefinite_root(np.asarray(transitions.Pinf)[None])[0].T
    noise[:, 1:] = np.einsum("tkl,ntl->ntk", semidefinite_root(q[1:]), noise[:, 1:])
    kalman().propagate(a, noise)
    output = np.broadcast_to(np.asarray(transitions.H), (n, a.shape[1]))
    return (noise * (scale * output)[:, None, :]).sum(axis=-1)


def semidefinite_root(a: np.ndarray) -> np.ndarray:
    """Return lower triangular roots of a stack of positive semi-definite matrices ``(T, n, n)``.

    A pivot that rounding cannot tell from zero gives a column of zeros.
    """
    n = a.shape[-1]
    root = np.zeros_like(a)
    floor = 4 * n * np.finfo(a.dtype).eps * np.einsum("tkk->tk", a)
    for k in range(n):
        column = a[:, k:, k] - np.einsum("til,tl->ti", root[:, k:, :k], root[:, k, :k])
        pivot = column[:, 0]
        scale = np.sqrt(np.where(pivot > floor[:, k], pivot, np.inf))
        root[:, k:, k] = column / scale[:, None]
    return root


def sample(
    smoothed: SmootherResult,
    n: int = 1,
    *,
    times: Array | None = None,
    random_state: RandomState = None,
) -> np.ndarray:
    """Draw whole paths from the posterior, jointly over times and outputs.

    Parameters
    ----------
    smoothed : SmootherResult
        What `rts_smoother` returned, from numpy arrays.
    n : int, >= 1
        Number of draws. Default 1.
    times : array, shape ``(S,)``, optional
        Times of the draws, in any order. Default: those of the observations.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    paths : array, shape ``(n, ..., S)`` for values with noise, ``(n, ..., S, R)`` otherwise

    Raises
    ------
    TypeError
        If `smoothed` is something else, or was made from torch tensors.
    ValueError, ShapeError, NotFiniteError
        If another argument is out of range.

    Notes
    -----
    A draw of the prior plus the posterior mean of what the data say about the difference [1]_: no covariance of a
    predicted state is inverted or factored, so that repeated times and constants need no jitter. Each draw costs a pass
    of filter and smoother.

    References
    ----------
    .. [1] Durbin and Koopman, "A simple and efficient simulation smoother for state space time series analysis",
       Biometrika 89, 2002.

    Examples
    --------
    >>> from structkit.statespace import kalman_filter, matern_sde, rts_smoother
    >>> smoothed = rts_smoother(kalman_filter(matern_sde(0.5), [0.0, 1.0], [1.0, -1.0], noise_var=1e-8))
    >>> sample(smoothed, 2, times=[0.0, 0.5], random_state=0).round(2)[:, 0]
    array([1., 1.])
    """
    if not isinstance(smoothed, SmootherResult):
        raise TypeError(f"smoothed is {type(smoothed).__name__}; expected what rts_smoother returned.")
    if is_torch(smoothed.mean):
        raise TypeError("smoothed holds torch tensors; sample takes numpy arrays.")
    n, rng = check_count(n), check_random_state(random_state)
    new = smoothed.filtered.times if times is None else check_times(times, ordered=False)
    grid, where, there = _merged(smoothed.filtered, new)
    transitions = discretize(smoothed.filtered.sde, np.diff(grid, prepend=grid[0]))
    obs = _placed(smoothed.filtered.observations, where, len(grid))
    drawn = np.stack([_draw(transitions, obs, rng) for _ in range(n)])[..., there, :]
    return drawn[..., 0] if obs.y is not None else drawn


def _merged(filtered: FilterResult, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all times in order, and where the observations and the new times stand among them."""
    both = np.concatenate([filtered.times, new])
    order = np.argsort(both, kind="stable")
    place = np.argsort(order, kind="stable")
    return both[order], place[: len(filtered.times)], place[len(filtered.times) :]


def _placed(obs: Observations, where: np.ndarray, n: int) -> Observations:
    """Put the observations on a larger grid, with nothing observed elsewhere."""
    copies = obs.n_copies
    precision = np.zeros((*obs.batch, n, copies, copies), obs.precision.dtype)  # type: ignore[call-overload]
    information = np.zeros((*obs.batch, n, copies), obs.information.dtype)  # type: ignore[call-overload]
    precision[..., where, :, :], information[..., where, :] = obs.precision, obs.information
    return Observations(precision, information, obs.y, obs.noise_var, obs.scale)


def _draw(transitions: Transitions, obs: Observations, rng: np.random.Generator) -> np.ndarray:
    """Return one draw ``(..., T, R)`` for every series of the batch."""
    precision = np.asarray(obs.precision)
    n_paths = int(np.prod(obs.batch)) * obs.n_copies
    scale = np.tile(state_scale(obs, len(np.asarray(transitions.H))), (n_paths // obs.n_copies, 1))
    f = _paths(transitions, n_paths, rng, scale).reshape(*obs.batch, obs.n_copies, -1).swapaxes(-1, -2)
    flat = precision.reshape(-1, obs.n_copies, obs.n_copies)
    noise = np.einsum("trc,tc->tr", semidefinite_root(flat), rng.standard_normal(flat.shape[:2])).reshape(f.shape)
    simulated = np.einsum("...rc,...c->...r", precision, f) + noise
    gap = dataclasses.replace(obs, information=(obs.information - simulated).astype(precision.dtype))
    mean, cov, _ = filter_pass(transitions, gap)
    states = (mean, cov, *smooth_pass(transitions, gap, mean, cov))
    return f + marginal_pass(transitions, states)[0]
