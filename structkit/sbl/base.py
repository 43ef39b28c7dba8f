"""What all sparse models share: results in the caller's arrays, coefficients on demand, predictions, files."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import as_array, as_factors, asarray_like, backend_name, cast, itemsize, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.estimator import Estimator
from structkit._core.serialize import read_archive, write_archive
from structkit._core.types import Array
from structkit._core.validation import check_memory
from structkit.sbl.archive import pack, unpack
from structkit.sbl.problem import Problem, as_dictionaries
from structkit.sbl.recovery import Block, Solution, log_evidence

__all__ = ["CoordinateList", "SparseModel", "explained_energy", "fitting_dictionaries"]


@dataclass(frozen=True)
class CoordinateList:
    """Coefficients of the support as positions and values.

    Attributes
    ----------
    index : numpy.ndarray, shape ``(k, I)``
        Positions.
    values : array, shape ``(k,)``, with snapshots ``(k, L)``
        Posterior means.
    shape : tuple of int
        Shape ``(n_1, ..., n_I)`` of the tensor of all coefficients.
    """

    index: np.ndarray
    values: Array
    shape: tuple[int, ...]


def explained_energy(predicted: Array, y: Array) -> float:
    """Share of the energy of `y` that a prediction explains, at most 1."""
    guess, truth = to_numpy(predicted), to_numpy(as_array(y, "y"))
    if truth.size != guess.size:
        raise ShapeError(f"y has shape {truth.shape}; the prediction has shape {guess.shape}.")
    rest, energy = truth.reshape(guess.shape) - guess, float(np.sum(np.abs(truth) ** 2))
    return 1.0 - float(np.sum(np.abs(rest) ** 2)) / energy if energy > 0 else float(not rest.any())


def fitting_dictionaries(given: Sequence[object], sizes: Sequence[int], like: Array) -> list[np.ndarray]:
    """Return dictionaries for a prediction as numpy arrays, or raise unless they have the fitted columns."""
    arrays = as_factors(given)
    backend_name(like, *arrays)
    for i, (a, n) in enumerate(zip(arrays, sizes, strict=False)):
        if a.ndim != 2 or a.shape[1] != n:
            raise ShapeError(f"factors[{i}] has shape {tuple(a.shape)}; the fitted one has {n} columns.")
    if len(arrays) != len(sizes):
        raise ShapeError(f"{len(arrays)} factors; the model was fitted with {len(sizes)}.")
    out = [to_numpy(a) for a in arrays]
    for i, a in enumerate(out):
        if not np.isfinite(a).all():
            raise NotFiniteError(f"factors[{i}] holds NaN or infinity.")
    return out


class SparseModel(Estimator):
    """Base of the sparse models: everything that follows from the posterior on the support."""

    _block_type: type[Block] = Block

    support_: list[np.ndarray]
    coef_active_: Any
    variance_active_: Any
    gamma_: list[np.ndarray]
    noise_var_: float
    evidence_: float
    penalized_evidence_: float
    block_fill_: float
    converged_: bool
    n_iter_: int
    history_: list[dict[str, object]]

    def _store(self, problem: Problem, solution: Solution, history: list[dict[str, object]]) -> None:
        """Set the fitted attributes."""
        like = cast(problem.y[:0], problem.dtype)
        self._set_block(solution.block, problem.sizes, problem.snapshots, like)
        self.evidence_ = log_evidence(problem, solution.cost)
        self.penalized_evidence_ = log_evidence(problem, solution.penalized)
        self.converged_, self.n_iter_, self.history_ = solution.converged, solution.n_iter, history

    def _set_block(self, block: Block, sizes: Sequence[int], snapshots: bool, like: Array) -> None:
        """Set what follows from the posterior on the support."""
        self._block, self._sizes, self._snapshots, self._like = block, tuple(sizes), snapshots, like
        self.support_ = block.support
        self.coef_active_ = self._out(block.mean if snapshots else block.mean[..., 0])
        self.variance_active_ = asarray_like(block.variance, like.real)  # type: ignore[attr-defined]
        self.gamma_ = [np.zeros(n) for n in sizes]
        for full, s, g in zip(self.gamma_, block.support, block.gammas, strict=True):
            full[s] = g
        self.noise_var_ = block.noise_var
        large = np.abs(block.mean) ** 2 > 9 * block.variance[..., None]
        self.block_fill_ = float(large.any(axis=-1).mean()) if large.size else 1.0

    def _dictionaries(self, given: object) -> list[Array]:
        """Dictionaries that a caller gives, as a list."""
        return as_dictionaries(given)

    def _out(self, x: np.ndarray) -> Array:
        return asarray_like(x, self._like)

    @property
    def coef_(self) -> Array:
        """All coefficients as a dense tensor ``(n_1, ..., n_I[, L])``; SizeError where it does not fit in memory."""
        self._check_fitted("support_")
        shape = self._sizes + tuple(self.coef_active_.shape[len(self._sizes) :])
        check_memory(math.prod(shape) * itemsize(self._like), f"A dense tensor of {math.prod(shape):,} coefficients")
        full = np.zeros(shape, to_numpy(self._like).dtype)
        full[np.ix_(*self.support_)] = to_numpy(self.coef_active_)
        return self._out(full)

    def to_coo(self) -> CoordinateList:
        """Return positions and values of the coefficients on the support.

        Returns
        -------
        coefficients : CoordinateList
            Positions, values, and the shape of the tensor of all coefficients.
        """
        self._check_fitted("support_")
        grids = np.meshgrid(*self.support_, indexing="ij")
        index = np.stack([g.reshape(-1) for g in grids], axis=1)
        rest = tuple(self.coef_active_.shape[len(self._sizes) :])
        return CoordinateList(index, self.coef_active_.reshape(len(index), *rest), self._sizes)

    def predict(
        self, factors: Sequence[Array], *, return_std: bool = False, include_noise: bool = False
    ) -> Array | tuple[Array, Array]:
        """Predict measurements through dictionaries with other rows.

        Parameters
        ----------
        factors : sequence of array, shapes ``(p_i, n_i)``
            Dictionaries whose columns mean the same as in the fit: the same atoms at other sensors, times, pilots.
        return_std : bool, default False
            Also return the posterior standard deviation.
        include_noise : bool, default False
            Add the noise variance to the variance.

        Returns
        -------
        mean : array, shape ``(p_1, ..., p_I)``, with snapshots ``(p_1, ..., p_I, L)``
            Noise-free measurements.
        std : array, shape ``(p_1, ..., p_I)``
            Only with ``return_std=True``; the same for every snapshot.
        """
        self._check_fitted("support_")
        arrays = fitting_dictionaries(self._dictionaries(factors), self._sizes, self._like)
        chosen = [a[:, s] for a, s in zip(arrays, self.support_, strict=True)]
        values = self._block.values(chosen)
        mean = self._out(values if self._snapshots else values[..., 0])
        if not return_std:
            return mean
        variance = self._block.values_variance(chosen) + (self.noise_var_ if include_noise else 0.0)
        return mean, asarray_like(np.sqrt(variance), self._like.real)  # type: ignore[attr-defined]

    def score(self, factors: Sequence[Array], y: Array) -> float:
        """Return the share of the energy of `y` that the prediction explains.

        Parameters
        ----------
        factors : sequence of array, shapes ``(p_i, n_i)``
            As in `predict`.
        y : array, shape of the prediction or flat
            Measurements.

        Returns
        -------
        float
            ``1 - |y - y_hat|^2 / |y|^2``, at most 1.
        """
        return explained_energy(self.predict(factors), y)  # type: ignore[arg-type]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; `structkit.load` reads it.

        Parameters
        ----------
        path : str or path-like
            The file, usually ending in ``.npz``. It appears whole or not at all.
        """
        self._check_fitted("support_")
        write_archive(path, type(self).__name__, pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model written by `save`.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, optional
            Torch device, such as ``"cpu"``, for a model that was fitted on another. Default: the same one.

        Returns
        -------
        model : estimator
            As it was saved: its answers are the same.

        Raises
        ------
        StructKitError
            If the file is damaged, incomplete, of another kind, or written by a newer version.
        """
        return unpack(cls, read_archive(path, [cls.__name__])[1], device)
