"""Data drawn from Gaussian processes on grids, and masks that hide cells of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit._core.errors import ShapeError
from structkit._core.random import check_random_state
from structkit._core.types import RandomState, Shape
from structkit.gp import FreeCovariance, Kernel, as_kernel
from structkit.kron import kron_matmul

__all__ = ["GridSample", "block_mask", "random_mask", "sample_grid"]


@dataclass(frozen=True)
class GridSample:
    """A draw from a Gaussian process on a grid.

    Attributes
    ----------
    function : numpy.ndarray, shape ``(n_1, ..., n_D)``
        The noise-free function.
    y : numpy.ndarray, shape ``(n_1, ..., n_D)``
        The function with noise.
    """

    function: np.ndarray
    y: np.ndarray


def sample_grid(
    kernels: Sequence[Kernel | FreeCovariance | object],
    coords: Sequence[object],
    *,
    noise_var: float | np.ndarray = 0.0,
    mean: float = 0.0,
    random_state: RandomState = None,
) -> GridSample:
    r"""Draw from the model of `GridGP`.

    Draws :math:`y = m + f + \varepsilon` with :math:`f \sim N(0, K_1 \otimes \dots \otimes K_D)` from square roots of
    the factors, in :math:`O(\sum_d n_d^3 + N \sum_d n_d)` time.

    Parameters
    ----------
    kernels : sequence of Kernel, gpytorch kernel or FreeCovariance
        One per axis.
    coords : sequence of D arrays, shapes ``(n_d,)``, or None
        Coordinates of each axis; None for an axis with a `FreeCovariance`.
    noise_var : float or array, >= 0, default 0
        Noise variance in squared units of the function; an array broadcasts over the grid.
    mean : float, default 0
        Mean of the function.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    sample : GridSample
        Function and noisy data, float64.

    Raises
    ------
    ShapeError
        If there is not one kernel for each entry of `coords`.
    ValueError
        If a free covariance has no matrix, an axis has no coordinates, or the noise variance is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.datasets import sample_grid
    >>> from structkit.gp import Matern, SquaredExponential
    >>> s, t = np.linspace(0, 1, 30), np.linspace(0, 5, 40)
    >>> kernels = [Matern(1.5, lengthscale=0.3), SquaredExponential()]
    >>> sample = sample_grid(kernels, [s, t], noise_var=0.01, random_state=0)
    >>> sample.y.shape, bool(np.std(sample.y - sample.function) < 0.11)
    ((30, 40), True)
    """
    if len(kernels) != len(coords) or len(kernels) == 0:
        raise ShapeError(f"kernels has {len(kernels)} entries and coords {len(coords)}; expected one of each per axis.")
    roots = [_root(_axis_matrix(k, x, d)) for d, (k, x) in enumerate(zip(kernels, coords, strict=True))]
    shape = tuple(len(r) for r in roots)
    variance = np.asarray(noise_var, dtype=np.float64)
    if not (variance >= 0).all():
        raise ValueError(f"noise_var holds {variance.min():g}; expected variances >= 0.")
    rng = check_random_state(random_state)
    f = mean + kron_matmul(roots, rng.standard_normal(math.prod(shape))).reshape(shape)
    return GridSample(f, f + np.sqrt(variance) * rng.standard_normal(shape))


def random_mask(shape: Shape, hidden: float, *, random_state: RandomState = None) -> np.ndarray:
    """Hide cells at random.

    Parameters
    ----------
    shape : tuple of int
        Shape of the grid.
    hidden : float, between 0 and 1
        Share of the cells that are hidden; their number is the nearest whole number.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    mask : boolean array, shape `shape`
        True where observed.

    Raises
    ------
    ValueError
        If `hidden` is not between 0 and 1.

    Examples
    --------
    >>> from structkit.datasets import random_mask
    >>> int(random_mask((10, 20), 0.25, random_state=0).sum())
    150
    """
    if not 0 <= hidden <= 1:
        raise ValueError(f"hidden={hidden}; expected a share between 0 and 1.")
    n = math.prod(shape)
    mask = np.ones(n, dtype=bool)
    mask[check_random_state(random_state).choice(n, round(hidden * n), replace=False, shuffle=False)] = False
    return mask.reshape(shape)


def block_mask(
    shape: Shape, *, n_blocks: int, size: int | Sequence[int | None], random_state: RandomState = None
) -> np.ndarray:
    """Hide rectangular blocks at random places; blocks lie inside of the grid and may overlap.

    Parameters
    ----------
    shape : tuple of int
        Shape of the grid.
    n_blocks : int, >= 0
        Number of blocks.
    size : int or sequence of int
        Sides of a block along each axis, in cells; one number for all axes. None stands for the whole axis.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    mask : boolean array, shape `shape`
        True where observed.

    Raises
    ------
    ShapeError
        If there is not one side per axis, or a block is larger than the grid.

    Examples
    --------
    Clouds over an image of 50 x 50 pixels, in all of its 8 bands:

    >>> from structkit.datasets import block_mask
    >>> mask = block_mask((50, 50, 8), n_blocks=1, size=(12, 12, None), random_state=0)
    >>> int((~mask).sum()) == 12 * 12 * 8
    True
    """
    given = (size,) * len(shape) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(given) != len(shape):
        raise ShapeError(f"size has {len(given)} sides; expected {len(shape)}, one per axis of the grid.")
    sides = tuple(n if s is None else int(s) for s, n in zip(given, shape, strict=True))
    if any(not 1 <= s <= n for s, n in zip(sides, shape, strict=True)):
        raise ShapeError(f"A block of size {sides} does not fit into a grid of shape {tuple(shape)}.")
    if n_blocks < 0:
        raise ValueError(f"n_blocks={n_blocks}; expected a number >= 0.")
    rng = check_random_state(random_state)
    mask = np.ones(shape, dtype=bool)
    for _ in range(n_blocks):
        first = [int(rng.integers(n - s + 1)) for s, n in zip(sides, shape, strict=True)]
        mask[tuple(slice(i, i + s) for i, s in zip(first, sides, strict=True))] = False
    return mask


def _axis_matrix(kernel: object, x: object, d: int) -> np.ndarray:
    """Covariance matrix of one axis."""
    if isinstance(kernel, FreeCovariance):
        if kernel.matrix is None:
            raise ValueError(f"kernels[{d}] is a FreeCovariance without a matrix; give it one.")
        return kernel.matrix
    if x is None:
        raise ValueError(f"coords[{d}] is None; only an axis with a FreeCovariance needs no coordinates.")
    return np.asarray(as_kernel(kernel)(np.asarray(x, dtype=np.float64)))


def _root(K: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance; eigenvalues that rounding made negative count as zero."""
    w, V = np.linalg.eigh(K)
    return (V * np.sqrt(np.maximum(w, 0.0))) @ V.T
