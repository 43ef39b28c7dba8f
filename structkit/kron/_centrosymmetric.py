r"""Eigendecomposition of symmetric matrices that look the same from both ends, at about half the time.

A stationary covariance on a regular grid equals its own rotation by half a turn, :math:`J A J = A` with :math:`J` the
reversal. Its eigenvectors are then even or odd, and the problem splits into two of half the size [1]_: with
:math:`A = \begin{pmatrix} B & C \\ C^T & J B J \end{pmatrix}`, the even half belongs to :math:`B + C J` and the odd
half to :math:`B - C J`.

.. [1] Cantoni and Butler, "Eigenvalues and eigenvectors of symmetric centrosymmetric matrices", Linear Algebra Appl.
   13, 1976.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["centrosymmetric_eigh", "is_centrosymmetric"]

# Smaller matrices are decomposed faster than they are taken apart.
SMALLEST = 48
SQRT_HALF = 0.5**0.5

Eigh = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def is_centrosymmetric(a: np.ndarray) -> bool:
    """Whether a real symmetric matrix worth splitting equals its half turn to a few roundings of its largest entry."""
    if len(a) < SMALLEST or a.dtype.kind == "c":
        return False
    tol = 16 * np.finfo(a.dtype).eps * float(np.abs(a[0]).max())
    if not np.abs(a[0] - a[-1, ::-1]).max() <= tol:  # most others fail here
        return False
    half = (len(a) + 1) // 2
    return bool(np.abs(a[:half] - a[: -half - 1 : -1, ::-1]).max() <= tol)


def centrosymmetric_eigh(a: np.ndarray, eigh: Eigh) -> tuple[np.ndarray, np.ndarray]:
    """Ascending eigenvalues and eigenvectors of a centrosymmetric matrix; `eigh` decomposes the halves."""
    n = len(a)
    m = n // 2
    turned = a[:m] + a[: -m - 1 : -1, ::-1]  # twice the upper half, averaged with its other copy
    B, CJ = turned[:, :m] * 0.5, turned[:, : -m - 1 : -1] * 0.5
    even = np.empty((n - m, n - m), a.dtype)
    even[:m, :m] = B + CJ
    if n % 2:
        even[m, :m] = even[:m, m] = turned[:, m] * SQRT_HALF
        even[m, m] = a[m, m]
    w_even, u = eigh(even)
    w_odd, v = eigh(B - CJ)
    w = np.concatenate([w_even, w_odd])
    order = np.argsort(w, kind="stable")
    place = np.empty(n, np.intp)
    place[order] = np.arange(n)
    rows = np.empty((n, n), a.dtype)  # eigenvectors as rows
    u, v = u.T.copy(), v.T * SQRT_HALF
    u[:, :m] *= SQRT_HALF
    rows[place[: n - m], : n - m] = u
    rows[place[: n - m], n - m :] = u[:, :m][:, ::-1]
    rows[place[n - m :], :m] = v
    rows[place[n - m :], n - m :] = -v[:, ::-1]
    if n % 2:
        rows[place[n - m :], m] = 0.0
    return w[order], rows.T
