r"""Expectation maximisation for products of prior variances, as published: four ways to the next product.

The expectation step gives the posterior second moments :math:`\Lambda`; the maximisation step asks for the product of
prior variances that minimises :math:`\sum_j \log \gamma_j + \Lambda_j / \gamma_j`.

References: He, Joseph, IEEE Trans. Signal Process. 73, 2025, which also describes the single sweep of Chang and others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from structkit._core.validation import check_memory
from structkit.sbl.spectral import Spectral, abs2
from structkit.sbl.weighted import SecondMoments

__all__ = ["alternating", "block_alternating", "expected_noise", "nested_svd", "relative_change", "single_sweep"]

_INNER_TOL = 1e-4
_INNER_LIMIT = 100  # sweeps; the published code has no limit, and never gets near this one
_BLOCK_LIMIT = 9  # as in the published code
_BLOCK_FLOOR = 1e-5  # added to coupled prior variances, relative to the largest


def alternating(model: Spectral, columns: Sequence[np.ndarray], coupling: Sequence[float]) -> list[np.ndarray]:
    """Block coordinate descent on the maximisation step until the product settles (AM-KroSBL)."""
    return _sweeps(SecondMoments(model), _INNER_LIMIT)


def single_sweep(model: Spectral, columns: Sequence[np.ndarray], coupling: Sequence[float]) -> list[np.ndarray]:
    """One sweep of the same (KSBL)."""
    return _sweeps(SecondMoments(model), 1)


def block_alternating(model: Spectral, columns: Sequence[np.ndarray], coupling: Sequence[float]) -> list[np.ndarray]:
    """The same with prior variances of neighbours coupled in the modes whose `coupling` is not zero (PC-KroSBL)."""
    matrices = [_coupling_matrix(c, b) if b else None for c, b in zip(columns, coupling, strict=True)]
    return _sweeps(SecondMoments(model), _BLOCK_LIMIT, matrices)


def nested_svd(model: Spectral, columns: Sequence[np.ndarray], coupling: Sequence[float]) -> list[np.ndarray]:
    """Product approximation of the second moments by singular vectors, mode after mode (SVD-KroSBL)."""
    sizes = [len(c) for c in columns]
    check_memory(4 * 8 * math.prod(sizes), f"The second moments of {math.prod(sizes):,} coefficients (method 'svd')")
    mean, variance = model.posterior()
    rest = np.asarray(variance) + abs2(np.asarray(mean)).mean(axis=-1)
    gammas = []
    for n in sizes[:-1]:
        U, s, Vh = np.linalg.svd(rest.reshape(n, -1), full_matrices=False)
        gammas.append(np.abs(U[:, 0]))
        rest = s[0] * np.abs(Vh[0])
    return [*gammas, rest.reshape(-1)]


def _sweeps(
    moments: SecondMoments, limit: int, matrices: Sequence[np.ndarray | None] | None = None
) -> list[np.ndarray]:
    """Closed-form updates of one mode after another."""
    gammas = [np.asarray(g) for g in moments.gammas]
    sizes = [len(g) for g in gammas]
    for _ in range(limit):
        before = list(gammas)
        for i in range(len(gammas)):
            target = moments.sums(i, [1 / g for g in gammas]) / (math.prod(sizes) // sizes[i])
            target = np.maximum(target, np.finfo(float).tiny)
            gammas[i] = target if matrices is None or matrices[i] is None else _coupled(matrices[i], target)
        norms = [float(np.linalg.norm(g)) for g in gammas[:-1]]
        gammas = [*(g / c for g, c in zip(gammas[:-1], norms, strict=True)), gammas[-1] * math.prod(norms)]
        if relative_change(gammas, before) <= _INNER_TOL:
            break
    return gammas


def _coupling_matrix(columns: np.ndarray, coupling: float) -> np.ndarray:
    """Ones on the diagonal and `coupling` between neighbours among all columns, restricted to those that are left."""
    distance = np.abs(np.subtract.outer(columns, columns))
    return (distance == 0) + coupling * (distance == 1)


def _coupled(matrix: np.ndarray | None, target: np.ndarray) -> np.ndarray:
    """The coupled prior variances nearest to the target."""
    scale = target.max()
    return matrix @ nnls(matrix, target / scale)[0] * scale + _BLOCK_FLOOR * scale  # type: ignore[operator, arg-type]


def relative_change(new: Sequence[np.ndarray], old: Sequence[np.ndarray]) -> float:
    """Norm of the difference of two products over that of the second, without forming either."""
    norm, cross, base = (math.prod(float(a @ b) for a, b in zip(x, y, strict=True))
                         for x, y in ((new, new), (new, old), (old, old)))  # fmt: skip
    return math.sqrt(max(norm - 2 * cross + base, 0.0) / base)


def expected_noise(model: Spectral) -> float:
    """Noise variance of the maximisation step: residual plus what the posterior is unsure of, per measurement."""
    data, noise = model.data, model.noise_var
    inside = math.prod(data.y.shape)
    trace, power = model.noise_sums()
    explained = inside - noise * trace + data.n_lost
    return (noise**2 * power + noise * explained) / (inside + data.n_lost)
