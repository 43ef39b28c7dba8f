"""Gaussian-process regression on complete and incomplete grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from structkit._core.progress import Progress
from structkit._core.random import check_random_state
from structkit._core.types import Array, Callback, RandomState
from structkit.gp.grid_amplitude import folded
from structkit.gp.grid_fitted import FittedGrid
from structkit.gp.grid_labels import gathered
from structkit.gp.grid_learning import Evaluator, learn
from structkit.gp.grid_options import prepare
from structkit.gp.grid_posterior import GridPosterior, unsettled_message

__all__ = ["GridGP"]


class GridGP(FittedGrid):
    r"""Gaussian-process regression on a grid, complete or with missing cells.

    The model is :math:`y = m + f + \varepsilon` with :math:`f \sim N(0, K_1 \otimes \dots \otimes K_D)`, one covariance
    per axis, and independent noise. Nothing of size :math:`N \times N` is formed for a grid of :math:`N` cells.

    Parameters
    ----------
    kernels : sequence of Kernel, gpytorch kernel or FreeCovariance
        One covariance per axis of `y`. gpytorch kernels keep their constraints and priors. Where no kernel has an
        amplitude (gpytorch kernels without ``ScaleKernel``), learning multiplies the first by a `Constant`.
    noise_var : "learn", float or array, default "learn"
        Noise variance in squared units of `y`: learned, given, or given per level of `noise_axis`. An array of the
        shape of `y` gives every cell its own, known variance; where a cell is missing it may be NaN.
    learn_kernels : bool, default True
        Learn the free hyperparameters of the kernels; False keeps them.
    mean : "constant", "zero", "per-level" or float, default "constant"
        Mean function: one learned value, none, one learned value per level of `mean_axis`, or a given value.
    noise_axis : int, optional
        Axis whose levels have a noise variance each. Default: one noise variance for all.
    mean_axis : int, optional
        Axis of ``mean="per-level"``.
    method : {"auto", "eigen", "dense", "iterative"}, default "auto"
        ``"eigen"``: eigendecompositions, exact, complete grids only. ``"dense"``: Cholesky factor of the observed
        cells, exact, cubic in their number. ``"iterative"``: conjugate gradients. ``"auto"`` takes the first for
        complete grids, the second for up to 1500 observed cells, else the third; `method_` tells. A free covariance is
        learned from iterative draws on every incomplete grid.
    tol : float, default 3e-3
        Error of the iterative posterior mean in posterior standard deviations (dimensionless), root mean square over
        the holes, where it is largest. The default is far below what a plot or a coverage can show.
    max_iter : int, default 500
        Most iterations of one iterative solve.
    n_samples : int, default 16
        Posterior draws behind the standard deviation of the iterative method; the relative error of the part they
        estimate is ``sqrt(2 / n_samples)`` for the variance. Exact methods need none.
    n_probes : int, optional
        Simulated data sets behind the stochastic evidence and its gradient. Default: between 4 and 64, fewer for
        larger grids, where each carries more information.
    max_learning_iter : int, default 50
        Most iterations of one learning stage.
    learning_tol : float, default 0.05
        Learning ends when noise and free covariance change by less than this (relative); L-BFGS ends when the
        evidence gains less than 1e-4 of it (relative), an exact evidence less than 1e-6 of it.
    subgrid : int or None, default 100_000
        Learn on a sub-grid of about this many cells first, where the grid is larger and incomplete. None: never.
    device : str, optional
        Torch device of the computation, such as ``"cuda"``. Default: where `y` is.
    random_state : None, int or numpy.random.Generator
        Source of the draws.
    callback : callable, optional
        Called with a dict after each learning iteration; returning True stops and keeps the best model so far.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    kernels_ : tuple
        Learned covariances, one per axis.
    noise_var_ : float or numpy.ndarray
        Noise variance, in squared units of `y`: one, one per level of `noise_axis`, or one per cell as it was given.
    mean_ : float or numpy.ndarray
        Mean, in units of `y`.
    log_evidence_ : float
        Log density of the observed cells under the learned model (without the kernels' priors).
    log_evidence_se_ : float
        Its standard error; 0 for exact methods.
    method_ : str
        Method that computed the posterior.
    variance_method_ : str
        ``"exact"`` or ``"samples"``: how `predict` finds the standard deviation.
    converged_ : bool
        Whether learning and the solve for the mean converged.
    n_iter_ : int
        Iterations of the solve for the mean; 0 for exact methods.
    solver_error_ : float
        Estimated error of the mean in posterior standard deviations; 0 for exact methods.
    history_ : list of dict
        Trace of learning.

    Notes
    -----
    Complete grids use per-axis eigendecompositions [1]_. Incomplete grids are solved in whitened coefficients: with
    :math:`K_d = V_d \operatorname{diag}(w_d) V_d^T`, :math:`R = (\otimes V_d) \operatorname{diag}(w/\sigma^2)^{1/2}`
    and the mask :math:`M`, the posterior mean is :math:`\sigma R c` with :math:`(I + R^T M R) c = R^T M y / \sigma`.
    The preconditioner is diagonal, with a correction for regions that are hidden as a whole. Draws perturb the
    right-hand side [2]_; the evidence uses stochastic Lanczos quadrature [3]_ with fixed probes; free covariances are
    learned by expectation maximisation.

    References
    ----------
    .. [1] Saatci, "Scalable Inference for Structured Gaussian Process Models", PhD thesis, Cambridge, 2011, chapter 5.
    .. [2] Papandreou, Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010.
    .. [3] Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal.
       Appl. 38, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import GridGP, Matern, SquaredExponential
    >>> t, x = np.linspace(0, 1, 30), np.linspace(0, 2, 20)
    >>> y = np.sin(6 * t)[:, None] * np.cos(3 * x)
    >>> y[10:14, 5:9] = np.nan
    >>> model = GridGP([Matern(2.5), SquaredExponential()], random_state=0).fit([t, x], y)
    >>> mean, std = model.predict(return_std=True)
    >>> bool(abs(mean[12, 7] - np.sin(6 * t[12]) * np.cos(3 * x[7])) < 0.01)
    True
    """

    def __init__(
        self,
        kernels: Sequence[object],
        *,
        noise_var: str | float | np.ndarray = "learn",
        learn_kernels: bool = True,
        mean: str | float = "constant",
        noise_axis: int | None = None,
        mean_axis: int | None = None,
        method: str = "auto",
        tol: float = 3e-3,
        max_iter: int = 500,
        n_samples: int = 16,
        n_probes: int | None = None,
        max_learning_iter: int = 50,
        learning_tol: float = 0.05,
        subgrid: int | None = 100_000,
        device: str | None = None,
        random_state: RandomState = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.kernels = kernels
        self.noise_var = noise_var
        self.learn_kernels = learn_kernels
        self.mean = mean
        self.noise_axis = noise_axis
        self.mean_axis = mean_axis
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.n_samples = n_samples
        self.n_probes = n_probes
        self.max_learning_iter = max_learning_iter
        self.learning_tol = learning_tol
        self.subgrid = subgrid
        self.device = device
        self.random_state = random_state
        self.callback = callback
        self.verbose = verbose

    def fit(self, coords: object, y: Array | None = None, *, mask: np.ndarray | None = None) -> Self:
        """Learn the hyperparameters and compute the posterior.

        Parameters
        ----------
        coords : sequence of D arrays, shapes ``(n_d,)``, or xarray.DataArray
            Coordinates of each axis, in any order and spacing, without repeats; dates count in days. None for an axis
            with a `FreeCovariance`. A DataArray without `y` brings coordinates and observations.
        y : array, shape ``(n_1, ..., n_D)``
            Observations; NaN marks missing cells. numpy, torch or DataArray; not modified. The computation runs in its
            dtype, or in float64 where rounding to float32 would show beside `tol`.
        mask : boolean array, shape of `y`, optional
            True where observed; combined with the NaN.

        Returns
        -------
        self : GridGP

        Raises
        ------
        ShapeError
            If axes, coordinates, kernels and data disagree.
        NotFiniteError
            If a coordinate is NaN or infinite, or an observed cell is infinite.
        ValueError
            If coordinates repeat, if no cell is observed, or if an option is unknown.

        Warns
        -----
        ConvergenceWarning
            If learning or the solve for the mean stopped at its limit.
        """
        given = gathered(coords, y, mask, self.kernels)
        problem = prepare(self, given.coords, given.y, given.mask)
        data, options = problem.data, problem.options
        rng = check_random_state(self.random_state)
        progress = Progress(self.verbose, self.callback)
        try:
            model, learned = learn(problem.model, data, options, problem.choose, rng, progress)
        finally:
            progress.close()
        kernels = tuple(folded(start, k) for start, k in zip(problem.kernels, model.kernels, strict=True))
        model = replace(model, kernels=kernels)
        method = problem.choose_posterior()
        posterior = GridPosterior(model, data, method, tol=self.tol, max_iter=self.max_iter)
        evaluate = Evaluator(data, method, options, rng)
        if method == "iterative":
            evidence, error = posterior.evidence(evaluate.normals[1])
        else:
            evidence, error = evaluate(model).value, 0.0
        self._store(model, data, posterior, problem.cell_noise, problem.like)
        self._labels = given.labels
        self.log_evidence_, self.log_evidence_se_ = evidence, error
        self.history_ = progress.history
        self._seed = int(rng.integers(2**63))
        solved = posterior.info is None or posterior.info.status == "converged"
        self.converged_ = learned and solved
        if not learned:
            self._warn(
                f"Learning stopped after max_learning_iter={self.max_learning_iter} steps before settling; raise it."
            )
        if posterior.info is not None and not solved:
            self._warn(unsettled_message("The posterior mean has", posterior.info, self.tol))
        return self
