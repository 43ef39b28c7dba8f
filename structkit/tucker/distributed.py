"""Entries in chunks of dask arrays: every sum is formed chunk by chunk, on a cluster when one is active."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from structkit._backend.namespace import is_dask
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.tucker.entries import Block, Entries, keep, merge
from structkit.tucker.options import check_entries, observed_entries

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["DaskEntries", "aligned_entries", "distributed_entries"]

# Partial sums that one task adds up: a cluster never holds the sums of all chunks in one place.
_FAN_IN = 8


@dataclass(frozen=True)
class DaskEntries(Entries):
    """Entries whose blocks dask keeps: in the workers of an active cluster, else in memory.

    Attributes
    ----------
    blocks : tuple of dask.delayed.Delayed
        The blocks.
    sizes : tuple of int
        Number of entries of each block.
    """

    sizes: tuple[int, ...] = ()  # type: ignore[misc]

    def reduce(self, function: Callable[..., tuple[np.ndarray, ...]], *args: object) -> tuple[np.ndarray, ...]:
        """Return ``function(block, *args)``, a tuple of arrays, summed over the blocks."""
        from dask import compute, delayed

        parts = _each(function, self.blocks, args)
        while len(parts) > 1:
            parts = [delayed(_added)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
        return compute(parts[0])[0]  # type: ignore[no-any-return]

    def map(self, function: Callable[..., Block], *args: object) -> Entries:
        """Return the entries with every block replaced by ``function(block, *args)``."""
        from dask import persist

        return replace(self, blocks=persist(*_each(function, self.blocks, args)))

    def _taken(self, rows: Sequence[np.ndarray]) -> Sequence[Block]:
        from dask import compute, delayed

        return compute(*(delayed(Block.take)(block, r) for block, r in zip(self.blocks, rows, strict=True)))  # type: ignore[no-any-return]


def aligned_entries(X: Any, y: Any, owner: str = "the tensor") -> tuple[Array, Array]:
    """Return checked entries; of dask arrays, lazy ones in the same chunks, which are checked when they are read."""
    if not (is_dask(X) or is_dask(y)):
        return check_entries(X, y, owner=owner)
    import dask.array as da

    X = X if is_dask(X) else da.from_array(np.asarray(X), chunks="auto")
    y = y if is_dask(y) else da.from_array(np.asarray(y), chunks="auto")
    if X.ndim != 2 or X.shape[1] == 0 or math.isnan(X.shape[1]):
        raise ShapeError(f"X has shape {X.shape}; expected (n, D), one row per entry and one column per mode.")
    X = X.rechunk({1: -1})
    known = not any(math.isnan(n) for n in (*X.shape[:1], *y.shape))
    if y.ndim != 1 or (known and len(X) != len(y)):
        raise ShapeError(f"y has shape {y.shape}; expected ({X.shape[0]},), one value per row of X.")
    if known:
        return X, y.rechunk((X.chunks[0],))
    if X.numblocks[0] != y.numblocks[0]:
        raise ShapeError(
            f"X has {X.numblocks[0]} chunks of rows and y has {y.numblocks[0]}, some of unknown length. "
            "Call compute_chunk_sizes() on both first."
        )
    return X, y


def distributed_entries(X: da.Array, y: da.Array, separate: bool) -> tuple[list[np.ndarray], Entries, float]:
    """Return the levels of every mode, the entries about their average in the chunks of `X`, and the average.

    Observations of the same entry are added up within a chunk unless they are to stay `separate`.
    """
    from dask import compute, delayed, persist

    chunks = zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)
    pieces = persist(*(delayed(observed_entries)(*chunk) for chunk in chunks))
    found = compute(*(delayed(_outline)(piece) for piece in pieces))
    filled = [(piece, outline) for piece, outline in zip(pieces, found, strict=True) if outline[1]]
    if not filled:
        raise ValueError("y holds no value; expected at least one entry that is not NaN.")
    of_chunks, counts, totals = zip(*(outline for _, outline in filled), strict=True)
    levels = [functools.reduce(np.union1d, of_mode) for of_mode in zip(*of_chunks, strict=True)]
    average = math.fsum(totals) / sum(counts)
    blocks = persist(*_each(_located, [piece for piece, _ in filled], (levels, average, separate)))
    sizes = compute(*(delayed(_size)(block) for block in blocks))
    return levels, DaskEntries(blocks, sum(counts), sizes), average


def _outline(piece: tuple[np.ndarray, np.ndarray]) -> tuple[list[np.ndarray], int, float]:
    """Levels of every mode, number and sum of the observations of a chunk."""
    X, y = piece
    return [np.unique(column) for column in X.T], len(y), float(y.sum())


def _located(
    piece: tuple[np.ndarray, np.ndarray], levels: Sequence[np.ndarray], average: float, separate: bool
) -> Block:
    """The entries of a chunk, with their places among all levels."""
    X, y = piece
    index = np.stack([np.searchsorted(t, column) for t, column in zip(levels, X.T, strict=True)], axis=1)
    return keep(index, y - average) if separate else merge(index, y - average, [len(t) for t in levels])


def _size(block: Block) -> int:
    return len(block.weight)


def _added(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(sum(terms[1:], terms[0]) for terms in zip(*parts, strict=True))


def _called(function: Callable[..., object], block: object, args: tuple[object, ...]) -> object:
    return function(block, *args)


def _each(function: Callable[..., object], blocks: Sequence[Any], args: tuple[object, ...]) -> list[Any]:
    """Calls of a function for every block; the other arguments travel once."""
    from dask import delayed

    client = _active_client()
    shared = delayed(args, traverse=False) if client is None else client.scatter([args], hash=False)[0]
    return [delayed(_called)(function, block, shared) for block in blocks]


def _active_client() -> Any:
    """The client of a dask.distributed cluster that is in use, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None
