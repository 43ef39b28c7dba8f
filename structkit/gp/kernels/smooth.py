"""Squared exponential and rational quadratic kernels."""

from __future__ import annotations

import math

from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.types import Array
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.parameters import Parameter
from structkit.gp.kernels.spectra import Component, Gaussian, rational_quadratic_band
from structkit.gp.kernels.stationary import Scaled, hermite_series, leibniz

__all__ = ["RationalQuadratic", "SquaredExponential", "gaussian_profile"]

# exp(-u**2 / 2) is exactly zero beyond 38.6 in double precision; a clip keeps powers of u finite.
GAUSSIAN_REACH = 64.0
# Beyond, the square of a difference overflows.
FAR, FAR_SINGLE = 1e150, 1e18


def gaussian_profile(tau: Array, lengthscale: float, order: int) -> list[Array]:
    r"""Derivatives 0 to `order` of :math:`\exp(-\tau^2 / 2 \ell^2)`."""
    xp = get_namespace(tau)
    if not order:
        # Shorter, and safe: squares may overflow to infinity, whose exponential is zero.
        return [xp.exp((-0.5 / lengthscale / lengthscale) * tau * tau)]
    u = xp.clip(tau / lengthscale, -GAUSSIAN_REACH, GAUSSIAN_REACH)
    D = hermite_series(u, xp.exp(-0.5 * u * u), order)
    return [D[0], *(d / lengthscale**m for m, d in enumerate(D[1:], start=1))]


class SquaredExponential(Scaled):
    r"""Squared exponential (Gaussian, RBF) kernel, infinitely smooth.

    .. math:: k(x, x') = \sigma^2 \exp\!\left( -\frac{(x - x')^2}{2 \ell^2} \right)

    Parameters
    ----------
    lengthscale : float, > 0
        :math:`\ell`, in units of the coordinate. Default 1.
    variance : float, > 0
        :math:`\sigma^2`, in squared units of the data. Default 1.

    Notes
    -----
    Derivatives of every order exist: :math:`h^{(m)}(\tau) = (-\ell)^{-m} \mathrm{He}_m(\tau/\ell)\, h(\tau)`.

    Examples
    --------
    >>> from structkit.gp import SquaredExponential
    >>> k = SquaredExponential(lengthscale=0.5)
    >>> k([0.0, 1.0], d1=2).round(4)
    array([[-4.   ,  1.624],
           [ 1.624, -4.   ]])
    """

    _specs = (Parameter("lengthscale"), Parameter("variance"))

    def __init__(self, lengthscale: float = 1.0, variance: float = 1.0) -> None:
        self._store(lengthscale=lengthscale, variance=variance)

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        return [self.variance * d for d in gaussian_profile(tau, self.lengthscale, order)]

    def _components(self) -> list[Component]:
        return [Component(self.variance, 0.0, Gaussian(self.lengthscale))]


class RationalQuadratic(Scaled):
    r"""Rational quadratic kernel: a scale mixture of squared exponentials.

    .. math:: k(x, x') = \sigma^2 \left( 1 + \frac{(x - x')^2}{2 \alpha \ell^2} \right)^{-\alpha}

    Parameters
    ----------
    lengthscale : float, > 0
        :math:`\ell`, in units of the coordinate. Default 1.
    alpha : float, > 0
        Shape :math:`\alpha`, dimensionless; the kernel tends to `SquaredExponential` as it grows. Default 1.
    variance : float, > 0
        :math:`\sigma^2`, in squared units of the data. Default 1.

    Notes
    -----
    The spectral density holds a Bessel function of real order, evaluated by scipy: no gradients pass through it. It is
    infinite at frequency zero if ``alpha <= 1/2``.

    Examples
    --------
    >>> from structkit.gp import RationalQuadratic
    >>> RationalQuadratic(alpha=0.5)([0.0], [1.0]).round(4)
    array([[0.7071]])
    """

    _specs = (Parameter("lengthscale"), Parameter("alpha"), Parameter("variance"))

    alpha: float

    def __init__(self, lengthscale: float = 1.0, alpha: float = 1.0, variance: float = 1.0) -> None:
        self._store(lengthscale=lengthscale, alpha=alpha, variance=variance)

    def _prepare(self, tau: Array, order: int) -> tuple[float, Array, Array]:
        """c**0.5, v = c**0.5 tau and log(1 + v**2), where c = 1 / (2 alpha lengthscale**2)."""
        xp = get_namespace(tau)
        root = 1.0 / (self.lengthscale * (2.0 * self.alpha) ** 0.5)
        v = root * tau
        far = FAR if v.dtype == xp.float64 else FAR_SINGLE
        if not is_torch(v) and not (len(v) and float(xp.max(xp.abs(v))) > far):
            return root, v, xp.log1p(v * v)
        # Squares beyond would overflow. Of the two factors at most one, on the side of the sign, differs from one.
        near = xp.clip(v, -far, far)
        beyond = xp.clip(v / far, 1.0, None) * xp.clip(-v / far, 1.0, None)
        return root, v, xp.log1p(near * near) + 2.0 * xp.log(beyond)

    @staticmethod
    def _ratios(v: Array, log_b: Array) -> tuple[Array, Array]:
        """v / rho and 1 / rho with rho**2 = 1 + v**2 = exp(log_b), both bounded by one."""
        inverse = get_namespace(v).exp(-0.5 * log_b)
        return v * inverse, inverse

    @staticmethod
    def _power_series(root: object, t: Array, inv_rho: Array, coefficients: list[object], order: int) -> list[Array]:
        r"""Derivatives 1 to `order` of f(c tau^2), ``f^(k)(s) = coefficients[k] (1 + s)^-k`` times a common factor.

        :math:`\frac{d^m}{d\tau^m} f(c \tau^2) = \sum_j \frac{m!}{j! (m - 2j)!} (2 \tau)^{m - 2j} c^{m-j} f^{(m-j)}`,
        written in bounded quantities.
        """
        powers = [1.0, 2.0 * t]
        while len(powers) <= order:
            powers.append(powers[-1] * powers[1])
        out = []
        for m in range(1, order + 1):
            total = None
            for j in range(m // 2 + 1):
                weight = math.factorial(m) / (math.factorial(j) * math.factorial(m - 2 * j))
                term = (weight * coefficients[m - j]) * powers[m - 2 * j]  # type: ignore[operator]
                total = term if total is None else total + term
            out.append(total * (root * inv_rho) ** m)  # type: ignore[operator]
        return out  # type: ignore[return-value]

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        return self._derivatives_of(self._prepare(tau, order), tau, order)

    def _derivatives_of(self, state: tuple[float, Array, Array], tau: Array, order: int) -> list[Array]:
        root, v, log_b = state
        h = self.variance * get_namespace(tau).exp(-self.alpha * log_b)
        if not order:
            return [h]
        t, inverse = self._ratios(v, log_b)
        rising: list[object] = [1.0]
        for k in range(order):
            rising.append(-(self.alpha + k) * rising[-1])  # type: ignore[operator]
        return [h, *(h * s for s in self._power_series(root, t, inverse, rising, order))]

    def _shape_gradient(self, name: str, state: tuple[float, Array, Array], D: list[Array]) -> list[Array]:
        # d h / d log alpha = h L with L = alpha (s / (1 + s) - log(1 + s)), s = v^2.
        order = len(D) - 1
        root, v, log_b = state
        t, inverse = self._ratios(v, log_b)
        logs: list[object] = [0.0, *((-1.0) ** (k - 1) * math.factorial(k - 1) for k in range(1, order + 1))]
        reciprocal: list[object] = [(-1.0) ** k * math.factorial(k) for k in range(order + 1)]
        of_log = self._power_series(root, t, inverse, logs, order)
        of_reciprocal = self._power_series(root, t, inverse, reciprocal, order)
        # s / (1 + s) = 1 - 1 / (1 + s), and 1 / (1 + s) = inverse^2 is the common factor of its derivatives.
        L = [self.alpha * (t * t - log_b)]
        L += [-self.alpha * (a + b * inverse * inverse) for a, b in zip(of_log, of_reciprocal, strict=True)]
        return [leibniz(D, L, m) for m in range(order + 1)]

    def _components(self) -> list[Component]:
        return [Component(self.variance, 0.0, rational_quadratic_band(self.lengthscale, self.alpha))]

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        new = super()._initialize(span, spacing, variance)
        return new._restart({}, {"alpha": (1e-3, 1e5)})
