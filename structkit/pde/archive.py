"""What a saved solution consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structkit._core.errors import StructKitError
from structkit.pde.basis import AxisBasis
from structkit.pde.expansion import Expansion
from structkit.pde.features import axis_features

if TYPE_CHECKING:
    from structkit.pde.solver import GPSolver

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="GPSolver")
_RESULTS = ("residual_", "equation_residual_", "condition_residual_", "converged_", "n_iter_", "history_")


def pack(model: GPSolver) -> dict[str, object]:
    """Gather arrays and JSON-able values of a solution."""
    settings = {k: v for k, v in model.get_params().items() if k != "callback"}
    for name in ("n_points", "frequencies"):
        if settings[name] is not None and not isinstance(settings[name], (str, int, np.integer)):
            settings[name] = [np.asarray(v).tolist() for v in settings[name]]  # type: ignore[attr-defined]
    bases = model._expansion.bases
    return {
        "settings": settings,
        "results": {name: getattr(model, name) for name in _RESULTS},
        "domain": [[b.features.lower, b.features.upper] for b in bases],
        "lengthscales": [b.features.lengthscale for b in bases],
        "n_points": [b.n for b in bases],
        "coefficients": model._expansion.coefficients,
        **{f"frequencies_{a}": b.features.frequencies for a, b in enumerate(bases)},
        **{f"from_features_{a}": b.from_features for a, b in enumerate(bases)},
    }


def unpack(cls: type[_T], values: Mapping[str, Any], device: str | None = None) -> _T:
    """Rebuild a solution from what `pack` gathered."""
    try:
        model = cls(**values["settings"])
        bases = []
        for a, ((lower, upper), ell) in enumerate(zip(values["domain"], values["lengthscales"], strict=True)):
            features = axis_features(lower, upper, ell, values[f"frequencies_{a}"])
            bases.append(AxisBasis(features, values["n_points"][a], values[f"from_features_{a}"]))
        model._expansion = Expansion(bases, values["coefficients"])
        model.domain_ = [(lower, upper) for lower, upper in values["domain"]]
        model.frequencies_ = [b.features.frequencies for b in bases]
        model.lengthscale_ = list(values["lengthscales"])
        model.n_points_ = tuple(values["n_points"])
        for name in _RESULTS:
            setattr(model, name, values["results"][name])
    except KeyError as err:
        raise StructKitError(f"The file holds no {err}, so it is no complete {cls.__name__}. Save it again.") from err
    return model
