"""What was observed, checked and brought to information form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import (
    as_array,
    asarray_like,
    backend_name,
    cast,
    get_namespace,
    result_dtype,
    to_numpy,
)
from structkit._core.errors import NotFiniteError, NotPositiveDefiniteError, NotSymmetricError, ShapeError
from structkit._core.labels import days
from structkit._core.types import Array

__all__ = ["Observations", "check_times", "gather"]


@dataclass(frozen=True)
class Observations:
    """Factors ``exp(information @ f - f @ precision @ f / 2)`` at `T` times.

    Attributes
    ----------
    precision : array, shape ``(..., T, R, R)``
        Symmetric positive semi-definite; zero where nothing was observed.
    information : array, shape ``(..., T, R)``
        Precision times observed value.
    y, noise_var : array, shape ``(..., T)``, or None
        The values as they were given, NaN where missing, and the variance of their noise.
    scale : array, shape ``(R, s)``, or None
        Factor of every state of every output; None for ones.
    """

    precision: Array
    information: Array
    y: Array | None = None
    noise_var: Array | None = None
    scale: np.ndarray | None = None

    @property
    def n_copies(self) -> int:
        """Number of outputs `R`."""
        return int(self.information.shape[-1])

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch of series."""
        return tuple(self.information.shape[:-2])


def check_times(times: Array, name: str = "times", *, ordered: bool = True) -> np.ndarray:
    """Return times as a finite one-dimensional float64 array, non-decreasing where that is asked for; dates in days."""
    flat = to_numpy(as_array(days(times), name))
    if flat.dtype.kind == "c":
        raise TypeError(f"{name} has dtype {flat.dtype}; expected real numbers.")
    if flat.ndim != 1 or (ordered and flat.size == 0):
        raise ShapeError(f"{name} has shape {flat.shape} and dtype {flat.dtype}; expected a real array (T,), T >= 1.")
    if not np.isfinite(flat).all():
        raise NotFiniteError(f"{name} holds NaN or infinity.")
    late = np.flatnonzero(np.diff(flat) < 0) if ordered else ()
    if len(late):
        i = int(late[0])
        raise ValueError(
            f"{name}[{i + 1}] = {flat[i + 1]} lies before {name}[{i}] = {flat[i]}; sort times and observations first, "
            "for instance with order = np.argsort(times, kind='stable')."
        )
    return flat.astype(np.float64)


def gather(
    n_times: int, y: Array | None, noise_var: Array | float | None, precision: Array | None, information: Array | None
) -> Observations:
    """Check one of the two forms of observations and return the information form."""
    if (y is None) == (precision is None) or (y is None) != (noise_var is None):
        raise ValueError("Give either y and noise_var, or precision and information.")
    if (precision is None) != (information is None):
        raise ValueError("precision and information belong together; one of them is missing.")
    if y is not None:
        return _from_values(n_times, y, noise_var)
    return _from_blocks(n_times, precision, information)


def _from_values(n_times: int, y: object, noise_var: object) -> Observations:
    """Information form of values with independent noise."""
    values = _real(y, "y")
    noise = asarray_like(np.array(noise_var), values) if np.isscalar(noise_var) else _real(noise_var, "noise_var")
    backend_name(values, noise)
    if values.ndim == 0 or values.shape[-1] != n_times:
        raise ShapeError(f"y has shape {tuple(values.shape)}; expected (..., T) with T = {n_times} times.")
    host = to_numpy(noise)
    if not (np.isfinite(host).all() and (host > 0).all()):
        raise ValueError(f"noise_var has entries down to {np.min(host)}; expected positive finite variances.")
    if np.isinf(to_numpy(values)).any():
        raise NotFiniteError("y holds infinity; mark missing values with NaN.")
    xp = get_namespace(values)
    dtype = result_dtype(values, noise)
    values = cast(values, dtype)
    try:
        noise = xp.broadcast_to(cast(noise, dtype), tuple(values.shape))
    except (ValueError, RuntimeError) as err:
        raise ShapeError(
            f"noise_var has shape {tuple(noise.shape)}; expected a number or a shape that broadcasts to y, "
            f"{tuple(values.shape)}."
        ) from err
    missing = xp.isnan(values)
    zero = xp.zeros_like(values)
    with np.errstate(over="ignore"):
        precision = xp.where(missing, zero, 1 / noise)
        information = xp.where(missing, zero, values) * precision
    if not np.isfinite(to_numpy(information)).all():
        raise NotFiniteError(f"y / noise_var overflows in {dtype}; scale the data or use float64.")
    return Observations(precision[..., None, None], information[..., None], values, noise)


def _from_blocks(n_times: int, precision: object, information: object) -> Observations:
    """Check observations in information form."""
    blocks, vectors = _real(precision, "precision"), _real(information, "information")
    backend_name(blocks, vectors)
    copies = vectors.shape[-1] if vectors.ndim >= 2 else 0
    if copies == 0 or vectors.shape[-2] != n_times:
        raise ShapeError(
            f"information has shape {tuple(vectors.shape)}; expected (..., T, R) with T = {n_times} times."
        )
    if blocks.ndim < 3 or tuple(blocks.shape[-3:]) != (n_times, copies, copies):
        raise ShapeError(
            f"precision has shape {tuple(blocks.shape)}; expected (..., {n_times}, {copies}, {copies}), (..., T, R, R)."
        )
    _check_blocks(to_numpy(blocks), to_numpy(vectors))
    xp = get_namespace(blocks, vectors)
    dtype = result_dtype(blocks, vectors)
    try:
        batch = np.broadcast_shapes(tuple(blocks.shape[:-3]), tuple(vectors.shape[:-2]))
    except ValueError as err:
        raise ShapeError(
            f"The batches of precision {tuple(blocks.shape)} and information {tuple(vectors.shape)} do not broadcast."
        ) from err
    blocks = xp.broadcast_to(cast(blocks, dtype), (*batch, n_times, copies, copies))
    return Observations(blocks, xp.broadcast_to(cast(vectors, dtype), (*batch, n_times, copies)))


def _check_blocks(precision: np.ndarray, information: np.ndarray) -> None:
    """Raise unless every precision is finite, symmetric and positive semi-definite up to rounding."""
    for name, x in (("precision", precision), ("information", information)):
        if not np.isfinite(x).all():
            raise NotFiniteError(
                f"{name} holds NaN or infinity; a missing observation has precision and information 0."
            )
    copies = precision.shape[-1]
    slack = 1e2 * copies * np.finfo(precision.dtype).eps * np.abs(precision).max(axis=(-2, -1), initial=0.0)
    mirrored = precision.swapaxes(-2, -1)
    # most callers have exact symmetry, which is cheaper to see
    if not np.array_equal(precision, mirrored) and _exceeds(precision - mirrored, slack):
        raise NotSymmetricError("precision has blocks that are not symmetric.")
    if copies > 1:
        try:
            # a sixth of the time of the eigenvalues, which only find out what is wrong
            np.linalg.cholesky(precision + (slack + np.finfo(precision.dtype).tiny)[..., None, None] * np.eye(copies))
            return
        except np.linalg.LinAlgError:
            low = np.linalg.eigvalsh(precision)[..., 0]
    else:
        low = precision[..., 0, 0]
    if (low < -slack).any():
        where = np.unravel_index(int(np.argmin(low + slack)), low.shape)
        raise NotPositiveDefiniteError(
            f"precision{[int(i) for i in where]} has the eigenvalue {low[where]:.3g}; expected none below zero."
        )


def _exceeds(difference: np.ndarray, slack: np.ndarray) -> bool:
    """Whether an entry of a block is larger than the slack of the block."""
    return bool((np.abs(difference) > slack[..., None, None]).any())


def _real(x: object, name: str) -> Array:
    """Return a real floating-point array of its own library."""
    array = as_array(x, name)
    if "complex" in str(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers.")
    return array
