"""Dictionaries from a stream: one pass, and a state that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from structkit._backend.namespace import cast
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

__all__ = ["BlockStream", "Pace", "Report", "ThresholdStream"]

Report: TypeAlias = Callable[[dict[str, object]], bool]

# Least threshold of a stream in scales of the codes, and the least amount that shrunken codes lose.
LAST_LEVEL, SHRINKAGE = 0.02, 0.1
# Where fixed-point steps fall short of Newton's, new samples weigh more: this much of what Newton's steps would need,
# and no more than that.
NEWTON, MOST_AVERAGING = 1.25, 8.0
# Codes from which the scales of the start are estimated.
FIRST_CODES = 2**18
# Weight of the newest block in the running moments of the codes, at least.
MOMENT_WEIGHT = 0.02

# Codes of a block that judge by themselves, by their tails and by how many are small; smaller blocks are averaged.
JUDGED, COUNTED = 4096, 512
# An alarm is raised when the weight of the tails, over that of normal codes, falls to this share of the usual, or the
# number of codes below the usual median to that share.
FALLEN, FEWER = 0.5, 0.7


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


class BlockStream:
    """Sums over a block of samples, then an update.

    Between two updates the dictionary stays as it is, so that samples can be added in any portions. Subclasses say how
    codes enter the sums (`rule`) and what an update does with them (`update`).
    """

    def __init__(self, factors: Sequence[Any], pace: Pace) -> None:
        self.factors = list(factors)
        self.pace = pace
        self.averaging = pace.averaging
        self.pending = Statistics.empty(factors)
        self.n_seen = 0
        self.median = math.inf
        self.moments: list[Any] = [self.pending.square, self.pending.fourth]
        self.gap = math.nan
        self.moved = math.nan
        self.above = 0.0

    def rule(self) -> Rule:
        """How codes of the next samples count."""
        raise NotImplementedError

    def update(self) -> None:
        """Learn from the pending sums."""
        raise NotImplementedError

    @property
    def atoms(self) -> list[Any]:
        """Matrices that turn codes into samples, atoms as columns."""
        return self.factors

    @property
    def analysis(self) -> list[Any]:
        """Matrices whose transposes turn samples into codes."""
        return self.atoms

    @property
    def alarmed(self) -> bool:
        """Whether the samples no longer suit the dictionary."""
        return False

    @property
    def block(self) -> int:
        """Samples of the running block."""
        return max(self.pace.batch_size, int(self.pace.growth * self.n_seen))

    def measure(self, Y: Any) -> Any:
        """Estimate the scales of codes from samples at hand; returns the codes."""
        few = Y[: max(1, FIRST_CODES // max(1, math.prod(Y.shape[1:])))]
        Z = project(few, self.analysis).reshape(few.shape[0], -1)
        self.median, self.moments = magnitude_median(Z), list(power_means(Z))
        return Z

    def floor(self) -> float:
        """Magnitude below which codes are taken for zero or noise, one for all atoms."""
        if self.pace.threshold is not None:
            return self.pace.threshold
        square, fourth = self.moments
        return float(floor_levels(self.median, atom_scales(square.sum(), fourth.sum()), LAST_LEVEL))

    def feed(self, Y: Any, clip: Clip | None, report: Report) -> Any:
        """Add samples ``(b, n_1, ..., n_D)``, with an update whenever a block is full; return those after an alarm."""
        start = 0
        while start < Y.shape[0]:
            part = Y[start : start + self.block - self.pending.count]
            start += part.shape[0]
            if clip is not None:
                part, above = clip(part)
                self.above += above
            self.collect(part)
            if self.pending.count >= self.block:
                self.close_block(clip, report)
                if self.alarmed:
                    break
        return Y[start:]

    def collect(self, Y: Any) -> None:
        """Add samples to the pending sums."""
        accumulate(self.pending, Y, self.analysis, self.rule(), self.median)

    def close_block(self, clip: Clip | None, report: Report) -> None:
        """Update, and say so."""
        if clip is not None:
            clip.learn(self.above, self.pending.count)
            self.above = 0.0
        self.update()
        self.pending = Statistics.empty(self.factors)
        report({"stage": "stream", "n_samples": self.n_seen, "gap": self.gap, "moved": self.moved})

    def learn_scales(self) -> None:
        """Move the running scales of the codes towards those of the pending sums."""
        sums, b = self.pending, self.pending.count
        weight = max(MOMENT_WEIGHT, self.pace.forgetting, b / self.n_seen)
        for k, total in enumerate((sums.square, sums.fourth)):
            self.moments[k] = (1 - weight) * self.moments[k] + (weight / b) * total
        self.median = moved_median(self.median, sums.below / (b * sums.square.shape[0]))

    def weight(self) -> float:
        """Weight of the pending block in a running mean."""
        k, b = self.averaging, self.pending.count
        return max(self.pace.forgetting, min(1.0, k * b / (self.n_seen + (k - 1) * b)))


class ThresholdStream(BlockStream):
    """Thresholded codes, and polar factors of a running mean of codes times samples."""

    def __init__(self, factors: Sequence[Any], pace: Pace, *, cut: bool = True) -> None:
        super().__init__(factors, pace)
        self.cut = cut
        self.memory = [0 * W for W in factors]
        self.usual = self.recent = math.nan
        self.small = 0.5

    def begin(self, Y: Any) -> None:
        """Take the means over samples at hand, for which the factors were found, as the start of the running ones."""
        Z = self.measure(Y)
        self.n_seen = Y.shape[0]
        sums, rule = Statistics.empty(self.factors), self.rule()
        if rule.levels is not None:
            gain = pair_statistics(Z, rule.levels, soft=rule.soft).gain
            self.averaging = max(self.pace.averaging, min(NEWTON * gain, MOST_AVERAGING))
        accumulate(sums, Y, self.factors, rule)
        self.memory = [G / Y.shape[0] for G in sums.gradients]
        self.usual = self.recent = tail_weight(*self.moments)
        _, self.moved, self.gap = turned(self.factors, sums.gradients)

    def rule(self) -> Rule:
        """How codes of the next samples count."""
        if self.pace.n_nonzero:
            return Rule(n_nonzero=self.pace.n_nonzero)
        scales, dtype = atom_scales(*self.moments), self.factors[0].dtype
        if self.pace.threshold is not None:
            return Rule(levels=cast(0 * scales + self.pace.threshold, dtype))
        if not self.cut:
            return Rule(levels=cast(noise_levels(self.median, scales, SHRINKAGE), dtype), soft=True)
        return Rule(levels=cast(floor_levels(self.median, scales, LAST_LEVEL), dtype))

    def update(self) -> None:
        """Move the running means towards the pending sums, and the factors to their polar factors."""
        sums, rho = self.pending, self.weight()
        scaled = rho / sums.count
        self.memory = [(1 - rho) * M + scaled * G for M, G in zip(self.memory, sums.gradients, strict=True)]
        self.n_seen += sums.count
        self.factors, self.moved, self.gap = turned(self.factors, self.memory)
        self.watch()
        self.learn_scales()

    def watch(self) -> None:
        """Compare the codes of the pending block with the usual ones: their tails, and how many are small."""
        sums = self.pending
        n_codes = sums.count * sums.square.shape[0]
        self.small += min(1.0, n_codes / COUNTED) * (sums.below / n_codes - self.small)
        fast = min(1.0, n_codes / JUDGED)
        self.recent += fast * (tail_weight(sums.square / sums.count, sums.fourth / sums.count) - self.recent)
        if not self.alarmed:
            self.usual += fast / 16 * (self.recent - self.usual)

    @property
    def alarmed(self) -> bool:
        """Whether codes have lost heavy tails or small values, as they do when the dictionary changes all at once."""
        return self.pace.forgetting > 0 and (self.small < FEWER * 0.5 or self.recent < FALLEN * self.usual)


def tail_weight(square: Any, fourth: Any) -> float:
    """Excess of the mean fourth power of all codes over that of normal codes, relative."""
    normal = 3 * float(square.mean()) ** 2
    return float(fourth.mean()) / normal - 1.0 if normal > 0 else 0.0
