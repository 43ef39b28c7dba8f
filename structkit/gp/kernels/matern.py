"""Matern kernels of half-integer order."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from structkit._backend.namespace import is_torch
from structkit._core.types import Array
from structkit.gp.kernels.parameters import Parameter
from structkit.gp.kernels.spectra import Component, matern_band
from structkit.gp.kernels.stationary import Scaled

__all__ = ["Matern", "matern_profile"]

# exp(-r) is exactly zero beyond 745.2 in double precision; a clip keeps powers of r finite.
EXPONENTIAL_REACH = 800.0
_START = {0.5: (1.0,), 1.5: (1.0, 1.0), 2.5: (1.0, 1.0, 1.0 / 3.0)}


@lru_cache(maxsize=64)
def matern_polynomial(nu: float, order: int) -> tuple[float, ...]:
    r"""Coefficients, lowest power first, of P with :math:`g^{(m)}(u) = \mathrm{sign}(u)^m P(|u|) e^{-|u|}`."""
    if order == 0:
        return _START[nu]
    p = matern_polynomial(nu, order - 1)
    slope = [(k + 1) * p[k + 1] for k in range(len(p) - 1)] + [0.0]
    return tuple(s - c for s, c in zip(slope, p, strict=True))


def matern_profile(tau: Array, nu: float, lengthscale: float, order: int) -> list[Array]:
    """Derivatives 0 to `order` of the unit Matern function; one-sided limits where they do not exist at zero."""
    rate = math.sqrt(2 * nu) / lengthscale
    u = rate * tau
    if is_torch(tau):
        from structkit._backend.torch_profiles import matern

        D = [matern(u, matern_polynomial(nu, m), m % 2) for m in range(order + 1)]
    else:
        D = _numpy_profile(u, nu, order)  # type: ignore[arg-type,assignment]
    return [D[0], *(d * rate**m for m, d in enumerate(D[1:], start=1))]


def _numpy_profile(u: np.ndarray, nu: float, order: int) -> list[np.ndarray]:
    r = np.minimum(np.abs(u), EXPONENTIAL_REACH)
    decay = np.exp(-r)
    sign = np.sign(u) if order else None
    out = []
    for m in range(order + 1):
        coefficients = matern_polynomial(nu, m)
        value = decay * coefficients[-1] if len(coefficients) == 1 else (coefficients[-1] * r + coefficients[-2])
        for c in coefficients[-3::-1]:
            value = value * r + c
        if len(coefficients) > 1:
            value *= decay
        out.append(value * sign if m % 2 else value)
    return out


class Matern(Scaled):
    r"""Matern kernel with smoothness 1/2, 3/2 or 5/2.

    With :math:`r = \sqrt{2 \nu}\, |x - x'| / \ell`,

    .. math::

        k_{1/2} = \sigma^2 e^{-r}, \qquad k_{3/2} = \sigma^2 (1 + r) e^{-r}, \qquad
        k_{5/2} = \sigma^2 \left( 1 + r + \tfrac{r^2}{3} \right) e^{-r} .

    Parameters
    ----------
    nu : {0.5, 1.5, 2.5}
        Smoothness :math:`\nu`; the process has ``nu - 1/2`` derivatives. Default 1.5.
    lengthscale : float, > 0
        :math:`\ell`, in units of the coordinate. Default 1.
    variance : float, > 0
        :math:`\sigma^2`, in squared units of the data. Default 1.

    Notes
    -----
    Derivative blocks exist up to total order ``2 nu - 1``: 0, 2 and 4.

    Examples
    --------
    >>> from structkit.gp import Matern
    >>> Matern(nu=2.5, lengthscale=2.0)([0.0], [0.0, 1.0]).round(4)
    array([[1.    , 0.8286]])
    """

    _specs = (Parameter("lengthscale"), Parameter("variance"))
    _config = ("nu",)

    nu: float

    def __init__(self, nu: float = 1.5, lengthscale: float = 1.0, variance: float = 1.0) -> None:
        if nu not in _START:
            raise ValueError(
                f"nu must be 0.5, 1.5 or 2.5; got {nu!r}. Use SquaredExponential for an infinitely smooth process."
            )
        object.__setattr__(self, "nu", float(nu))
        self._store(lengthscale=lengthscale, variance=variance)

    @property
    def max_order(self) -> float:
        """Highest total order of derivative blocks."""
        return 2 * self.nu - 1

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        return [self.variance * d for d in matern_profile(tau, self.nu, self.lengthscale, order)]

    def _components(self) -> list[Component]:
        return [Component(self.variance, 0.0, matern_band(self.nu, self.lengthscale))]
