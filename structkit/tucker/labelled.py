"""Entries from and to xarray's arrays: coordinates of the axes become columns, NaN becomes missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from structkit._core.labels import Labels, is_labelled
from structkit.tucker.options import check_coordinates

__all__ = ["cells_of", "observed_cells"]


def observed_cells(X: Any, y: Any) -> tuple[Any, Any]:
    """Return coordinates and values of the cells of an `xarray.DataArray` that are not NaN, else what was given."""
    if y is not None or not is_labelled(X):
        return X, y
    cells, _ = cells_of(X)
    values = np.asarray(X.values).reshape(-1)
    seen = ~np.isnan(values.astype(np.float64))
    return cells[seen], values[seen]


def cells_of(data: Any, names: np.ndarray | None = None) -> tuple[np.ndarray, Labels]:
    """Return the coordinates ``(n, D)`` of all cells of an `xarray.DataArray`, and the labels of its axes.

    With the `names` that the columns had in the fit, the axes are brought in their order.
    """
    if names is not None:
        data = Labels(tuple(names), (None,) * len(names)).ordered(data, "X")
    labels = Labels.of(data)
    axes = labels.coordinates(data.shape)
    columns = [check_coordinates(np.asarray(c)[:, None])[:, 0] for c in axes]
    grids = np.meshgrid(*columns, indexing="ij")
    return np.stack([g.reshape(-1) for g in grids], axis=1), labels
