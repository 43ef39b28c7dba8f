"""Protection against outliers: samples that are far too long are shortened."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch

__all__ = ["Clip"]

# A sample may be so many median norms long.
LONGEST = 1.5
# Step of the running median in its logarithm: per sample, and at most per block.
STEP, LARGEST_STEP = 0.002, 0.5


class Clip:
    """Shorten samples to 1.5 times the running median of their norms; samples may come in any portions."""

    def __init__(self, median: float = math.nan) -> None:
        self.median = median

    def begin(self, Y: Any) -> Any:
        """Take the median of the norms of samples at hand, and return these samples shortened."""
        norms = _norms(Y)
        xp = get_namespace(norms)
        positive = norms[norms > 0]
        ordered = xp.sort(positive)
        self.median = float(ordered[ordered.shape[0] // 2]) if ordered.shape[0] else 1.0
        return self._shortened(Y, norms)

    def __call__(self, Y: Any) -> tuple[Any, float]:
        """Return samples shortened by the running median, and how many are longer than it."""
        norms = _norms(Y)
        return self._shortened(Y, norms), float((norms > self.median).sum())

    def learn(self, above: float, count: int) -> None:
        """Move the median after a block of `count` samples of which `above` were longer."""
        self.median *= math.exp(min(LARGEST_STEP, STEP * count) * (above / count - 0.5))

    def _shortened(self, Y: Any, norms: Any) -> Any:
        xp = get_namespace(norms)
        limit = LONGEST * self.median
        if not bool(xp.any(norms > limit)):
            return Y
        factor = xp.where(norms > limit, limit / xp.where(norms > 0, norms, xp.ones_like(norms)), xp.ones_like(norms))
        return Y * factor.reshape(-1, *[1] * (Y.ndim - 1))


def _norms(Y: Any) -> Any:
    """Euclidean norm of every sample."""
    flat = Y.reshape(Y.shape[0], -1)
    if is_torch(flat):
        return (flat**2).sum(dim=1) ** 0.5
    return np.sqrt(np.einsum("ij,ij->i", flat, flat))
