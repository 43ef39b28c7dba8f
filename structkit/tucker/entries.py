"""Observed entries of a tensor with real coordinates: levels, merged duplicates, reductions over blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Block", "Entries", "find_levels", "keep", "merge"]


@dataclass(frozen=True)
class Block:
    """Some of the entries, in memory.

    Attributes
    ----------
    index : array, shape ``(n, D)``
        Level of each entry along each mode.
    weight : array, shape ``(n,)``
        Number of observations at the entry, or the precision of its observation relative to the noise.
    total : array, shape ``(n,)``
        Weighted sum of the observations.
    square : float
        Weighted sum of their squares.
    values : array, shape ``(n,)``
        The observations; empty where those of one entry were added up.
    """

    index: np.ndarray
    weight: np.ndarray
    total: np.ndarray
    square: float
    values: np.ndarray

    def rescaled(self, shift: float, scale: float) -> Block:
        """Return the block of ``(y - shift) / scale``."""
        total = (self.total - shift * self.weight) / scale
        square = self.square - 2 * shift * float(self.total.sum()) + shift**2 * float(self.weight.sum())
        return replace(self, total=total, square=square / scale**2, values=(self.values - shift) / scale)

    def take(self, rows: np.ndarray) -> Block:
        """Return some of the entries."""
        total, weight = self.total[rows], self.weight[rows]
        values = self.values[rows] if len(self.values) else self.values
        # The spread of observations that were added up is not known entry by entry: a part takes the average.
        square = float(values @ total) if len(values) else self.square * float(weight.sum() / self.weight.sum())
        return Block(self.index[rows], weight, total, square, values)


@dataclass(frozen=True)
class Entries:
    """All entries as blocks over which statistics are summed.

    Attributes
    ----------
    blocks : tuple of Block
        The entries.
    n_observations : int
        Number of observations, duplicates counted.
    """

    blocks: tuple[Block, ...]
    n_observations: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each block."""
        return tuple(len(block.weight) for block in self.blocks)

    @functools.cached_property
    def square(self) -> float:
        """Weighted sum of the squared observations."""
        return float(self.reduce(_square)[0])

    def reduce(self, function: Callable[..., tuple[np.ndarray, ...]], *args: object) -> tuple[np.ndarray, ...]:
        """Return ``function(block, *args)``, a tuple of arrays, summed over the blocks."""
        parts = [function(block, *args) for block in self.blocks]
        return tuple(sum(terms[1:], terms[0]) for terms in zip(*parts, strict=True))

    def map(self, function: Callable[..., Block], *args: object) -> Entries:
        """Return the entries with every block replaced by ``function(block, *args)``."""
        return replace(self, blocks=tuple(function(block, *args) for block in self.blocks))

    def rescaled(self, shift: float, scale: float) -> Entries:
        """Return the entries of ``(y - shift) / scale``."""
        return self.map(Block.rescaled, shift, scale)

    def sample(self, n: int, rng: np.random.Generator) -> Entries:
        """Return `n` random entries, in memory and in their order."""
        rows = np.sort(rng.choice(sum(self.sizes), n, replace=False))
        ends = np.cumsum(self.sizes)
        inside = np.split(rows, np.searchsorted(rows, ends[:-1]))
        parts = self._taken([r - start for r, start in zip(inside, ends - self.sizes, strict=True)])
        total = sum(float(part.weight.sum()) for part in parts)
        return Entries(tuple(part for part in parts if len(part.weight)), round(total))

    def _taken(self, rows: Sequence[np.ndarray]) -> Sequence[Block]:
        """Some of the entries of each block, in memory."""
        return [block.take(r) for block, r in zip(self.blocks, rows, strict=True)]


def _square(block: Block) -> tuple[np.ndarray]:
    return (np.array(block.square),)


def find_levels(X: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the distinct coordinates of each mode, ascending, and the levels ``(n, D)`` of the rows of `X`."""
    index = np.empty(X.shape, dtype=np.int64)
    levels = []
    for k in range(X.shape[1]):
        values, inverse = np.unique(X[:, k], return_inverse=True)
        levels.append(values)
        index[:, k] = inverse
    return levels, index


def keep(index: np.ndarray, y: np.ndarray) -> Block:
    """Return entries with one observation each, as they come."""
    return Block(index, np.ones(len(y)), y, float(y @ y), y)


def merge(index: np.ndarray, y: np.ndarray, sizes: list[int]) -> Block:
    """Return entries in row-major order of their levels, observations of the same entry added up."""
    if np.prod([float(n) for n in sizes]) < 2.0**62:
        order = np.argsort(np.ravel_multi_index(tuple(index.T), sizes), kind="stable")
    else:
        order = np.lexsort(index.T[::-1])
    ordered, values = index[order], y[order]
    first = np.ones(len(y), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    weight = np.diff(starts, append=len(y)).astype(np.float64)
    return Block(np.ascontiguousarray(ordered[starts]), weight, np.add.reduceat(values, starts), float(y @ y), y[:0])
