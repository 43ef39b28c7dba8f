"""What a saved `GridGP` consists of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from structkit._backend.namespace import device_of, is_torch, to_numpy
from structkit._core.errors import StructKitError
from structkit.gp.covariance import FreeCovariance
from structkit.gp.grid_data import AxisCovariance, GridData, GridModel, empty_template
from structkit.gp.grid_options import start_kernels
from structkit.gp.grid_posterior import GridPosterior
from structkit.gp.kernels import Kernel
from structkit.gp.whitening import AxisBasis

if TYPE_CHECKING:
    from structkit.gp.gridgp import GridGP

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="GridGP")
_SETTINGS = (
    "learn_kernels", "mean", "noise_axis", "mean_axis", "method", "tol", "max_iter", "n_samples", "n_probes",
    "max_learning_iter", "learning_tol", "subgrid", "device", "verbose",
)  # fmt: skip
_RESULTS = ("log_evidence_", "log_evidence_se_", "converged_", "n_iter_", "solver_error_", "history_")


def pack(model: GridGP) -> dict[str, object]:
    """Gather arrays and JSON-able values of a fitted model."""
    data, fitted, posterior = model._data, model._model, model._posterior
    out: dict[str, object] = {
        "settings": {name: getattr(model, name) for name in _SETTINGS},
        **_noise_out(model),
        "results": {name: getattr(model, name) for name in _RESULTS},
        "seed": model._seed,
        "axes": {"noise": fitted.noise_axis, "mean": fitted.mean_axis},
        "solver": posterior.method,
        "kernels": [_kernel_out(k) for k in fitted.kernels],
        "start_kernels": [_kernel_out(k) for k in start_kernels(model.kernels)],
        "torch": is_torch(data.template),
        "device": device_of(data.template),
        "noise_var": fitted.noise_var,
        "mean": fitted.mean,
        "y": data.y,
        "weights": data.weights,
        "coefficients": to_numpy(posterior.coefficients),
        "has_coords": [c is not None for c in data.coords],
    }
    try:
        json.dumps([out["kernels"], out["start_kernels"]])
    except TypeError as err:
        raise StructKitError(f"A kernel of this model cannot be stored: {err}.") from err
    for d, (x, b) in enumerate(zip(data.coords, posterior.bases, strict=True)):
        out[f"values_{d}"], out[f"vectors_{d}"] = b.values, b.vectors
        if x is not None:
            out[f"coords_{d}"] = x
    return out


def unpack(cls: type[_T], values: Mapping[str, object]) -> _T:
    """Rebuild a fitted model from what `pack` gathered."""
    v: Mapping = values
    start = [_kernel_in(k) for k in v["start_kernels"]]
    model = cls(start, noise_var=v["noise_setting"], **v["settings"])
    coords = tuple(v[f"coords_{d}"] if has else None for d, has in enumerate(v["has_coords"]))
    data = GridData(coords, v["y"], v["weights"], empty_template(v["y"].dtype, v["device"] if v["torch"] else None))
    fitted = GridModel(
        tuple(_kernel_in(k) for k in v["kernels"]), v["noise_var"], v["mean"], v["axes"]["noise"], v["axes"]["mean"]
    )
    bases = [AxisBasis(v[f"values_{d}"], v[f"vectors_{d}"]) for d in range(len(coords))]
    posterior = GridPosterior(
        fitted, data, v["solver"], tol=model.tol, max_iter=model.max_iter, bases=bases, coefficients=v["coefficients"]
    )
    model._store(fitted, data, posterior, v.get("cell_noise"))
    for name, value in v["results"].items():
        setattr(model, name, value)
    model._seed = v["seed"]
    return model


def _noise_out(model: GridGP) -> dict[str, object]:
    """Noise as it was asked for, and that of every cell where it is known."""
    noise = model.noise_var
    out: dict[str, object] = {"noise_setting": np.asarray(to_numpy(noise)) if is_torch(noise) else noise}  # type: ignore[arg-type]
    if model._cell_noise is not None:
        out["cell_noise"] = model._cell_noise
    return out


def _kernel_out(kernel: AxisCovariance) -> dict[str, object]:
    return kernel.to_dict()  # type: ignore[return-value]


def _kernel_in(data: Mapping[str, object]) -> AxisCovariance:
    return FreeCovariance.from_dict(data) if data.get("kind") == "FreeCovariance" else Kernel.from_dict(data)
