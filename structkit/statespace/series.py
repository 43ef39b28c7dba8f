"""Transitions of any linear model: power series for short steps, doubling for long ones."""

from __future__ import annotations

import numpy as np

__all__ = ["series_transitions"]

# With |F| dt <= 1/2 the k-th term of either series is below 1 / (k + 1)!: 18 terms reach double precision.
_TERMS = 18


def series_transitions(drift: np.ndarray, diffusion: np.ndarray, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``A = expm(F dt)`` and ``Q``, the integral of ``expm(F t) D expm(F t)^T`` over the step, per step.

    The series of ``Q`` keeps the relative accuracy of entries that vanish with different powers of the step, which the
    exponential of the block matrix of Van Loan [1]_ loses; doubling, ``Q(2 t) = Q(t) + A(t) Q(t) A(t)^T``, adds only
    positive semi-definite matrices, so that long steps lose nothing either.

    References
    ----------
    .. [1] Van Loan, "Computing integrals involving the matrix exponential", IEEE Trans. Autom. Control 23, 1978.
    """
    norm = np.linalg.norm(drift, 1)
    n_doublings = np.ceil(np.log2(np.maximum(2 * norm * dt, 1))).astype(np.int64)
    h = np.ldexp(dt, -n_doublings)[:, None, None]
    a_term, q_term = np.eye(len(drift)), diffusion
    a, q = np.zeros((2, *dt.shape, *drift.shape))
    power = np.ones_like(h)
    for k in range(_TERMS):
        a += power * a_term
        power = power * h / (k + 1)
        q += power * q_term
        a_term, q_term = drift @ a_term, drift @ q_term + q_term @ drift.T
    for k in range(int(n_doublings.max(initial=0))):
        rest = n_doublings > k
        q[rest] += a[rest] @ q[rest] @ a[rest].transpose(0, 2, 1)
        a[rest] = a[rest] @ a[rest]
    return a, q
