"""Typing protocols shared by the whole package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np

__all__ = ["Array", "Callback", "DTypeLike", "Factors", "RandomState", "Shape"]

Shape: TypeAlias = tuple[int, ...]
RandomState: TypeAlias = Union[int, np.random.Generator, None]
Callback: TypeAlias = Callable[[object], Union[bool, None]]
DTypeLike: TypeAlias = object


@runtime_checkable
class Array(Protocol):
    """What numpy arrays, torch tensors and dask arrays have in common, as far as structkit uses it.

    Operators are typed loosely: numpy's overloads fit no tighter signature, and the libraries do not mix in one call.
    """

    @property
    def shape(self) -> Shape:
        """Length of every axis."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> object:
        """Element type."""

    @property
    def T(self) -> Any:
        """Transpose of a matrix."""

    @property
    def reshape(self) -> Callable[..., Any]:
        """Return the same numbers in another shape."""

    @property
    def conj(self) -> Callable[..., Any]:
        """Return the complex conjugate."""

    def __getitem__(self, key: Any) -> Any: ...
    def __matmul__(self, other: Any) -> Any: ...
    def __add__(self, other: Any) -> Any: ...
    def __radd__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any: ...
    def __rsub__(self, other: Any) -> Any: ...
    def __mul__(self, other: Any) -> Any: ...
    def __rmul__(self, other: Any) -> Any: ...
    def __truediv__(self, other: Any) -> Any: ...
    def __rtruediv__(self, other: Any) -> Any: ...
    def __pow__(self, other: Any) -> Any: ...
    def __neg__(self) -> Any: ...
    def __len__(self) -> int: ...


Factors: TypeAlias = Sequence[Array]
