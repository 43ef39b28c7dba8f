"""Posterior of a sum of sparse products, in the caller's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from structkit.sbl.problem import Problem
from structkit.sbl.recovery import Block
from structkit.sbl.spectral import abs2, outer
from structkit.sbl.terms import Term

__all__ = ["SeparableBlock"]


@dataclass(frozen=True)
class SeparableBlock(Block):
    """A block that is a sum of products; `right` and `shares` of `Block` stay empty.

    Attributes
    ----------
    means : list of list of numpy.ndarray, shapes ``(k_i,)``
        Means of the vectors of every term on the support.
    roots : list of list of numpy.ndarray, shapes ``(k_i, r)``
        Square roots of their covariances.
    weights : list of numpy.ndarray, shapes ``(L,)``
        Weights of the snapshots.
    """

    means: list[list[np.ndarray]] = field(default_factory=list)
    roots: list[list[np.ndarray]] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of_terms(cls, problem: Problem, terms: Sequence[Term], noise_var: float) -> Self:
        """Gather the terms on their joint support and undo the scaling of columns and measurements."""
        modes = range(len(problem.sizes))
        support = [np.unique(np.concatenate([t.columns[i] for t in terms])) for i in modes]  # type: ignore[arg-type]
        means: list[list[np.ndarray]] = []
        roots: list[list[np.ndarray]] = []
        for t in terms:
            places = [np.searchsorted(s, c) for s, c in zip(support, t.columns, strict=True)]  # type: ignore[arg-type]
            norms = [n[c] for n, c in zip(problem.norms, t.columns, strict=True)]
            means.append(
                [_placed(m / n, p, len(s)) for m, n, p, s in zip(t.means, norms, places, support, strict=True)]
            )
            roots.append(
                [_placed(R / n[:, None], p, len(s)) for R, n, p, s in zip(t.roots, norms, places, support, strict=True)]
            )
        weights = [t.weights * problem.scale for t in terms]
        chosen = [np.asarray(c) for c in terms[0].columns]
        gammas = [np.zeros(len(s)) for s in support]
        for i, g in enumerate(gammas):
            g[np.searchsorted(support[i], chosen[i])] = terms[0].gammas[i] / problem.norms[i][chosen[i]] ** 2
            g /= g.max()
        gammas[-1] = gammas[-1] * float(abs2(weights[0]).mean())
        eyes = [np.eye(len(s)) for s in support]
        mean = _values(means, weights, eyes)
        variance = _variance(means, roots, weights, eyes)
        n_modes = len(support)
        nothing = [np.empty((0, 0), mean.dtype)] * n_modes
        return cls(
            support, gammas, noise_var * problem.scale**2, mean, variance, nothing, np.empty((0,) * n_modes),
            means, roots, weights,
        )  # fmt: skip

    def values(self, factors: list[np.ndarray]) -> np.ndarray:
        """Mean of the measurements through other factors, restricted to the support."""
        return _values(self.means, self.weights, factors)

    def values_variance(self, factors: list[np.ndarray]) -> np.ndarray:
        """Posterior variance of `values`, mean over snapshots."""
        return _variance(self.means, self.roots, self.weights, factors)

    def vectors(self, sizes: Sequence[int], snapshots: bool) -> list[list[np.ndarray]]:
        """Vectors of full length; the weight of a single snapshot is part of the last one."""
        found = []
        for means, w in zip(self.means, self.weights, strict=True):
            full = [_placed(m, s, n) for m, s, n in zip(means, self.support, sizes, strict=True)]
            found.append([*full, w] if snapshots else [*full[:-1], full[-1] * w[0]])
        return found

    def parts(self) -> dict[str, object]:
        """Arrays and numbers for a file."""
        out = super().parts()
        out["n_terms"] = len(self.means)
        for r, (means, roots, w) in enumerate(zip(self.means, self.roots, self.weights, strict=True)):
            out[f"weights_{r}"] = w
            for i, (m, R) in enumerate(zip(means, roots, strict=True)):
                out[f"means_{r}_{i}"], out[f"roots_{r}_{i}"] = m, R
        return out

    @classmethod
    def from_parts(cls, v: Mapping[str, Any], n_modes: int) -> Self:
        """Rebuild from what `parts` gave."""
        base = Block.from_parts(v, n_modes)
        terms, modes = range(v["n_terms"]), range(n_modes)
        means = [[v[f"means_{r}_{i}"] for i in modes] for r in terms]
        roots = [[v[f"roots_{r}_{i}"] for i in modes] for r in terms]
        return cls(**vars(base), means=means, roots=roots, weights=[v[f"weights_{r}"] for r in terms])


def _placed(x: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
    """Rows of `x` at their places among `n`, zeros elsewhere."""
    full = np.zeros((n, *x.shape[1:]), x.dtype)
    full[places] = x
    return full


def _values(
    means: Sequence[Sequence[np.ndarray]], weights: Sequence[np.ndarray], factors: Sequence[np.ndarray]
) -> np.ndarray:
    """Sum over terms of the outer products of what the vectors are seen as."""
    terms = [
        outer([*(A @ m for A, m in zip(factors, ms, strict=True)), w]) for ms, w in zip(means, weights, strict=True)
    ]
    return sum(terms[1:], terms[0])


def _variance(
    means: Sequence[Sequence[np.ndarray]],
    roots: Sequence[Sequence[np.ndarray]],
    weights: Sequence[np.ndarray],
    factors: Sequence[np.ndarray],
) -> np.ndarray:
    """Variance of the same, vectors independent: the product of second moments less that of squared means."""
    total = 0.0
    for ms, Rs, w in zip(means, roots, weights, strict=True):
        squares = [abs2(A @ m) for A, m in zip(factors, ms, strict=True)]
        moments = [s + abs2(A @ R).sum(axis=1) for s, A, R in zip(squares, factors, Rs, strict=True)]
        total = total + float(abs2(w).mean()) * (outer(moments) - outer(squares))
    return np.maximum(total, 0.0)
