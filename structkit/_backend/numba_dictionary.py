"""Compiled loops of dictionary learning: thresholds, moments and sums over samples in one pass over the samples.

Codes are sparse, so that adding a sample costs one row per nonzero code instead of a dense outer product. Nothing of
the size of the samples is formed by `add_kronecker`; `add_codes` takes the codes from a matrix product, which beats
loops.
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
def _along_axis(source, left, n, right, W, target):  # type: ignore[no-untyped-def]
    """Write ``target[l, i, r] = sum_k W[k, i] source[l, k, r]``, all flat."""
    for l in range(left):
        block = source[l * n * right : (l + 1) * n * right]
        out = target[l * n * right : (l + 1) * n * right]
        out[:] = 0
        if right == 1:
            for k in range(n):
                value, row = block[k], W[k * n : (k + 1) * n]
                for i in range(n):
                    out[i] += value * row[i]
            continue
        for k in range(n):
            piece = block[k * right : (k + 1) * right]
            for i in range(n):
                weight = W[k * n + i]
                into = out[i * right : (i + 1) * right]
                for r in range(right):
                    into[r] += weight * piece[r]


@_inner
def _project(y, factors, starts, sizes, partial, z, work):  # type: ignore[no-untyped-def]
    """Write to ``partial[m]`` the sample times all factors but that of mode `m`, and to `z` that times all of them."""
    n_modes, total = sizes.size, y.size
    for m in range(n_modes):
        source = y
        steps = n_modes - 1
        left = 1
        for d in range(n_modes):
            right = total // (left * sizes[d])
            if d != m:
                steps -= 1
                target = partial[m] if steps % 2 == 0 else work
                W = factors[starts[d] : starts[d] + sizes[d] * sizes[d]]
                _along_axis(source, left, sizes[d], right, W, target)
                source = target
            left *= sizes[d]
        if n_modes == 1:
            partial[m, :] = y
    W = factors[: sizes[0] * sizes[0]]
    _along_axis(partial[0], 1, sizes[0], total // sizes[0], W, z)


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


def _add_kronecker(Y, factors, starts, sizes, levels, soft, n_nonzero, cubic, median, gradients, square, fourth):  # type: ignore[no-untyped-def]
    total = Y.shape[1]
    partial = np.empty((sizes.size, total), Y.dtype)
    z, work, magnitudes = np.empty(total, Y.dtype), np.empty(total, Y.dtype), np.empty(total, Y.dtype)
    below = 0
    for s in range(Y.shape[0]):
        _project(Y[s], factors, starts, sizes, partial, z, work)
        below += _count_moments(z, median, square, fourth)
        least = _smallest_kept(z, n_nonzero, magnitudes) if n_nonzero else Y.dtype.type(0)
        for p in range(total):
            value = z[p]
            if cubic:
                _add_fibres(value * abs(value), p, partial, starts, sizes, gradients)
            elif (abs(value) >= least) if n_nonzero else (abs(value) > levels[p]):
                if soft:
                    value -= levels[p] if value > 0 else -levels[p]
                _add_fibres(value, p, partial, starts, sizes, gradients)
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
    Y: np.ndarray,
    factors: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    levels: np.ndarray,
    soft: bool,
    n_nonzero: int,
    cubic: bool,
    median: float,
    gradients: np.ndarray,
    square: np.ndarray,
    fourth: np.ndarray,
) -> int:
    """Do what `add_codes` does for tensors and one factor per mode, all factors and gradients in flat arrays.

    With `cubic` every code counts, by its square with its sign. Row `i` of the gradient of mode `m` collects the fibres
    along `m` of the sample, projected on the other factors, at the codes whose `m`-th index is `i`.
    """
    arrays = "const T[:, ::1], const T[::1], const int64[::1], const int64[::1], const T[::1]"
    signature = f"int64({arrays}, boolean, int64, boolean, T, T[::1], float64[::1], float64[::1])"
    kernel = _kernel(_add_kronecker, signature, Y.dtype)
    limit = Y.dtype.type(median)
    return kernel(Y, factors, starts, sizes, levels, soft, n_nonzero, cubic, limit, gradients, square, fourth)  # type: ignore[return-value]
