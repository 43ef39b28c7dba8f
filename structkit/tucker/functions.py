"""Posterior of all functions of one mode: joint over ranks and levels, by filtering and smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize

from structkit.statespace import (
    LinearSDE,
    SmootherResult,
    interpolate,
    kalman_filter,
    likelihood_gradient,
    rts_smoother,
)
from structkit.statespace import Moments as StateMoments
from structkit.tucker.packing import pack
from structkit.tucker.priors import ModePrior

__all__ = ["ModeFunctions", "Moments"]

# Bounds of the search around where it starts, in logarithms: beyond them nothing changes any more.
_BOUND = 9.0


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
    def of(cls, mean: np.ndarray, cov: np.ndarray, rank: int) -> Moments:
        """Moments from means ``(I, C)`` and covariances; `C` is the rank, or one more with a main effect."""
        second = cov + mean[:, :, None] * mean[:, None, :]
        if mean.shape[1] == rank:
            return cls(np.ascontiguousarray(mean), pack(second))
        u, effect = np.ascontiguousarray(mean[:, :rank]), mean[:, rank].copy()
        own, cross = second[:, rank, rank].copy(), second[:, :rank, rank].copy()
        return cls(u, pack(second[:, :rank, :rank]), effect, own, cross)


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
        Whether a main effect is added.

    Attributes
    ----------
    sde : LinearSDE
        Processes that every function mixes.
    shares : array, shape ``(C, P)``
        Logarithms of the amplitudes of the `P` processes in each of the `C` functions, the main effect last.
    messages : tuple of array, shapes ``(I, C, C)``, ``(I, C)``
        Precision and information of all observations.
    carried : tuple of array, or None
        The part of it that comes from earlier observations and stays as it is.
    kl : float
        Divergence of the posterior from the prior, less the expected logarithm of what is carried.
    """

    def __init__(self, prior: ModePrior, levels: np.ndarray, rank: int, effect: bool) -> None:
        self.prior, self.levels, self.rank, self.effect = prior, levels, rank, effect
        self.times = prior.times(levels)
        self.sde: LinearSDE = prior.sde
        self.shares = np.zeros((rank + effect, prior.n_terms))
        self.kl = 0.0
        self.smoothed: SmootherResult | None = None
        self.moments: Moments
        self.messages: tuple[np.ndarray, np.ndarray]
        self.carried: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that changes; assigning it brings that state back."""
        return self.sde, self.shares, self.kl, self.smoothed, self.moments, self.messages

    @state.setter
    def state(self, value: tuple[object, ...]) -> None:
        self.sde, self.shares, self.kl, self.smoothed, self.moments, self.messages = value  # type: ignore[assignment]

    def solve(self, precision: np.ndarray, information: np.ndarray) -> None:
        """Set the posterior for observations in information form, shapes ``(I, C, C)``, ``(I, C)``."""
        self.messages = precision, information
        self.smoothed = self._smooth(self.sde, self.shares, precision, information)
        f, cov = np.asarray(self.smoothed.mean), np.asarray(self.smoothed.cov)
        second = cov + f[:, :, None] * f[:, None, :]
        # KL(q | p) = E_q[log factors] - log Z
        log_z = float(np.asarray(self.smoothed.filtered.log_z))
        self.kl = float(np.sum(information * f) - np.sum(precision * second) / 2) - log_z
        if self.carried is not None:
            self.kl -= float(np.sum(self.carried[1] * f) - np.sum(self.carried[0] * second) / 2)
        self.moments = Moments.of(f, cov, self.rank)

    def _smooth(
        self, sde: LinearSDE, shares: np.ndarray, precision: np.ndarray, information: np.ndarray
    ) -> SmootherResult:
        return rts_smoother(
            kalman_filter(sde, self.times, precision=precision, information=information, amplitudes=np.exp(shares))
        )

    def log_prior(self) -> float:
        """Log prior of the parameters of the kernel, up to a constant."""
        return self.prior.log_density(self.sde, self.shares)[0]

    def learn(self, precision: np.ndarray, information: np.ndarray, max_iter: int) -> None:
        """Improve the parameters of the kernel by the exact evidence of the mode; never make it worse."""
        prior = self.prior
        start = np.concatenate([prior.free(self.sde), self.shares.ravel()])

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            sde, shares = self._model(x)
            smoothed = self._smooth(sde, shares, precision, information)
            density, slope = prior.log_density(sde, shares)
            value = float(np.asarray(smoothed.filtered.log_z)) + density
            found = likelihood_gradient(smoothed)
            return -value, -(np.concatenate([prior.select(found.parameters), found.amplitudes.ravel()]) + slope)

        first = objective(start)[0]
        bounds = [(x - _BOUND, x + _BOUND) for x in (*prior.center, *np.zeros(self.shares.size))]
        options = {"maxiter": max_iter, "maxfun": 3 * max_iter}
        found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if np.isfinite(found.fun) and found.fun < first:
            self.sde, self.shares = self._model(found.x)

    def _model(self, x: np.ndarray) -> tuple[LinearSDE, np.ndarray]:
        """Processes and shares for a point of the search."""
        n = len(self.prior.center)
        return self.prior.with_free(self.sde, x[:n]), x[n:].reshape(self.shares.shape)

    def extended(self, levels: np.ndarray) -> ModeFunctions:
        """Return the same posterior over more levels, its messages carried as those of earlier observations."""
        union = np.union1d(self.levels, levels)
        at = np.searchsorted(union, self.levels)
        precision, information = self.messages
        carried = np.zeros((len(union), *precision.shape[1:])), np.zeros((len(union), precision.shape[1]))
        carried[0][at], carried[1][at] = precision, information
        out = ModeFunctions(self.prior, union, self.rank, self.effect)
        out.sde, out.shares, out.carried = self.sde, self.shares, carried
        out.solve(*carried)
        return out

    def moved(self, levels: np.ndarray) -> ModeFunctions:
        """Return the same functions over other levels, with the moments they have there."""
        out = ModeFunctions(self.prior, levels, self.rank, self.effect)
        out.sde, out.shares = self.sde, self.shares
        out.moments = self.at(levels)
        return out

    def at(self, levels: np.ndarray) -> Moments:
        """Moments at any coordinates, exact between, at, before and after the levels."""
        found = self._interpolated(levels)
        return Moments.of(np.asarray(found.mean), np.asarray(found.cov), self.rank)

    def marginals(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of all functions, the main effect last, shape ``(I, C)`` each."""
        found = self._interpolated(levels)
        return np.asarray(found.mean), np.sqrt(np.maximum(np.asarray(found.var), 0.0))

    def _interpolated(self, levels: np.ndarray) -> StateMoments:
        assert self.smoothed is not None
        return interpolate(self.smoothed, self.prior.times(levels))

    @property
    def lengthscales(self) -> np.ndarray:
        """Length-scales of the kernel in units of the coordinate."""
        chosen = [name.split(".")[-1] == "lengthscale" for name in self.sde.parameter_names]
        return self.prior.unit * self.sde.parameters[chosen]
