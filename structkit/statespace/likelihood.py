"""Log likelihood of a model and its gradient in all parameters from one pass forwards and one backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from structkit._backend.kernels import kalman, packed
from structkit._backend.namespace import is_torch
from structkit._core.types import Array
from structkit.statespace.amplitudes import term_of_state
from structkit.statespace.engine import state_scale
from structkit.statespace.filtering import FilterResult, SmootherResult, kalman_filter, rts_smoother
from structkit.statespace.sde import LinearSDE
from structkit.statespace.transitions import parameter_gradient

__all__ = ["LikelihoodGradient", "LogLikelihood", "likelihood_gradient", "log_likelihood"]


@dataclass(frozen=True)
class LogLikelihood:
    """Log likelihood with its gradient.

    Attributes
    ----------
    value : array, shape ``(...)``
        Log density of the values, or log Z of observations in information form.
    gradient : array, shape ``(..., p)``
        Derivatives in the logarithms of ``sde.parameters``.
    noise_gradient : array, shape ``(...)``, or None
        Derivative in the logarithm of a common factor of `noise_var`; None in information form.
    """

    value: Array
    gradient: np.ndarray
    noise_gradient: Array | None


class LikelihoodGradient(NamedTuple):
    """Gradient of a log likelihood.

    Attributes
    ----------
    parameters : array, shape ``(..., p)``
        Derivatives in the logarithms of ``sde.parameters``.
    amplitudes : array, shape ``(..., R, P)``
        Derivatives in the logarithms of the amplitudes of the terms in each output.
    """

    parameters: np.ndarray
    amplitudes: np.ndarray


def log_likelihood(
    sde: LinearSDE,
    times: Array,
    y: Array | None = None,
    *,
    noise_var: Array | float | None = None,
    precision: Array | None = None,
    information: Array | None = None,
    grad: bool = False,
) -> Array | LogLikelihood:
    """Return the log likelihood of observations.

    Parameters
    ----------
    sde : LinearSDE
        Prior of each output.
    times : array, shape ``(T,)``
        Non-decreasing times.
    y : array, shape ``(..., T)``, optional
        Values, NaN where nothing was observed.
    noise_var : float or array that broadcasts to `y`, > 0
        Variance of the noise, in squared units of `y`. Required with `y`.
    precision : array, shape ``(..., T, R, R)``, optional
        Observations in information form, as for `kalman_filter`.
    information : array, shape ``(..., T, R)``, optional
        The same.
    grad : bool
        Also return the gradient, for about twice the time. Default False.

    Returns
    -------
    value : array, shape ``(...)``, or LogLikelihood with ``grad=True``

    Raises
    ------
    TypeError
        If ``grad=True`` with torch tensors: there, gradients in observations, noise and transitions come from autograd.
    ShapeError, NotFiniteError, ValueError, NotPositiveDefiniteError
        As for `kalman_filter`.

    Notes
    -----
    With ``r``, ``N`` the adjoints of the smoother, the derivative in the covariance of a predicted state is
    ``(r r^T - N) / 2``; those in ``A`` and ``Q`` follow, and closed forms lead from there to the parameters. No
    parameter costs a pass of its own.

    References
    ----------
    .. [1] Koopman and Shephard, "Exact score for time series models in state space form", Biometrika 79, 1992.

    Examples
    --------
    >>> from structkit.statespace import log_likelihood, matern_sde
    >>> result = log_likelihood(matern_sde(0.5), [0.0, 1.0, 2.0], [0.3, 0.2, -1.0], noise_var=0.1, grad=True)
    >>> float(result.value).__round__(4), result.gradient.round(4), float(result.noise_gradient).__round__(4)
    (-3.4129, array([ 0.0336, -0.7829]), -0.0852)
    """
    filtered = kalman_filter(sde, times, y, noise_var=noise_var, precision=precision, information=information)
    if not grad:
        return filtered.log_likelihood
    smoothed = rts_smoother(filtered)
    slopes = likelihood_gradient(smoothed)
    return LogLikelihood(filtered.log_likelihood, slopes.parameters, _noise_gradient(smoothed))


def likelihood_gradient(smoothed: SmootherResult) -> LikelihoodGradient:
    """Return the gradient of the log likelihood that belongs to a posterior.

    Parameters
    ----------
    smoothed : SmootherResult
        What `rts_smoother` returned, from numpy arrays.

    Returns
    -------
    gradient : LikelihoodGradient
        In the parameters of the model, which ``log_likelihood(..., grad=True)`` returns too, and in the amplitudes.

    Raises
    ------
    TypeError
        If `smoothed` is something else, or was made from torch tensors.

    Examples
    --------
    >>> from structkit.statespace import kalman_filter, matern_sde, rts_smoother
    >>> filtered = kalman_filter(matern_sde(0.5), [0.0, 1.0, 2.0], [0.3, 0.2, -1.0], noise_var=0.1)
    >>> likelihood_gradient(rts_smoother(filtered)).parameters.round(4)
    array([ 0.0336, -0.7829])
    """
    if not isinstance(smoothed, SmootherResult):
        raise TypeError(f"smoothed is {type(smoothed).__name__}; expected what rts_smoother returned.")
    if is_torch(smoothed.mean):
        raise TypeError("The analytic gradient takes numpy arrays; with torch tensors, call backward() on the value.")
    filtered: FilterResult = smoothed.filtered
    batch = filtered.observations.batch
    steps = np.diff(filtered.times, prepend=filtered.times[0])
    arrays = (filtered.state_mean, filtered.state_cov, smoothed.score, smoothed.curvature)
    flat = [packed(x.reshape(-1, *x.shape[len(batch) :])) for x in arrays]
    step, obs, sde = filtered.transitions, filtered.observations, filtered.sde
    scale = state_scale(obs, sde.n_states)
    a, q, p0, factors = (packed(x, flat[0].dtype) for x in (step.A, step.Q, step.Pinf, scale))
    grad_a, grad_q, grad_p0, grad_scale = np.empty_like(a), np.empty_like(a), np.empty_like(p0), np.empty_like(factors)
    terms = np.eye(int(term_of_state(sde)[-1]) + 1)[term_of_state(sde)]
    rows, slopes = np.empty((len(flat[0]), len(sde.parameters))), np.empty((len(flat[0]), len(scale), terms.shape[1]))
    for b in range(len(rows)):
        kalman().gradient(a, q, p0, factors, *(x[b] for x in flat), grad_a, grad_q, grad_p0, grad_scale)
        rows[b] = parameter_gradient(sde, steps, grad_a, grad_q, grad_p0)
        slopes[b] = (grad_scale * factors) @ terms
    return LikelihoodGradient(rows.reshape(*batch, rows.shape[1]), slopes.reshape(*batch, *slopes.shape[1:]))


def _noise_gradient(smoothed: SmootherResult) -> Array | None:
    """Return the derivative in the logarithm of a common factor of the noise variances."""
    obs = smoothed.filtered.observations
    if obs.y is None:
        return None
    missing = np.isnan(obs.y)  # type: ignore[call-overload]
    residual = np.where(missing, 0.0, obs.y - smoothed.mean)
    terms = (residual * residual + smoothed.var) / obs.noise_var - 1
    return np.where(missing, 0.0, terms).sum(-1) / 2
