"""The arguments of an `OrthogonalDictionary` and its samples, checked before any work."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from structkit._backend.namespace import as_array, asarray_like, backend_name, cast, get_namespace, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.labels import real_objects
from structkit._core.types import Array, Shape
from structkit.dictionary.learner import Learner, Settings
from structkit.dictionary.starts import starting_factors
from structkit.dictionary.stream import Pace

if TYPE_CHECKING:
    from structkit.dictionary.model import OrthogonalDictionary
    from structkit.dictionary.transform import CodeTransform

__all__ = ["check_not_vanishing", "checked_samples", "matched", "prepare", "resolved"]

# A first dictionary takes so many samples per row of the largest factor, another one after an abrupt change so many,
# a block of a stream so many.
WARMUP, RELEARN, BLOCK = 64, 32, 4
# Fewer samples than this leave pairs of atoms mixed that are often active together.
LEAST_WARMUP = 2048
# Blocks grow to this share of the samples seen: fewer polar factors, and no worse a dictionary.
GROWTH = 1 / 16
# Samples may be this much of the fourth root of the largest number: sums over 1e12 codes stay finite.
MOST_SHARE = 1e-3


def _sample_shape(shape: object, n_features: int) -> Shape:
    """Shape of one sample as a tensor."""
    if shape is None:
        return (n_features,)
    if not isinstance(shape, (tuple, list)) or not shape or not all(_is_count(n) for n in shape):
        raise ValueError(f"shape={shape!r}; expected a tuple of positive integers, such as (8, 8), or None.")
    return tuple(int(n) for n in shape)


def checked_samples(model: CodeTransform, X: object, *, fitting: bool, name: str = "X") -> Any:
    """Return samples as a floating-point array ``(b, n_1, ..., n_D)`` of their library."""
    X = _numeric(X, name)
    if X.ndim < 2:
        raise ShapeError(
            f"{name} has shape {tuple(X.shape)}; expected a 2D array with one sample per row. Reshape your data: "
            f"{name}.reshape(1, -1) for one sample, {name}.reshape(-1, 1) for one feature."
        )
    count = math.prod(X.shape[1:])
    if count == 0:
        raise ShapeError(
            f"Found array with 0 feature(s) (shape={tuple(X.shape)}) while a minimum of 1 is required by "
            f"{type(model).__name__}."
        )
    if not fitting and count != model.n_features_in_:
        raise ShapeError(
            f"{name} has {count} features, but {type(model).__name__} is expecting {model.n_features_in_} features "
            "as input."
        )
    shape = _sample_shape(model.shape, count) if fitting else tuple(W.shape[0] for W in model._learner.start)
    if X.ndim > 2 and tuple(X.shape[1:]) != shape:
        hint = f"give shape={tuple(X.shape[1:])}" if model.shape is None else f"expected samples of shape {shape}"
        raise ShapeError(f"{name} has shape {tuple(X.shape)}; {hint}, or flatten the samples to rows.")
    if count != math.prod(shape):
        raise ShapeError(f"{name} has {count} features; shape={shape} needs {math.prod(shape)}.")
    _check_magnitudes(X, name)
    if not fitting:
        backend_name(X, model._learner.start[0])
    return X.reshape(X.shape[0], *shape)


def _check_magnitudes(X: Any, name: str) -> None:
    """Raise unless all numbers are finite, and so small that sums of their third and fourth powers are."""
    xp = get_namespace(X)
    largest = float(xp.max(xp.abs(X))) if X.shape[0] else 0.0
    if not math.isfinite(largest):
        raise NotFiniteError(f"{name} holds NaN or infinity; dictionaries need complete samples.")
    most = MOST_SHARE * float(xp.finfo(X.dtype).max) ** 0.25
    if largest > most:
        raise ValueError(
            f"{name} holds numbers up to {largest:.2g}, whose powers overflow in {X.dtype} beyond {most:.2g}. Use "
            "smaller units."
        )


def check_not_vanishing(Y: Any) -> None:
    """Raise if all samples are so small that sums of their fourth powers vanish."""
    xp = get_namespace(Y)
    largest = float(xp.max(xp.abs(Y))) if Y.shape[0] else 0.0
    least = float(xp.finfo(Y.dtype).smallest_normal) ** 0.25 / MOST_SHARE
    if 0.0 < largest < least:
        raise ValueError(
            f"X holds numbers up to {largest:.2g}, whose powers vanish in {Y.dtype} below {least:.2g}. Use larger "
            "units."
        )


def _numeric(X: object, name: str) -> Array:
    """Return real floating-point samples; numbers in object arrays are taken too."""
    X = as_array(real_objects(X, name), name)
    if backend_name(X) == "dask":
        raise TypeError(f"{name} is a dask array; give it to fit_stream.")
    if "complex" in str(X.dtype):
        raise ValueError(f"Complex data not supported: {name} has dtype {X.dtype}.")
    return X


def prepare(model: OrthogonalDictionary, Y: Any, rng: np.random.Generator) -> Learner:
    """Check the arguments and return a learner in the library, dtype and device of the samples."""
    sizes = tuple(Y.shape[1:])
    settings = resolved(model, sizes)
    dtype = np.dtype(to_numpy(Y[:0]).dtype)
    start = starting_factors(model.start, sizes, rng, dtype)
    return Learner([asarray_like(W, Y) for W in start], settings)


def resolved(model: OrthogonalDictionary, sizes: Shape) -> Settings:
    """Resolve the arguments for samples of these sizes."""
    _check_ranges(model, math.prod(sizes))
    widest = max(sizes)
    least = 0 if model.forgetting else LEAST_WARMUP
    warmup = max(WARMUP * widest, least) if model.warmup == "auto" else int(model.warmup)
    steady = model.batch_size is not None or model.forgetting > 0 or model.schedule == "paper"
    block = 1 if model.schedule == "paper" else BLOCK * widest
    pace = Pace(
        batch_size=block if model.batch_size is None else int(model.batch_size),
        growth=0.0 if steady else GROWTH,
        averaging=float(model.averaging),
        forgetting=float(model.forgetting),
        n_nonzero=int(model.n_nonzero or 0),
        threshold=None if model.threshold == "auto" else float(model.threshold),
    )
    blind = isinstance(model.start, str) and model.start == "random"
    return Settings(
        warmup=0 if model.schedule == "paper" else warmup,
        relearn=RELEARN * widest,
        pace=pace,
        max_iter=int(model.max_iter),
        tol=float(model.tol),
        robust=bool(model.robust),
        blind=blind,
        orthogonal=bool(model.orthogonal),
    )


def _check_ranges(model: OrthogonalDictionary, n_features: int) -> None:
    """Raise unless every number is in its range."""
    for name, none_is_fine in (("n_nonzero", True), ("batch_size", True), ("max_iter", False), ("warmup", False)):
        value = getattr(model, name)
        if (value is None and none_is_fine) or (name == "warmup" and value == "auto"):
            continue
        if not _is_count(value):
            raise ValueError(f"{name}={value!r}; expected a positive integer.")
    if model.n_nonzero is not None and model.n_nonzero > n_features:
        raise ValueError(f"n_nonzero={model.n_nonzero}; a sample has only {n_features} codes.")
    if model.schedule not in ("buffered", "paper"):
        raise ValueError(f"schedule={model.schedule!r} is unknown; expected 'buffered' or 'paper'.")
    for name in ("robust", "orthogonal"):
        if not isinstance(getattr(model, name), (bool, np.bool_)):
            raise ValueError(f"{name}={getattr(model, name)!r}; expected True or False.")
    _check_combinations(model)
    _check_number("forgetting", model.forgetting, 0.0, 1.0)
    _check_number("averaging", model.averaging, 1.0, math.inf)
    _check_number("tol", model.tol, 0.0, math.inf)
    if model.threshold != "auto":
        _check_number("threshold", model.threshold, 0.0, math.inf)


def _check_combinations(model: OrthogonalDictionary) -> None:
    """Raise where two options do not go together."""
    paper = model.schedule == "paper"
    if not model.orthogonal and (paper or model.shape is not None):
        what = "schedule='paper'" if paper else f"shape={model.shape!r}"
        raise ValueError(f"orthogonal=False does not go with {what}; use orthogonal=True.")
    if paper and (model.forgetting or model.robust):
        what = "forgetting" if model.forgetting else "robust"
        raise ValueError(f"{what} does not go with schedule='paper'; use schedule='buffered'.")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    numeric = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not numeric or not least <= value <= most or not math.isfinite(value):  # type: ignore[operator, arg-type]
        raise ValueError(f"{name}={value!r}; expected a number from {least:g} to {most:g}.")


def _is_count(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value > 0)


def matched(Y: Any, learner: Learner) -> Any:
    """Return samples in the dtype of a learner; wider ones are refused, not narrowed."""
    dtype = learner.start[0].dtype
    backend_name(Y, learner.start[0])
    if Y.dtype == dtype:
        return Y
    if get_namespace(Y).result_type(Y.dtype, dtype) != dtype:
        raise ValueError(f"X has dtype {Y.dtype}; this dictionary began with {dtype} samples. Convert X, or fit anew.")
    return cast(Y, dtype)
