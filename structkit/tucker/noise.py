"""Noise of the observations: its precision, and for Student-t noise a weight for every observation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.optimize
from scipy.special import digamma, gammaln

from structkit.tucker.cores import Core
from structkit.tucker.entries import Block, Entries
from structkit.tucker.functions import Moments
from structkit.tucker.relevance import RATE, SHAPE, gamma_kl
from structkit.tucker.statistics import entry_moments

__all__ = ["Noise", "StudentNoise"]

# Below three degrees of freedom the variance says little; beyond the upper end the noise is Gaussian for all purposes.
_DEGREES = (3.0, 200.0)


class Noise:
    """Posterior of the precision of Gaussian noise.

    Parameters
    ----------
    n : int
        Number of observations.
    variance : float or None
        A known variance, in the standardised units of the fit; None learns it.
    start : float
        First guess of the variance.
    """

    degrees = np.inf

    def __init__(self, n: int, variance: float | None, start: float = 1.0) -> None:
        self.n, self.known = n, variance is not None
        self.prior = SHAPE, RATE
        self.shape = SHAPE + n / 2
        self.rate = self.shape * (start if variance is None else variance)

    @property
    def precision(self) -> float:
        """Expected precision."""
        return self.shape / self.rate

    @property
    def variance(self) -> float:
        """Variance of the noise."""
        return self.rate / self.shape

    def resized(self, n: int, *, carry: bool = False) -> Noise:
        """Return noise of the same precision for `n` other observations, or with `carry` for as many more."""
        out = copy.copy(self)
        if carry:
            out.prior = self.shape, self.rate
        out.n, out.shape = n, out.prior[0] + n / 2
        out.rate = out.shape * self.rate / self.shape
        return out

    def numbers(self) -> dict[str, object]:
        """Everything that the noise consists of, as JSON-able values."""
        return {"kind": type(self).__name__, **vars(self)}

    @staticmethod
    def from_numbers(numbers: Mapping[str, Any]) -> Noise:
        """Return the noise of what `numbers` gave."""
        kinds: dict[str, type[Noise]] = {"Noise": Noise, "StudentNoise": StudentNoise}
        out = kinds[numbers["kind"]](numbers["n"], None)
        vars(out).update({k: tuple(v) if k == "prior" else v for k, v in numbers.items() if k != "kind"})
        return out

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that changes; assigning it brings that state back."""
        return tuple(vars(self).items())

    @state.setter
    def state(self, value: tuple[tuple[str, object], ...]) -> None:
        vars(self).update(value)

    def weigh(self, entries: Entries, core: Core, moments: Sequence[Moments]) -> Entries:
        """Return the entries with new weights; Gaussian noise leaves them as they are."""
        return entries

    def update(self, square: float) -> None:
        """Set the posterior from the expected weighted sum of squared residuals."""
        if not self.known:
            self.rate = self.prior[1] + max(square, 0.0) / 2

    def log_likelihood(self, square: float) -> float:
        """Expected log likelihood of the observations, less the divergence of the precision from its prior."""
        if self.known:
            return 0.5 * self.n * math.log(self.precision / (2 * math.pi)) - 0.5 * self.precision * square
        log_precision = float(digamma(self.shape)) - math.log(self.rate)
        value = 0.5 * self.n * (log_precision - math.log(2 * math.pi)) - 0.5 * self.precision * square
        return value - gamma_kl(np.array(self.shape), np.array(self.rate), *self.prior)


class StudentNoise(Noise):
    """Student-t noise: Gaussian with a Gamma-distributed weight for the precision of every observation."""

    degrees = 10.0

    @property
    def variance(self) -> float:
        """Variance of the noise."""
        return super().variance * self.degrees / (self.degrees - 2)

    def weigh(self, entries: Entries, core: Core, moments: Sequence[Moments]) -> Entries:
        """Set the posterior of the weights, and then the degrees of freedom."""
        self._weight_shape = (self.degrees + 1) / 2
        weighted = entries.map(_weigh, core, moments, self.precision, self.degrees)
        total, logs = weighted.reduce(_weight_sums)
        self._weight_total, self._weight_logs = float(total[0]), float(logs[0])
        found = scipy.optimize.minimize_scalar(
            lambda x: self._weight_kl(math.exp(x)), bounds=np.log(_DEGREES), method="bounded"
        )
        if found.fun < self._weight_kl(self.degrees):
            self.degrees = math.exp(found.x)
        return weighted

    def _weight_kl(self, degrees: float) -> float:
        """Divergence of the weights from their Gamma prior for some degrees of freedom."""
        a, half = self._weight_shape, degrees / 2
        constant = (a - half) * digamma(a) - gammaln(a) + gammaln(half) + half * (math.log(a) - math.log(half)) - a
        return float(self.n * constant - half * self._weight_logs + half * self._weight_total)

    def log_likelihood(self, square: float) -> float:
        """Expected log likelihood, less the divergences of the precision and of the weights from their priors."""
        logs = self._weight_logs + self.n * (digamma(self._weight_shape) - math.log(self._weight_shape))
        return super().log_likelihood(square) + 0.5 * float(logs) - self._weight_kl(self.degrees)


def _weigh(block: Block, core: Core, moments: Sequence[Moments], precision: float, degrees: float) -> Block:
    """Weight every observation by how well it is explained."""
    mean, variance = entry_moments(block.index, core, moments)
    weight = (degrees + 1) / (degrees + precision * ((block.values - mean) ** 2 + variance))
    total = weight * block.values
    return replace(block, weight=weight, total=total, square=float(total @ block.values))


def _weight_sums(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the weights and of their logarithms."""
    return np.array([block.weight.sum()]), np.array([np.log(block.weight).sum()])
