"""The estimator: solve a problem, evaluate the solution and its derivatives, save it."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from structkit._core.errors import ConvergenceWarning, NotFiniteError, ShapeError
from structkit._core.progress import Progress
from structkit._core.types import Array, Callback
from structkit.pde.arrays import real_array
from structkit.pde.diagnosis import cause_of_failure, is_solved
from structkit.pde.fitted import FittedSolution
from structkit.pde.galerkin import solve_galerkin
from structkit.pde.map_solver import MapSettings, cause_of_map_failure, solve_map
from structkit.pde.observations import Observations, as_noise, checked_observations
from structkit.pde.posterior import Estimate, PosteriorFit, fit_posterior
from structkit.pde.problem import PDE
from structkit.pde.sampled import with_callable_source
from structkit.pde.starts import PosteriorSearch
from structkit.pde.trials import Attempt, Search

__all__ = ["GPSolver"]

_METHODS = ("galerkin", "map")


class GPSolver(FittedSolution):
    r"""Solve differential equations in the function space of a Gaussian process with carriers.

    The solution is a sum of products of one-dimensional functions: smooth envelopes times carrier waves, the features
    of a spectral-mixture covariance [1]_. Frequencies are found in the source and in the conditions, so that fast and
    multi-scale solutions need no tuning. Conditions hold exactly; the equation holds in the sense of Galerkin. On parts
    of a box both hold in the sense of least squares.

    Parameters
    ----------
    n_points : int or sequence of int, optional
        Collocation points of each axis. Default: as many as frequencies and length-scale need.
    method : {"galerkin", "map"}, default "galerkin"
        How to solve. ``"map"`` is the published method for comparison: the values on an even grid and the parameters of
        the kernels maximise the joint density by Adam. It is slower by orders of magnitude and less accurate;
        `lengthscale`, `frequencies`, `tol` and `max_iter` have no meaning for it.
    lengthscale : float or "auto", default "auto"
        Length-scale of the envelopes over the length of the axis. ``"auto"`` tries several, and polynomials if
        none is good enough, and keeps what has the smallest residual off the grid.
    frequencies : sequence of array or "auto", default "auto"
        Carriers of each axis in cycles per unit; 0 stands for no carrier and is added. ``"auto"`` finds them.
    noise_var : float or "learn", default 0
        Variance of the noise of the source, in squared units of it. 0 is an exact source. ``"learn"`` finds it with all
        hyperparameters by the evidence.
    tol : float, default 1e-10
        Estimated relative error that ends the search; rounding seldom permits less.
    max_iter : int, default 30
        Most Newton steps for a nonlinear equation; three times as many steps for hyperparameters.
    random_state : int, default 0
        Seed of the lines along which frequencies are looked for.
    map_settings : MapSettings, optional
        How ``method="map"`` runs. Default: as in the published experiments.
    callback : callable, optional
        Called after every trial solution with a record; a true return value ends the search.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    residual_ : float
        Estimated relative error: root mean square difference from a solution with other functions, where that is no
        better, or the share of the samples of a source that is not matched. An error indicator that needs no exact
        solution.
    equation_residual_ : float
        Root mean square of ``L u + N(u) - f`` off the collocation points, over that of its largest term.
    condition_residual_ : float
        Largest relative violation of a condition.
    domain_ : list of (float, float)
        Ends of each axis.
    frequencies_ : list of array
        Carriers of each axis.
    lengthscale_ : list of float
        Length-scale of each axis, in units of the coordinate; 0 for polynomials.
    n_points_ : tuple of int
        Collocation points of each axis.
    converged_ : bool
        Whether the problem counts as solved.
    n_iter_ : int
        Newton steps of the solution that was kept.
    history_ : list of dict
        Length-scale, residual and estimated error of every trial; the log evidence of every step.
    parameters_ : dict of str to Estimate
        Value and standard error of each `Parameter` of the operator.
    noise_var_ : float
        Noise variance of the source.
    observation_noise_var_ : list of float or array
        Noise variance of each set of observations.
    log_evidence_ : float
        Logarithm of the density of all noisy data given the exact ones; NaN if all data are exact.

    See Also
    --------
    PDE : the problem.

    Notes
    -----
    With :math:`r` functions for each axis and :math:`n` points the cost is :math:`O(n r^2 + r^{d+1})`: Sylvester
    equations in two dimensions, diagonalisation in three, GMRES preconditioned by these for coefficients that are not
    separable and for Newton's equations. Behind a mask all :math:`r^2` functions are coupled: least squares over points
    inside and on the border cost :math:`O(r^6)` and are limited to 4096 functions. The paper maximises a posterior over
    values and kernel parameters by Adam and takes a scale of the frequencies from the user; here frequencies come from
    spectra and the remaining problem is linear algebra.

    References
    ----------
    .. [1] Fang, Cooley, Long, Li, Kirby, Zhe, "Solving high frequency and multi-scale PDEs with Gaussian processes",
       ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.pde import D, Dirichlet, GPSolver, PDE
    >>> wave = lambda x: np.sin(100 * x)
    >>> problem = PDE(D(0, 2), domain=[(0, 6)], source=lambda x: -1e4 * wave(x), conditions=Dirichlet(wave))
    >>> solver = GPSolver().fit(problem)
    >>> x = np.linspace(0, 6, 1000)
    >>> bool(np.abs(solver.predict([x]) - wave(x)).max() < 1e-8)
    True
    """

    residual_: float
    equation_residual_: float
    condition_residual_: float
    domain_: list[tuple[float, float]]
    frequencies_: list[np.ndarray]
    lengthscale_: list[float]
    n_points_: tuple[int, ...]
    converged_: bool
    n_iter_: int
    history_: list[dict[str, object]]
    parameters_: dict[str, Estimate]
    noise_var_: float
    observation_noise_var_: list[float | np.ndarray]
    log_evidence_: float

    def __init__(
        self,
        n_points: int | Sequence[int] | None = None,
        *,
        method: str = "galerkin",
        lengthscale: float | str = "auto",
        frequencies: Sequence[Array] | str = "auto",
        noise_var: float | str = 0.0,
        tol: float = 1e-10,
        max_iter: int = 30,
        random_state: int = 0,
        map_settings: MapSettings | None = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_points = n_points
        self.method = method
        self.lengthscale = lengthscale
        self.frequencies = frequencies
        self.noise_var = noise_var
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.map_settings = map_settings
        self.callback = callback
        self.verbose = verbose

    def fit(
        self,
        problem: PDE,
        observations: Observations | tuple[Any, ...] | Sequence[Observations | tuple[Any, ...]] | None = None,
    ) -> Self:
        """Solve a problem.

        With a noisy source or with observations the result is a posterior: conditions may be missing, the operator may
        hold a `Parameter`, and `predict` has standard deviations.

        Parameters
        ----------
        problem : PDE
            Equation, domain and conditions.
        observations : Observations or (points, values, noise_var), or a list of them, optional
            Measurements of the solution or its derivatives.

        Returns
        -------
        self : GPSolver

        Raises
        ------
        ValueError
            If conditions are missing or an argument is out of range.
        NotFiniteError
            If a source, coefficient or condition is not finite somewhere, or the solution overflows.

        Warns
        -----
        ConvergenceWarning
            If the problem is not solved, with the likely cause.
        """
        if not isinstance(problem, PDE):
            raise TypeError(f"problem is {type(problem).__name__}; expected a PDE.")
        search = self._search(problem)
        progress = Progress(self.verbose, self.callback)
        noise_var = self._noise_var()
        if problem.mask is not None:
            self._check_masked(problem, observations, noise_var)
        if observations is not None or problem.parameters or not np.all(noise_var == 0):
            return self._fit_posterior(
                problem, checked_observations(observations, problem), noise_var, search, progress
            )
        if self.method == "map":
            attempt = solve_map(problem, self.map_settings or MapSettings(), search.n_points, progress)
            self._keep(attempt, progress)
            self._warn(attempt, progress, cause_of_map_failure(attempt))
            return self
        smooth, misfit = with_callable_source(problem)
        attempt = solve_galerkin(smooth, search, progress)
        attempt.misfit, attempt.error = misfit, max(attempt.error, misfit)
        if not np.isfinite(attempt.expansion.coefficients).all():
            cause = cause_of_failure(attempt, self.max_iter)
            raise NotFiniteError(f"The solution overflows: choose units in which data are closer to 1, or {cause}.")
        self._keep(attempt, progress)
        self._warn(attempt, progress, cause_of_failure(attempt, self.max_iter))
        return self

    def _check_masked(self, problem: PDE, observations: object, noise_var: float | str) -> None:
        if self.method != "galerkin":
            raise ValueError(f"method = {self.method!r} needs the whole box; a mask needs 'galerkin'.")
        if observations is not None or problem.parameters or noise_var != 0:
            raise ValueError("Behind a mask data are exact: no noise_var, no observations, no Parameter.")

    def _search(self, problem: PDE) -> Search:
        d = problem.n_axes
        if self.method not in _METHODS:
            raise ValueError(f"method = {self.method!r}; expected one of {_METHODS}.")
        if not (self.map_settings is None or isinstance(self.map_settings, MapSettings)):
            raise TypeError(f"map_settings is {type(self.map_settings).__name__}; expected MapSettings or None.")
        if self.lengthscale != "auto" and not _is_positive(self.lengthscale):
            raise ValueError(f"lengthscale = {self.lengthscale!r}; expected a positive number or 'auto'.")
        if not _is_positive(self.tol):
            raise ValueError(f"tol = {self.tol!r}; expected a positive number.")
        if not isinstance(self.max_iter, numbers.Integral) or int(self.max_iter) < 1:
            raise ValueError(f"max_iter = {self.max_iter!r}; expected a positive whole number.")
        ratio = None if self.lengthscale == "auto" else float(self.lengthscale)
        seed = np.random.default_rng(self.random_state).integers(2**31)
        return Search(self._points(d), ratio, self._given_frequencies(d), self.tol, int(self.max_iter), int(seed))

    def _points(self, d: int) -> tuple[int, ...] | None:
        if self.n_points is None:
            return None
        counts: tuple[Any, ...] = (self.n_points,) * d if np.ndim(self.n_points) == 0 else tuple(self.n_points)  # type: ignore[arg-type]
        if len(counts) != d or not all(isinstance(n, numbers.Integral) and int(n) >= 8 for n in counts):
            raise ValueError(f"n_points = {self.n_points!r}; expected whole numbers from 8 on, one for all or {d}.")
        return tuple(int(n) for n in counts)

    def _given_frequencies(self, d: int) -> tuple[np.ndarray, ...] | None:
        if isinstance(self.frequencies, str):
            if self.frequencies != "auto":
                raise ValueError(f"frequencies = {self.frequencies!r}; expected 'auto' or an array for each axis.")
            return None
        arrays = [np.abs(real_array(f, f"frequencies[{i}]")) for i, f in enumerate(self.frequencies)]
        if len(arrays) != d or any(f.ndim != 1 for f in arrays):
            shapes = ", ".join(str(f.shape) for f in arrays)
            raise ShapeError(f"frequencies holds arrays of shape {shapes}; expected {d} one-dimensional ones.")
        return tuple(np.unique(np.append(f, 0.0)) for f in arrays)

    def _noise_var(self) -> float | str:
        given = self.noise_var
        if isinstance(given, numbers.Real) and not isinstance(given, bool) and float(given) == 0:
            return 0.0
        checked = as_noise(given, 1, "noise_var")
        return checked if isinstance(checked, str) else float(checked[0])

    def _fit_posterior(
        self,
        problem: PDE,
        observations: list[Observations],
        noise_var: float | str,
        search: Search,
        progress: Progress,
    ) -> Self:
        if self.method != "galerkin":
            raise ValueError(f"method = {self.method!r} takes exact data only; noise and observations need 'galerkin'.")
        settings = PosteriorSearch(
            noise_var, search.lengthscale, search.frequencies, search.n_points, 3 * search.max_iter, search.seed
        )
        fit = fit_posterior(problem, observations, settings, progress)
        self._keep_solution(fit, progress)
        self._root, self.residual_ = fit.root, fit.residual
        self.equation_residual_, self.condition_residual_ = fit.equation_residual, fit.condition_residual
        self.n_iter_, self.converged_ = fit.n_iter, fit.converged
        self.parameters_, self.log_evidence_ = fit.parameters, fit.log_evidence
        self.noise_var_, self.observation_noise_var_ = fit.noise_var, fit.observation_noise_var
        if not (self.converged_ or progress.stopped):
            warnings.warn(
                f"The ascent of the evidence took all of its {settings.max_iter} steps. Increase max_iter, or give "
                "noise variances or a lengthscale that are known.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _keep(self, attempt: Attempt, progress: Progress) -> None:
        self._keep_solution(attempt, progress)
        self._root, self.residual_, self.equation_residual_ = None, attempt.error, attempt.residual
        self.condition_residual_ = attempt.mismatch
        self.n_iter_ = attempt.n_iter
        self.converged_ = is_solved(attempt)
        self.parameters_, self.log_evidence_ = {}, math.nan
        self.noise_var_, self.observation_noise_var_ = 0.0, []

    def _keep_solution(self, found: Attempt | PosteriorFit, progress: Progress) -> None:
        self._expansion = found.expansion
        bases = found.expansion.bases
        self.domain_ = [(b.features.lower, b.features.upper) for b in bases]
        self.frequencies_ = [b.features.frequencies for b in bases]
        self.lengthscale_ = [b.features.lengthscale for b in bases]
        self.n_points_ = tuple(b.n for b in bases)
        self.history_ = progress.history

    def _warn(self, attempt: Attempt, progress: Progress, cause: str) -> None:
        if self.converged_ or progress.stopped:
            return
        warnings.warn(
            f"The problem is not solved: estimated relative error {attempt.error:.1g}; {cause}.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _is_positive(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < float(value) < math.inf
