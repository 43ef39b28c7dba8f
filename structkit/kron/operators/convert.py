"""From arrays, sparse matrices and operators to operators."""

from __future__ import annotations

import sys

from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import freeze
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.sparse import Sparse

__all__ = ["as_factor", "as_operator"]


def as_operator(x: object) -> LinearOperator:
    """Return `x` as an operator: operators as they are, scipy sparse matrices as Sparse, arrays as Dense.

    Parameters
    ----------
    x : LinearOperator, scipy sparse matrix or array, shape ``(M, N)``

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError
        If `x` holds no numbers.
    ShapeError
        If `x` has another number of axes than two.

    Examples
    --------
    >>> import numpy as np
    >>> as_operator(np.eye(2))
    Dense(shape=(2, 2), dtype=float64)
    """
    if isinstance(x, LinearOperator):
        return x
    sparse = sys.modules.get("scipy.sparse")  # a sparse matrix can only come from a loaded scipy.sparse
    if sparse is not None and sparse.issparse(x):
        return Sparse(x)
    return Dense(x)  # type: ignore[arg-type]


def as_factor(x: object, i: int) -> LinearOperator:
    """Return `x`, factor `i` of a product, as an operator; errors about arrays name it."""
    sparse = sys.modules.get("scipy.sparse")
    if isinstance(x, LinearOperator) or (sparse is not None and sparse.issparse(x)):
        return as_operator(x)
    if isinstance(x, (list, tuple)) and any(getattr(a, "ndim", 0) == 2 for a in x):
        raise TypeError(
            f"factors[{i}] is a list of {len(x)} matrices; pass them one by one, as in Kronecker(*factors)."
        )
    return Dense(freeze(x, f"factors[{i}]", 2))
