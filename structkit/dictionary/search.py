"""Dictionaries from samples that are all at hand: fixed points of codes and polar factors, from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from structkit.dictionary.levels import (
    atom_scales,
    floor_levels,
    magnitude_median,
    noise_levels,
    pair_statistics,
    power_means,
)
from structkit.dictionary.schedule import CUT_LAST, SHRINK_LAST, RuleAt, Scales, cutting, shrinking
from structkit.dictionary.statistics import Rule, Statistics, accumulate, project
from structkit.dictionary.untangle import untangled
from structkit.orthogonal.polar import fast_polar

__all__ = ["Found", "Search", "cutting_pays", "find_dictionary", "settle", "turned"]

# Movements at which the coarse stages hand over: their fixed points are not the answer.
COARSE_TOL, MIDDLE_TOL = 1e-2, 1e-3
# The coarse stage takes no more samples than this many, or this many per row of the largest factor.
COARSE_SAMPLES, COARSE_LOAD = 2048, 16
# Pull towards the present atoms, in mean gradients: fixed points stay, and atoms that no sample uses do not wander.
KEEP = 1e-6
# Rounds of looking for mixed pairs of atoms.
ROUNDS = 4


@dataclass
class Search:
    """How to search.

    Attributes
    ----------
    n_nonzero : int
        Codes kept per sample; 0 for thresholds.
    threshold : float or None
        Given threshold instead of the schedule.
    max_iter : int
        Most iterations of a stage.
    tol : float
        The last stage ends when no factor moves by more, root mean square over its atoms.
    report : callable
        Called with a record after each iteration; a true result stops.
    """

    n_nonzero: int = 0
    threshold: float | None = None
    max_iter: int = 200
    tol: float = 1e-4
    report: Callable[[dict[str, object]], bool] = field(default=lambda record: False)


@dataclass
class Found:
    """What a stage ended with: factors, whether they had settled, whether the caller asked to stop."""

    factors: list[Any]
    settled: bool = False
    stopped: bool = False


def turned(factors: Sequence[Any], gradients: Sequence[Any]) -> tuple[list[Any], float, float]:
    """Polar factors of the gradients (rows are atoms), how far the atoms moved, and the relative Frank-Wolfe gap."""
    new, moved, gap = [], 0.0, 0.0
    for W, G in zip(factors, gradients, strict=True):
        pull = KEEP * abs(float((W * G.T).sum())) / W.shape[0]
        U = fast_polar(G.T + pull * W) if pull > 0 else W
        new.append(U)
        moved = max(moved, math.sqrt(float(((U - W) ** 2).sum()) / W.shape[0]))
        # <S, M> over the spectral ball is largest at the polar factor, where it is the nuclear norm of M.
        norm = float((U * G.T).sum())
        gap = max(gap, 1.0 - float((W * G.T).sum()) / norm if norm > 0 else 0.0)
    return new, moved, gap


def find_dictionary(Y: Any, factors: Sequence[Any], how: Search) -> Found:
    """Find factors for samples ``(b, n_1, ..., n_D)`` from a start that knows nothing of them."""
    few = Y[: max(COARSE_SAMPLES, COARSE_LOAD * max(Y.shape[1:]))]
    found = _iterate(few, list(factors), how, "l3", COARSE_TOL, lambda i, scales: (Rule(cubic=True), True))
    for attempt in range(ROUNDS):
        if found.stopped:
            break
        first = 0 if attempt == 0 else how.max_iter
        found = _iterate(Y, found.factors, how, "shrink", MIDDLE_TOL, shrinking(first))
        better = untangled(project(Y, found.factors), found.factors)
        if better is None:
            break
        found.factors = better
    return found


def settle(Y: Any, factors: Sequence[Any], how: Search, *, cut: bool = True) -> Found:
    """Move factors that are nearly right to where the final rule leaves them alone."""
    stage = "sparse" if how.n_nonzero else "cut" if cut or how.threshold is not None else "shrink"
    if how.n_nonzero:
        rule_at: RuleAt = lambda i, scales: (Rule(n_nonzero=how.n_nonzero), True)  # noqa: E731
    elif how.threshold is not None:
        rule_at = lambda i, scales: (Rule(levels=scales.given(how.threshold)), True)  # noqa: E731
    else:
        rule_at = cutting if cut else shrinking(how.max_iter)
    return _iterate(Y, list(factors), how, stage, how.tol, rule_at)


def cutting_pays(Y: Any, factors: Sequence[Any]) -> bool:
    """Whether cut codes estimate these atoms better than shrunken ones, by the asymptotic variances of both."""
    Z = project(Y, factors).reshape(Y.shape[0], -1)
    scales, median = atom_scales(*power_means(Z)), magnitude_median(Z)
    cut = pair_statistics(Z, floor_levels(median, scales, CUT_LAST), soft=False)
    shrunk = pair_statistics(Z, noise_levels(median, scales, SHRINK_LAST), soft=True)
    return cut.variance <= shrunk.variance


def _iterate(Y: Any, factors: list[Any], how: Search, stage: str, tol: float, rule_at: RuleAt) -> Found:
    """Repeat codes and polar factors until nothing moves at the last rule."""
    sums: Statistics | None = None
    for i in range(how.max_iter):
        rule, last = rule_at(i, Scales(Y, factors, sums))
        sums = Statistics.empty(factors)
        accumulate(sums, Y, factors, rule, moments=not rule.cubic)
        factors, moved, gap = turned(factors, sums.gradients)
        if how.report({"stage": stage, "n_samples": sums.count, "gap": gap, "moved": moved}):
            return Found(factors, stopped=True)
        if last and moved < tol:
            return Found(factors, settled=True)
    return Found(factors)
