"""The estimator contract of scikit-learn, kept without inheriting from it."""

from __future__ import annotations

import inspect
from typing import Self

from structkit._core.errors import NotFittedError

__all__ = ["Estimator"]


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
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: object) -> Self:
        """Change constructor arguments by name and return the estimator."""
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
            raise NotFittedError(f"This {type(self).__name__} is not fitted; call fit first.")

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
