"""The kernels of `numba_kernels` in plain numpy: same functions, same results, for machines without a compiler."""

from __future__ import annotations

from collections.abc import Iterator

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

# Numbers in one temporary array: 2 MiB in double precision, so that a block stays in cache.
_BLOCK = 2**18


def _blocks(n_entries: int, width: int) -> Iterator[slice]:
    """Cut the entries into slices whose temporary arrays of `width` numbers per entry stay small."""
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, n_entries, step):
        yield slice(start, min(start + step, n_entries))


def first_invalid(index: np.ndarray, sizes: np.ndarray) -> int:
    """Return the position in the flattened `index` of the first entry outside ``0 <= i < sizes[d]``, or -1."""
    bad = ((index < 0) | (index >= sizes)).reshape(-1)
    return int(np.argmax(bad)) if bad.any() else -1


def cp_at(index: np.ndarray, sizes: np.ndarray, rows: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> int:
    """Write ``sum_r prod_d rows[index[s, d] + offsets[d], r]`` into ``out[s]``; return what `first_invalid` would."""
    bad = first_invalid(index, sizes)
    if bad >= 0:
        return bad
    for block in _blocks(*_extent(index, rows)):
        product = rows[index[block, 0] + offsets[0]]
        for d in range(1, index.shape[1]):
            product *= rows[index[block, d] + offsets[d]]
        np.sum(product, axis=1, out=out[block])
    return -1


def _extent(index: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    """Return the number of entries and the rank."""
    return index.shape[0], rows.shape[1]


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
    bad = first_invalid(index, sizes)
    return bad if bad >= 0 else _scatter_products(index, values, rows, offsets, mode, out)


def _scatter_products(
    index: np.ndarray, values: np.ndarray, rows: np.ndarray, offsets: np.ndarray, mode: int, out: np.ndarray
) -> int:
    """Do the work of `mttkrp_sparse` for checked indices; return -1."""
    for block in _blocks(*_extent(index, rows)):
        product = np.repeat(values[block, None], rows.shape[1], axis=1)
        for d in range(index.shape[1]):
            if d != mode:
                product *= rows[index[block, d] + offsets[d]]
        np.add.at(out, index[block, mode], product)
    return -1


def cp_gradient(index: np.ndarray, values: np.ndarray, rows: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    """Add ``values[s] prod_{e != d} rows[index[s, e] + offsets[e]]`` to ``out[index[s, d] + offsets[d]]``, all d."""
    bounds = [*offsets.tolist(), out.shape[0]]
    for d in range(index.shape[1]):
        _scatter_products(index, values, rows, offsets, d, out[bounds[d] : bounds[d + 1]])


def _vectors(flat: np.ndarray, starts: np.ndarray, ranks: np.ndarray, index: np.ndarray, d: int) -> np.ndarray:
    """Return the rows of matrix `d` at the entries."""
    return flat[starts[d] + index[:, d, None] * ranks[d] + np.arange(ranks[d])]


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
    for block in _blocks(index.shape[0], table.shape[1]):
        value = table[first[block]]
        for d in reversed(range(index.shape[1])):
            vectors = _vectors(flat, starts, ranks, index[block], d)
            value = np.matmul(value.reshape(len(value), -1, ranks[d]), vectors[:, :, None])
        out[block] = value.reshape(-1)


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
    n_modes = index.shape[1]
    for block in _blocks(index.shape[0], 2 * table.shape[1]):
        n_entries = block.stop - block.start
        vectors = [_vectors(flat, starts, ranks, index[block], d) for d in range(n_modes)]
        levels = [table[first[block]]]
        for d in reversed(range(n_modes)):
            level = levels[-1].reshape(n_entries, -1, ranks[d])
            levels.append(np.matmul(level, vectors[d][:, :, None]))
        bar = values[block].reshape(n_entries, 1)
        for d in range(n_modes):
            level = levels[n_modes - 1 - d].reshape(n_entries, -1, ranks[d])
            row_bar = np.matmul(bar[:, None, :], level)[:, 0]
            positions = starts[d] + index[block, d, None] * ranks[d] + np.arange(ranks[d])
            np.add.at(flat_bar, positions, row_bar)
            bar = (bar[:, :, None] * vectors[d][:, None, :]).reshape(n_entries, -1)
        np.add.at(table_bar, first[block], bar)


def scatter_rows(index: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    """Add ``values[s]`` to ``out[index[s]]``."""
    np.add.at(out, index, values)


def khatri_rao_pair(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the column-wise Kronecker product of `a` and `b` into `out`."""
    np.multiply(a[:, None, :], b[None, :, :], out=out.reshape(a.shape[0], b.shape[0], a.shape[1]))


def kron_pair(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the Kronecker product of `a` and `b` into `out`."""
    shape = (a.shape[0], b.shape[0], a.shape[1], b.shape[1])
    np.multiply(a[:, None, :, None], b[None, :, None, :], out=out.reshape(shape))
