"""Values that carry labels: dates, columns of data frames, xarray's arrays; no library of these is imported before."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from structkit._core.errors import ShapeError

__all__ = ["Labels", "days", "is_labelled", "real_objects"]


def days(values: object) -> object:
    """Return dates and durations as numbers of days (dates since 1970), anything else as it is."""
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    if kind not in ("M", "m") or not hasattr(values, "__array__"):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "Mm":  # dates with a time zone
        raise TypeError(f"dtype {getattr(values, 'dtype', None)} has a time zone; use dates without one.")
    since = array - np.datetime64("1970-01-01") if array.dtype.kind == "M" else array
    return np.asarray(since / np.timedelta64(1, "D"), dtype=np.float64)


def real_objects(values: object, name: str) -> object:
    """Return numbers in an array of objects as float64, anything else as it is."""
    if not hasattr(values, "__array__") or str(getattr(values, "dtype", None)) != "object":
        return values
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise TypeError(f"{name} has dtype object and holds more than numbers: {err}.") from None


def is_labelled(x: object) -> bool:
    """Whether `x` is an `xarray.DataArray`, without importing xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(x, xarray.DataArray)


@dataclass(frozen=True)
class Labels:
    """Names of the axes of a grid and labels of their levels, as an `xarray.DataArray` has them.

    Attributes
    ----------
    dims : tuple of str
        Names of the axes.
    levels : tuple of numpy.ndarray or None
        Labels of each axis: numbers, dates or text; None where an axis has none.
    name : str or None
        Name of the values.
    """

    dims: tuple[str, ...]
    levels: tuple[np.ndarray | None, ...]
    name: str | None = None

    @classmethod
    def of(cls, data: Any) -> Self:
        """Labels of an `xarray.DataArray`."""
        levels = tuple(_plain(data.coords[d].values) if d in data.coords else None for d in data.dims)
        return cls(tuple(map(str, data.dims)), levels, None if data.name is None else str(data.name))

    def coordinates(self, sizes: tuple[int, ...]) -> list[object]:
        """Coordinates of each axis: its labels, dates in days, or positions where there are none."""
        return [np.arange(float(n)) if c is None else days(c) for c, n in zip(self.levels, sizes, strict=True)]

    def with_levels(self, levels: tuple[np.ndarray | None, ...]) -> Labels:
        """Return the labels with other levels."""
        return Labels(self.dims, levels, self.name)

    def renamed(self, name: str | None) -> Labels:
        """Return the labels with another name of the values."""
        return Labels(self.dims, self.levels, name)

    def named(self, suffix: str) -> Labels:
        """Return the labels of values that belong to these, such as their standard deviations."""
        return self.renamed(None if self.name is None else f"{self.name}_{suffix}")

    def ordered(self, data: Any, name: str) -> Any:
        """Return an `xarray.DataArray` with its axes in the order of these; ShapeError where they are others."""
        if set(map(str, data.dims)) != set(self.dims):
            raise ShapeError(f"{name} has the axes {', '.join(map(str, data.dims))}; expected {', '.join(self.dims)}.")
        return data.transpose(*self.dims)

    def array(self, values: object, leading: str | None = None) -> Any:
        """Return values on the grid as an `xarray.DataArray`, with an axis `leading` before those of the grid."""
        import xarray

        coords = {d: c for d, c in zip(self.dims, self.levels, strict=True) if c is not None}
        dims = self.dims if leading is None else (leading, *self.dims)
        return xarray.DataArray(values, coords=coords, dims=dims, name=self.name)

    def pack(self) -> dict[str, object]:
        """Return arrays and JSON-able values that `unpack` takes."""
        out: dict[str, object] = {"labels": {"dims": list(self.dims), "name": self.name}}
        return out | {f"labels_{k}": c for k, c in enumerate(self.levels) if c is not None}

    @classmethod
    def unpack(cls, values: Mapping[str, Any]) -> Self | None:
        """Return what `pack` stored, or None where nothing was."""
        stored = values.get("labels")
        if stored is None:
            return None
        levels = tuple(values.get(f"labels_{k}") for k in range(len(stored["dims"])))
        return cls(tuple(stored["dims"]), levels, stored["name"])


def _plain(labels: np.ndarray) -> np.ndarray:
    """Labels as an array that needs no pickle; text comes as objects."""
    return labels.astype(str) if labels.dtype == object and all(isinstance(c, str) for c in labels.flat) else labels
