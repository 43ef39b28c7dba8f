"""The oracle of the grid tests: a Gaussian process that forms every matrix from its definition."""

import math
from functools import reduce

import numpy as np
import scipy.linalg

from structkit.gp import FreeCovariance


class DenseGP:
    """Posterior and evidence from the Cholesky factor of the observed cells, in float64.

    `noise` and `mean` broadcast over the grid: a number, one value per level in the right shape, or one per cell.
    """

    def __init__(self, kernels, coords, y, noise, mean=0.0, mask=None):
        self.kernels, self.coords = kernels, coords
        y = np.asarray(y, dtype=np.float64)
        self.shape = y.shape
        self.mean_grid = np.broadcast_to(np.asarray(mean, dtype=np.float64), y.shape)
        self.seen = (~np.isnan(y) if mask is None else ~np.isnan(y) & mask).ravel()
        self.noise = np.broadcast_to(np.asarray(noise, dtype=np.float64), y.shape).ravel()[self.seen]
        self.r = (y - self.mean_grid).ravel()[self.seen]
        K = reduce(np.kron, self.axis_matrices())
        self.C = K[np.ix_(self.seen, self.seen)] + np.diag(self.noise)
        self.L = scipy.linalg.cholesky(self.C, lower=True)
        self.alpha = scipy.linalg.cho_solve((self.L, True), self.r)

    def axis_matrices(self):
        """Covariance of every axis on the grid."""
        pairs = zip(self.kernels, self.coords, strict=True)
        return [k.matrix if isinstance(k, FreeCovariance) else k(x) for k, x in pairs]

    def evidence(self):
        logdet = 2 * np.log(np.diag(self.L)).sum()
        return -0.5 * (self.r @ self.alpha + logdet + len(self.r) * math.log(2 * math.pi))

    def _at(self, coords):
        """Cross covariance with the observed cells and prior covariance at new coordinates (None keeps an axis)."""
        cross, prior = [], []
        for k, x, new, K in zip(self.kernels, self.coords, coords, self.axis_matrices(), strict=True):
            cross.append(K if new is None else k(new, x))
            prior.append(K if new is None else k(new))
        return reduce(np.kron, cross)[:, self.seen], reduce(np.kron, prior), tuple(len(c) for c in cross)

    def mean(self, coords=None):
        coords = [None] * len(self.shape) if coords is None else coords
        cross, _, shape = self._at(coords)
        fixed = tuple(slice(None) if new is None else slice(0, 1) for new in coords)
        return (cross @ self.alpha).reshape(shape) + self.mean_grid[fixed]

    def covariance(self, coords=None):
        """Posterior covariance of the noise-free function, ``(M, M)``."""
        cross, prior, _ = self._at([None] * len(self.shape) if coords is None else coords)
        half = scipy.linalg.solve_triangular(self.L, cross.T, lower=True)
        return prior - half.T @ half

    def std(self, coords=None):
        _, _, shape = self._at([None] * len(self.shape) if coords is None else coords)
        return np.sqrt(np.maximum(np.diag(self.covariance(coords)), 0.0)).reshape(shape)

    def covariance_gradients(self):
        """Derivative of the evidence with respect to every axis covariance, entry by entry."""
        W = np.zeros((self.seen.size,) * 2)
        W[np.ix_(self.seen, self.seen)] = 0.5 * (np.outer(self.alpha, self.alpha) - np.linalg.inv(self.C))
        W = W.reshape(*self.shape, *self.shape)
        Ks = self.axis_matrices()
        D = len(self.shape)
        out = []
        for d in range(D):
            G = W
            for e in reversed(range(D)):
                if e != d:
                    rows = G.ndim // 2
                    G = np.tensordot(np.moveaxis(G, (e, rows + e), (0, 1)), Ks[e], ((0, 1), (0, 1)))
            out.append(G)
        return out


def draw(kernels, coords, noise, rng, mean=0.0):
    """Data drawn from the model on the complete grid: noise-free function and observations."""
    Ks = [k.matrix if isinstance(k, FreeCovariance) else k(x) for k, x in zip(kernels, coords, strict=True)]
    f = rng.standard_normal([len(K) for K in Ks])
    for d, K in enumerate(Ks):
        w, V = np.linalg.eigh(K)
        f = np.moveaxis(np.tensordot(V * np.sqrt(np.maximum(w, 0.0)), f, (1, d)), 0, d)
    f = f + mean
    return f, f + np.sqrt(noise) * rng.standard_normal(f.shape)


def hide(y, share, rng):
    """Copy of `y` with a random share of its cells missing; at least one stays."""
    hidden = rng.random(y.shape) < share
    hidden.flat[rng.integers(y.size)] = False
    return np.where(hidden, np.nan, y)
