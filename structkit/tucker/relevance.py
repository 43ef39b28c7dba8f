"""Automatic relevance determination: precisions of the weights by slices of the core, and the noise precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import digamma, gammaln

__all__ = ["Relevance", "gamma_kl", "gaussian_kl"]

# Flat Gamma priors, in the standardised units of the fit.
SHAPE = RATE = 1e-3


def gamma_kl(shape: np.ndarray, rate: np.ndarray, shape0: float = SHAPE, rate0: float = RATE) -> float:
    """Sum of the divergences of Gamma posteriors from their prior."""
    terms = (shape - shape0) * digamma(shape) - gammaln(shape) + gammaln(shape0)
    terms = terms + shape0 * (np.log(rate) - math.log(rate0)) + shape * (rate0 / rate - 1)
    return float(np.sum(terms))


def gaussian_kl(second: np.ndarray, log_det: float, precision: np.ndarray, log_precision: np.ndarray) -> float:
    """Divergence of a Gaussian with second moments `second` (diagonal) from independent ones of mean zero."""
    n = second.size
    return float(0.5 * (np.sum(second * precision) - np.sum(log_precision) - log_det - n))


class Relevance:
    r"""Precision :math:`\prod_d \lambda_{d, a_d}` of each weight, with Gamma factors.

    Parameters
    ----------
    ranks : sequence of int
        Shape of the weights.
    """

    def __init__(self, ranks: Sequence[int]) -> None:
        self.ranks = tuple(ranks)
        size = math.prod(self.ranks)
        self.shape = [np.full(r, SHAPE + size / r / 2) for r in self.ranks]
        self.rate = [s.copy() for s in self.shape]

    def precision(self) -> np.ndarray:
        """Expected precision of each weight, flat."""
        return _outer(s / r for s, r in zip(self.shape, self.rate, strict=True))

    def log_precision(self) -> np.ndarray:
        """Expected log precision of each weight, flat."""
        logs = [digamma(s) - np.log(r) for s, r in zip(self.shape, self.rate, strict=True)]
        return sum(np.ix_(*logs), np.zeros(())).ravel() if len(logs) > 1 else logs[0]

    def update(self, second: np.ndarray) -> None:
        """Set the posterior of the factors from the second moments of the weights."""
        tensor = second.reshape(self.ranks)
        for k in range(len(self.ranks)):
            others = tensor.copy()
            for j, (s, r) in enumerate(zip(self.shape, self.rate, strict=True)):
                if j != k:
                    others *= (s / r).reshape([-1 if d == j else 1 for d in range(len(self.ranks))])
            axes = tuple(d for d in range(len(self.ranks)) if d != k)
            self.rate[k] = RATE + others.sum(axis=axes) / 2

    def kl(self, second: np.ndarray, log_det: float) -> float:
        """Divergence of weights and factors from their priors."""
        factors = sum(gamma_kl(s, r) for s, r in zip(self.shape, self.rate, strict=True))
        return gaussian_kl(second, log_det, self.precision(), self.log_precision()) + factors


def _outer(vectors: object) -> np.ndarray:
    """Flat outer product."""
    out = np.ones(1)
    for v in vectors:  # type: ignore[attr-defined]
        out = np.multiply.outer(out, v).ravel()
    return out
