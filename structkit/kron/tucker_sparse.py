r"""Sums over sparse entry lists against Tucker tensors: the normal equations' right-hand sides and the TTM chain.

The core is contracted with all rows of one matrix beforehand (the table), so that an entry of a third-order tensor with
ranks :math:`r_a, r_b, r_c` costs a product of two ranks and not of three. There are three ways to sum over the entries,
chosen by cost: a loop that contracts entry by entry; for low ranks one over rows expanded to a common length, which is
longer but not cut into short pieces; for high ranks matrix products of all rows that meet in one level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from structkit._backend.kernels import kernels, packed, tucker
from structkit._backend.namespace import as_factors, cast, check_memory_beside, is_torch, itemsize, result_dtype
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.entries import _raise_invalid, check_index, check_length, no_dask
from structkit.kron.layout import check_axis
from structkit.kron.tucker_entries import _inputs

__all__ = ["ttmc_sparse", "tucker_mttkrp_sparse"]

# Numbers in a table of contracted cores; longer ones are made in parts, for entries sorted by the table's mode.
_TABLE_NUMBERS = 2**22
# Cost of a table's multiply-add in those of the entry loop: matrix products are about 8 times faster.
_GEMM_COST = 0.125
# Costs of sums by level in the same unit: gathering the rows of an entry, sorting it, and the calls for a level.
_GATHER_COST, _SORT_COST, _LEVEL_COST = 100.0, 300.0, 40_000.0
# Bytes of the arrays that a loop over expanded rows reads and writes at random: they must stay in the second cache.
_NEAR_BYTES = 3 * 2**19
# Entries of one level taken at a time.
_GROUP = 4096


def tucker_mttkrp_sparse(index: Array, values: Array, core: Array, matrices: Sequence[Array], mode: int) -> Array:
    r"""Sum a Tucker core contracted with the rows of all matrices but one, weighted by the values of sparse entries.

    Computes :math:`M[i, q_m] = \sum_{s: i_{sm} = i} v_s \sum_{q_d, d \ne m} G_{q_1 \dots q_D}
    \prod_{d \ne m} A_d[i_{sd}, q_d]` for ``mode`` :math:`m`: the derivative of :math:`\sum_s v_s y_s` in :math:`A_m`,
    where :math:`y_s` are the values of the Tucker tensor at the entries. Entries that occur twice are added.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Entries; numpy, or torch with a torch core.
    values : array, shape ``(S,)``
        Weight of each entry.
    core : array, shape ``(r_1, ..., r_D)``
        Core tensor; numpy or torch (gradients flow to values, core and matrices).
    matrices : sequence of array, shapes ``(n_d, r_d)``
        One matrix per mode; of ``matrices[mode]`` only the shape is used.
    mode : int
        Mode that stays, counted from 0.

    Returns
    -------
    M : array, shape ``(n_mode, r_mode)``
        Dtype by promotion. Nothing is conjugated.

    Raises
    ------
    ShapeError
        If shapes disagree.
    IndexRangeError
        If an index is negative or too large; the message names its row and mode.

    See Also
    --------
    tucker_at_gradient : derivatives in core and all matrices, in one pass.
    ttmc_sparse : the sum of the Kronecker products of the rows, without a core.
    mttkrp_sparse : the same for CP tensors.

    Notes
    -----
    With three modes an entry costs :math:`r_a r_m` multiply-adds, where mode :math:`a` is the other mode whose rows are
    not in the table. At high ranks the entries are sorted by ``index[:, mode]``, unless they come so. Memory beyond
    arguments and result: a few integers per entry, a copy of the rows in use, and 64 MiB.

    Examples
    --------
    >>> import numpy as np
    >>> core = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tucker_mttkrp_sparse([[0, 1], [2, 0]], np.array([1.0, 10.0]), core, [np.zeros((3, 2)), np.eye(2)], 0)
    array([[ 2.,  4.],
           [ 0.,  0.],
           [10., 30.]])
    """
    G, arrays, dtype = _inputs(core, matrices)
    v = check_length(values, "values", G)
    axis = check_axis(mode, G.ndim)
    sizes = [a.shape[0] for a in arrays]
    order = _order(G.shape, sizes, len(v), axis)
    dtype = result_dtype(v, G, *arrays)
    if is_torch(G):
        from structkit._backend import torch_tucker

        idx = check_index(index, sizes, G, len(v))
        mats = [cast(a, dtype) for a in arrays]
        return torch_tucker.tucker_mttkrp_sparse(idx, cast(v, dtype), cast(G, dtype), mats, axis, order)
    entries = _entries(index, v, arrays, dtype, axis, order)
    moved = packed(np.asarray(G).transpose(*order, axis), dtype)
    if not order:
        return entries.totals()[:, None] * moved
    out = np.zeros((sizes[axis], G.shape[axis]), dtype=moved.dtype)
    width = moved.size // max(1, len(moved))
    if entries.better_expanded(width):
        table = entries.matrices[0] @ moved.reshape(len(moved), -1)
        return entries.expanded(table, G.shape[axis]).reshape(sizes[axis], -1, G.shape[axis]).sum(1)
    if entries.better_grouped(width, G.shape[axis]):
        unfolded = moved.reshape(-1, G.shape[axis])
        for levels, sums in entries.groups():
            np.matmul(sums, unfolded, out=out[levels])
    elif moved.size:
        flat, starts, ranks = entries.flat(skip=1)
        for part in entries.parts(moved.reshape(len(moved), -1)):
            found = part.index, part.sizes, part.values, part.table, entries.order, flat, starts, ranks, axis, out
            entries.check(tucker().tucker_mttkrp_sparse(*found))
    return out


def ttmc_sparse(index: Array, values: Array, matrices: Sequence[Array], mode: int) -> Array:
    r"""Multiply a sparse tensor by all matrices but one, and unfold the result along the mode that stays.

    Computes :math:`T[i, :] = \sum_{s: i_{sm} = i} v_s \bigotimes_{d \ne m} A_d[i_{sd}, :]` for ``mode`` :math:`m`, the
    chain of products of which alternating Tucker decompositions consist [1]_. Entries that occur twice are added.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Positions of the nonzero entries.
    values : array, shape ``(S,)``
        Their values.
    matrices : sequence of array, shapes ``(n_d, r_d)``
        One matrix per mode, numpy or torch; of ``matrices[mode]`` only the length is used.
    mode : int
        Mode that stays, counted from 0.

    Returns
    -------
    T : array, shape ``(n_mode, prod r_d over d != mode)``
        Columns in row-major order of the other modes, the first slowest, as `unfold` has them. Dtype by promotion.
        Nothing is conjugated.

    Raises
    ------
    ShapeError
        If shapes disagree.
    IndexRangeError
        If an index is negative or too large; the message names its row and mode.
    SizeError
        If the result does not fit into memory.

    See Also
    --------
    tucker_mttkrp_sparse : this, contracted with a core, without forming it.
    mttkrp_sparse : the columns of this where all matrices have the same component.

    References
    ----------
    .. [1] Smith and Karypis, "Accelerating the Tucker decomposition with compressed sparse tensors", Euro-Par 2017.

    Examples
    --------
    >>> import numpy as np
    >>> ttmc_sparse([[0, 1], [1, 0]], np.array([2.0, 5.0]), [np.zeros((2, 1)), np.array([[1.0, 3.0], [1.0, 4.0]])], 0)
    array([[ 2.,  8.],
           [ 5., 15.]])
    """
    arrays = as_factors(matrices, "matrices")
    no_dask(*arrays)
    for i, a in enumerate(arrays):
        if a.ndim != 2:
            raise ShapeError(f"matrices[{i}] has shape {tuple(a.shape)}; expected a matrix (n, r).")
    v = check_length(values, "values", arrays[0])
    axis = check_axis(mode, len(arrays))
    sizes = [a.shape[0] for a in arrays]
    dtype = result_dtype(v, *arrays)
    width = math.prod(a.shape[1] for d, a in enumerate(arrays) if d != axis)
    like = cast(v[:0], dtype)
    check_memory_beside(like, sizes[axis] * width * itemsize(like), f"The result of shape ({sizes[axis]}, {width})")
    if is_torch(arrays[0]):
        from structkit._backend import torch_tucker

        idx = check_index(index, sizes, arrays[0], len(v))
        return torch_tucker.ttmc_sparse(idx, cast(v, dtype), [cast(a, dtype) for a in arrays], axis)
    order = tuple(d for d in range(len(arrays)) if d != axis)
    entries = _entries(index, v, arrays, dtype, axis, order)
    if not order:
        return entries.totals()[:, None]
    if entries.better_expanded(width):
        return entries.expanded()
    out = np.zeros((sizes[axis], width), dtype=dtype)  # type: ignore[call-overload]
    if entries.better_grouped(width):
        for levels, sums in entries.groups():
            out[levels] = sums
    elif width:
        found = entries.index, entries.sizes, entries.values, entries.order, *entries.flat(), axis, out
        entries.check(tucker().ttmc_sparse(*found))
    return out


def _order(ranks: Sequence[int], sizes: Sequence[int], n_entries: int, mode: int) -> tuple[int, ...]:
    """Return the other modes: first that of the table, chosen by cost, then the longest rows, which leave the least."""
    others = sorted((d for d in range(len(ranks)) if d != mode), key=lambda d: -ranks[d])
    whole = math.prod(ranks)

    def cost(d: int) -> float:
        return min(sizes[d], n_entries) * whole * _GEMM_COST + n_entries * (whole / max(1, ranks[d]))

    first = min(others, key=cost, default=None)
    return () if first is None else (first, *(d for d in others if d != first))


@dataclass(frozen=True)
class _Part:
    """Some of the entries, with the part of the table that they need and their index into it."""

    index: np.ndarray
    sizes: np.ndarray
    values: np.ndarray
    table: np.ndarray


@dataclass(frozen=True)
class _Entries:
    """Entries, their values and the matrices of the modes in `order`; `given` is the index as the caller knows it."""

    given: np.ndarray
    given_sizes: Sequence[int]
    index: np.ndarray
    sizes: np.ndarray
    values: np.ndarray
    matrices: list[np.ndarray]
    order: np.ndarray
    mode: int

    def check(self, bad: int) -> None:
        """Raise if a kernel found an index outside its axis."""
        _raise_invalid(self.given, self.given_sizes, bad)

    def totals(self) -> np.ndarray:
        """Sum the values by their index along the mode: all there is to do without other modes."""
        self.check(kernels().first_invalid(self.index, self.sizes))
        out = np.zeros((self.sizes[self.mode], 1), dtype=self.values.dtype)
        kernels().scatter_rows(packed(self.index[:, self.mode]), self.values[:, None], out)
        return out[:, 0]

    def flat(self, skip: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrices in order, end to end, the first `skip` left out; where each starts, and the ranks."""
        parts = [a[:0] if j < skip else a for j, a in enumerate(self.matrices)]
        flat = np.concatenate([a.reshape(-1) for a in parts])
        starts = np.cumsum([0, *(a.size for a in parts[:-1])], dtype=np.int64)
        return flat, starts, np.array([a.shape[1] for a in parts], dtype=np.int64)

    def better_expanded(self, width: int) -> bool:
        """Whether `expanded` is faster: one loop over `width` numbers beats short loops while all stays in cache."""
        numbers = (sum(len(a) for a in self.matrices) + int(self.sizes[self.mode])) * width
        near = numbers * self.values.itemsize <= _NEAR_BYTES
        return len(self.order) == 2 and 0 < numbers <= len(self.values) and near

    def expanded(self, table: np.ndarray | None = None, rank: int = 1) -> np.ndarray:
        """Sum products, element by element, of the table's rows and of rows repeated until they are as wide.

        Without a table these are the rows of `ttmc_sparse`; with one they remain to be summed over all but `rank`.
        """
        parts, rows = (self.matrices, []) if table is None else (self.matrices[1:], [table])
        ranks = [a.shape[1] for a in parts]
        for j, a in enumerate(parts):
            shape = (len(a), math.prod(ranks[:j]), ranks[j], math.prod(ranks[j + 1 :]) * rank)
            rows.append(np.broadcast_to(a[:, None, :, None], shape).reshape(len(a), -1))
        offsets = np.zeros_like(self.sizes)
        offsets[self.order] = np.cumsum([0, *(len(a) for a in rows[:-1])])
        out = np.zeros((self.sizes[self.mode], rows[0].shape[1]), dtype=self.values.dtype)
        stacked = np.concatenate(rows)
        self.check(kernels().mttkrp_sparse(self.index, self.sizes, self.values, stacked, offsets, self.mode, out))
        return out

    def better_grouped(self, loop_width: int, rank: int = 0) -> bool:
        """Whether `groups`, and a product with `rank` columns, cost less than `loop_width` multiply-adds per entry."""
        if len(self.order) < 2 or loop_width < _GATHER_COST:
            return False
        width = math.prod(a.shape[1] for a in self.matrices)
        keys = self.index[:, self.mode]
        sort = 0.0 if bool(np.all(keys[1:] >= keys[:-1])) else _SORT_COST
        level = _LEVEL_COST + width * rank * _GEMM_COST
        cost = len(keys) * (_GATHER_COST + sort + width * _GEMM_COST) + int(self.sizes[self.mode]) * level
        return cost < len(keys) * loop_width

    def groups(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the levels along the mode, and the rows of `ttmc_sparse` for them, by matrix products."""
        self.check(kernels().first_invalid(self.index, self.sizes))
        keys, n_levels = self.index[:, self.mode], int(self.sizes[self.mode])
        # Short integers are sorted by their digits, several times faster.
        by_level = np.argsort(keys.astype(np.uint16) if n_levels <= 2**16 else keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=n_levels))
        width, last = math.prod(a.shape[1] for a in self.matrices), self.matrices[-1].shape[1]
        step, count = max(1, _TABLE_NUMBERS // width), max(1, min(_GROUP, _TABLE_NUMBERS * last // width))
        for start in range(0, n_levels, step):
            levels = range(start, min(start + step, n_levels))
            sums = np.zeros((len(levels), width), dtype=self.values.dtype)
            for level, row in zip(levels, sums, strict=True):
                chosen = by_level[ends[level - 1] if level else 0 : ends[level]]
                for at in range(0, len(chosen), count):
                    self._add_products(chosen[at : at + count], row.reshape(-1, last))
            yield slice(levels.start, levels.stop), sums

    def _add_products(self, chosen: np.ndarray, out: np.ndarray) -> None:
        """Add the Kronecker products of the rows at some entries, times the values, to `out`."""
        index = self.index[chosen]
        left = self.values[chosen, None]
        for d, a in zip(self.order[:-1], self.matrices, strict=False):
            left = (left[:, :, None] * a[index[:, d]][:, None, :]).reshape(len(chosen), -1)
        out += left.T @ self.matrices[-1][index[:, self.order[-1]]]

    def parts(self, core: np.ndarray) -> Iterator[_Part]:
        """Multiply the first matrix by `core`, in as many parts as memory asks for."""
        rows, mode = self.matrices[0], self.order[0]
        step = max(1, _TABLE_NUMBERS // core.shape[1])
        if len(rows) <= step:
            yield _Part(self.index, self.sizes, self.values, rows @ core)
            return
        self.check(kernels().first_invalid(self.index, self.sizes))
        by_row = np.argsort(self.index[:, mode], kind="stable")
        keys, sizes = self.index[by_row, mode], self.sizes.copy()
        for start in range(0, len(rows), step):
            chosen = by_row[slice(*np.searchsorted(keys, (start, start + step)))]
            index = self.index[chosen]
            index[:, mode] -= start
            block = rows[start : start + step]
            sizes[mode] = len(block)
            yield _Part(index, sizes, self.values[chosen], block @ core)


def _entries(
    index: Array, values: Array, matrices: Sequence[Array], dtype: object, mode: int, order: Sequence[int]
) -> _Entries:
    """Check entries and take only the rows in use of matrices that have more rows than there are entries."""
    given_sizes = [a.shape[0] for a in matrices]
    given = np.asarray(check_index(index, given_sizes, count=len(values), validate=False))
    chosen = {d: np.asarray(matrices[d]) for d in order}
    idx, sizes = given, np.array(given_sizes, dtype=np.int64)
    long = [d for d in order if sizes[d] > len(given)]
    if long:
        _raise_invalid(given, given_sizes, kernels().first_invalid(given, sizes))
        idx = given.copy()
        for d in long:
            chosen[d] = chosen[d][given[:, d]]
            idx[:, d] = np.arange(len(given))
            sizes[d] = len(given)
    mats = [packed(chosen[d], dtype) for d in order]
    return _Entries(given, given_sizes, idx, sizes, packed(values, dtype), mats, np.array(order, dtype=np.int64), mode)
