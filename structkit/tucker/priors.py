"""Prior processes of the latent functions: names, scales, and priors of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structkit.statespace import LinearSDE, constant_sde, matern_sde, term_variances, white_sde

__all__ = ["KERNELS", "ModePrior", "mode_prior"]

# Orders of the long and of the short process: what is slow is smoother.
_ORDERS = {"matern12": (1.5, 0.5), "matern32": (2.5, 1.5), "matern52": (2.5, 2.5)}
KERNELS = (*_ORDERS, "discrete")
# Log-normal priors: wide, but a length-scale far below the spacing of the levels or far above the range has to pay.
_SPREAD = 1.5
_SHARE_SPREAD = 2.0
_LONG, _SHORT = 1.0, 0.1


@dataclass(frozen=True)
class ModePrior:
    """Prior of the functions of one mode: mixtures of the terms of a process, in coordinates ``(x - origin) / unit``.

    Attributes
    ----------
    sde : LinearSDE
        The process, a sum of `P` terms.
    origin, unit : float
        Zero and unit of the process's time, in units of the coordinate.
    """

    sde: LinearSDE
    origin: float
    unit: float

    @property
    def n_terms(self) -> int:
        """Number of terms of the sum."""
        return len(term_variances(self.sde))

    @cached_property
    def _is_free(self) -> np.ndarray:
        """Which parameters are learned: all that do not scale a term, since amplitudes do that."""
        return (2.0 * self.sde).parameters == self.sde.parameters

    @cached_property
    def center(self) -> np.ndarray:
        """Medians of the log-normal priors of the free parameters, as logarithms."""
        return self.free(self.sde)

    def times(self, x: np.ndarray) -> np.ndarray:
        """Coordinates as times of the process."""
        return (x - self.origin) / self.unit

    def select(self, values: np.ndarray) -> np.ndarray:
        """Entries that belong to free parameters."""
        return values[self._is_free]

    def free(self, sde: LinearSDE) -> np.ndarray:
        """Logarithms of the free parameters."""
        return self.select(np.log(sde.parameters))

    def with_free(self, sde: LinearSDE, theta: np.ndarray) -> LinearSDE:
        """The process with other free parameters."""
        values = sde.parameters
        values[self._is_free] = np.exp(theta)
        return sde.with_parameters(values)

    def log_density(self, sde: LinearSDE, shares: np.ndarray) -> tuple[float, np.ndarray]:
        """Log prior of free parameters and shares, up to a constant, and its gradient."""
        z, w = (self.free(sde) - self.center) / _SPREAD, shares.ravel() / _SHARE_SPREAD
        return -0.5 * float(z @ z + w @ w), -np.concatenate([z / _SPREAD, w / _SHARE_SPREAD])


def mode_prior(kernel: str | LinearSDE, levels: np.ndarray) -> ModePrior:
    """Return the prior of one mode for a kernel's name, or for a process in units of the coordinate."""
    if isinstance(kernel, LinearSDE):
        return ModePrior(kernel, 0.0, 1.0)
    span = float(levels[-1] - levels[0])
    if kernel == "discrete":
        sde = constant_sde() + white_sde()
    else:
        long, short = _ORDERS[kernel]
        sde = constant_sde() + matern_sde(long, _LONG) + matern_sde(short, _SHORT)
    return ModePrior(sde, float(levels[0]), span if span > 0 else 1.0)
