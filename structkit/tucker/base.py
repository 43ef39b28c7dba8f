"""What the CP and the Tucker estimator have in common."""

from __future__ import annotations

import warnings
from typing import ClassVar, Self

import numpy as np

from structkit._core.errors import ConvergenceWarning
from structkit._core.estimator import Estimator
from structkit._core.progress import Progress
from structkit._core.random import check_random_state
from structkit._core.types import Array, Callback, RandomState
from structkit.statespace import LinearSDE
from structkit.tucker.entries import find_levels
from structkit.tucker.fitting import Fitted, Plan, fit_posterior, observe, refit
from structkit.tucker.functions import Moments
from structkit.tucker.options import check_coordinates, check_entries, check_settings
from structkit.tucker.statistics import entry_moments

__all__ = ["FunctionalTensor"]


class FunctionalTensor(Estimator):
    """Base of the estimators; see `FunctionalCP` and `FunctionalTucker`."""

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

    def __init__(
        self,
        rank: object,
        *,
        kernel: object = "matern12",
        noise_var: float | str = "learn",
        learn_kernels: bool = True,
        mean: str = "auto",
        likelihood: str = "gaussian",
        max_iter: int = 300,
        tol: float = 1e-4,
        n_starts: int = 8,
        warm_start: bool = False,
        random_state: RandomState = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.rank = rank
        self.kernel = kernel
        self.noise_var = noise_var
        self.learn_kernels = learn_kernels
        self.mean = mean
        self.likelihood = likelihood
        self.max_iter = max_iter
        self.tol = tol
        self.n_starts = n_starts
        self.warm_start = warm_start
        self.random_state = random_state
        self.callback = callback
        self.verbose = verbose

    def fit(self, X: Array, y: Array) -> Self:
        """Fit the posterior to observed entries.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Coordinates of the entries, one column per mode, in any units. Coordinates may repeat.
        y : array, shape ``(n,)``
            Observed values; NaN marks a missing one and is left out.

        Returns
        -------
        self : estimator

        Raises
        ------
        ShapeError
            If shapes disagree, or `rank` or `kernel` has another number of modes.
        NotFiniteError
            If a coordinate is NaN or infinite, or a value is infinite.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` sweeps did not reach `tol`.
        """
        coordinates, values = check_entries(X, y)
        plan = self._plan(coordinates.shape[1])
        rng = check_random_state(self.random_state)
        progress = Progress(self.verbose, self.callback)
        observed = observe(coordinates, values, separate=plan.student)
        known = self.warm_start and hasattr(self, "_fitted")
        if known and self.n_features_in_ != coordinates.shape[1]:
            known = False
        fitted = (
            refit(self._fitted, observed, plan, progress) if known else fit_posterior(observed, plan, rng, progress)
        )
        self._keep(fitted, coordinates.shape[1], progress)
        return self

    def _plan(self, n_modes: int) -> Plan:
        settings = check_settings(
            self.rank, self.kernel, self.mean, self.noise_var, self.likelihood, n_modes, equal_ranks=self._superdiagonal
        )
        for name, least in (("max_iter", 1), ("n_starts", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)!r}; expected at least {least}.")
        student = self.likelihood == "student-t"
        return Plan(settings, self._superdiagonal, student, self.learn_kernels, self.n_starts, self.max_iter, self.tol)

    def _keep(self, fitted: Fitted, n_modes: int, progress: Progress) -> None:
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
        if not fitted.converged and not progress.stopped:
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter = {self.max_iter} sweeps before the bound settled to "
                f"tol = {self.tol:g} per observation. Likely causes, in order: max_iter is small; the rank is far "
                "above what the data support; tol is small.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def predict(
        self, X: Array, *, return_std: bool = False, include_noise: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean at any coordinates.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Coordinates: observed ones, new ones between them, or beyond either end. A new level of a discrete mode
            gets what the levels have in common.
        return_std : bool
            Also return the standard deviation. Default False.
        include_noise : bool
            Add the noise to the standard deviation. Default False: that of the noise-free function.

        Returns
        -------
        mean : array, shape ``(n,)``
            In units of `y`.
        std : array, shape ``(n,)``
            With ``return_std=True``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ShapeError, NotFiniteError
            If `X` has the wrong shape or is not finite.
        """
        self._check_fitted("_fitted")
        coordinates = check_coordinates(X, self.n_features_in_)
        levels, index = find_levels(coordinates)
        moments = self._moments(levels)
        fitted = self._fitted
        core = fitted.posterior.core
        mean, variance = entry_moments(index, core, moments)
        mean = fitted.shift + fitted.scale * mean
        if not return_std:
            return mean
        return mean, np.sqrt(fitted.scale**2 * variance + (self.noise_var_ if include_noise else 0.0))

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
        NotFittedError, IndexError, ShapeError, NotFiniteError
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
        if not 0 <= mode < self.n_features_in_:
            raise IndexError(f"mode = {mode}; the tensor has {self.n_features_in_} modes, counted from 0.")
        times = check_coordinates(np.asarray(t).reshape(-1, 1) if np.asarray(t).ndim == 1 else t, 1)[:, 0]
        return self._fitted.posterior.functions[mode].marginals(times)

    def score(self, X: Array, y: Array) -> float:
        """Return the coefficient of determination of the prediction.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Coordinates.
        y : array, shape ``(n,)``
            Values; NaN marks a missing one.

        Returns
        -------
        r2 : float
            1 is perfect, 0 as good as the mean of `y`.
        """
        self._check_fitted("_fitted")
        coordinates, values = check_entries(X, y, self.n_features_in_)
        residual = values - self.predict(coordinates)
        spread = np.sum((values - values.mean()) ** 2)
        return float(1 - residual @ residual / spread) if spread > 0 else float(not residual.any())
