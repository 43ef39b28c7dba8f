"""What a fitted grid process can be asked."""

from __future__ import annotations

import os
import warnings
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import as_array, asarray_like, to_numpy
from structkit._core.errors import ConvergenceWarning, ShapeError
from structkit._core.estimator import Estimator
from structkit._core.labels import Labels, is_labelled
from structkit._core.random import check_random_state
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, RandomState
from structkit.gp.grid_archive import pack, unpack
from structkit.gp.grid_data import AxisCovariance, GridData, GridModel
from structkit.gp.grid_labels import target_labels
from structkit.gp.grid_options import new_coordinates
from structkit.gp.grid_posterior import GridPosterior, noise_at, unsettled_message

__all__ = ["FittedGrid"]


class FittedGrid(Estimator):
    """Predictions, draws, score and storage; fitting is in the class built on it."""

    n_samples: int

    kernels_: tuple[AxisCovariance, ...]
    noise_var_: float | np.ndarray
    mean_: float | np.ndarray
    log_evidence_: float
    log_evidence_se_: float
    method_: str
    variance_method_: str
    converged_: bool
    n_iter_: int
    solver_error_: float
    history_: list[dict[str, object]]

    _seed: int
    _labels: Labels | None

    def _store(
        self,
        model: GridModel,
        data: GridData,
        posterior: GridPosterior,
        cell_noise: np.ndarray | None,
        like: Array,
    ) -> None:
        """Set the fitted attributes that follow from model, data and posterior."""
        self._model, self._data, self._posterior, self._cell_noise = model, data, posterior, cell_noise
        self._like, self._n_samples = like, self.n_samples
        self._smoothed: Array | None = None
        self.kernels_ = model.kernels
        noise = model.noise_var if cell_noise is None else cell_noise
        self.noise_var_ = float(noise) if noise.ndim == 0 else noise
        self.mean_ = float(model.mean) if model.mean.ndim == 0 else model.mean
        self.method_ = posterior.method
        self.variance_method_ = "samples" if posterior.method == "iterative" else "exact"
        self.n_iter_ = posterior.info.n_iter if posterior.info else 0
        self.solver_error_ = posterior.info.error if posterior.info else 0.0

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def predict(
        self, coords: object = None, *, return_std: bool = False, include_noise: bool = False
    ) -> Array | tuple[Array, Array]:
        """Predict the noise-free function on the grid or on a grid of new coordinates.

        Parameters
        ----------
        coords : sequence of D arrays ``(m_d,)`` or None, or xarray.DataArray, optional
            New coordinates; None for an axis keeps its levels. Of a DataArray, the coordinates of its axes count, not
            its values. Default: the grid of the data.
        return_std : bool, default False
            Also return the posterior standard deviation.
        include_noise : bool, default False
            Add the noise variance to the variance, for bands that new observations fall into.

        Returns
        -------
        mean : array, shape ``(m_1, ..., m_D)``
            In units of `y`; library, dtype and device of `y`. An `xarray.DataArray` where the model was fitted to one,
            or `coords` is one.
        std : array, same shape
            Only with ``return_std=True``. Of the iterative method it rests on `n_samples` draws, made once.
        """
        self._check_fitted("kernels_")
        labels, axes = target_labels(self._labels, coords)
        targets = new_coordinates(self._model, self._data, axes)
        mean = self._out(self._posterior.mean(targets), labels)
        if not return_std:
            return mean
        if self.method_ == "iterative" and self._smoothed is None:
            rng = np.random.default_rng(self._seed)
            tol = max(self._posterior.tol, 2e-2)
            self._smoothed, unsettled = self._posterior.draw(self._n_samples, rng, tol=tol, smoothed=True)
            if unsettled is not None:
                self._warn(unsettled_message("Posterior draws have", unsettled, tol))
        variance = self._posterior.variance(targets, self._smoothed)
        if include_noise:
            variance = variance + noise_at(self._model, self._cell_noise, targets)
        return mean, self._out(np.sqrt(variance), None if labels is None else labels.named("std"))

    def sample(self, n: int = 1, random_state: RandomState = None, *, coords: object = None) -> Array:
        """Draw functions from the posterior.

        Parameters
        ----------
        n : int, default 1
            Number of draws.
        random_state : None, int or numpy.random.Generator
            Source of randomness.
        coords : sequence or xarray.DataArray, optional
            As in `predict`.

        Returns
        -------
        samples : array, shape ``(n, m_1, ..., m_D)``
            In units of `y`, without noise.
        """
        self._check_fitted("kernels_")
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n={n!r}; expected at least one sample.")
        rng = check_random_state(random_state)
        labels, axes = target_labels(self._labels, coords)
        targets, tol = new_coordinates(self._model, self._data, axes), max(self._posterior.tol, 1e-2)
        samples, unsettled = self._posterior.sample(targets, n, rng, tol=tol)
        if unsettled is not None:
            self._warn(unsettled_message("Posterior draws have", unsettled, tol))
        return self._out(samples, labels, leading="sample")

    def score(self, coords: object, y: Array | None = None) -> float:
        """Return the coefficient of determination of the prediction on the observed cells of `y`.

        As in scikit-learn it is 0 where `y` is constant, unless the prediction is perfect.

        Parameters
        ----------
        coords : sequence, xarray.DataArray or None
            As in `predict`; a DataArray without `y` brings the true values.
        y : array, shape ``(m_1, ..., m_D)``
            True values; NaN cells are left out.

        Returns
        -------
        r2 : float
            1 is perfect, 0 as good as the mean of `y`.
        """
        self._check_fitted("kernels_")
        if y is None and is_labelled(coords):
            y = coords  # type: ignore[assignment]
        if is_labelled(y):
            y = y if self._labels is None else self._labels.ordered(y, "y")
            coords = y if coords is None or is_labelled(coords) else coords
        truth = np.asarray(to_numpy(as_array(y, "y")), dtype=np.float64)
        guess = to_numpy(self.predict(coords)).astype(np.float64)  # type: ignore[arg-type]
        if truth.shape != guess.shape:
            raise ShapeError(f"y has shape {truth.shape}; the prediction has shape {guess.shape}.")
        seen = ~np.isnan(truth)
        if not seen.any():
            raise ValueError("y has no observed cell.")
        residual = float(((truth - guess)[seen] ** 2).sum())
        total = float(((truth[seen] - truth[seen].mean()) ** 2).sum())
        if total == 0.0:
            return 1.0 if residual == 0.0 else 0.0
        return 1.0 - residual / total

    def _out(self, x: np.ndarray, labels: Labels | None = None, leading: str | None = None) -> Any:
        values = asarray_like(x, self._like)
        return values if labels is None else labels.array(to_numpy(values), leading)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; `structkit.load` reads it.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``. It appears whole or not at all.
        """
        self._check_fitted("kernels_")
        write_archive(path, "GridGP", pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model written by `save`.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, optional
            Torch device, such as ``"cpu"``, for a model that was fitted on another. Default: the same one.

        Returns
        -------
        model : GridGP
            As it was saved: its answers are the same.

        Raises
        ------
        StructKitError
            If the file is damaged, incomplete, of another kind, or written by a newer version.
        """
        return unpack(cls, read_archive(path, ["GridGP"])[1], device)
