"""Pairs of atoms that a search left mixed with each other, found and turned apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from structkit._backend.namespace import cast, get_namespace

__all__ = ["untangled"]

ANGLES = tuple(k * math.pi / 16 for k in range(1, 8))
# Pairs whose squared codes have a smaller cosine are not mixed: sparse atoms turned by 15 degrees have a larger one.
LEAST_COSINE = 0.15
# A turn must shorten the codes by this much (relative), well above what rounding does.
LEAST_GAIN = 1e-3


def untangled(codes: Any, factors: Sequence[Any]) -> list[Any] | None:
    """Return factors with mixed pairs of atoms turned so that the sum of the magnitudes of the codes is smaller.

    Codes are ``(b, n_1, ..., n_D)``. Where atoms are often active together, a fixed point may hold two of them turned
    by any angle, in reach of no small step. The pairs that are tried are every atom and the one whose codes are large
    where its own are. Returns None where no pair gains.
    """
    better, any_gain = [], False
    for d, W in enumerate(factors):
        rest = [k for k in range(codes.ndim) if k != d + 1]
        Z = get_namespace(codes).permute_dims(codes, (d + 1, *rest)).reshape(W.shape[0], -1)
        turns = _turns(Z)
        any_gain = any_gain or bool(turns)
        better.append(_apply(W, turns) if turns else W)
    return better if any_gain else None


def _turns(Z: Any) -> list[tuple[int, int, float]]:
    """Pairs of rows with the angle that shortens them most; no row twice, the largest gains first."""
    n, xp = Z.shape[0], get_namespace(Z)
    if n < 2:
        return []
    power = Z**2
    # Cosines of the angles between squared codes: independent codes have a small one, mixed codes do not.
    length = xp.sqrt(xp.sum(power**2, axis=1))
    power = power / xp.where(length > 0, length, xp.ones_like(length))[:, None]
    together = power @ power.T
    for i in range(n):
        together[i, i] = 0
    partners = xp.argmax(together, axis=1)
    pairs = {
        (min(i, int(j)), max(i, int(j))) for i, j in enumerate(partners) if float(together[i, int(j)]) > LEAST_COSINE
    }
    gains = sorted(((*_best_turn(Z[i], Z[j], xp), i, j) for i, j in sorted(pairs)), reverse=True)
    used: set[int] = set()
    turns = []
    for gain, angle, i, j in gains:
        if gain > LEAST_GAIN and not {i, j} & used:
            used |= {i, j}
            turns.append((i, j, angle))
    return turns


def _best_turn(a: Any, b: Any, xp: Any) -> tuple[float, float]:
    """Largest relative gain over the angles, and its angle."""
    now = float(xp.sum(xp.abs(a)) + xp.sum(xp.abs(b)))
    best = (0.0, 0.0)
    for angle in ANGLES:
        c, s = math.cos(angle), math.sin(angle)
        length = float(xp.sum(xp.abs(c * a + s * b)) + xp.sum(xp.abs(c * b - s * a)))
        best = max(best, ((now - length) / now if now > 0 else 0.0, angle))
    return best


def _apply(W: Any, turns: Sequence[tuple[int, int, float]]) -> Any:
    """Turn pairs of columns."""
    W = cast(W, W.dtype) + 0
    for i, j, angle in turns:
        c, s = math.cos(angle), math.sin(angle)
        a, b = W[:, i] + 0, W[:, j] + 0
        W[:, i], W[:, j] = c * a + s * b, c * b - s * a
    return W
