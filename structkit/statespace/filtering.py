"""Kalman filter, smoother and interpolation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from structkit._backend.namespace import get_namespace
from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array
from structkit.statespace.amplitudes import expand_amplitudes
from structkit.statespace.engine import (
    filter_pass,
    interpolate_pass,
    marginal_pass,
    smooth_pass,
    state_pass,
    state_scale,
)
from structkit.statespace.innovations import value_log_likelihood
from structkit.statespace.observations import Observations, check_times, gather
from structkit.statespace.sde import LinearSDE
from structkit.statespace.transitions import Transitions, check_model, discretize

__all__ = ["FilterResult", "Moments", "SmootherResult", "interpolate", "kalman_filter", "rts_smoother"]


@dataclass(frozen=True)
class Moments:
    """Posterior moments of the outputs at a set of times.

    Attributes
    ----------
    mean, var : array, shape ``(..., S)`` for values with noise, ``(..., S, R)`` for the information form
        Mean and variance of each output, without noise of observations.
    cov : array, shape ``(..., S, R, R)``
        Covariance of the outputs at one time.
    """

    mean: Array
    var: Array
    cov: Array


@dataclass(frozen=True)
class FilterResult:
    """What `kalman_filter` returns.

    Attributes
    ----------
    sde : LinearSDE
        The model.
    times : array, shape ``(T,)``
        Times of the observations.
    observations : Observations
        What was observed, in information form.
    transitions : Transitions
        Steps from each time to the next; the first entry is not used.
    state_mean, state_cov : array, shapes ``(..., T, m)``, ``(..., T, m, m)``
        Moments of the ``m = R s`` states given the observations up to and including each time.
    log_z : array, shape ``(...)``
        Logarithm of the prior expectation of the product of all factors
        ``exp(information @ f - f @ precision @ f / 2)``.
    log_likelihood : array, shape ``(...)``
        Log density of the values `y`; the same as `log_z` for observations in information form.
    """

    sde: LinearSDE
    times: np.ndarray
    observations: Observations = field(repr=False)
    transitions: Transitions = field(repr=False)
    state_mean: Array = field(repr=False)
    state_cov: Array = field(repr=False)
    log_z: Array
    log_likelihood: Array


@dataclass(frozen=True)
class SmootherResult(Moments):
    """What `rts_smoother` returns: the posterior given all observations.

    Attributes
    ----------
    mean, var : array, shape ``(..., T)`` for values with noise, ``(..., T, R)`` for the information form
        Mean and variance of each output, without noise of observations.
    cov : array, shape ``(..., T, R, R)``
        Covariance of the outputs at one time.
    filtered : FilterResult
        What it was made from.
    score, curvature : array, shapes ``(..., T, m)``, ``(..., T, m, m)``
        What all observations from each time on say about its state before them: ``r`` and ``N`` with
        ``d log_z / d mean = r`` and ``d log_z / d cov = (r r^T - N) / 2``.
    """

    filtered: FilterResult = field(repr=False)
    score: Array = field(repr=False)
    curvature: Array = field(repr=False)

    def _all(self) -> tuple[Array, Array, Array, Array]:
        """Return what every later computation starts from."""
        return self.filtered.state_mean, self.filtered.state_cov, self.score, self.curvature

    def states(self) -> tuple[Array, Array]:
        """Return the posterior moments of the states.

        Returns
        -------
        mean : array, shape ``(..., T, m)``
            Copy slowest: state `k` of output `r` at ``r * s + k``.
        cov : array, shape ``(..., T, m, m)``
        """
        return state_pass(self.filtered.transitions, self._all())


def kalman_filter(
    sde: LinearSDE,
    times: Array,
    y: Array | None = None,
    *,
    noise_var: Array | float | None = None,
    precision: Array | None = None,
    information: Array | None = None,
    amplitudes: Array | None = None,
    transitions: Transitions | None = None,
) -> FilterResult:
    r"""Filter observations of a process at ordered times.

    Observations are either values `y` of one output with independent Gaussian noise, or factors
    :math:`\exp(\eta_i^T f_i - f_i^T \Lambda_i f_i / 2)` on `R` outputs, which are independent copies of the process a
    priori and become dependent through the off-diagonal entries of the precisions.

    Parameters
    ----------
    sde : LinearSDE
        Prior of each output, `s` states.
    times : array, shape ``(T,)``
        Non-decreasing; times may repeat and lie any distance apart.
    y : array, shape ``(..., T)``, optional
        One series or a batch of them at the same times; NaN where nothing was observed.
    noise_var : float or array that broadcasts to `y`, > 0
        Variance of the noise, in squared units of `y`. Required with `y`.
    precision : array, shape ``(..., T, R, R)``, optional
        :math:`\Lambda_i`, symmetric positive semi-definite: singular and zero ones are fine.
    information : array, shape ``(..., T, R)``, optional
        :math:`\eta_i`.
    amplitudes : array, shape ``(R, P)``, optional
        Factor of each of the `P` terms of a sum in each output (``P = 1`` for another model), so that outputs mix the
        same processes in their own proportions. Zero switches a term off. Default: ones.
    transitions : Transitions, optional
        What ``discretize(sde, np.diff(times, prepend=times[0]))`` returns, for repeated use, or with torch tensors that
        carry gradients. Default: computed here.

    Returns
    -------
    result : FilterResult

    Raises
    ------
    ShapeError, NotFiniteError, TypeError, ValueError
        If an argument has the wrong shape, is not finite, is out of range, or times are not ordered.
    NotPositiveDefiniteError
        If a precision is not positive semi-definite.

    See Also
    --------
    rts_smoother : moments given all observations.

    Notes
    -----
    Each step costs :math:`O(s m^2 + R m^2)` for :math:`m = R s`. The only matrix that is inverted is
    :math:`I + \Lambda_i \operatorname{cov}(f_i)`, whose eigenvalues are at least one. A precision `k` times the inverse
    prior variance costs the variance of the outputs about ``k * eps`` of its relative accuracy for sums of several
    processes, and nothing for a single Matern process.

    References
    ----------
    .. [1] Sarkka and Svensson, "Bayesian Filtering and Smoothing", 2nd edition, Cambridge 2023.

    Examples
    --------
    >>> from structkit.statespace import kalman_filter, matern_sde
    >>> result = kalman_filter(matern_sde(1.5), [0.0, 0.5, 0.5, 3.0], [1.0, 0.8, float("nan"), -1.0], noise_var=0.1)
    >>> result.state_mean.shape, float(result.log_likelihood).__round__(4)
    ((4, 2), -3.4957)
    """
    check_model(sde)
    t = check_times(times)
    obs = gather(len(t), y, noise_var, precision, information)
    if amplitudes is not None:
        obs = replace(obs, scale=expand_amplitudes(sde, amplitudes, obs.n_copies))
    if transitions is None:
        transitions = discretize(sde, np.diff(t, prepend=t[0]))
    mean, cov, log_z = filter_pass(transitions, obs)
    if not get_namespace(log_z).isfinite(log_z).all():
        raise NotPositiveDefiniteError(
            "The filter met a precision that is not positive semi-definite beside the prior, or overflowed; scale the "
            "data or use float64."
        )
    value = log_z if obs.y is None else value_log_likelihood(transitions, obs, mean, cov)
    return FilterResult(sde, t, obs, transitions, mean, cov, log_z, value)


def rts_smoother(filtered: FilterResult) -> SmootherResult:
    """Return the posterior at the times of the observations given all of them.

    Parameters
    ----------
    filtered : FilterResult
        What `kalman_filter` returned.

    Returns
    -------
    result : SmootherResult

    Raises
    ------
    TypeError
        If something else is given.

    See Also
    --------
    interpolate : the posterior at other times.
    sample : joint draws from it.

    Notes
    -----
    The moments are those of the RTS recursion, computed by that of Bryson and Frazier in the form of [1]_: it carries
    the gradient of the log likelihood backwards instead of gains, and so inverts no covariance of a predicted state,
    which is singular when times repeat or a state has no noise.

    References
    ----------
    .. [1] Bierman, "Fixed interval smoothing with discrete measurements", Int. J. Control 18, 1973.

    Examples
    --------
    >>> from structkit.statespace import kalman_filter, matern_sde, rts_smoother
    >>> smoothed = rts_smoother(kalman_filter(matern_sde(0.5), [0.0, 1.0], [1.0, float("nan")], noise_var=1.0))
    >>> smoothed.mean.round(4), smoothed.var.round(4)
    (array([0.5   , 0.1839]), array([0.5   , 0.9323]))
    """
    if not isinstance(filtered, FilterResult):
        raise TypeError(f"filtered is {type(filtered).__name__}; expected what kalman_filter returned.")
    t, obs = filtered.transitions, filtered.observations
    score, curvature = smooth_pass(t, obs, filtered.state_mean, filtered.state_cov)
    states = (filtered.state_mean, filtered.state_cov, score, curvature)
    moments = _moments(obs, *marginal_pass(t, states))
    return SmootherResult(moments.mean, moments.var, moments.cov, filtered, score, curvature)


def _moments(obs: Observations, mean: Array, cov: Array) -> Moments:
    """Return moments in the shape that belongs to the form of the observations."""
    diagonal = range(obs.n_copies)
    var = cov[..., diagonal, diagonal]
    return Moments(mean, var, cov) if obs.y is None else Moments(mean[..., 0], var[..., 0], cov)


def interpolate(smoothed: SmootherResult, times: Array) -> Moments:
    """Return the exact posterior at any times: between the observations, at them, before the first, after the last.

    Parameters
    ----------
    smoothed : SmootherResult
        What `rts_smoother` returned.
    times : array, shape ``(S,)``
        Any finite times in any order.

    Returns
    -------
    moments : Moments
        In the order of `times`.

    Raises
    ------
    TypeError, ShapeError, NotFiniteError
        If an argument is of another kind or not finite.

    Examples
    --------
    >>> from structkit.statespace import interpolate, kalman_filter, matern_sde, rts_smoother
    >>> smoothed = rts_smoother(kalman_filter(matern_sde(0.5), [0.0, 1.0], [1.0, 1.0], noise_var=1e-6))
    >>> interpolate(smoothed, [-1.0, 0.5, 50.0]).mean.round(4)
    array([0.3679, 0.8868, 0.    ])
    """
    if not isinstance(smoothed, SmootherResult):
        raise TypeError(f"smoothed is {type(smoothed).__name__}; expected what rts_smoother returned.")
    filtered = smoothed.filtered
    new, knots = check_times(times, ordered=False), filtered.times
    left = np.searchsorted(knots, new, side="right").astype(np.int64) - 1
    # Outside of the knots one of the two steps does not exist; it is set to zero and not read.
    before = np.where(left >= 0, new - knots[np.maximum(left, 0)], 0.0)
    after = np.where(left + 1 < len(knots), knots[np.minimum(left + 1, len(knots) - 1)] - new, 0.0)
    first, second = discretize(filtered.sde, before), discretize(filtered.sde, after)
    obs = filtered.observations
    scale = state_scale(obs, filtered.sde.n_states)
    return _moments(obs, *interpolate_pass(left, first, second, scale, smoothed._all()))
