"""Input of the sparse Bayesian models: checked, in double precision, with columns and data of unit size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from structkit._backend.namespace import (
    as_array,
    as_factors,
    asarray_like,
    backend_name,
    cast,
    get_namespace,
    result_dtype,
    to_numpy,
)
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.labels import real_objects
from structkit._core.types import Array, Shape
from structkit.kron import multi_mode_product
from structkit.sbl.spectral import abs2, is_complex

__all__ = [
    "Checked",
    "Problem",
    "as_dictionaries",
    "as_dictionary",
    "as_targets",
    "check_input",
    "is_matrix",
    "prepare",
]


# Measurements, columns and coefficients may be so many decades from one.
_MOST_DECADES = 140


@dataclass(frozen=True)
class Problem:
    """Measurements ``y`` and factors of one recovery problem.

    Attributes
    ----------
    factors : list of array, shapes ``(m_i, n_i)``
        Dictionaries in double precision, columns of unit norm.
    norms : list of numpy.ndarray, shapes ``(n_i,)``
        The norms that the columns had.
    y : array, shape ``(m_1, ..., m_I, L)``
        Measurements over `scale`, whose mean square is one, in double precision.
    scale : float
        Root mean square of the measurements.
    dtype : dtype of numpy or torch
        What results are returned in.
    snapshots : bool
        Whether the caller's measurements have an axis of snapshots.
    """

    factors: list[Array]
    norms: list[np.ndarray]
    y: Array
    scale: float
    dtype: object
    snapshots: bool

    @property
    def sizes(self) -> Shape:
        """Numbers of columns."""
        return tuple(a.shape[1] for a in self.factors)

    @property
    def rows(self) -> Shape:
        """Numbers of rows."""
        return tuple(self.y.shape[:-1])

    @property
    def n_snapshots(self) -> int:
        """Number of measurement tensors."""
        return self.y.shape[-1]

    @property
    def n_data(self) -> int:
        """Number of measurements, snapshots included."""
        return math.prod(self.y.shape)

    @property
    def is_complex(self) -> bool:
        """Whether the model is complex."""
        return is_complex(self.y)

    @cached_property
    def host(self) -> list[np.ndarray]:
        """The factors as numpy arrays."""
        return [np.ascontiguousarray(to_numpy(a)) for a in self.factors]

    def from_host(self, x: np.ndarray) -> Array:
        """Return a numpy array beside the measurements."""
        return asarray_like(x, self.y)

    def project(self, bases: Sequence[np.ndarray], skip: int | None = None) -> np.ndarray:
        """Products of the measurements with the adjoint of one matrix per mode, as a numpy array."""
        modes = [i for i in range(len(bases)) if i != skip]
        if not modes:
            return np.ascontiguousarray(to_numpy(self.y))
        matrices = [self.from_host(bases[i]) for i in modes]
        return np.ascontiguousarray(to_numpy(multi_mode_product(self.y, matrices, modes=modes, adjoint=True)))


def as_dictionaries(given: object) -> list[Any]:
    """Return dictionaries as a list; one matrix stands for itself."""
    return [given] if is_matrix(given) else list(given)  # type: ignore[call-overload]


def is_matrix(given: object) -> bool:
    """Whether one dictionary was given, as an array, a data frame or a list of rows, and not a list of them."""
    if isinstance(given, (list, tuple)):
        return len(given) > 0 and isinstance(given[0], (list, tuple)) and np.ndim(given[0]) == 1
    return getattr(given, "ndim", 2) != 3


def as_dictionary(X: object, n_columns: int | None = None, owner: str = "the model") -> Any:
    """Return a single dictionary as a matrix or raise as scikit-learn's tools expect; objects become numbers."""
    A = as_array(real_objects(X, "factors[0]"), "factors[0]")
    if A.ndim != 2:
        raise ShapeError(
            f"factors[0] has shape {tuple(A.shape)}; expected a matrix (m, n), one row per measurement. Reshape your "
            "data: A.reshape(1, -1) for one row, A.reshape(-1, 1) for one column."
        )
    if A.shape[1] == 0:
        raise ShapeError(f"factors[0] has 0 feature(s) (shape={tuple(A.shape)}) while a minimum of 1 is required.")
    if A.shape[0] == 0:
        raise ShapeError(f"factors[0] has 0 sample(s) (shape={tuple(A.shape)}) while a minimum of 1 is required.")
    if n_columns is not None and A.shape[1] != n_columns:
        raise ShapeError(
            f"X has {A.shape[1]} features, but {owner} is expecting {n_columns} features as input: the columns of the "
            "dictionary."
        )
    return A


def as_targets(y: object, owner: str) -> Any:
    """Return measurements as an array or raise."""
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None: the measurements.")
    return as_array(real_objects(y, "y"), "y")


class Checked(NamedTuple):
    """Input in double precision, measurements as a tensor with snapshots last."""

    factors: list[Array]
    y: Array
    dtype: object
    snapshots: bool


def check_input(factors: Sequence[object], y: object, n_snapshots: int | None = None) -> Checked:
    """Check dictionaries and measurements of one model."""
    arrays = as_factors(as_dictionaries(factors))
    data = as_array(y, "y")
    backend_name(data, *arrays)
    for i, a in enumerate(arrays):
        if a.ndim != 2 or 0 in a.shape:
            raise ShapeError(f"factors[{i}] has shape {tuple(a.shape)}; expected a matrix with rows and columns.")
        if not math.isfinite(float(abs(a).max())):  # type: ignore[arg-type]
            raise NotFiniteError(f"factors[{i}] holds NaN or infinity.")
    tensor, snapshots = _tensor(data, tuple(a.shape[0] for a in arrays), n_snapshots)
    if not math.isfinite(float(abs(tensor).max())):  # type: ignore[arg-type]
        raise NotFiniteError("y holds NaN or infinity; the model takes complete measurements.")
    dtype = result_dtype(data, *arrays)
    double = getattr(get_namespace(data), "complex128" if "complex" in str(dtype) else "float64")
    return Checked([cast(a, double) for a in arrays], cast(tensor, double), dtype, snapshots)


def prepare(factors: Sequence[object], y: object, n_snapshots: int | None = None) -> Problem:
    """Check dictionaries and measurements, and bring both to unit size."""
    given = check_input(factors, y, n_snapshots)
    norms = [_norms(a, i) for i, a in enumerate(given.factors)]
    scale = _scale(given.y)
    _check_units(norms, scale)
    unit = [a / asarray_like(n, a) for a, n in zip(given.factors, norms, strict=True)]
    return Problem(unit, norms, given.y / scale, scale, given.dtype, given.snapshots)


def _tensor(y: Array, rows: Shape, n_snapshots: int | None) -> tuple[Array, bool]:
    """Return the measurements as a tensor with snapshots last, and whether they came with that axis."""
    count, shape = math.prod(rows), tuple(y.shape)
    snapshots = shape not in (rows, (count,))
    if snapshots and shape[:-1] not in (rows, (count,)):
        raise ShapeError(
            f"y has shape {shape}; factors with {rows} rows take {rows}, ({count},), or one of these with a trailing "
            "axis of snapshots."
        )
    found = shape[-1] if snapshots else 1
    if n_snapshots is not None and found != n_snapshots:
        raise ShapeError(f"y of shape {shape} holds {found} snapshots; n_snapshots={n_snapshots}.")
    if found == 0:
        raise ShapeError(f"y has shape {shape}: no snapshot.")
    return y.reshape(*rows, found), snapshots


def _norms(A: Array, i: int) -> np.ndarray:
    """Norms of the columns; an error where one is zero."""
    largest = float(abs(A).max())  # type: ignore[arg-type]
    unit = A / (largest if largest > 0 else 1.0)
    with np.errstate(over="ignore"):  # refused with the units
        norms = largest * np.sqrt(np.sum(abs2(to_numpy(unit)), axis=0))
    if not norms.all():
        raise ValueError(
            f"factors[{i}], column {int(np.argmin(norms))} is zero, so its coefficients have no effect. Leave it out."
        )
    return norms


def _check_units(norms: Sequence[np.ndarray], scale: float) -> None:
    """Raise where squares of measurements, of columns or of coefficients would overflow or vanish."""
    ends = [(float(n.min()), float(n.max())) for n in norms]
    sizes = [math.log10(scale)]
    for side in zip(*ends, strict=True):
        logs = [math.log10(x) for x in side]
        sizes += [*logs, math.log10(scale) - sum(logs)]
    if max(map(abs, sizes)) > _MOST_DECADES:
        least, most = min(low for low, _ in ends), max(high for _, high in ends)
        raise ValueError(
            f"y is about {scale:.0e} and the columns of factors have norms from {least:.0e} to {most:.0e}; squares of "
            f"them or of coefficients leave double precision beyond 1e{_MOST_DECADES}. Use other units."
        )


def _scale(y: Array) -> float:
    """Root mean square of the measurements, found without overflow."""
    largest = float(abs(y).max())  # type: ignore[arg-type]
    if largest == 0.0:
        raise ValueError("y is zero everywhere, so there is nothing to recover and no noise to learn.")
    return largest * math.sqrt(float(abs2(y / largest).mean()))  # type: ignore[attr-defined]
