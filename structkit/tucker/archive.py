"""What a saved tensor consists of: settings, and per mode the messages from which its posterior is computed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structkit._core.errors import StructKitError
from structkit.statespace import LinearSDE
from structkit.statespace.storage import from_values, to_values
from structkit.tucker.entries import Entries
from structkit.tucker.fitting import Fitted
from structkit.tucker.functions import ModeFunctions
from structkit.tucker.inference import Posterior
from structkit.tucker.noise import Noise
from structkit.tucker.priors import ModePrior
from structkit.tucker.starts import make_core

if TYPE_CHECKING:
    from structkit.tucker.fitted import FittedTensor

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="FittedTensor")


def pack(model: FittedTensor) -> dict[str, object]:
    """Gather arrays and JSON-able values of a fitted model."""
    fitted = model._fitted
    posterior = fitted.posterior
    settings = {name: _plain(value) for name, value in model.get_params().items() if name != "callback"}
    core, noise = posterior.core, posterior.noise
    out: dict[str, object] = {
        "settings": settings,
        "feature_names": model._stored_names(),
        "n_modes": len(posterior.functions),
        "fitted": {name: getattr(fitted, name) for name in ("mean", "shift", "scale", "bound", "converged", "history")},
        "n_sweeps": posterior.n_sweeps,
        "noise": noise.numbers(),
        "core_mean": core.mean,
        "core_cov": core.cov,
        "core_energy": core.energy,
        "core_normal_matrix": core.normal[0],
        "core_normal_vector": core.normal[1],
    }
    out |= {f"core_rate_{k}": rate for k, rate in enumerate(core.relevance.rate)}
    for k, f in enumerate(posterior.functions):
        out[f"levels_{k}"] = f.levels
        out[f"precision_{k}"], out[f"information_{k}"] = f.messages
        out[f"shares_{k}"] = f.shares
        out[f"mode_{k}"] = {
            "prior": to_values(f.prior.sde),
            "origin": f.prior.origin,
            "unit": f.prior.unit,
            "sde": to_values(f.sde),
            "rank": f.rank,
            "effect": f.effect,
        }
    return out


def unpack(cls: type[_T], values: Mapping[str, Any], device: str | None = None) -> _T:
    """Rebuild a fitted model from what `pack` gathered; it computes on the CPU, wherever it is loaded."""
    try:
        return _unpack(cls, values)
    except KeyError as err:
        raise StructKitError(
            f"The file holds no {err}, so it is not a complete {cls.__name__}. Save the model again."
        ) from err


def _unpack(cls: type[_T], v: Mapping[str, Any]) -> _T:
    settings: dict[str, Any] = {name: _restored(value) for name, value in v["settings"].items()}
    model = cls(**settings)
    functions = [_functions(v, k) for k in range(v["n_modes"])]
    core = make_core(tuple(f.rank for f in functions), v["core_mean"], cls._superdiagonal)
    core.cov, core.energy = v["core_cov"], v["core_energy"]
    core.normal = v["core_normal_matrix"], v["core_normal_vector"]
    core.relevance.rate = [v[f"core_rate_{k}"] for k in range(len(core.relevance.rate))]
    posterior = Posterior(Entries((), 0), functions, core, Noise.from_numbers(v["noise"]))
    posterior.n_sweeps = v["n_sweeps"]
    model._keep(Fitted(posterior, **v["fitted"]), len(functions))
    model._restore_names(v["feature_names"])
    return model


def _functions(v: Mapping[str, Any], k: int) -> ModeFunctions:
    mode = v[f"mode_{k}"]
    prior = ModePrior(from_values(mode["prior"]), mode["origin"], mode["unit"])
    functions = ModeFunctions(prior, v[f"levels_{k}"], mode["rank"], mode["effect"])
    functions.sde, functions.shares = from_values(mode["sde"]), v[f"shares_{k}"]
    functions.solve(v[f"precision_{k}"], v[f"information_{k}"])
    return functions


def _plain(value: object) -> object:
    """A setting as a JSON-able value; a generator is not kept."""
    if isinstance(value, LinearSDE):
        return {"sde": to_values(value)}
    if isinstance(value, np.random.Generator):
        return None
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any) -> object:
    if isinstance(value, dict):
        return from_values(value["sde"])
    return [_restored(item) for item in value] if isinstance(value, list) else value
