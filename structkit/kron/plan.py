"""Plans of Kronecker products: which factors to merge, in which order, with which kernel and how much memory."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from structkit._backend.kernels import use_numba
from structkit._core.errors import ShapeError
from structkit._core.types import DTypeLike, Shape
from structkit.kron import _costs as costs

__all__ = ["KronPlan", "kron_plan"]

DEFAULT_MAX_BYTES = 2**30
KERNELS = ("auto", "rot", "leftrot", "batched", "chain", "scalar", "empty")
# Calls without a plan of their own share their workspace, one set per thread, and keep buffers up to this size: fresh
# memory for every product costs more than a small product, memory that is never given back may be missed.
SHARED_KEEP_BYTES = 2**24
_SHARED = threading.local()
_LANES = ("first", "second", "columns")


@dataclass(frozen=True)
class KronPlan:
    """How one Kronecker product is carried out; made once by `kron_plan` and reused.

    A plan does not depend on the values of the factors. It owns the workspace of the product, one per thread, so that
    one plan may be used from several threads at the same time, and repeated products allocate nothing but their output.

    Attributes
    ----------
    shapes : tuple of (int, int)
        Shapes ``(m_i, n_i)`` of the factors *as applied*, that is, after the transposition that ``adjoint`` asks for.
    dtype : numpy.dtype
        Element type of the computation.
    n_columns : int
        Number of columns the plan was made for. A plan may be used with another number; it is then correct, and
        possibly not the fastest.
    namespace : str
        ``"numpy"`` or ``"torch"``.
    kernel : str
        ``"rot"`` (rotating GEMM, first factor first), ``"leftrot"`` (rotating GEMM, last factor first), ``"batched"``
        (axis in place, cheapest order for rectangular factors), ``"chain"`` (compiled loops for chains of tiny
        factors), ``"scalar"`` (nothing but 1 x 1 factors) or ``"empty"`` (an axis of length zero).
    merges : tuple of tuple of int
        Groups of neighbouring factors that are multiplied out before they are applied; factors of shape 1 x 1 are in
        no group: they are folded into one scalar.
    order : tuple of int
        Sequence in which the groups are applied (indices into `merges`).
    flops : int
        Floating-point operations of one product (one multiplication and one addition count as two; complex ones as
        eight).
    bytes : int
        Bytes that one product allocates, output and workspace together, when nothing can be reused.
    column_block : int
        Number of columns worked on at a time, so that the workspace stays under `max_bytes`.
    max_bytes : int
        Bound on the workspace, in bytes.
    n_threads : int
        Threads of the compiled kernel (BLAS has its own setting). The result does not depend on it.
    stages : tuple of int
        Rows of the merged factors.
    calls : dict
        What the compiled kernel has prepared for the lengths it has met.

    See Also
    --------
    kron_plan : makes one.
    """

    shapes: tuple[tuple[int, int], ...]
    dtype: np.dtype
    n_columns: int
    namespace: str
    kernel: str
    merges: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    flops: int
    bytes: int
    column_block: int
    max_bytes: int
    n_threads: int
    stages: tuple[int, ...] = field(repr=False)
    keep_bytes: int = field(repr=False)
    calls: dict = field(default_factory=dict, compare=False, repr=False)
    _local: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    @cached_property
    def n_in(self) -> int:
        """Number of columns of the product (length of the input)."""
        return math.prod(n for _, n in self.shapes)

    @cached_property
    def n_out(self) -> int:
        """Number of rows of the product (length of the output)."""
        return math.prod(m for m, _ in self.shapes)

    @cached_property
    def n_merged(self) -> int:
        """Number of factors that are in a group, that is, not 1 x 1."""
        return sum(map(len, self.merges))

    @cached_property
    def group_shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of the merged factors, in the order of `merges`."""
        return tuple(_merged_shape(self.shapes, group) for group in self.merges)

    @cached_property
    def _lanes(self) -> tuple[str, ...]:
        """Names of the buffers; plans of several dtypes may share a store."""
        return tuple(f"{lane} {self.dtype.name}" for lane in _LANES)

    def workspace(self, lane: int, size: int) -> np.ndarray:
        """Return a flat buffer that belongs to this plan and this thread.

        Parameters
        ----------
        lane : int
            Which of the buffers that a product uses at once.
        size : int
            Number of elements.

        Returns
        -------
        buffer : numpy.ndarray, shape ``(size,)``
            Kept for the next product, up to `keep_bytes`.
        """
        buffers = self._local.__dict__
        name = self._lanes[lane]
        buffer = buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, self.dtype)
            if buffer.nbytes <= self.keep_bytes:
                buffers[name] = buffer
        return buffer if buffer.size == size else buffer[:size]

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_local", "calls")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _local=threading.local(), calls={})


def kron_plan(
    shapes: Sequence[Shape],
    dtype: DTypeLike,
    *,
    n_columns: int = 1,
    namespace: str = "numpy",
    kernel: str = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
    n_threads: int | None = None,
) -> KronPlan:
    r"""Plan the product of a Kronecker matrix with vectors, for repeated use.

    Parameters
    ----------
    shapes : sequence of (int, int)
        Shapes ``(m_i, n_i)`` of the factors as they will be applied (transposed ones for ``adjoint=True``).
    dtype : dtype
        Element type of the product: float32, float64, complex64 or complex128 (numpy or torch).
    n_columns : int, default 1
        Number of columns of the arrays that will be multiplied.
    namespace : {"numpy", "torch"}, default "numpy"
        Library of the arrays; the two have different fastest orders.
    kernel : {"auto", "rot", "leftrot", "batched", "chain"}, default "auto"
        The method. ``"auto"`` takes the one with the least estimated time, from shapes, dtype and instruction set:
        on one machine the same shapes always give the same plan. ``"chain"`` needs numpy, numba and square factors of 2
        to 4 rows.
    max_bytes : int, default 2**30
        Bound on the workspace, in bytes: columns are worked on in blocks that keep it. One GiB is far above the sizes
        at which blocking costs anything.
    n_threads : int, optional
        Threads of the compiled kernel. Default: the environment variable ``STRUCTKIT_NUM_THREADS`` or
        ``OMP_NUM_THREADS`` if set, else the number of cores this process may use.

    Returns
    -------
    plan : KronPlan

    Raises
    ------
    ShapeError
        If there is no factor or a shape is not a pair of non-negative integers.
    ValueError
        If `namespace` or `kernel` is unknown, or the kernel cannot apply these factors.

    Notes
    -----
    Mode products commute, so a product of rectangular factors may be applied in any order. Applying :math:`i` before
    :math:`j` is cheaper exactly if :math:`1/n_i - 1/m_i < 1/n_j - 1/m_j` (compare the two sequences of two products),
    which is a total order: sorting by it is optimal. Neighbouring tiny factors are multiplied out when the passes over
    memory this saves outweigh the operations it adds; the partition is found by dynamic programming.

    Examples
    --------
    >>> plan = kron_plan([(40, 40), (30, 30)], "float64")
    >>> plan.n_in, plan.flops
    (1200, 168000)
    """
    pairs = tuple(_check_shape(i, s) for i, s in enumerate(shapes))
    if not pairs:
        raise ShapeError("shapes is empty; expected the shape (m, n) of at least one factor.")
    if namespace not in ("numpy", "torch"):
        raise ValueError(f"namespace must be 'numpy' or 'torch'; got {namespace!r}.")
    if kernel not in KERNELS[:5]:
        raise ValueError(f"kernel must be one of {KERNELS[:5]}; got {kernel!r}.")
    if n_columns < 0 or max_bytes < 1:
        raise ValueError(f"n_columns must be >= 0 and max_bytes >= 1; got {n_columns} and {max_bytes}.")
    threads = default_threads() if n_threads is None else int(n_threads)
    if threads < 1:
        raise ValueError(f"n_threads must be at least 1; got {n_threads}.")
    return _build(
        pairs,
        as_numpy_dtype(dtype),
        int(n_columns),
        namespace,
        kernel,
        int(max_bytes),
        threads,
        int(max_bytes),
        use_numba(),
    )


@lru_cache(maxsize=512)
def cached_plan(
    shapes: tuple[tuple[int, int], ...],
    dtype: np.dtype,
    n_columns: int,
    namespace: str,
    max_bytes: int,
    threads: int,
    compiled: bool,
) -> KronPlan:
    """Return the automatic plan of a call without one; all of them share their workspace."""
    plan = _build(shapes, dtype, n_columns, namespace, "auto", max_bytes, threads, SHARED_KEEP_BYTES, compiled)
    return replace(plan, _local=_SHARED)


def default_threads() -> int:
    """Threads of the compiled kernel: environment first, else the cores this process may use."""
    for name in ("STRUCTKIT_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def as_numpy_dtype(dtype: DTypeLike) -> np.dtype:
    """Return the numpy dtype of a numpy or torch dtype or its name; only the four floating types pass."""
    name = str(dtype).removeprefix("torch.")
    try:
        out = np.dtype(name) if str(dtype) != name else np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError as err:
        raise TypeError(f"dtype {dtype!r} is not an element type of numpy or torch.") from err
    if out.kind in "biu":
        return np.dtype(np.float64)
    if out not in (np.float32, np.float64, np.complex64, np.complex128):
        raise TypeError(f"dtype must be float32, float64, complex64 or complex128; got {dtype!r}.")
    return out


def _check_shape(i: int, shape: Shape) -> tuple[int, int]:
    pair = tuple(int(s) for s in shape)
    if len(pair) != 2 or min(pair) < 0:
        raise ShapeError(f"shapes[{i}] is {tuple(shape)}; expected a pair (m, n) of non-negative integers.")
    return pair


def _merged_shape(shapes: Sequence[tuple[int, int]], group: Sequence[int]) -> tuple[int, int]:
    return math.prod(shapes[i][0] for i in group), math.prod(shapes[i][1] for i in group)


def _build(
    shapes: tuple[tuple[int, int], ...],
    dtype: np.dtype,
    n_columns: int,
    namespace: str,
    kernel: str,
    max_bytes: int,
    n_threads: int,
    keep_bytes: int,
    compiled: bool,
) -> KronPlan:
    kept = [i for i, s in enumerate(shapes) if s != (1, 1)]
    k = max(n_columns, 1)
    merges: tuple[tuple[int, ...], ...] = ()
    order: tuple[int, ...] = ()
    if any(0 in s for s in shapes):
        kernel = "empty"
    elif not kept:
        kernel = "scalar"
    else:
        choice = costs.choose([shapes[i] for i in kept], dtype, k, namespace, kernel, compiled)
        kernel, order = choice.kernel, choice.order
        merges = tuple(tuple(kept[a:b]) for a, b in choice.segments)
    groups = [_merged_shape(shapes, g) for g in merges]
    flops, peak = 0, 0
    for m, n, outer in walk(groups, order, 1):
        flops += costs.flops_per_product(dtype) * m * n * outer
        peak = max(peak, m * outer)
    n_out = math.prod(m for m, _ in shapes)
    turned = kernel in ("rot", "leftrot") and k > 1  # the result comes with its columns in front and is copied once
    lanes = 0 if kernel in ("chain", "scalar", "empty") or (len(order) < 2 and not turned) else 1 + (peak > n_out)
    per_column = max(lanes * max(peak, n_out) * dtype.itemsize, 1)
    block = max(1, min(k, max_bytes // per_column))
    if block < k and turned:  # without all columns at hand, the output cannot serve as the other buffer
        block = max(1, block // 2)
    n_bytes = dtype.itemsize * k * n_out + per_column * block * (lanes > 0)
    return KronPlan(
        shapes, dtype, n_columns, namespace, kernel, merges, order, flops * k, n_bytes, block, max_bytes, n_threads,
        tuple(m for m, _ in groups), keep_bytes,
    )  # fmt: skip


def walk(groups: Sequence[tuple[int, int]], order: Sequence[int], outer: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(m, n, number of vectors)`` for each step; `outer` is the product of all axes that no group owns."""
    sizes = [n for _, n in groups]
    for g in order:
        m, n = groups[g]
        yield m, n, outer * math.prod(sizes[:g]) * math.prod(sizes[g + 1 :])
        sizes[g] = m
