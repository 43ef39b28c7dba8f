"""The estimator contract of scikit-learn, kept without inheriting from it."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any, Self

import numpy as np

from structkit._core.errors import NotFittedError
from structkit._core.labels import is_labelled

__all__ = ["Estimator", "Regressor"]


class Estimator:
    """Parameters are the constructor's arguments, stored unchanged; fitted names end in an underscore."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        """Names of the constructor's arguments, in order."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the constructor's arguments as a dict.

        Parameters
        ----------
        deep : bool, default True
            Accepted for scikit-learn; estimators here hold no nested estimators.

        Returns
        -------
        params : dict
            Arguments by name.
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: object) -> Self:
        """Change constructor arguments by name and return the estimator.

        Parameters
        ----------
        **params : object
            New values by name; they count from the next `fit`.

        Returns
        -------
        self : estimator
            The same estimator.

        Raises
        ------
        ValueError
            If there is no argument of that name.
        """
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; expected one of {', '.join(known)}."
                )
            setattr(self, name, value)
        return self

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            error = _not_fitted_error("sklearn.exceptions" in sys.modules)
            raise error(f"This {type(self).__name__} is not fitted; call fit first.")

    def _check_feature_names(self, X: object, *, fitting: bool) -> None:
        """Keep the names of the columns of a data frame, or raise where others were fitted."""
        names = _column_names(X)
        known: np.ndarray | None = getattr(self, "feature_names_in_", None)
        if fitting:
            if names is not None:
                self.feature_names_in_ = names
            elif known is not None:
                del self.feature_names_in_
        elif names is not None and known is not None and list(names) != list(known):
            raise ValueError(
                f"X has the columns {', '.join(names)}; {type(self).__name__} was fitted with {', '.join(known)}, in "
                "this order."
            )

    def _stored_names(self) -> list[str] | None:
        """Names of the columns for a file."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else list(names)

    def _restore_names(self, names: list[str] | None) -> None:
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)

    def __repr__(self) -> str:
        defaults = {n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items()}
        shown = []
        for name, value in self.get_params().items():
            default = defaults[name]
            if default is inspect.Parameter.empty:
                shown.append(repr(value))
            elif value is not default and repr(value) != repr(default):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Regressor(Estimator):
    """Estimator with 2-D input and real targets, as far as scikit-learn's tools ask."""

    _fitted_attribute: str
    _multi_output = False

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self._fitted_attribute)

    def __sklearn_tags__(self) -> object:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, multi_output=self._multi_output),
            regressor_tags=RegressorTags(poor_score=True),  # of data that are no tensor and not sparse
            input_tags=InputTags(),
        )


@functools.cache
def _not_fitted_error(known_to_sklearn: bool) -> type[NotFittedError]:
    """Error of an unfitted estimator; where scikit-learn is loaded, its own error as well."""
    if not known_to_sklearn:
        return NotFittedError
    theirs: Any = sys.modules["sklearn.exceptions"].NotFittedError
    return type("NotFittedError", (NotFittedError, theirs), {"__module__": NotFittedError.__module__})


def _column_names(X: object) -> np.ndarray | None:
    """Names of the columns of a data frame or of the axes of a labelled array, where all of them are text."""
    columns = X.dims if is_labelled(X) else getattr(X, "columns", None)  # type: ignore[attr-defined]
    if columns is None or not all(isinstance(c, str) for c in columns):
        return None
    return np.asarray(columns, dtype=object)
