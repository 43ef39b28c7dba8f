"""Samples and codes with labels: data frames and xarray's arrays, the first axis of which counts samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from structkit._backend.namespace import to_numpy
from structkit._core.labels import Labels, is_labelled
from structkit._core.validation import require

__all__ = ["as_codes", "as_frame", "as_samples", "features_of"]


def features_of(X: Any) -> Labels | None:
    """Labels of the axes of a sample, where an `xarray.DataArray` was given."""
    if not is_labelled(X):
        return None
    labels = Labels.of(X)
    return Labels(labels.dims[1:], labels.levels[1:], labels.name)


def as_codes(X: Any, codes: Any) -> Any:
    """Return codes labelled as the samples `X`: the axis of samples stays, those of a sample count atoms."""
    if not is_labelled(X):
        return codes
    labels = Labels.of(X)
    axes = ["atom"] if len(labels.dims) == 2 else [f"{name}_atom" for name in labels.dims[1:]]
    return Labels((labels.dims[0], *axes), (labels.levels[0], *[None] * len(axes))).array(to_numpy(codes))


def as_samples(C: Any, samples: Any, features: Labels | None) -> Any:
    """Return samples of labelled codes `C` with the axes of the samples of the fit."""
    if not is_labelled(C) or features is None or len(features.dims) != samples.ndim - 1:
        return samples
    labels = Labels.of(C)
    dims, levels = (labels.dims[0], *features.dims), (labels.levels[0], *features.levels)
    return Labels(dims, levels, features.name).array(to_numpy(samples))


def as_frame(X: Any, codes: Any, names: Iterable[str]) -> Any:
    """Return codes as a `pandas.DataFrame` with the index of `X`."""
    return require("pandas").DataFrame(  # type: ignore[attr-defined]
        to_numpy(codes).reshape(len(codes), -1), columns=list(names), index=getattr(X, "index", None)
    )
