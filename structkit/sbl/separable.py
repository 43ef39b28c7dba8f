"""Sparse coefficients that are a short sum of products of sparse vectors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from structkit._core.errors import ConvergenceWarning
from structkit._core.progress import Progress
from structkit._core.types import Array, Callback
from structkit.sbl.base import SparseModel
from structkit.sbl.options import Options, check_noise, check_penalty, count, positive
from structkit.sbl.problem import prepare
from structkit.sbl.recovery import Block, Solution
from structkit.sbl.rounds import fit_terms
from structkit.sbl.separable_block import SeparableBlock

__all__ = ["SeparableSBL"]


class SeparableSBL(SparseModel):
    r"""Sparse Bayesian learning of coefficients that are products of sparse vectors.

    The coefficients are :math:`x = \sum_{r=1}^R x_{r1} \otimes \dots \otimes x_{rI}` with sparse vectors
    :math:`x_{ri}`, as in channels with one path per term. That has far fewer unknowns than the
    :math:`\prod_i |S_i|` coefficients of `KroneckerSBL`, so that the error is several times smaller where the model
    holds; where it does not, use `KroneckerSBL`.

    Parameters
    ----------
    rank : int or "auto", default 1
        Number of terms; ``"auto"`` adds terms (at most 8) while the penalised likelihood grows.
    noise_var : "learn" or float, default "learn"
        Noise variance in squared units of `y`: learned, or given.
    penalty : {"ebic", "bic"} or float, default "ebic"
        What a column has to gain in log evidence to stay, as in `KroneckerSBL`.
    max_iter : int, default 50
        Most rounds over all terms.
    tol : float, default 1e-7
        Rounds end when the log likelihood changes by less than this per measurement.
    callback : callable, optional
        Called with a dict after each round; returning True stops.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    support_ : list of numpy.ndarray
        Positions of the active columns of every mode, all terms together, sorted.
    vectors_ : list of list of numpy.ndarray
        Sparse vectors ``vectors_[r][i]`` of full length ``(n_i,)``; with snapshots, a last one of their weights.
    coef_active_ : array, shape ``(|S_1|, ..., |S_I|)``, with snapshots ``(|S_1|, ..., |S_I|, L)``
        Coefficients on the support.
    variance_active_ : array, shape ``(|S_1|, ..., |S_I|)``
        Their variance, the vectors taken as independent.
    gamma_ : list of numpy.ndarray, shapes ``(n_i,)``
        Prior variances of the first term.
    noise_var_ : float
        Noise variance, in squared units of `y`.
    evidence_ : float
        Log likelihood of the measurements at the posterior means (no evidence: the vectors are not integrated out).
    penalized_evidence_ : float
        The same less the penalties.
    block_fill_ : float
        Share of the coefficients on the support that are larger than three standard deviations.
    converged_ : bool
        Whether the rounds came to their end.
    n_iter_ : int
        Rounds.
    history_ : list of dict
        Trace of the fit.

    See Also
    --------
    KroneckerSBL : the same support without the product.

    Notes
    -----
    With all modes but one fixed, the measurements reduce to one vector behind one dictionary, with less noise; sparse
    Bayesian learning by additions and deletions finds that mode, mode after mode. Two starts: the leading product of
    the measurements, and that of the coefficients that `KroneckerSBL` finds; the larger penalised likelihood stays.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import SeparableSBL
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((12, 20)), rng.standard_normal((10, 30))
    >>> a, b = np.zeros(20), np.zeros(30)
    >>> a[[3, 8]], b[[5, 17, 20]] = [1.0, -2.0], [3.0, 1.5, 2.0]
    >>> y = np.outer(A @ a, B @ b) + 0.1 * rng.standard_normal((12, 10))
    >>> model = SeparableSBL().fit([A, B], y)
    >>> [s.tolist() for s in model.support_]
    [[3, 8], [5, 17, 20]]
    """

    _block_type = SeparableBlock

    vectors_: list[list[np.ndarray]]

    def __init__(
        self,
        rank: int | str = 1,
        *,
        noise_var: str | float = "learn",
        penalty: str | float = "ebic",
        max_iter: int = 50,
        tol: float = 1e-7,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.rank = rank
        self.noise_var = noise_var
        self.penalty = penalty
        self.max_iter = max_iter
        self.tol = tol
        self.callback = callback
        self.verbose = verbose

    def fit(self, factors: Sequence[Array], y: Array, *, n_snapshots: int | None = None) -> Self:
        """Recover the vectors.

        Parameters
        ----------
        factors : sequence of array, shapes ``(m_i, n_i)``
            Dictionaries, as in `KroneckerSBL.fit`.
        y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
            Measurements; snapshots share all vectors and have weights of their own.
        n_snapshots : int, optional
            How many snapshots `y` has to hold.

        Returns
        -------
        self : SeparableSBL

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
        options, rank = self._options()
        problem = prepare(factors, y, n_snapshots)
        if options.noise_var is not None:
            options = replace(options, noise_var=options.noise_var / problem.scale**2)
        progress = Progress(self.verbose, self.callback)
        try:
            fit = fit_terms(problem, options, progress, rank, self.max_iter)
        finally:
            progress.close()
        block = SeparableBlock.of_terms(problem, fit.terms, fit.noise_var)
        solution = Solution(block, fit.cost, fit.penalized, fit.converged, fit.n_iter)
        self._store(problem, solution, progress.history)
        if not fit.converged and not progress.stopped:
            warnings.warn(
                f"SeparableSBL stopped after max_iter={self.max_iter} rounds before it settled; raise it.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _set_block(self, block: Block, sizes: Sequence[int], snapshots: bool, like: Array) -> None:
        super()._set_block(block, sizes, snapshots, like)
        self.vectors_ = block.vectors(sizes, snapshots)  # type: ignore[attr-defined]

    def _options(self) -> tuple[Options, int | None]:
        """Check the constructor's arguments."""
        rank = None if self.rank == "auto" else count("rank", self.rank)
        options = Options(
            method="fb",
            noise_var=check_noise(self.noise_var),
            penalty=check_penalty(self.penalty),
            n_starts=2,
            max_iter=500,
            tol=positive("tol", self.tol),
            prune=(),
            coupling=(),
        )
        count("max_iter", self.max_iter)
        return options, rank
