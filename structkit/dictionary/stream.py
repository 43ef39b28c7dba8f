"""Dictionaries from a stream: one pass, and a state that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from structkit._backend.namespace import cast, get_namespace
from structkit.dictionary.clipping import Clip
from structkit.dictionary.levels import (
    atom_scales,
    floor_levels,
    magnitude_median,
    moved_median,
    noise_levels,
    pair_statistics,
    power_means,
)
from structkit.dictionary.search import turned
from structkit.dictionary.statistics import Rule, Statistics, accumulate, project

__all__ = ["Pace", "Report", "ThresholdStream"]

Report: TypeAlias = Callable[[dict[str, object]], bool]

# Thresholds of a stream in scales of the codes: the first, the lowest, and the amount that shrunken codes lose.
FIRST_LEVEL, LAST_LEVEL, SHRINKAGE = 0.5, 0.02, 0.1
# The threshold falls with the square root of the number of samples, this much faster than it grows.
LEVEL_PACE = 16
# Where fixed-point steps fall short of Newton's, new samples weigh more: this much of what Newton's steps would need,
# and no more than that.
NEWTON, MOST_AVERAGING = 1.25, 8.0
# Codes from which the scales of the start are estimated.
FIRST_CODES = 2**18
# Weight of the newest block in the running moments of the codes, at least.
MOMENT_WEIGHT = 0.02


@dataclass(frozen=True)
class Pace:
    """How fast a stream learns and forgets.

    Attributes
    ----------
    batch_size : int
        Samples between two updates.
    growth : float
        Share of the samples seen so far that a block may have, where that is more than `batch_size`.
    averaging : float
        Weight of a new sample over that of an average one.
    forgetting : float
        Least weight of a block; 0 forgets nothing.
    n_nonzero : int
        Codes kept per sample; 0 for thresholds.
    threshold : float or None
        Given threshold.
    """

    batch_size: int
    growth: float = 0.0
    averaging: float = 2.0
    forgetting: float = 0.0
    n_nonzero: int = 0
    threshold: float | None = None


class ThresholdStream:
    """Thresholded codes and polar factors of a running mean, block by block.

    Between two updates the factors stay as they are, so that samples can be added in any portions.
    """

    def __init__(self, factors: Sequence[Any], pace: Pace, *, cut: bool = True) -> None:
        self.factors = list(factors)
        self.cut = cut
        self.pace = pace
        self.memory = [0 * W for W in factors]
        self.pending = Statistics.empty(factors)
        self.n_seen = 0
        self.n_start = 1
        self.averaging = pace.averaging
        self.median = math.inf
        self.moments: list[Any] = []
        self.gap = math.nan
        self.moved = math.nan
        self.above = 0.0

    def begin(self, Y: Any) -> None:
        """Take the means over samples at hand, for which the factors were found, as the start of the running ones."""
        few = Y[: max(1, FIRST_CODES // max(1, math.prod(Y.shape[1:])))]
        Z = project(few, self.factors).reshape(few.shape[0], -1)
        self.median, self.moments = magnitude_median(Z), list(power_means(Z))
        self.n_seen = self.n_start = Y.shape[0]
        sums, rule = Statistics.empty(self.factors), self.rule()
        if rule.levels is not None:
            gain = pair_statistics(Z, rule.levels, soft=rule.soft).gain
            self.averaging = max(self.pace.averaging, min(NEWTON * gain, MOST_AVERAGING))
        accumulate(sums, Y, self.factors, rule)
        self.memory = [G / Y.shape[0] for G in sums.gradients]
        _, self.moved, self.gap = turned(self.factors, sums.gradients)

    def rule(self) -> Rule:
        """How codes of the next samples count."""
        if self.pace.n_nonzero:
            return Rule(n_nonzero=self.pace.n_nonzero)
        scales = atom_scales(*self.moments)
        if self.pace.threshold is not None:
            return Rule(levels=cast(0 * scales + self.pace.threshold, self.factors[0].dtype))
        if not self.cut:
            levels = noise_levels(self.median, scales, SHRINKAGE)
            return Rule(levels=cast(levels, self.factors[0].dtype), soft=True)
        xp = get_namespace(scales)
        share = math.sqrt(self.n_start / (self.n_start + LEVEL_PACE * (self.n_seen - self.n_start)))
        levels = xp.maximum(FIRST_LEVEL * share * scales, floor_levels(self.median, scales, LAST_LEVEL))
        return Rule(levels=cast(levels, self.factors[0].dtype))

    def floor(self) -> float:
        """Magnitude below which codes are taken for zero or noise, one for all atoms."""
        if self.pace.threshold is not None:
            return self.pace.threshold
        square, fourth = self.moments
        scale = atom_scales(square.sum(), fourth.sum())
        return float(floor_levels(self.median, scale, LAST_LEVEL))

    @property
    def block(self) -> int:
        """Samples of the running block."""
        return max(self.pace.batch_size, int(self.pace.growth * self.n_seen))

    def feed(self, Y: Any, clip: Clip | None, report: Report) -> None:
        """Add samples ``(b, n_1, ..., n_D)``, with an update whenever a block is full."""
        start = 0
        while start < Y.shape[0]:
            part = Y[start : start + self.block - self.pending.count]
            start += part.shape[0]
            if clip is not None:
                part, above = clip(part)
                self.above += above
            accumulate(self.pending, part, self.factors, self.rule(), self.median)
            if self.pending.count >= self.block:
                self.close_block(clip, report)

    def close_block(self, clip: Clip | None, report: Report) -> None:
        """Update, and say so."""
        if clip is not None:
            clip.learn(self.above, self.pending.count)
            self.above = 0.0
        self.update()
        report({"stage": "stream", "n_samples": self.n_seen, "gap": self.gap, "moved": self.moved})

    def update(self) -> None:
        """Move the running means towards the pending sums, and the factors to their polar factors."""
        sums, pace, k = self.pending, self.pace, self.averaging
        b = sums.count
        rho = max(pace.forgetting, min(1.0, k * b / (self.n_seen + (k - 1) * b)))
        self.memory = [(1 - rho) * M + (rho / b) * G for M, G in zip(self.memory, sums.gradients, strict=True)]
        self.n_seen += b
        self.factors, self.moved, self.gap = turned(self.factors, self.memory)
        weight = max(MOMENT_WEIGHT, pace.forgetting, b / self.n_seen)
        for k, total in enumerate((sums.square, sums.fourth)):
            self.moments[k] = (1 - weight) * self.moments[k] + (weight / b) * total
        self.median = moved_median(self.median, sums.below / (b * sums.square.shape[0]))
        self.pending = Statistics.empty(self.factors)
