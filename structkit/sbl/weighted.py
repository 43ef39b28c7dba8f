r"""Sums of second moments over all coefficients that share one index, without a vector of all coefficients.

The posterior second moment of a coefficient is :math:`\Lambda_j = \gamma_j + \gamma_j^2 (|q_j|^2 - P_j)` with
:math:`q_j = a_j^H C^{-1} y` and :math:`P_j = a_j^H C^{-1} a_j`. Its sums over :math:`j_k, k \ne i`, with weights that
are an outer product, factorise: :math:`|q|^2` passes through one small matrix per mode, :math:`P` through one vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit.kron import unfold
from structkit.sbl.spectral import Spectral, abs2, forms, products

__all__ = ["SecondMoments"]


class SecondMoments:
    """Posterior second moments at the present hyperparameters of a model on the host.

    Parameters
    ----------
    model : Spectral
        The model; numpy arrays.
    """

    def __init__(self, model: Spectral) -> None:
        D = model.denominators()
        self.gammas = list(model.gammas)
        self.n_snapshots = model.data.n_snapshots
        self.inverse = 1 / D
        self.solved = model.rotated / D[..., None]
        self.columns = [A.conj().T @ b.left for A, b in zip(model.data.factors, model.bases, strict=True)]
        self.squares = [abs2(V) for V in self.columns]

    def sums(self, mode: int, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Sum ``Lambda * outer(factors of the other modes)`` over all modes but one; mean over snapshots."""
        others = [k for k in range(len(self.gammas)) if k != mode]
        ratios = [g * f for g, f in zip(self.gammas, factors, strict=True)]
        prior = math.prod(float(ratios[k].sum()) for k in others)
        weights = [g * r for g, r in zip(self.gammas, ratios, strict=True)]
        inverse, solved = self.inverse, self.solved
        if others:
            rows = [(w @ squares)[None, :] for w, squares in zip(weights, self.squares, strict=True)]
            inverse = products(inverse, rows, skip=mode)
            mixers = [(V.conj().T * w) @ V for w, V in zip(weights, self.columns, strict=True)]
            solved = products(solved, mixers, skip=mode)
        traces = inverse.reshape(-1)
        gram = unfold(solved, mode) @ unfold(self.solved, mode).conj().T / self.n_snapshots
        gamma = self.gammas[mode]
        return gamma * prior + gamma**2 * (forms(self.columns[mode], gram) - self.squares[mode] @ traces)
