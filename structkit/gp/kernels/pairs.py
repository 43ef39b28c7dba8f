"""Functions of coordinate differences on all pairs: Toeplitz on uniform grids, blocks in cache elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.types import Array
from structkit._core.validation import check_memory

__all__ = ["Pairs"]

# Side of a square tile of pairs: its float64 temporaries stay in cache and below malloc's threshold for mapping pages.
TILE = 120
# Bytes from which an allocation is checked first.
LARGE = 2**28


def _uniform_step(x: np.ndarray) -> float | None:
    """Spacing of a uniform grid, or None; uniform means within four roundings of the range."""
    n = x.shape[0]
    if n < 2:
        return None
    start, stop = float(x[0]), float(x[-1])
    step = (stop - start) / (n - 1)
    if not np.isfinite(step) or step == 0.0:
        return None
    tol = 4.0 * float(np.finfo(x.dtype).eps) * abs(stop - start)
    deviation = x.astype(np.float64) - (start + step * np.arange(n))
    return step if float(np.max(np.abs(deviation))) <= tol else None


def _common_lags(x1: np.ndarray, x2: np.ndarray | None) -> np.ndarray | None:
    """Differences ``x1[i] - x2[j]`` in the order of ``i - j`` where both grids share one uniform step."""
    step = _uniform_step(x1)
    if step is None:
        return None
    n1 = x1.shape[0]
    if x2 is None:
        return step * np.arange(1 - n1, n1)
    n2 = x2.shape[0]
    other = _uniform_step(x2)
    if other is None or abs(other - step) > 4.0 * float(np.finfo(x1.dtype).eps) * abs(step):
        return None
    return (float(x1[0]) - float(x2[0])) + step * np.arange(1 - n2, n1)


def _toeplitz(values: np.ndarray, n2: int) -> np.ndarray:
    """View of ``K[i, j] = values[i - j + n2 - 1]`` with `n2` columns."""
    return np.lib.stride_tricks.sliding_window_view(values[::-1], n2)[::-1]


Functions: TypeAlias = Callable[[Array], Sequence[Array]]


class Pairs:
    """All pairs of two sets of coordinates, on which functions of the difference are evaluated.

    Parameters
    ----------
    x1, x2 : array, shapes ``(n1,)`` and ``(n2,)``
        Coordinates; `x2` None means `x1` again, which halves the work.
    parity : {0, 1}
        0 for even functions, 1 for odd ones.
    use_lags : bool
        Whether uniform grids may be evaluated on their ``n1 + n2 - 1`` differences only.
    """

    def __init__(self, x1: Array, x2: Array | None, *, parity: int, use_lags: bool = True) -> None:
        self.x1, self.x2, self.sign = x1, x2, -1 if parity else 1
        grid = use_lags and not is_torch(x1)
        self.lags: np.ndarray | None = _common_lags(x1, x2) if grid else None  # type: ignore[arg-type]

    def evaluate(self, functions: Functions, count: int) -> Array:
        """Matrices of `count` functions, shape ``(count, n1, n2)``."""
        if not is_torch(self.x1):
            return self._evaluate_numpy(functions, count)  # type: ignore[return-value]
        xp = get_namespace(self.x1)
        tau = self._differences()
        return xp.stack(list(functions(tau))) if count else xp.zeros_like(tau)[None][:0]

    def contract(self, functions: Functions, count: int, G: Array) -> Array:
        """Sums ``sum_ij G_ij f(x_i - x_j)`` of `count` functions, shape ``(count,)``, without their matrices."""
        if not is_torch(self.x1):
            return self._contract_numpy(functions, count, np.asarray(G))  # type: ignore[return-value]
        xp = get_namespace(self.x1)
        if not count:
            return xp.zeros_like(self.x1[:0])
        return xp.stack([xp.sum(G * f) for f in functions(self._differences())])

    def _differences(self) -> Array:
        return self.x1[:, None] - (self.x1 if self.x2 is None else self.x2)[None, :]

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of tiles that cover the matrix, or its upper triangle if it is symmetric."""
        n1, n2 = len(self.x1), len(self.x1 if self.x2 is None else self.x2)
        for i in range(0, n1, TILE):
            for j in range(i if self.x2 is None else 0, n2, TILE):
                yield slice(i, min(i + TILE, n1)), slice(j, min(j + TILE, n2))

    def _evaluate_numpy(self, functions: Functions, count: int) -> np.ndarray:
        x1 = np.asarray(self.x1)
        columns = x1 if self.x2 is None else np.asarray(self.x2)
        n1, n2 = x1.shape[0], columns.shape[0]
        if count * n1 * n2 * x1.itemsize > LARGE:
            check_memory(count * n1 * n2 * x1.itemsize, f"{count} covariance matrices ({n1}, {n2})")
        out = np.empty((count, n1, n2), dtype=x1.dtype)
        if not count:
            return out
        with np.errstate(over="ignore"):
            if self.lags is not None:
                for k, values in enumerate(functions(self.lags)):  # type: ignore[arg-type]
                    out[k] = _toeplitz(np.asarray(values).astype(x1.dtype), n2)
                return out
            for rows, cols in self._tiles():
                for k, values in enumerate(functions(x1[rows, None] - columns[None, cols])):  # type: ignore[arg-type]
                    out[k, rows, cols] = values
                    if self.x2 is None and rows.start != cols.start:
                        np.multiply(np.asarray(values).T, self.sign, out=out[k, cols, rows])
        return out

    def _contract_numpy(self, functions: Functions, count: int, G: np.ndarray) -> np.ndarray:
        x = np.asarray(self.x1)
        columns = x if self.x2 is None else np.asarray(self.x2)
        total = np.zeros(count)
        if not count:
            return total
        with np.errstate(over="ignore"):
            if self.lags is not None:
                weights = _diagonal_sums(G)
                return np.array([weights @ np.asarray(f) for f in functions(self.lags)])  # type: ignore[arg-type]
            for rows, cols in self._tiles():
                W = np.ascontiguousarray(G[rows, cols], dtype=np.float64)
                if self.x2 is None and rows.start != cols.start:
                    W = W + self.sign * G[cols, rows].T
                values = functions(x[rows, None] - columns[None, cols])  # type: ignore[arg-type]
                total += [np.vdot(W, np.asarray(f)) for f in values]
        return total


def _diagonal_sums(G: np.ndarray) -> np.ndarray:
    """Sums of a matrix over its diagonals, in the order of row minus column."""
    n1, n2 = G.shape
    sums = np.zeros(n1 + n2 - 1)
    for i in range(n1):
        sums[n1 - 1 - i : n1 - 1 - i + n2] += G[i]
    return sums[::-1]
