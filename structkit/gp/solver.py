"""Preconditioned conjugate gradients for whitened coefficients, stopped by the error of the posterior mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import get_namespace, to_numpy
from structkit._core.types import Array
from structkit.gp.regions import MaskGeometry, RegionSolver
from structkit.gp.whitening import GridSystem, groups

__all__ = ["CoefficientSolve", "PreconditionedSystem"]

WINDOW = 3  # fewest iterations over which the decrease of the error is averaged
WINDOW_SHARE = 10  # ... and one in so many of all: slow systems pause long before they fall again
PATIENCE = 200  # iterations without progress before rounding is taken to be the limit


@dataclass(frozen=True)
class CoefficientSolve:
    """Coefficients (k, r_1, ..., r_D), status, iterations, and estimated error in posterior standard deviations."""

    value: Array
    status: str
    n_iter: int
    error: float


class PreconditionedSystem:
    r"""A grid system with a preconditioner that knows the mask's average and its holes.

    The base :math:`F = (I + f \operatorname{diag}(w))^{-1}` is exact for a mask that is everywhere as dense as its mean
    :math:`f`. Where whole regions are hidden the Woodbury identity gives the exact correction
    :math:`F + F R_f^T E\, Z\, E^T R_f F`, with :math:`R_f = \sqrt f R` and :math:`Z` the posterior covariance of the
    noisy hidden cells, which `RegionSolver` approximates.
    """

    def __init__(self, system: GridSystem, geometry: MaskGeometry) -> None:
        self.system = system
        self.share = geometry.share
        self.fraction = max(geometry.fraction, 1.0 / max(math.prod(system.shape), 1))
        self.base = 1.0 / (1.0 + self.fraction * system.prior)
        self.regions = RegionSolver(geometry, system.bases, system.shape, system.weights) if geometry.regions else None

    def precondition(self, r: Array) -> Array:
        """Return an approximation of ``A^{-1} r`` for a stack of coefficients."""
        z = self.base * r
        if self.regions is not None:
            inside = self.regions.apply(self.system.to_grid(z))
            z += (self.fraction * self.base) * self.system.from_grid(inside)  # type: ignore[operator]
        return z

    def solve(self, b: Array, *, tol: float, max_iter: int, x0: Array | None = None) -> CoefficientSolve:
        r"""Solve ``A c = b`` for a stack of right-hand sides.

        The error is measured in the norm of ``A``, where a posterior draw has squared norm `n`, the number of
        coefficients: ``tol`` is the error of the posterior mean in posterior standard deviations, root mean square. It
        is estimated from the decrease that conjugate gradients report (Hestenes and Stiefel's formula over the last
        iterations, continued geometrically), which a poor preconditioner cannot fool. Holes converge last, so what is
        left counts as if all of it lay in them: the mean square is over their share of the coefficients.
        """
        xp = get_namespace(b)
        parts = [
            self._solve_stack(b[g], tol=tol, max_iter=max_iter, x0=None if x0 is None else x0[g]) for g in groups(b)
        ]
        if len(parts) == 1:
            return parts[0]
        worst = max(parts, key=lambda part: (part.status != "converged", part.error))
        n_iter = max(part.n_iter for part in parts)
        return CoefficientSolve(xp.concat([part.value for part in parts]), worst.status, n_iter, worst.error)

    def _solve_stack(self, b: Array, *, tol: float, max_iter: int, x0: Array | None) -> CoefficientSolve:
        """Run preconditioned conjugate gradients on right-hand sides that move in step."""
        xp = get_namespace(b)
        axes = tuple(range(1, b.ndim))
        tail = (-1,) + (1,) * (b.ndim - 1)
        n = math.prod(b.shape[1:]) * self.share
        x = b * 0 if x0 is None else x0 + 0
        r = b + 0 if x0 is None else b - self.system.apply(x)
        z = self.precondition(r)
        p = z + 0
        rz = xp.sum(r * z, axis=axes)
        decreases: list[np.ndarray] = []
        best, since, status, error, n_iter = math.inf, 0, "max_iter", math.inf, 0
        while n_iter < max_iter:
            n_iter += 1
            q = self.system.apply(p)
            pq = xp.sum(p * q, axis=axes)
            alpha = _ratio(rz, pq)
            x += alpha.reshape(*tail) * p  # type: ignore[operator]
            r -= alpha.reshape(*tail) * q  # type: ignore[operator]
            decreases.append(to_numpy(alpha * rz).astype(np.float64) / n)
            error = _remaining(decreases)
            if error <= tol:
                status = "converged"
                break
            z = self.precondition(r)
            rz_new = xp.sum(r * z, axis=axes)
            level = float(to_numpy(rz_new).max())
            if not math.isfinite(level):
                status = "not_finite"
                break
            since = 0 if level < best else since + 1
            best = min(best, level)
            if since > PATIENCE:
                status = "stagnation"
                break
            p *= _ratio(rz_new, rz).reshape(*tail)  # type: ignore[operator]
            p += z  # type: ignore[operator]
            rz = rz_new
        return CoefficientSolve(x, status, n_iter, error)


def _ratio(a: Array, b: Array) -> Array:
    """Quotient that is zero where the denominator vanishes: a right-hand side that is solved stays solved."""
    good = b > 0  # type: ignore[operator]
    return a * good / (b + ~good)


def _remaining(decreases: list[np.ndarray]) -> float:
    """Estimated error left, in posterior standard deviations, largest over the right-hand sides."""
    width = max(WINDOW, len(decreases) // WINDOW_SHARE)
    last = np.sum(decreases[-width:], axis=0)
    if not last.any():
        return 0.0
    if len(decreases) < 2 * width:
        return math.inf
    before = np.sum(decreases[-2 * width : -width], axis=0)
    rate = np.divide(last, before, out=np.zeros_like(last), where=before > 0)
    # The first iterations fall faster than the rest ever will, so never claim less than the last decrease.
    left = np.where(rate < 1.0, last * np.maximum(rate / np.maximum(1.0 - rate, 1e-12), 1.0), math.inf)
    return float(np.sqrt(left.max()))
