"""What a saved `GridGP` consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from structkit._backend.namespace import device_of, is_torch, to_numpy
from structkit._core.errors import StructKitError
from structkit._core.labels import Labels
from structkit._core.types import Array
from structkit.gp.covariance import FreeCovariance
from structkit.gp.grid_data import AxisCovariance, GridData, GridModel, empty_template
from structkit.gp.grid_options import start_kernels
from structkit.gp.grid_posterior import GridPosterior
from structkit.gp.kernels import Kernel
from structkit.gp.whitening import AxisBasis

__all__ = ["pack", "unpack"]

_SETTINGS = (
    "learn_kernels", "mean", "noise_axis", "mean_axis", "method", "tol", "max_iter", "n_samples", "n_probes",
    "max_learning_iter", "learning_tol", "subgrid", "device", "verbose",
)  # fmt: skip
_RESULTS = ("log_evidence_", "log_evidence_se_", "converged_", "n_iter_", "solver_error_", "history_")


def pack(model: Any) -> dict[str, object]:
    """Gather arrays and JSON-able values of a fitted model."""
    data, fitted, posterior = model._data, model._model, model._posterior
    seed = model.random_state
    out: dict[str, object] = {
        "settings": {name: _plain(getattr(model, name)) for name in _SETTINGS},
        "noise_setting": _plain(model.noise_var),
        "random_state": None if isinstance(seed, np.random.Generator) else _plain(seed),
        "results": {name: getattr(model, name) for name in _RESULTS},
        "seed": model._seed,
        "axes": {"noise": _plain(fitted.noise_axis), "mean": _plain(fitted.mean_axis)},
        "solver": posterior.method,
        "kernels": _stored(fitted.kernels),
        "start_kernels": _stored(start_kernels(model.kernels)),
        "output_device": device_of(model._like) if is_torch(model._like) else None,
        "work_device": device_of(data.template) if is_torch(data.template) else None,
        "noise_var": np.asarray(fitted.noise_var),
        "mean": np.asarray(fitted.mean),
        "y": data.y,
        "weights": data.weights,
        "coefficients": to_numpy(posterior.coefficients),
        "has_coords": [c is not None for c in data.coords],
    }
    if model._cell_noise is not None:
        out["cell_noise"] = model._cell_noise
    for d, (x, b) in enumerate(zip(data.coords, posterior.bases, strict=True)):
        out[f"values_{d}"], out[f"vectors_{d}"] = b.values, b.vectors
        if x is not None:
            out[f"coords_{d}"] = x
    return out if model._labels is None else out | model._labels.pack()


def unpack(cls: Any, values: Mapping[str, object], device: str | None = None) -> Any:
    """Rebuild a fitted model from what `pack` gathered; `device` replaces the torch device it was fitted on."""
    try:
        return _unpack(cls, values, device)
    except KeyError as err:
        raise StructKitError(f"The file holds no {err}, so it is not a complete GridGP. Save the model again.") from err


def _unpack(cls: Any, v: Mapping[str, Any], device: str | None) -> Any:
    start = [_kernel(k) for k in v["start_kernels"]]
    model = cls(start, noise_var=v["noise_setting"], random_state=v["random_state"], **v["settings"])
    model.device = model.device if model.device is None or device is None else device
    coords = tuple(v[f"coords_{d}"] if has else None for d, has in enumerate(v["has_coords"]))
    y = v["y"]
    data = GridData(coords, y, v["weights"], _template(y.dtype, v["work_device"], device))
    kernels = tuple(_kernel(k) for k in v["kernels"])
    fitted = GridModel(kernels, v["noise_var"], v["mean"], v["axes"]["noise"], v["axes"]["mean"])
    posterior = GridPosterior(
        fitted,
        data,
        v["solver"],
        tol=model.tol,
        max_iter=model.max_iter,
        bases=[AxisBasis(v[f"values_{d}"], v[f"vectors_{d}"]) for d in range(len(coords))],
        coefficients=v["coefficients"],
    )
    model._store(fitted, data, posterior, v.get("cell_noise"), _template(y.dtype, v["output_device"], device))
    model._labels = Labels.unpack(v)
    for name in _RESULTS:
        setattr(model, name, v["results"][name])
    model._seed = v["seed"]
    return model


def _template(dtype: np.dtype, stored: str | None, device: str | None) -> Array:
    """Empty array like that of the fit, on another device if one is given."""
    used = stored if stored is None or device is None else device
    try:
        return empty_template(dtype, used)
    except (AssertionError, RuntimeError) as err:  # how torch says that a device is missing
        raise StructKitError(f"Device {used!r} of the stored model: {err}. Load it with device='cpu'.") from err


def _plain(value: Any) -> Any:
    """Turn a setting into a value that JSON or numpy can store."""
    if is_torch(value):
        return np.asarray(to_numpy(value))
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, list, np.ndarray)) else str(value)


def _stored(kernels: Sequence[AxisCovariance]) -> list[dict[str, object]]:
    """Descriptions of kernels; StructKitError for one that has none."""
    try:
        return [k.to_dict() for k in kernels]
    except TypeError as err:
        raise StructKitError(f"A kernel of this model cannot be stored: {err}") from err


def _kernel(data: Mapping[str, object]) -> AxisCovariance:
    return FreeCovariance.from_dict(data) if data.get("kind") == "FreeCovariance" else Kernel.from_dict(data)
