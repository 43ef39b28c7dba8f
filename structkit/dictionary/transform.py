"""Codes of samples and samples of codes, for an estimator that has a dictionary."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import get_namespace
from structkit._core.estimator import Estimator
from structkit._core.labels import Labels
from structkit._core.types import Array, Shape
from structkit.dictionary.labelled import as_codes, as_frame, as_samples
from structkit.dictionary.learner import Learner
from structkit.dictionary.options import checked_samples
from structkit.dictionary.statistics import Rule, project, select
from structkit.kron import kron, multi_mode_product

__all__ = ["CodeTransform"]


class CodeTransform(Estimator):
    """What follows from a learned dictionary."""

    shape: Shape | None
    n_features_in_: int
    _learner: Learner
    _features: Labels | None

    def transform(self, X: Array) -> Array:
        """Return the sparse codes of samples.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Samples.

        Returns
        -------
        codes : array, same shape
            Codes, zero where they are below `threshold_` or not among the `n_nonzero` largest of their sample. Of an
            `xarray.DataArray`, one whose axes after the first count atoms.
        """
        self._check_fitted("_learner")
        self._check_feature_names(X, fitting=False)
        Y = checked_samples(self, X, fitting=False)
        codes = _shaped_like(X, self._codes(Y), Y)
        if getattr(self, "_sklearn_output_config", {}).get("transform") == "pandas":
            return as_frame(X, codes, self.get_feature_names_out())
        return as_codes(X, codes)

    def _codes(self, Y: Any) -> Any:
        """Sparse codes ``(n_samples, n_features)`` of checked samples."""
        stream = self._learner.provisional()
        Z = project(Y, stream.analysis).reshape(Y.shape[0], self.n_features_in_)
        rule = Rule(levels=stream.floor(), n_nonzero=stream.pace.n_nonzero)
        return select(Z, rule, get_namespace(Z))

    def _samples(self, codes: Any) -> Any:
        """Samples ``(n_samples, n_1, ..., n_m)`` of checked codes."""
        factors = self._learner.provisional().atoms
        if len(factors) == 1:
            return codes @ factors[0].T
        return multi_mode_product(codes, factors, modes=range(1, codes.ndim))

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
        return as_samples(C, _shaped_like(C, self._samples(codes), codes), self._features)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns of `transform`: ``"atom0"``, ``"atom1"``, ...

        Parameters
        ----------
        input_features : object
            Not used; for pipelines.

        Returns
        -------
        names : numpy.ndarray of str, shape ``(n_features,)``
        """
        self._check_fitted("_learner")
        return np.asarray([f"atom{j}" for j in range(self.n_features_in_)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` returns, as in scikit-learn.

        Parameters
        ----------
        transform : {"default", "pandas"}, optional
            An array, or a data frame with one column per atom. Default: as it was.

        Returns
        -------
        self : OrthogonalDictionary

        Raises
        ------
        ValueError
            For another name.
        """
        if transform not in (None, "default", "pandas"):
            raise ValueError(f"transform={transform!r}; expected 'default' or 'pandas'.")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # the name that scikit-learn's clone knows
        return self

    @property
    def factors_(self) -> list[Array]:
        """Atoms as columns, one matrix per axis of a sample."""
        self._check_fitted("_learner")
        return list(self._learner.provisional().atoms)

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

    def score(self, X: Array, y: object = None) -> float:
        """Return the share of the energy of samples that their sparse codes hold.

        Parameters
        ----------
        X : array, shape ``(n_samples, n_features)`` or ``(n_samples, n_1, ..., n_m)``
            Samples.
        y : object
            Not used; for pipelines.

        Returns
        -------
        float
            ``1 - |X - X_hat|^2 / |X|^2``, at most 1; 1 for samples that are all zero.
        """
        self._check_fitted("_learner")
        Y = checked_samples(self, X, fitting=False)
        rest = Y - self._samples(self._codes(Y).reshape(Y.shape))
        total = float((Y**2).sum())
        return 1.0 - float((rest**2).sum()) / total if total > 0 else 1.0

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_learner")

    def __sklearn_tags__(self) -> object:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(),
        )


def _shaped_like(given: object, result: Any, samples: Any) -> Any:
    """Rows where the samples were given as rows, else tensors."""
    as_rows = samples.ndim > 2 and np.ndim(given) == 2  # type: ignore[arg-type]
    return result.reshape(samples.shape[0], math.prod(samples.shape[1:])) if as_rows else result.reshape(samples.shape)
