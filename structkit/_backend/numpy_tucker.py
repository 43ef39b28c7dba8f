"""The kernels of `numba_tucker` in plain numpy: same functions, same results, for machines without a compiler."""

from __future__ import annotations

import numpy as np

from structkit._backend.numpy_kernels import _blocks, _vectors, first_invalid

__all__ = ["ttmc_sparse", "tucker_mttkrp_sparse"]


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
    bad = first_invalid(index, sizes)
    if bad >= 0:
        return bad
    for block in _blocks(len(index), table.shape[1]):
        entries = index[block]
        total = values[block, None] * table[entries[:, order[0]]]
        for d in range(1, len(order)):
            vectors = _vectors(flat, starts, ranks, entries[:, order], d)
            total = np.matmul(vectors[:, None], total.reshape(len(total), ranks[d], -1))[:, 0]
        np.add.at(out, entries[:, mode], total)
    return -1


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
    bad = first_invalid(index, sizes)
    if bad >= 0:
        return bad
    for block in _blocks(len(index), out.shape[1]):
        entries = index[block]
        product = values[block, None]
        for d in range(len(order)):
            vectors = _vectors(flat, starts, ranks, entries[:, order], d)
            product = (product[:, :, None] * vectors[:, None, :]).reshape(len(product), -1)
        np.add.at(out, entries[:, mode], product)
    return -1
