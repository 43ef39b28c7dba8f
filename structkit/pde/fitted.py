"""What a solution can be asked: values, derivatives, standard deviations, draws, files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np

from structkit._core.errors import ShapeError
from structkit._core.estimator import Estimator
from structkit._core.random import check_random_state
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, RandomState
from structkit.pde.archive import pack, unpack
from structkit.pde.arrays import check_inside, grid_axes, real_array
from structkit.pde.expansion import Expansion
from structkit.pde.operators import MAX_ORDER

__all__ = ["FittedSolution"]

# Square roots of covariances are evaluated in chunks of at most this many numbers.
_CHUNK = 20_000_000


class FittedSolution(Estimator):
    """Evaluation and storage of a solution; solving is in the class built on it."""

    _expansion: Expansion
    _root: np.ndarray | None

    def predict(
        self, coords: Sequence[Array], *, derivative: Mapping[int, int] | None = None, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Evaluate the solution, or a derivative, on a tensor grid.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis, inside of the domain.
        derivative : mapping, optional
            Order of the derivative by axis: ``{0: 2}`` is the second derivative along the first axis.
        return_std : bool, default False
            Whether to return the standard deviation, too. Only after `fit` with noise or observations.

        Returns
        -------
        u : numpy.ndarray, shape ``(n_1, ..., n_D)``
            Values; with noise or observations the posterior mean.
        std : numpy.ndarray, same shape
            Posterior standard deviation, if `return_std`.

        Raises
        ------
        TypeError, ShapeError, NotFiniteError
            If coordinates are no finite real numbers, one array for each axis.
        ValueError
            If coordinates leave the domain, or there is no posterior to take a standard deviation from.
        """
        axes, orders = self._checked_axes(coords), self._orders(derivative)
        mean = self._expansion.on(axes, orders)
        if not return_std:
            return mean
        variance = np.zeros_like(mean)
        for part in self._root_parts(mean.size):
            variance += np.sum(Expansion(self._expansion.bases, part).on(axes, orders) ** 2, axis=-1)
        return mean, np.sqrt(variance)

    def predict_points(
        self, X: Array, *, derivative: Mapping[int, int] | None = None, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Evaluate the solution, or a derivative, at scattered points.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Points inside of the domain.
        derivative : mapping, optional
            Order of the derivative by axis.
        return_std : bool, default False
            Whether to return the standard deviation, too. Only after `fit` with noise or observations.

        Returns
        -------
        u : numpy.ndarray, shape ``(n,)``
            Values; with noise or observations the posterior mean.
        std : numpy.ndarray, shape ``(n,)``
            Posterior standard deviation, if `return_std`.
        """
        self._check_fitted("residual_")
        points = real_array(X, "X")
        bases = self._expansion.bases
        if points.ndim != 2 or points.shape[1] != len(bases):
            raise ShapeError(f"X has shape {points.shape}; expected (n, {len(bases)}), one column per axis.")
        for axis, b in enumerate(bases):
            check_inside(points[:, axis], axis, b.features.lower, b.features.upper)
        orders = self._orders(derivative)
        mean = self._expansion.at(points, orders)
        if not return_std:
            return mean
        variance = np.zeros_like(mean)
        for part in self._root_parts(mean.size):
            variance += np.sum(Expansion(bases, part).at(points, orders) ** 2, axis=-1)
        return mean, np.sqrt(variance)

    def sample(
        self,
        coords: Sequence[Array],
        n: int = 1,
        random_state: RandomState = None,
        *,
        derivative: Mapping[int, int] | None = None,
    ) -> np.ndarray:
        """Draw solutions, or their derivatives, from the posterior on a tensor grid.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis, inside of the domain.
        n : int, default 1
            Number of draws.
        random_state : None, int or numpy.random.Generator
            Seed; the same one gives the same draws on any grid.
        derivative : mapping, optional
            Order of the derivative by axis.

        Returns
        -------
        draws : numpy.ndarray, shape ``(n, n_1, ..., n_D)``
        """
        axes, orders = self._checked_axes(coords), self._orders(derivative)
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n = {n!r}; expected a positive whole number of draws.")
        root = self._covariance_root()
        z = check_random_state(random_state).standard_normal((root.shape[-1], int(n)))
        total = self._expansion.coefficients[..., None] + root @ z
        return np.moveaxis(Expansion(self._expansion.bases, total).on(axes, orders), -1, 0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the solution to a file without pickle.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``. It appears whole or not at all.
        """
        self._check_fitted("residual_")
        write_archive(path, "GPSolver", pack(self))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a solution written by `save`.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        GPSolver
            With the same predictions.
        """
        return unpack(cls, read_archive(path, ["GPSolver"])[1])  # type: ignore[type-var]

    def _covariance_root(self) -> np.ndarray:
        """Square root of the covariance of the coefficients, shape ``(r_1, ..., r_D, k)``."""
        if self._root is None:
            raise ValueError(
                "The solution was found from exact data, so that it has no posterior. Give noise_var to GPSolver, or "
                "observations to fit; residual_ estimates the numerical error."
            )
        return self._root

    def _root_parts(self, n_values: int) -> Iterator[np.ndarray]:
        root = self._covariance_root()
        step = max(_CHUNK // max(n_values, math.prod(root.shape[:-1])), 1)
        for start in range(0, root.shape[-1], step):
            yield root[..., start : start + step]

    def _checked_axes(self, coords: Sequence[Array]) -> list[np.ndarray]:
        self._check_fitted("residual_")
        bounds = [(b.features.lower, b.features.upper) for b in self._expansion.bases]
        return grid_axes(coords, bounds)

    def _orders(self, derivative: Mapping[int, int] | None) -> dict[int, int]:
        orders = dict(derivative or {})
        for axis, order in orders.items():
            if axis not in range(len(self._expansion.bases)) or order not in range(MAX_ORDER + 1):
                raise ValueError(f"derivative = {derivative!r}; expected orders 0 to 4 by the number of the axis.")
        return orders
