"""Direct solves of Kronecker sums of small dense matrices: one axis, two (Sylvester), three (diagonalisation)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from structkit.kron import multi_mode_product

__all__ = ["KroneckerSumSolver"]

# Eigenvectors with a larger condition number than this lose too many digits.
_WORST = 1e7


class KroneckerSumSolver:
    """Solve ``sum_d (I x ... x A_d x ... x I) x = b`` many times.

    Parameters
    ----------
    matrices : sequence of array, shapes ``(n_d, n_d)``
        One to three matrices, in general not symmetric.

    Attributes
    ----------
    eigenvalues : array, shape ``(n_1, ..., n_D)``
        Eigenvalues of the sum.
    smallest : float
        Smallest modulus among them.
    """

    def __init__(self, matrices: Sequence[np.ndarray]) -> None:
        self.matrices = list(matrices)
        if len(self.matrices) == 1:
            # The singular value decomposition, unlike LU factors, says what to do where the matrix is singular.
            self._svd = scipy.linalg.svd(self.matrices[0], full_matrices=False)
            values = [np.linalg.eigvals(self.matrices[0])]
        elif len(self.matrices) == 2:
            # A X + X B^T = F: the transpose of B comes from the Schur form of B^T.
            self._schur = [scipy.linalg.schur(m, output="real") for m in (self.matrices[0], self.matrices[1].T)]
            values = [_quasi_eigenvalues(T) for T, _ in self._schur]
        else:
            self._eig = [np.linalg.eig(m) for m in self.matrices]
            self._inverse = [np.linalg.inv(V) for _, V in self._eig]
            values = [w for w, _ in self._eig]
        total = values[0]
        for v in values[1:]:
            total = np.add.outer(total, v)
        self.eigenvalues = total
        self.smallest = float(np.abs(total).min())

    @property
    def is_accurate(self) -> bool:
        """Whether one solve keeps most digits."""
        if len(self.matrices) < 3:
            return True
        return all(
            np.linalg.norm(V, 2) * np.linalg.norm(i, 2) < _WORST
            for (_, V), i in zip(self._eig, self._inverse, strict=True)
        )

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return the solution for a right-hand side of shape ``(n_1, ..., n_D)``."""
        if len(self.matrices) == 1:
            U, s, Vt = self._svd
            return Vt.T @ ((U.T @ b) / np.maximum(s, 1e-16 * s[0]))  # type: ignore[no-any-return]
        if len(self.matrices) == 2:
            (T, U), (S, V) = self._schur
            x, scale, _ = scipy.linalg.lapack.dtrsyl(T, S, U.T @ b @ V)
            return U @ (x / scale) @ V.T  # type: ignore[no-any-return]
        tiny = 1e-16 * np.abs(self.eigenvalues).max()
        z = np.asarray(multi_mode_product(b, self._inverse)) / np.where(self.eigenvalues == 0, tiny, self.eigenvalues)
        x = np.asarray(multi_mode_product(z, [V for _, V in self._eig]))
        return x.real if np.isrealobj(b) else x


def _quasi_eigenvalues(T: np.ndarray) -> np.ndarray:
    """Eigenvalues of a real Schur form."""
    values = np.diag(T).astype(complex)
    for i in np.flatnonzero(np.diag(T, -1)):
        values[i : i + 2] = np.linalg.eigvals(T[i : i + 2, i : i + 2])
    return values
