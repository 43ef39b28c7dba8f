"""The estimator: orthogonal dictionaries, dense or Kronecker-factored, from samples or from a stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import get_namespace
from structkit._core.estimator import Estimator
from structkit._core.progress import Progress
from structkit._core.random import check_random_state
from structkit._core.types import Array, Callback, RandomState, Shape
from structkit.dictionary.learner import Learner
from structkit.dictionary.options import checked_samples, matched, prepare
from structkit.dictionary.statistics import Rule, project, select
from structkit.kron import kron, multi_mode_product

__all__ = ["OrthogonalDictionary"]

# Records of the history that are kept; older ones are thinned out.
HISTORY = 512


class OrthogonalDictionary(Estimator):
    r"""Orthogonal dictionary that makes samples sparse, learned from all samples at once or in one pass over a stream.

    The model is :math:`y = D x + \varepsilon` with an orthogonal matrix :math:`D` of atoms, sparse codes :math:`x` and
    noise. With `shape` the samples are matrices or tensors and :math:`D = D_1 \otimes \dots \otimes D_m`, which a few
    hundred samples determine.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape ``(n_1, ..., n_m)`` of a sample, for a Kronecker dictionary. Default: vectors, one dense matrix.
    n_nonzero : int, optional
        Codes that are kept per sample. Default: those above a threshold that follows from the data.
    forgetting : float, default 0.0
        Least weight of a new block of `batch_size` samples, 0 to 1, for dictionaries that drift; 0: all samples count.
    robust : bool, default False
        Shorten samples to 1.5 times the running median of their norms, against outliers.
    batch_size : int, optional
        Samples between two updates of a stream. Default: 4 times the largest axis, and a sixteenth of the samples seen
        so far where that is more and nothing is forgotten.
    averaging : float, default 2.0
        Weight of a new sample over that of an average one, at least 1. More forgets the beginning faster and averages
        less. Where codes are hardly sparse, more is taken by itself.
    start : {"random", "dct"} or sequence of array, shapes ``(n_d, n_d)``, default "random"
        Where learning starts. Cosines (for images) and given orthogonal matrices, atoms as columns, are only refined:
        the atoms keep their order.
    threshold : "auto" or float, default "auto"
        Magnitude below which codes count as zero, in units of the data.
    warmup : "auto" or int, default "auto"
        Samples of a stream that are kept for the first dictionary; 64 times the largest axis by default.
    max_iter : int, default 200
        Most iterations of each stage of a search.
    tol : float, default 1e-4
        A search ends when the atoms move by less than this, root mean square (dimensionless).
    random_state : None, int or numpy.random.Generator
        Source of the random start.
    callback : callable, optional
        Called with a dict after each iteration or block; returning True ends `fit` and `fit_stream`.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    components_ : array, shape ``(n_features, n_features)``
        Atoms as rows.
    factors_ : list of array, shapes ``(n_d, n_d)``
        Atoms as columns; ``components_ = kron(*factors_).T``.
    gap_ : float
        Relative Frank-Wolfe gap: how much the objective, linearised, could still grow; 0 at a stationary point.
    threshold_ : float
        Magnitude below which `transform` sets codes to zero.
    n_samples_seen_ : int
        Samples so far.
    n_features_in_ : int
        Numbers per sample.
    history_ : list of dict
        Gap and movement after each iteration or block; old records are thinned out.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.dictionary import OrthogonalDictionary, dictionary_distance
    >>> rng = np.random.default_rng(0)
    >>> D = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    >>> codes = rng.standard_normal((4000, 16)) * (rng.random((4000, 16)) < 0.1)
    >>> X = codes @ D.T + 0.01 * rng.standard_normal((4000, 16))
    >>> model = OrthogonalDictionary(random_state=0).fit(X)
    >>> dictionary_distance(model.components_, D.T) < 0.005
    True
    """

    n_samples_seen_: int
    n_features_in_: int
    history_: list[dict[str, object]]

    def __init__(
        self,
        *,
        shape: Shape | None = None,
        n_nonzero: int | None = None,
        forgetting: float = 0.0,
        robust: bool = False,
        batch_size: int | None = None,
        averaging: float = 2.0,
        start: object = "random",
        threshold: str | float = "auto",
        warmup: str | int = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        random_state: RandomState = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.shape = shape
        self.n_nonzero = n_nonzero
        self.forgetting = forgetting
        self.robust = robust
        self.batch_size = batch_size
        self.averaging = averaging
        self.start = start
        self.threshold = threshold
        self.warmup = warmup
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.callback = callback
        self.verbose = verbose

    def fit(self, X: Array, y: object = None) -> Self:
        """Learn from all samples at once, with several passes over them.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Samples, numpy or torch, without NaN; not modified and not centred.
        y : object
            Not used; for pipelines.

        Returns
        -------
        self : OrthogonalDictionary
        """
        Y = checked_samples(self, X, fitting=True)
        if Y.shape[0] == 0 or not bool(get_namespace(Y).any(Y != 0)):
            raise ValueError(
                f"Found array with {Y.shape[0]} sample(s) (shape={tuple(Y.shape)}), none with a nonzero entry, while "
                "a minimum of 1 is required."
            )
        rng = check_random_state(self.random_state)
        self._begin(Y, rng)
        self._run(lambda report: self._learner.fit(Y, rng, report))
        self.n_samples_seen_ = Y.shape[0]
        return self

    def partial_fit(self, X: Array, y: object = None) -> Self:
        """Learn from the next samples of a stream, one or many.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            The next samples; their number does not matter.
        y : object
            Not used; for pipelines.

        Returns
        -------
        self : OrthogonalDictionary
        """
        first = not hasattr(self, "_learner")
        Y = checked_samples(self, X, fitting=first)
        if first:
            self._begin(Y, check_random_state(self.random_state))
        Y = matched(Y, self._learner)
        self._run(lambda report: self._learner.feed(Y, report))
        self.n_samples_seen_ += Y.shape[0]
        return self

    def fit_stream(self, batches: Iterable[Array]) -> Self:
        """Learn from an iterable of batches, in one pass.

        Parameters
        ----------
        batches : iterable of array
            Samples as in `partial_fit`, of any numbers.

        Returns
        -------
        self : OrthogonalDictionary
        """
        for batch in batches:
            self.partial_fit(batch)
        return self

    def _begin(self, Y: Any, rng: np.random.Generator) -> None:
        """Forget everything and prepare for samples like `Y`."""
        self._learner: Learner = prepare(self, Y, rng)
        self.n_features_in_ = int(np.prod(Y.shape[1:]))
        self.n_samples_seen_ = 0
        self.history_ = []

    def _run(self, work: Any) -> None:
        """Do some learning with progress and history."""
        progress = Progress(self.verbose, self.callback)

        def report(record: dict[str, object]) -> bool:
            self.history_.append(record)
            if len(self.history_) > HISTORY:
                del self.history_[: HISTORY // 2 : 2]
            return progress.step(record)

        try:
            work(report)
        finally:
            progress.close()

    def transform(self, X: Array) -> Array:
        """Return the sparse codes of samples.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Samples.

        Returns
        -------
        codes : array, same shape
            Codes, zero where they are below `threshold_` or not among the `n_nonzero` largest of their sample.
        """
        self._check_fitted("_learner")
        Y = checked_samples(self, X, fitting=False)
        stream = self._learner.provisional()
        Z = project(Y, stream.factors).reshape(Y.shape[0], -1)
        rule = Rule(levels=stream.floor(), n_nonzero=stream.pace.n_nonzero)
        return select(Z, rule, get_namespace(Z)).reshape(X.shape)

    def fit_transform(self, X: Array, y: object = None) -> Array:
        """Fit and return the codes of the same samples.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Samples.
        y : object
            Not used; for pipelines.

        Returns
        -------
        codes : array, same shape
        """
        return self.fit(X).transform(X)

    def inverse_transform(self, C: Array) -> Array:
        """Return the samples with given codes.

        Parameters
        ----------
        C : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Codes.

        Returns
        -------
        X : array, same shape
        """
        self._check_fitted("_learner")
        codes = checked_samples(self, C, fitting=False, name="C")
        factors = self._learner.provisional().factors
        if len(factors) == 1:
            return codes @ factors[0].T
        return multi_mode_product(codes, factors, modes=range(1, codes.ndim)).reshape(C.shape)

    @property
    def factors_(self) -> list[Array]:
        """Atoms as columns, one matrix per axis of a sample."""
        self._check_fitted("_learner")
        return list(self._learner.provisional().factors)

    @property
    def components_(self) -> Array:
        """Atoms as rows."""
        return kron(*self.factors_).T

    @property
    def gap_(self) -> float:
        """Relative Frank-Wolfe gap of the last update."""
        self._check_fitted("_learner")
        return self._learner.provisional().gap

    @property
    def threshold_(self) -> float:
        """Magnitude below which codes count as zero."""
        self._check_fitted("_learner")
        return self._learner.provisional().floor()
