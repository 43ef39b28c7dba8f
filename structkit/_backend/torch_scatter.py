"""Values of CP and Tucker tensors at entries in torch: gathers and products that autograd follows on any device.

Matrices, core and values come in one dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

__all__ = ["as_index", "cp_at", "cp_gradient", "first_invalid", "mttkrp_sparse", "tucker_at", "tucker_gradient"]

# Callers hold tensors as `Array`, the protocol of all libraries; torch's own class would need a cast at every call.
Tensor: TypeAlias = Any


def as_index(index: object, like: Tensor) -> Tensor:
    """Return `index` as an ``int64`` tensor on the device of `like`."""
    idx = torch.as_tensor(index, device=like.device)
    if idx.numel() == 0:
        idx = idx.long()
    if idx.dtype.is_floating_point or idx.dtype.is_complex or idx.dtype == torch.bool:
        raise TypeError(f"index has dtype {idx.dtype}; expected integers, one column per mode.")
    return idx.long()


def first_invalid(index: Tensor, sizes: Sequence[int]) -> int:
    """Return the position in the flattened `index` of the first entry outside ``0 <= i < sizes[d]``, or -1."""
    bad = ((index < 0) | (index >= torch.tensor(sizes, device=index.device))).reshape(-1)
    return int(torch.nonzero(bad)[0, 0]) if bool(bad.any()) else -1


def _row_product(index: Tensor, matrices: Sequence[Tensor], skip: int = -1) -> Tensor | None:
    """Return the product over modes of the rows at the entries, shape ``(S, R)``; None without a mode."""
    product = None
    for d, a in enumerate(matrices):
        if d != skip:
            rows = a.index_select(0, index[:, d])
            product = rows if product is None else product * rows
    return product


def cp_at(index: Tensor, matrices: Sequence[Tensor], weights: Tensor | None) -> Tensor:
    """Return ``sum_r w_r prod_d A_d[index[s, d], r]``."""
    product = _row_product(index, matrices)
    assert product is not None  # there is at least one matrix
    return product.sum(1) if weights is None else (product * weights).sum(1)


def mttkrp_sparse(index: Tensor, values: Tensor, matrices: Sequence[Tensor], mode: int) -> Tensor:
    """Return the matrix that collects ``values[s] prod_{d != mode} A_d[index[s, d]]`` by ``index[s, mode]``."""
    product = _row_product(index, matrices, mode)
    shape = (len(index), matrices[mode].shape[1])
    product = values[:, None].expand(shape) if product is None else product * values[:, None]
    return torch.zeros_like(matrices[mode]).index_add(0, index[:, mode], product)


def cp_gradient(
    index: Tensor, matrices: Sequence[Tensor], cotangent: Tensor, weights: Tensor | None
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of ``sum_s cotangent[s] cp_at[s]`` with respect to matrices and weights."""
    conjugate = [a.conj() for a in matrices]
    grads = [mttkrp_sparse(index, cotangent, conjugate, d) for d in range(len(matrices))]
    grad_weights = (conjugate[0] * grads[0]).sum(0)
    return (grads if weights is None else [g * weights.conj() for g in grads]), grad_weights


def tucker_at(index: Tensor, core: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return the core contracted with the rows of the matrices at the entries."""
    n_entries = len(index)
    if core.numel() == 0:
        return core.sum().expand(n_entries)  # empty sums, still part of the graph
    flat = core.reshape(core.shape[0], -1)
    # The first mode is contracted once per row of its matrix, or once per entry where that is less work.
    if len(matrices[0]) <= n_entries:
        value = (matrices[0] @ flat).index_select(0, index[:, 0])
    else:
        value = matrices[0].index_select(0, index[:, 0]) @ flat
    for d in range(len(matrices) - 1, 0, -1):
        rows = matrices[d].index_select(0, index[:, d])
        value = (value.reshape(n_entries, value.shape[1] // rows.shape[1], rows.shape[1]) @ rows[:, :, None])[:, :, 0]
    return value.reshape(n_entries)


def tucker_gradient(
    index: Tensor, core: Tensor, matrices: Sequence[Tensor], cotangent: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return the gradients of ``sum_s cotangent[s] tucker_at[s]`` with respect to core and matrices."""
    _, pull_back = torch.func.vjp(lambda g, *a: tucker_at(index, g, a), core, *matrices)
    grad_core, *grads = pull_back(cotangent)
    return grad_core, grads
