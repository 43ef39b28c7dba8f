"""Typing protocols shared by the whole package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, Union, runtime_checkable

import numpy as np

__all__ = ["Array", "Callback", "DTypeLike", "Factors", "RandomState", "Shape"]

Shape: TypeAlias = tuple[int, ...]
RandomState: TypeAlias = Union[None, int, np.random.Generator]
Callback: TypeAlias = Callable[[object], Union[bool, None]]
DTypeLike: TypeAlias = object


@runtime_checkable
class Array(Protocol):
    """What numpy arrays, torch tensors and dask arrays have in common, as far as structkit uses it."""

    @property
    def shape(self) -> Shape:
        """Length of every axis."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> object:
        """Element type."""

    def reshape(self, *shape: int) -> Array:
        """Return the same numbers in another shape."""

    def __getitem__(self, key: object) -> Array: ...
    def __matmul__(self, other: object) -> Array: ...
    def __add__(self, other: object) -> Array: ...
    def __radd__(self, other: object) -> Array: ...
    def __sub__(self, other: object) -> Array: ...
    def __rsub__(self, other: object) -> Array: ...
    def __mul__(self, other: object) -> Array: ...
    def __rmul__(self, other: object) -> Array: ...
    def __truediv__(self, other: object) -> Array: ...
    def __neg__(self) -> Array: ...
    def __len__(self) -> int: ...


Factors: TypeAlias = Sequence[Array]
