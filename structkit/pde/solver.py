"""The estimator: solve a problem, evaluate the solution and its derivatives, save it."""

from __future__ import annotations

import math
import numbers
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from structkit._core.errors import ConvergenceWarning, ShapeError
from structkit._core.estimator import Estimator
from structkit._core.progress import Progress
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, Callback
from structkit.pde.archive import pack, unpack
from structkit.pde.diagnosis import cause_of_failure, is_solved
from structkit.pde.galerkin import Attempt, Search, solve_galerkin
from structkit.pde.map_solver import MapSettings, cause_of_map_failure, solve_map
from structkit.pde.problem import PDE
from structkit.pde.sampled import with_callable_source

__all__ = ["GPSolver"]

_METHODS = ("galerkin", "map")


class GPSolver(Estimator):
    r"""Solve differential equations in the function space of a Gaussian process with carriers.

    The solution is a sum of products of one-dimensional functions: smooth envelopes times carrier waves, the features
    of a spectral-mixture covariance [1]_. Frequencies are found in the source and in the conditions, so that fast and
    multi-scale solutions need no tuning. Conditions hold exactly; the equation holds in the sense of Galerkin.

    Parameters
    ----------
    n_points : int or sequence of int, optional
        Collocation points of each axis. Default: as many as frequencies and length-scale need.
    method : {"galerkin", "map"}, default "galerkin"
        How to solve. ``"map"`` is the published method for comparison: the values on an even grid and the parameters of
        the kernels maximise the joint density by Adam. It is slower by orders of magnitude and less accurate;
        `lengthscale`, `frequencies`, `tol` and `max_iter` have no meaning for it.
    lengthscale : float or "auto", default "auto"
        Length-scale of the envelopes over the length of the axis. ``"auto"`` tries several and keeps the one with the
        smallest residual off the grid.
    frequencies : sequence of array or "auto", default "auto"
        Carriers of each axis in cycles per unit; 0 stands for no carrier and is added. ``"auto"`` finds them.
    tol : float, default 1e-10
        Estimated relative error that ends the search; rounding seldom permits less.
    max_iter : int, default 30
        Most Newton steps for a nonlinear equation.
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
        Length-scale of each axis, in units of the coordinate.
    n_points_ : tuple of int
        Collocation points of each axis.
    converged_ : bool
        Whether the problem counts as solved.
    n_iter_ : int
        Newton steps of the solution that was kept.
    history_ : list of dict
        Length-scale, residual and estimated error of every trial.

    See Also
    --------
    PDE : the problem.

    Notes
    -----
    With :math:`r` functions for each axis and :math:`n` points the cost is :math:`O(n r^2 + r^{d+1})`: Sylvester
    equations in two dimensions, diagonalisation in three, GMRES preconditioned by these for coefficients that are not
    separable and for Newton's equations. The paper maximises a posterior over values and kernel parameters by Adam and
    takes a scale of the frequencies from the user; here frequencies come from spectra and the remaining problem is
    linear algebra.

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

    def __init__(
        self,
        n_points: int | Sequence[int] | None = None,
        *,
        method: str = "galerkin",
        lengthscale: float | str = "auto",
        frequencies: Sequence[Array] | str = "auto",
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
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.map_settings = map_settings
        self.callback = callback
        self.verbose = verbose

    def fit(self, problem: PDE) -> Self:
        """Solve a problem.

        Parameters
        ----------
        problem : PDE
            Equation, domain and conditions.

        Returns
        -------
        self : GPSolver

        Raises
        ------
        ValueError
            If conditions are missing or an argument is out of range.
        NotFiniteError
            If a source, coefficient or condition is not finite somewhere.

        Warns
        -----
        ConvergenceWarning
            If the problem is not solved, with the likely cause.
        """
        if not isinstance(problem, PDE):
            raise TypeError(f"problem is {type(problem).__name__}; expected a PDE.")
        search = self._search(problem)
        progress = Progress(self.verbose, self.callback)
        if self.method == "map":
            attempt = solve_map(problem, self.map_settings or MapSettings(), search.n_points, progress)
            self._keep(attempt, progress)
            self._warn(attempt, progress, cause_of_map_failure(attempt))
            return self
        smooth, misfit = with_callable_source(problem)
        attempt = solve_galerkin(smooth, search, progress)
        attempt.misfit, attempt.error = misfit, max(attempt.error, misfit)
        self._keep(attempt, progress)
        self._warn(attempt, progress, cause_of_failure(attempt, self.max_iter))
        return self

    def predict(self, coords: Sequence[Array], *, derivative: Mapping[int, int] | None = None) -> np.ndarray:
        """Evaluate the solution, or a derivative, on a tensor grid.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis, inside of the domain.
        derivative : mapping, optional
            Order of the derivative by axis: ``{0: 2}`` is the second derivative along the first axis.

        Returns
        -------
        u : numpy.ndarray, shape ``(n_1, ..., n_D)``
        """
        self._check_fitted("residual_")
        bases = self._expansion.bases
        axes = [np.asarray(c, dtype=float) for c in coords]
        if len(axes) != len(bases) or any(c.ndim != 1 for c in axes):
            raise ShapeError(f"coords holds {len(axes)} arrays; expected {len(bases)} one-dimensional ones.")
        for axis, (c, b) in enumerate(zip(axes, bases, strict=True)):
            _check_inside(c, axis, b.features.lower, b.features.upper)
        return self._expansion.on(axes, self._orders(derivative))

    def predict_points(self, X: Array, *, derivative: Mapping[int, int] | None = None) -> np.ndarray:
        """Evaluate the solution, or a derivative, at scattered points.

        Parameters
        ----------
        X : array, shape ``(n, D)``
            Points inside of the domain.
        derivative : mapping, optional
            Order of the derivative by axis.

        Returns
        -------
        u : numpy.ndarray, shape ``(n,)``
        """
        self._check_fitted("residual_")
        points = np.asarray(X, dtype=float)
        bases = self._expansion.bases
        if points.ndim != 2 or points.shape[1] != len(bases):
            raise ShapeError(f"X has shape {points.shape}; expected (n, {len(bases)}), one column per axis.")
        for axis, b in enumerate(bases):
            _check_inside(points[:, axis], axis, b.features.lower, b.features.upper)
        return self._expansion.at(points, self._orders(derivative))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the solution to a file without pickle.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``. It appears whole or not at all.
        """
        self._check_fitted("residual_")
        write_archive(path, "GPSolver", pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a solution written by `save`.

        Parameters
        ----------
        path : str or path-like
            The file.
        """
        return unpack(cls, read_archive(path, ["GPSolver"])[1])

    def _orders(self, derivative: Mapping[int, int] | None) -> dict[int, int]:
        orders = dict(derivative or {})
        for axis, order in orders.items():
            if axis not in range(len(self._expansion.bases)) or order not in range(5):
                raise ValueError(f"derivative = {derivative!r}; expected orders 0 to 4 by the number of the axis.")
        return orders

    def _search(self, problem: PDE) -> Search:
        d = problem.n_axes
        if self.method not in _METHODS:
            raise ValueError(f"method = {self.method!r}; expected one of {_METHODS}.")
        if not (self.map_settings is None or isinstance(self.map_settings, MapSettings)):
            raise TypeError(f"map_settings is {type(self.map_settings).__name__}; expected MapSettings or None.")
        if problem.parameters:
            names = ", ".join(p.name for p in problem.parameters)
            raise ValueError(f"The operator has unknown parameters ({names}). Put numbers in their place.")
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
        arrays = [np.abs(np.asarray(f, dtype=float).ravel()) for f in self.frequencies]
        if len(arrays) != d or not all(np.isfinite(f).all() for f in arrays):
            raise ValueError(f"frequencies holds {len(arrays)} arrays; expected {d} of finite numbers.")
        return tuple(np.unique(np.append(f, 0.0)) for f in arrays)

    def _keep(self, attempt: Attempt, progress: Progress) -> None:
        bases = attempt.expansion.bases
        self._expansion = attempt.expansion
        self.residual_, self.equation_residual_ = attempt.error, attempt.residual
        self.condition_residual_ = attempt.mismatch
        self.domain_ = [(b.features.lower, b.features.upper) for b in bases]
        self.frequencies_ = [b.features.frequencies for b in bases]
        self.lengthscale_ = [b.features.lengthscale for b in bases]
        self.n_points_ = tuple(b.n for b in bases)
        self.n_iter_ = attempt.n_iter
        self.converged_ = is_solved(attempt)
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


def _check_inside(x: np.ndarray, axis: int, lower: float, upper: float) -> None:
    margin = 1e-9 * (upper - lower)
    if not (np.isfinite(x).all() and (not x.size or (x.min() >= lower - margin and x.max() <= upper + margin))):
        raise ValueError(f"Coordinates of axis {axis} leave the domain [{lower:g}, {upper:g}] or are not finite.")
