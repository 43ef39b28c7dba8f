"""Chains of tiny square factors: how the compiled kernel walks through the cache, and the call into it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from structkit.kron._blocks import THREADS_FROM, worker_pool
from structkit.kron._gemm import scalar_part
from structkit.kron.plan import KronPlan

__all__ = ["apply_chain"]

# A block of this many bytes stays in the second-level cache, one of this many (and its copy) near the first.
OUTER_BYTES = 2**18
INNER_BYTES = 2**14
# From this many columns on, SIMD lanes are filled by columns and nothing needs to be rotated.
FULL_LANES = 16
# Input lengths for which a plan remembers its layout.
KEPT_CALLS = 64


class Layout(NamedTuple):
    """Arguments of the compiled kernel that depend on shapes only."""

    sizes: np.ndarray
    pairs: np.ndarray
    phases: np.ndarray
    work: int
    n_phases: int


@lru_cache(maxsize=512)
def layout(merges: tuple[int, ...], sizes: tuple[int, ...], stack: int, k: int, itemsize: int, planes: int) -> Layout:
    """Split the stages into panel phases, whose axes are followed by many others, and one phase of contiguous blocks.

    Each phase reads and writes all data once. Within a phase, all work happens on a piece that stays in cache.
    """
    outer, inner = OUTER_BYTES // (itemsize * planes), INNER_BYTES // (itemsize * planes)
    n_stages = len(sizes)
    rotated, c = n_stages, k
    if k < FULL_LANES:
        while rotated > 0 and c * sizes[rotated - 1] <= inner:
            rotated -= 1
            c *= sizes[rotated]
    swept, block = rotated, c
    while swept > 0 and block * sizes[swept - 1] <= outer:
        swept -= 1
        block *= sizes[swept]
    rows: list[tuple[int, ...]] = []
    before = stack
    for s0, s1 in _panel_ranges(sizes[:swept]):
        extent = math.prod(sizes[s0:s1])
        after = math.prod(sizes[s1:]) * k
        width = min(after, max(outer // extent // 16 * 16, 16))
        rows.append((0, s0, s1, s1, extent, after, width, k, before * -(-after // width)))
        before *= extent
    if swept < n_stages:
        rows.append((1, swept, rotated, n_stages, block, 1, c, k, before))
    n_coefficients = -(-sum(n * n for n in sizes) // 16) * 16
    n_buffer = max([r[4] * (r[6] if r[0] == 0 else 1) for r in rows])
    n_buffer, n_small = -(-n_buffer // 16) * 16, -(-c // 16) * 16 if rotated < n_stages else 0
    n_phases = len(rows)
    rows.append((n_coefficients, n_buffer, n_small, 0, 0, 0, 0, 0, 0))
    work = planes * (n_coefficients + n_buffer + 2 * n_small)
    pairs = np.array([m > 1 for m in merges])
    return Layout(np.array(sizes), pairs, np.array(rows), work, n_phases)


def _panel_ranges(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive runs of stages whose products stay under 256, as equal as they come."""
    if not sizes:
        return []
    total = math.prod(sizes)
    count = max(1, math.ceil(math.log(total) / math.log(256)))
    target = total ** (1 / count)
    ranges, start, product = [], 0, 1
    for s, n in enumerate(sizes):
        if s > start and product * n > target * 1.01:
            ranges.append((start, s))
            start, product = s, 1
        product *= n
    return [*ranges, (start, len(sizes))]


def apply_chain(plan: KronPlan, factors: Sequence[np.ndarray], x: np.ndarray, out: np.ndarray, k: int) -> None:
    """Write the product into `out`; `x` and `out` are contiguous, of the plan's dtype, with `k` columns."""
    if len(factors) > plan.n_merged:
        kept = [factors[i] for group in plan.merges for i in group]
        factors = [kept[0] * scalar_part(plan, factors), *kept[1:]]
    raw = np.concatenate(factors, axis=None)
    key = (x.size, k)
    call = plan.calls.get(key)
    if call is None:
        if len(plan.calls) >= KEPT_CALLS:
            plan.calls.clear()
        call = plan.calls[key] = _prepare(plan, x.size, k)
    run, lay, threads = call
    flat, target = x.reshape(-1), out.reshape(-1)
    if plan.dtype.kind == "c":
        real = flat.real.dtype
        flat, target = flat.view(real), target.view(real)
    if not flat.flags.carray:  # read-only or unaligned: the compiled code has one type for all arrays
        flat = flat.copy()
    if threads == 1:
        work = plan.workspace(0, lay.work)
        if work.dtype != flat.dtype:
            work = work.view(flat.dtype)
        run(flat, target, raw, lay.sizes, lay.pairs, lay.phases, work, 0, lay.n_phases, 0, 1)
        return

    def share(phase: int, part: int) -> None:
        work = np.empty(lay.work, flat.dtype)
        run(flat, target, raw, lay.sizes, lay.pairs, lay.phases, work, phase, phase + 1, part, threads)

    pool = worker_pool(threads, os.getpid())
    for phase in range(lay.n_phases):
        others = [pool.submit(share, phase, part) for part in range(1, threads)]
        share(phase, 0)
        for other in others:
            other.result()


def _prepare(plan: KronPlan, size: int, k: int) -> tuple[Callable[..., None], Layout, int]:
    """Compiled function, layout and number of threads for an input of `size` elements in `k` columns."""
    from structkit._backend import numba_chain

    is_complex = plan.dtype.kind == "c"
    planes = 1 + is_complex
    merges = tuple(map(len, plan.merges))
    lay = layout(merges, plan.stages, size // (plan.n_in * k), k, plan.dtype.itemsize // planes, planes)
    run = numba_chain.chain_complex if is_complex else numba_chain.chain
    return run, lay, plan.n_threads if size >= THREADS_FROM else 1
