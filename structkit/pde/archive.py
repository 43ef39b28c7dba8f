"""What a saved solution consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structkit._core.errors import StructKitError
from structkit.pde.basis import AxisBasis
from structkit.pde.expansion import Expansion
from structkit.pde.features import axis_features, polynomial_features
from structkit.pde.map_solver import KernelBasis, MapSettings
from structkit.pde.posterior import Estimate

if TYPE_CHECKING:
    from structkit.pde.solver import GPSolver

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="GPSolver")
_RESULTS = (
    "residual_",
    "equation_residual_",
    "condition_residual_",
    "converged_",
    "n_iter_",
    "history_",
    "noise_var_",
    "log_evidence_",
)


def pack(model: GPSolver) -> dict[str, object]:
    """Gather arrays and JSON-able values of a solution."""
    settings = {k: v for k, v in model.get_params().items() if k != "callback"}
    for name in ("n_points", "frequencies"):
        if settings[name] is not None and not isinstance(settings[name], (str, int, np.integer)):
            settings[name] = [np.asarray(v).tolist() for v in settings[name]]  # type: ignore[attr-defined]
    if model.map_settings is not None:
        settings["map_settings"] = asdict(model.map_settings)
    bases = model._expansion.bases
    return {
        "settings": settings,
        "results": {name: getattr(model, name) for name in _RESULTS},
        "parameters": [[name, e.value, e.standard_error] for name, e in model.parameters_.items()],
        "observation_noise_var": [np.asarray(v).tolist() for v in model.observation_noise_var_],
        "root": model._root,
        "domain": [[b.features.lower, b.features.upper] for b in bases],
        "lengthscales": [b.features.lengthscale for b in bases],
        "n_points": [b.n for b in bases],
        "coefficients": model._expansion.coefficients,
        **{name: value for a, b in enumerate(bases) for name, value in _basis_arrays(b, a).items()},
    }


def _basis_arrays(basis: AxisBasis | KernelBasis, axis: int) -> dict[str, object]:
    """What the basis of an axis is made of, by names with the number of the axis."""
    if isinstance(basis, KernelBasis):
        kernels = {f"kernel_{axis}_{i}": p for i, p in enumerate(basis.parameters)}
        return {f"grid_{axis}": basis.x, f"n_kernels_{axis}": len(kernels), **kernels}
    return {f"frequencies_{axis}": basis.features.frequencies, f"from_features_{axis}": basis.from_features}


def _basis(values: Mapping[str, Any], axis: int) -> AxisBasis | KernelBasis:
    """The basis of an axis from what `_basis_arrays` gathered."""
    if f"grid_{axis}" in values:
        envelope = MapSettings(**(values["settings"]["map_settings"] or {})).envelope
        parameters = [values[f"kernel_{axis}_{i}"] for i in range(values[f"n_kernels_{axis}"])]
        return KernelBasis.of(parameters, envelope, values[f"grid_{axis}"])
    (lower, upper), ell = values["domain"][axis], values["lengthscales"][axis]
    frequencies, from_features = values[f"frequencies_{axis}"], values[f"from_features_{axis}"]
    if ell > 0:
        features = axis_features(lower, upper, ell, frequencies)
    else:
        features = polynomial_features(lower, upper, len(from_features) - 1)
    return AxisBasis(features, values["n_points"][axis], from_features)


def unpack(cls: type[_T], values: Mapping[str, Any], device: str | None = None) -> _T:
    """Rebuild a solution from what `pack` gathered."""
    try:
        settings = dict(values["settings"])
        if settings.get("map_settings") is not None:
            settings["map_settings"] = MapSettings(**settings["map_settings"])
        model = cls(**settings)
        bases = [_basis(values, a) for a in range(len(values["domain"]))]
        model._expansion = Expansion(bases, values["coefficients"])  # type: ignore[arg-type]
        model.domain_ = [(lower, upper) for lower, upper in values["domain"]]
        model.frequencies_ = [b.features.frequencies for b in bases]
        model.lengthscale_ = list(values["lengthscales"])
        model.n_points_ = tuple(values["n_points"])
        model._root = values["root"]
        model.parameters_ = {name: Estimate(value, error) for name, value, error in values["parameters"]}
        model.observation_noise_var_ = [
            np.asarray(v) if isinstance(v, list) else v for v in values["observation_noise_var"]
        ]
        for name in _RESULTS:
            setattr(model, name, values["results"][name])
    except KeyError as err:
        raise StructKitError(f"The file holds no {err}, so it is no complete {cls.__name__}. Save it again.") from err
    return model
