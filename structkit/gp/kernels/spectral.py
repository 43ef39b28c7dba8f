"""Spectral mixture kernels: envelopes times cosines, for signals made of a few bands of frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.matern import matern_profile
from structkit.gp.kernels.parameters import Parameter
from structkit.gp.kernels.smooth import gaussian_profile
from structkit.gp.kernels.spectra import Component, Gaussian, matern_band
from structkit.gp.kernels.stationary import Stationary, leibniz

__all__ = ["SpectralMixture"]

ENVELOPES = ("gaussian", "matern52")
# Differences times components that are evaluated at once; larger temporaries leave the cache.
GROUP = 16384


def _like(values: Array, tau: Array) -> Array:
    """Hyperparameters in the library and dtype and on the device of the differences, on their graph."""
    if not is_torch(tau):
        return values.astype(tau.dtype)  # type: ignore[attr-defined]
    if is_torch(values):
        return values.to(tau)  # type: ignore[attr-defined]
    return tau.new_tensor(values.tolist())  # type: ignore[attr-defined]


class SpectralMixture(Stationary):
    r"""Sum of carriers: an envelope times a cosine for each band of frequency.

    .. math:: k(x, x') = \sum_q w_q\, g\!\left( \frac{x - x'}{\ell_q} \right) \cos\bigl( 2 \pi f_q (x - x') \bigr)

    Parameters
    ----------
    weights : array, shape ``(Q,)``, > 0
        Variance :math:`w_q` of each component, in squared units of the data.
    frequencies : array, shape ``(Q,)``
        Centres :math:`f_q` of the bands, in cycles per unit of the coordinate (not radians). Optimised on a linear
        scale; the sign has no meaning.
    lengthscales : array, shape ``(Q,)``, > 0
        Lengths :math:`\ell_q` over which a component stays coherent, in units of the coordinate.
    envelope : {"gaussian", "matern52"}
        :math:`g`: the squared exponential, whose bands are Gaussians (infinitely smooth), or the Matern-5/2
        function, whose bands are Student-t densities (four derivatives). Default ``"gaussian"``.

    References
    ----------
    .. [1] Wilson and Adams, "Gaussian process kernels for pattern discovery and extrapolation", ICML 2013, eq. (12).
    .. [2] Fang, Cooley, Long, Li, Kirby and Zhe, "Solving high frequency and multi-scale PDEs with Gaussian
       processes", ICLR 2024.

    Examples
    --------
    >>> from structkit.gp import SpectralMixture
    >>> k = SpectralMixture([1.0, 0.5], [0.0, 8.0], [0.3, 0.3])
    >>> k([0.0], [0.0, 0.0625]).round(4)
    array([[1.5   , 0.4893]])
    """

    _specs = (
        Parameter("weights", vector=True),
        Parameter("frequencies", positive=False, vector=True),
        Parameter("lengthscales", vector=True),
    )
    _config = ("envelope",)

    weights: np.ndarray
    frequencies: np.ndarray
    lengthscales: np.ndarray
    envelope: str

    def __init__(
        self,
        weights: Sequence[float],
        frequencies: Sequence[float],
        lengthscales: Sequence[float],
        envelope: str = "gaussian",
    ) -> None:
        if envelope not in ENVELOPES:
            raise ValueError(f"envelope must be one of {', '.join(map(repr, ENVELOPES))}; got {envelope!r}.")
        object.__setattr__(self, "envelope", envelope)
        self._store(weights=weights, frequencies=frequencies, lengthscales=lengthscales)
        sizes = len(self.weights), len(self.frequencies), len(self.lengthscales)
        if len(set(sizes)) > 1 or sizes[0] == 0:
            raise ShapeError(f"weights, frequencies and lengthscales must have one common length >= 1; got {sizes}.")

    @property
    def max_order(self) -> float:
        """Highest total order of derivative blocks."""
        return math.inf if self.envelope == "gaussian" else 4

    def _groups(self, tau: Array) -> Iterator[tuple[slice, Array, Array, Array]]:
        """Components in groups as large as the cache allows, their axis first: weights, frequencies, lengthscales."""
        xp = get_namespace(tau)
        size = max(1, GROUP // max(1, math.prod(tau.shape)))
        shape = (-1, *(1 for _ in tau.shape))
        vectors = [xp.reshape(_like(v, tau), shape) for v in (self.weights, self.frequencies, self.lengthscales)]
        for start in range(0, len(self.weights), size):
            part = slice(start, start + size)
            w, f, ell = (v[part] for v in vectors)
            yield part, w, f, ell

    def _profile(self, tau: Array, ell: Array, order: int) -> list[Array]:
        if self.envelope == "gaussian":
            return gaussian_profile(tau, ell, order)  # type: ignore[arg-type]
        return matern_profile(tau, 2.5, ell, order)  # type: ignore[arg-type]

    @staticmethod
    def _carrier(tau: Array, f: Array, order: int) -> tuple[list[Array], list[Array]]:
        """Derivatives 0 to `order` of the cosine and the sine of the carrier."""
        xp = get_namespace(tau)
        omega = 2 * math.pi * f
        cosine, sine = xp.cos(omega * tau), xp.sin(omega * tau)
        c, s = (cosine, -sine, -cosine, sine), (sine, cosine, -sine, -cosine)
        power = [1.0, *(omega**m for m in range(1, order + 1))]
        return [power[m] * c[m % 4] for m in range(order + 1)], [power[m] * s[m % 4] for m in range(order + 1)]

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        xp = get_namespace(tau)
        total: list[Array] = []
        for _, w, f, ell in self._groups(tau):
            G = self._profile(tau, ell, order)
            C = self._carrier(tau, f, order)[0] if order else [xp.cos((2 * math.pi * f) * tau)]
            terms = [w * leibniz(G, C, m) for m in range(order + 1)]
            sums = [t[0] if len(t) == 1 else xp.sum(t, axis=0) for t in terms]
            total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
        return total

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        names = self.parameter_names
        wanted = {s.name for s in self._specs if any(n.startswith(f"{s.name}[") for n in names)}
        found: dict[str, list[Array]] = {}
        for part, w, f, ell in self._groups(tau) if wanted else ():
            group = self._group_gradients(tau, order, (w, f, ell), wanted)
            for name, derivatives in group.items():
                for q in range(len(w)):
                    found[f"{name}[{part.start + q}]"] = [d[q] for d in derivatives]
        return [found[name] for name in names]

    def _group_gradients(
        self, tau: Array, order: int, group: tuple[Array, Array, Array], wanted: set[str]
    ) -> dict[str, list[Array]]:
        """Gradients in the hyperparameters of a group of components, component axis first."""
        w, f, ell = group
        orders = range(order + 1)
        G, (C, S) = self._profile(tau, ell, order + ("lengthscales" in wanted)), self._carrier(tau, f, order)
        found = {}
        if "weights" in wanted:
            found["weights"] = [w * leibniz(G, C, m) for m in orders]
        if "frequencies" in wanted:
            # The derivative in f is -2 pi tau g sin(omega tau): Leibniz once more for the factor tau.
            odd = [(-2 * math.pi) * (w * leibniz(G, S, m)) for m in orders]
            found["frequencies"] = [tau * odd[m] + m * odd[m - 1] if m else tau * odd[0] for m in orders]
        if "lengthscales" in wanted:
            stretch = [-(tau * G[m + 1] + m * G[m]) if m else -(tau * G[1]) for m in orders]
            found["lengthscales"] = [w * leibniz(stretch, C, m) for m in orders]
        return found

    def _components(self) -> list[Component]:
        smooth = self.envelope == "gaussian"
        triples = zip(self.weights, self.frequencies, self.lengthscales, strict=True)
        return [Component(w, f, Gaussian(ell) if smooth else matern_band(2.5, ell)) for w, f, ell in triples]

    def _scaled_by(self, factor: float) -> Kernel:
        new = self._copy()
        new._store(weights=self.weights * factor)
        return new

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        Q = len(self.weights)
        top = 0.25 / spacing
        start: dict[str, object] = {"frequencies": np.linspace(0.0, top, Q), "lengthscales": np.full(Q, span / 5)}
        if variance is not None:
            start["weights"] = np.full(Q, variance / Q)
        limits = {"frequencies": (-2 * top, 2 * top), "lengthscales": (min(spacing, span / 10) / 2, span * 10)}
        return self._restart(start, limits)
