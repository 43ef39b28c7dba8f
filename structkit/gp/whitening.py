r"""Whitened coefficients of a Gaussian process on a grid: the representation every solver here works in.

With unit noise (levels are divided by their noise standard deviation first), per-axis covariances
:math:`K_d = V_d \operatorname{diag}(w_d) V_d^T` and
:math:`R = (\otimes_d V_d)\operatorname{diag}(\otimes_d w_d)^{1/2}`, the process on the grid is :math:`u = R c` with
:math:`c \sim N(0, I)`, and the posterior precision of :math:`c` is :math:`A = I + R^T W R`, where :math:`W` holds one
precision per cell, zero where a cell is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import asarray_like, itemsize
from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array, Shape
from structkit.kron import multi_mode_product

__all__ = ["AxisBasis", "GridSystem", "axis_bases", "groups"]

# Larger temporaries come fresh from the system at every operation, which costs more than the arithmetic.
STACK_BYTES = 2**24

# Coefficients whose prior adds less than this to the variance of any cell, in units of the noise, are left out.
NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class AxisBasis:
    """Leading eigenpairs of one axis covariance: `values` (r,) descending, `vectors` (n, r), float64."""

    values: np.ndarray
    vectors: np.ndarray

    def whiten(self, cross: np.ndarray) -> np.ndarray:
        """Map a cross covariance ``(m, n)`` with the grid to the weights ``(m, r)`` of the whitened coefficients."""
        return (cross @ self.vectors) / np.sqrt(self.values)


def axis_bases(covariances: Sequence[np.ndarray]) -> list[AxisBasis]:
    """Eigendecompose the axis covariances (in units of the noise) and drop what cannot matter."""
    pairs = []
    for d, K in enumerate(covariances):
        w, V = np.linalg.eigh(K)
        if not np.isfinite(w).all() or w[-1] <= 0:
            raise NotPositiveDefiniteError(f"The covariance of axis {d} has no positive eigenvalue; check its kernel.")
        if w[0] < -1e-6 * w[-1]:
            raise NotPositiveDefiniteError(
                f"The covariance of axis {d} has the eigenvalue {w[0]:.3g} beside {w[-1]:.3g}; "
                "a covariance has none below zero."
            )
        pairs.append((w[::-1], V[:, ::-1]))
    bases = []
    for d, (w, V) in enumerate(pairs):
        others = math.prod(float(p[0][0]) for e, p in enumerate(pairs) if e != d)
        # Beside the noise, or beside a signal that is weaker than the noise.
        floor = max(NEGLIGIBLE * min(1.0 / others, float(w[0])), np.finfo(float).eps * len(w) * w[0])
        r = max(int((w > floor).sum()), 1)
        bases.append(AxisBasis(w[:r].copy(), np.ascontiguousarray(V[:, :r])))
    return bases


def groups(stack: Array) -> list[slice]:
    """Cut a stack of tensors into runs that are worked on together: many small ones, or one large one at a time."""
    k, size = stack.shape[0], max(math.prod(stack.shape[1:]) * itemsize(stack), 1)
    step = max(1, STACK_BYTES // size)
    return [slice(begin, min(begin + step, k)) for begin in range(0, k, step)]


class GridSystem:
    r"""The operator :math:`A = I + R^T W R` and its pieces, for single tensors and for stacks of them.

    Parameters
    ----------
    bases : list of AxisBasis
        One per axis, in units of the noise.
    weights : array, shape ``(n_1, ..., n_D)``
        Precision of each cell in units of the noise precision, zero where hidden; its library, device and dtype are
        those of the computation.
    """

    def __init__(self, bases: Sequence[AxisBasis], weights: Array) -> None:
        self.bases = list(bases)
        self.weights = weights
        self.vectors = [asarray_like(b.vectors, weights) for b in bases]
        self.shape: Shape = tuple(weights.shape)
        self.rank: Shape = tuple(len(b.values) for b in bases)
        w = np.ones(())
        for b in bases:
            w = np.multiply.outer(w, b.values)
        self.prior = asarray_like(w, weights)
        self.root = self.prior**0.5
        self.modes = list(range(1, len(self.shape) + 1))

    def to_grid(self, c: Array) -> Array:
        """Return ``R c`` for a stack of coefficients ``(k, r_1, ..., r_D)``."""
        return multi_mode_product(self.root * c, self.vectors, modes=self.modes)

    def from_grid(self, u: Array) -> Array:
        """Return ``R^T u`` for a stack of grids ``(k, n_1, ..., n_D)``."""
        c = multi_mode_product(u, self.vectors, modes=self.modes, adjoint=True)
        c *= self.root  # type: ignore[operator]
        return c

    def apply(self, c: Array) -> Array:
        """Return ``A c`` for a stack of coefficients."""
        u = self.to_grid(c)
        u *= self.weights  # type: ignore[operator]
        return c + self.from_grid(u)

    def prior_draw(self, normals: Array) -> Array:
        """Coefficients whose grid is the symmetric root of the prior times `normals` ``(k, n_1, ..., n_D)``.

        The symmetric root varies smoothly with the hyperparameters, so fixed normals give a smooth objective.
        """
        return multi_mode_product(normals, self.vectors, modes=self.modes, adjoint=True)
