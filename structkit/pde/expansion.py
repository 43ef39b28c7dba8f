"""A solution as coefficients of tensor products of basis functions: values, derivatives, residual of the equation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from structkit.kron import multi_mode_product
from structkit.pde.basis import AxisBasis
from structkit.pde.problem import PDE

__all__ = ["Expansion"]

# Points are evaluated in chunks of at most this many numbers.
_CHUNK = 20_000_000


@dataclass(frozen=True)
class Expansion:
    """Basis functions of each axis and their coefficients, shape ``(r_1, ..., r_D)``; more axes are more functions."""

    bases: Sequence[AxisBasis]
    coefficients: np.ndarray

    def on(self, coords: Sequence[np.ndarray], orders: Mapping[int, int] | None = None) -> np.ndarray:
        """Values of a derivative on the tensor grid of `coords`."""
        orders = orders or {}
        return np.asarray(
            multi_mode_product(
                self.coefficients,
                [b.at(c, orders.get(a, 0)) for a, (b, c) in enumerate(zip(self.bases, coords, strict=True))],
                modes=range(len(self.bases)),
            )
        )

    def at(self, points: np.ndarray, orders: Mapping[int, int] | None = None) -> np.ndarray:
        """Values of a derivative at scattered points ``(n, D)``."""
        orders = orders or {}
        step = max(_CHUNK // max(self.coefficients[0].size, 1), 1)
        out = np.empty((len(points), *self.coefficients.shape[len(self.bases) :]))
        for start in range(0, len(points), step):
            part = points[start : start + step]
            value = self.bases[0].at(part[:, 0], orders.get(0, 0)) @ self.coefficients.reshape(self.bases[0].rank, -1)
            for a, basis in enumerate(self.bases[1:], 1):
                rows = basis.at(part[:, a], orders.get(a, 0))
                value = np.einsum("nr,nrk->nk", rows, value.reshape(len(part), basis.rank, -1))
            out[start : start + step] = value.reshape(len(part), *out.shape[1:])
        return out

    def residual(self, problem: PDE, coords: Sequence[np.ndarray]) -> float:
        """Root mean square of ``L u + N(u) - f`` on a grid over that of the largest term."""
        grids = np.meshgrid(*coords, indexing="ij", sparse=True)
        return _relative_residual(problem, grids, problem.source_on(coords), lambda orders: self.on(coords, orders))

    def residual_at(self, problem: PDE, points: np.ndarray) -> float:
        """The same at scattered points ``(n, D)``."""
        return _relative_residual(
            problem, list(points.T), problem.source_at(points), lambda orders: self.at(points, orders)
        )


def _relative_residual(
    problem: PDE,
    grids: Sequence[np.ndarray],
    source: np.ndarray,
    derivative: Callable[[Mapping[int, int]], np.ndarray],
) -> float:
    # The second derivative of a straight line is rounding, and so is its residual.
    total, size = -source, max(_rms(source), problem.operator_size * _rms(derivative({})))
    for t in problem.operator.terms:
        value = t.coefficient.at(grids, {}) * derivative(dict(t.orders))
        total = total + value
        size = max(size, _rms(value))
    if problem.nonlinearity is not None:
        arguments = [
            sum((t.coefficient.at(grids, {}) * derivative(dict(t.orders)) for t in o.terms), np.zeros(source.shape))
            for o in problem.nonlinearity.operators
        ]
        with np.errstate(all="ignore"):
            value = problem.nonlinearity.value(arguments)
        total = total + value
        size = max(size, _rms(value))
    return _rms(total) / size if size > 0 else 0.0


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
