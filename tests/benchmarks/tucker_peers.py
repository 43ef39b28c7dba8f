"""What a functional tensor model is held against: averages that need no model, and masked decompositions of tensorly.

Every function takes training coordinates ``(n, K)``, values ``(n,)`` and new coordinates ``(m, K)``. Averages return
their predictions ``(m,)``; peers that are timed return a callable that computes them, the grid being laid out before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["cell_mean", "dense_grid", "inverse_distance", "masked_cp", "masked_tucker", "train_mean"]

Call = Callable[[], np.ndarray]
MAX_CELLS = 5 * 10**7  # of a dense grid: 0.4 GB per copy, and the decompositions keep several


# ---- averages ---------------------------------------------------------------------------------------------------


def train_mean(X: np.ndarray, y: np.ndarray, X_new: np.ndarray) -> np.ndarray:
    """Mean of all training values."""
    return np.full(len(X_new), y.mean())


def cell_mean(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, *, modes: Sequence[int]) -> np.ndarray:
    """Mean of the training values with the same coordinates in `modes`; without any, the mean of all."""
    cell, n_cells = _keys(np.concatenate([X, X_new])[:, list(modes)])
    count = np.bincount(cell[: len(X)], minlength=n_cells)
    total = np.bincount(cell[: len(X)], y, minlength=n_cells)
    means = np.where(count > 0, total / np.maximum(count, 1), y.mean())
    return means[cell[len(X) :]]


def inverse_distance(
    X: np.ndarray,
    y: np.ndarray,
    X_new: np.ndarray,
    *,
    modes: Sequence[int],
    within: Sequence[int] = (),
    scale: Sequence[float] | None = None,
) -> np.ndarray:
    """Mean of the training values weighted by the inverse squared distance in `modes`.

    Only training entries with the same coordinates in `within` count; without any, the result is the mean of all. At
    distance zero the values there are averaged. `scale` multiplies the coordinates of `modes`.
    """
    factor = np.ones(len(modes)) if scale is None else np.asarray(scale)
    place, place_new = X[:, list(modes)] * factor, X_new[:, list(modes)] * factor
    key, _ = _keys(np.concatenate([X, X_new])[:, list(within)])
    old, new = key[: len(X)], key[len(X) :]
    result = np.full(len(X_new), y.mean())
    rows_of = _rows(old)
    for k, wanted in _rows(new).items():
        if k not in rows_of:
            continue
        rows = rows_of[k]
        for part in np.array_split(wanted, math.ceil(len(wanted) * len(rows) / 10**7)):  # 80 MB of distances
            squared = ((place_new[part][:, None] - place[rows]) ** 2).sum(-1)
            touching = squared == 0
            weights = np.where(touching.any(1, keepdims=True), touching, 1.0 / np.where(touching, 1.0, squared))
            result[part] = weights @ y[rows] / weights.sum(1)
    return result


def _keys(columns: np.ndarray) -> tuple[np.ndarray, int]:
    """Number of the group of equal rows that each row belongs to, and how many groups there are."""
    groups, key = np.unique(columns, axis=0, return_inverse=True)
    return key.ravel(), len(groups)


def _rows(key: np.ndarray) -> dict[int, np.ndarray]:
    """Positions of every key."""
    order = np.argsort(key, kind="stable")
    values, first = np.unique(key[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, first[1:]), strict=True))


# ---- tensorly ---------------------------------------------------------------------------------------------------


def dense_grid(
    X: np.ndarray, y: np.ndarray, X_new: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Lay the training entries on the grid of all levels: means per cell, mask of filled cells, cells of `X_new`."""
    levels, index = zip(
        *(np.unique(x, return_inverse=True) for x in np.concatenate([X, X_new]).T), strict=True
    )  # fmt: skip
    shape = tuple(len(t) for t in levels)
    if math.prod(shape) > MAX_CELLS:
        cells = " x ".join(map(str, shape))
        raise MemoryError(f"A dense grid of {cells} cells would take {8 * math.prod(shape) / 2**30:.1f} GiB per copy.")
    old = tuple(i[: len(X)] for i in index)
    count, total = np.zeros(shape), np.zeros(shape)
    np.add.at(count, old, 1.0)
    np.add.at(total, old, y)
    return total / np.maximum(count, 1.0), (count > 0).astype(float), tuple(i[len(X) :] for i in index)


def masked_cp(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, rank: int, *, n_iter: int = 300, seed: int = 0) -> Call:
    """CP decomposition of the centred dense grid by alternating least squares with a mask."""
    from tensorly import cp_to_tensor
    from tensorly.decomposition import parafac

    mean = y.mean()
    values, mask, new = dense_grid(X, y - mean, X_new)
    # The singular vectors that are the default start take hidden cells for zeros.
    options = {"mask": mask, "n_iter_max": n_iter, "init": "random", "random_state": seed}
    return lambda: mean + cp_to_tensor(parafac(values, rank, **options))[new]


def masked_tucker(
    X: np.ndarray, y: np.ndarray, X_new: np.ndarray, rank: Sequence[int], *, n_iter: int = 300, seed: int = 0
) -> Call:
    """Tucker decomposition of the centred dense grid by alternating singular value decompositions with a mask."""
    from tensorly import tucker_to_tensor
    from tensorly.decomposition import tucker

    mean = y.mean()
    values, mask, new = dense_grid(X, y - mean, X_new)
    options = {"mask": mask, "n_iter_max": n_iter, "init": "random", "random_state": seed}
    return lambda: mean + tucker_to_tensor(tucker(values, list(rank), **options))[new]
