"""Gaussian processes on a line as linear state-space models: exact inference in time linear in the number of points."""

from structkit.statespace.models import constant_sde, matern_sde, periodic_sde, quasi_periodic_sde, white_sde
from structkit.statespace.sde import LinearSDE
from structkit.statespace.transitions import Transitions, discretize, parameter_gradient

__all__ = [
    "LinearSDE",
    "Transitions",
    "constant_sde",
    "discretize",
    "matern_sde",
    "parameter_gradient",
    "periodic_sde",
    "quasi_periodic_sde",
    "white_sde",
]
