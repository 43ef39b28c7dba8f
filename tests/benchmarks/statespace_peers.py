"""Regression on a line the way other libraries do it: scans of jax, dense algebra, scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Peer = Callable[[], object]


def dense_posterior(times: np.ndarray, y: np.ndarray, noise_var: float) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and variance of a Matern-3/2 process of unit scales, by a Cholesky factorisation."""
    from scipy.linalg import cho_factor, cho_solve

    u = np.sqrt(3) * np.abs(times[:, None] - times)
    K = (1 + u) * np.exp(-u)
    root = cho_factor(K + noise_var * np.eye(len(times)), lower=True)
    return K @ cho_solve(root, y), 1 - np.einsum("ij,ji->i", K, cho_solve(root, K))


def sklearn_posterior(times: np.ndarray, y: np.ndarray, noise_var: float) -> Peer:
    """The same by scikit-learn."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    def solve() -> tuple[np.ndarray, np.ndarray]:
        model = GaussianProcessRegressor(Matern(1.0, nu=1.5), alpha=noise_var, optimizer=None)
        mean, std = model.fit(times[:, None], y).predict(times[:, None], return_std=True)
        return mean, std**2

    return solve


def jax_posterior(a: np.ndarray, q: np.ndarray, y: np.ndarray, noise_var: float) -> Peer:
    """Filter and RTS smoother of two states as two scans, in one compiled function."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    arrays = [jnp.asarray(x) for x in (a, q, y)]
    if arrays[0].dtype != a.dtype:
        raise RuntimeError(f"jax computes in {arrays[0].dtype}; set JAX_ENABLE_X64=1")

    def forward(state: tuple, inputs: tuple) -> tuple:  # type: ignore[type-arg]
        (mean, cov), (A, Q, value) = state, inputs
        mean, cov = A @ mean, A @ cov @ A.T + Q
        gain = cov[:, 0] / (cov[0, 0] + noise_var)
        mean, cov = mean + gain * (value - mean[0]), cov - jnp.outer(gain, cov[0])
        return (mean, cov), (mean, cov)

    def backward(state: tuple, inputs: tuple) -> tuple:  # type: ignore[type-arg]
        (mean, cov), (A, Q, m, P) = state, inputs
        ahead = A @ P @ A.T + Q
        det = ahead[0, 0] * ahead[1, 1] - ahead[0, 1] * ahead[1, 0]
        inverse = jnp.array([[ahead[1, 1], -ahead[0, 1]], [-ahead[1, 0], ahead[0, 0]]]) / det
        gain = P @ A.T @ inverse
        mean, cov = m + gain @ (mean - A @ m), P + gain @ (cov - ahead) @ gain.T
        return (mean, cov), (mean[0], cov[0, 0])

    @jax.jit
    def smooth(A: jax.Array, Q: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
        start = (jnp.zeros(2), jnp.eye(2))
        A = A.at[0].set(jnp.eye(2))
        Q = Q.at[0].set(jnp.zeros((2, 2)))
        last, (means, covs) = lax.scan(forward, start, (A, Q, values))
        _, (mean, var) = lax.scan(backward, last, (A[1:], Q[1:], means[:-1], covs[:-1]), reverse=True)
        return jnp.append(mean, last[0][0]), jnp.append(var, last[1][0, 0])

    return lambda: smooth(*arrays)
