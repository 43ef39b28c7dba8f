"""The Khatri-Rao (column-wise Kronecker) operator."""

from __future__ import annotations

import math
from collections.abc import Sequence

from structkit._backend.namespace import cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze

__all__ = ["KhatriRao"]


class KhatriRao(LinearOperator):
    r"""Column-wise Kronecker product :math:`U_1 \odot \dots \odot U_D`, shape ``(prod n_d, R)``.

    Only the products of the two halves of the factors are formed, so that a product with a vector is one matrix
    product and memory grows like the square root of the number of rows.

    Parameters
    ----------
    *matrices : array, shapes ``(n_d, R)``
        First matrix slowest.

    Attributes
    ----------
    matrices : tuple of array

    Raises
    ------
    ShapeError
        If there is no matrix or the numbers of columns differ.

    Examples
    --------
    >>> import numpy as np
    >>> KhatriRao(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [3.0, 4.0]])).to_dense().tolist()
    [[1.0, 2.0], [3.0, 8.0]]
    """

    def __init__(self, *matrices: Array) -> None:
        if not matrices:
            raise ShapeError("KhatriRao needs at least one matrix; got none.")
        self.matrices = tuple(freeze(m, f"matrices[{i}]", 2) for i, m in enumerate(matrices))
        ranks = [m.shape[1] for m in self.matrices]
        if len(set(ranks)) > 1:
            raise ShapeError(f"Matrices have {ranks} columns; a Khatri-Rao product needs the same number in each.")
        sizes = tuple(m.shape[0] for m in self.matrices)
        super().__init__((math.prod(sizes), ranks[0]), self.matrices, row_sizes=sizes)

    def _halves(self, dtype: object) -> tuple[Array, Array]:
        """Khatri-Rao products of the leading and the trailing matrices, of about equal size."""
        sizes = self.row_sizes
        cuts = range(1, len(sizes))
        cut = min(cuts, key=lambda c: math.prod(sizes[:c]) + math.prod(sizes[c:]), default=1)
        matrices = [cast(m, dtype) for m in self.matrices]
        ones = get_namespace(matrices[0]).ones_like(matrices[0][:1, :])
        return _product([ones, *matrices[:cut]]), _product([ones, *matrices[cut:]])

    def _matmat(self, X: Array) -> Array:
        xp = get_namespace(X)
        left, right = self._halves(X.dtype)
        columns = xp.matrix_transpose(X)[..., :, None, :]
        y = (left * columns) @ right.T  # type: ignore[attr-defined]
        return xp.matrix_transpose(y.reshape((*X.shape[:-2], X.shape[-1], self.shape[0])))

    def _adjoint_matmat(self, X: Array) -> Array:
        xp = get_namespace(X)
        left, right = (xp.conj(m) for m in self._halves(X.dtype))
        tensor = xp.matrix_transpose(X).reshape((*X.shape[:-2], X.shape[-1], left.shape[0], right.shape[0]))
        return xp.matrix_transpose(xp.sum((tensor @ right) * left, axis=-2))

    def _conj(self) -> LinearOperator:
        return KhatriRao(*(get_namespace(m).conj(m) for m in self.matrices))

    def _dense(self, ctx: Context) -> Array:
        return _product([cast(m, ctx.dtype) for m in self.matrices])


def _product(matrices: Sequence[Array]) -> Array:
    out = matrices[0]
    for m in matrices[1:]:
        out = (out[:, None, :] * m[None, :, :]).reshape((out.shape[0] * m.shape[0], m.shape[1]))  # type: ignore[arg-type]
    return out
