"""Which codes count at which iteration of a search: thresholds that fall with the scales of the codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from structkit._backend.namespace import cast, get_namespace
from structkit.dictionary.levels import (
    MEDIAN_CODES,
    atom_scales,
    floor_levels,
    magnitude_median,
    noise_levels,
    power_means,
)
from structkit.dictionary.statistics import Rule, Statistics, project

__all__ = ["CUT_LAST", "SHRINK_LAST", "RuleAt", "Scales", "cutting", "shrinking"]

# Thresholds in scales of the codes: where shrinking starts, where it ends, where cutting starts, where it ends.
SHRINK_FIRST, SHRINK_LAST, CUT_FIRST, CUT_LAST = 0.5, 0.1, 0.25, 0.02
# The threshold falls by this factor per iteration.
DECAY = 0.6


class Scales:
    """Scales of the codes of samples, from the sums of the iteration before where there was one."""

    def __init__(self, Y: Any, factors: Sequence[Any], sums: Statistics | None) -> None:
        few = Y[: max(1, MEDIAN_CODES // max(1, math.prod(Y.shape[1:])))]
        self._codes = lambda part: project(part, factors).reshape(part.shape[0], -1)
        self._few = few
        self._moments = lambda: power_means(self._codes(Y)) if sums is None else (sums.square, sums.fourth)
        self.dtype = Y.dtype

    def atoms(self) -> tuple[float, Any]:
        """Median of all magnitudes, and the scale of every atom."""
        square, fourth = self._moments()
        return magnitude_median(self._codes(self._few)), atom_scales(square, fourth)

    def given(self, threshold: float | None) -> Any:
        """One threshold for all atoms."""
        return 0 * self._codes(self._few[:1])[0] + threshold


RuleAt: TypeAlias = Callable[[int, Scales], tuple[Rule, bool]]


def shrinking(first: int) -> RuleAt:
    """Schedule of shrunken codes, from its iteration `first`."""

    def rule_at(i: int, scales: Scales) -> tuple[Rule, bool]:
        share = max(SHRINK_FIRST * DECAY ** (first + i), SHRINK_LAST)
        levels = noise_levels(*scales.atoms(), share)
        return Rule(levels=cast(levels, scales.dtype), soft=True), share == SHRINK_LAST

    return rule_at


def cutting(i: int, scales: Scales) -> tuple[Rule, bool]:
    """Thresholds of iteration `i`, and whether they have reached their lowest."""
    median, atoms = scales.atoms()
    xp = get_namespace(atoms)
    floor = floor_levels(median, atoms, CUT_LAST)
    levels = CUT_FIRST * DECAY ** max(0, i - 2) * atoms
    return Rule(levels=cast(xp.maximum(levels, floor), scales.dtype)), bool(xp.all(levels <= floor))
