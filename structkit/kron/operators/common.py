"""What all operators share: the tables of the algebra, and small helpers around arrays and numbers."""

from __future__ import annotations

import functools
from numbers import Number
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Union

import numpy as np

from structkit._backend.namespace import as_array, backend_name, device_of, is_dask, is_torch
from structkit._core.errors import BackendMismatchError, ShapeError
from structkit._core.types import Array, Shape
from structkit.kron.dispatch import BinaryRules

if TYPE_CHECKING:
    from types import ModuleType, NotImplementedType

    from structkit.kron.operators.base import LinearOperator

__all__ = [
    "ADD",
    "HADAMARD",
    "MATMUL",
    "SCALE",
    "Context",
    "Scalar",
    "as_float",
    "check_home",
    "check_scalar",
    "complex_of",
    "eps_of",
    "freeze",
    "is_complex",
    "is_scalar",
    "plain_scalar",
    "refuse_sum",
]

Scalar: TypeAlias = Union[int, float, complex, Array]

MATMUL: BinaryRules[LinearOperator] = BinaryRules("matmul")
ADD: BinaryRules[LinearOperator] = BinaryRules("add")
SCALE: BinaryRules[LinearOperator] = BinaryRules("scale")
HADAMARD: BinaryRules[LinearOperator] = BinaryRules("hadamard")


class Context(NamedTuple):
    """Where new arrays of an operator live: namespace, dtype and device."""

    xp: ModuleType
    dtype: object
    device: object

    def eye(self, n: int) -> Array:
        """Identity matrix ``(n, n)``."""
        return self.xp.eye(n, dtype=self.dtype, device=self.device)

    def zeros(self, shape: Shape) -> Array:
        """Array of zeros."""
        return self.xp.zeros(shape, dtype=self.dtype, device=self.device)

    def ones(self, shape: Shape) -> Array:
        """Array of ones."""
        return self.xp.ones(shape, dtype=self.dtype, device=self.device)


def freeze(x: object, name: str, ndim: int | None = None) -> Array:
    """Return `x` as a numeric array; numpy arrays as read-only views, so that no operator edits its parts."""
    a = as_array(x, name)
    if is_dask(a):
        raise TypeError(
            f"{name} is a dask array; operators hold numpy or torch arrays. Call .compute() on it first, or use "
            "kron_matmul, which takes dask arrays to be multiplied."
        )
    if ndim is not None and a.ndim != ndim:
        raise ShapeError(f"{name} has shape {tuple(a.shape)}; expected {ndim} dimension{'s' if ndim > 1 else ''}.")
    if isinstance(a, np.ndarray):
        a = a.view()
        a.flags.writeable = False
    return a


def is_complex(x: object) -> bool:
    """Whether an array, operator or number is complex."""
    if is_torch(x) or hasattr(x, "column_sizes"):
        dtype = x.dtype  # type: ignore[attr-defined]
        return dtype.is_complex if hasattr(dtype, "is_complex") else np.dtype(dtype).kind == "c"
    return np.iscomplexobj(x)  # type: ignore[arg-type]


@functools.cache
def eps_of(dtype: object) -> float:
    """Machine epsilon of a numpy or torch dtype."""
    single = str(dtype).rsplit(".", maxsplit=1)[-1] in ("float32", "complex64")
    return float(np.finfo(np.float32 if single else np.float64).eps)


def as_float(x: object) -> float:
    """Real scalar array as a Python float, outside of any gradient."""
    return float(x.detach() if is_torch(x) else x)  # type: ignore[attr-defined, arg-type]


def is_scalar(x: object) -> bool:
    """Whether `x` is a number or an array without dimensions."""
    return isinstance(x, (Number, np.generic)) or (getattr(x, "ndim", None) == 0)


def plain_scalar(x: Scalar) -> Scalar:
    """Turn numpy scalars into Python numbers, which promote nothing; torch scalars keep their gradient."""
    return x.item() if isinstance(x, (np.generic, np.ndarray)) else x


def refuse_sum(other: object) -> NotImplementedType:
    """Say how numbers and arrays join a sum of operators; objects of other kinds may know themselves how to add."""
    if is_scalar(other):
        raise TypeError("A number is added as a multiple of the identity: op + number * Identity(n).")
    if hasattr(other, "ndim"):
        raise TypeError("An array is added as an operator: op + Dense(array), or op + Diagonal(d).")
    return NotImplemented


def check_home(name: str, backend: str | None, device: str, x: Array) -> None:
    """Raise unless an array belongs to the library and device of an operator."""
    found = backend_name(x)
    if found != backend:
        raise BackendMismatchError(f"{name} holds {backend} arrays and x is a {found} array. Convert one of them.")
    if found == "torch" and device_of(x) != device:
        raise BackendMismatchError(f"{name} lives on {device} and x on {device_of(x)}. Move one with .to(device).")


def check_scalar(scalar: object, backend: str | None) -> None:
    """Raise if a torch scalar meets numpy arrays."""
    if is_torch(scalar) and backend == "numpy":
        raise BackendMismatchError(
            "A torch scalar meets an operator of numpy arrays. Use a Python number (scalar.item()), or torch arrays."
        )


def complex_of(dtype: object) -> object:
    """Complex dtype of the same precision."""
    return dtype.to_complex() if hasattr(dtype, "to_complex") else np.result_type(dtype, np.complex64)  # type: ignore[arg-type]
