"""Complete dictionaries that are not orthogonal: whitening finds them, least squares makes them precise."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from structkit._backend.namespace import cast, get_namespace, is_torch
from structkit._core.errors import SingularFactorError
from structkit.dictionary.levels import atom_scales, floor_levels, noise_levels
from structkit.dictionary.schedule import Scales, cutting
from structkit.dictionary.search import Search, cutting_pays, find_dictionary, settle
from structkit.dictionary.statistics import Rule, Statistics, portions, select
from structkit.dictionary.stream import LAST_LEVEL, SHRINKAGE, BlockStream, Pace
from structkit.orthogonal.polar import fast_polar

__all__ = ["CompleteStream", "find_complete"]

# Pull of an update towards the atoms as they are, relative to the mean energy of the codes: what decides for atoms
# that no sample used.
PULL = 1e-8


class Roots(NamedTuple):
    """Square root of a covariance and its inverse."""

    root: Any
    inverse: Any


def covariance_roots(S: Any, count: int) -> Roots:
    """Symmetric square roots of the covariance of `count` samples; it must have full rank."""
    xp = get_namespace(S)
    w, V = xp.linalg.eigh(S)
    least = S.shape[0] * 8 * float(xp.finfo(S.dtype).eps) * float(w[-1])
    if not float(w[0]) > least:
        rank = int((w > least).sum())
        raise SingularFactorError(
            f"{count} sample(s) span {rank} of {S.shape[0]} directions; orthogonal=False needs them all. Give more "
            "samples, reduce the dimension first, or use orthogonal=True."
        )
    return Roots((V * xp.sqrt(w)) @ V.T, (V / xp.sqrt(w)) @ V.T)


def find_complete(Y: Any, whole: Any, start: Any, how: Search) -> tuple[Any, bool, bool]:
    """Find atoms ``(n, n)`` as columns, from a few samples and then all; also whether to cut codes, whether settled."""
    roots = covariance_roots(whole.T @ whole / whole.shape[0], whole.shape[0])
    found = find_dictionary(Y @ roots.inverse, [start], how)
    cut = how.n_nonzero > 0 or how.threshold is not None or cutting_pays(Y @ roots.inverse, found.factors)
    found = settle(
        whole @ roots.inverse, found.factors, Search(max_iter=how.max_iter, tol=how.tol, report=how.report), cut=cut
    )
    D = unit(roots.root @ found.factors[0])
    if not cut:
        return D, cut, found.settled
    return refined(whole, D, how)


def refined(Y: Any, D: Any, how: Search) -> tuple[Any, bool, bool]:
    """Alternate thresholded codes and least squares for the atoms."""
    sums: Statistics | None = None
    for i in range(how.max_iter):
        analysis = inverse_transpose(D)
        rule, last = cutting(i, Scales(Y, [analysis], sums))
        if how.n_nonzero:
            rule, last = Rule(n_nonzero=how.n_nonzero), True
        elif how.threshold is not None:
            rule, last = Rule(levels=how.threshold), True
        sums, seconds = Statistics.empty([D]), 0 * D
        for part in portions(Y):
            seconds = seconds + add_products(sums, part, analysis, rule, 0.0, shrunk=False)
        D, moved = least_squares(D, seconds, sums.gradients[0])
        stop = how.report({"stage": "least squares", "n_samples": sums.count, "gap": 0.0, "moved": moved})
        if stop or (last and moved < how.tol):
            return D, True, not stop
    return D, True, False


def add_products(into: Statistics, Y: Any, analysis: Any, rule: Rule, median: float, *, shrunk: bool) -> Any:
    """Add codes times samples and moments; return the sum of products of codes (of samples, if `shrunk`)."""
    xp = get_namespace(Y)
    Z = Y @ analysis
    X = select(Z, rule, xp)
    into.gradients[0] = into.gradients[0] + X.T @ Y
    power = xp.astype(Z, xp.float64) ** 2
    into.square, into.fourth = into.square + xp.sum(power, axis=0), into.fourth + xp.sum(power**2, axis=0)
    into.below += float(xp.sum(xp.astype(xp.abs(Z) < median, xp.float64)))
    into.count += Y.shape[0]
    return Y.T @ Y if shrunk else X.T @ X


def least_squares(D: Any, A: Any, B: Any) -> tuple[Any, float]:
    """Unit atoms that fit samples with given codes, from sums of code products and code-sample products."""
    xp = get_namespace(D)
    eye = xp.eye(D.shape[0], dtype=D.dtype, **({"device": D.device} if is_torch(D) else {}))
    pull = PULL * float(xp.linalg.trace(A)) / D.shape[0] + float(xp.finfo(D.dtype).tiny)
    new = unit(xp.linalg.solve(A + pull * eye, B + pull * D.T).T)
    return new, math.sqrt(float(((new - D) ** 2).sum()) / D.shape[0])


def inverse_transpose(D: Any) -> Any:
    """Matrix whose transpose turns samples into codes."""
    xp = get_namespace(D)
    return xp.linalg.inv(D).T


def unit(D: Any) -> Any:
    """Columns of length one."""
    xp = get_namespace(D)
    return D / xp.sqrt(xp.sum(D**2, axis=0))


class CompleteStream(BlockStream):
    """Running least squares for the atoms; for codes that are hardly sparse, a running whitening instead."""

    def __init__(self, D: Any, pace: Pace, *, cut: bool) -> None:
        super().__init__([D], pace)
        self.cut = cut
        self._analysis = inverse_transpose(D)
        self.memory = [0 * D, 0 * D]
        self.seconds = 0 * D

    @property
    def analysis(self) -> list[Any]:
        """Matrix whose transpose turns samples into codes."""
        return [self._analysis]

    def begin(self, Y: Any) -> None:
        """Take the means over samples at hand, for which the atoms were found, as the start of the running ones."""
        self.measure(Y)
        for part in portions(Y):
            self.collect(part)
        self.memory = [self.seconds / Y.shape[0], self.pending.gradients[0] / Y.shape[0]]
        self.n_seen, self.seconds = Y.shape[0], 0 * self.seconds
        self.pending = Statistics.empty(self.factors)
        self.gap = self.moved = 0.0

    def rule(self) -> Rule:
        """How codes of the next samples count."""
        if self.pace.n_nonzero:
            return Rule(n_nonzero=self.pace.n_nonzero)
        if self.pace.threshold is not None:
            return Rule(levels=self.pace.threshold)
        scales = atom_scales(*self.moments)
        if self.cut:
            return Rule(levels=cast(floor_levels(self.median, scales, LAST_LEVEL), self._analysis.dtype))
        return Rule(levels=cast(noise_levels(self.median, scales, SHRINKAGE), self._analysis.dtype), soft=True)

    def collect(self, Y: Any) -> None:
        """Add samples to the pending sums."""
        added = add_products(self.pending, Y, self._analysis, self.rule(), self.median, shrunk=not self.cut)
        self.seconds = self.seconds + added

    def update(self) -> None:
        """Move the running means towards the pending sums, and solve for the atoms."""
        rho, b, D = self.weight(), self.pending.count, self.factors[0]
        new = (self.seconds, self.pending.gradients[0])
        self.memory = [(1 - rho) * M + (rho / b) * G for M, G in zip(self.memory, new, strict=True)]
        self.n_seen += b
        self.seconds = 0 * self.seconds
        self.learn_scales()
        if self.cut:
            D, self.moved = least_squares(D, *self.memory)
        else:
            roots = covariance_roots(self.memory[0], self.n_seen)
            new_D = unit(roots.root @ fast_polar(roots.inverse @ self.memory[1].T))
            D, self.moved = new_D, math.sqrt(float(((new_D - D) ** 2).sum()) / D.shape[0])
        self.factors, self._analysis = [D], inverse_transpose(D)
