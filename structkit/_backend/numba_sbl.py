"""Compiled loops of sparse Bayesian learning: what a column would gain, for all columns of a dictionary."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["column_gains", "mode_sums"]

compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@compiled
def _cost(g: float, s: np.ndarray, q: np.ndarray, weights: np.ndarray, n_snapshots: int) -> float:
    # Logarithms are dear and products are not; every factor is at least one.
    logs, product, fit = 0.0, 1.0, 0.0
    for b in range(s.size):
        z = 1.0 + g * weights[b] * s[b]
        fit += g * weights[b] * q[b] / z
        product *= z
        if product > 1e200:
            logs += np.log(product)
            product = 1.0
    return n_snapshots * (logs + np.log(product)) - fit


@compiled
def column_gains(
    s: np.ndarray,
    q: np.ndarray,
    weights: np.ndarray,
    own: np.ndarray,
    n_snapshots: int,
    grid: np.ndarray,
    n_steps: int,
    gains: np.ndarray,
    best: np.ndarray,
) -> None:
    """Write the largest gain of every column and the prior variance that reaches it; see `numpy_sbl`."""
    n, width = s.shape
    free_s, free_q = np.empty(width), np.empty(width)
    for j in range(n):
        for b in range(width):
            rest = max(1.0 - own[j] * weights[b] * s[j, b], 1e-12)
            free_s[b] = s[j, b] / rest
            free_q[b] = q[j, b] / (rest * rest)
        at, low = own[j], 0.0
        if at > 0.0:
            low = _cost(at, free_s, free_q, weights, n_snapshots)
        for i in range(grid.shape[1]):
            value = _cost(grid[j, i], free_s, free_q, weights, n_snapshots)
            if value < low:
                at, low = grid[j, i], value
        g = at
        for _ in range(n_steps):
            fit, trace = 0.0, 0.0
            for b in range(width):
                z = 1.0 + g * weights[b] * free_s[b]
                fit += weights[b] * free_q[b] / (z * z)
                trace += weights[b] * free_s[b] / z
            g *= (fit / (n_snapshots * trace)) ** 0.7
        if n_steps > 0 and g > 0.0:
            value = _cost(g, free_s, free_q, weights, n_snapshots)
            if value < low:
                at, low = g, value
        gains[j], best[j] = -low, at


@compiled
def _mode_sums(
    rotated: np.ndarray, weights: np.ndarray, values: np.ndarray, noise_var: float, traces: np.ndarray, gram: np.ndarray
) -> None:
    left, m, right, n_snapshots = rotated.shape
    solved = np.empty(m, rotated.dtype)
    inverse = np.empty(m)
    for l in range(left):
        for r in range(right):
            w = weights[l, r]
            for a in range(m):
                inverse[a] = 1.0 / (w * values[a] + noise_var)
                traces[a] += n_snapshots * w * inverse[a]
            for s in range(n_snapshots):
                for a in range(m):
                    solved[a] = rotated[l, a, r, s] * inverse[a]
                for a in range(m):
                    scaled = w * solved[a]
                    for b in range(a + 1):
                        gram[a, b] += scaled * np.conj(solved[b])
    for a in range(m):
        for b in range(a):
            gram[b, a] = np.conj(gram[a, b])


def mode_sums(
    rotated: np.ndarray, weights: np.ndarray, values: np.ndarray, noise_var: float
) -> tuple[np.ndarray, np.ndarray]:
    """Traces and Gram matrix of one mode in one pass; see `numpy_sbl`."""
    m = len(values)
    traces, gram = np.zeros(m), np.zeros((m, m), rotated.dtype)
    _mode_sums(np.ascontiguousarray(rotated), np.ascontiguousarray(weights), values, noise_var, traces, gram)
    return traces, gram
