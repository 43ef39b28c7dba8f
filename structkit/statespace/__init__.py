"""Gaussian processes on a line as linear state-space models: exact inference in time linear in the number of points."""

from structkit.statespace.amplitudes import term_variances
from structkit.statespace.filtering import (
    FilterResult,
    Moments,
    SmootherResult,
    interpolate,
    kalman_filter,
    rts_smoother,
)
from structkit.statespace.likelihood import LikelihoodGradient, LogLikelihood, likelihood_gradient, log_likelihood
from structkit.statespace.models import constant_sde, matern_sde, periodic_sde, quasi_periodic_sde, white_sde
from structkit.statespace.observations import Observations
from structkit.statespace.sampling import sample, sample_prior
from structkit.statespace.sde import LinearSDE
from structkit.statespace.transitions import Transitions, discretize, parameter_gradient

__all__ = [
    "FilterResult",
    "LikelihoodGradient",
    "LinearSDE",
    "LogLikelihood",
    "Moments",
    "Observations",
    "SmootherResult",
    "Transitions",
    "constant_sde",
    "discretize",
    "interpolate",
    "kalman_filter",
    "likelihood_gradient",
    "log_likelihood",
    "matern_sde",
    "parameter_gradient",
    "periodic_sde",
    "quasi_periodic_sde",
    "rts_smoother",
    "sample",
    "sample_prior",
    "term_variances",
    "white_sde",
]
