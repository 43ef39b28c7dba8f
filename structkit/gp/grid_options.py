"""The arguments of a `GridGP`, checked before any work, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import ShapeError, SizeError
from structkit._core.types import Array
from structkit._core.validation import available_bytes
from structkit.gp.covariance import FreeCovariance
from structkit.gp.gpytorch_adapter import as_kernel
from structkit.gp.grid_data import (
    AxisCovariance,
    GridData,
    GridModel,
    check_coordinates,
    check_grid,
    observed_variance,
    template_of,
)
from structkit.gp.grid_learning import LearningOptions, choose_method, initial_model
from structkit.gp.kernels import Kernel

if TYPE_CHECKING:
    from structkit.gp.gridgp import GridGP

__all__ = ["GridProblem", "new_coordinates", "prepare", "start_kernels"]

METHODS = ("auto", "eigen", "dense", "iterative")
DENSE_LIMIT = 1500
DENSE_MATRICES = 6  # of the size of the covariance of the observed cells, alive at once
AXIS_MATRICES = 6  # of the size of one axis covariance, alive at once


@dataclass(frozen=True)
class GridProblem:
    """A checked fit.

    Attributes
    ----------
    data : GridData
        Observations.
    kernels : list of Kernel or FreeCovariance
        As given to the constructor.
    model : GridModel
        Where learning starts.
    options : LearningOptions
        What to learn.
    cell_noise : numpy.ndarray or None
        Noise variance of every cell, where the user gave one.
    method : str
        As given to the constructor.
    like : array
        Empty array of the library, dtype and device of `y`, in which predictions come.
    """

    data: GridData
    kernels: list[AxisCovariance]
    model: GridModel
    options: LearningOptions
    cell_noise: np.ndarray | None
    method: str
    like: Array

    def choose(self, data: GridData) -> str:
        """Method of learning on a data set: all cells or a sub-grid."""
        learned_freely = self.options.learn_kernels and self.model.free_axis is not None
        return choose_method(data, self.method, 0 if learned_freely else DENSE_LIMIT)

    def choose_posterior(self) -> str:
        """Method of the posterior."""
        return choose_method(self.data, self.method, DENSE_LIMIT)


def prepare(gp: GridGP, coords: Sequence[object], y: Array, mask: object) -> GridProblem:
    """Check everything that `fit` was given and build data, starting model and options."""
    _check_numbers(gp)
    y = as_array(y, "y")
    kernels = start_kernels(gp.kernels)
    data = check_grid(coords, y, mask, kernels, gp.device)
    _check_axes(gp, data.y.ndim)
    if not gp.learn_kernels and any(isinstance(k, FreeCovariance) and k.matrix is None for k in kernels):
        raise ValueError("learn_kernels=False needs a matrix for the FreeCovariance: FreeCovariance(matrix=...).")
    noise, cell_noise = _noise(gp.noise_var, gp.noise_axis, data)
    if cell_noise is not None:
        lowest = float(noise)  # type: ignore[arg-type]
        relative = np.divide(lowest, cell_noise, out=np.ones(data.shape), where=data.weights > 0)
        # A weight that rounds to zero would hide the cell.
        data = data.weighted(np.maximum(relative, np.finfo(data.y.dtype).tiny))
    if gp.method == "eigen" and not data.complete:
        raise ValueError(
            f"method='eigen' needs a complete grid with one noise variance per level; {int((data.weights != 1).sum())} "
            "cells are missing or weighted. Use method='iterative' or 'auto'."
        )
    mean = _mean(gp.mean, gp.mean_axis)
    options = LearningOptions(
        learn_kernels=gp.learn_kernels,
        learn_noise=noise is None,
        learn_mean=mean is None,
        max_iter=gp.max_learning_iter,
        learning_tol=gp.learning_tol,
        solver_tol=gp.tol,
        solver_max_iter=gp.max_iter,
        n_probes=gp.n_probes,
        subgrid=gp.subgrid,
    )
    mean_axis = gp.mean_axis if mean is None else None
    if options.learn_kernels or options.learn_noise:
        _check_variation(data, mean, mean_axis)
    model = initial_model(data, kernels, noise, mean, gp.noise_axis, mean_axis, gp.learn_kernels)
    problem = GridProblem(data, kernels, model, options, cell_noise, gp.method, template_of(y))
    _check_size(data, problem.choose_posterior())
    return problem


def start_kernels(kernels: Sequence[object]) -> list[AxisCovariance]:
    """Return the covariances given to the constructor as structkit objects."""
    if isinstance(kernels, (str, Kernel, FreeCovariance)) or not isinstance(kernels, Sequence):
        raise TypeError(
            f"kernels must be a list with one covariance per axis of y; got {type(kernels).__name__}. "
            "For data on one axis: GridGP([kernel])."
        )
    out: list[AxisCovariance] = []
    for d, k in enumerate(kernels):
        try:
            out.append(k if isinstance(k, FreeCovariance) else as_kernel(k))
        except TypeError as err:
            raise TypeError(f"kernels[{d}]: {err} Or a FreeCovariance, for an axis without coordinates.") from err
    if sum(isinstance(k, FreeCovariance) for k in out) > 1:
        raise ValueError("More than one axis has a FreeCovariance; their scales would not be determined. Use one.")
    return out


def _check_numbers(gp: GridGP) -> None:
    """Raise unless the numeric options are in range."""
    if gp.method not in METHODS:
        raise ValueError(f"method={gp.method!r} is unknown; expected one of {', '.join(METHODS)}.")
    counts = [("max_iter", 1), ("n_samples", 1), ("n_probes", 2), ("max_learning_iter", 1), ("subgrid", 1)]
    for name, least in counts:
        value = getattr(gp, name)
        if value is None and name in ("n_probes", "subgrid"):
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}={value!r}; expected an integer of at least {least}.")
    for name in ("tol", "learning_tol"):
        value = getattr(gp, name)
        if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}; expected a positive number.")


def _check_axes(gp: GridGP, ndim: int) -> None:
    """Raise unless the named axes exist."""
    for name in ("noise_axis", "mean_axis"):
        axis = getattr(gp, name)
        if axis is None:
            continue
        if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
            raise TypeError(f"{name}={axis!r}; expected the number of an axis of y, or None.")
        if not 0 <= axis < ndim:
            raise ShapeError(f"{name}={axis} is no axis of y, whose axes are 0 to {ndim - 1}.")


def _noise(noise_var: object, noise_axis: int | None, data: GridData) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the noise variance to start from (None: learn it), and that of every cell if it was given."""
    if isinstance(noise_var, str):
        if noise_var != "learn":
            raise ValueError(f"noise_var={noise_var!r}; expected 'learn', a number or an array.")
        return None, None
    if noise_var is None:
        raise TypeError("noise_var=None; expected 'learn', a number or an array of numbers.")
    noise = np.array(to_numpy(as_array(noise_var, "noise_var")), dtype=np.float64)
    levels = () if noise_axis is None else (data.shape[noise_axis],)
    per_cell = noise.shape == data.shape and noise.shape != levels
    if noise.ndim and not per_cell and noise.shape != levels:
        raise ShapeError(
            f"noise_var has shape {noise.shape}; expected a number, one value per level of noise_axis, or the shape "
            f"{data.shape} of y."
        )
    matters = data.weights > 0 if per_cell else np.ones(noise.shape, dtype=bool)
    bad = matters & ~(np.isfinite(noise) & (noise > 0))
    if bad.any():
        raise ValueError(
            f"noise_var holds {noise[bad].flat[0]:g}; it must be positive and finite wherever a cell is observed. For "
            "nearly noise-free data give a small variance."
        )
    if per_cell:
        return np.asarray(noise[matters].min()), noise
    return np.broadcast_to(noise, levels).copy(), None


def _mean(mean: object, mean_axis: int | None) -> np.ndarray | None:
    """Return the given mean, or None to learn it."""
    if not isinstance(mean, (str, int, float, np.number)):
        raise ValueError(f"mean={mean!r}; expected 'constant', 'zero', 'per-level' or a finite number.")
    if mean == "per-level" and mean_axis is None:
        raise ValueError("mean='per-level' needs mean_axis, the axis whose levels have a mean each.")
    if mean != "per-level" and mean_axis is not None:
        raise ValueError(f"mean_axis={mean_axis} belongs to mean='per-level'; mean is {mean!r}.")
    if mean in ("per-level", "constant"):
        return None
    if mean == "zero":
        return np.zeros(())
    if isinstance(mean, str) or not math.isfinite(mean):
        raise ValueError(f"mean={mean!r}; expected 'constant', 'zero', 'per-level' or a finite number.")
    return np.asarray(float(mean))


def _check_variation(data: GridData, mean: np.ndarray | None, mean_axis: int | None) -> None:
    """Raise if the observations do not vary about the mean: then no variance can be learned from them."""
    start = initial_model(data, (), np.ones(()), mean, None, mean_axis, False).mean
    model = GridModel((), np.ones(()), start, None, mean_axis)
    spread = math.sqrt(observed_variance(data, model.mean_grid(data.y.ndim)))
    size = float(np.abs(data.y).max())
    if spread <= max(8 * float(np.finfo(data.y.dtype).eps) * size, np.finfo(float).tiny ** 0.25):
        raise ValueError(
            f"The {data.n_observed} observed cells do not vary about their mean (standard deviation {spread:.3g}, "
            f"largest value {size:.3g}), so variances cannot be learned from them. Give noise_var and "
            "learn_kernels=False."
        )


def _check_size(data: GridData, method: str) -> None:
    """Raise before a covariance is formed that does not fit in memory."""
    have = available_bytes()
    if method == "dense" and (need := DENSE_MATRICES * 8 * data.n_observed**2) > have:
        raise SizeError(
            f"method='dense' for {data.n_observed} observed cells would take {need / 2**30:.3g} GiB and "
            f"{have / 2**30:.3g} GiB are available. Use method='iterative' or 'auto'."
        )
    d = int(np.argmax(data.shape))
    if (need := AXIS_MATRICES * 8 * data.shape[d] ** 2) > have:
        raise SizeError(
            f"The covariance of axis {d} with its {data.shape[d]} levels would take {need / 2**30:.3g} GiB and "
            f"{have / 2**30:.3g} GiB are available. Use fewer levels."
        )


def new_coordinates(model: GridModel, data: GridData, coords: Sequence[object] | None) -> list[np.ndarray | None]:
    """Check where to predict; None stands for an axis of the grid."""
    ndim = data.y.ndim
    if coords is None:
        return [None] * ndim
    if len(coords) != ndim:
        raise ShapeError(f"coords has {len(coords)} entries; expected {ndim}, one per axis (None keeps an axis).")
    out: list[np.ndarray | None] = []
    for d, x in enumerate(coords):
        if x is not None and isinstance(model.kernels[d], FreeCovariance):
            raise ValueError(
                f"coords[{d}] must be None: axis {d} has a FreeCovariance, which knows its own levels only."
            )
        new = None if x is None else check_coordinates(x, d)
        if new is not None and model.mean_axis == d:
            raise ValueError(f"coords[{d}] must be None: the mean is known for the levels of axis {d} only.")
        out.append(new)
    return out
