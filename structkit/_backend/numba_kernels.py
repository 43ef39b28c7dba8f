"""Compiled loops for scattered access: values of CP and Tucker tensors at entries, sparse MTTKRP, dense products.

Every kernel is compiled on first use for one element type with an explicit signature (contiguous arrays, ``int64``
indices) and kept in numba's file cache, so that later processes only load it. `cp_at` and `mttkrp_sparse` check the
indices as they read them; the other kernels trust them.
Rows are sliced before the inner loop: indexing with a sum of signed integers would carry a test for negative values
into the loop and prevent vectorisation.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import numba
import numpy as np

__all__ = [
    "cp_at",
    "cp_gradient",
    "first_invalid",
    "khatri_rao_pair",
    "kron_pair",
    "mttkrp_sparse",
    "scatter_rows",
    "tucker_at",
    "tucker_gradient",
]

# Sums may be reordered so that they vectorise; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz"}
_NAMES = {"float32": "float32", "float64": "float64", "complex64": "complex64", "complex128": "complex128"}


def _declared(found: re.Match[str]) -> str:
    """Spell the numba type of one ``const`` array."""
    return f"Array({found[1]}, {found[2].count(',') + 1}, 'C', True)"


@functools.cache
def _compile(function: Callable[..., object], signature: str) -> Callable[..., object]:
    """Compile one kernel for one signature, or load it from the file cache; ``const`` arrays may be read-only."""
    signature = re.sub(r"const (\w+)\[(.*?)\]", _declared, signature)
    return numba.njit([signature], cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)(function)


def _kernel(function: Callable[..., object], signature: str, dtype: np.dtype) -> Callable[..., object]:
    """Return the kernel whose signature template holds the element type as ``T``."""
    return _compile(function, signature.replace("T", _NAMES[dtype.name]))


def _first_invalid(index, sizes):  # type: ignore[no-untyped-def]
    for s in range(index.shape[0]):
        for d in range(index.shape[1]):
            if index[s, d] < 0 or index[s, d] >= sizes[d]:
                return s * index.shape[1] + d
    return -1


def _cp_at(index, sizes, rows, offsets, out):  # type: ignore[no-untyped-def]
    n_entries, n_modes = index.shape
    rank = rows.shape[1]
    zero = rows.dtype.type(0)
    if n_modes == 3:
        # Checking here, where the indices are read anyway, costs half of what a pass of its own does; without signs,
        # one comparison finds both ends, and no test for negative indices follows.
        n0, n1, n2 = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
        o0, o1, o2 = np.uint64(offsets[0]), np.uint64(offsets[1]), np.uint64(offsets[2])
        for s in range(n_entries):
            i, j, k = np.uint64(index[s, 0]), np.uint64(index[s, 1]), np.uint64(index[s, 2])
            if i >= n0 or j >= n1 or k >= n2:
                return 3 * s + (0 if i >= n0 else 1 if j >= n1 else 2)
            a, b, c = rows[i + o0], rows[j + o1], rows[k + o2]
            total = zero
            for r in range(rank):
                total += a[r] * b[r] * c[r]
            out[s] = total
        return -1
    product = np.empty(rank, rows.dtype)
    for s in range(n_entries):
        for d in range(n_modes):
            if index[s, d] < 0 or index[s, d] >= sizes[d]:
                return n_modes * s + d
        product[:] = rows[index[s, 0] + offsets[0]]
        for d in range(1, n_modes):
            a = rows[index[s, d] + offsets[d]]
            for r in range(rank):
                product[r] *= a[r]
        total = zero
        for r in range(rank):
            total += product[r]
        out[s] = total
    return -1


def _mttkrp_sparse(index, sizes, values, rows, offsets, mode, out):  # type: ignore[no-untyped-def]
    n_entries, n_modes = index.shape
    rank = rows.shape[1]
    if n_modes == 3:
        first, second = (1 if mode == 0 else 0), (1 if mode == 2 else 2)
        n0, n1, n2 = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
        o1, o2 = np.uint64(offsets[first]), np.uint64(offsets[second])
        for s in range(n_entries):
            i, j, k = np.uint64(index[s, 0]), np.uint64(index[s, 1]), np.uint64(index[s, 2])
            if i >= n0 or j >= n1 or k >= n2:
                return 3 * s + (0 if i >= n0 else 1 if j >= n1 else 2)
            a, b = rows[np.uint64(index[s, first]) + o1], rows[np.uint64(index[s, second]) + o2]
            target = out[np.uint64(index[s, mode])]
            value = values[s]
            for r in range(rank):
                target[r] += value * a[r] * b[r]
        return -1
    product = np.empty(rank, rows.dtype)
    for s in range(n_entries):
        for d in range(n_modes):
            if index[s, d] < 0 or index[s, d] >= sizes[d]:
                return n_modes * s + d
        product[:] = values[s]
        for d in range(n_modes):
            if d != mode:
                a = rows[index[s, d] + offsets[d]]
                for r in range(rank):
                    product[r] *= a[r]
        target = out[index[s, mode]]
        for r in range(rank):
            target[r] += product[r]
    return -1


def _cp_gradient(index, values, rows, offsets, out):  # type: ignore[no-untyped-def]
    n_entries, n_modes = index.shape
    rank = rows.shape[1]
    if n_modes == 3:
        for s in range(n_entries):
            i, j, k = index[s, 0] + offsets[0], index[s, 1] + offsets[1], index[s, 2] + offsets[2]
            a, b, c = rows[i], rows[j], rows[k]
            value = values[s]
            # One target per loop: with three, the compiler cannot rule out overlap and does not vectorise.
            target = out[i]
            for r in range(rank):
                target[r] += value * b[r] * c[r]
            target = out[j]
            for r in range(rank):
                target[r] += value * a[r] * c[r]
            target = out[k]
            for r in range(rank):
                target[r] += value * a[r] * b[r]
        return
    # suffix[d] is the product of the rows of modes d and later; prefix that of the modes before.
    suffix = np.empty((n_modes + 1, rank), rows.dtype)
    prefix = np.empty(rank, rows.dtype)
    for s in range(n_entries):
        suffix[n_modes, :] = rows.dtype.type(1)
        for d in range(n_modes - 1, 0, -1):
            a = rows[index[s, d] + offsets[d]]
            after, here = suffix[d + 1], suffix[d]
            for r in range(rank):
                here[r] = after[r] * a[r]
        prefix[:] = values[s]
        for d in range(n_modes):
            a = rows[index[s, d] + offsets[d]]
            after = suffix[d + 1]
            target = out[index[s, d] + offsets[d]]
            for r in range(rank):
                target[r] += prefix[r] * after[r]
            if d + 1 < n_modes:
                for r in range(rank):
                    prefix[r] *= a[r]


def _tucker_at(table, first, index, flat, starts, ranks, out):  # type: ignore[no-untyped-def]
    n_modes = index.shape[1]
    width = table.shape[1]
    zero = table.dtype.type(0)
    buffer = np.empty(width, table.dtype)
    for s in range(index.shape[0]):
        row = table[first[s]]
        if n_modes == 0:
            out[s] = row[0]
            continue
        # All modes but the last are contracted from the front, which keeps the inner loop long and without reductions.
        length = width
        for d in range(n_modes - 1):
            rank = ranks[d]
            start = starts[d] + index[s, d] * rank
            vector = flat[start : start + rank]
            length //= rank
            target = buffer[:length]
            head = row[:length]
            scale = vector[0]
            for j in range(length):
                target[j] = scale * head[j]
            for q in range(1, rank):
                part = row[q * length : (q + 1) * length]
                scale = vector[q]
                for j in range(length):
                    target[j] += scale * part[j]
            row = buffer
        rank = ranks[n_modes - 1]
        start = starts[n_modes - 1] + index[s, n_modes - 1] * rank
        vector = flat[start : start + rank]
        head = row[:rank]
        total = zero
        for j in range(rank):
            total += head[j] * vector[j]
        out[s] = total


def _tucker_gradient(table, first, index, values, flat, starts, ranks, table_bar, flat_bar):  # type: ignore[no-untyped-def]
    n_modes = index.shape[1]
    width = table.shape[1]
    # levels holds the row, the row contracted with its last mode, with its last two, ...; bar runs back over them.
    levels = np.empty((n_modes + 1) * width, table.dtype)
    bar = np.empty(width, table.dtype)
    scaled = np.empty(width, table.dtype)
    for s in range(index.shape[0]):
        levels[:width] = table[first[s]]
        at, length = 0, width
        for d in range(n_modes - 1, -1, -1):
            rank = ranks[d]
            start = starts[d] + index[s, d] * rank
            vector = flat[start : start + rank]
            source = levels[at : at + length]
            at += length
            length //= rank
            target = levels[at : at + length]
            for j in range(length):
                part = source[j * rank : (j + 1) * rank]
                total = table.dtype.type(0)
                for q in range(rank):
                    total += part[q] * vector[q]
                target[j] = total
        bar[0] = values[s]
        for d in range(n_modes):
            rank = ranks[d]
            start = starts[d] + index[s, d] * rank
            vector = flat[start : start + rank]
            vector_bar = flat_bar[start : start + rank]
            at -= length * rank
            source = levels[at : at + length * rank]
            for j in range(length):
                part = source[j * rank : (j + 1) * rank]
                grown = scaled[j * rank : (j + 1) * rank]
                scale = bar[j]
                for q in range(rank):
                    vector_bar[q] += scale * part[q]
                    grown[q] = scale * vector[q]
            length *= rank
            bar, scaled = scaled, bar
        row_bar = table_bar[first[s]]
        for j in range(width):
            row_bar[j] += bar[j]


def _scatter_rows(index, values, out):  # type: ignore[no-untyped-def]
    for s in range(index.shape[0]):
        source, target = values[s], out[index[s]]
        for r in range(values.shape[1]):
            target[r] += source[r]


def _khatri_rao_pair(a, b, out):  # type: ignore[no-untyped-def]
    rank = a.shape[1]
    for i in range(a.shape[0]):
        x = a[i]
        block = out[i * b.shape[0] : (i + 1) * b.shape[0]]
        for j in range(b.shape[0]):
            y, target = b[j], block[j]
            for r in range(rank):
                target[r] = x[r] * y[r]


def _kron_pair(a, b, out):  # type: ignore[no-untyped-def]
    n = b.shape[1]
    for i in range(a.shape[0]):
        for k in range(b.shape[0]):
            row, y = out[i * b.shape[0] + k], b[k]
            for j in range(a.shape[1]):
                scale = a[i, j]
                target = row[j * n : (j + 1) * n]
                for q in range(n):
                    target[q] = scale * y[q]


def first_invalid(index: np.ndarray, sizes: np.ndarray) -> int:
    """Return the position in the flattened `index` of the first entry outside ``0 <= i < sizes[d]``, or -1."""
    return _compile(_first_invalid, "int64(const int64[:, ::1], const int64[::1])")(index, sizes)  # type: ignore[return-value]


def cp_at(index: np.ndarray, sizes: np.ndarray, rows: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> int:
    """Write ``sum_r prod_d rows[index[s, d] + offsets[d], r]`` into ``out[s]``; return what `first_invalid` would."""
    signature = "int64(const int64[:, ::1], const int64[::1], const T[:, ::1], const int64[::1], T[::1])"
    return _kernel(_cp_at, signature, rows.dtype)(index, sizes, rows, offsets, out)  # type: ignore[return-value]


def mttkrp_sparse(
    index: np.ndarray,
    sizes: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    offsets: np.ndarray,
    mode: int,
    out: np.ndarray,
) -> int:
    """Add ``values[s] prod_{d != mode} rows[index[s, d] + offsets[d]]`` to ``out[index[s, mode]]``.

    Returns what `first_invalid` would; `out` is unfinished unless that is -1.
    """
    entries = "const int64[:, ::1], const int64[::1], const T[::1]"
    signature = f"int64({entries}, const T[:, ::1], const int64[::1], int64, T[:, ::1])"
    kernel = _kernel(_mttkrp_sparse, signature, rows.dtype)
    return kernel(index, sizes, values, rows, offsets, mode, out)  # type: ignore[return-value]


def cp_gradient(index: np.ndarray, values: np.ndarray, rows: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    """Add ``values[s] prod_{e != d} rows[index[s, e] + offsets[e]]`` to ``out[index[s, d] + offsets[d]]``, all d."""
    signature = "void(const int64[:, ::1], const T[::1], const T[:, ::1], const int64[::1], T[:, ::1])"
    _kernel(_cp_gradient, signature, rows.dtype)(index, values, rows, offsets, out)


def tucker_at(
    table: np.ndarray,
    first: np.ndarray,
    index: np.ndarray,
    flat: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    out: np.ndarray,
) -> None:
    """Contract ``table[first[s]]``, of shape `ranks`, with the rows `index` of the matrices stored in `flat`."""
    entries = "const T[:, ::1], const int64[::1], const int64[:, ::1]"
    signature = f"void({entries}, const T[::1], const int64[::1], const int64[::1], T[::1])"
    _kernel(_tucker_at, signature, table.dtype)(table, first, index, flat, starts, ranks, out)


def tucker_gradient(
    table: np.ndarray,
    first: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    flat: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    table_bar: np.ndarray,
    flat_bar: np.ndarray,
) -> None:
    """Add the derivatives of ``sum_s values[s] tucker_at[s]`` to `table_bar` and `flat_bar`."""
    entries = "const T[:, ::1], const int64[::1], const int64[:, ::1], const T[::1]"
    signature = f"void({entries}, const T[::1], const int64[::1], const int64[::1], T[:, ::1], T[::1])"
    kernel = _kernel(_tucker_gradient, signature, table.dtype)
    kernel(table, first, index, values, flat, starts, ranks, table_bar, flat_bar)


def scatter_rows(index: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    """Add ``values[s]`` to ``out[index[s]]``."""
    _kernel(_scatter_rows, "void(const int64[::1], const T[:, ::1], T[:, ::1])", out.dtype)(index, values, out)


def khatri_rao_pair(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the column-wise Kronecker product of `a` and `b` into `out`."""
    _kernel(_khatri_rao_pair, "void(const T[:, ::1], const T[:, ::1], T[:, ::1])", out.dtype)(a, b, out)


def kron_pair(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the Kronecker product of `a` and `b` into `out`."""
    _kernel(_kron_pair, "void(const T[:, ::1], const T[:, ::1], T[:, ::1])", out.dtype)(a, b, out)
