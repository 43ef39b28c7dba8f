"""Streams of dask arrays: blocks of rows in turn, and several at once when there are enough samples behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Shape
from structkit.dictionary.clipping import Clip
from structkit.dictionary.learner import BlockSums
from structkit.dictionary.statistics import Rule, Statistics, accumulate
from structkit.dictionary.stream import BlockStream, ThresholdStream

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["batches_of", "block_sums", "summed"]

# Blocks are summed in parallel up to this share of the samples seen so far, so that a batch never weighs too much.
SHARE = 0.25


def batches_of(X: da.Array, stream_now: Callable[[], tuple[BlockStream | None, float | None]]) -> Iterator[Any]:
    """Return rows as numpy arrays or, where a stream can take them, sums over several blocks of rows.

    `stream_now` returns the stream that is ready for samples, or None while samples are kept for a search, and the
    median norm at which samples are shortened, or None.
    """
    from dask import compute, delayed

    if X.ndim < 2 or any(math.isnan(n) for n in X.shape[1:]):
        raise ShapeError(f"X has shape {X.shape}; expected samples as rows, with a known number of features.")
    X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    blocks, rows = list(X.to_delayed().ravel()), list(X.chunks[0])
    at = 0
    while at < len(blocks):
        stream, norm = stream_now()
        if not isinstance(stream, ThresholdStream):
            yield np.asarray(blocks[at].compute())
            at += 1
            continue
        shape = tuple(W.shape[0] for W in stream.factors)
        if math.prod(X.shape[1:]) != math.prod(shape):
            raise ShapeError(f"X has {math.prod(X.shape[1:])} features; this dictionary has {math.prod(shape)}.")
        if np.result_type(X.dtype, stream.factors[0].dtype) != stream.factors[0].dtype:
            raise ValueError(
                f"X has dtype {X.dtype}; this dictionary began with {stream.factors[0].dtype} samples. Convert X."
            )
        room = max(stream.block - stream.pending.count, SHARE * stream.n_seen)
        stop = at + 1
        while stop < len(blocks) and sum(rows[at : stop + 1]) <= room:
            stop += 1
        known = delayed((stream.factors, stream.rule(), stream.median, norm))
        sums = [delayed(block_sums)(block, known, shape) for block in blocks[at:stop]]
        (total,) = compute(delayed(summed)(sums))
        yield total
        at = stop


def block_sums(
    block: np.ndarray, known: tuple[Sequence[np.ndarray], Rule, float, float | None], shape: Shape
) -> BlockSums:
    """Sums over one block of rows, and how many of them are longer than the median norm."""
    factors, rule, median, norm = known
    Y = np.asarray(block, dtype=factors[0].dtype).reshape(len(block), *shape)
    if not np.isfinite(Y).all():
        raise NotFiniteError("A block of X holds NaN or infinity; dictionaries need complete samples.")
    sums, above = Statistics.empty(factors), 0.0
    if norm is not None:
        Y, above = Clip(norm)(Y)
    accumulate(sums, Y, factors, rule, median)
    return BlockSums(sums, above)


def summed(parts: Sequence[BlockSums]) -> BlockSums:
    """Add sums over blocks."""
    total, above = parts[0]
    for sums, more in parts[1:]:
        total.add(sums)
        above += more
    return BlockSums(total, above)
