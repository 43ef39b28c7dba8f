"""Direct solves of Kronecker sums of small dense matrices: one axis, two (Sylvester), three (diagonalisation)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy.linalg

from structkit.kron import multi_mode_product

__all__ = ["KroneckerSumSolver"]

# Beyond this condition number of the eigenvectors, of all axes together, Schur forms replace them.
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
    extremes : tuple of float
        Smallest and largest modulus among them.
    """

    def __init__(self, matrices: Sequence[np.ndarray]) -> None:
        self.matrices = list(matrices)
        if len(self.matrices) == 1:
            # The singular value decomposition, unlike LU factors, says what to do where the matrix is singular.
            self._svd = scipy.linalg.svd(self.matrices[0], full_matrices=False)
        elif len(self.matrices) == 2:
            # A X + X B^T = F: the transpose of B comes from the Schur form of B^T.
            self._schur = [scipy.linalg.schur(m, output="real") for m in (self.matrices[0], self.matrices[1].T)]
        else:
            self._prepare_three()

    @functools.cached_property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of the sum."""
        if len(self.matrices) == 1:
            return np.linalg.eigvals(self.matrices[0])
        if len(self.matrices) == 2:
            values = [_quasi_eigenvalues(T) for T, _ in self._schur]
        else:
            values = self._values
        return functools.reduce(np.add.outer, values)

    @functools.cached_property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest modulus of the eigenvalues; of the singular values for one matrix, which has them."""
        if len(self.matrices) == 1:
            return float(self._svd[1][-1]), float(self._svd[1][0])
        sizes = np.abs(self.eigenvalues)
        return float(sizes.min()), float(sizes.max())

    def _prepare_three(self) -> None:
        """Decompose three matrices."""
        pairs = [np.linalg.eig(m) for m in self.matrices]
        self._vectors = [V for _, V in pairs]
        self._upper: list[tuple[np.ndarray, np.ndarray]] = []
        if math.prod(float(np.linalg.cond(V)) for V in self._vectors) < _WORST:
            self._inverse = [np.linalg.inv(V) for V in self._vectors]
            self._values = [w for w, _ in pairs]
            return
        # The second one is transposed, as in A X + X B^T.
        self._upper = [scipy.linalg.schur(m.T if k == 1 else m, output="complex") for k, m in enumerate(self.matrices)]
        self._values = [np.diag(T) for T, _ in self._upper]

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return the solution for a right-hand side of shape ``(n_1, ..., n_D)``."""
        if len(self.matrices) == 1:
            U, s, Vt = self._svd
            return Vt.T @ ((U.T @ b) / np.maximum(s, 1e-16 * s[0]))  # type: ignore[no-any-return]
        if len(self.matrices) == 2:
            (T, U), (S, V) = self._schur
            x, scale, _ = scipy.linalg.lapack.dtrsyl(T, S, U.T @ b @ V)
            return U @ (x / scale) @ V.T  # type: ignore[no-any-return]
        x = self._solve_triangular(b) if self._upper else self._solve_diagonal(b)
        return x.real if np.isrealobj(b) else x

    def _solve_diagonal(self, b: np.ndarray) -> np.ndarray:
        """Three axes by eigenvectors."""
        tiny = 1e-16 * np.abs(self.eigenvalues).max()
        z = np.asarray(multi_mode_product(b, self._inverse)) / np.where(self.eigenvalues == 0, tiny, self.eigenvalues)
        return np.asarray(multi_mode_product(z, self._vectors))

    def _solve_triangular(self, b: np.ndarray) -> np.ndarray:
        """Three axes by Schur forms: a Sylvester equation for every row of the last one, from the bottom up."""
        (T, U), (S, V), (R, W) = self._upper
        f = np.asarray(multi_mode_product(b.astype(complex), [U.conj().T, V.T, W.conj().T]))
        x = np.empty_like(f)
        for k in reversed(range(len(R))):
            rest = f[:, :, k] - x[:, :, k + 1 :] @ R[k, k + 1 :]
            y, scale, _ = scipy.linalg.lapack.ztrsyl(T + R[k, k] * np.eye(len(T)), S, rest)
            x[:, :, k] = y / scale
        return np.asarray(multi_mode_product(x, [U, V.conj(), W]))


def _quasi_eigenvalues(T: np.ndarray) -> np.ndarray:
    """Eigenvalues of a real Schur form."""
    values = np.diag(T).astype(complex)
    for i in np.flatnonzero(np.diag(T, -1)):
        values[i : i + 2] = np.linalg.eigvals(T[i : i + 2, i : i + 2])
    return values
