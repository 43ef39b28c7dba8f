"""The loop over sweeps: extrapolation with a safeguard, learning of kernels, stopping, and the choice among starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.progress import Progress
from structkit.tucker.inference import Posterior

__all__ = ["Ascent", "best_start"]

# Kernels are improved in every second sweep, by this many steps: they change slowly, and a step costs a filter pass.
_LEARN_EVERY, _LEARN_STEPS = 2, 4
# Extrapolation begins after the first sweeps, where directions still turn.
_PLAIN_SWEEPS = 5
_LONGEST = 30.0
# Sweeps with a gain below the tolerance that end the ascent.
_PATIENCE = 3
_ROUND_SWEEPS = 8


class Ascent:
    """Sweeps over one posterior.

    Parameters
    ----------
    posterior : Posterior
        Where to start.
    offset : float
        Added to the bound, so that bounds of differently scaled data compare.
    learn : bool
        Whether kernels are learned.
    """

    def __init__(self, posterior: Posterior, offset: float, learn: bool) -> None:
        self.posterior, self.offset, self.learn = posterior, offset, learn
        self.bounds: list[float] = []
        self._step = 1.0
        self._wait = 0
        self._before: list[tuple[np.ndarray, np.ndarray]] | None = None

    @property
    def bound(self) -> float:
        """The bound after the last sweep."""
        return self.bounds[-1] if self.bounds else -math.inf

    def sweep(self) -> float:
        """Sweep once, from an extrapolated state where that gains more; return the bound, which never falls."""
        posterior = self.posterior
        n = len(self.bounds)
        steps = _LEARN_STEPS if self.learn and n % _LEARN_EVERY == _LEARN_EVERY - 1 else 0
        messages = posterior.messages if n else None
        if not (n >= _PLAIN_SWEEPS and self._wait <= 0 and self._extrapolated(steps)):
            self._wait -= 1
            self.bounds.append(posterior.sweep(steps) + self.offset)
        self._before = messages
        return self.bound

    def _extrapolated(self, steps: int) -> bool:
        """Try a sweep from beyond the last two states; on less than the usual gain restore and return False."""
        assert self._before is not None
        saved = self.posterior.state
        target = self.bounds[-1] + 0.5 * max(self.bounds[-1] - self.bounds[-2], 0.0)
        try:
            self.posterior.extrapolate(self._before, self._step)
            bound = self.posterior.sweep(steps) + self.offset
        except (NotPositiveDefiniteError, np.linalg.LinAlgError):
            bound = -math.inf
        if bound > target:
            self._step = min(1.5 * self._step, _LONGEST)
            self.bounds.append(bound)
            return True
        self.posterior.state = saved
        self._step, self._wait = max(self._step / 2, 0.5), 1
        return False

    def run(self, max_iter: int, tol: float, progress: Progress) -> bool:
        """Sweep until the gain per observation stays below `tol`; return whether it did within `max_iter` sweeps."""
        n = self.posterior.noise.n
        progress.stage("fit", max_iter)
        small = 0
        while len(self.bounds) < max_iter and small < _PATIENCE:
            before = self.bound
            gain = self.sweep() - before
            small = small + 1 if gain < tol * n else 0
            record = {"stage": "fit", "sweep": len(self.bounds), "elbo": self.bound}
            if progress.step({**record, "noise_var": self.posterior.noise.variance}):
                break
        progress.close()
        return small >= _PATIENCE


def best_start(candidates: Sequence[Ascent], kinds: Sequence[str], progress: Progress) -> int:
    """Return the position of the candidate whose bound is best, by rounds that halve their number.

    Bounds of different `kinds` compare late: the first rounds keep the best of every kind as long as they have room.
    """
    left = list(range(len(candidates)))
    sweeps = _ROUND_SWEEPS
    while len(left) > 1:
        progress.stage(f"{len(left)} starts", sweeps * len(left))
        for c in left:
            for _ in range(sweeps):
                candidates[c].sweep()
                record = {"stage": "starts", "start": c, "elbo": candidates[c].bound}
                if progress.step(record):
                    return max(left, key=lambda i: candidates[i].bound)
        ranked = sorted(left, key=lambda i: -candidates[i].bound)
        leaders = {kinds[i]: i for i in reversed(ranked)}.values()
        ranked.sort(key=lambda i: i not in leaders)
        left = ranked[: (len(left) + 1) // 2]
        sweeps += _ROUND_SWEEPS // 2
    progress.close()
    return left[0]
