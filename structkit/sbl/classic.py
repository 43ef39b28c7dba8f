"""Sparse Bayesian learning with one dictionary and no structure: the dense baseline."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ConvergenceWarning, NotPositiveDefiniteError
from structkit._core.estimator import Regressor
from structkit._core.progress import Progress
from structkit._core.types import Array, Callback
from structkit._core.validation import check_memory
from structkit.kron import kron
from structkit.sbl.base import SparseModel
from structkit.sbl.options import check_choice, check_noise, check_share, count, positive
from structkit.sbl.polish import NOISE_FLOOR
from structkit.sbl.problem import as_dictionaries, as_dictionary, as_targets, is_matrix, prepare
from structkit.sbl.recovery import Block, Solution, block_of, log_evidence
from structkit.sbl.spectral import Spectral, abs2, compress

__all__ = ["SBL"]


class SBL(SparseModel, Regressor):
    r"""Classic sparse Bayesian learning: one prior variance per coefficient.

    The baseline without Kronecker structure, in :math:`O(N M^2)` time per step and with matrices of :math:`M \times M`
    and :math:`M \times N` numbers. Use it for single dictionaries of moderate size, and to see what the structure
    brings.

    Parameters
    ----------
    method : {"mackay", "em"}, default "mackay"
        Fixed-point steps, or expectation maximisation [1]_, which needs many more.
    noise_var : "learn" or float, default "learn"
        Noise variance in squared units of `y`: learned, or given.
    prune_tol : float, default 1e-3
        Coefficients with prior variance below this times the largest leave; the usual value.
    max_iter : int, default 150
        Most steps.
    tol : float, default 1e-4
        Steps end when the prior variances change by less than this (relative).
    callback : callable, optional
        Called with a dict after each step; returning True stops.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    support_ : list of one numpy.ndarray
        Positions of the coefficients that are left.
    coef_active_ : array, shape ``(k,)``, with snapshots ``(k, L)``
        Their posterior mean; `coef_` holds all.
    variance_active_ : array, shape ``(k,)``
        Their posterior variance.
    gamma_ : list of one numpy.ndarray, shape ``(n,)``
        Prior variances.
    noise_var_ : float
        Noise variance, in squared units of `y`.
    evidence_ : float
        Log evidence of the measurements.
    penalized_evidence_ : float
        The same; there is no penalty.
    block_fill_ : float
        Share of the coefficients left that are larger than three posterior standard deviations.
    converged_ : bool
        Whether the steps came to their end.
    n_iter_ : int
        Steps.
    history_ : list of dict
        Trace of the fit.
    n_features_in_ : int
        Columns of the dictionary.

    Notes
    -----
    One dictionary and its measurements are what scikit-learn calls ``X`` and ``y``: the model goes into its pipelines,
    searches and `sklearn.base.clone`. A learned noise variance stays above the rounding of the product.

    References
    ----------
    .. [1] Wipf, Rao, "Sparse Bayesian learning for basis selection", IEEE Trans. Signal Process. 52, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import SBL
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((30, 50))
    >>> y = A[:, [4, 17]] @ [2.0, -3.0] + 0.1 * rng.standard_normal(30)
    >>> model = SBL().fit(A, y)
    >>> bool(np.abs(model.coef_[[4, 17]] - [2.0, -3.0]).max() < 0.1)
    True
    """

    _fitted_attribute = "support_"
    _multi_output = True

    n_features_in_: int

    def __init__(
        self,
        method: str = "mackay",
        *,
        noise_var: str | float = "learn",
        prune_tol: float = 1e-3,
        max_iter: int = 150,
        tol: float = 1e-4,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.noise_var = noise_var
        self.prune_tol = prune_tol
        self.max_iter = max_iter
        self.tol = tol
        self.callback = callback
        self.verbose = verbose

    def fit(self, factors: Array | Sequence[Array], y: Array) -> Self:
        """Recover the coefficients.

        Parameters
        ----------
        factors : array or pandas.DataFrame, shape ``(m, n)``, or list of arrays
            The dictionary, or factors whose Kronecker product is formed; SizeError where that does not fit in memory.
        y : array, shape ``(m,)`` or ``(m, L)``, or the tensor that belongs to the factors
            Measurements.

        Returns
        -------
        self : SBL

        Raises
        ------
        ShapeError
            If dictionary and measurements disagree.
        NotFiniteError
            If something is NaN or infinite.
        NotPositiveDefiniteError
            If a given `noise_var` is too small beside the rounding of the dictionary.
        ValueError
            If a column of the dictionary is zero, `y` is zero everywhere, or an option is unknown.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ended the fit.
        """
        check_choice("method", self.method, ("mackay", "em"))
        noise, prune = check_noise(self.noise_var), check_share("prune_tol", self.prune_tol)
        count("max_iter", self.max_iter)
        positive("tol", self.tol)
        A = as_dictionary(_product(factors))
        problem = prepare([A], _flat(as_targets(y, type(self).__name__), A.shape[0]))
        check_memory(16 * (2 * problem.host[0].size + problem.rows[0] ** 2), "The matrices of a dense model")
        state = _Dense(problem.host[0], np.asarray(to_numpy(problem.y)), noise and noise / problem.scale**2)
        progress = Progress(self.verbose, self.callback)
        progress.stage("SBL", self.max_iter)
        converged = False
        try:
            for n_iter in range(1, self.max_iter + 1):  # noqa: B007
                converged = state.step(self.method, prune) <= self.tol
                record = {"log_evidence": log_evidence(problem, state.cost)}
                record["noise_var"] = state.noise * problem.scale**2
                if progress.step({"stage": "SBL", **record, "n_active": [len(state.columns)]}) or converged:
                    break
        finally:
            progress.close()
        model = Spectral(compress([problem.host[0][:, state.columns]], state.y), [state.gamma], state.noise)
        cost = model.cost()
        solution = Solution(block_of(problem, [state.columns], model), cost, cost, converged, n_iter)
        self._store(problem, solution, progress.history)
        self._check_feature_names(factors, fitting=True)
        if not converged and not progress.stopped:
            warnings.warn(
                f"SBL stopped after max_iter={self.max_iter} steps before it settled; raise it.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _dictionaries(self, given: object) -> list[Array]:
        self._check_feature_names(given, fitting=False)
        return [as_dictionary(_product(given), self.n_features_in_, type(self).__name__)]

    def _set_block(self, block: Block, sizes: Sequence[int], snapshots: bool, like: Array) -> None:
        super()._set_block(block, sizes, snapshots, like)
        self.n_features_in_ = sizes[0]


def _product(dictionary: object) -> object:
    """The Kronecker product of a list of factors, anything else as it is."""
    return dictionary if is_matrix(dictionary) else kron(*as_dictionaries(dictionary))


def _flat(y: Array, m: int) -> Array:
    """Measurements as ``(m,)`` or ``(m, L)``, where their number allows it."""
    sizes = tuple(y.shape)
    if len(sizes) > 1 and sizes[0] != m:
        return y.reshape(m) if math.prod(sizes) == m else y.reshape(m, -1) if math.prod(sizes[:-1]) == m else y
    return y


class _Dense:
    """Columns that are left, their prior variances, the noise."""

    def __init__(self, A: np.ndarray, y: np.ndarray, noise: float | None) -> None:
        self.A, self.y, self.learn = A, y, noise is None
        self.noise = 0.1 if noise is None else noise
        self.columns = np.arange(A.shape[1])
        self.gamma = np.full(A.shape[1], A.shape[0] / A.shape[1])
        self.cost = math.inf

    def step(self, update: str, prune: float) -> float:
        """One step of all prior variances and of the noise; returns the relative change of the variances."""
        kept = self.gamma >= prune * self.gamma.max()
        self.A, self.columns, self.gamma = self.A[:, kept], self.columns[kept], self.gamma[kept]
        m, n_snapshots = self.y.shape
        C = (self.A * self.gamma) @ self.A.conj().T
        if self.learn:  # below, the sum would not be positive definite in floating point
            self.noise = max(self.noise, m * float(np.finfo(float).eps) * float(np.diag(C).real.max()))
        try:
            L = cholesky(C + self.noise * np.eye(m), lower=True)
        except np.linalg.LinAlgError as err:
            raise NotPositiveDefiniteError(
                "The covariance of the measurements is not positive definite in floating point: noise_var is too small "
                "beside what the dictionary explains. Give a larger one, or noise_var='learn'."
            ) from err
        solved = cho_solve((L, True), self.y)
        traces = abs2(solve_triangular(L, self.A, lower=True)).sum(axis=0)
        fits = abs2(self.A.conj().T @ solved).sum(axis=1) / n_snapshots
        self.cost = n_snapshots * 2 * float(np.log(np.diag(L).real).sum()) + float(np.vdot(self.y, solved).real)
        old = self.gamma
        self.gamma = old * fits / traces if update == "mackay" else old + old**2 * (fits - traces)
        if self.learn:
            power = float(abs2(solved).sum()) / n_snapshots
            self.noise = max(self._noise(update, power, float((old * traces).sum()), m), NOISE_FLOOR)
        size = float(np.linalg.norm(old))  # zero where the dictionary explains nothing
        return float(np.linalg.norm(self.gamma - old)) / size if size > 0 else 0.0

    def _noise(self, update: str, power: float, explained: float, m: int) -> float:
        """Next noise variance; `explained` is the trace of what the coefficients add to the covariance, whitened."""
        if update == "mackay":
            return self.noise**2 * power / max(m - explained, 1e-12 * m)
        return (self.noise**2 * power + self.noise * explained) / m
