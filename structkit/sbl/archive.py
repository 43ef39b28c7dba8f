"""What a saved sparse model consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structkit._backend.namespace import device_of, is_torch, to_device, to_numpy
from structkit._core.errors import StructKitError

if TYPE_CHECKING:
    from structkit.sbl.base import SparseModel

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="SparseModel")
_RESULTS = ("evidence_", "penalized_evidence_", "converged_", "n_iter_", "history_")


def pack(model: SparseModel) -> dict[str, object]:
    """Gather arrays and JSON-able values of a fitted model."""
    return {
        "settings": {k: _plain(v) for k, v in model.get_params().items() if k != "callback"},
        "results": {name: getattr(model, name) for name in _RESULTS},
        "feature_names": model._stored_names(),
        "sizes": list(model._sizes),
        "snapshots": model._snapshots,
        "device": device_of(model._like) if is_torch(model._like) else None,
        "like": to_numpy(model._like),
        **model._block.parts(),
    }


def unpack(cls: type[_T], values: Mapping[str, Any], device: str | None = None) -> _T:
    """Rebuild a fitted model from what `pack` gathered; `device` replaces the torch device it was fitted on."""
    try:
        return _unpack(cls, values, device)
    except KeyError as err:
        raise StructKitError(f"The file holds no {err}, so it is no complete {cls.__name__}. Save it again.") from err


def _unpack(cls: type[_T], v: Mapping[str, Any], device: str | None) -> _T:
    model = cls(**v["settings"])
    block = cls._block_type.from_parts(v, len(v["sizes"]))
    like = v["like"] if v["device"] is None else to_device(v["like"], device or v["device"])
    model._set_block(block, v["sizes"], v["snapshots"], like)
    model._restore_names(v["feature_names"])
    for name in _RESULTS:
        setattr(model, name, v["results"][name])
    return model


def _plain(value: object) -> object:
    """Turn a setting into a value that JSON can store."""
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, (tuple, np.ndarray)) else value
