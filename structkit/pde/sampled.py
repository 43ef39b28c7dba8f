"""A source given by samples on an even grid, as a function of the coordinates."""

from __future__ import annotations

import copy

import numpy as np
import scipy.linalg

from structkit.kron import multi_mode_product
from structkit.pde.features import AxisFeatures, axis_features
from structkit.pde.frequencies import discover_frequencies
from structkit.pde.problem import PDE

__all__ = ["with_callable_source"]

_RATIOS = (0.35, 0.6, 0.2, 0.1, 0.05)
# Rich functions on even grids oscillate at the ends: at most this many per sample.
_SHARE = 0.5
_RANK = 1e-10


class _Interpolant:
    """Features of every axis fitted to samples; a callable of broadcast coordinates on a tensor grid."""

    def __init__(self, features: list[AxisFeatures], coefficients: np.ndarray) -> None:
        self.features, self.coefficients = features, coefficients

    def __call__(self, *coords: np.ndarray) -> np.ndarray:
        rows = [f(np.ravel(x)) for f, x in zip(self.features, coords, strict=True)]
        if len(coords) == 1:
            return (rows[0] @ self.coefficients).reshape(np.shape(coords[0]))
        return np.asarray(multi_mode_product(self.coefficients, rows))


def with_callable_source(problem: PDE) -> tuple[PDE, float]:
    """Return the problem with a callable in place of samples, if there are any, and the share that it does not match.

    Except for frequencies above one half per sample this share is close to the error of the callable between the
    samples, too.
    """
    if not isinstance(problem.source, np.ndarray):
        return problem, 0.0
    assert problem.grid is not None
    features, tensor = [], problem.source
    for axis, ((a, b), x) in enumerate(zip(problem.domain, problem.grid, strict=True)):
        unfolded = np.moveaxis(problem.source, axis, 0).reshape(len(x), -1)
        u, s, _ = scipy.linalg.svd(unfolded, full_matrices=False)
        lines = (u * s)[:, : max(int(np.sum(s > 1e-10 * s[0])), 1)][:, :8]
        chosen, inverse = _best_fit(lines, x, a, b)
        features.append(chosen)
        tensor = np.moveaxis(np.tensordot(inverse, np.moveaxis(tensor, axis, 0), axes=1), 0, axis)
    out = copy.copy(problem)
    out.source, out.grid = _Interpolant(features, tensor), None
    found = out.source(*np.meshgrid(*problem.grid, indexing="ij", sparse=True))
    size = float(np.linalg.norm(problem.source))
    return out, float(np.linalg.norm(found - problem.source)) / (size or 1.0)


def _best_fit(lines: np.ndarray, x: np.ndarray, a: float, b: float) -> tuple[AxisFeatures, np.ndarray]:
    """Features that predict every second sample best from the others, and the map of samples to coefficients."""
    best, least = None, np.inf
    for ratio in _RATIOS:
        found = discover_frequencies(lines, a, b, ratio * (b - a))
        f = axis_features(a, b, ratio * (b - a), found)
        half = f(x[::2])
        error = np.inf
        if len(x) > 8:
            error = float(np.linalg.norm(f(x[1::2]) @ (_inverse(half) @ lines[::2]) - lines[1::2]))
        whole = f(x)
        fit = float(np.linalg.norm(whole @ (_inverse(whole) @ lines) - lines))
        score = min(error, 1e3 * fit) if np.isfinite(error) else fit
        if best is None or score < least:
            best, least = f, score
    assert best is not None
    return best, _inverse(best(x))


def _inverse(rows: np.ndarray) -> np.ndarray:
    """Pseudo-inverse on the leading directions of features."""
    u, s, vt = scipy.linalg.svd(rows, full_matrices=False)
    r = max(min(int(np.sum(s > _RANK * s[0])), int(_SHARE * len(rows))), 1)
    return (vt[:r].T / s[:r]) @ u[:, :r].T  # type: ignore[no-any-return]
