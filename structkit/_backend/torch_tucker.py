"""Sums over sparse entry lists against Tucker tensors in torch: products and scatters that autograd follows.

Matrices, core and values come in one dtype. Entries are taken in blocks, so that no temporary array holds them all at
full width; with gradients, what the blocks saved for the backward pass does add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["ttmc_sparse", "tucker_mttkrp_sparse"]

# Callers hold tensors as `Array`, the protocol of all libraries; torch's own class would need a cast at every call.
Tensor: TypeAlias = Any

# Numbers in one temporary array.
_BLOCK = 2**24


def _blocks(index: Tensor, width: int) -> Iterator[slice]:
    """Cut the entries into slices whose temporary arrays of `width` numbers per entry stay small; at least one."""
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, max(1, len(index)), step):
        yield slice(start, min(start + step, len(index)))


def tucker_mttkrp_sparse(
    index: Tensor, values: Tensor, core: Tensor, matrices: Sequence[Tensor], mode: int, order: Sequence[int]
) -> Tensor:
    """Return ``values[s]`` times the core contracted with the rows of the modes in `order`, summed along `mode`."""
    n_mode, rank = matrices[mode].shape
    if core.numel() == 0:
        return core.sum().expand(n_mode, rank)  # empty sums, still part of the graph
    if not order:
        return core.new_zeros(n_mode).index_add(0, index[:, mode], values)[:, None] * core
    first = matrices[order[0]]
    flat = core.permute(*order, mode).reshape(first.shape[1], -1)
    # The first mode is contracted once per row of its matrix, or once per entry where that is less work or memory.
    whole = len(first) <= len(index) and len(first) * flat.shape[1] <= _BLOCK
    table = first @ flat if whole else None
    out = core.new_zeros((n_mode, rank))
    for block in _blocks(index, flat.shape[1]):
        entries = index[block]
        at = entries[:, order[0]]
        total = first.index_select(0, at) @ flat if table is None else table.index_select(0, at)
        total = total * values[block, None]
        for d in order[1:]:
            rows = matrices[d].index_select(0, entries[:, d])
            shape = (len(entries), rows.shape[1], total.shape[1] // rows.shape[1])
            total = (rows[:, None] @ total.reshape(shape))[:, 0]
        out = out.index_add(0, entries[:, mode], total)
    return out


def ttmc_sparse(index: Tensor, values: Tensor, matrices: Sequence[Tensor], mode: int) -> Tensor:
    """Return ``values[s]`` times the Kronecker product of the rows of the other modes, summed along `mode`."""
    others = [a for d, a in enumerate(matrices) if d != mode]
    width = math.prod(a.shape[1] for a in others)
    out = values.new_zeros((matrices[mode].shape[0], width))
    for block in _blocks(index, width):
        entries = index[block]
        product = values[block, None]
        for d, a in enumerate(matrices):
            if d != mode:
                rows = a.index_select(0, entries[:, d])
                shape = (len(entries), product.shape[1] * rows.shape[1])
                product = (product[:, :, None] * rows[:, None, :]).reshape(shape)
        out = out.index_add(0, entries[:, mode], product)
    return out
