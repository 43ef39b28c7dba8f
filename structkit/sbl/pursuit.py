"""Orthogonal matching pursuit, coefficient by coefficient."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import asarray_like, cast, device_of, is_torch, itemsize, to_device, to_numpy
from structkit._core.errors import StructKitError
from structkit._core.estimator import Regressor
from structkit._core.progress import Progress
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array, Callback
from structkit._core.validation import check_memory
from structkit.sbl.base import CoordinateList, explained_energy, fitting_dictionaries
from structkit.sbl.greedy import energy_target, strongest
from structkit.sbl.options import count
from structkit.sbl.problem import Problem, as_dictionaries, as_dictionary, as_targets, is_matrix, prepare
from structkit.sbl.spectral import abs2, outer

__all__ = ["OMP", "unpack"]


class OMP(Regressor):
    r"""Orthogonal matching pursuit, coefficient by coefficient.

    Works behind one dictionary or behind a Kronecker product of dictionaries, whose columns are formed one by one as
    they enter; the support is any set, not a Cartesian product.

    Parameters
    ----------
    n_nonzero : int, optional
        Most coefficients. Default: as many as measurements.
    tol : float, optional
        Stop when the norm of the residual is below this times that of `y`. Default: none.
    noise_var : float, optional
        Stop when the residual is as large as noise of this variance, in squared units of `y`.
    callback : callable, optional
        Called with a dict after each step; returning True stops.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    index_ : numpy.ndarray, shape ``(k, I)``
        Positions of the coefficients, in the order in which they entered.
    values_ : numpy.ndarray, shape ``(k,)``, with snapshots ``(k, L)``
        Least-squares coefficients.
    noise_var_ : float
        Residual variance.
    n_iter_ : int
        Steps.
    history_ : list of dict
        Residual after each step.
    n_features_in_ : int
        Columns of the first dictionary.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import OMP
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> model = OMP(n_nonzero=2).fit([A], 2 * A[:, 5] - 3 * A[:, 30])
    >>> sorted(model.index_[:, 0].tolist())
    [5, 30]
    """

    index_: np.ndarray
    values_: Any
    noise_var_: float
    n_iter_: int
    history_: list[dict[str, object]]

    _fitted_attribute = "index_"
    _multi_output = True

    n_features_in_: int

    def __init__(
        self,
        n_nonzero: int | None = None,
        tol: float | None = None,
        *,
        noise_var: float | None = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_nonzero = n_nonzero
        self.tol = tol
        self.noise_var = noise_var
        self.callback = callback
        self.verbose = verbose

    def fit(self, factors: Array | Sequence[Array], y: Array, *, n_snapshots: int | None = None) -> Self:
        """Pursue.

        Parameters
        ----------
        factors : array or pandas.DataFrame, shape ``(m, n)``, or list of arrays, shapes ``(m_i, n_i)``
            The dictionary, or factors whose Kronecker product is the dictionary.
        y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
            Measurements.
        n_snapshots : int, optional
            How many snapshots `y` has to hold.

        Returns
        -------
        self : OMP

        Raises
        ------
        ShapeError
            If dictionaries and measurements disagree.
        NotFiniteError
            If something is NaN or infinite.
        ValueError
            If a column of a dictionary is zero, `y` is zero everywhere, or an option is out of range.
        """
        given = self._dictionaries(factors)
        problem = prepare(given, as_targets(y, type(self).__name__), n_snapshots)
        n_rows = math.prod(problem.rows)
        limit = n_rows if self.n_nonzero is None else count("n_nonzero", self.n_nonzero, n_rows)
        target = energy_target(self.tol, self.noise_var, problem)
        data = np.asarray(to_numpy(problem.y))
        flat = data.reshape(n_rows, -1)
        check_memory(2 * n_rows * limit * flat.itemsize, f"Columns of {limit} coefficients")
        progress = Progress(self.verbose, self.callback)
        progress.stage("OMP", limit)
        try:
            index, columns, energy = _pursue(problem, flat, limit, target, progress)
        finally:
            progress.close()
        positions = np.array(index, dtype=np.int64).reshape(-1, len(problem.sizes))
        norms = math.prod(n[positions[:, i]] for i, n in enumerate(problem.norms))
        values = np.linalg.lstsq(columns, flat, rcond=None)[0] * problem.scale / np.reshape(norms, (-1, 1))
        free = max(problem.n_data - values.size, 1)
        noise = energy * problem.scale**2 / free
        self._set(positions, values, noise, problem.sizes, problem.snapshots, cast(problem.y[:0], problem.dtype))
        self.n_iter_, self.history_ = len(progress.history), progress.history
        self._check_feature_names(factors, fitting=True)
        return self

    def _dictionaries(self, given: object, n_columns: int | None = None) -> list[Array]:
        """Dictionaries that a caller gives, as a list; a single one is checked as scikit-learn's tools expect."""
        if is_matrix(given):
            return [as_dictionary(given, n_columns, type(self).__name__)]
        return as_dictionaries(given)

    def _set(
        self, index: np.ndarray, values: np.ndarray, noise: float, sizes: Sequence[int], snapshots: bool, like: Array
    ) -> None:
        self._all, self._sizes, self._snapshots, self._like = values, tuple(sizes), snapshots, like
        self.index_, self.n_features_in_ = index, sizes[0]
        self.values_ = asarray_like(values if snapshots else values[:, 0], like)
        self.noise_var_ = noise

    @property
    def coef_(self) -> Array:
        """All coefficients as a dense tensor ``(n_1, ..., n_I[, L])``; SizeError where it does not fit in memory."""
        self._check_fitted("index_")
        shape = self._sizes + tuple(self.values_.shape[1:])
        check_memory(math.prod(shape) * itemsize(self._like), f"A dense tensor of {math.prod(shape):,} coefficients")
        full = np.zeros(shape, to_numpy(self._like).dtype)
        full[tuple(self.index_.T)] = to_numpy(self.values_)
        return asarray_like(full, self._like)

    def to_coo(self) -> CoordinateList:
        """Return positions and values of the coefficients.

        Returns
        -------
        coefficients : CoordinateList
            Positions, values, and the shape of the tensor of all coefficients.
        """
        self._check_fitted("index_")
        return CoordinateList(self.index_, self.values_, self._sizes)

    def predict(self, factors: Array | Sequence[Array]) -> Array:
        """Predict measurements through dictionaries with other rows.

        Parameters
        ----------
        factors : array, shape ``(p, n)``, or list of arrays, shapes ``(p_i, n_i)``
            Dictionaries whose columns mean the same as in the fit.

        Returns
        -------
        mean : array, shape ``(p_1, ..., p_I)``, with snapshots ``(p_1, ..., p_I, L)``
            Noise-free measurements.
        """
        self._check_fitted("index_")
        self._check_feature_names(factors, fitting=False)
        arrays = fitting_dictionaries(self._dictionaries(factors, self.n_features_in_), self._sizes, self._like)
        shape = (*(a.shape[0] for a in arrays), self._all.shape[1])
        total = np.zeros(shape, self._all.dtype)
        for j, v in zip(self.index_, self._all, strict=True):
            total = total + outer([*(a[:, k] for a, k in zip(arrays, j, strict=True)), v])
        return asarray_like(total if self._snapshots else total[..., 0], self._like)

    def score(self, factors: Array | Sequence[Array], y: Array) -> float:
        """Return the share of the energy of `y` that the prediction explains.

        Parameters
        ----------
        factors : array or list of arrays
            As in `predict`.
        y : array, shape of the prediction or flat
            Measurements.

        Returns
        -------
        float
            ``1 - |y - y_hat|^2 / |y|^2``, at most 1.
        """
        return explained_energy(self.predict(factors), y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; `structkit.load` reads it.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``.
        """
        self._check_fitted("index_")
        settings = {name: value for name, value in self.get_params().items() if name != "callback"}
        data = {"settings": settings, "index": self.index_, "values": self._all, "noise_var": self.noise_var_}
        where = device_of(self._like) if is_torch(self._like) else None
        data |= {"sizes": list(self._sizes), "snapshots": self._snapshots, "like": to_numpy(self._like)}
        data |= {"device": where, "history": self.history_, "feature_names": self._stored_names()}
        write_archive(path, "OMP", data)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model written by `save`.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, optional
            Torch device for a model that was fitted on another. Default: the same one.

        Returns
        -------
        model : OMP
            As it was saved: its answers are the same.

        Raises
        ------
        StructKitError
            If the file is damaged, incomplete, of another kind, or written by a newer version.
        """
        return unpack(cls, read_archive(path, ["OMP"])[1], device)  # type: ignore[return-value]


def _pursue(
    problem: Problem, flat: np.ndarray, limit: int, target: float, progress: Progress
) -> tuple[list[tuple[int, ...]], np.ndarray, float]:
    """Positions in their order, their columns, and the energy of what is left of the measurements ``(M, L)``."""
    index: list[tuple[int, ...]] = []
    columns = basis = np.empty((len(flat), 0), flat.dtype)
    rest, energy = flat, float(problem.n_data)
    while energy > target and len(index) < limit:
        best = strongest(problem.host, rest.reshape(*problem.rows, -1))
        if best in index:  # rounding is all that is left
            break
        index.append(best)
        column = outer([A[:, j] for A, j in zip(problem.host, best, strict=True)]).reshape(-1, 1)
        fresh = column
        for _ in range(2):  # the second time makes up for rounding
            fresh = fresh - basis @ (basis.conj().T @ fresh)
        columns, basis = np.hstack([columns, column]), np.hstack([basis, fresh / np.linalg.norm(fresh)])
        rest = flat - basis @ (basis.conj().T @ flat)
        energy = float(abs2(rest).sum())
        if progress.step({"residual": math.sqrt(energy / problem.n_data)}):
            break
    return index, columns, energy


def unpack(cls: type[OMP], values: Mapping[str, Any], device: str | None = None) -> OMP:
    """Rebuild a model from what `save` stored; `device` replaces the torch device it was fitted on."""
    try:
        model, like = cls(**values["settings"]), values["like"]
        like = like if values["device"] is None else to_device(like, device or values["device"])
        model._set(values["index"], values["values"], values["noise_var"], values["sizes"], values["snapshots"], like)
        model._restore_names(values["feature_names"])
        model.history_ = values["history"]
    except KeyError as err:
        raise StructKitError(f"The file holds no {err}, so it is no complete OMP. Save it again.") from err
    model.n_iter_ = len(model.history_)
    return model
