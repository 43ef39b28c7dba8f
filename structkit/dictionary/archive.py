"""What a saved `OrthogonalDictionary` consists of; in the middle of a stream, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structkit._backend.namespace import device_of, is_torch, to_device, to_numpy
from structkit._core.errors import StructKitError
from structkit._core.labels import Labels
from structkit.dictionary.complete import CompleteStream
from structkit.dictionary.frank_wolfe import FrankWolfeStream
from structkit.dictionary.learner import Learner, Settings
from structkit.dictionary.stream import BlockStream, Pace, ThresholdStream

if TYPE_CHECKING:
    from structkit.dictionary.model import OrthogonalDictionary

__all__ = ["pack", "unpack"]

_T = TypeVar("_T", bound="OrthogonalDictionary")
_PARAMETERS = (
    "shape", "n_nonzero", "forgetting", "robust", "orthogonal", "schedule", "batch_size", "averaging", "threshold",
    "warmup", "max_iter", "tol", "verbose",
)  # fmt: skip
_KINDS: dict[str, type[BlockStream]] = {
    "threshold": ThresholdStream,
    "frank-wolfe": FrankWolfeStream,
    "complete": CompleteStream,
}
# Numbers of a stream, and its arrays; no kind of stream has all of them.
_NUMBERS = (
    "averaging", "n_seen", "median", "gap", "moved", "above", "cut", "usual", "recent", "small", "n_steps",
)  # fmt: skip
_LISTS = ("factors", "memory", "moments")
_ARRAYS = ("_analysis", "seconds")


def pack(model: OrthogonalDictionary) -> dict[str, object]:
    """Gather arrays and JSON-able values of a model that has seen samples."""
    learner, seed = model._learner, model.random_state
    out: dict[str, object] = {
        "parameters": {name: _plain(getattr(model, name)) for name in _PARAMETERS},
        "random_state": None if isinstance(seed, np.random.Generator) else _plain(seed),
        "start_setting": model.start if isinstance(model.start, str) else None,
        "n_samples_seen": model.n_samples_seen_,
        "n_features": model.n_features_in_,
        "feature_names": model._stored_names(),
        "history": model.history_,
        "n_iter": model.n_iter_,
        "settings": asdict(learner.settings),
        "settled": learner.settled,
        "clip": None if learner.clip is None else learner.clip.median,
        "device": device_of(learner.start[0]) if is_torch(learner.start[0]) else None,
        "kind": None,
        "n_factors": len(learner.start),
    }
    _put(out, "start", learner.start)
    _put(out, "buffer", learner.buffer)
    if learner.stream is not None:
        out["kind"] = next(name for name, kind in _KINDS.items() if type(learner.stream) is kind)
        _pack_stream(out, learner.stream)
    return out if model._features is None else out | model._features.pack()


def _pack_stream(out: dict[str, object], stream: BlockStream) -> None:
    """Add the state of a stream."""
    out["numbers"] = {name: _plain(getattr(stream, name)) for name in _NUMBERS if hasattr(stream, name)}
    out["pending"] = {"below": stream.pending.below, "count": stream.pending.count}
    _put(out, "pending_gradients", stream.pending.gradients)
    _put(out, "pending_moments", [stream.pending.square, stream.pending.fourth])
    for name in _LISTS:
        _put(out, name, getattr(stream, name))
    for name in _ARRAYS:
        if hasattr(stream, name):
            _put(out, name, [getattr(stream, name)])


def unpack(cls: type[_T], values: Mapping[str, object], device: str | None = None) -> _T:
    """Rebuild a model; it goes on exactly as the saved one would."""
    try:
        return _unpack(cls, dict(values), device)
    except KeyError as err:
        raise StructKitError(
            f"The file holds no {err}, so it is not a complete OrthogonalDictionary. Save the model again."
        ) from err


def _unpack(cls: type[_T], v: dict[str, Any], device: str | None) -> _T:
    parameters = dict(v["parameters"])
    parameters["shape"] = None if parameters["shape"] is None else tuple(parameters["shape"])
    used = v["device"] if v["device"] is None or device is None else device
    start = _get(v, "start", used)
    given = v["start_setting"] if v["start_setting"] is not None else [np.asarray(to_numpy(W)) for W in start]
    model = cls(**parameters, start=given, random_state=v["random_state"])
    model.n_samples_seen_, model.n_features_in_ = v["n_samples_seen"], v["n_features"]
    model.history_, model.n_iter_ = v["history"], v["n_iter"]
    # As when learning began; parameters that were set since then count from the next `fit`.
    settings = dict(v["settings"])
    learner = Learner(start, Settings(**settings | {"pace": Pace(**settings["pace"])}))
    learner.buffer = _get(v, "buffer", used)
    learner.n_buffered = sum(len(part) for part in learner.buffer)
    learner.settled = v["settled"]
    if learner.clip is not None:
        learner.clip.median = math.nan if v["clip"] is None else v["clip"]
    if v["kind"] is not None:
        learner.stream = _unpack_stream(v, learner, used)
    model._learner, model._features = learner, Labels.unpack(v)
    model._restore_names(v["feature_names"])
    return model


def _unpack_stream(v: dict[str, Any], learner: Learner, device: str | None) -> BlockStream:
    """Rebuild a stream."""
    factors, pace = _get(v, "factors", device), learner.settings.pace
    if v["kind"] == "complete":
        stream: BlockStream = CompleteStream(factors[0], pace, cut=v["numbers"]["cut"])
    else:
        stream = _KINDS[v["kind"]](factors, pace)
    for name, number in v["numbers"].items():
        setattr(stream, name, number)
    for name in _LISTS:
        setattr(stream, name, _get(v, name, device))
    for name in _ARRAYS:
        if hasattr(stream, name):
            setattr(stream, name, _get(v, name, device)[0])
    stream.pending.gradients = _get(v, "pending_gradients", device)
    stream.pending.square, stream.pending.fourth = _get(v, "pending_moments", device)
    stream.pending.below, stream.pending.count = v["pending"]["below"], v["pending"]["count"]
    return stream


def _put(out: dict[str, object], name: str, arrays: list[Any]) -> None:
    """Store a list of arrays under numbered names."""
    out[f"n_{name}"] = len(arrays)
    for i, a in enumerate(arrays):
        out[f"{name}_{i}"] = np.asarray(to_numpy(a))


def _get(v: Mapping[str, Any], name: str, device: str | None) -> list[Any]:
    """Read a list of arrays, as tensors on a device if one is given."""
    arrays = [v[f"{name}_{i}"] for i in range(v[f"n_{name}"])]
    if device is None:
        return arrays
    try:
        return [to_device(a, device) for a in arrays]
    except (AssertionError, RuntimeError) as err:  # how torch says that a device is missing
        raise StructKitError(f"Device {device!r} of the stored model: {err}. Load it with device='cpu'.") from err


def _plain(value: Any) -> Any:
    """Turn a setting into a value that JSON can store."""
    return value.item() if isinstance(value, np.generic) else value
