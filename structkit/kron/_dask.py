"""Kronecker products of dask arrays: slabs that fit in memory, and one exchange of data between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.kernels import use_numba
from structkit._backend.namespace import as_array, is_dask
from structkit._core.errors import ShapeError
from structkit._core.types import Factors
from structkit._core.validation import check_matrices, check_vector
from structkit.kron._numpy import numpy_product
from structkit.kron.plan import cached_plan

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["dask_kron_matmul"]


def dask_kron_matmul(
    factors: Factors, x: da.Array, *, adjoint: bool = False, transpose: bool = False, max_bytes: int = 2**30
) -> da.Array:
    r"""Multiply a Kronecker product of numpy matrices with a dask array.

    Parameters
    ----------
    factors : sequence of numpy array, shapes ``(m_i, n_i)``
        The factors, first factor slowest.
    x : dask array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``
        Vector, columns or stacks of columns, in any chunks.
    adjoint, transpose : bool, default False
        As in `structkit.kron.kron_matmul`.
    max_bytes : int, default 2**30
        Bound on the workspace of each block, in bytes.

    Returns
    -------
    y : dask array
        The product, lazy.

    Raises
    ------
    ShapeError
        If the length of `x` does not match or is unknown.
    TypeError
        If a factor is a dask array.

    Notes
    -----
    If the rows of `x` are in one chunk, every block is multiplied where it is. If `x` has at least as many columns (or
    stacked arrays) as row chunks, one rechunk makes the rows whole. Otherwise `x` is cut into slabs along the first
    axis of its tensor: all factors but the first are applied inside the slabs, one rechunk turns slabs into columns,
    and the first factor is applied to those. Putting the flat result back in row order is a second exchange, done by
    dask's ``reshape``; `structkit.kron.multi_mode_product` keeps the tensor shape and does without.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> y = dask_kron_matmul([np.eye(4), 2 * np.eye(3)], da.ones(12, chunks=6))
    >>> float(y.sum().compute())
    24.0
    """
    import dask.array as da

    mats = _as_matrices(factors)
    if adjoint or transpose:
        mats = [f.T.conj() if adjoint else f.T for f in mats]
    sizes = tuple(f.shape[1] for f in mats)
    if any(math.isnan(s) for s in x.shape):
        raise ShapeError(f"x has unknown chunk sizes (shape {x.shape}); call x.compute_chunk_sizes() first.")
    check_vector(x, sizes)
    axis = 0 if x.ndim == 1 else x.ndim - 2
    dtype = np.result_type(*mats, x)
    if x.numblocks[axis] > 1:
        others = math.prod(x.shape) // max(x.shape[axis], 1)
        if others < x.numblocks[axis] and mats[0].shape[1] > 1:
            return _slabs(mats, x, axis, dtype, max_bytes)
        x = x.rechunk({a: -1 if a == axis else "auto" for a in range(x.ndim)})
    chunks = list(x.chunks)
    chunks[axis] = (math.prod(f.shape[0] for f in mats),)
    meta = np.empty((0,) * x.ndim, dtype)
    return da.map_blocks(_product, x, mats, max_bytes, dtype=dtype, chunks=tuple(chunks), meta=meta)


def _as_matrices(factors: Sequence[object]) -> list[np.ndarray]:
    for i, f in enumerate(factors):
        if is_dask(f):
            raise TypeError(f"factors[{i}] is a dask array; expected numpy arrays. Call factors[{i}].compute() first.")
    mats = [as_array(f, f"factors[{i}]") for i, f in enumerate(factors)]
    check_matrices(mats)
    for i, f in enumerate(mats):
        if f.ndim > 2:
            raise ShapeError(
                f"factors[{i}] has shape {f.shape}; expected a matrix: dask products take no batch of factors."
            )
    return mats  # type: ignore[return-value]


def _slabs(mats: list[np.ndarray], x: da.Array, axis: int, dtype: np.dtype, max_bytes: int) -> da.Array:
    """Apply all factors but the first in slabs, exchange once, apply the first."""
    import dask.array as da

    first, rest = mats[0], mats[1:]
    m, n = first.shape
    n_rest, m_rest = math.prod(f.shape[1] for f in rest), math.prod(f.shape[0] for f in rest)
    rows = _slab_rows(x.chunks[axis], n, n_rest)
    aligned = tuple(r * n_rest for r in rows)
    lead, tail = x.shape[:axis], x.shape[axis + 1 :]
    whole = {a: -1 for a in range(x.ndim) if a != axis}
    x = x.rechunk({axis: aligned, **whole})
    # From here on every block is (lead, rows of the slab, length of a row, tail): one block per slab.
    cut = [*((s,) for s in lead), rows, (m_rest,), *((s,) for s in tail)]
    y = da.map_blocks(
        _inside_slab, x, rest, n_rest, axis, max_bytes,
        dtype=dtype, new_axis=axis + 1, chunks=tuple(cut), meta=np.empty((0,) * (x.ndim + 1), dtype),
    )  # fmt: skip
    y = y.rechunk({axis: -1, axis + 1: max(1, -(-m_rest // len(rows)))})
    chunks = list(y.chunks)
    chunks[axis] = (m,)
    y = da.map_blocks(
        _first_factor, y, first, axis, dtype=dtype, chunks=tuple(chunks), meta=np.empty((0,) * y.ndim, dtype)
    )
    return y.reshape((*lead, m * m_rest, *tail))


def _slab_rows(chunks: Sequence[int], n: int, n_rest: int) -> tuple[int, ...]:
    """Rows of the slabs: the chunks of `x` if they are whole slabs, else about as many, of equal size."""
    if all(c % n_rest == 0 for c in chunks) and 0 not in chunks:
        return tuple(c // n_rest for c in chunks)
    step = max(1, -(-n // len(chunks)))
    return tuple(min(step, n - i) for i in range(0, n, step))


def _product(block: np.ndarray, mats: Sequence[np.ndarray], max_bytes: int) -> np.ndarray:
    """Multiply one block, in one thread: dask runs the blocks in parallel."""
    dtype = np.result_type(*mats, block)
    shapes = tuple(f.shape for f in mats)
    k = 1 if block.ndim == 1 else block.shape[-1]
    plan = cached_plan(shapes, dtype, k, "numpy", max_bytes, 1, use_numba())
    return numpy_product(mats, block, None, plan, max_bytes)  # type: ignore[return-value]


def _inside_slab(block: np.ndarray, rest: Sequence[np.ndarray], n_rest: int, axis: int, max_bytes: int) -> np.ndarray:
    """Take ``(lead, rows * n_rest, tail)`` to ``(lead, rows, m_rest, tail)``."""
    lead, tail = block.shape[:axis], block.shape[axis + 1 :]
    stacked = block.reshape(*lead, -1, n_rest, *(tail or (1,)))
    y = _product(stacked, rest, max_bytes) if rest else stacked
    return y.reshape(*lead, -1, y.shape[-2], *tail)


def _first_factor(block: np.ndarray, first: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(first, block, axes=(1, axis)), 0, axis)
