"""The course of learning: samples are kept until there are enough for a first dictionary, then only sums are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structkit._backend.namespace import get_namespace, index_like
from structkit.dictionary.clipping import Clip
from structkit.dictionary.search import Found, Search, cutting_pays, find_dictionary, settle
from structkit.dictionary.statistics import project
from structkit.dictionary.stream import Pace, Report, ThresholdStream

__all__ = ["Learner", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What the learner is told, checked and resolved.

    Attributes
    ----------
    warmup : int
        Samples kept for the first dictionary.
    pace : Pace
        Updates of the stream.
    max_iter : int
        Most iterations of a stage of a search.
    tol : float
        Movement at which a search ends.
    robust : bool
        Whether long samples are shortened.
    blind : bool
        Whether the start knows nothing of the data, so that order and signs of the atoms are free.
    """

    warmup: int
    pace: Pace
    max_iter: int
    tol: float
    robust: bool
    blind: bool

    def search(self, report: Report) -> Search:
        """Return how to search."""
        return Search(self.pace.n_nonzero, self.pace.threshold, self.max_iter, self.tol, report)


class Learner:
    """Buffer, first dictionary, stream.

    Parameters
    ----------
    start : sequence of array, shapes ``(n_d, n_d)``
        Orthogonal matrices, atoms as columns.
    settings : Settings
        What to do.
    """

    def __init__(self, start: Sequence[Any], settings: Settings) -> None:
        self.start = list(start)
        self.settings = settings
        self.buffer: list[Any] = []
        self.n_buffered = 0
        self.stream: ThresholdStream | None = None
        self.clip = Clip() if settings.robust else None
        self.settled = True

    def feed(self, Y: Any, report: Report) -> None:
        """Take samples ``(b, n_1, ..., n_D)`` in any portions."""
        if self.stream is None:
            room = self.settings.warmup - self.n_buffered
            self.buffer.append(get_namespace(Y).asarray(Y[:room], copy=True))
            self.n_buffered += min(room, Y.shape[0])
            Y = Y[room:]
            if self.n_buffered < self.settings.warmup:
                return
            self.stream = self.first_stream(self._kept(), report)
            self.buffer, self.n_buffered = [], 0
        if Y.shape[0]:
            self.stream.feed(Y, self.clip, report)

    def _kept(self) -> Any:
        xp = get_namespace(*self.buffer)
        return self.buffer[0] if len(self.buffer) == 1 else xp.concat(self.buffer, axis=0)

    def fit(self, Y: Any, rng: np.random.Generator, report: Report) -> None:
        """Learn from all samples at once."""
        few = Y
        if Y.shape[0] > self.settings.warmup:
            chosen = np.sort(rng.choice(Y.shape[0], self.settings.warmup, replace=False))
            few = Y[index_like(chosen, Y)]
        self.stream = self.first_stream(few, report, Y)

    def provisional(self) -> ThresholdStream:
        """Return the stream, or the one that would begin if no further sample came."""
        if self.stream is None:
            return self.first_stream(self._kept(), lambda record: False)
        return self.stream

    def first_stream(self, few: Any, report: Report, whole: Any = None) -> ThresholdStream:
        """Find a dictionary for a few samples, settle it on all, and begin a stream with it."""
        if self.clip is not None:
            few = self.clip.begin(few)
            whole = None if whole is None else self.clip(whole)[0]
        whole = few if whole is None else whole
        how, cut = self.settings.search(report), True
        found = Found(self.start)
        if self.settings.blind:
            found = find_dictionary(few, self.start, how)
            cut = cutting_pays(few, found.factors)
        if not found.stopped:
            found = settle(whole, found.factors, how, cut=cut)
        self.settled = found.settled
        factors = _ordered(few, found.factors) if self.settings.blind else found.factors
        stream = ThresholdStream(factors, self.settings.pace, cut=cut)
        stream.begin(whole)
        return stream


def _ordered(Y: Any, factors: Sequence[Any]) -> list[Any]:
    """Factors with the atoms in order of falling energy, each with a positive largest entry."""
    codes = project(Y, factors)
    xp = get_namespace(codes)
    out = []
    for d, W in enumerate(factors):
        energy = xp.sum(codes**2, axis=tuple(k for k in range(codes.ndim) if k != d + 1))
        W = W[:, xp.argsort(-energy)]
        signs = xp.sign(xp.max(W, axis=0) + xp.min(W, axis=0))
        out.append(W * xp.where(signs == 0, xp.ones_like(signs), signs))
    return out
