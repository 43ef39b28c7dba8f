"""Orthonormal basis of one axis: values and derivatives on Chebyshev points, projection, evaluation anywhere."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

from structkit.pde.features import AxisFeatures

__all__ = ["AxisBasis", "clenshaw_curtis"]

# Directions of the features below this share of the largest singular value are dropped.
_RANK = 1e-11


@functools.lru_cache(maxsize=64)
def clenshaw_curtis(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` Chebyshev-Lobatto points on [-1, 1], ascending, and their Clenshaw-Curtis weights."""
    m = n - 1
    theta = math.pi * np.arange(n) / m
    points = -np.cos(theta)
    k = np.arange(1, m // 2 + 1)
    factor = np.where(2 * k == m, 1.0, 2.0) / (4 * k**2 - 1)
    weights = (2 - 2 * np.cos(2 * np.outer(theta, k)) @ factor) / m
    weights[[0, -1]] /= 2
    return points, weights


@dataclass
class AxisBasis:
    """Orthonormal functions of one axis.

    Parameters
    ----------
    features : AxisFeatures
        Functions they are made of.
    n : int
        Number of points.
    from_features : array, shape ``(n_features, r)``, optional
        The functions as sums of features. Default: orthonormal ones.

    Attributes
    ----------
    x : array, shape ``(n,)``
        Chebyshev-Lobatto points, ends included.
    weights : array, shape ``(n,)``
        Quadrature weights.
    test : array, shape ``(n, r)``
        ``test.T @ values`` are the coefficients of a function given at the points.
    """

    features: AxisFeatures
    n: int
    from_features: np.ndarray | None = None
    x: np.ndarray = field(init=False)
    weights: np.ndarray = field(init=False)
    test: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        f = self.features
        points, weights = clenshaw_curtis(self.n)
        half = (f.upper - f.lower) / 2
        self.x, self.weights = f.lower + half * (points + 1), half * weights
        self._derivatives: dict[int, np.ndarray] = {}
        root = np.sqrt(self.weights)[:, None]
        if self.from_features is not None:
            self.test = self.weights[:, None] * self.values()
            return
        Q, s, Vt = scipy.linalg.svd(root * f(self.x), full_matrices=False)
        r = int(np.sum(s > _RANK * s[0]))
        self.test = root * Q[:, :r]
        self.from_features = Vt[:r].T / s[:r]

    @property
    def rank(self) -> int:
        """Number of basis functions."""
        return self.test.shape[1]

    def values(self, order: int = 0) -> np.ndarray:
        """The `order`-th derivative of the basis at the points, shape ``(n, r)``."""
        if order not in self._derivatives:
            self._derivatives[order] = self.at(self.x, order)
        return self._derivatives[order]

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """The `order`-th derivative of the basis at any points, shape ``(len(x), r)``."""
        return np.asarray(self.features(x, order) @ self.from_features)

    def matrix(self, order: int, coefficient: np.ndarray | None = None) -> np.ndarray:
        """Derivative, times a coefficient given at the points, as a matrix ``(r, r)`` of coefficients."""
        if order == 0 and coefficient is None:
            return np.eye(self.rank)
        values = self.values(order)
        return self.test.T @ (values if coefficient is None else coefficient[:, None] * values)
