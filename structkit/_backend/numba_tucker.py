"""Compiled loops over sparse entry lists against Tucker tensors: sums of contracted cores and of Kronecker products.

Both kernels check the indices as they read them. Three modes have loops of their own; any other number shares one.
"""

from __future__ import annotations

import numpy as np

from structkit._backend.numba_kernels import _kernel

__all__ = ["ttmc_sparse", "tucker_mttkrp_sparse"]


def _tucker_mttkrp_sparse(index, sizes, values, table, order, flat, starts, ranks, mode, out):  # type: ignore[no-untyped-def]
    n_entries, n_modes = index.shape
    width, rank = table.shape[1], out.shape[1]
    if n_modes == 3:
        n0, n1, n2 = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
        first, second, kept = np.uint64(order[0]), np.uint64(order[1]), np.uint64(mode)
        for s in range(n_entries):
            i, j, k = np.uint64(index[s, 0]), np.uint64(index[s, 1]), np.uint64(index[s, 2])
            if i >= n0 or j >= n1 or k >= n2:
                return 3 * s + (0 if i >= n0 else 1 if j >= n1 else 2)
            row = table[np.uint64(index[s, first])]
            start = starts[1] + index[s, second] * ranks[1]
            target = out[np.uint64(index[s, kept])]
            value = values[s]
            # Four rows at once: the target is read and written a quarter as often.
            for q in range(0, ranks[1] - 3, 4):
                vector = flat[start + q : start + q + 4]
                x0, x1, x2, x3 = value * vector[0], value * vector[1], value * vector[2], value * vector[3]
                part = row[q * rank : (q + 4) * rank]
                p0, p1, p2, p3 = part[:rank], part[rank : 2 * rank], part[2 * rank : 3 * rank], part[3 * rank :]
                for r in range(rank):
                    target[r] += (x0 * p0[r] + x1 * p1[r]) + (x2 * p2[r] + x3 * p3[r])
            for q in range(ranks[1] // 4 * 4, ranks[1]):
                scale = value * flat[start + q]
                part = row[q * rank : (q + 1) * rank]
                for r in range(rank):
                    target[r] += scale * part[r]
        return -1
    buffer = np.empty(width, table.dtype)
    for s in range(n_entries):
        for d in range(n_modes):
            if index[s, d] < 0 or index[s, d] >= sizes[d]:
                return n_modes * s + d
        value = values[s]
        row = table[index[s, order[0]]]
        length = width
        # Contracting from the front keeps the inner loop long and without reductions.
        for d in range(1, n_modes - 1):
            start = starts[d] + index[s, order[d]] * ranks[d]
            length //= ranks[d]
            target = buffer[:length]
            head = row[:length]
            scale = value * flat[start]
            for c in range(length):
                target[c] = scale * head[c]
            for q in range(1, ranks[d]):
                part = row[q * length : (q + 1) * length]
                scale = value * flat[start + q]
                for c in range(length):
                    target[c] += scale * part[c]
            row = buffer
            value = table.dtype.type(1)
        target = out[index[s, mode]]
        for r in range(rank):
            target[r] += value * row[r]
    return -1


def _ttmc_sparse(index, sizes, values, order, flat, starts, ranks, mode, out):  # type: ignore[no-untyped-def]
    n_entries, n_modes = index.shape
    if n_modes == 3:
        n0, n1, n2 = np.uint64(sizes[0]), np.uint64(sizes[1]), np.uint64(sizes[2])
        first, second, kept = np.uint64(order[0]), np.uint64(order[1]), np.uint64(mode)
        rank = ranks[1]
        for s in range(n_entries):
            i, j, k = np.uint64(index[s, 0]), np.uint64(index[s, 1]), np.uint64(index[s, 2])
            if i >= n0 or j >= n1 or k >= n2:
                return 3 * s + (0 if i >= n0 else 1 if j >= n1 else 2)
            start = starts[0] + index[s, first] * ranks[0]
            begin = starts[1] + index[s, second] * rank
            vector = flat[begin : begin + rank]
            row = out[np.uint64(index[s, kept])]
            value = values[s]
            for q in range(ranks[0]):
                scale = value * flat[start + q]
                target = row[q * rank : (q + 1) * rank]
                for r in range(rank):
                    target[r] += scale * vector[r]
        return -1
    product = np.empty(out.shape[1], flat.dtype)
    for s in range(n_entries):
        for d in range(n_modes):
            if index[s, d] < 0 or index[s, d] >= sizes[d]:
                return n_modes * s + d
        # The product of the last rows grows from the back: what is there already moves up by whole blocks.
        product[0] = values[s]
        length = 1
        for d in range(n_modes - 2, -1, -1):
            start = starts[d] + index[s, order[d]] * ranks[d]
            head = product[:length]
            for q in range(ranks[d] - 1, -1, -1):
                scale = flat[start + q]
                target = product[q * length : (q + 1) * length]
                for c in range(length):
                    target[c] = scale * head[c]
            length *= ranks[d]
        row = out[index[s, mode]]
        for c in range(out.shape[1]):
            row[c] += product[c]
    return -1


def tucker_mttkrp_sparse(
    index: np.ndarray,
    sizes: np.ndarray,
    values: np.ndarray,
    table: np.ndarray,
    order: np.ndarray,
    flat: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    mode: int,
    out: np.ndarray,
) -> int:
    """Add ``values[s] table[index[s, order[0]]]``, contracted with rows of the other modes, to ``out[index[s, mode]]``.

    `order` lists the modes but `mode`; `ranks` and `starts` describe their matrices in `flat`, of which the first is
    left out because the table holds it. Returns what `first_invalid` would; `out` is unfinished unless that is -1.
    """
    entries = "const int64[:, ::1], const int64[::1], const T[::1], const T[:, ::1]"
    matrices = "const int64[::1], const T[::1], const int64[::1], const int64[::1]"
    kernel = _kernel(_tucker_mttkrp_sparse, f"int64({entries}, {matrices}, int64, T[:, ::1])", out.dtype)
    return kernel(index, sizes, values, table, order, flat, starts, ranks, mode, out)  # type: ignore[return-value]


def ttmc_sparse(
    index: np.ndarray,
    sizes: np.ndarray,
    values: np.ndarray,
    order: np.ndarray,
    flat: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    mode: int,
    out: np.ndarray,
) -> int:
    """Add ``values[s]`` times the Kronecker product of the rows of the other modes to ``out[index[s, mode]]``.

    `order` lists the modes but `mode`; `ranks` and `starts` describe their matrices in `flat`. Returns what
    `first_invalid` would; `out` is unfinished unless that is -1.
    """
    entries = "const int64[:, ::1], const int64[::1], const T[::1]"
    matrices = "const int64[::1], const T[::1], const int64[::1], const int64[::1]"
    kernel = _kernel(_ttmc_sparse, f"int64({entries}, {matrices}, int64, T[:, ::1])", out.dtype)
    return kernel(index, sizes, values, order, flat, starts, ranks, mode, out)  # type: ignore[return-value]
