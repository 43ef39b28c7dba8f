r"""Features of one axis: smooth envelopes times carrier waves, a square root of a spectral-mixture covariance.

The covariance :math:`\sum_q w_q e^{-d^2 / 2 \ell^2} \cos 2 \pi f_q d` on an interval is written as
:math:`\Phi(x) \Phi(x')^T`. The Gaussian envelope is expanded in its Mercer series on the interval, computed once in
Legendre polynomials; each term is multiplied by the cosine and the sine of every carrier. Working with the square root
keeps 13 digits where the covariance itself keeps 6.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.polynomial import legendre
from scipy.special import gammaln

__all__ = ["AxisFeatures", "axis_features", "lengthscale_slope", "polynomial_features"]

# Envelope modes below this share of the largest eigenvalue are dropped; features scale as its square root.
CUTOFF = 1e-29


@dataclass(frozen=True)
class AxisFeatures:
    """Features of one axis; call it with points to evaluate them.

    Attributes
    ----------
    lower, upper : float
        Ends of the interval.
    lengthscale : float
        Length-scale of the envelope, in units of the coordinate.
    frequencies : numpy.ndarray, shape ``(Q,)``
        Frequencies of the carriers in cycles per unit; 0 is no carrier.
    weights : numpy.ndarray, shape ``(Q,)``
        Variance of each component.
    modes : numpy.ndarray, shape ``(degree + 1, M)``
        Legendre coefficients of the envelope modes.
    """

    lower: float
    upper: float
    lengthscale: float
    frequencies: np.ndarray
    weights: np.ndarray
    modes: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """Component of each column, shape ``(n_features,)``."""
        sizes = [self.modes.shape[1] * (1 if f == 0 else 2) for f in self.frequencies]
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.modes.shape[1] * sum(1 if f == 0 else 2 for f in self.frequencies)

    def __call__(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """Return the `order`-th derivative of the features at points, shape ``(len(x), n_features)``."""
        envelopes = [self._envelope(x, k) for k in range(order + 1)]
        parts = []
        for f, w in zip(self.frequencies, self.weights, strict=True):
            omega, root = 2 * math.pi * f, math.sqrt(w)
            if f == 0:
                parts.append(root * envelopes[order])
                continue
            phase = omega * (np.asarray(x, dtype=float) - self.lower)[:, None]
            for shift in (0.0, -0.5 * math.pi):  # cosine and sine
                total = np.zeros_like(envelopes[0])
                for k in range(order + 1):  # Leibniz
                    wave = omega ** (order - k) * np.cos(phase + shift + 0.5 * math.pi * (order - k))
                    total += math.comb(order, k) * wave * envelopes[k]
                parts.append(root * total)
        return np.hstack(parts)

    def _envelope(self, x: np.ndarray, order: int) -> np.ndarray:
        """Derivative of the envelope modes, shape ``(len(x), M)``."""
        scale = 2 / (self.upper - self.lower)
        t = scale * (np.asarray(x, dtype=float) - self.lower) - 1
        series = legendre.legder(self.modes, order, axis=0) if order else self.modes
        return scale**order * (legendre.legvander(t, len(series) - 1) @ series)


def axis_features(
    lower: float,
    upper: float,
    lengthscale: float,
    frequencies: Sequence[float] | np.ndarray = (0.0,),
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    cutoff: float = CUTOFF,
) -> AxisFeatures:
    """Return the features of an interval.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval.
    lengthscale : float
        Length-scale of the envelope.
    frequencies : sequence of float, shape ``(Q,)``
        Carriers in cycles per unit.
    weights : sequence of float, shape ``(Q,)``, optional
        Variances. Default: ones.
    cutoff : float
        Share of the largest eigenvalue below which envelope modes are dropped.

    Returns
    -------
    AxisFeatures
    """
    f = np.asarray(frequencies, dtype=float)
    w = np.ones(len(f)) if weights is None else np.asarray(weights, dtype=float)
    return AxisFeatures(lower, upper, lengthscale, f, w, _modes((upper - lower) / lengthscale, cutoff))


def polynomial_features(lower: float, upper: float, degree: int) -> AxisFeatures:
    """Return Legendre polynomials up to a degree, the limit of a rough envelope: for layers at the ends.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval.
    degree : int
        Highest degree.

    Returns
    -------
    AxisFeatures
        Its length-scale is 0, which no envelope has.
    """
    modes = np.diag(np.sqrt(np.arange(degree + 1) + 0.5))
    return AxisFeatures(lower, upper, 0.0, np.zeros(1), np.ones(1), modes)


def lengthscale_slope(features: AxisFeatures) -> AxisFeatures:
    """Derivative of features with respect to the logarithm of the length-scale, up to a rotation of the modes.

    A rotation of the features changes no covariance, so gradients of functions of the covariance are exact.
    """
    _, slopes = _mercer((features.upper - features.lower) / features.lengthscale)
    return replace(features, modes=slopes[:, : features.modes.shape[1]])


@functools.lru_cache(maxsize=64)
def _modes(ratio: float, cutoff: float) -> np.ndarray:
    """Legendre coefficients of the Mercer modes above the cutoff."""
    modes, _ = _mercer(ratio)
    values = np.linalg.norm(modes / np.sqrt(np.arange(len(modes)) + 0.5)[:, None], axis=0)
    modes = modes[:, values > math.sqrt(cutoff) * values[0]]
    modes.setflags(write=False)
    return modes


@functools.lru_cache(maxsize=16)
def _mercer(ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Legendre coefficients of the Mercer modes of a Gaussian envelope, for an interval `ratio` length-scales long.

    The second array is their derivative with respect to the logarithm of the length-scale, up to a rotation.
    """
    degree = 28 + math.ceil(8 * ratio)
    t, w = legendre.leggauss(2 * (degree // 2) + 8)  # an even number: none is 0
    norms = np.sqrt(np.arange(degree + 1) + 0.5)
    P = legendre.legvander(t, degree) * norms
    # exp(-c (t - t')^2 / 2) = G G^T by the series of exp(c t t'): singular values have an error of eps, eigenvalues of
    # the covariance would have one of sqrt(eps).
    c = (0.5 * ratio) ** 2
    k = np.arange(math.ceil(c + 14 * math.sqrt(c) + 60))
    logs = k * np.log(math.sqrt(c) * np.abs(t))[:, None] - 0.5 * gammaln(k + 1.0) - 0.5 * c * t[:, None] ** 2
    G = np.exp(logs) * np.where(k % 2, np.sign(t)[:, None], 1.0)
    # Least squares, not sums with the weights: these are not exact enough for functions that are large at the ends.
    Q, R = scipy.linalg.qr(np.sqrt(w)[:, None] * P, mode="economic")
    test = scipy.linalg.solve_triangular(R, Q.T * np.sqrt(w))
    vectors, values, right = scipy.linalg.svd(test @ G, full_matrices=False)
    slope = test @ (G * (c * t[:, None] ** 2 - k))
    return norms[:, None] * vectors * values, norms[:, None] * (slope @ right.T)
