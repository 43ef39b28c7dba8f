"""The equation on a tensor of coefficients: separable terms as matrices per axis, the others through the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from structkit.kron import multi_mode_product
from structkit.pde.basis import AxisBasis
from structkit.pde.operators import Term
from structkit.pde.problem import PDE

__all__ = ["GridTerm", "KronTerm", "System", "evaluate", "project"]

# A coefficient is a product of functions of one axis each if this share of it is not needed otherwise.
_SEPARABLE = 1e-13
_MOST_TERMS = 16


def evaluate(coefficients: np.ndarray, bases: Sequence[AxisBasis], orders: Mapping[int, int]) -> np.ndarray:
    """Values of a derivative on the grid of the bases."""
    return np.asarray(multi_mode_product(coefficients, [b.values(orders.get(a, 0)) for a, b in enumerate(bases)]))


def project(values: np.ndarray, bases: Sequence[AxisBasis]) -> np.ndarray:
    """Coefficients of a function given on the grid of the bases."""
    return np.asarray(multi_mode_product(values, [b.test for b in bases], adjoint=True))


@dataclass(frozen=True)
class KronTerm:
    """A term that is a matrix for each axis; None stands for the identity."""

    factors: tuple[np.ndarray | None, ...]
    scale: float

    def apply(self, C: np.ndarray) -> np.ndarray:
        """The term of a tensor of coefficients."""
        modes = [a for a, f in enumerate(self.factors) if f is not None]
        if not modes:
            return self.scale * C
        return self.scale * np.asarray(multi_mode_product(C, [self.factors[a] for a in modes], modes=modes))


@dataclass(frozen=True)
class GridTerm:
    """A term whose coefficient is multiplied on the grid."""

    coefficient: np.ndarray
    term: Term

    def apply(self, C: np.ndarray, bases: Sequence[AxisBasis]) -> np.ndarray:
        """The term of a tensor of coefficients."""
        return project(self.coefficient * evaluate(C, bases, dict(self.term.orders)), bases)


class System:
    """A linear operator on tensors of coefficients.

    Parameters
    ----------
    problem : PDE
        The problem.
    bases : sequence of AxisBasis
        One per axis.
    """

    def __init__(self, problem: PDE, bases: Sequence[AxisBasis]) -> None:
        self.bases = bases
        self.kron: list[KronTerm] = []
        self.grid: list[GridTerm] = []
        coords = [b.x for b in bases]
        for term, c in zip(problem.operator.terms, problem.coefficients_on(coords, {}), strict=True):
            if np.ndim(c) == 0:
                self.kron.append(self._kron_term(term, [None] * len(bases), float(c)))
                continue
            parts = _separated(c)
            if parts is None:
                self.grid.append(GridTerm(c, term))
            else:
                self.kron += [self._kron_term(term, p, scale) for scale, p in parts]

    def _kron_term(self, term: Term, parts: Sequence[np.ndarray | None], scale: float) -> KronTerm:
        factors = []
        for axis, (basis, part) in enumerate(zip(self.bases, parts, strict=True)):
            order = term.order(axis)
            factors.append(None if order == 0 and part is None else basis.matrix(order, part))
        return KronTerm(tuple(factors), scale)

    def apply(self, C: np.ndarray) -> np.ndarray:
        """The operator of a tensor of coefficients, as coefficients."""
        out = np.zeros_like(C)
        for k in self.kron:
            out += k.apply(C)
        for g in self.grid:
            out += g.apply(C, self.bases)
        return out


def _separated(c: np.ndarray) -> list[tuple[float, list[np.ndarray | None]]] | None:
    """A coefficient as a sum of products of functions of one axis, or None if there is no short one."""
    if c.ndim == 1:
        return [_product([c])]
    if c.ndim == 2:
        u, s, vt = np.linalg.svd(c, full_matrices=False)
        rank = max(int(np.sum(s > _SEPARABLE * s[0])), 1)
        return None if rank > _MOST_TERMS else [_product([u[:, k] * s[k], vt[k]]) for k in range(rank)]
    center = np.unravel_index(int(np.argmax(np.abs(c))), c.shape)
    lines = [c[tuple(slice(None) if a == b else i for b, i in enumerate(center))] for a in range(c.ndim)]
    if c[center]:
        lines[1:] = [line / c[center] for line in lines[1:]]
    product = lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return [_product(lines)] if np.abs(product - c).max() <= 10 * _SEPARABLE * np.abs(c).max() else None


def _product(lines: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray | None]]:
    """A product of functions, with the constant ones (None) in a common factor."""
    scale, parts = 1.0, []
    for line in lines:
        constant = np.ptp(line) <= 10 * _SEPARABLE * np.abs(line).max()
        scale *= float(line.mean()) if constant else 1.0
        parts.append(None if constant else line)
    return scale, parts
