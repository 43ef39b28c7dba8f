"""Sparse recovery as users of other tools do it: dense matrices of the Kronecker product."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import scipy.linalg


def dense_step(
    factors: list[np.ndarray], gammas: list[np.ndarray], y: np.ndarray, noise_var: float
) -> Callable[[], object]:
    """Posterior mean and variances by the formulas as they are published, the posterior covariance formed."""
    A, gamma = reduce(np.kron, factors), reduce(np.kron, gammas)
    flat = y.reshape(-1)

    def step() -> object:
        parts = [np.linalg.eigh((a * g) @ a.T) for a, g in zip(factors, gammas, strict=True)]
        G = reduce(np.kron, [(a * g).T @ U for a, g, (_, U) in zip(factors, gammas, parts, strict=True)])
        D = noise_var + reduce(np.kron, [values for values, _ in parts])
        Sigma = np.diag(gamma) - (G / D) @ G.T
        return Sigma @ (A.T @ flat) / noise_var, np.diag(Sigma).copy()

    return step


def dense_cholesky_step(
    factors: list[np.ndarray], gammas: list[np.ndarray], y: np.ndarray, noise_var: float
) -> Callable[[], object]:
    """The same without structure, by the Cholesky factor of the covariance of the measurements."""
    A, gamma = reduce(np.kron, factors), reduce(np.kron, gammas)
    flat = y.reshape(-1)

    def step() -> object:
        C = (A * gamma) @ A.T
        C.flat[:: len(C) + 1] += noise_var
        L = scipy.linalg.cholesky(C, lower=True)
        solved = scipy.linalg.cho_solve((L, True), flat)
        white = scipy.linalg.solve_triangular(L, A, lower=True)
        return gamma * (A.T @ solved), gamma - gamma**2 * (white**2).sum(axis=0)

    return step


def sklearn_pursuit(factors: list[np.ndarray], y: np.ndarray, n_nonzero: int) -> Callable[[], object]:
    """Orthogonal matching pursuit of scikit-learn, told how many coefficients there are."""
    from sklearn.linear_model import OrthogonalMatchingPursuit

    A = reduce(np.kron, factors)
    norms = np.linalg.norm(A, axis=0)
    A /= norms

    def fit() -> object:
        model = OrthogonalMatchingPursuit(n_nonzero_coefs=n_nonzero, fit_intercept=False).fit(A, y.reshape(-1))
        return model.coef_ / norms

    return fit
