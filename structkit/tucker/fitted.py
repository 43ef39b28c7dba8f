"""What a fitted tensor can be asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from structkit._core.errors import ShapeError
from structkit._core.estimator import Regressor
from structkit._core.labels import days, is_labelled
from structkit._core.random import check_random_state
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, RandomState
from structkit.statespace import LinearSDE
from structkit.tucker.archive import pack, unpack
from structkit.tucker.entries import find_levels
from structkit.tucker.export import draw, tensor_on_grid
from structkit.tucker.fitting import Fitted
from structkit.tucker.functions import Moments
from structkit.tucker.labelled import cells_of, observed_cells
from structkit.tucker.options import check_coordinates, check_count, check_entries
from structkit.tucker.statistics import entry_moments

__all__ = ["FittedTensor"]


class FittedTensor(Regressor):
    """Predictions, functions, draws, export and storage; fitting is in the class built on it."""

    _fitted_attribute = "_fitted"
    _superdiagonal: ClassVar[bool]
    _fitted: Fitted

    core_: np.ndarray
    noise_var_: float
    degrees_of_freedom_: float
    kernels_: tuple[LinearSDE, ...]
    lengthscales_: list[np.ndarray]
    mean_: str
    offset_: float
    rank_: int | tuple[int, ...]
    elbo_: float
    n_iter_: int
    converged_: bool
    history_: list[dict[str, object]]
    n_features_in_: int

    def _keep(self, fitted: Fitted, n_modes: int) -> None:
        """Store a posterior and what it says in units of the data."""
        posterior = fitted.posterior
        self._fitted, self.n_features_in_ = fitted, n_modes
        self.core_ = posterior.core.tensor * fitted.scale
        self.noise_var_ = posterior.noise.variance * fitted.scale**2
        self.degrees_of_freedom_ = posterior.noise.degrees
        self.kernels_ = tuple(f.sde for f in posterior.functions)
        self.lengthscales_ = [f.lengthscales for f in posterior.functions]
        self.mean_, self.offset_ = fitted.mean, fitted.shift
        rank = posterior.core.effective_rank()
        self.rank_ = rank[0] if self._superdiagonal else rank
        self.elbo_, self.history_ = fitted.bound, fitted.history
        self.n_iter_, self.converged_ = posterior.n_sweeps, fitted.converged

    def predict(
        self, X: Array, *, return_std: bool = False, include_noise: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean at any coordinates.

        Parameters
        ----------
        X : array or pandas.DataFrame, shape ``(n, D)``, or xarray.DataArray
            Coordinates: observed ones, new ones between them, or beyond either end. A new level of a discrete mode
            gets what the levels have in common. Of a DataArray, the coordinates of its axes count, not its values.
        return_std : bool
            Also return the standard deviation. Default False.
        include_noise : bool
            Add the noise to the standard deviation. Default False: that of the noise-free function.

        Returns
        -------
        mean : array, shape ``(n,)``, or xarray.DataArray
            In units of `y`; a DataArray with the axes of one that was given.
        std : array, shape ``(n,)``, or xarray.DataArray
            With ``return_std=True``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ShapeError, NotFiniteError
            If `X` has the wrong shape or is not finite.
        """
        self._check_fitted("_fitted")
        if is_labelled(X):
            return self._predict_cells(X, return_std, include_noise)
        self._check_feature_names(X, fitting=False)
        coordinates = check_coordinates(X, self.n_features_in_, type(self).__name__)
        levels, index = find_levels(coordinates)
        moments = self._moments(levels)
        fitted = self._fitted
        core = fitted.posterior.core
        mean, variance = entry_moments(index, core, moments)
        mean = fitted.shift + fitted.scale * mean
        if not return_std:
            return mean
        return mean, np.sqrt(fitted.scale**2 * variance + (self.noise_var_ if include_noise else 0.0))

    def _predict_cells(self, data: Any, return_std: bool, include_noise: bool) -> Any:
        """Predict every cell of an `xarray.DataArray`."""
        cells, labels = cells_of(data, getattr(self, "feature_names_in_", None))
        found = self.predict(cells, return_std=return_std, include_noise=include_noise)
        shape = [data.sizes[d] for d in labels.dims]
        if not isinstance(found, tuple):
            return labels.array(found.reshape(shape))
        mean, std = found
        return labels.array(mean.reshape(shape)), labels.named("std").array(std.reshape(shape))

    def _moments(self, levels: list[np.ndarray]) -> list[Moments]:
        """Moments of the functions of all modes at coordinates."""
        return [f.at(t) for f, t in zip(self._fitted.posterior.functions, levels, strict=True)]

    def factor(self, mode: int, t: Array, *, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the latent functions of one mode.

        Parameters
        ----------
        mode : int
            Column of `X`, from 0.
        t : array, shape ``(S,)``
            Coordinates.
        return_std : bool
            Also return standard deviations. Default False.

        Returns
        -------
        mean : array, shape ``(S, R)``
            One column per function, dimensionless: the units of `y` are in `core_`.
        std : array, shape ``(S, R)``
            With ``return_std=True``.

        Raises
        ------
        NotFittedError, IndexError, TypeError, ShapeError, NotFiniteError
            Before `fit`, for a mode that does not exist, or for coordinates of the wrong shape.
        """
        mean, std = self._functions(mode, t)
        rank = self._fitted.posterior.functions[mode].rank
        return (mean[:, :rank], std[:, :rank]) if return_std else mean[:, :rank]

    def effect(self, mode: int, t: Array, *, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the main effect of one mode.

        Parameters
        ----------
        mode : int
            Column of `X`, from 0.
        t : array, shape ``(S,)``
            Coordinates.
        return_std : bool
            Also return the standard deviation. Default False.

        Returns
        -------
        mean : array, shape ``(S,)``
            In units of `y`; zero where ``mean_`` is not ``"main-effects"``.
        std : array, shape ``(S,)``
            With ``return_std=True``.

        Raises
        ------
        NotFittedError, IndexError, ShapeError, NotFiniteError
            As for `factor`.
        """
        mean, std = self._functions(mode, t)
        rank, scale = self._fitted.posterior.functions[mode].rank, self._fitted.scale
        if mean.shape[1] == rank:
            mean, std = np.zeros((2, len(mean), rank + 1))
        return (scale * mean[:, rank], scale * std[:, rank]) if return_std else scale * mean[:, rank]

    def _functions(self, mode: int, t: Array) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of all functions of one mode, the main effect last."""
        self._check_fitted("_fitted")
        if not isinstance(mode, (int, np.integer)):
            raise TypeError(f"mode = {mode!r}; expected the number of a column of X.")
        if not 0 <= mode < self.n_features_in_:
            raise IndexError(f"mode = {mode}; the tensor has {self.n_features_in_} modes, counted from 0.")
        return self._fitted.posterior.functions[mode].marginals(self._column(t))

    @staticmethod
    def _column(t: Array) -> np.ndarray:
        """Coordinates of one mode."""
        array = np.asarray(days(t))
        if array.ndim != 1:
            raise ShapeError(f"Coordinates of one mode have shape {array.shape}; expected (S,).")
        return check_coordinates(array[:, None])[:, 0]

    def score(self, X: Array, y: Array | None = None) -> float:
        """Return the coefficient of determination of the prediction.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Coordinates.
        y : array, shape ``(n,)``
            Values; NaN marks a missing one. An `xarray.DataArray` as `X` brings its own.

        Returns
        -------
        r2 : float
            1 is perfect, 0 as good as the mean of `y`.
        """
        self._check_fitted("_fitted")
        self._check_feature_names(X, fitting=False)
        coordinates, values = check_entries(*observed_cells(X, y), self.n_features_in_, type(self).__name__)
        residual = values - self.predict(coordinates)
        spread = np.sum((values - values.mean()) ** 2)
        return float(1 - residual @ residual / spread) if spread > 0 else float(not residual.any())

    def sample(self, X: Array, n: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw from the posterior of the noise-free tensor, jointly over entries.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Coordinates.
        n : int, >= 1
            Number of draws. Default 1.
        random_state : None, int or numpy.random.Generator
            Source of randomness.

        Returns
        -------
        draws : array, shape ``(n, len(X))``
            In units of `y`.

        Raises
        ------
        NotFittedError, ShapeError, NotFiniteError, TypeError, ValueError
            Before `fit`, for coordinates of the wrong shape, or if `n` is not a positive integer.
        """
        self._check_fitted("_fitted")
        self._check_feature_names(X, fitting=False)
        coordinates = check_coordinates(X, self.n_features_in_, type(self).__name__)
        return draw(self._fitted, coordinates, check_count(n, "n"), check_random_state(random_state))

    def to_tensorly(self, coords: Sequence[Array]) -> Any:
        """Return the posterior mean on a grid as a tensor of tensorly.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of the grid along each mode.

        Returns
        -------
        tensor : tensorly.cp_tensor.CPTensor or tensorly.tucker_tensor.TuckerTensor
            The offset and the main effects are components of their own after those of the decomposition.

        Raises
        ------
        NotFittedError, ShapeError, NotFiniteError
            Before `fit`, or for coordinates of the wrong shape.
        """
        self._check_fitted("_fitted")
        if len(coords) != self.n_features_in_:
            raise ShapeError(f"coords has {len(coords)} arrays; expected {self.n_features_in_}, one per mode.")
        grids = [self._column(t) for t in coords]
        return tensor_on_grid(self._fitted, self._moments(grids))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; predictions after `load` are the same.

        Parameters
        ----------
        path : str or path-like
            The file. A callback is not kept, and of `random_state` only an integer.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        self._check_fitted("_fitted")
        write_archive(path, type(self).__name__, pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, optional
            As of other models; functional tensors compute on the CPU, wherever they are loaded.

        Returns
        -------
        model : estimator

        Raises
        ------
        StructKitError
            If the file is damaged, of another kind, or written by a newer version.
        """
        return unpack(cls, read_archive(path, [cls.__name__])[1], device)
