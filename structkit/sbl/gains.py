r"""What every column of a mode would gain or lose, the other modes fixed: the fast marginal likelihood of products.

In the eigenbases of the other modes the measurements fall apart into slices :math:`b` with covariance
:math:`\sigma^2 I + w_b A_i \Gamma_i A_i^H`, and the cost depends on one :math:`\gamma_i[j] = g` through

.. math:: c_j(g) = \sum_b \left[ L \log(1 + g w_b s_{jb}) - \frac{g w_b |q_{jb}|^2}{1 + g w_b s_{jb}} \right],

with :math:`s_{jb} = a_j^H C_b^{-1} a_j`, :math:`q_{jb} = a_j^H C_b^{-1} y_b` and :math:`C_b` without the column itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit._backend.sbl_kernels import sbl_kernels
from structkit.kron import unfold
from structkit.sbl.spectral import Spectral, abs2, outer, products

__all__ = ["ModeGains", "mode_gains"]

# Prior variances to try, relative to the geometric mean of the active ones of the mode.
_GRID = np.logspace(-4.0, 2.0, 13)
_FINISTS = 8  # columns whose best prior variance is refined
_STEPS = 15


@dataclass(frozen=True)
class ModeGains:
    """Largest gain of every column of one mode and the prior variance that reaches it, shapes ``(n_i,)``."""

    gain: np.ndarray
    gamma: np.ndarray


def mode_gains(
    model: Spectral, mode: int, slices: np.ndarray, A: np.ndarray, basis: np.ndarray, active: np.ndarray
) -> ModeGains:
    """Gains of all columns of one mode.

    Parameters
    ----------
    model : Spectral
        The model of the active columns.
    mode : int
        The mode.
    slices : array, shape ``(r_1, ..., m_i, ..., r_I, L)``
        Measurements, projected to the ranges of the other modes.
    A : array, shape ``(m_i, n_i)``
        All columns of the mode, of unit norm.
    basis : array, shape ``(m_i, r_i)``
        Orthonormal basis of the active columns of the mode.
    active : array of int
        Positions of the active columns.
    """
    s, q, weights = _statistics(model, mode, slices, A, basis, active)
    own = np.zeros(A.shape[1])
    own[active] = model.gammas[mode]
    positive = model.gammas[mode][model.gammas[mode] > 0]  # a last column that explains nothing has none
    centre = np.exp(np.mean(np.log(positive))) if positive.size else 1.0
    grid = np.broadcast_to(_GRID * centre, (A.shape[1], _GRID.size))
    gain, gamma = _run(s, q, weights, own, model.data.n_snapshots, grid, 0)
    inactive = np.setdiff1d(np.argpartition(-gain, min(_FINISTS, gain.size - 1))[:_FINISTS], active)
    rows = np.concatenate([inactive, active])
    gain[rows], gamma[rows] = _run(
        s[rows], q[rows], weights, own[rows], model.data.n_snapshots, gamma[rows, None], _STEPS
    )
    return ModeGains(gain, gamma)


def _run(
    s: np.ndarray, q: np.ndarray, weights: np.ndarray, own: np.ndarray, n: int, grid: np.ndarray, n_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Call the kernel with arrays as it takes them."""
    gain, gamma = np.empty(len(s)), np.empty(len(s))
    sbl_kernels().column_gains(s, q, weights, own, n, np.ascontiguousarray(grid), n_steps, gain, gamma)
    return gain, gamma


def _statistics(
    model: Spectral, mode: int, slices: np.ndarray, A: np.ndarray, basis: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums ``s`` and ``|q|^2`` of every column and slice, and the weights of the slices."""
    noise, n_snapshots = model.noise_var, model.data.n_snapshots
    others = [i for i in range(model.data.n_modes) if i != mode]
    if others:
        slices = products(slices, [b.left for b in model.bases], skip=mode, adjoint=True)
    weights = outer(model.eigenvalues(mode)).reshape(-1) if others else np.ones(1)
    Z = np.asarray(unfold(slices, mode))
    E = basis @ model.bases[mode].left
    inside = A.conj().T @ E
    squares = abs2(inside)
    outside = np.maximum(1.0 - squares.sum(axis=1), 0.0)
    outside[active] = 0.0
    inverse = 1.0 / (noise + model.bases[mode].singular[:, None] ** 2 * weights)
    s = squares @ inverse + outside[:, None] / noise
    ranged = E.conj().T @ Z
    # What the active columns leave of the data, seen by every column, and what they explain, seen through the range.
    q = A.conj().T @ (Z - E @ ranged)
    q[active] = 0.0
    q = q / noise + inside @ (ranged * np.repeat(inverse, n_snapshots, axis=1))
    return s, abs2(q).reshape(len(s), weights.size, n_snapshots).sum(axis=2), weights
