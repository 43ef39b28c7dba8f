r"""Holes of a mask: groups of neighbouring fibres that miss the same cells, and an approximate solver inside them.

A fibre is a line of cells along one axis. Where a block of fibres misses the same levels, a preconditioner that sees
only the average of the mask is blind: directions supported in the block carry prior variance and little or no data.
There the posterior is nearly that of the block given its surroundings, which separates: with :math:`G` the prior
precision of the block's positions (a submatrix of the inverse of the other axes' covariance) and :math:`K` the
covariance along the fibre, the precision is :math:`G \otimes K^{-1} + I \otimes \Lambda`, diagonal after two small
eigendecompositions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from structkit._backend.namespace import asarray_like, index_like
from structkit._core.types import Array, Shape
from structkit.gp.whitening import AxisBasis

__all__ = ["MaskGeometry", "RegionSolver", "find_regions"]

MIN_FIBRES = 4  # a smaller group does not pay for its eigendecompositions
MAX_FIBRES = 600  # a larger one is cut in halves: an eigendecomposition costs the cube
MAX_REGIONS = 512
MAX_PATTERNS = 256
MIN_SHARE = 0.02  # of the hidden cells: below, the regions cannot change the iteration count


@dataclass(frozen=True)
class Region:
    """Positions (P, D-1) of the fibres on the other axes and the hidden levels (S,) they share."""

    positions: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True)
class MaskGeometry:
    """Holes of a mask along its best fibre axis.

    Attributes
    ----------
    axis : int
        Axis of the fibres.
    regions : tuple of Region
        The holes.
    fraction : float
        Mean weight of the cells outside of the holes.
    share : float
        Share of the cells that lie in holes; the least that could be found, if hidden cells show none.
    """

    axis: int
    regions: tuple[Region, ...]
    fraction: float
    share: float


def find_regions(weights: np.ndarray) -> MaskGeometry:
    """Describe the holes of a weight tensor, along the axis where they explain most of the hidden cells.

    Holes are found by a morphological opening of the hidden cells, with a box so large that scattered hidden cells
    alone do not fill it; a mask with both scattered cells and holes is split into its two parts.
    """
    hidden = weights == 0
    found = [_regions_along(hidden, axis) if hidden.any() else [] for axis in range(weights.ndim)]
    covered = [sum(len(g.positions) * len(g.hidden) for g in regions) for regions in found]
    # Among the axes that explain about as much, the one with the fewest pieces leaves the fewest couplings out.
    good = [d for d in range(weights.ndim) if covered[d] >= 0.9 * max(covered)]
    axis = min(good, key=lambda d: len(found[d]))
    if covered[axis] >= max(MIN_SHARE * int(hidden.sum()), 1):
        regions, cells = found[axis], covered[axis]
    else:
        regions, cells = [], 0
    outside = max(weights.size - cells, 1)
    fraction = float(weights.sum(dtype=np.float64)) / outside
    share = max(cells / weights.size, MIN_SHARE) if hidden.any() else 1.0
    return MaskGeometry(axis, tuple(regions), fraction, share)


def _box(hidden: np.ndarray, axis: int) -> Shape:
    """Sides of a box that scattered cells of the mask's density fill by chance less than once in a hundred masks."""
    q = min(max(float(hidden.mean()), 1e-3), 0.99)
    cells = math.log(0.01 / hidden.size) / math.log(q)  # that must coincide
    side = max(math.ceil(cells ** (1 / hidden.ndim)), 2)
    box = [min(side, n) for n in hidden.shape]
    others = math.prod(box) // box[axis]
    box[axis] = min(max(math.ceil(cells / others), 2), hidden.shape[axis])
    return tuple(box)


def _regions_along(hidden: np.ndarray, axis: int) -> list[Region]:
    """Return the largest connected groups of fibres along `axis` that share a pattern of cells in holes."""
    opened = ndimage.maximum_filter(
        ndimage.minimum_filter(hidden.view(np.uint8), size=(box := _box(hidden, axis)), mode="constant", cval=1),
        size=box,
        origin=tuple(-1 if n % 2 == 0 else 0 for n in box),
        mode="constant",
    )
    opened &= hidden
    fibres = np.moveaxis(opened, axis, -1)
    others: Shape = fibres.shape[:-1]
    rows = fibres.reshape(-1, fibres.shape[-1]).astype(bool)
    label, patterns = _shared_patterns(rows)
    grid = label.reshape(others)
    found: list[Region] = []
    least = min(MIN_FIBRES, math.prod(others))
    for p, pattern in enumerate(patterns):
        levels = np.flatnonzero(pattern)
        if not others:
            found.append(Region(np.zeros((1, 0), dtype=np.intp), levels))
            continue
        components, count = ndimage.label(grid == p, structure=np.ones((3,) * len(others)))
        cells = np.argwhere(components > 0)
        owner = components[tuple(cells.T)]
        for i in range(1, count + 1):
            found += [Region(part, levels) for part in _halved(cells[owner == i]) if len(part) >= least]
    found.sort(key=lambda g: -len(g.positions) * len(g.hidden))
    return found[:MAX_REGIONS]


def _shared_patterns(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a label per row (-1 for none) and the patterns that many rows share.

    A rare pattern, such as a hole whose edge a scattered cell frays, counts as the largest common one inside it.
    """
    packed = np.ascontiguousarray(np.packbits(rows, axis=1))
    keys = packed.view([("", packed.dtype, packed.shape[1])]).reshape(-1)
    _, first, label, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    unique = rows[first]
    least = min(MIN_FIBRES, len(rows))
    order = np.argsort(-counts)
    common = np.array([p for p in order if counts[p] >= least and unique[p].any()][:MAX_PATTERNS], dtype=np.intp)
    target = np.full(len(unique), -1)
    target[common] = np.arange(len(common))
    patterns = unique[common]
    sizes = patterns.sum(1).astype(np.float32)
    if len(common):
        rare = np.setdiff1d(np.flatnonzero(unique.any(1)), common)
        inside = unique[rare].astype(np.float32) @ patterns.T.astype(np.float32) == sizes
        score = np.where(inside, sizes, 0.0)
        target[rare] = np.where(score.max(1, initial=0.0) > 0, score.argmax(1), -1) if len(rare) else -1
    return target[label], patterns


def _halved(positions: np.ndarray) -> list[np.ndarray]:
    """Cut a set of positions along its longest side until every part is small enough."""
    if len(positions) <= MAX_FIBRES:
        return [positions]
    side = int(np.argmax(np.ptp(positions, axis=0)))
    order = np.argsort(positions[:, side], kind="stable")
    middle = len(order) // 2
    return _halved(positions[order[:middle]]) + _halved(positions[order[middle:]])


class RegionSolver:
    """Apply the approximate posterior covariance of the noisy hidden cells, region by region.

    Parameters
    ----------
    geometry : MaskGeometry
        The regions.
    bases : list of AxisBasis
        Axis covariances in units of the noise.
    shape : tuple of int
        Shape of the grid.
    like : array
        Library, dtype and device of the computation.
    """

    def __init__(self, geometry: MaskGeometry, bases: Sequence[AxisBasis], shape: Shape, like: Array) -> None:
        axis, f = geometry.axis, geometry.fraction
        root = bases[axis].vectors * np.sqrt(bases[axis].values)
        precisions = [_precision(b) for d, b in enumerate(bases) if d != axis]
        strides = np.cumprod((1, *shape[::-1]))[-2::-1]
        self.size = int(np.prod(shape, dtype=np.int64))
        self._blocks = []
        pattern: np.ndarray | None = None
        for region in geometry.regions:
            if pattern is None or not np.array_equal(pattern, region.hidden):
                pattern = region.hidden
                seen = np.ones(shape[axis], dtype=bool)
                seen[pattern] = False
                lam, T = np.linalg.eigh(f * root[seen].T @ root[seen])
                levels = np.sqrt(f) * root[pattern] @ T
            G = np.ones((len(region.positions),) * 2)
            for Q, p in zip(precisions, region.positions.T, strict=True):
                G *= Q[np.ix_(p, p)]
            g, U = np.linalg.eigh(G)
            shrink = 1.0 / (np.maximum(g, 0.0)[:, None] + np.maximum(lam, 0.0) + np.finfo(np.float32).tiny)
            base = region.positions @ np.delete(strides, axis)
            cells = base[:, None] + pattern * strides[axis]
            self._blocks.append(
                (index_like(cells, like), *(asarray_like(a, like) for a in (U, np.ascontiguousarray(levels), shrink)))
            )

    def apply(self, u: Array) -> Array:
        """Return the product with a stack of grids ``(k, n_1, ..., n_D)``, zero outside the regions."""
        flat = u.reshape(u.shape[0], self.size)
        out = flat * 0
        for cells, U, levels, shrink in self._blocks:
            inside = flat[:, cells]
            t = (U.T @ inside) @ levels  # type: ignore[attr-defined]
            t *= shrink
            out[:, cells] = U @ (t @ levels.T) + inside  # type: ignore[index, attr-defined]
        return out.reshape(*u.shape)


def _precision(basis: AxisBasis) -> np.ndarray:
    """Inverse of an axis covariance with a small relative nugget, which a smooth kernel needs to be invertible."""
    w, V = basis.values, basis.vectors
    nugget = 1e-6 * w.sum() / len(V)
    return (V * (1.0 / (w + nugget) - 1.0 / nugget)) @ V.T + np.eye(len(V)) / nugget
