"""Estimated running times of the kernels of a Kronecker product, and the choice they lead to.

Estimates come from shapes, dtype and instruction set, never from a measurement at run time: on one machine the same
product always runs the same way. Constants were fitted to timings of one core (skinny GEMMs of 2 to 256 columns); only
their ratios matter.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from structkit.kron._blocks import DIRECT

__all__ = ["Choice", "choose", "flops_per_product"]

Pair = tuple[int, int]

# Largest group of merged factors worth considering: beyond it GEMM gains nothing from another merge.
MAX_MERGE = 64
# Sizes of square factors that the compiled chain kernel knows, and its time per element and row of a factor.
CHAIN_SIZES = (2, 3, 4)
CHAIN_SECONDS = {"f": 0.06e-9, "c": 0.26e-9}
# Loading the compiled kernel takes half a second once: smaller products do not ask for it.
CHAIN_FROM = 512
TORCH_MERGE = 32
# Moving few columns to the front costs less than stacks of GEMMs with as few, while the data stay in cache.
TORCH_FEW_COLUMNS = 16
TORCH_SMALL = 2**18


class Choice(NamedTuple):
    """Kernel, segments ``[a, b)`` of factors to merge, and the order in which to apply them."""

    kernel: str
    segments: tuple[tuple[int, int], ...]
    order: tuple[int, ...]


def flops_per_product(dtype: np.dtype) -> int:
    """Real operations of one multiply-add."""
    return 8 if dtype.kind == "c" else 2


@functools.cache
def _wide_registers() -> bool:
    """Whether the processor has AVX-512, with which OpenBLAS multiplies small real matrices without packing them."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[index, call-overload]
    return any(name in ("X86_V4", "AVX512_SKX") for name in found)


def gemm_seconds(m: int, n: int, vectors: int, dtype: np.dtype) -> float:
    """Time of one GEMM that applies an ``(m, n)`` matrix to `vectors` vectors, memory traffic included."""
    double = 80e9 if _wide_registers() else 45e9
    peak = double if dtype in (np.float64, np.complex128) else 2 * double
    short = min(m, n)
    rate = peak * short / (short + (15.0 if dtype.kind == "f" else 12.0))
    return 1.2e-6 + flops_per_product(dtype) * m * n * vectors / rate


def merge_seconds(m: int, n: int, count: int) -> float:
    """Time to multiply `count` tiny factors out into an ``(m, n)`` matrix."""
    return 0.0 if count == 1 else 2.5e-6 * (count - 1) + 1.5e-9 * m * n


def choose(shapes: Sequence[Pair], dtype: np.dtype, k: int, namespace: str, kernel: str, compiled: bool) -> Choice:
    """Return the kernel with the least estimated time among those that `kernel` admits."""
    if namespace == "torch":
        return _choose_torch(shapes, k, kernel)
    candidates: list[tuple[float, Choice]] = []
    tiny = all(m == n and n in CHAIN_SIZES for m, n in shapes)
    if kernel == "chain":
        if not tiny or not compiled:
            raise ValueError(
                f"kernel 'chain' needs numba (STRUCTKIT_NUMBA not 0) and square factors of sizes {CHAIN_SIZES}; got "
                f"shapes {list(shapes)}. Use kernel='auto'."
            )
        return _chain(shapes, dtype, k)[1]
    if kernel == "auto" and tiny and compiled and k * math.prod(n for _, n in shapes) >= CHAIN_FROM:
        candidates.append(_chain(shapes, dtype, k))
    if kernel in ("auto", "rot"):
        candidates.append(_rotating(shapes, dtype, k, forward=True))
    if kernel in ("auto", "leftrot") and (k == 1 or kernel != "auto"):
        candidates.append(_rotating(shapes, dtype, k, forward=False))
    if kernel in ("auto", "batched"):
        candidates += [_batched(shapes, dtype, k, segments) for segments in _batched_partitions(shapes, dtype, k)]
    return min(candidates, key=lambda c: c[0])[1]


def _chain(shapes: Sequence[Pair], dtype: np.dtype, k: int) -> tuple[float, Choice]:
    """Stages of the compiled kernel: neighbouring 2 x 2 factors pair up, for the same operations in half the stages."""
    segments, i, rows = [], 0, 0
    while i < len(shapes):
        step = 2 if shapes[i : i + 2] == [(2, 2), (2, 2)] else 1
        segments.append((i, i + step))
        rows += shapes[i][0] ** step
        i += step
    elements = k * math.prod(n for _, n in shapes)
    per_row = CHAIN_SECONDS[dtype.kind] * dtype.itemsize / (16 if dtype.kind == "c" else 8)
    seconds = 6e-6 + elements * (0.1e-9 * dtype.itemsize + per_row * rows)
    return seconds, Choice("chain", tuple(segments), tuple(range(len(segments))))


def _rotating(shapes: Sequence[Pair], dtype: np.dtype, k: int, *, forward: bool) -> tuple[float, Choice]:
    """Best partition for rotating GEMMs: the first axis leaves and comes back last (forward), or the reverse."""
    seconds, segments = _partition(shapes, dtype, k, forward=forward)
    order = range(len(segments)) if forward else range(len(segments) - 1, -1, -1)
    if any(m != n for m, n in shapes):  # turned operands with a long and a short side are read against their order
        seconds *= 1.2
    if k > 1:  # the columns end up in front; putting them back is one strided copy
        seconds += 1e-6 + 2e-9 * math.prod(m for m, _ in shapes) * k
    return seconds, Choice("rot" if forward else "leftrot", segments, tuple(order))


def _partition(
    shapes: Sequence[Pair], dtype: np.dtype, k: int, *, forward: bool, limit: int = MAX_MERGE
) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Dynamic programming over the ends of the last merged group."""
    d = len(shapes)
    done = [math.prod(m for m, _ in shapes[:i]) for i in range(d + 1)]  # rows if already applied
    left = [math.prod(n for _, n in shapes[:i]) for i in range(d + 1)]
    todo = [math.prod(n for _, n in shapes[i:]) for i in range(d + 1)]
    gone = [math.prod(m for m, _ in shapes[i:]) for i in range(d + 1)]
    best = [0.0] + [math.inf] * d
    back = [0] * (d + 1)
    for b in range(1, d + 1):
        m = n = 1
        for a in range(b - 1, -1, -1):
            m, n = m * shapes[a][0], n * shapes[a][1]
            if b - a > 1 and max(m, n) > limit:
                break
            vectors = k * (done[a] * todo[b] if forward else left[a] * gone[b])
            cost = best[a] + gemm_seconds(m, n, vectors, dtype) + merge_seconds(m, n, b - a)
            if cost < best[b]:
                best[b], back[b] = cost, a
    segments, b = [], d
    while b:
        segments.append((back[b], b))
        b = back[b]
    return best[d], tuple(reversed(segments))


def _batched_partitions(shapes: Sequence[Pair], dtype: np.dtype, k: int) -> list[tuple[tuple[int, int], ...]]:
    plain = tuple((i, i + 1) for i in range(len(shapes)))
    merged = [_partition(shapes, dtype, k, forward=True, limit=cap)[1] for cap in (16, MAX_MERGE)]
    return list(dict.fromkeys([plain, *merged]))


def _batched(
    shapes: Sequence[Pair], dtype: np.dtype, k: int, segments: tuple[tuple[int, int], ...]
) -> tuple[float, Choice]:
    """Axis in place, in the order of least operations; stacks of small GEMMs pay for each of them."""
    groups = [(math.prod(s[0] for s in shapes[a:b]), math.prod(s[1] for s in shapes[a:b])) for a, b in segments]
    order = cost_order(groups)
    sizes = [n for _, n in groups]
    seconds = sum(merge_seconds(*groups[i], b - a) for i, (a, b) in enumerate(segments))
    for g in order:
        m, n = groups[g]
        before, after = math.prod(sizes[:g]), math.prod(sizes[g + 1 :]) * k
        seconds += gemm_seconds(m, n, before * after, dtype)
        if before > 1 and after > 1:
            # A stack runs one GEMM each: a call, and, where BLAS packs its operands, vectors too short to pay for that.
            unpacked = _wide_registers() and dtype.kind == "f" and m * n * after <= DIRECT
            seconds += before * (0.05e-6 if unpacked else 0.15e-6 + flops_per_product(dtype) * m * n * 16 / 40e9)
        sizes[g] = m
    return seconds, Choice("batched", segments, order)


def cost_order(groups: Sequence[Pair]) -> tuple[int, ...]:
    """Order of least operations: ascending ``1/n - 1/m`` (ties keep the given order)."""
    return tuple(sorted(range(len(groups)), key=lambda i: 1 / groups[i][1] - 1 / groups[i][0]))


def _choose_torch(shapes: Sequence[Pair], k: int, kernel: str) -> Choice:
    """Tall transposed operands are slow in torch's BLAS: last factor first for few columns, axis in place for many."""
    segments = _greedy_merge(shapes, TORCH_MERGE)
    groups = [(math.prod(s[0] for s in shapes[a:b]), math.prod(s[1] for s in shapes[a:b])) for a, b in segments]
    rectangular = any(m != n for m, n in groups)
    if kernel == "auto":
        small = k <= TORCH_FEW_COLUMNS and k * math.prod(n for _, n in shapes) <= TORCH_SMALL
        kernel = "leftrot" if (k == 1 or small) and not rectangular else "batched"
    if kernel not in ("leftrot", "batched", "rot"):
        raise ValueError(f"kernel {kernel!r} works on numpy arrays only; use 'auto', 'rot', 'leftrot' or 'batched'.")
    if kernel == "batched":
        return Choice(kernel, segments, cost_order(groups))
    order = range(len(groups)) if kernel == "rot" else range(len(groups) - 1, -1, -1)
    return Choice(kernel, segments, tuple(order))


def _greedy_merge(shapes: Sequence[Pair], cap: int) -> tuple[tuple[int, int], ...]:
    segments: list[tuple[int, int]] = []
    a, m, n = 0, shapes[0][0], shapes[0][1]
    for b in range(1, len(shapes)):
        if max(m * shapes[b][0], n * shapes[b][1]) <= cap:
            m, n = m * shapes[b][0], n * shapes[b][1]
        else:
            segments.append((a, b))
            a, (m, n) = b, shapes[b]
    return (*segments, (a, len(shapes)))
