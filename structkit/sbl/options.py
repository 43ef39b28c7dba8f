"""Options of the sparse models, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit._core.errors import ShapeError

__all__ = [
    "Options",
    "check_choice",
    "check_shares",
    "check_share",
    "check_noise",
    "check_penalty",
    "count",
    "positive",
]


@dataclass(frozen=True)
class Options:
    """Checked options; the noise variance belongs to the scaled measurements, None means that it is learned."""

    method: str
    noise_var: float | None
    penalty: str | float
    n_starts: int
    max_iter: int
    tol: float
    prune: tuple[float, ...]
    coupling: tuple[float, ...]
    initial_variance: float | None = None


def positive(name: str, value: object) -> float:
    """Return a finite number > 0."""
    if isinstance(value, (str, bool)) or not 0 < value < math.inf:  # type: ignore[operator]
        raise ValueError(f"{name}={value!r}; expected a finite number > 0.")
    return float(value)  # type: ignore[arg-type]


def count(name: str, value: object, most: int | None = None) -> int:
    """Return an integer >= 1, and not above `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= (most or value):
        allowed = "an integer >= 1" if most is None else f"an integer between 1 and {most}"
        raise ValueError(f"{name}={value!r}; expected {allowed}.")
    return int(value)


def check_noise(noise_var: object) -> float | None:
    """Return a noise variance, or None where it is learned."""
    if noise_var == "learn":
        return None
    if isinstance(noise_var, (str, bool)) or not 0 < noise_var < math.inf:  # type: ignore[operator]
        raise ValueError(f"noise_var={noise_var!r}; expected 'learn' or a finite number > 0, a variance.")
    return float(noise_var)  # type: ignore[arg-type]


def check_share(name: str, value: object) -> float:
    """Return a number in [0, 1)."""
    if isinstance(value, (str, bool)) or not 0 <= value < 1:  # type: ignore[operator]
        raise ValueError(f"{name}={value!r}; expected a number with 0 <= {name} < 1.")
    return float(value)  # type: ignore[arg-type]


def check_shares(name: str, value: object, n_modes: int) -> tuple[float, ...]:
    """Return one number in [0, 1) per mode, from one for all or one for each."""
    shares = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n_modes
    if len(shares) != n_modes:
        raise ShapeError(f"{name} has {len(shares)} entries for {n_modes} factors; expected one each, or one number.")
    return tuple(check_share(name, s) for s in shares)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected one of {', '.join(map(repr, choices))}.")
    return str(value)


def check_penalty(penalty: object) -> str | float:
    """Return a penalty per column: a name or nats."""
    if penalty in ("ebic", "bic"):
        return str(penalty)
    if isinstance(penalty, (str, bool)) or not 0 <= penalty < math.inf:  # type: ignore[operator]
        raise ValueError(f"penalty={penalty!r}; expected 'ebic', 'bic' or a finite number >= 0.")
    return float(penalty)  # type: ignore[arg-type]
