"""The Tucker form: a weight for every combination of functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit.kron import ttmc_sparse, tucker_at, tucker_mttkrp_sparse
from structkit.tucker.cores import Core, Sums, crossed_means
from structkit.tucker.entries import Block, Entries
from structkit.tucker.functions import Moments
from structkit.tucker.packing import multiplicity, pack, packed_size, unpack

__all__ = ["TuckerCore"]


class TuckerCore(Core):
    """Weights of all combinations: ``sum_a w_a prod_d u_{d a_d}``."""

    def at(self, index: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Mean of the form at entries."""
        return tucker_at(index, self.mean.reshape(self.ranks), matrices)  # type: ignore[return-value]

    def second_at(self, index: np.ndarray, triangles: Sequence[np.ndarray]) -> np.ndarray:
        """Second moment of the form at entries."""
        return tucker_at(index, self._packed_second(), triangles)  # type: ignore[return-value]

    def sums(self, block: Block, moments: Sequence[Moments], mode: int) -> Sums:
        """Sums over a block for one mode."""
        core, means = self.mean.reshape(self.ranks), [m.mean for m in moments]

        def against(values: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
            return np.asarray(tucker_mttkrp_sparse(block.index, values, core, matrices, mode))

        first = against(block.total, means)
        triangles = [m.second for m in moments]
        second = np.asarray(
            tucker_mttkrp_sparse(block.index, block.weight, self._packed_second(), triangles, mode)
        ) / multiplicity(self.ranks[mode])
        if moments[mode].effect is None:
            return Sums(first, second, np.zeros_like(first))
        for j in range(len(moments)):
            if j != mode:
                first -= against(block.weight, crossed_means(moments, j))
        return Sums(first, second, against(block.weight, means))

    def weigh(self, sums: Sums) -> Sums:
        """Nothing is left to do."""
        return sums

    def equations(self, entries: Entries, moments: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
        """Right-hand side and matrix of the normal equations of the weights from a pass over the entries."""
        first, triangles = entries.reduce(_weight_sums, moments)
        return first.ravel(), self._matrix(triangles)

    def _matrix(self, triangles: np.ndarray) -> np.ndarray:
        """The matrix ``(prod R, prod R)`` of its triangles along every mode."""
        tensor = triangles
        for k, r in enumerate(self.ranks):
            # unpacking puts a pair of axes where one was
            tensor = np.moveaxis(unpack(np.moveaxis(tensor, 2 * k, -1), r), (-2, -1), (2 * k, 2 * k + 1))
        d = len(self.ranks)
        order = [*range(0, 2 * d, 2), *range(1, 2 * d, 2)]
        return tensor.transpose(order).reshape(self.mean.size, self.mean.size)

    def _packed_second(self) -> np.ndarray:
        """Second moments of the weights as a core for triangles of second moments of the functions."""
        d = len(self.ranks)
        tensor = self.second.reshape(self.ranks * 2).transpose([k + s * d for k in range(d) for s in (0, 1)])
        for k, r in enumerate(self.ranks):
            pairs = np.moveaxis(tensor, (k, k + 1), (-2, -1))
            packed = pack((pairs + pairs.swapaxes(-1, -2)) / 2) * multiplicity(r)
            tensor = np.moveaxis(packed, -1, k)
        return np.ascontiguousarray(tensor).reshape([packed_size(r) for r in self.ranks])


def _weight_sums(block: Block, moments: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
    """Residuals without main effects against products of all functions, weights against those of second moments."""
    first = _products(block.index, block.total, [m.mean for m in moments])
    if moments[0].effect is not None:
        for j in range(len(moments)):
            first -= _products(block.index, block.weight, crossed_means(moments, j))
    return first, _products(block.index, block.weight, [m.second for m in moments])


def _products(index: np.ndarray, values: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of values times the outer products of the rows of all matrices, shape ``(r_1, ..., r_D)``."""
    mode = min(range(len(matrices)), key=lambda k: len(matrices[k]))
    chain = np.asarray(ttmc_sparse(index, values, matrices, mode))
    product = matrices[mode].T @ chain
    others = [m.shape[1] for k, m in enumerate(matrices) if k != mode]
    return np.moveaxis(product.reshape(-1, *others), 0, mode)
