"""Checks of what users give, before any work is done."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.labels import days, real_objects
from structkit.statespace import LinearSDE
from structkit.tucker.priors import KERNELS

__all__ = [
    "LIKELIHOODS",
    "MEANS",
    "Settings",
    "check_coordinates",
    "check_count",
    "check_entries",
    "check_settings",
    "check_tolerance",
    "observed_entries",
]

MEANS = ("main-effects", "constant", "zero")
LIKELIHOODS = ("gaussian", "student-t")
MOST = 1e150


class Settings(NamedTuple):
    """Checked arguments for a tensor with `D` modes.

    Attributes
    ----------
    ranks : tuple of int, length D
        Number of functions of each mode.
    kernels : tuple, length D
        Name or process of each mode.
    means : tuple of str
        Models of the mean to choose from.
    noise_var : float or None
        Known variance; None to learn it.
    """

    ranks: tuple[int, ...]
    kernels: tuple[str | LinearSDE, ...]
    means: tuple[str, ...]
    noise_var: float | None


def check_coordinates(X: object, n_modes: int | None = None, owner: str = "the tensor") -> np.ndarray:
    """Return coordinates as a float array ``(n, D)`` or raise."""
    array = _table(X)
    if array.ndim != 2:
        raise ShapeError(
            f"X has shape {array.shape}; expected (n, D), one row per entry and one column per mode. Reshape your "
            "data: X.reshape(1, -1) for one entry, X.reshape(-1, 1) for one mode."
        )
    if array.shape[1] == 0:
        raise ShapeError(
            f"X has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required: one column per mode."
        )
    if n_modes is not None and array.shape[1] != n_modes:
        raise ShapeError(
            f"X has {array.shape[1]} features, but {owner} is expecting {n_modes} features as input: its modes."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise NotFiniteError(f"X[{row}, {column}] is {array[row, column]}; coordinates must not be NaN or infinite.")
    _check_size(array, "X")
    return array


def check_entries(
    X: object, y: object, n_modes: int | None = None, owner: str = "the tensor"
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates ``(n, D)`` and values ``(n,)`` of the entries that are not NaN."""
    coordinates, values = observed_entries(X, y, n_modes, owner)
    if not len(values):
        raise ValueError("y holds no value; expected at least one entry that is not NaN.")
    return coordinates, values


def observed_entries(
    X: object, y: object, n_modes: int | None = None, owner: str = "the tensor"
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `check_entries` returns, also when it is nothing."""
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None: one value per row of X.")
    coordinates = check_coordinates(X, n_modes, owner)
    values = _real(y, "y")
    if values.shape != coordinates.shape[:1]:
        raise ShapeError(f"y has shape {values.shape}; expected ({len(coordinates)},), one value per row of X.")
    if np.isinf(values).any():
        raise NotFiniteError(f"y[{int(np.argmax(np.isinf(values)))}] is infinite; use NaN for a missing value.")
    observed = ~np.isnan(values)
    _check_size(values[observed], "y")
    return (coordinates, values) if observed.all() else (coordinates[observed], values[observed])


def _check_size(array: np.ndarray, name: str) -> None:
    """Raise where squares would overflow."""
    largest = float(np.abs(array).max(initial=0.0))
    if largest > MOST:
        raise ValueError(f"{name} holds numbers up to {largest:.2g}, whose squares overflow. Use smaller units.")


def _table(X: object) -> np.ndarray:
    """Coordinates as floats; columns of a data frame may differ in type."""
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        columns = [_real(X.iloc[:, k], f"X[{name!r}]") for k, name in enumerate(X.columns)]
        return np.stack(columns, axis=1) if columns else np.empty((len(X), 0))  # type: ignore[arg-type]
    return _real(X, "X", ", one column per mode")


def _real(values: object, name: str, layout: str = "") -> np.ndarray:
    """Return values as a float array or raise; text is not converted, times become days."""
    try:
        array = to_numpy(as_array(real_objects(days(values), name), name))
    except (TypeError, ValueError) as err:
        raise TypeError(f"{name} must hold real numbers{layout}; {err}") from None
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold real numbers{layout}; got dtype {array.dtype}.")
    return array.astype(np.float64, copy=False)


def check_count(value: object, name: str) -> int:
    """Return a positive integer or raise."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} = {value!r}; expected a positive integer.")
    if value < 1:
        raise ValueError(f"{name} = {value!r}; expected at least 1.")
    return int(value)


def check_tolerance(tol: object) -> float:
    """Return a tolerance that is a number from zero on, or raise."""
    if not isinstance(tol, numbers.Real) or isinstance(tol, bool):
        raise TypeError(f"tol = {tol!r}; expected a number, in nats per observation.")
    if not float(tol) >= 0:
        raise ValueError(f"tol = {tol!r}; expected zero or more, in nats per observation.")
    return float(tol)


def check_settings(
    rank: object, kernel: object, mean: str, noise_var: object, likelihood: str, n_modes: int, *, equal_ranks: bool
) -> Settings:
    """Return the arguments of an estimator for a tensor with `n_modes` modes, or raise."""
    if mean != "auto" and mean not in MEANS:
        raise ValueError(f"mean = {mean!r}; expected 'auto' or one of {MEANS}.")
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood = {likelihood!r}; expected one of {LIKELIHOODS}.")
    # with one mode, the main effect is one more function of the same kind
    choices = MEANS if n_modes > 1 else MEANS[1:]
    means = choices if mean == "auto" else (mean,)
    return Settings(_ranks(rank, n_modes, equal_ranks), _kernels(kernel, n_modes), means, _noise(noise_var))


def _ranks(rank: object, n_modes: int, equal: bool) -> tuple[int, ...]:
    given = [rank] * n_modes if isinstance(rank, numbers.Integral) else rank
    if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, np.ndarray)):
        raise TypeError(f"rank = {rank!r}; expected a positive integer{'' if equal else ' or one per mode'}.")
    if len(given) != n_modes or (equal and not isinstance(rank, numbers.Integral)):
        expected = "one integer for all modes" if equal else f"an integer or {n_modes} of them"
        raise ShapeError(f"rank = {rank!r}; expected {expected} for X with {n_modes} columns.")
    for r in given:
        if not isinstance(r, numbers.Integral) or isinstance(r, bool) or r < 1:
            raise ValueError(f"rank = {rank!r}; expected positive integers.")
    return tuple(int(r) for r in given)


def _kernels(kernel: object, n_modes: int) -> tuple[str | LinearSDE, ...]:
    given = [kernel] * n_modes if isinstance(kernel, (str, LinearSDE)) else kernel
    if not isinstance(given, Sequence) or len(given) != n_modes:
        raise ShapeError(f"kernel = {kernel!r}; expected one for all modes or {n_modes}, one per column of X.")
    for k in given:
        if not isinstance(k, LinearSDE) and k not in KERNELS:
            raise ValueError(f"kernel {k!r} is unknown; expected one of {KERNELS} or a structkit.statespace.LinearSDE.")
    return tuple(given)


def _noise(noise_var: object) -> float | None:
    if isinstance(noise_var, str) and noise_var == "learn":
        return None
    if (
        not isinstance(noise_var, numbers.Real)
        or isinstance(noise_var, bool)
        or not math.isfinite(noise_var)
        or noise_var <= 0
    ):
        raise ValueError(f"noise_var = {noise_var!r}; expected 'learn' or a positive number in squared units of y.")
    return float(noise_var)
