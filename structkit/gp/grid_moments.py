"""Posterior moments that expectation maximisation needs, and its closed-form updates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from structkit._backend.namespace import get_namespace, to_numpy
from structkit._core.types import Array
from structkit.gp.covariance import FreeCovariance, low_rank_plus_diagonal
from structkit.gp.grid_amplitude import prior_level
from structkit.gp.grid_data import GridData, GridModel, level_variances
from structkit.gp.regions import MaskGeometry
from structkit.gp.solver import PreconditionedSystem
from structkit.gp.whitening import GridSystem, axis_bases
from structkit.kron import multi_mode_product, unfold

__all__ = ["Moments", "em_update", "posterior_moments"]

# Expectation maximisation creeps towards its limit; raising each multiplicative update to a power between 1 and 2 keeps
# the limit and its stability and takes about as many times fewer steps. Changes beyond TRUST are not extrapolated.
STEP = 1.6
TRUST = 2.0


@dataclass(frozen=True)
class Moments:
    """Second moments under the posterior, in units of the noise.

    Attributes
    ----------
    axis_moment : numpy.ndarray, shape ``(n, n)``, or None
        Expected outer product along the free axis, averaged over the other whitened axes, in data units.
    axis_count : int
        Number of terms in that average.
    squares : numpy.ndarray, shape of the grid
        Expected squared residual of each cell, times its weight.
    residual : numpy.ndarray, shape of the grid
        Residual of the posterior mean, times the weight.
    settled : bool
        Whether the solves behind the moments converged.
    state : array
        Grids of the mean and of the draws in units of the data: the start of the next solve.
    """

    axis_moment: np.ndarray | None
    axis_count: int
    squares: np.ndarray
    residual: np.ndarray
    settled: bool
    state: Array | None


def posterior_moments(
    model: GridModel,
    data: GridData,
    geometry: MaskGeometry,
    normals: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    state: Array | None = None,
) -> Moments:
    """Compute the moments: exactly on a complete grid, from posterior draws otherwise.

    `normals` (2, k, n_1, ..., n_D) are the draws' random numbers, kept from sweep to sweep.
    """
    weights = data.device_array(data.weights)
    system = GridSystem(axis_bases(model.whitened_covariances(data.coords, data.shape)), weights)
    z = data.device_array(model.whitened_data(data))[None]
    if data.complete:
        return _exact_moments(model, system, z)
    xp = get_namespace(weights)
    noise = [data.device_array(d) for d in normals]
    scale = data.device_array(np.broadcast_to(model.scale_grid(data.shape), data.shape))
    draws = system.prior_draw(noise[0]) + system.from_grid(weights**0.5 * noise[1])
    rhs = xp.concat([system.from_grid(weights * z), draws])
    start = None if state is None else _project(system, state / scale)
    solve = PreconditionedSystem(system, geometry).solve(rhs, tol=tol, max_iter=max_iter, x0=start)
    u = system.to_grid(solve.value)
    k = u.shape[0] - 1
    residual = weights * (z - u[:1])
    squares = weights * (z - u[:1]) ** 2 + xp.sum(weights * u[1:] ** 2, axis=0) / k
    moment, count = None, 0
    if (axis := model.free_axis) is not None:
        share = data.device_array(np.array([1.0] + [1.0 / k] * k).reshape(-1, *([1] * len(data.shape)))) ** 0.5
        C = unfold(share * solve.value, axis + 1)
        moment, count = _axis_moment(model, system, axis, to_numpy(C @ C.T).astype(np.float64))  # type: ignore[attr-defined]
    return Moments(moment, count, to_numpy(squares[0]), to_numpy(residual[0]), solve.status == "converged", u * scale)


def _exact_moments(model: GridModel, system: GridSystem, z: Array) -> Moments:
    """Moments on a complete grid, where the posterior is diagonal in the whitened coefficients."""
    variance = 1.0 / (1.0 + system.prior)
    c = variance * system.from_grid(z)
    residual = z - system.to_grid(c)
    squared = [v * v for v in system.vectors]
    spread = multi_mode_product(system.prior * variance, squared)
    moment, count = None, 0
    if (axis := model.free_axis) is not None:
        C = unfold(c[0], axis)
        spare = to_numpy(unfold(variance, axis)).astype(np.float64).sum(1)
        moment, count = _axis_moment(model, system, axis, to_numpy(C @ C.T).astype(np.float64) + np.diag(spare))  # type: ignore[attr-defined]
    return Moments(moment, count, to_numpy((residual**2)[0] + spread), to_numpy(residual[0]), True, None)


def _project(system: GridSystem, u: Array) -> Array:
    """Coefficients whose grid is close to `u`; weak directions, which would amplify rounding, start at zero."""
    return system.from_grid(u) / (system.prior + 1e-3)


def _axis_moment(model: GridModel, system: GridSystem, axis: int, T: np.ndarray) -> tuple[np.ndarray, int]:
    """Average the second moment of whitened coefficients along an axis, in data units; also the number of terms."""
    basis = system.bases[axis]
    others = math.prod(r for d, r in enumerate(system.rank) if d != axis)
    root = basis.vectors * np.sqrt(basis.values)
    if axis == model.whitened_axis:
        root = model.noise_sd(system.shape)[:, None] * root
    S = root @ (T / others) @ root.T
    return (S + S.T) / 2, others


def _next_covariance(model: GridModel, data: GridData, moments: Moments, axis: int) -> np.ndarray:
    """Maximise over the free covariance, its prior included, and extrapolate the step where it is small."""
    free = model.kernels[axis]
    assert isinstance(free, FreeCovariance)
    assert moments.axis_moment is not None
    B, n, pseudo = moments.axis_moment, moments.axis_count, free.pseudo_count(data.shape[axis])
    if pseudo:
        target = level_variances(data, model.mean_grid(data.y.ndim), axis) / prior_level(model.kernels, data.coords)
        B = (n * B + pseudo * np.diag(target)) / (n + pseudo)
    if free.rank:  # the fit at finite rank is no multiplicative step, so there is nothing to extrapolate
        return low_rank_plus_diagonal(B, free.rank)
    if pseudo:
        ratio, V = scipy.linalg.eigh(np.asarray(free.matrix), B)  # B becomes the identity, the old matrix diagonal
        gain = np.clip(1.0 / np.maximum(ratio, 1.0 / TRUST**2), 1.0 / TRUST, TRUST) ** (STEP - 1.0)
        BV = B @ V
        B = (BV * gain) @ BV.T
    return (B + B.T) / 2


def em_update(
    model: GridModel, data: GridData, moments: Moments, *, kernels: bool, noise: bool, mean: bool
) -> GridModel:
    """Return the model after one step of expectation maximisation in its closed-form parts."""
    changes: dict[str, object] = {}
    ndim = len(data.shape)
    axis = model.free_axis
    if kernels and axis is not None and moments.axis_moment is not None:
        new = list(model.kernels)
        new[axis] = new[axis].with_matrix(_next_covariance(model, data, moments, axis))  # type: ignore[union-attr]
        changes["kernels"] = tuple(new)
    seen = (data.weights > 0).astype(np.float64)
    if noise:
        axes = tuple(d for d in range(ndim) if model.noise_var.ndim == 0 or d != model.noise_axis)
        factor = moments.squares.sum(axis=axes, dtype=np.float64) / np.maximum(seen.sum(axis=axes), 1.0)
        # A level without observations keeps its variance.
        factor = np.where(factor > 0, factor, 1.0)
        changes["noise_var"] = model.noise_var * factor * np.clip(factor, 1.0 / TRUST, TRUST) ** (STEP - 1.0)
    if mean:
        axes = tuple(d for d in range(ndim) if model.mean.ndim == 0 or d != model.mean_axis)
        scale = model.scale_grid(data.shape)
        top = (moments.residual / scale).sum(axis=axes, dtype=np.float64)
        weight = (data.weights / scale**2).sum(axis=axes, dtype=np.float64)
        changes["mean"] = model.mean + top / np.maximum(weight, np.finfo(float).tiny)
    return replace(model, **changes)  # type: ignore[arg-type]
