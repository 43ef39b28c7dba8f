"""Fixed-point steps on the evidence of a set of columns: prior variances of every mode in turn, then the noise."""

from __future__ import annotations

import math
from collections.abc import Callable

from structkit._backend.namespace import get_namespace
from structkit._core.types import Array
from structkit.sbl.spectral import Spectral

__all__ = ["FLOOR", "NOISE_FLOOR", "polish"]

# Prior variances relative to the largest of their mode, and noise relative to the mean square of the data, below which
# nothing changes any more in double precision.
FLOOR = 1e-12
NOISE_FLOOR = 1e-28
_REFRESH = 10  # changes of a basis after which the data are rotated afresh


def polish(
    model: Spectral,
    *,
    learn_noise: bool,
    n_steps: int,
    tol: float,
    exponent: float = 1.0,
    watch: Callable[[int, float], bool] | None = None,
) -> tuple[float, bool]:
    r"""Lower the cost by multiplicative steps until it falls by less than `tol` per measurement.

    One step multiplies :math:`\gamma_i` by :math:`(\mathrm{quad}_i / \mathrm{tr}_i)^p`, mode after mode, and the noise
    variance by the same ratio of its own. With :math:`p = 1/2` every step lowers the cost (majorisation);
    :math:`p = 1` (MacKay) is about twice as fast and nearly always does. Where it does not, the step is taken back and
    :math:`p` falls to 1/2.

    Returns the cost and whether the tolerance was reached.
    """
    data = model.data
    count = math.prod(data.y.shape) + data.n_lost
    cost = model.cost()
    for step in range(n_steps):
        kept = list(model.gammas), model.noise_var
        _cycle(model, exponent, learn_noise)
        if (step + 1) % _REFRESH == 0:
            model.refresh()
        new = model.cost()
        if not new <= cost + 1e-9 * count and exponent > 0.5:
            exponent = 0.5
            model.restore(*kept)
            continue
        settled = cost - new <= tol * count
        cost = new
        if watch is not None and watch(step, cost):
            return cost, False
        if settled:
            return cost, True
    return cost, False


def _cycle(model: Spectral, exponent: float, learn_noise: bool) -> None:
    """One step of every mode and of the noise."""
    for mode in range(model.data.n_modes):
        traces, fits = model.mode_terms(mode)
        model.set_mode(mode, limited(model.gammas[mode] * ratio(fits, traces) ** exponent))
    model.rescale()
    if learn_noise:
        trace, power = model.noise_sums()
        model.noise_var = max(model.noise_var * (power / trace) ** exponent, NOISE_FLOOR)


def ratio(fits: Array, traces: Array) -> Array:
    """Quotient, zero where both vanish."""
    xp = get_namespace(fits)
    return xp.where(traces > 0, fits / xp.where(traces > 0, traces, traces + 1), 0 * fits)  # type: ignore[operator]


def limited(gamma: Array) -> Array:
    """Prior variances not below the floor."""
    floor = FLOOR * gamma.max()  # type: ignore[attr-defined]
    return get_namespace(gamma).where(gamma < floor, floor, gamma)
