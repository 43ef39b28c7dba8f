r"""Stationary kernels: everything follows from one even function :math:`h(\tau)` and its derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from structkit._backend.namespace import get_namespace
from structkit._core.types import Array
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.pairs import Pairs

__all__ = ["Scaled", "Stationary", "hermite_series", "leibniz"]


def leibniz(f: Sequence[Array], g: Sequence[Array], order: int) -> Array:
    """Derivative of a product of two functions from their derivatives 0 to `order`."""
    total = f[0] * g[order]
    for k in range(1, order + 1):
        total = total + math.comb(order, k) * (f[k] * g[order - k])
    return total


class Stationary(Kernel):
    r"""Base of kernels :math:`k(x, x') = h(x - x')`.

    A subclass gives the derivatives of :math:`h`; then
    :math:`\partial^a_x \partial^b_{x'} k = (-1)^b h^{(a + b)}(x - x')`.
    """

    @property
    def is_stationary(self) -> bool:
        """Whether the covariance depends on the difference of the coordinates only."""
        return True

    @property
    def _has_profile(self) -> bool:
        return True

    @property
    def _needs_exact_lags(self) -> bool:
        """Whether differences must be taken pair by pair: rounding them on a uniform grid would be seen."""
        return False

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        """Derivatives 0 to `order` of h at every difference."""
        raise NotImplementedError

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        """Derivatives 0 to `order` of the derivative of h in each free hyperparameter."""
        raise NotImplementedError

    def _evaluate(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        m = d1 + d2
        pairs = Pairs(x1, x2, parity=m % 2, use_lags=not self._needs_exact_lags)
        K = pairs.evaluate(lambda tau: [self._derivatives(tau, m)[m]], 1)[0]
        return -K if d2 % 2 else K

    def _diagonal(self, x: Array, order: int) -> Array:
        xp = get_namespace(x)
        value = self._derivatives(0 * x[:1], 2 * order)[2 * order] if len(x) else x
        return xp.ones_like(x) * (-value if order % 2 else value)

    def _jacobian(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        m = d1 + d2
        pairs = Pairs(x1, x2, parity=m % 2, use_lags=not self._needs_exact_lags)
        J = pairs.evaluate(lambda tau: [g[m] for g in self._gradients(tau, m)], len(self.parameter_names))
        return -J if d2 % 2 else J

    def _contract(self, x1: Array, x2: Array | None, G: Array, d1: int, d2: int) -> Array:
        m = d1 + d2
        pairs = Pairs(x1, x2, parity=m % 2, use_lags=not self._needs_exact_lags)
        total = pairs.contract(lambda tau: [g[m] for g in self._gradients(tau, m)], len(self.parameter_names), G)
        return -total if d2 % 2 else total


class Scaled(Stationary):
    r"""Base of kernels :math:`h(\tau) = \sigma^2 g(\tau / \ell)` with a lengthscale and a variance.

    For any function of :math:`\tau / \ell`,
    :math:`\partial h^{(m)} / \partial \log \ell = -(m h^{(m)} + \tau h^{(m+1)})`,
    so that one more derivative of h serves as gradient.
    """

    lengthscale: float
    variance: float

    _scale_name = "lengthscale"

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        names = self.parameter_names
        extra = 1 if self._scale_name in names else 0
        state = self._prepare(tau, order + extra)
        D = self._derivatives_of(state, tau, order + extra)
        out = []
        for name in names:
            if name == "variance":
                out.append(D[: order + 1])
            elif name == self._scale_name:
                out.append([-(tau * D[m + 1] + m * D[m] if m else tau * D[1]) for m in range(order + 1)])
            else:
                out.append(self._shape_gradient(name, state, D[: order + 1]))
        return out

    def _prepare(self, tau: Array, order: int) -> Any:
        """Quantities that derivatives and shape gradients share."""
        return None

    def _derivatives_of(self, state: Any, tau: Array, order: int) -> list[Array]:
        """Derivatives 0 to `order` of h from what `_prepare` returned."""
        return self._derivatives(tau, order)

    def _shape_gradient(self, name: str, state: Any, D: list[Array]) -> list[Array]:
        """Derivatives of h in the logarithm of a hyperparameter that is neither scale nor variance."""
        raise NotImplementedError

    def _scaled_by(self, factor: float) -> Kernel:
        new = self._copy()
        new._store(variance=self.variance * factor)
        return new

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        start: dict[str, object] = {"lengthscale": span / 10}
        if variance is not None:
            start["variance"] = variance
        return self._restart(start, {"lengthscale": (min(spacing, span / 10) / 2, span * 10)})


def hermite_series(u: Array, base: Array, order: int) -> list[Array]:
    """Derivatives 0 to `order` of ``exp(-u**2 / 2)`` in u, given its value, by the Hermite recurrence."""
    if not order:
        return [base]
    H = [1.0 + 0.0 * u, -u]
    for m in range(1, order):
        # d^m exp(-u^2/2) = (-1)^m He_m(u) exp(-u^2/2), and He_{m+1} = u He_m - m He_{m-1}.
        H.append(-(u * H[m] + m * H[m - 1]))
    return [base, *(h * base for h in H[1:])]
