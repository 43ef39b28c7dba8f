"""The course of learning: samples are kept until there are enough for a first dictionary, then only sums are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from structkit._backend.namespace import get_namespace, index_like
from structkit._core.errors import ConvergenceWarning
from structkit.dictionary.clipping import Clip
from structkit.dictionary.complete import CompleteStream, find_complete
from structkit.dictionary.frank_wolfe import FrankWolfeStream
from structkit.dictionary.search import Found, Search, cutting_pays, find_dictionary, settle
from structkit.dictionary.statistics import Statistics, project
from structkit.dictionary.stream import BlockStream, Pace, Report, ThresholdStream

__all__ = ["BlockSums", "Learner", "Settings"]

# Movement at which the search before a stream ends, at least: the stream makes the atoms precise.
STREAM_TOL = 1e-3
# Atoms with smaller codes than so many roundings of the strongest are not reached by the samples.
IDLE = 100.0
# Excess fourth moments that a search finds in normal data, times the root of the samples per free number (measured
# for 4 to 32 features and 16 to 512 samples per number), and the least that counts as sparse.
CHANCE, CHANCE_LEAST = 2.2, 0.05


class BlockSums(NamedTuple):
    """Sums over samples, and how many of these are longer than the median norm."""

    sums: Statistics
    above: float


@dataclass(frozen=True)
class Settings:
    """What the learner is told, checked and resolved.

    Attributes
    ----------
    warmup : int
        Samples kept for the first dictionary; 0 starts at once, by the online Frank-Wolfe method.
    relearn : int
        Samples kept for another dictionary after an alarm.
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
    orthogonal : bool
        Whether atoms are orthogonal.
    """

    warmup: int
    relearn: int
    pace: Pace
    max_iter: int
    tol: float
    robust: bool
    blind: bool
    orthogonal: bool

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
        self.stream: BlockStream | None = None
        self.draft: tuple[int, BlockStream] | None = None
        self.clip = Clip() if settings.robust else None
        self.settled, self.stopped = True, False
        self.warnings: list[tuple[str, type[Warning]]] = []
        if not settings.warmup:
            self.stream = FrankWolfeStream(self.start, settings.pace)

    @property
    def waiting(self) -> int:
        """Samples that are still to be kept before the next search."""
        if self.stream is None:
            return self.settings.warmup - self.n_buffered
        return self.settings.relearn - self.n_buffered if self.stream.alarmed else 0

    def feed(self, Y: Any, report: Report) -> None:
        """Take samples ``(b, n_1, ..., n_D)`` in any portions."""
        while Y.shape[0]:
            room = self.waiting
            if not room:
                Y = self.stream.feed(Y, self.clip, report)  # type: ignore[union-attr]
                continue
            self.buffer.append(get_namespace(Y).asarray(Y[:room], copy=True))
            self.n_buffered += self.buffer[-1].shape[0]
            Y = Y[room:]
            if not self.waiting:
                old = None if self.stream is None else self.stream.atoms
                self.stream = self.first_stream(self._kept(), report, old=old)
                self.buffer, self.n_buffered, self.draft = [], 0, None

    def absorb(self, found: BlockSums, report: Report) -> None:
        """Take sums over samples that were formed elsewhere, by the rule of the stream as it is."""
        stream = self.stream
        assert stream is not None
        stream.pending.add(found.sums)
        stream.above += found.above
        if stream.pending.count >= stream.block:
            stream.close_block(self.clip, report)

    def _kept(self) -> Any:
        xp = get_namespace(*self.buffer)
        return self.buffer[0] if len(self.buffer) == 1 else xp.concat(self.buffer, axis=0)

    def fit(self, Y: Any, rng: np.random.Generator, report: Report) -> None:
        """Learn from all samples at once."""
        if not self.settings.warmup:
            self.feed(Y, report)
            return
        few = Y
        if Y.shape[0] > self.settings.warmup:
            chosen = np.sort(rng.choice(Y.shape[0], self.settings.warmup, replace=False))
            few = Y[index_like(chosen, Y)]
        self.stream = self.first_stream(few, report, whole=Y)

    def provisional(self) -> BlockStream:
        """Return the stream, or the one that would begin if no further sample came."""
        if self.stream is None:
            if not self.n_buffered:
                return ThresholdStream(self.start, self.settings.pace)
            if self.draft is None or self.draft[0] != self.n_buffered:
                kept, settled = list(self.warnings), self.settled
                self.draft = self.n_buffered, self.first_stream(self._kept(), lambda record: False)
                self.warnings, self.settled = kept, settled
            return self.draft[1]
        return self.stream

    def first_stream(self, few: Any, report: Report, *, whole: Any = None, old: Any = None) -> BlockStream:
        """Find a dictionary for a few samples, settle it on all, and begin a stream with it."""
        if self.clip is not None:
            few = self.clip.begin(few)
            whole = None if whole is None else self.clip(whole)[0]
        how = self.settings.search(report)
        if whole is None:  # a stream goes on from here
            whole, how.tol = few, max(how.tol, STREAM_TOL)
        if not self.settings.orthogonal:
            D, cut, self.settled = find_complete(few, whole, self.start[0], how)
            complete = CompleteStream(_ordered(few, [D])[0], self.settings.pace, cut=cut)
            complete.begin(whole)
            self._judge(complete, whole)
            return complete
        found, cut = self._found(few, whole, how, old)
        self.settled, self.stopped = found.settled, found.stopped
        blind = self.settings.blind and old is None
        stream = ThresholdStream(_ordered(few, found.factors) if blind else found.factors, self.settings.pace, cut=cut)
        stream.begin(whole)
        self._judge(stream, whole)
        return stream

    def _judge(self, stream: BlockStream, Y: Any) -> None:
        """Collect what the user should know about a dictionary that was just found."""
        if not self.settled and not self.stopped:
            message = "The search stopped before the atoms settled; raise max_iter or tol."
            self.warnings.append((message, ConvergenceWarning))
        square, fourth = stream.moments
        rounding = IDLE * float(get_namespace(Y).finfo(Y.dtype).eps)
        idle = int((square <= square.max() * rounding**2).sum())
        if idle:
            message = f"The samples hardly reach {idle} of {square.shape[0]} atoms; these are arbitrary."
            self.warnings.append((message, UserWarning))
        # Samples per free number; on normal data the search finds tails as heavy as this by chance.
        load = Y.shape[0] * square.shape[0] / sum(W.shape[0] ** 2 for W in self.start)
        safe = get_namespace(square).where(square > 0, square, 1.0 + 0 * square)
        tails = float((fourth / safe / (3 * safe)).mean()) - 1.0
        if not idle and square.shape[0] > 1 and tails < CHANCE / math.sqrt(load) + CHANCE_LEAST:
            message = (
                f"The codes look normally distributed (excess of their fourth moments {tails:.2g}), so the dictionary "
                "may be arbitrary: no rotation of such samples is sparser than another. Check that the samples have "
                "sparse codes, or give more of them."
            )
            self.warnings.append((message, UserWarning))

    def _found(self, few: Any, whole: Any, how: Search, old: Any) -> tuple[Found, bool]:
        """Search, from where the settings say or, after an alarm, from nowhere; keep the old factors if they serve."""
        found, cut = Found(self.start), True
        if self.settings.blind or old is not None:
            found = find_dictionary(few, self.start, how)
            cut = cutting_pays(few, found.factors)
        if not found.stopped:
            found = settle(whole, found.factors, how, cut=cut)
        if old is not None and not found.stopped:
            kept = settle(whole, old, how, cut=cut)
            found = min(found, kept, key=lambda f: _length(whole, f.factors))
        return found, cut


def _length(Y: Any, factors: Sequence[Any]) -> float:
    """Sum of the magnitudes of all codes: the sparser, the shorter."""
    codes = project(Y, factors)
    return float(get_namespace(codes).abs(codes).sum())


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
