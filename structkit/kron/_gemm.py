"""Kronecker products of numpy arrays by sequences of GEMMs between two buffers; no copies in between."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit.kron._blocks import axis_product, row_product
from structkit.kron.plan import KronPlan

__all__ = ["apply_gemm", "merge_factors"]


def merge_factors(plan: KronPlan, factors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Multiply out the groups of a plan; the scalar of all 1 x 1 factors goes into the smallest group."""
    groups = []
    for group in plan.merges:
        matrix = factors[group[0]]
        for i in group[1:]:
            f = factors[i]
            m, n = matrix.shape[0] * f.shape[0], matrix.shape[1] * f.shape[1]
            matrix = (matrix[:, None, :, None] * f[:, None, :]).reshape(m, n)
        groups.append(matrix)
    if plan.n_merged < len(factors):
        scale = scalar_part(plan, factors)
        smallest = min(range(len(groups)), key=lambda g: groups[g].size)
        groups[smallest] = groups[smallest] * scale
    return groups


def scalar_part(plan: KronPlan, factors: Sequence[np.ndarray]) -> np.ndarray:
    """Product of all 1 x 1 factors, as a 0-d array of the plan's dtype."""
    value = np.ones((), plan.dtype)
    for f, shape in zip(factors, plan.shapes, strict=True):
        if shape == (1, 1):
            value = value * f[0, 0]
    return value


def apply_gemm(plan: KronPlan, groups: Sequence[np.ndarray], x: np.ndarray, out: np.ndarray) -> None:
    """Write the product into `out`; `x` is ``(B, N, k)``, `out` is ``(B, M, k)`` and C-contiguous.

    Columns are taken in blocks of ``plan.column_block``; stacks of large vectors go one by one through the rotating
    kernels, stacks of small ones at once with the axes in place.
    """
    stack, n_in, k = x.shape
    rotating = plan.kernel in ("rot", "leftrot")
    if rotating and stack > 1 and n_in * k >= 4096:
        for b in range(stack):
            apply_gemm(plan, groups, x[b : b + 1], out[b : b + 1])
        return
    block = plan.column_block
    if rotating and stack == 1:
        step = _rot if plan.kernel == "rot" else _leftrot
        if k == 1:
            step(plan, groups, x.reshape(-1), 1, out.reshape(-1))
            return
        for j in range(0, k, block):
            part = out[0, :, j : j + block]
            y = plan.workspace(2, part.size)
            spare = out.reshape(-1) if block >= k else None  # not yet in use: holds the intermediate results
            step(plan, groups, x[0, :, j : j + block].reshape(-1), part.shape[1], y, spare)
            np.copyto(part, y.reshape(part.shape[::-1]).T if step is _rot else y.reshape(part.shape))
        return
    if block >= k * stack or k == 0:
        _batched(plan, groups, x.reshape(-1), stack, k, out.reshape(-1))
        return
    for b in range(stack):
        for j in range(0, k, block):
            part = out[b, :, j : j + block]
            y = np.empty(part.shape, out.dtype) if block < k else part
            _batched(plan, groups, x[b, :, j : j + block].reshape(-1), 1, part.shape[1], y.reshape(-1))
            if y is not part:
                np.copyto(part, y)


def _targets(
    plan: KronPlan, sizes: Sequence[int], out: np.ndarray, spare: np.ndarray | None = None
) -> list[np.ndarray]:
    """Buffers for the successive results: the last one is `out`, the others alternate with it and `spare`, if given."""
    lanes: list[int | None] = []
    needed: dict[int, int] = {}
    for back, size in enumerate(reversed(sizes)):
        lane = None if back % 2 == 0 and size <= out.size else back % 2
        lanes.append(lane)
        if lane is not None:
            needed[lane] = max(needed.get(lane, 0), size)
    # One request per lane: a buffer too large to be kept by the plan would otherwise be allocated for each step.
    buffers = {
        lane: spare if lane == 1 and spare is not None and size <= spare.size else plan.workspace(lane, size)
        for lane, size in needed.items()
    }
    targets = [
        (out if lane is None else buffers[lane])[:size] for lane, size in zip(lanes, reversed(sizes), strict=True)
    ]
    return targets[::-1]


def _rot(
    plan: KronPlan,
    groups: Sequence[np.ndarray],
    x: np.ndarray,
    k: int,
    out: np.ndarray,
    spare: np.ndarray | None = None,
) -> None:
    """First factor first: ``(n, R)`` becomes ``(R, m)``. `out` ends up as ``(k, M)``."""
    size, sizes = x.size, []
    for a in groups:
        size = size // a.shape[1] * a.shape[0]
        sizes.append(size)
    y = x
    for a, target in zip(groups, _targets(plan, sizes, out, spare), strict=True):
        row_product(y.reshape(a.shape[1], -1).T, a, target.reshape(-1, a.shape[0]), plan.n_threads)
        y = target


def _leftrot(
    plan: KronPlan,
    groups: Sequence[np.ndarray],
    x: np.ndarray,
    k: int,
    out: np.ndarray,
    spare: np.ndarray | None = None,
) -> None:
    """Last factor first: ``(L, n)`` becomes ``(m, L)``. Columns are moved to the front first; `out` is ``(M, k)``."""
    if k > 1:
        x = np.ascontiguousarray(x.reshape(-1, k).T).reshape(-1)
    size, sizes = x.size, []
    for a in reversed(groups):
        size = size // a.shape[1] * a.shape[0]
        sizes.append(size)
    y = x
    for a, target in zip(reversed(groups), _targets(plan, sizes, out, spare), strict=True):
        axis_product(a, y.reshape(-1, a.shape[1]).T[None], target.reshape(1, a.shape[0], -1), plan.n_threads)
        y = target


def _batched(plan: KronPlan, groups: Sequence[np.ndarray], x: np.ndarray, stack: int, k: int, out: np.ndarray) -> None:
    """Axes stay in place: ``(L, n, R)`` becomes ``(L, m, R)``, in the order of the plan."""
    axes = [a.shape[1] for a in groups]
    sizes = []
    for g in plan.order:
        axes[g] = groups[g].shape[0]
        sizes.append(stack * math.prod(axes) * k)
    axes = [a.shape[1] for a in groups]
    y = x
    for g, target in zip(plan.order, _targets(plan, sizes, out), strict=True):
        a = groups[g]
        m, n = a.shape
        left, right = stack * math.prod(axes[:g]), math.prod(axes[g + 1 :]) * k
        if right == 1:
            row_product(y.reshape(left, n), a, target.reshape(left, m), plan.n_threads)
        else:
            axis_product(a, y.reshape(left, n, right), target.reshape(left, m, right), plan.n_threads)
        y = target
        axes[g] = m
