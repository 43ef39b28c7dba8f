"""Power spectra of stationary kernels as sums of bands and lines, closed under sums and most products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.types import Array

__all__ = ["Component", "Gaussian", "density", "matern_band", "product", "rational_quadratic_band"]

Band = Callable[[Array], Array]


@dataclass(frozen=True)
class Gaussian:
    r"""Band of the envelope :math:`\exp(-\tau^2 / 2 \ell^2)`."""

    lengthscale: float

    def __call__(self, frequency: Array) -> Array:
        """Evaluate the density at frequencies in cycles per unit."""
        xp = get_namespace(frequency)
        ell = self.lengthscale
        return ell * math.sqrt(2 * math.pi) * xp.exp(-2 * (math.pi * ell * frequency) ** 2)


@dataclass(frozen=True)
class Component:
    r"""Term :math:`w\, g(\tau) \cos(2 \pi f \tau)` of a kernel; `band` is the transform of g, None for a constant g."""

    weight: float
    frequency: float
    band: Band | None


def product(first: list[Component], second: list[Component], name: str) -> list[Component]:
    """Components of a product: carriers beat, envelopes multiply."""
    return [
        replace(c, weight=0.5 * c.weight, frequency=f)
        for a in first
        for b in second
        for c in [Component(a.weight * b.weight, 0.0, _joint_band(a.band, b.band, name))]
        for f in (a.frequency + b.frequency, a.frequency - b.frequency)
    ]


def _joint_band(a: Band | None, b: Band | None, name: str) -> Band | None:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, Gaussian) and isinstance(b, Gaussian):
        return Gaussian((a.lengthscale**-2 + b.lengthscale**-2) ** -0.5)
    raise ValueError(
        f"The spectral density of {name} has no closed form: it is a convolution, known here for products of "
        "Gaussian envelopes (SquaredExponential, SpectralMixture) and of anything with Periodic and Constant kernels."
    )


def density(components: list[Component], frequency: Array, name: str) -> Array:
    """Two-sided density of a sum of components."""
    total = get_namespace(frequency).zeros_like(frequency)
    for c in components:
        if c.band is None:
            raise ValueError(
                f"The spectrum of {name} is no density: it has a line at {float(c.frequency):.6g} cycles per unit. "
                "Multiply the periodic or constant kernel by one that decays."
            )
        if not is_torch(c.frequency) and c.frequency == 0:
            total = total + c.weight * c.band(frequency)
        else:
            total = total + (0.5 * c.weight) * (c.band(frequency - c.frequency) + c.band(frequency + c.frequency))
    return total


def matern_band(nu: float, lengthscale: float) -> Band:
    """Transform of the unit Matern function, a Student-t density."""
    return partial(_matern_density, nu=nu, rate=math.sqrt(2 * nu) / lengthscale)


def _matern_density(frequency: Array, nu: float, rate: float) -> Array:
    scale = 2 * math.sqrt(math.pi) * math.gamma(nu + 0.5) / math.gamma(nu)
    return scale / rate * (1.0 + (2 * math.pi / rate * frequency) ** 2) ** -(nu + 0.5)


def rational_quadratic_band(lengthscale: float, alpha: float) -> Band:
    r"""Transform of :math:`(1 + \tau^2 / 2 \alpha \ell^2)^{-\alpha}`; infinite at zero if ``alpha <= 1/2``."""
    return partial(_rational_quadratic_density, lengthscale=float(lengthscale), alpha=float(alpha))


def _rational_quadratic_density(frequency: Array, lengthscale: float, alpha: float) -> Array:
    if is_torch(frequency):
        # Bessel functions of real order exist in scipy only; the density carries no gradient here.
        host = _rational_quadratic_density(frequency.detach().cpu().numpy(), lengthscale, alpha)  # type: ignore[attr-defined]
        return get_namespace(frequency).asarray(host, dtype=frequency.dtype, device=frequency.device)  # type: ignore[attr-defined]
    f = np.abs(np.asarray(frequency))
    scale = lengthscale * math.sqrt(2 * alpha)
    log_ratio = _log_bessel_ratio(2 * np.pi * scale * f.astype(np.float64), alpha)
    return (2 * math.sqrt(math.pi) * scale * np.exp(log_ratio)).astype(f.dtype)  # type: ignore[return-value]


def _log_bessel_ratio(w: np.ndarray, alpha: float) -> np.ndarray:
    r""":math:`\log\bigl( (w/2)^\nu K_\nu(w) / \Gamma(\alpha) \bigr)`, :math:`\nu = \alpha - 1/2`, at any scale."""
    from scipy.special import gammaln, kve

    nu = alpha - 0.5
    if nu > 50:
        return _log_bessel_ratio_large(w, alpha)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        direct = nu * np.log(w / 2) + np.log(kve(abs(nu), w)) - w
    if nu > 0:
        # kve overflows where its product with the power has long reached its limit.
        direct = np.where(np.isfinite(direct) | (w > 1), direct, gammaln(nu) - math.log(2.0))
    return np.where((w > 0) | (nu > 0), direct, np.inf) - gammaln(alpha)


def _log_bessel_ratio_large(w: np.ndarray, alpha: float) -> np.ndarray:
    """Uniform expansion in the order, DLMF 10.41.4; four terms, relative error below 1e-11 for orders above 50."""
    nu = alpha - 0.5
    z = w / nu
    root = np.hypot(1.0, z)
    t = 1.0 / root
    u = (
        np.ones_like(t),
        (3 * t - 5 * t**3) / 24,
        (81 * t**2 - 462 * t**4 + 385 * t**6) / 1152,
        (30375 * t**3 - 369603 * t**5 + 765765 * t**7 - 425425 * t**9) / 414720,
        (4465125 * t**4 - 94121676 * t**6 + 349922430 * t**8 - 446185740 * t**10 + 185910725 * t**12) / 39813120,
    )
    series = np.log(sum((-1.0 / nu) ** k * term for k, term in enumerate(u)))
    # With Stirling's series for Gamma(alpha) every large term cancels on paper, none in floating point.
    excess = z * z / (1.0 + root)
    exponent = nu * (np.log1p(0.5 * excess) - excess + math.log1p(-0.5 / alpha)) + 0.5
    stirling = 1 / (12 * alpha) - 1 / (360 * alpha**3) + 1 / (1260 * alpha**5)
    return exponent - 0.5 * (math.log(4 * nu) + np.log(root)) + series - stirling
