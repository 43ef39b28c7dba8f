"""What a recovery ends with: columns, hyperparameters and posterior of the active block, in the caller's units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit.kron import multi_mode_product
from structkit.sbl.problem import Problem
from structkit.sbl.spectral import Spectral, abs2, outer

__all__ = ["Block", "Solution", "block_of", "empty_block", "log_evidence"]


_LISTS = ("support", "gammas", "right")


@dataclass(frozen=True)
class Block:
    """Posterior of the coefficients on the support, on the host.

    Attributes
    ----------
    support : list of numpy.ndarray
        Sorted positions of the columns of every mode.
    gammas : list of numpy.ndarray
        Prior variances of these columns; all but the last have largest entry one.
    noise_var : float
        Noise variance.
    mean : numpy.ndarray, shape ``(k_1, ..., k_I, L)``
        Posterior mean.
    variance : numpy.ndarray, shape ``(k_1, ..., k_I)``
        Posterior variance.
    right : list of numpy.ndarray, shapes ``(k_i, r_i)``
        Square roots of the prior variances times the right singular vectors: the covariance is diagonal in them.
    shares : numpy.ndarray, shape ``(r_1, ..., r_I)``
        Posterior over prior variance along them.
    """

    support: list[np.ndarray]
    gammas: list[np.ndarray]
    noise_var: float
    mean: np.ndarray
    variance: np.ndarray
    right: list[np.ndarray]
    shares: np.ndarray

    def parts(self) -> dict[str, object]:
        """Arrays and numbers for a file."""
        out: dict[str, object] = {name: getattr(self, name) for name in ("noise_var", "mean", "variance", "shares")}
        for name in _LISTS:
            for i, array in enumerate(getattr(self, name)):
                out[f"{name}_{i}"] = array
        return out

    @classmethod
    def from_parts(cls, v: Mapping[str, Any], n_modes: int) -> Self:
        """Rebuild from what `parts` gave."""
        lists = {name: [v[f"{name}_{i}"] for i in range(n_modes)] for name in _LISTS}
        return cls(noise_var=v["noise_var"], mean=v["mean"], variance=v["variance"], shares=v["shares"], **lists)

    def values(self, factors: list[np.ndarray]) -> np.ndarray:
        """Mean of the measurements through other factors, restricted to the support: ``(m_1, ..., m_I, L)``."""
        modes = list(range(len(factors)))
        return np.asarray(multi_mode_product(self.mean, factors, modes=modes))

    def values_variance(self, factors: list[np.ndarray]) -> np.ndarray:
        """Posterior variance of `values`."""
        modes = list(range(len(factors)))
        squares = [abs2(A @ B) for A, B in zip(factors, self.right, strict=True)]
        prior = outer([abs2(A) @ g for A, g in zip(factors, self.gammas, strict=True)])
        hidden = prior - multi_mode_product(np.ones_like(self.shares), squares, modes=modes)
        wide = any(B.shape[0] > B.shape[1] for B in self.right)
        seen = np.asarray(multi_mode_product(self.shares, squares, modes=modes))
        return seen + np.maximum(hidden, 0.0) if wide else seen


@dataclass(frozen=True)
class Solution:
    """A recovery with what is known about it.

    Attributes
    ----------
    block : Block
        The coefficients on the support.
    cost, penalized : float
        Cost without and with the penalties, for the scaled measurements.
    converged : bool
        Whether the method came to its end.
    n_iter : int
        Steps.
    """

    block: Block
    cost: float
    penalized: float
    converged: bool
    n_iter: int


def block_of(problem: Problem, columns: list[np.ndarray], model: Spectral) -> Block:
    """Sort the columns and undo the scaling of columns and measurements."""
    orders = [np.argsort(c) for c in columns]
    support = [c[o] for c, o in zip(columns, orders, strict=True)]
    norms = [n[s] for n, s in zip(problem.norms, support, strict=True)]
    block = np.ix_(*orders)
    mean, variance = (to_numpy(x) for x in model.posterior())
    unit = problem.scale / outer(norms)
    gammas = [to_numpy(g)[o] / n**2 for g, o, n in zip(model.gammas, orders, norms, strict=True)]
    tops = [float(g.max()) for g in gammas[:-1]]
    scales = [*tops, 1.0 / (math.prod(tops) * problem.scale**2)]
    roots = [np.sqrt(to_numpy(g)) for g in model.gammas]
    right = [
        (r[:, None] * to_numpy(b.right))[o] / n[:, None] / math.sqrt(c)
        for r, b, o, n, c in zip(roots, model.bases, orders, norms, scales, strict=True)
    ]
    return Block(
        support,
        [g / c for g, c in zip(gammas, scales, strict=True)],
        model.noise_var * problem.scale**2,
        mean[block] * unit[..., None],
        variance[block] * unit**2,
        right,
        model.noise_var / to_numpy(model.denominators()),
    )


def empty_block(problem: Problem, noise_var: float) -> Block:
    """No column at all: everything is noise of variance `noise_var` (in units of the scaled measurements)."""
    n_modes = len(problem.sizes)
    none = [np.empty(0, np.int64)] * n_modes
    dtype = np.complex128 if problem.is_complex else np.float64
    right = [np.empty((0, 0), dtype)] * n_modes
    shape = (0,) * n_modes
    mean = np.empty((*shape, problem.n_snapshots), dtype)
    noise = noise_var * problem.scale**2
    return Block(none, [np.empty(0)] * n_modes, noise, mean, np.empty(shape), right, np.empty(shape))


def log_evidence(problem: Problem, cost: float) -> float:
    """Log density of the measurements in the caller's units, from the cost of the scaled ones."""
    half, constant = (1.0, math.log(math.pi)) if problem.is_complex else (0.5, math.log(2 * math.pi))
    return -half * (cost + problem.n_data * (constant + 2 * math.log(problem.scale)))
