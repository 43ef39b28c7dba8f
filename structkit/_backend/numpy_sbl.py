"""The loops of `numba_sbl` in plain numpy: same functions, same results, for machines without a compiler."""

from __future__ import annotations

import numpy as np

__all__ = ["column_gains", "mode_sums"]


def _cost(g: np.ndarray, s: np.ndarray, q: np.ndarray, weights: np.ndarray, n_snapshots: int) -> np.ndarray:
    z = 1.0 + g[:, None] * weights * s
    return n_snapshots * np.log(z).sum(axis=1) - (g[:, None] * weights * q / z).sum(axis=1)


def column_gains(
    s: np.ndarray,
    q: np.ndarray,
    weights: np.ndarray,
    own: np.ndarray,
    n_snapshots: int,
    grid: np.ndarray,
    n_steps: int,
    gains: np.ndarray,
    best: np.ndarray,
) -> None:
    """Write the largest gain of every column and the prior variance that reaches it.

    Parameters
    ----------
    s, q : array, shape ``(n, B)``
        ``a_j^H C_b^{-1} a_j`` and ``|a_j^H C_b^{-1} y_b|^2``, summed over snapshots, in each of the `B` slices that the
        other modes diagonalise.
    weights : array, shape ``(B,)``
        Eigenvalues of the other modes.
    own : array, shape ``(n,)``
        Present prior variances; zero for inactive columns.
    n_snapshots : int
        Measurement tensors.
    grid : array, shape ``(n, G)``
        Prior variances to try.
    n_steps : int
        Fixed-point steps from the best of them.
    gains, best : array, shape ``(n,)``
        Results: by how much the column lowers the cost compared with its absence, and at which prior variance.
    """
    rest = np.maximum(1.0 - own[:, None] * weights * s, 1e-12)
    free_s, free_q = s / rest, q / rest**2
    at = own.copy()
    low = np.where(own > 0, _cost(own, free_s, free_q, weights, n_snapshots), 0.0)

    def consider(g: np.ndarray) -> None:
        value = _cost(g, free_s, free_q, weights, n_snapshots)
        better = value < low
        at[better], low[better] = g[better], value[better]

    for column in grid.T:
        consider(column)
    g = at.copy()
    for _ in range(n_steps):
        z = 1.0 + g[:, None] * weights * free_s
        g *= ((weights * free_q / z**2).sum(axis=1) / (n_snapshots * (weights * free_s / z).sum(axis=1))) ** 0.7
    if n_steps:
        consider(g)
    gains[:], best[:] = -low, at


def mode_sums(
    rotated: np.ndarray, weights: np.ndarray, values: np.ndarray, noise_var: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted traces and Gram matrix of one mode of the rotated measurements.

    Parameters
    ----------
    rotated : array, shape ``(left, m, right, L)``
        Measurements in the singular vectors of all modes.
    weights : array, shape ``(left, right)``
        Products of the eigenvalues of the other modes.
    values : array, shape ``(m,)``
        Eigenvalues of the mode.
    noise_var : float
        Noise variance.

    Returns
    -------
    traces, gram : array, shapes ``(m,)`` and ``(m, m)``
        Sums of the weights over the denominators, times snapshots, and of weighted products of solved measurements.
    """
    inverse = 1 / (weights[:, None] * values[:, None] + noise_var)
    solved = np.moveaxis(rotated * inverse[..., None], 1, 0).reshape(len(values), -1)
    scaled = solved * np.repeat(weights.reshape(-1), rotated.shape[-1])
    return rotated.shape[-1] * (weights[:, None] * inverse).sum(axis=(0, 2)), scaled @ solved.conj().T
