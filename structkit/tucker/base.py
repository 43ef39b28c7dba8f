"""What the CP and the Tucker estimator have in common."""

from __future__ import annotations

import warnings
from typing import Self

from structkit._core.errors import ConvergenceWarning
from structkit._core.progress import Progress
from structkit._core.random import check_random_state
from structkit._core.types import Array, Callback, RandomState
from structkit.tucker.distributed import aligned_entries
from structkit.tucker.fitted import FittedTensor
from structkit.tucker.fitting import Plan, fit_posterior, observe, refit, update
from structkit.tucker.labelled import observed_cells
from structkit.tucker.options import check_count, check_entries, check_settings, check_tolerance

__all__ = ["FunctionalTensor"]


class FunctionalTensor(FittedTensor):
    """Base of the estimators; see `FunctionalCP` and `FunctionalTucker`."""

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

    def fit(self, X: Array, y: Array | None = None) -> Self:
        """Fit the posterior to observed entries.

        Parameters
        ----------
        X : array or pandas.DataFrame, shape ``(n, D)``, or xarray.DataArray
            Coordinates of the entries, one column per mode, in any units; dates count in days. Coordinates may repeat.
            A DataArray without `y` is a tensor of its own: the coordinates of its axes and the values of its cells.
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
        entries, y = observed_cells(X, y)
        coordinates, values = aligned_entries(entries, y, type(self).__name__)
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
        self._keep(fitted, coordinates.shape[1])
        self._check_feature_names(X, fitting=True)
        self._warn(progress)
        return self

    def partial_fit(self, X: Array, y: Array | None = None) -> Self:
        """Add entries to the posterior, without those it has seen.

        Parameters
        ----------
        X : array or pandas.DataFrame, shape ``(n, D)``, or xarray.DataArray
            Coordinates of the new entries, as in `fit`; new levels are added to the modes.
        y : array, shape ``(n,)``
            Their values; NaN marks a missing one.

        Returns
        -------
        self : estimator

        Raises
        ------
        ShapeError, NotFiniteError, TypeError, ValueError
            As for `fit`.

        Notes
        -----
        What earlier entries said about each part of the posterior (the functions of a mode at their levels, the
        weights, the noise) is kept as a Gaussian or Gamma factor; sweeps over the new entries alone find the posterior
        that both support. The first call is `fit`. Memory grows with the number of levels, not of entries. Factors of
        early batches are not revised, so the result depends on the order and is less precise than one `fit` of
        everything; the first batch should be large enough to tell the components apart.
        """
        if not hasattr(self, "_fitted"):
            return self.fit(X, y)
        self._check_feature_names(X, fitting=False)
        coordinates, values = check_entries(*observed_cells(X, y), self.n_features_in_, type(self).__name__)
        plan = self._plan(coordinates.shape[1])
        progress = Progress(self.verbose, self.callback)
        observed = observe(coordinates, values, separate=plan.student)
        self._keep(update(self._fitted, observed, plan, progress), coordinates.shape[1])
        self._warn(progress)
        return self

    def _plan(self, n_modes: int) -> Plan:
        settings = check_settings(
            self.rank, self.kernel, self.mean, self.noise_var, self.likelihood, n_modes, equal_ranks=self._superdiagonal
        )
        n_starts, max_iter = check_count(self.n_starts, "n_starts"), check_count(self.max_iter, "max_iter")
        student, tol = self.likelihood == "student-t", check_tolerance(self.tol)
        return Plan(settings, self._superdiagonal, student, self.learn_kernels, n_starts, max_iter, tol)

    def _warn(self, progress: Progress) -> None:
        if not self.converged_ and not progress.stopped:
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter = {self.max_iter} sweeps before the bound settled to "
                f"tol = {self.tol:g} per observation. Likely causes, in order: max_iter is small; the rank is far "
                "above what the data support; tol is small.",
                ConvergenceWarning,
                stacklevel=3,
            )
