"""Periodic, constant and white kernels."""

from __future__ import annotations

import math

from structkit._backend.namespace import get_namespace
from structkit._core.types import Array
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.parameters import Parameter
from structkit.gp.kernels.spectra import Component
from structkit.gp.kernels.stationary import Scaled, Stationary, leibniz

__all__ = ["Constant", "Periodic", "White"]


class Periodic(Scaled):
    r"""Periodic kernel: a squared exponential on a circle.

    .. math:: k(x, x') = \sigma^2 \exp\!\left( -\frac{2 \sin^2(\pi (x - x') / T)}{\ell^2} \right)

    Parameters
    ----------
    lengthscale : float, > 0
        :math:`\ell`, dimensionless: about the length on a circle of radius one. Default 1.
    period : float, > 0
        :math:`T`, in units of the coordinate. Default 1.
    variance : float, > 0
        :math:`\sigma^2`, in squared units of the data. Default 1.

    Notes
    -----
    scikit-learn's ``ExpSineSquared`` is the same function; gpytorch's ``PeriodicKernel`` writes :math:`\ell` for
    :math:`\ell^2`. With :math:`\varphi = (\cos \omega \tau - 1) / \ell^2`, derivatives follow from
    :math:`h^{(m+1)} = \sum_k \binom{m}{k} \varphi^{(k+1)} h^{(m-k)}` at every order.

    Examples
    --------
    >>> from structkit.gp import Periodic
    >>> Periodic(period=24.0)([0.0], [12.0, 24.0]).round(4)
    array([[0.1353, 1.    ]])
    """

    _specs = (Parameter("lengthscale"), Parameter("period"), Parameter("variance"))
    _scale_name = "period"

    period: float

    def __init__(self, lengthscale: float = 1.0, period: float = 1.0, variance: float = 1.0) -> None:
        self._store(lengthscale=lengthscale, period=period, variance=variance)

    def _prepare(self, tau: Array, order: int) -> list[Array]:
        """Derivatives 0 to `order` of the exponent."""
        xp = get_namespace(tau)
        half = (math.pi / self.period) * tau
        half_sine = xp.sin(half)
        inverse = self.lengthscale**-2
        out = [(-2.0 * inverse) * half_sine * half_sine]
        if order:
            cosine = 1.0 - 2.0 * half_sine * half_sine
            sine = 2.0 * half_sine * xp.cos(half)
            omega = 2 * math.pi / self.period
            cycle = (cosine, -sine, -cosine, sine)
            out += [(inverse * omega**k) * cycle[k % 4] for k in range(1, order + 1)]
        return out

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        return self._derivatives_of(self._prepare(tau, order), tau, order)

    def _derivatives_of(self, phi: list[Array], tau: Array, order: int) -> list[Array]:
        xp = get_namespace(tau)
        D = [self.variance * xp.exp(phi[0])]
        for m in range(order):
            D.append(leibniz(phi[1:], D, m))
        return D

    def _shape_gradient(self, name: str, phi: list[Array], D: list[Array]) -> list[Array]:
        # d h / d log lengthscale = -2 phi h.
        return [-2.0 * leibniz(phi, D, m) for m in range(len(D))]

    def _components(self) -> list[Component]:
        from scipy.special import ive

        # exp((cos z - 1) / l^2) = sum of I_n(1 / l^2) exp(-1 / l^2) exp(i n z) over all integers n.
        ell, period = float(self.lengthscale), float(self.period)
        lines = [float(ive(0, ell**-2))]
        while lines[-1] > 1e-17 * lines[0] and len(lines) < 10000:
            lines.append(2 * float(ive(len(lines), ell**-2)))
        return [Component(self.variance * weight, n / period, None) for n, weight in enumerate(lines)]

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        start: dict[str, object] = {"period": span / 3}
        if variance is not None:
            start["variance"] = variance
        return self._restart(start, {"period": (min(2 * spacing, span / 6), span * 10), "lengthscale": (1e-2, 1e3)})


class _Variance(Stationary):
    """Base of kernels whose only hyperparameter is a variance."""

    _specs = (Parameter("variance"),)

    variance: float

    def __init__(self, variance: float = 1.0) -> None:
        self._store(variance=variance)

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        return [self._derivatives(tau, order)] if self.parameter_names else []

    def _scaled_by(self, factor: float) -> Kernel:
        new = self._copy()
        new._store(variance=self.variance * factor)
        return new

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        return self if variance is None else self._restart({"variance": variance}, {})


class Constant(_Variance):
    """Constant kernel: an unknown level common to all coordinates.

    Parameters
    ----------
    variance : float, > 0
        Variance of the level, in squared units of the data. Default 1.

    Examples
    --------
    >>> from structkit.gp import Constant
    >>> Constant(4.0)([0.0], [1.0, 2.0])
    array([[4., 4.]])
    """

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        flat = 0.0 * tau
        return [flat + self.variance, *([flat * self.variance] * order)]

    def _components(self) -> list[Component]:
        return [Component(self.variance, 0.0, None)]


class White(_Variance):
    """White kernel: independent variation at each different coordinate.

    Parameters
    ----------
    variance : float, > 0
        Variance, in squared units of the data. Default 1.

    Notes
    -----
    Two points are the same if their coordinates are equal, also across two sets of coordinates. For measurement
    noise use the ``noise_var`` of a model, which knows repeated measurements apart.

    Examples
    --------
    >>> from structkit.gp import White
    >>> White(0.5)([0.0, 1.0], [1.0, 2.0])
    array([[0. , 0. ],
           [0.5, 0. ]])
    """

    @property
    def max_order(self) -> float:
        """Highest total order of derivative blocks."""
        return 0

    @property
    def _needs_exact_lags(self) -> bool:
        return True

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        xp = get_namespace(tau)
        same = xp.astype(xp.equal(tau, xp.zeros_like(tau)), tau.dtype)
        return [self.variance * same, *([0.0 * tau] * order)]

    def _components(self) -> list[Component]:
        raise ValueError("A White kernel has no spectral density: its covariance is zero at every positive distance.")
