"""Data on a grid, checked, and the model parameters that belong to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from structkit._backend.namespace import as_array, asarray_like, device_of, is_torch, to_device, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.labels import days
from structkit._core.types import Array, Shape
from structkit.gp.covariance import FreeCovariance
from structkit.gp.kernels import Kernel

__all__ = ["AxisCovariance", "GridData", "GridModel", "check_coordinates", "check_grid", "level_variances"]

AxisCovariance = Kernel | FreeCovariance

ROUNDING_SHARE = 1 / 128  # of a tolerance that rounding of the data may take


@dataclass(frozen=True)
class GridData:
    """Observations on a grid.

    Attributes
    ----------
    coords : tuple of (n_d,) float64 arrays or None
        Coordinates of each axis; None for an axis without coordinates.
    y : numpy.ndarray, shape ``(n_1, ..., n_D)``
        Observations in their floating dtype, zero at hidden cells.
    weights : numpy.ndarray, shape as `y`
        Precision of each cell relative to its noise level; zero where hidden.
    template : array
        Empty array of the library, dtype and device of the computation.
    """

    coords: tuple[np.ndarray | None, ...]
    y: np.ndarray
    weights: np.ndarray
    template: Array

    @property
    def shape(self) -> Shape:
        """Shape of the grid."""
        return self.y.shape

    @property
    def complete(self) -> bool:
        """Whether every cell is observed, all with the same weight."""
        return bool((self.weights == 1).all())

    @property
    def n_observed(self) -> int:
        """Number of observed cells."""
        return int((self.weights > 0).sum())

    def device_array(self, x: np.ndarray) -> Array:
        """Return a host array in the library, dtype and device of the computation."""
        return asarray_like(x, self.template)

    def double(self) -> GridData:
        """Return the data in float64."""
        if self.y.dtype == np.float64:
            return self
        exact = np.dtype(np.float64)
        device = device_of(self.template) if is_torch(self.template) else None
        template = empty_template(exact, device)
        return replace(self, y=self.y.astype(exact), weights=self.weights.astype(exact), template=template)

    def suited(self, model: GridModel, tol: float) -> GridData:
        """Return the data in float64 where rounding to float32 would exceed a small part of an error `tol`.

        Rounding is relative to the observations; the error of a posterior mean is in units of the noise.
        """
        if self.y.dtype == np.float64:
            return self
        z = np.sqrt(self.weights) * model.whitened_data(self)
        size = float(np.linalg.norm(z.astype(np.float64))) / math.sqrt(max(self.n_observed, 1))
        return self.double() if float(np.finfo(z.dtype).eps) * size > ROUNDING_SHARE * tol else self

    def weighted(self, relative: np.ndarray) -> GridData:
        """Return the data with the weights of the observed cells multiplied by relative precisions."""
        return replace(self, weights=(self.weights * relative).astype(self.weights.dtype))

    def subset(self, index: Sequence[np.ndarray]) -> GridData:
        """Return the data on a sub-grid, given by levels per axis."""
        window = np.ix_(*index)
        coords = tuple(None if c is None else c[i] for c, i in zip(self.coords, index, strict=True))
        return replace(self, coords=coords, y=self.y[window], weights=self.weights[window])


@dataclass(frozen=True)
class GridModel:
    """Everything that is learned: covariances, noise and mean.

    Attributes
    ----------
    kernels : tuple of Kernel or FreeCovariance
        One per axis.
    noise_var : numpy.ndarray
        Noise variance, shape ``()`` or one per level of `noise_axis`, in squared units of the data.
    mean : numpy.ndarray
        Mean, shape ``()`` or one per level of `mean_axis`, in units of the data.
    noise_axis, mean_axis : int or None
        Axes that the levels belong to.
    """

    kernels: tuple[AxisCovariance, ...]
    noise_var: np.ndarray
    mean: np.ndarray
    noise_axis: int | None = None
    mean_axis: int | None = None

    def covariances(self, coords: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """Covariance matrix of every axis, float64, in units whose product is the squared unit of the data."""
        return [k.matrix if isinstance(k, FreeCovariance) else k(x) for k, x in zip(self.kernels, coords, strict=True)]  # type: ignore[misc]

    @property
    def whitened_axis(self) -> int:
        """Axis that carries the division by the noise."""
        return self.noise_axis or 0

    def noise_sd(self, shape: Shape) -> np.ndarray:
        """Noise standard deviation of every level of the whitened axis, shape ``(n,)``."""
        return np.sqrt(np.broadcast_to(self.noise_var, (shape[self.whitened_axis],)).astype(np.float64))

    def along(self, values: np.ndarray, axis: int | None, ndim: int) -> np.ndarray:
        """Reshape values per level of an axis so that they broadcast over the grid."""
        if values.ndim == 0 or axis is None:
            return values
        return values.reshape([-1 if d == axis else 1 for d in range(ndim)])

    def mean_grid(self, ndim: int) -> np.ndarray:
        """Mean in a shape that broadcasts over the grid."""
        return self.along(self.mean, self.mean_axis, ndim)

    def scale_grid(self, shape: Shape) -> np.ndarray:
        """Noise standard deviation in a shape that broadcasts over the grid."""
        return self.along(self.noise_sd(shape), self.whitened_axis, len(shape))

    def whitened_covariances(self, coords: Sequence[np.ndarray | None], shape: Shape) -> list[np.ndarray]:
        """Axis covariances in units of the noise."""
        covariances = self.covariances(coords)
        sd = self.noise_sd(shape)
        a = self.whitened_axis
        covariances[a] = covariances[a] / np.multiply.outer(sd, sd)
        return covariances

    def whitened_data(self, data: GridData) -> np.ndarray:
        """Observations less the mean in units of the noise, zero at hidden cells, in the dtype of the data."""
        z = (data.y - self.mean_grid(data.y.ndim)) / self.scale_grid(data.shape)
        return np.where(data.weights > 0, z, 0.0).astype(data.y.dtype)

    def restricted(self, index: Sequence[np.ndarray]) -> GridModel:
        """Return the model of a sub-grid, given by levels per axis."""
        kernels = tuple(
            k.with_matrix(k.matrix[np.ix_(i, i)]) if isinstance(k, FreeCovariance) and k.matrix is not None else k
            for k, i in zip(self.kernels, index, strict=True)
        )
        noise = self.noise_var if self.noise_var.ndim == 0 else self.noise_var[index[self.whitened_axis]]
        mean = self.mean if self.mean.ndim == 0 else self.mean[index[self.mean_axis or 0]]
        return replace(self, kernels=kernels, noise_var=noise, mean=mean)

    @property
    def free_axis(self) -> int | None:
        """Axis whose covariance is learned without coordinates, if any."""
        for d, k in enumerate(self.kernels):
            if isinstance(k, FreeCovariance):
                return d
        return None


def check_coordinates(x: object, d: int, n: int | None = None) -> np.ndarray:
    """Return the coordinates of axis `d` as a finite float64 vector; with `n`, of that length and without repeats."""
    c = to_numpy(as_array(days(x), f"coords[{d}]"))
    if c.dtype.kind == "c":
        raise TypeError(f"coords[{d}] is complex; coordinates must be real.")
    c = c.astype(np.float64)
    if c.ndim != 1:
        raise ShapeError(f"coords[{d}] has shape {c.shape}; expected a one-dimensional array of coordinates.")
    if n is not None and len(c) != n:
        raise ShapeError(f"coords[{d}] has {len(c)} coordinates and axis {d} of y has {n} levels; they must agree.")
    if not np.isfinite(c).all():
        where = int(np.flatnonzero(~np.isfinite(c))[0])
        raise NotFiniteError(f"coords[{d}][{where}] is {c[where]}; coordinates must be finite.")
    if n is not None:
        order = np.argsort(c, kind="stable")
        same = np.flatnonzero(np.diff(c[order]) == 0)
        if same.size:
            i, j = sorted(order[same[0] : same[0] + 2])
            raise ValueError(
                f"coords[{d}] holds {c[i]} twice, at positions {i} and {j}; merge the two levels (for example by their "
                "mean)."
            )
    return c


def check_grid(
    coords: Sequence[object], y: object, mask: object, kernels: Sequence[AxisCovariance], device: str | None
) -> GridData:
    """Check coordinates, observations and mask together and gather them."""
    values = as_array(y, "y")
    if np.dtype(str(values.dtype).removeprefix("torch.")).kind == "c":
        raise TypeError("y is complex; GridGP models real data. Fit real and imaginary parts separately.")
    host = to_numpy(values)
    if len(coords) != host.ndim or len(kernels) != host.ndim:
        scattered = " Values at scattered points are no grid: FunctionalCP takes them." if host.ndim == 1 else ""
        raise ShapeError(
            f"y has {host.ndim} axes, coords {len(coords)} entries and kernels {len(kernels)}; expected one of each "
            f"per axis.{scattered}"
        )
    if host.size == 0:
        raise ShapeError(f"y has shape {host.shape}, no cells; expected at least one level on every axis.")
    checked: list[np.ndarray | None] = []
    for d, (x, k, n) in enumerate(zip(coords, kernels, host.shape, strict=True)):
        if x is None and not isinstance(k, FreeCovariance):
            raise ValueError(f"coords[{d}] is None; only an axis with a FreeCovariance needs no coordinates.")
        if isinstance(k, FreeCovariance) and k.matrix is not None and len(k.matrix) != n:
            raise ShapeError(f"kernels[{d}].matrix has {len(k.matrix)} rows; axis {d} of y has {n} levels.")
        checked.append(None if x is None else check_coordinates(x, d, n))
    observed = ~np.isnan(host)
    if mask is not None:
        given = np.asarray(to_numpy(mask) if is_torch(mask) else mask)  # type: ignore[arg-type]
        if given.dtype != bool:
            raise TypeError(f"mask has dtype {given.dtype}; expected bool, True where observed. Use mask.astype(bool).")
        if given.shape != host.shape:
            raise ShapeError(f"mask has shape {given.shape}; expected that of y, {host.shape}.")
        observed &= given
    if np.isinf(host[observed]).any():
        raise NotFiniteError("y holds infinity at an observed cell; mark such cells as missing with NaN.")
    if not observed.any():
        raise ValueError("y has no observed cell.")
    template = template_of(values) if device is None else empty_template(host.dtype, device)
    # In one layout, whatever that of the input: sums in another order would round differently.
    y_clean = np.ascontiguousarray(np.where(observed, host, 0))
    return GridData(tuple(checked), y_clean, np.ascontiguousarray(observed, dtype=host.dtype), template)


def empty_template(dtype: np.dtype, device: str | None) -> Array:
    """Empty array in which a computation is described: numpy, or torch on a device."""
    host = np.empty(0, dtype=dtype)
    return host if device is None else to_device(host, device)


def template_of(x: Array) -> Array:
    """Empty array of the library, dtype and device of `x`."""
    return empty_template(to_numpy(x.reshape(-1)[:0]).dtype, device_of(x) if is_torch(x) else None)


def observed_variance(data: GridData, mean: np.ndarray) -> float:
    """Variance of the observed cells about a mean that broadcasts, in squared units of the data."""
    seen = data.weights > 0
    residual = np.where(seen, data.y - mean, 0.0)
    return max(float((residual**2).sum(dtype=np.float64)) / max(int(seen.sum()), 1), math.ulp(0.0))


def level_variances(data: GridData, mean: np.ndarray, axis: int) -> np.ndarray:
    """Variance of the observed cells of every level of an axis, shape ``(n,)``; the overall one where none is seen."""
    seen = data.weights > 0
    squares = np.where(seen, data.y - mean, 0.0) ** 2
    others = tuple(d for d in range(data.y.ndim) if d != axis)
    counts = seen.sum(axis=others)
    overall = observed_variance(data, mean)
    return np.where(counts > 0, squares.sum(axis=others, dtype=np.float64) / np.maximum(counts, 1), overall)
