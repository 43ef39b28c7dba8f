"""Where learning starts: random, cosine and given orthogonal matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ShapeError
from structkit._core.types import Shape

__all__ = ["starting_factors"]

# A given start is orthogonal up to so many units of rounding per row.
ORTHOGONAL_UNITS = 1e4


def starting_factors(start: object, sizes: Shape, rng: np.random.Generator, dtype: np.dtype) -> list[np.ndarray]:
    """Orthogonal matrices, atoms as columns, one per size."""
    if isinstance(start, str):
        if start == "random":
            return [_random(n, rng).astype(dtype) for n in sizes]
        if start == "dct":
            return [_cosines(n).astype(dtype) for n in sizes]
        raise ValueError(f"start={start!r} is unknown; expected 'random', 'dct' or a list of orthogonal matrices.")
    given = [start] if getattr(start, "ndim", 0) == 2 else start
    if not isinstance(given, Sequence):
        raise TypeError(f"start must be 'random', 'dct' or orthogonal matrices; got {type(start).__name__}.")
    if len(given) != len(sizes):
        raise ShapeError(f"start has {len(given)} matrices; expected {len(sizes)}, one per axis of a sample.")
    return [_checked(W, n, d, dtype) for d, (W, n) in enumerate(zip(given, sizes, strict=True))]


def _random(n: int, rng: np.random.Generator) -> np.ndarray:
    """Uniformly distributed orthogonal matrix."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    signs = np.sign(np.diag(R))
    return Q * np.where(signs == 0, 1.0, signs)


def _cosines(n: int) -> np.ndarray:
    """Orthonormal cosines of growing frequency as columns (DCT-II)."""
    from scipy.fft import dct

    return dct(np.eye(n), axis=1, norm="ortho")


def _checked(W: Any, n: int, d: int, dtype: np.dtype) -> np.ndarray:
    A = np.array(to_numpy(W), dtype=np.float64)
    if A.shape != (n, n):
        raise ShapeError(f"start[{d}] has shape {A.shape}; expected ({n}, {n}).")
    error = float(np.abs(A.T @ A - np.eye(n)).max())
    if not error <= ORTHOGONAL_UNITS * n * float(np.finfo(dtype).eps):
        raise ValueError(
            f"start[{d}] is not orthogonal: its columns deviate by {error:.2g}. Use structkit.orthogonal.polar_factor."
        )
    return A.astype(dtype)
