"""One way to turn ``random_state`` into a generator."""

from __future__ import annotations

import numpy as np

from structkit._core.types import RandomState

__all__ = ["check_random_state"]


def check_random_state(random_state: RandomState) -> np.random.Generator:
    """Return a numpy generator for None, an integer seed or a generator (returned as it is)."""
    if random_state is None or isinstance(random_state, (int, np.integer)):
        return np.random.default_rng(random_state)
    if isinstance(random_state, np.random.Generator):
        return random_state
    raise TypeError(
        f"random_state must be None, an int or a numpy.random.Generator; got {type(random_state).__name__}."
    )
