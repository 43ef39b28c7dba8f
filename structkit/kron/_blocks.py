"""Products of a small matrix with a large array along one axis, in blocks that BLAS multiplies where they lie.

A general matrix product first copies its operands into packed panels. For a matrix of few rows that costs more than the
arithmetic. OpenBLAS leaves the packing out for small real products where the processor has AVX-512: a product cut into
small blocks runs up to twice as fast there, and as fast as before elsewhere.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

__all__ = ["DIRECT", "THREADS_FROM", "axis_product", "row_product", "worker_pool"]

# Multiply-adds of the largest product that OpenBLAS does not pack, and of the largest that it keeps on one thread.
DIRECT, SERIAL = 10**6, 2**18
# Vectors in a block: the longest that stays near the first cache, the shortest that is worth a call.
LONGEST, SHORTEST = 256, 32
# Elements of the largest matrix for which reading rows of many vectors in blocks pays.
CHEAP = 2**11
# Below this many elements starting threads costs more than it gains.
THREADS_FROM = 2**17


@lru_cache(maxsize=8)
def worker_pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads that wait for work; a forked process has none of its parent's and gets its own."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="structkit-kron")


def row_product(rows: np.ndarray, a: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Write ``rows @ a.T`` into `out`; `rows` is a view ``(R, n)`` of any strides, `out` is C-contiguous."""
    block = _block_length(a, len(rows), threads)
    if not block:
        np.matmul(rows, a.T, out=out)
        return
    whole = len(rows) // block * block
    small = np.ascontiguousarray(a.T)
    stack, target = rows[:whole].reshape(-1, block, rows.shape[1]), out[:whole].reshape(-1, block, out.shape[1])
    _shared_matmul(stack, small, target, threads)
    if whole < len(rows):
        np.matmul(rows[whole:], small, out=out[whole:])


def axis_product(a: np.ndarray, y: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Write ``a @ y[l]`` into ``out[l]`` for all `l`; `y` is any view ``(L, n, R)``, `out` is C-contiguous."""
    left, n, right = y.shape
    m = len(a)
    # Packing contiguous rows costs little: there, blocks pay for the smallest matrices only, and for stacks on several
    # threads, where BLAS would gather its own for every slice.
    one_call = y.strides[2] == y.itemsize and (a.size > CHEAP or n > 4 * m) and (threads == 1 or left == 1)
    block = 0 if one_call else _block_length(a, right, threads)
    if not block:
        whole_is_serial = a.dtype.kind != "c" and a.size * right <= SERIAL
        _shared_matmul(a, y, out, threads if whole_is_serial else 1)
        return
    whole = right // block * block
    small = np.asfortranarray(a)
    stack = y[:, :, :whole].reshape(left, n, -1, block).swapaxes(1, 2)
    target = out[:, :, :whole].reshape(left, m, -1, block).swapaxes(1, 2)
    if left == 1:
        stack, target = stack[0], target[0]
    _shared_matmul(small, stack, target, threads)
    if whole < right:
        np.matmul(small, y[:, :, whole:], out=out[:, :, whole:])


def _block_length(a: np.ndarray, vectors: int, threads: int) -> int:
    """Vectors per block for the product of `a` with that many vectors; 0 if one call is better."""
    limit = DIRECT if threads == 1 else SERIAL
    if a.dtype.kind == "c" or a.size * vectors <= limit:  # complex products are always packed
        return 0
    length = min(limit // a.size, LONGEST) // 8 * 8
    return length if length >= SHORTEST else 0


def _shared_matmul(x: np.ndarray, y: np.ndarray, out: np.ndarray, threads: int) -> None:
    """``np.matmul(x, y, out=out)``, the leading axis of the stack in shares; the other operand is one matrix."""
    if threads == 1 or out.size < THREADS_FROM or len(out) < threads:
        np.matmul(x, y, out=out)
        return
    cuts = [len(out) * i // threads for i in range(threads + 1)]

    def share(i: int) -> None:
        part = slice(cuts[i], cuts[i + 1])
        left, right = (z[part] if z.ndim == out.ndim else z for z in (x, y))
        np.matmul(left, right, out=out[part])

    pool = worker_pool(threads, os.getpid())
    others = [pool.submit(share, i) for i in range(1, threads)]
    share(0)
    for other in others:
        other.result()
