"""Grids that carry their labels, as xarray's arrays do: coordinates in, labels of predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from structkit._core.labels import Labels, is_labelled
from structkit.gp.covariance import FreeCovariance

__all__ = ["Given", "gathered", "target_labels"]


class Given(NamedTuple):
    """What `fit` was given, without labels; these apart."""

    coords: Any
    y: Any
    mask: Any
    labels: Labels | None


def gathered(coords: Any, y: Any, mask: Any, kernels: Sequence[object]) -> Given:
    """Take coordinates and values from an `xarray.DataArray`, where one was given."""
    if y is None:
        if not is_labelled(coords):
            raise TypeError("fit needs observations: fit(coords, y), or fit(data) with an xarray.DataArray.")
        coords, y = None, coords
    if is_labelled(coords):
        raise TypeError("coords is an xarray.DataArray, which brings its values: give it alone, or coordinates and y.")
    if not is_labelled(y):
        return Given(coords, y, mask, None)
    labels = Labels.of(y)
    if is_labelled(mask):
        mask = labels.ordered(mask, "mask").values
    own = labels.coordinates(y.shape)
    for d, k in enumerate(kernels[: y.ndim]):
        if isinstance(k, FreeCovariance):
            own[d] = None
    if coords is None:
        return Given(own, y.values, mask, labels)
    if len(coords) != y.ndim:
        return Given(coords, y.values, mask, None)
    levels = tuple(c if x is None else np.asarray(x) for c, x in zip(labels.levels, coords, strict=True))
    coords = [c if x is None else x for c, x in zip(own, coords, strict=True)]
    return Given(coords, y.values, mask, labels.with_levels(levels))


def target_labels(known: Labels | None, coords: Any) -> tuple[Labels | None, Any]:
    """Return the labels of a prediction, and its coordinates for each axis; None keeps the levels of the data."""
    if coords is None:
        return known, None
    if is_labelled(coords):
        target = coords if known is None else known.ordered(coords, "coords")
        labels = Labels.of(target)
        axes = labels.coordinates(target.shape)
        if known is not None:
            axes = [None if _equal(a, b) else x for a, b, x in zip(labels.levels, known.levels, axes, strict=True)]
        return labels.renamed(None if known is None else known.name), axes
    if known is None or len(coords) != len(known.dims):
        return None, coords
    levels = [b if x is None else np.asarray(x) for b, x in zip(known.levels, coords, strict=True)]
    return known.with_levels(tuple(levels)), coords


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two axes have the same labels."""
    return a is not None and b is not None and np.array_equal(a, b)
