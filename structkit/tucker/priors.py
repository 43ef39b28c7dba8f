"""Prior processes of the latent functions: names, scales, and priors of their parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit.statespace import LinearSDE, constant_sde, matern_sde, white_sde

__all__ = ["KERNELS", "ModePrior", "mode_prior"]

_ORDERS = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
KERNELS = (*_ORDERS, "discrete")
# Log-normal priors: wide, but a length-scale far below the spacing of the levels or far above the range has to pay.
_SPREAD = 1.5
_LONG, _SHORT = 1.0, 0.1


@dataclass(frozen=True)
class ModePrior:
    """Prior of the functions of one mode: unit variance, in coordinates ``(x - origin) / unit``.

    Attributes
    ----------
    sde : LinearSDE
        The process; its variance is one for named kernels and kept as given for a user's own.
    center : array, shape ``(p,)``
        Medians of the log-normal priors of the parameters, as logarithms.
    origin, unit : float
        Zero and unit of the process's time, in units of the coordinate.
    """

    sde: LinearSDE
    center: np.ndarray
    origin: float
    unit: float

    def times(self, x: np.ndarray) -> np.ndarray:
        """Coordinates as times of the process."""
        return (x - self.origin) / self.unit

    def log_density(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log prior of the log parameters (up to a constant), and its gradient."""
        z = (theta - self.center) / _SPREAD
        return -0.5 * float(z @ z), -z / _SPREAD


def mode_prior(kernel: str | LinearSDE, levels: np.ndarray) -> ModePrior:
    """Return the prior of one mode for a kernel's name, or for a process in units of the coordinate."""
    if isinstance(kernel, LinearSDE):
        return ModePrior(kernel, np.log(kernel.parameters), 0.0, 1.0)
    span = float(levels[-1] - levels[0])
    if kernel == "discrete":
        sde = constant_sde(1 / 2) + white_sde(1 / 2)
    else:
        nu = _ORDERS[kernel]
        sde = constant_sde(1 / 3) + matern_sde(nu, _LONG, 1 / 3) + matern_sde(nu, _SHORT, 1 / 3)
    return ModePrior(sde, np.log(sde.parameters), float(levels[0]), span if span > 0 else 1.0)
