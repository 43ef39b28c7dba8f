"""What one update of a dictionary needs from samples: sums that are collected in any order and in any portions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from structkit._backend.kernels import packed, use_numba
from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.types import Array
from structkit.kron import mode_product, multi_mode_product

__all__ = ["Rule", "Statistics", "accumulate", "portions", "project", "select"]

# Numbers of one portion of samples: 512 KiB in double precision, so that samples and codes stay in cache.
PORTION = 2**16


@dataclass(frozen=True)
class Rule:
    """How a code `z` enters the sums.

    Attributes
    ----------
    cubic : bool
        As ``z |z|``, the derivative of ``|z|^3 / 3``.
    levels : array, shape ``(N,)``, float or None
        As `z` where ``|z|`` is above the level of its atom.
    soft : bool
        Shrunken by its level, where it is above it.
    n_nonzero : int
        As `z` where it is one of so many largest codes of its sample; 0 leaves that to `levels`.
    """

    cubic: bool = False
    levels: Any = None
    soft: bool = False
    n_nonzero: int = 0


@dataclass
class Statistics:
    """Sums over samples.

    Attributes
    ----------
    gradients : list of array, shapes ``(n_d, n_d)``
        One per factor; row `i` is the sum of code times projected sample for atom `i`.
    square, fourth : array, shape ``(N,)``
        Sums of the second and fourth powers of the codes of every atom.
    below : float
        Number of codes whose magnitude is smaller than a given one.
    count : int
        Number of samples.
    """

    gradients: list[Any]
    square: Any
    fourth: Any
    below: float = 0.0
    count: int = 0

    @classmethod
    def empty(cls, factors: Sequence[Array]) -> Statistics:
        """Sums over no sample, in the library and on the device of the factors."""
        xp = get_namespace(*factors)
        total = math.prod(W.shape[0] for W in factors)
        where = {"device": factors[0].device} if is_torch(factors[0]) else {}  # type: ignore[attr-defined]
        moments = [xp.zeros(total, dtype=xp.float64, **where) for _ in range(2)]
        return cls([xp.zeros(tuple(W.shape), dtype=W.dtype, **where) for W in factors], *moments)

    def add(self, other: Statistics) -> None:
        """Add the sums over other samples."""
        self.gradients = [a + b for a, b in zip(self.gradients, other.gradients, strict=True)]
        self.square = self.square + other.square
        self.fourth = self.fourth + other.fourth
        self.below += other.below
        self.count += other.count


def project(Y: Array, factors: Sequence[Array], *, skip: int | None = None) -> Any:
    """Codes of samples ``(b, n_1, ..., n_D)``: products with the transposed factors along all modes but `skip`."""
    modes = [d for d in range(1, len(factors) + 1) if d - 1 != skip]
    if not modes:
        return Y
    if len(factors) == 1:
        return Y @ factors[0]
    return multi_mode_product(Y, [factors[d - 1] for d in modes], modes=modes, adjoint=True)


def select(Z: Any, rule: Rule, xp: ModuleType) -> Any:
    """Codes ``(b, N)`` as they enter the sums."""
    size = xp.abs(Z)
    if rule.cubic:
        return Z * size
    if rule.n_nonzero:
        least = xp.sort(size, axis=1)[:, -rule.n_nonzero][:, None]
        return xp.where(size >= least, Z, xp.zeros_like(Z))
    kept = xp.sign(Z) * (size - rule.levels) if rule.soft else Z
    return xp.where(size > rule.levels, kept, xp.zeros_like(Z))


def accumulate(
    into: Statistics, Y: Array, factors: Sequence[Array], rule: Rule, median: float = 0.0, *, moments: bool = True
) -> None:
    """Add samples ``(b, n_1, ..., n_D)`` to the sums; codes smaller than `median` are counted.

    Without `moments` their powers and their count may be left out.
    """
    compiled = isinstance(Y, np.ndarray) and use_numba() and not rule.cubic
    for part in portions(Y):
        if not compiled:
            _add_arrays(into, part, factors, rule, median if moments else None)
        elif len(factors) == 1:
            _add_compiled(into, part, factors[0], rule, median)  # type: ignore[arg-type]
        else:
            _add_compiled_kronecker(into, part, factors, rule, median)
        into.count += part.shape[0]


def portions(Y: Any) -> Iterator[Any]:
    """Cut samples into portions of moderate size."""
    step = max(1, PORTION // max(1, math.prod(Y.shape[1:])))
    for start in range(0, Y.shape[0], step):
        yield Y[start : start + step]


def _add_arrays(into: Statistics, Y: Any, factors: Sequence[Array], rule: Rule, median: float | None) -> None:
    """Add a portion by array operations, in numpy and torch."""
    xp = get_namespace(Y)
    codes = project(Y, factors)
    Z = codes.reshape(Y.shape[0], -1)
    F = select(Z, rule, xp).reshape(Y.shape)
    for d in range(len(factors)):
        P = project(Y, factors, skip=d)
        rest = [k for k in range(Y.ndim) if k != d + 1]
        into.gradients[d] += xp.tensordot(F, P, axes=(rest, rest))
    if median is None:
        return
    power = xp.astype(Z, xp.float64) ** 2
    into.square += xp.sum(power, axis=0)
    into.fourth += xp.sum(power**2, axis=0)
    into.below += float(xp.sum(xp.astype(xp.abs(Z) < median, xp.float64)))


def _levels(rule: Rule, n: int, dtype: np.dtype) -> np.ndarray:
    return np.zeros(n, dtype) if rule.levels is None else packed(rule.levels, dtype)


def _add_compiled(into: Statistics, Y: np.ndarray, W: np.ndarray, rule: Rule, median: float) -> None:
    """Add a portion of vectors: codes by BLAS, the rest in one compiled pass."""
    from structkit._backend.numba_dictionary import add_codes

    Y = packed(Y)
    gradient, levels = into.gradients[0], _levels(rule, W.shape[1], Y.dtype)
    into.below += add_codes(Y, Y @ W, levels, rule.soft, rule.n_nonzero, median, gradient, into.square, into.fourth)


def _add_compiled_kronecker(into: Statistics, Y: Any, factors: Sequence[Any], rule: Rule, median: float) -> None:
    """Add a portion of tensors: projections by BLAS, the rest in one compiled pass for all factors."""
    from structkit._backend.numba_dictionary import add_kronecker

    sizes = np.array([W.shape[0] for W in factors])
    starts = np.concatenate([[0], np.cumsum(sizes**2)])[:-1]
    count, total = Y.shape[0], int(sizes.prod())
    partial = np.empty((len(factors), count, total), Y.dtype)
    for d in range(len(factors)):
        partial[d] = project(Y, factors, skip=d).reshape(count, total)
    Z = mode_product(partial[0].reshape(Y.shape), factors[0].T, 1).reshape(count, total)
    gradients = np.zeros(int((sizes**2).sum()), Y.dtype)
    into.below += add_kronecker(
        partial, packed(Z), starts, sizes, _levels(rule, total, Y.dtype), rule.soft, rule.n_nonzero, median, gradients,
        into.square, into.fourth,
    )  # fmt: skip
    for d, (start, n) in enumerate(zip(starts, sizes, strict=True)):
        into.gradients[d] += gradients[start : start + n * n].reshape(n, n)
