"""structkit operators in scipy's iterative methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structkit.kron import as_operator

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

__all__ = ["as_scipy"]


def as_scipy(op: object) -> ScipyLinearOperator:
    """Return a `scipy.sparse.linalg.LinearOperator` with the action of an operator.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(M, N)``
        With numpy arrays.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, shape ``(M, N)``
        With ``matvec``, ``matmat`` and their adjoints, for `eigsh`, `lsqr`, `gmres` and the like.

    Raises
    ------
    BackendMismatchError
        If the operator holds torch tensors.
    SizeError
        If a vector of its length does not fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import eigsh
    >>> from structkit.kron import Kronecker
    >>> K = Kronecker(np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 2.0, 5.0]))
    >>> float(eigsh(as_scipy(K), k=1, return_eigenvectors=False, v0=np.ones(9))[0].round(8))
    15.0
    """
    return as_operator(op).as_scipy()
