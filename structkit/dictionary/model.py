"""The estimator: orthogonal dictionaries, dense or Kronecker-factored, from samples or from a stream."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import get_namespace, is_dask
from structkit._core.progress import Progress
from structkit._core.random import check_random_state
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, Callback, RandomState, Shape
from structkit.dictionary._dask import batches_of
from structkit.dictionary.archive import pack, unpack
from structkit.dictionary.labelled import features_of
from structkit.dictionary.learner import BlockSums, Learner
from structkit.dictionary.options import check_not_vanishing, checked_samples, matched, prepare
from structkit.dictionary.stream import BlockStream, Report
from structkit.dictionary.transform import CodeTransform

__all__ = ["OrthogonalDictionary"]

# Records of the history that are kept; older ones are thinned out.
HISTORY = 512


class OrthogonalDictionary(CodeTransform):
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
    orthogonal : bool, default True
        False: any complete dictionary of unit atoms. The samples are whitened, and the atoms then refined by least
        squares; not with `shape`, and abrupt changes are not noticed.
    schedule : {"buffered", "paper"}, default "buffered"
        ``"paper"``: the online Frank-Wolfe method of [1]_ with its rates, one sample per step by default; slower and
        less precise, for comparisons; not with `forgetting` and `robust`.
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
        Samples of a stream that are kept for the first dictionary; by default 64 times the largest axis and, where
        nothing is forgotten, at least 2048. Until then the dictionary is found anew whenever it is asked for.
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
    n_iter_ : int
        Iterations of searches and blocks so far.
    history_ : list of dict
        Gap and movement after each iteration or block; old records are thinned out.

    Notes
    -----
    Every stage repeats :math:`D \leftarrow \operatorname{polar}(\sum y\, g(D^\top y)^\top)`. From a random start
    :math:`g(z) = z |z|` ascends the sum of third powers; shrunken codes, with a check of pairs of atoms that are active
    together, bring the atoms near; cut codes make them precise, unless the estimated asymptotic variance speaks for
    shrunken ones. The stream replaces the sum by a running mean, moved after each block of :math:`b` samples by
    :math:`\rho = k b / (N + (k-1) b)`, :math:`k` the `averaging`. With a positive `forgetting`, codes that lose their
    zeros or heavy tails make it search anew in the next 32 samples per row of the largest factor. Samples are not
    centred.

    The schedule ``"paper"`` averages gradients of third powers with weight :math:`t^{-1/2}` and moves by
    :math:`t^{-3/4}` towards their polar factor, rates that give the gap :math:`O(t^{-1/4} \log t)` of [1]_; the
    constants are ours, both 1.

    Parameters that are changed in the middle of a stream count from the next `fit`.

    References
    ----------
    .. [1] Xue, Lau, "Online orthogonal dictionary learning based on Frank-Wolfe method", IEEE Trans. Neural Netw.
       Learn. Syst., 2021, arXiv 2103.01484.

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
    n_iter_: int
    history_: list[dict[str, object]]

    def __init__(
        self,
        *,
        shape: Shape | None = None,
        n_nonzero: int | None = None,
        forgetting: float = 0.0,
        robust: bool = False,
        orthogonal: bool = True,
        schedule: str = "buffered",
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
        self.orthogonal = orthogonal
        self.schedule = schedule
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
            Samples, numpy or torch, data frame or `xarray.DataArray`, without NaN; not modified and not centred.
        y : object
            Not used; for pipelines.

        Returns
        -------
        self : OrthogonalDictionary
        """
        Y = checked_samples(self, X, fitting=True)
        check_not_vanishing(Y)
        if Y.shape[0] == 0 or not bool(get_namespace(Y).any(Y != 0)):
            raise ValueError(
                f"X is an array with {Y.shape[0]} sample(s) (shape={tuple(Y.shape)}), none with a nonzero entry, while "
                "a minimum of 1 is required."
            )
        rng = check_random_state(self.random_state)
        self._begin(X, Y, rng)
        self._run(lambda report: self._learner.fit(Y, rng, report), Progress(self.verbose, self.callback), 3)
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
        self._take(X, Progress(self.verbose, self.callback))
        return self

    def fit_stream(self, batches: Iterable[Array]) -> Self:
        """Learn from an iterable of batches or from a dask array, in one pass.

        Parameters
        ----------
        batches : iterable of array, or dask array ``(n_samples, ...)``
            Samples as in `partial_fit`, of any numbers. Of a dask array, blocks of rows are summed in parallel, as many
            at once as have a quarter of the samples seen so far; nothing but sums comes back from the workers.

        Returns
        -------
        self : OrthogonalDictionary
        """
        progress = Progress(self.verbose, self.callback)
        parts: Iterable[Any] = batches
        if is_dask(batches):
            parts = batches_of(batches, self._ready_stream)  # type: ignore[arg-type]
        for batch in parts:
            self._take(batch, progress)
            if progress.stopped:
                break
        return self

    def _take(self, batch: Any, progress: Progress) -> None:
        """Learn from one batch of samples, or from the sums over one."""
        if isinstance(batch, BlockSums):
            self._run(lambda report: self._learner.absorb(batch, report), progress)
            self.n_samples_seen_ += batch.sums.count
            return
        first = not hasattr(self, "_learner")
        Y = checked_samples(self, batch, fitting=first)
        if first:
            self._begin(batch, Y, check_random_state(self.random_state))
        else:
            self._check_feature_names(batch, fitting=False)
        Y = matched(Y, self._learner)
        self._run(lambda report: self._learner.feed(Y, report), progress)
        self.n_samples_seen_ += Y.shape[0]

    def _ready_stream(self) -> tuple[BlockStream | None, float | None]:
        """Return the stream, if it is ready for samples, and the median norm at which samples are shortened."""
        learner: Learner | None = getattr(self, "_learner", None)
        if learner is None or learner.waiting:
            return None, None
        return learner.stream, None if learner.clip is None else learner.clip.median

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
            As of `transform`.
        """
        return self.fit(X).transform(X)

    def _begin(self, X: object, Y: Any, rng: np.random.Generator) -> None:
        """Forget everything and prepare for samples like `Y`, which were given as `X`."""
        self._learner: Learner = prepare(self, Y, rng)
        self._check_feature_names(X, fitting=True)
        self._features = features_of(X)
        self.n_features_in_ = int(np.prod(Y.shape[1:]))
        self.n_samples_seen_ = 0
        self.n_iter_ = 0
        self.history_ = []

    def _run(self, work: Callable[[Report], None], progress: Progress, level: int = 4) -> None:
        """Do some learning with progress and history; warnings point `level` calls up."""
        begun = False

        def report(record: dict[str, object]) -> bool:
            nonlocal begun
            if not begun:
                progress.stage("dictionary")
                begun = True
            self.n_iter_ += 1
            self.history_.append(record)
            if len(self.history_) > HISTORY:
                del self.history_[: HISTORY // 2 : 2]
            return progress.step(record)

        try:
            work(report)
        finally:
            progress.close()
        for message, category in self._learner.warnings:
            warnings.warn(message, category, stacklevel=level)
        self._learner.warnings = []

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, without pickle, also in the middle of a stream; `structkit.load` reads it.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``. It appears whole or not at all.
        """
        self._check_fitted("_learner")
        write_archive(path, "OrthogonalDictionary", pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model written by `save`; it goes on exactly as the saved one would.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, optional
            Torch device, such as ``"cpu"``, for a model that was fitted on another. Default: the same one.

        Returns
        -------
        model : OrthogonalDictionary
            As it was saved: its answers are the same.

        Raises
        ------
        StructKitError
            If the file is damaged, incomplete, of another kind, or written by a newer version.
        """
        return unpack(cls, read_archive(path, ["OrthogonalDictionary"])[1], device)
