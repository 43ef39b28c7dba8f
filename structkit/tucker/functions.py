"""Posterior of all functions of one mode: joint over ranks and levels, by filtering and smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize

from structkit.statespace import (
    LinearSDE,
    SmootherResult,
    discretize,
    interpolate,
    kalman_filter,
    likelihood_gradient,
    rts_smoother,
)
from structkit.statespace import Moments as StateMoments
from structkit.tucker.packing import pack
from structkit.tucker.priors import ModePrior

__all__ = ["ModeFunctions", "Moments"]

# Bounds of log length-scales, log variances and log amplitudes: beyond them nothing changes any more.
_BOUND = 9.0
_AMPLITUDE_SPREAD = 2.0


@dataclass(frozen=True)
class Moments:
    """First and second posterior moments of the functions of one mode at `I` coordinates.

    Attributes
    ----------
    mean : array, shape ``(I, R)``
        Functions of the multilinear part.
    second : array, shape ``(I, R (R + 1) / 2)``
        Upper triangles of ``E[u u^T]``.
    effect : array, shape ``(I,)``, or None
        Mean of the main effect.
    effect_second : array, shape ``(I,)``, or None
        ``E[g^2]``.
    cross : array, shape ``(I, R)``, or None
        ``E[u g]``.
    """

    mean: np.ndarray
    second: np.ndarray
    effect: np.ndarray | None = None
    effect_second: np.ndarray | None = None
    cross: np.ndarray | None = None

    @classmethod
    def of(cls, mean: np.ndarray, cov: np.ndarray, scale: np.ndarray, rank: int) -> Moments:
        """Moments from means ``(I, C)`` and covariances of unit functions times `scale`; C is the rank or one more."""
        f = np.ascontiguousarray(mean * scale)
        second = cov * np.outer(scale, scale) + f[:, :, None] * f[:, None, :]
        if len(scale) == rank:
            return cls(f, pack(second))
        u = np.ascontiguousarray(f[:, :rank])
        return cls(
            u,
            pack(second[:, :rank, :rank]),
            f[:, rank].copy(),
            second[:, rank, rank].copy(),
            second[:, :rank, rank].copy(),
        )


class ModeFunctions:
    """Functions of one mode over its levels.

    Parameters
    ----------
    prior : ModePrior
        Their common prior.
    levels : array, shape ``(I,)``
        Coordinates, ascending.
    rank : int
        Number of functions of the multilinear part.
    effect : bool
        Whether a main effect is added, with an amplitude that is learned.

    Attributes
    ----------
    messages : tuple of array, shapes ``(I, C, C)``, ``(I, C)``
        Precision and information of all observations; C functions, the main effect last.
    carried : tuple of array, or None
        The part of it that comes from earlier observations and stays as it is.
    kl : float
        Divergence of the posterior from the prior, less the expected logarithm of what is carried.
    """

    def __init__(self, prior: ModePrior, levels: np.ndarray, rank: int, effect: bool) -> None:
        self.prior, self.levels, self.rank, self.effect = prior, levels, rank, effect
        self.times = prior.times(levels)
        self.sde: LinearSDE = prior.sde
        self.log_amplitude = 0.0
        self.kl = 0.0
        self.smoothed: SmootherResult | None = None
        self.moments: Moments
        self.messages: tuple[np.ndarray, np.ndarray]
        self.carried: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that changes; assigning it brings that state back."""
        return self.sde, self.log_amplitude, self.kl, self.smoothed, self.moments, self.messages

    @state.setter
    def state(self, value: tuple[object, ...]) -> None:
        self.sde, self.log_amplitude, self.kl, self.smoothed, self.moments, self.messages = value  # type: ignore[assignment]

    @property
    def scale(self) -> np.ndarray:
        """Amplitudes of the functions: one, and that of the main effect."""
        return np.append(np.ones(self.rank), np.exp(self.log_amplitude)) if self.effect else np.ones(self.rank)

    def solve(self, precision: np.ndarray, information: np.ndarray) -> None:
        """Set the posterior for observations in information form, shapes ``(I, C, C)``, ``(I, C)``."""
        self.messages = precision, information
        scale = self.scale
        lam, eta = precision * np.outer(scale, scale), information * scale
        filtered = kalman_filter(self.sde, self.times, precision=lam, information=eta)
        self.smoothed = rts_smoother(filtered)
        f, cov = np.asarray(self.smoothed.mean), np.asarray(self.smoothed.cov)
        second = cov + f[:, :, None] * f[:, None, :]
        # KL(q | p) = E_q[log factors] - log Z
        self.kl = float(np.sum(eta * f) - np.sum(lam * second) / 2) - float(np.asarray(filtered.log_z))
        if self.carried is not None:
            lam0, eta0 = self.carried[0] * np.outer(scale, scale), self.carried[1] * scale
            self.kl -= float(np.sum(eta0 * f) - np.sum(lam0 * second) / 2)
        self.moments = Moments.of(f, cov, scale, self.rank)

    def log_prior(self) -> float:
        """Log prior of kernel parameters and amplitude, up to a constant."""
        value = self.prior.log_density(np.log(self.sde.parameters))[0]
        return value - 0.5 * (self.log_amplitude / _AMPLITUDE_SPREAD) ** 2 if self.effect else value

    def learn(self, precision: np.ndarray, information: np.ndarray, max_iter: int) -> None:
        """Improve kernel parameters and amplitude by the exact evidence of the mode; never make it worse."""
        theta0 = np.log(self.sde.parameters)
        start = np.append(theta0, self.log_amplitude) if self.effect else theta0
        if len(start) == 0:
            return

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            return self._objective(x, precision, information)

        bounds = [(t - _BOUND, t + _BOUND) for t in self.prior.center]
        bounds += [(-_BOUND, _BOUND)] if self.effect else []
        first = objective(start)[0]
        options = {"maxiter": max_iter, "maxfun": 3 * max_iter}
        found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if np.isfinite(found.fun) and found.fun < first:
            self.sde, self.log_amplitude = self._model(found.x)

    def _model(self, x: np.ndarray) -> tuple[LinearSDE, float]:
        """Process of unit variance and log amplitude for a point of the search."""
        theta, amplitude = (x[:-1], float(x[-1])) if self.effect else (x, 0.0)
        sde = self.sde.with_parameters(np.exp(theta))
        return (self._variance / _variance(sde)) * sde, amplitude

    @property
    def _variance(self) -> float:
        return _variance(self.prior.sde)

    def _objective(self, x: np.ndarray, precision: np.ndarray, information: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus log evidence and log prior, and the gradient."""
        sde, amplitude = self._model(x)
        scale = np.append(np.ones(self.rank), np.exp(amplitude)) if self.effect else np.ones(self.rank)
        lam, eta = precision * np.outer(scale, scale), information * scale
        filtered = kalman_filter(sde, self.times, precision=lam, information=eta)
        smoothed = rts_smoother(filtered)
        density, slope = self.prior.log_density(np.log(sde.parameters))
        value = float(np.asarray(filtered.log_z)) + density
        gradient = _through_normalisation(sde, likelihood_gradient(smoothed) + slope)
        if self.effect:
            f = smoothed.mean
            second = smoothed.cov[:, -1, :] + f[:, -1:] * f
            pull = np.sum(eta[:, -1] * f[:, -1]) - np.sum(lam[:, -1, :] * second)
            value -= 0.5 * (amplitude / _AMPLITUDE_SPREAD) ** 2
            gradient = np.append(gradient, pull - amplitude / _AMPLITUDE_SPREAD**2)
        return -value, -gradient

    def extended(self, levels: np.ndarray) -> ModeFunctions:
        """Return the same posterior over more levels, its messages carried as those of earlier observations."""
        union = np.union1d(self.levels, levels)
        at = np.searchsorted(union, self.levels)
        precision, information = self.messages
        carried = np.zeros((len(union), *precision.shape[1:])), np.zeros((len(union), precision.shape[1]))
        carried[0][at], carried[1][at] = precision, information
        out = ModeFunctions(self.prior, union, self.rank, self.effect)
        out.sde, out.log_amplitude, out.carried = self.sde, self.log_amplitude, carried
        out.solve(*carried)
        return out

    def moved(self, levels: np.ndarray) -> ModeFunctions:
        """Return the same functions over other levels, with the moments they have there."""
        out = ModeFunctions(self.prior, levels, self.rank, self.effect)
        out.sde, out.log_amplitude = self.sde, self.log_amplitude
        out.moments = self.at(levels)
        return out

    def at(self, levels: np.ndarray) -> Moments:
        """Moments at any coordinates, exact between, at, before and after the levels."""
        found = self._interpolated(levels)
        return Moments.of(np.asarray(found.mean), np.asarray(found.cov), self.scale, self.rank)

    def marginals(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of all functions, the main effect last, shape ``(I, C)`` each."""
        found = self._interpolated(levels)
        return np.asarray(found.mean) * self.scale, np.sqrt(np.maximum(np.asarray(found.var), 0.0)) * self.scale

    def _interpolated(self, levels: np.ndarray) -> StateMoments:
        assert self.smoothed is not None
        return interpolate(self.smoothed, self.prior.times(levels))

    @property
    def lengthscales(self) -> np.ndarray:
        """Length-scales of the kernel in units of the coordinate."""
        chosen = [name.split(".")[-1] == "lengthscale" for name in self.sde.parameter_names]
        return self.prior.unit * self.sde.parameters[chosen]


def _variance(sde: LinearSDE) -> float:
    """Variance of the output."""
    return float(sde.H @ sde.Pinf @ sde.H)


def _through_normalisation(sde: LinearSDE, gradient: np.ndarray) -> np.ndarray:
    """Gradient in log parameters whose common factor of the variance is divided out."""
    slopes = discretize(sde, np.zeros(1), grad=True).dPinf
    share = np.array([sde.H @ d @ sde.H for d in np.asarray(slopes)]) / _variance(sde)
    moved = np.log((2.0 * sde).parameters / sde.parameters) / np.log(2.0)
    return gradient - share * float(moved @ gradient)
