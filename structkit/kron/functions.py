"""Functions on operators: solve, determinants, decompositions, each by the rule of the operator's structure."""

from __future__ import annotations

from structkit._backend.namespace import is_torch
from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.convert import as_operator
from structkit.kron.rules.tables import (
    CHOLESKY,
    EIGH,
    SLOGDET,
    SQRTM,
    SVD,
    EighResult,
    SlogdetResult,
    SVDResult,
    require_square,
)
from structkit.kron.systems import inverse, kronecker_preconditioner, lstsq, solve

__all__ = [
    "EighResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "diagonal",
    "eigh",
    "inverse",
    "kronecker_preconditioner",
    "logdet",
    "lstsq",
    "slogdet",
    "solve",
    "sqrtm",
    "svd",
    "trace",
]


def slogdet(op: LinearOperator | Array) -> SlogdetResult:
    r"""Sign and logarithm of the absolute determinant.

    For Kronecker products :math:`\log|\det| = \sum_d (N / n_d) \log|\det A_d|`: exact at any scale, symmetric or not,
    and for more rows than fit in memory.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    SlogdetResult
        ``(sign, logabsdet)``.

    Raises
    ------
    ShapeError
        If the operator, or any factor of a Kronecker product, is not square.

    Notes
    -----
    In torch, the logarithm is differentiable, twice where eigenvalues repeat too.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> sign, logabs = slogdet(Kronecker(np.diag([-1.0, 2.0]), np.eye(3)))
    >>> float(sign), round(float(logabs), 6)
    (-1.0, 2.079442)
    """
    A = as_operator(op)
    require_square(A, "slogdet")
    return SLOGDET(A)


def logdet(op: LinearOperator | Array) -> Array:
    """Logarithm of a positive determinant.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    float
        Minus infinity for a singular operator.

    Raises
    ------
    NotPositiveDefiniteError
        If the determinant is negative or complex; use `slogdet`.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(logdet(2 * np.eye(3))), 6)
    2.079442
    """
    sign, logabs = slogdet(op)
    value = complex(sign.detach() if is_torch(sign) else sign)  # type: ignore[attr-defined, arg-type]
    if value != 0 and abs(value - 1) > 1e-6:
        shown = value.real if value.imag == 0 else value
        raise NotPositiveDefiniteError(f"The determinant has sign {shown}; logdet needs a positive one. Use slogdet.")
    return logabs


def eigh(op: LinearOperator | Array) -> EighResult:
    """Eigendecomposition of a Hermitian operator, in operators that keep the structure.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    EighResult
        ``(eigenvalues, eigenvectors)``, both operators: ``eigenvectors @ eigenvalues @ eigenvectors.H`` is `op`.

    Raises
    ------
    NotSymmetricError
        If the operator, or a factor of it, is not Hermitian.

    Notes
    -----
    Eigenvectors have a derivative only where eigenvalues are distinct: in torch, gradients through them are wrong near
    repeated ones. Those of `solve` and `slogdet` do not go through eigenvectors.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> eigh(Kronecker(np.diag([1.0, 2.0]), np.diag([3.0, 5.0]))).eigenvalues.diagonal().tolist()
    [3.0, 5.0, 6.0, 10.0]
    """
    return EIGH(as_operator(op))


def svd(op: LinearOperator | Array) -> SVDResult:
    """Singular value decomposition of economy size, in operators that keep the structure.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(M, N)``

    Returns
    -------
    SVDResult
        ``(U, S, Vh)``, all operators: ``U @ S @ Vh`` is `op`.

    Raises
    ------
    NotFiniteError
        If a factor holds NaN or infinity.

    Notes
    -----
    As for `eigh`, gradients through singular vectors need distinct singular values; those of `lstsq` do not.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> svd(Kronecker(np.ones((2, 1)), np.eye(2))).S.diagonal().round(6).tolist()
    [1.414214, 1.414214]
    """
    return SVD(as_operator(op))


def cholesky(op: LinearOperator | Array) -> LinearOperator:
    """Lower Cholesky factor ``L`` with ``L @ L.H`` equal to the operator.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``
        Hermitian positive definite; for Kronecker products every factor.

    Returns
    -------
    LinearOperator, shape ``(N, N)``

    Raises
    ------
    NotPositiveDefiniteError
        With the smallest eigenvalue, and the factor it belongs to.
    NotSymmetricError
        If the operator is not Hermitian.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> cholesky(Kronecker(4 * np.eye(2), np.eye(2))).diagonal().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    return CHOLESKY(as_operator(op))


def sqrtm(op: LinearOperator | Array) -> LinearOperator:
    """Square root ``S`` with ``S @ S`` equal to the operator.

    The principal root for positive semi-definite operators. For Kronecker products, the product of the factors' roots.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    LinearOperator, shape ``(N, N)``

    Raises
    ------
    NotPositiveDefiniteError
        If a Hermitian operator or factor has a negative eigenvalue.

    Notes
    -----
    In torch, gradients go through the eigenvectors of the factors and need distinct eigenvalues; those of `cholesky`
    do not.

    Examples
    --------
    >>> import numpy as np
    >>> sqrtm(np.diag([4.0, 9.0])).diagonal().tolist()
    [2.0, 3.0]
    """
    return SQRTM(as_operator(op))


def diagonal(op: LinearOperator | Array) -> Array:
    """Diagonal of a square operator.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    array, shape ``(N,)``

    See Also
    --------
    trace : its sum.
    structkit.kron.kron_diag : of a list of factors.

    Examples
    --------
    >>> import numpy as np
    >>> diagonal(np.eye(2)).tolist()
    [1.0, 1.0]
    """
    return as_operator(op).diagonal()


def trace(op: LinearOperator | Array) -> Array:
    """Trace of a square operator.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``

    Returns
    -------
    float

    See Also
    --------
    diagonal : what is summed.
    structkit.kron.kron_trace : of a list of factors.

    Examples
    --------
    >>> import numpy as np
    >>> float(trace(np.eye(2)))
    2.0
    """
    return as_operator(op).trace()
