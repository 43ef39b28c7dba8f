"""Sparse coefficients behind a Kronecker product of dictionaries."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from structkit._core.errors import ConvergenceWarning
from structkit._core.progress import Progress
from structkit._core.types import Array, Callback
from structkit.sbl.base import SparseModel
from structkit.sbl.full import METHODS, Method
from structkit.sbl.options import (
    Options,
    check_choice,
    check_noise,
    check_penalty,
    check_shares,
    count,
    positive,
)
from structkit.sbl.problem import prepare
from structkit.sbl.solve import solve

__all__ = ["KroneckerSBL"]

_DEFAULTS = {"fb": Method(0.0, 1e-7, 500), **METHODS}


class KroneckerSBL(SparseModel):
    r"""Sparse Bayesian learning behind a Kronecker product of dictionaries.

    Recovers :math:`x` from :math:`y = (A_1 \otimes \dots \otimes A_I) x + n`, where the support of :math:`x` is a
    Cartesian product :math:`S_1 \times \dots \times S_I`, and learns support, coefficients with error bars, and noise.
    The default method takes :math:`O(\sum_i m_i^3 + M \sum_i m_i)` time per step for :math:`M = \prod_i m_i`
    measurements and never forms a vector of all :math:`N = \prod_i n_i` coefficients.

    Parameters
    ----------
    method : {"fb", "mm", "am", "svd", "ksbl", "block"}, default "fb"
        ``"fb"``: columns enter and leave one by one, each change judged by the exact evidence. ``"mm"``: all columns,
        steps that never lower the evidence. The others are published methods, for comparison: expectation maximisation
        with alternating minimisation (``"am"``), with nested singular value decompositions (``"svd"``, which forms
        a tensor of all coefficients), with a single sweep (``"ksbl"``), with neighbouring columns coupled
        (``"block"``).
    noise_var : "learn" or float, default "learn"
        Noise variance in squared units of `y`: learned, or given.
    penalty : {"ebic", "bic"} or float, default "ebic"
        What a column has to gain in log evidence to stay: ``"bic"``, :math:`\tfrac12 \log M`; ``"ebic"``, the larger of
        that and :math:`2 + \log n_i`, which pays for the choice among :math:`n_i` columns; or a number of nats.
    n_starts : {1, 2}, default 2
        1: ``"fb"`` starts from one column per mode. 2: it also starts from all columns shrunk by some steps, and again
        from single columns in modes with at least half as many active columns as rows, where a sparse solution need not
        be the sparsest; the solution with the largest penalised evidence stays. Single starts end in a worse solution
        in about one of ten runs of hard problems.
    coupling : float or sequence of float, default 0.8
        How much of its neighbours' prior variance a column inherits with ``"block"``, in all modes or per mode; 0 for a
        mode without blocks. The default is the published one.
    prune_tol : float or sequence of float, optional
        Columns with prior variance below this times the largest of their mode leave, in all methods but ``"fb"``; one
        number, or one per mode.
        Default: 1e-6 for ``"mm"``; as published, 1e-3 for ``"svd"`` and 1e-2 for the others.
    initial_variance : float, optional
        Prior variance of every coefficient at the start, in squared units of the coefficients, in all methods but
        ``"fb"``. Expectation maximisation depends on it; the published experiments start at 1 whatever the units.
        Default: the variance that gives measurements of the mean square of `y`.
    max_iter : int, optional
        Most steps. Default: 500 for ``"fb"``, 1000 for ``"mm"``; as published, 150 for the others.
    tol : float, optional
        ``"fb"`` and ``"mm"`` end their fixed-point steps when the log evidence gains less than this per measurement,
        1e-7 by default; the others when the prior variances change by less than this, 1e-4 as published (relative).
    callback : callable, optional
        Called with a dict after each step; returning True stops.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    support_ : list of numpy.ndarray
        Positions of the active columns of every mode, sorted. Empty where noise alone explains the data better.
    coef_active_ : array, shape ``(|S_1|, ..., |S_I|)``, with snapshots ``(|S_1|, ..., |S_I|, L)``
        Posterior mean of the coefficients on the support.
    variance_active_ : array, shape ``(|S_1|, ..., |S_I|)``
        Their posterior variance.
    gamma_ : list of numpy.ndarray, shapes ``(n_i,)``
        Prior variances, zero outside of the support; all modes but the last have largest entry one.
    noise_var_ : float
        Noise variance, in squared units of `y`.
    evidence_ : float
        Log evidence of the measurements.
    penalized_evidence_ : float
        The same less the penalties: what decides between solutions.
    block_fill_ : float
        Share of the coefficients on the support that are larger than three posterior standard deviations. A small share
        says that the true support is no Cartesian product and the block is a box around it.
    converged_ : bool
        Whether the search came to its end.
    n_iter_ : int
        Steps of the start that won.
    history_ : list of dict
        Trace of the fit.

    Notes
    -----
    The model is that of [1]_; its evidence and gradients are computed exactly, by one singular value decomposition per
    mode and sums over a tensor of the size of the measurements. Prior variances take multiplicative fixed-point steps
    [2]_; columns enter and leave by the fast marginal likelihood of [3]_, generalised to a product: in the eigenbases
    of the other modes the data fall apart into slices, and the evidence is a function of one variance.

    References
    ----------
    .. [1] He, Joseph, "Bayesian algorithms for Kronecker-structured sparse vector recovery with application to
       IRS-MIMO channel estimation", IEEE Trans. Signal Process. 73, 2025.
    .. [2] Wipf, Nagarajan, "Iterative reweighted l1 and l2 methods for finding sparse solutions", IEEE J. Sel. Topics
       Signal Process. 4, 2010.
    .. [3] Tipping, Faul, "Fast marginal likelihood maximisation for sparse Bayesian models", AISTATS 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import KroneckerSBL
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((12, 20)), rng.standard_normal((10, 30))
    >>> x = np.zeros((20, 30))
    >>> x[np.ix_([3, 8], [5, 17])] = [[1.0, -2.0], [3.0, 1.5]]
    >>> y = A @ x @ B.T + 0.1 * rng.standard_normal((12, 10))
    >>> model = KroneckerSBL().fit([A, B], y)
    >>> [s.tolist() for s in model.support_]
    [[3, 8], [5, 17]]
    >>> bool(np.abs(model.coef_ - x).max() < 0.1)
    True
    """

    def __init__(
        self,
        method: str = "fb",
        *,
        noise_var: str | float = "learn",
        penalty: str | float = "ebic",
        n_starts: int = 2,
        coupling: float | Sequence[float] = 0.8,
        prune_tol: float | Sequence[float] | None = None,
        initial_variance: float | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.noise_var = noise_var
        self.penalty = penalty
        self.n_starts = n_starts
        self.coupling = coupling
        self.prune_tol = prune_tol
        self.initial_variance = initial_variance
        self.max_iter = max_iter
        self.tol = tol
        self.callback = callback
        self.verbose = verbose

    def fit(self, factors: Sequence[Array], y: Array, *, n_snapshots: int | None = None) -> Self:
        """Recover the coefficients.

        Parameters
        ----------
        factors : sequence of array, shapes ``(m_i, n_i)``
            Dictionaries, real or complex; numpy or torch. Columns need no normalisation. Not modified.
        y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
            Measurements; snapshots share support and prior variances. Not modified. The computation runs in double
            precision, results come in the dtype of the input.
        n_snapshots : int, optional
            How many snapshots `y` has to hold; an error if it holds others. Default: what `y` holds.

        Returns
        -------
        self : KroneckerSBL

        Raises
        ------
        ShapeError
            If factors and measurements disagree.
        NotFiniteError
            If something is NaN or infinite.
        ValueError
            If a column of a dictionary is zero, `y` is zero everywhere, or an option is unknown.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ended the fit.
        """
        options = self._options(len(factors))
        problem = prepare(factors, y, n_snapshots)
        if options.noise_var is not None:
            options = replace(options, noise_var=options.noise_var / problem.scale**2)
        progress = Progress(self.verbose, self.callback)
        try:
            solution = solve(problem, options, progress)
        finally:
            progress.close()
        self._store(problem, solution, progress.history)
        if not solution.converged and not progress.stopped:
            warnings.warn(
                f"KroneckerSBL stopped after max_iter={options.max_iter} steps before the search ended; raise it.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _options(self, n_modes: int) -> Options:
        """Check the constructor's arguments."""
        start = self.initial_variance
        defaults = _DEFAULTS[check_choice("method", self.method, list(_DEFAULTS))]
        return Options(
            method=self.method,
            noise_var=check_noise(self.noise_var),
            penalty=check_penalty(self.penalty),
            n_starts=count("n_starts", self.n_starts, 2),
            max_iter=defaults.max_iter if self.max_iter is None else count("max_iter", self.max_iter),
            tol=defaults.tol if self.tol is None else positive("tol", self.tol),
            prune=check_shares("prune_tol", defaults.prune if self.prune_tol is None else self.prune_tol, n_modes),
            initial_variance=None if start is None else positive("initial_variance", start),
            coupling=check_shares("coupling", self.coupling, n_modes),
        )
