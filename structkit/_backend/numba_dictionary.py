"""Compiled loops of dictionary learning: thresholds, moments and sums over samples in one pass over the samples.

Codes are sparse, so that adding a sample costs one row per nonzero code instead of a dense outer product. The codes
themselves come from matrix products over a portion of samples that fits in cache, which beats loops.
"""

from __future__ import annotations

import numba
import numpy as np

from structkit._backend.numba_kernels import _FASTMATH, _kernel

__all__ = ["add_codes", "add_kronecker"]

_inner = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)


@_inner
def _smallest_kept(z, n_nonzero, magnitudes):  # type: ignore[no-untyped-def]
    """Magnitude of the `n_nonzero`-th largest code, by insertion into the largest so far, in falling order."""
    for j in range(z.size):
        value = abs(z[j])
        i = min(j, n_nonzero)
        while i > 0 and magnitudes[i - 1] < value:
            if i < n_nonzero:
                magnitudes[i] = magnitudes[i - 1]
            i -= 1
        if i < n_nonzero:
            magnitudes[i] = value
    return magnitudes[n_nonzero - 1]


@_inner
def _count_moments(z, median, square, fourth):  # type: ignore[no-untyped-def]
    """Add powers of the codes; return how many are smaller than `median`."""
    below = 0
    for j in range(z.size):
        power = np.float64(z[j]) * np.float64(z[j])
        square[j] += power
        fourth[j] += power * power
        below += abs(z[j]) < median
    return below


def _add_codes(Y, Z, levels, soft, n_nonzero, median, gradient, square, fourth):  # type: ignore[no-untyped-def]
    n = Y.shape[1]
    magnitudes = np.empty(n, Y.dtype)
    below = 0
    for s in range(Y.shape[0]):
        y, z = Y[s], Z[s]
        below += _count_moments(z, median, square, fourth)
        least = _smallest_kept(z, n_nonzero, magnitudes) if n_nonzero else Y.dtype.type(0)
        for j in range(n):
            value = z[j]
            if (abs(value) >= least) if n_nonzero else (abs(value) > levels[j]):
                if soft:
                    value -= levels[j] if value > 0 else -levels[j]
                target = gradient[j]
                for k in range(n):
                    target[k] += value * y[k]
    return below


@_inner
def _add_fibres(f, p, partial, starts, sizes, gradients):  # type: ignore[no-untyped-def]
    """Add `f` times the fibre of every mode through the entry `p`."""
    right = partial.shape[1]
    for m in range(sizes.size):
        n = sizes[m]
        right //= n
        i = (p // right) % n
        first = p - i * right
        row = gradients[starts[m] + i * n : starts[m] + (i + 1) * n]
        values = partial[m]
        for k in range(n):
            row[k] += f * values[first + k * right]


def _add_kronecker(partial, Z, starts, sizes, levels, soft, n_nonzero, median, gradients, square, fourth):  # type: ignore[no-untyped-def]
    total = Z.shape[1]
    magnitudes = np.empty(total, Z.dtype)
    below = 0
    for s in range(Z.shape[0]):
        z = Z[s]
        below += _count_moments(z, median, square, fourth)
        least = _smallest_kept(z, n_nonzero, magnitudes) if n_nonzero else Z.dtype.type(0)
        for p in range(total):
            value = z[p]
            if (abs(value) >= least) if n_nonzero else (abs(value) > levels[p]):
                if soft:
                    value -= levels[p] if value > 0 else -levels[p]
                _add_fibres(value, p, partial[:, s], starts, sizes, gradients)
    return below


def add_codes(
    Y: np.ndarray,
    Z: np.ndarray,
    levels: np.ndarray,
    soft: bool,
    n_nonzero: int,
    median: float,
    gradient: np.ndarray,
    square: np.ndarray,
    fourth: np.ndarray,
) -> int:
    """Add ``z_j y`` to row `j` of `gradient` for every kept code of every sample, and the moments of all codes.

    Kept are codes above their level, or the `n_nonzero` largest of a sample if that is not 0; `soft` shrinks them by
    their level. Returns the number of codes smaller than `median`.
    """
    samples = "const T[:, ::1], const T[:, ::1], const T[::1]"
    signature = f"int64({samples}, boolean, int64, T, T[:, ::1], float64[::1], float64[::1])"
    kernel = _kernel(_add_codes, signature, Y.dtype)
    return kernel(Y, Z, levels, soft, n_nonzero, Y.dtype.type(median), gradient, square, fourth)  # type: ignore[return-value]


def add_kronecker(
    partial: np.ndarray,
    Z: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    levels: np.ndarray,
    soft: bool,
    n_nonzero: int,
    median: float,
    gradients: np.ndarray,
    square: np.ndarray,
    fourth: np.ndarray,
) -> int:
    """Do what `add_codes` does for tensors with one factor per mode, in one pass for all gradients.

    ``partial[m]`` holds the samples projected on all factors but that of mode `m`, and `Z` the codes, samples as rows.
    Row `i` of the gradient of mode `m`, in `gradients` from ``starts[m]``, collects the fibres of ``partial[m]`` along
    `m` at the codes whose `m`-th index is `i`.
    """
    arrays = "const T[:, :, ::1], const T[:, ::1], const int64[::1], const int64[::1], const T[::1]"
    signature = f"int64({arrays}, boolean, int64, T, T[::1], float64[::1], float64[::1])"
    kernel = _kernel(_add_kronecker, signature, Z.dtype)
    limit = Z.dtype.type(median)
    return kernel(partial, Z, starts, sizes, levels, soft, n_nonzero, limit, gradients, square, fourth)  # type: ignore[return-value]
