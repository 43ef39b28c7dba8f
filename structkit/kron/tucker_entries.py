r"""Values of Tucker tensors at observed entries, and their gradients.

Contracting the core with every row of some matrices beforehand (the table) leaves each entry a shorter contraction.
Which matrices go into the table is decided by cost, so that few and many entries, long and short modes are all cheap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from structkit._backend.kernels import kernels, packed
from structkit._backend.namespace import as_array, as_factors, backend_name, cast, is_torch, result_dtype
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.entries import check_index, check_length, no_dask
from structkit.kron.layout import unfold
from structkit.kron.tensor import multi_mode_product

__all__ = ["TuckerGradient", "tucker_at", "tucker_at_gradient"]

# Costs in multiply-adds of the entry loop: a blocked matrix product is about 8 times faster per operation, an entry
# costs about 8 before any arithmetic, and each number read from a table beyond the cache about half of one more.
_GEMM_COST = 0.125
_ENTRY_COST = 8.0
_FAR_COST = 0.5
_CACHE_NUMBERS = 2**17
_TABLE_NUMBERS = 2**22
# Gradients scatter into a second table, which must stay in cache.
_TABLE_NUMBERS_GRADIENT = 2**18


@dataclass(frozen=True)
class TuckerGradient:
    """Gradient of a scalar function of `tucker_at` values.

    Attributes
    ----------
    core : array, shape ``(r_1, ..., r_D)``
        Gradient with respect to the core.
    matrices : list of array, shapes ``(n_d, r_d)``
        Gradient with respect to each matrix.
    """

    core: Array
    matrices: list[Array]


def tucker_at(index: Array, core: Array, matrices: Sequence[Array]) -> Array:
    r"""Evaluate a Tucker tensor at given entries.

    Computes :math:`y_s = \sum_{q_1 \dots q_D} G_{q_1 \dots q_D} \prod_d A_d[i_{sd}, q_d]`.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Entries; numpy, or torch with a torch core.
    core : array, shape ``(r_1, ..., r_D)``
        Core tensor; numpy or torch (gradients flow to core and matrices).
    matrices : sequence of array, shapes ``(n_d, r_d)``
        Factor matrices.

    Returns
    -------
    y : array, shape ``(S,)``
        Dtype by promotion of `core` and `matrices`.

    Raises
    ------
    ShapeError
        If core, matrices and `index` do not fit together.
    IndexRangeError
        If an index is negative or too large; the message names its row and mode.

    See Also
    --------
    tucker_at_gradient : derivatives with respect to core and matrices.
    structkit.kron.cp_at : the same for a CP tensor.

    Notes
    -----
    The core is contracted with all rows of some matrices first, by matrix products, whenever that saves work: with
    :math:`S \gg n_1` entries the contraction over :math:`q_1` is done :math:`n_1` times instead of :math:`S` times.

    Examples
    --------
    >>> import numpy as np
    >>> core = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tucker_at([[0, 1], [1, 0]], core, [np.eye(2), np.eye(2)])
    array([2., 3.])
    """
    G, arrays, dtype = _inputs(core, matrices)
    sizes = [a.shape[0] for a in arrays]
    if is_torch(G):
        from structkit._backend import torch_scatter

        return torch_scatter.tucker_at(check_index(index, sizes, G), cast(G, dtype), [cast(a, dtype) for a in arrays])
    idx = np.asarray(check_index(index, sizes))
    problem = _Problem(np.asarray(cast(G, dtype)), [np.asarray(cast(a, dtype)) for a in arrays], idx)
    out = np.zeros(len(idx), dtype=problem.core.dtype)
    if problem.core.size and len(idx):
        flat, starts, ranks = problem.flat
        for entries, table, first, rest in problem.parts():
            kernels().tucker_at(table, first, rest, flat, starts, ranks, out[entries])
    return out


def tucker_at_gradient(index: Array, core: Array, matrices: Sequence[Array], cotangent: Array) -> TuckerGradient:
    r"""Differentiate a function of `tucker_at` values with respect to core and matrices.

    With :math:`g_s = \partial L / \partial y_s`, the gradient of the core is
    :math:`\sum_s g_s\, a_{1s} \otimes \dots \otimes a_{Ds}`, where :math:`a_{ds}` is row :math:`i_{sd}` of :math:`A_d`,
    and row ``i`` of the gradient of :math:`A_d` sums :math:`g_s G \times_{e \ne d} a_{es}^T` over the entries with
    :math:`i_{sd} = i`. For complex arrays the products are conjugated, which is torch's convention.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Entries.
    core : array, shape ``(r_1, ..., r_D)``
        Core tensor.
    matrices : sequence of array, shapes ``(n_d, r_d)``
        Factor matrices.
    cotangent : array, shape ``(S,)``
        Derivative of the function with respect to each value.

    Returns
    -------
    TuckerGradient
        Gradients of the same shapes as `core` and `matrices`.

    Raises
    ------
    ShapeError
        If shapes disagree.
    IndexRangeError
        If an index lies outside its axis.

    Examples
    --------
    >>> import numpy as np
    >>> core = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tucker_at_gradient([[0, 1]], core, [np.eye(2), np.eye(2)], np.array([1.0])).core
    array([[0., 1.],
           [0., 0.]])
    """
    G, arrays, dtype = _inputs(core, matrices)
    g = check_length(cotangent, "cotangent", G)
    sizes = [a.shape[0] for a in arrays]
    if is_torch(G):
        from structkit._backend import torch_scatter

        idx, dtype = check_index(index, sizes, G, len(g)), result_dtype(g, G, *arrays)
        core, *rest = (cast(a, dtype) for a in (G, *arrays))
        return TuckerGradient(*torch_scatter.tucker_gradient(idx, core, rest, cast(g, dtype)))
    dtype = np.result_type(dtype, g.dtype)  # type: ignore[arg-type, call-overload]
    idx = np.asarray(check_index(index, sizes, count=len(g)))
    conjugate = [np.asarray(a.conj(), dtype=dtype) for a in arrays]
    problem = _Problem(np.asarray(G.conj(), dtype=dtype), conjugate, idx, _TABLE_NUMBERS_GRADIENT)
    return problem.gradient(np.asarray(g, dtype=dtype))


def _inputs(core: Array, matrices: Sequence[Array]) -> tuple[Array, list[Array], object]:
    """Check that core and matrices fit; return them with their common dtype."""
    G = as_array(core, "core")
    arrays = as_factors(matrices, "matrices")
    backend_name(G, *arrays)
    no_dask(G, *arrays)
    if len(arrays) != G.ndim:
        raise ShapeError(
            f"{len(arrays)} matrices for a core of shape {tuple(G.shape)}; expected {G.ndim}, one per axis."
        )
    for d, a in enumerate(arrays):
        if a.ndim != 2 or a.shape[1] != G.shape[d]:
            raise ShapeError(
                f"matrices[{d}] has shape {tuple(a.shape)}; the core of shape {tuple(G.shape)} needs "
                f"(n_{d}, {G.shape[d]})."
            )
    return G, arrays, result_dtype(G, *arrays)


class _Problem:
    """Core, matrices and entries, with the modes of the table (first) and of the entry loop (rest) chosen by cost."""

    def __init__(
        self, core: np.ndarray, matrices: list[np.ndarray], index: np.ndarray, largest: int = _TABLE_NUMBERS
    ) -> None:
        sizes = [len(a) for a in matrices]
        self.table_modes, self.whole = _choose(core.shape, sizes, len(index), largest)
        rest = [d for d in range(core.ndim) if d not in self.table_modes]
        # The longest vector is contracted first: that leaves the least for the later ones.
        self.rest_modes = tuple(sorted(rest, key=lambda d: -core.shape[d]))
        self.core, self.matrices, self.index = core, matrices, index
        self.moved = packed(core.transpose(self.table_modes + self.rest_modes))
        self.width = math.prod(core.shape[d] for d in self.rest_modes)

    @property
    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrices of the entry loop end to end, where each starts, and their ranks."""
        chosen = [self.matrices[d] for d in self.rest_modes]
        flat = np.concatenate([np.empty(0, self.core.dtype), *(a.reshape(-1) for a in chosen)])
        starts = np.cumsum([0, *(a.size for a in chosen)], dtype=np.int64)[:-1]
        return flat, starts, np.array([a.shape[1] for a in chosen], dtype=np.int64)

    def table(self) -> np.ndarray:
        """Contract the core with the table's matrices; axes of the table first."""
        chosen = [self.matrices[d] for d in self.table_modes]
        return multi_mode_product(self.moved, chosen, modes=range(len(chosen))) if chosen else self.moved  # type: ignore[arg-type, return-value]

    def parts(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield slices of entries, a table ``(T, width)`` for each, the entries' rows in it and their other indices."""
        rest = np.ascontiguousarray(self.index[:, self.rest_modes])
        if self.whole:
            sizes = [len(self.matrices[d]) for d in self.table_modes]
            first = np.zeros(len(self.index), dtype=np.int64)
            for d, n in zip(self.table_modes, sizes, strict=True):
                first = first * n + self.index[:, d]
            yield slice(None), self.table().reshape(-1, self.width), first, rest
            return
        (mode,) = self.table_modes
        step = max(1, _CACHE_NUMBERS // max(1, self.width))
        for start in range(0, len(self.index), step):
            part = slice(start, min(start + step, len(self.index)))
            rows = self.matrices[mode][self.index[part, mode]]
            yield part, rows @ self.moved.reshape(-1, self.width), np.arange(len(rows)), rest[part]

    def gradient(self, g: np.ndarray) -> TuckerGradient:
        """Gradients of ``sum_s g_s y_s``; core and matrices hold conjugates already."""
        flat, starts, ranks = self.flat
        flat_bar = np.zeros_like(flat)
        moved_bar = np.zeros_like(self.moved)
        bars = [np.zeros(a.shape, a.dtype) for a in self.matrices]
        if self.core.size and len(g):
            for part, table, first, rest in self.parts():
                table_bar = np.zeros_like(table)
                values = packed(g[part])
                kernels().tucker_gradient(table, first, rest, values, flat, starts, ranks, table_bar, flat_bar)
                self._through_table(part, table_bar, moved_bar, bars)
        for d, piece in zip(self.rest_modes, np.split(flat_bar, starts[1:]) if len(starts) else [], strict=True):
            bars[d] = piece.reshape(self.matrices[d].shape)
        order = np.argsort(self.table_modes + self.rest_modes)
        return TuckerGradient(np.ascontiguousarray(moved_bar.transpose(order)), list(bars))

    def _through_table(self, part: slice, table_bar: np.ndarray, moved_bar: np.ndarray, bars: list[np.ndarray]) -> None:
        """Add the gradient of a table to the gradients of the core and of the matrices that made it."""
        if not self.whole:
            (mode,) = self.table_modes
            core = self.moved.reshape(-1, self.width)
            entries = self.index[part, mode]
            moved_bar += (self.matrices[mode][entries].T @ table_bar).reshape(moved_bar.shape)
            kernels().scatter_rows(np.ascontiguousarray(entries), table_bar @ core.T, bars[mode])
            return
        chosen = [self.matrices[d] for d in self.table_modes]
        sizes = [len(a) for a in chosen]
        tensor_bar = table_bar.reshape(*sizes, *self.moved.shape[len(chosen) :])
        if not chosen:
            moved_bar += tensor_bar
            return
        transposed = [a.T for a in chosen]
        moved_bar += multi_mode_product(tensor_bar, transposed, modes=range(len(chosen)))  # type: ignore[arg-type]
        for j, d in enumerate(self.table_modes):
            others = multi_mode_product(self.moved, chosen, modes=range(len(chosen)), skip=j)  # type: ignore[arg-type]
            bars[d] += unfold(tensor_bar, j) @ unfold(others, j).T  # type: ignore[arg-type]


def _choose(
    ranks: Sequence[int], sizes: Sequence[int], n_entries: int, most: int = _TABLE_NUMBERS
) -> tuple[tuple[int, ...], bool]:
    """Return the modes of the table, and whether it is computed for all their index combinations or entry by entry."""
    n_modes = len(ranks)
    largest = n_modes if n_modes <= 8 else 2
    best, choice = math.inf, ((), True)  # type: tuple[float, tuple[tuple[int, ...], bool]]
    for count in range(largest + 1):
        for modes in itertools.combinations(range(n_modes), count):
            width = math.prod(ranks[d] for d in range(n_modes) if d not in modes)
            numbers = math.prod(sizes[d] for d in modes) * width
            if numbers > most and modes:
                continue
            cost = _table_cost(ranks, sizes, modes) * _GEMM_COST + _loop_cost(n_entries, width, numbers)
            if cost < best:
                best, choice = cost, (modes, True)
    for d in range(n_modes):
        width = math.prod(ranks) // max(1, ranks[d])
        cost = n_entries * math.prod(ranks) * _GEMM_COST + _loop_cost(n_entries, width, 0)
        if cost < best:
            best, choice = cost, ((d,), False)
    return choice


def _table_cost(ranks: Sequence[int], sizes: Sequence[int], modes: Sequence[int]) -> float:
    """Multiply-adds of the products that make a table."""
    size, cost = float(math.prod(ranks)), 0.0
    for d in modes:
        cost += size * sizes[d]
        size = size / max(1, ranks[d]) * sizes[d]
    return cost


def _loop_cost(n_entries: int, width: int, numbers: int) -> float:
    """Multiply-adds of the entry loop over a table of `numbers` in all."""
    far = _FAR_COST * width if numbers > _CACHE_NUMBERS else 0.0
    return n_entries * (width + far + _ENTRY_COST)
