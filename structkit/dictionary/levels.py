"""Scales of codes, and the thresholds that follow from them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch

__all__ = [
    "MEDIAN_CODES",
    "PairStatistics",
    "atom_scales",
    "floor_levels",
    "magnitude_median",
    "moved_median",
    "noise_levels",
    "pair_statistics",
    "power_means",
]

# Median of the magnitude of a standard normal number.
NORMAL_MEDIAN = 0.6744897501960817
# Density of the standard normal distribution there; the magnitude has twice that.
NORMAL_DENSITY = 0.31777657
# Codes below so many standard deviations of the noise are taken for noise: 1.2 % of the noise passes.
NOISE_FACTOR = 2.5
# The median sees the noise only while most codes are zero; more than this share of an atom's scale is not believed.
NOISE_CAP = 0.3
# Codes counted for a median.
MEDIAN_CODES = 2**13


def atom_scales(square: Any, fourth: Any) -> Any:
    """Standard deviation of the nonzero codes of every atom, from sums of their powers.

    It is ``(E z^4 / (3 E z^2))^(1/2)``: exact for zero-or-normal codes, too small for bounded ones, which is harmless.
    """
    xp = get_namespace(square)
    seen = square > 0
    return xp.sqrt(xp.where(seen, fourth, xp.zeros_like(fourth)) / xp.where(seen, 3 * square, xp.ones_like(square)))


def magnitude_median(Z: Any) -> float:
    """Median of the magnitudes of the first codes."""
    xp = get_namespace(Z)
    flat = xp.abs(Z.reshape(-1)[:MEDIAN_CODES])
    middle = flat.shape[0] // 2
    return float(flat.kthvalue(middle + 1).values) if is_torch(flat) else float(np.partition(flat, middle)[middle])


def moved_median(median: float, below: float) -> float:
    """Estimate of a median of magnitudes after a block of which the share `below` lies under the old estimate.

    A tenth of a Newton step in the logarithm; the slope is that of normal numbers.
    """
    slope = 2 * NORMAL_MEDIAN * NORMAL_DENSITY
    return median * math.exp(0.1 * (0.5 - below) / slope)


def power_means(Z: Any) -> tuple[Any, Any]:
    """Means of the second and fourth powers of codes ``(b, N)``, in float64."""
    xp = get_namespace(Z)
    power = xp.astype(Z, xp.float64) ** 2
    return xp.mean(power, axis=0), xp.mean(power**2, axis=0)


def noise_levels(median: float, scales: Any, share: float) -> Any:
    """Amount to shrink the codes of every atom: the noise, and a share of the scale of the atom at least."""
    xp = get_namespace(scales)
    noise = xp.minimum(NOISE_CAP * scales, 0 * scales + median / NORMAL_MEDIAN)
    return xp.maximum(noise, share * scales)


def floor_levels(median: float, scales: Any, share: float) -> Any:
    """Lowest threshold of every atom: above the noise, and a share of the scale of the atom at least."""
    xp = get_namespace(scales)
    return xp.maximum(NOISE_FACTOR * noise_levels(median, scales, 0.0), share * scales)


class PairStatistics(NamedTuple):
    """How well a rule of codes tells two atoms apart.

    Attributes
    ----------
    variance : float
        Asymptotic variance of the angle between them, times the number of samples.
    gain : float
        Newton's step over that of a polar factor: how far a fixed-point iteration falls short.
    """

    variance: float
    gain: float


def pair_statistics(Z: Any, levels: Any, *, soft: bool) -> PairStatistics:
    r"""Estimate, from codes ``(b, N)``, how well cut or shrunken codes tell atoms apart, averaged over the atoms.

    With codes :math:`z` of unit variance that enter as :math:`g(z)` the variance is
    :math:`(E g^2 - (E z g)^2) / (2 (E z g - E g')^2)`: the fluctuation of :math:`z_i g(z_j) - z_j g(z_i)` over the
    restoring slope, squared. The gain is :math:`E z g / (E z g - E g')`.
    """
    xp = get_namespace(Z)
    Z = xp.astype(Z, xp.float64)
    spread = xp.sqrt(xp.mean(Z**2, axis=0))
    spread = xp.where(spread > 0, spread, xp.ones_like(spread))
    Z, cut = Z / spread, levels / spread
    size = xp.abs(Z)
    active = xp.astype(size > cut, xp.float64)
    slope = xp.mean(active)
    if soft:
        g = xp.sign(Z) * (size - cut) * active
    else:
        g = Z * active
        # The step of g at its threshold counts with the density of the codes there, from a band of a fifth around it.
        near = (size > 0.8 * cut) & (size < 1.2 * cut)
        slope = slope + xp.mean(xp.astype(near, xp.float64)) / 0.4
    alpha, beta = xp.mean(Z * g), xp.mean(g**2)
    restoring = float(alpha - slope)
    if restoring <= 0:
        return PairStatistics(math.inf, math.inf)
    return PairStatistics(float(beta - alpha**2) / (2 * restoring**2), float(alpha) / restoring)
