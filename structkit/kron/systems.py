"""Linear systems of operators: inverses prepared once, solutions, least squares."""

from __future__ import annotations

from structkit._backend.namespace import as_array
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import check_vector
from structkit.kron import rules as _rules  # noqa: F401  (registers the rules)
from structkit.kron._implicit import detached
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.convert import as_operator
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.inverses import Inverse
from structkit.kron.rules.inverse import ConjugateGradients, cholesky_inverse
from structkit.kron.rules.preconditioners import kronecker_preconditioner
from structkit.kron.rules.tables import INVERSE, PINV, require_square

__all__ = ["inverse", "kronecker_preconditioner", "lstsq", "solve"]

METHODS = (None, "cholesky", "cg", "dense", "pinv")


def inverse(
    op: LinearOperator | Array,
    *,
    method: str | None = None,
    rcond: float | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
) -> LinearOperator:
    r"""Prepare the inverse of an operator: factorise once, apply many times.

    The result is an operator; ``inverse(op) @ b`` solves with it. Kronecker products invert factor by factor,
    :math:`(A \otimes B)^{-1} = A^{-1} \otimes B^{-1}`, a product plus a scalar by eigenvectors of the factors.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``
    method : {None, "cholesky", "cg", "dense", "pinv"}
        None takes the rule of the operator's type: exact for every structure but a Kronecker product plus an
        arbitrary diagonal and `Masked`, for which it means conjugate gradients with a Kronecker preconditioner.
        "cholesky" needs a positive definite operator and fails honestly without; "cg" needs one too and iterates;
        "dense" forms the matrix; "pinv" is the pseudo-inverse, also of rectangular operators.
    rcond : float, optional
        For "pinv": singular values below `rcond` times the largest count as zero, per factor (dimensionless).
        Default: size times machine epsilon.
    tol : float
        For iterative solves: relative residual to reach (dimensionless). Default 1e-10, near what double precision
        can reach.
    max_iter : int, optional
        For iterative solves, as in `cg`.

    Returns
    -------
    LinearOperator, shape ``(N, N)``

    Raises
    ------
    ShapeError
        If the operator, or any factor of a Kronecker product, is not square.
    SingularFactorError
        If it is singular to working precision; names the factor and its reciprocal condition.
    NotPositiveDefiniteError, NotSymmetricError
        If a rule that needs positive definiteness or symmetry does not find it.

    See Also
    --------
    solve : one right-hand side.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> P = inverse(Kronecker(2 * np.eye(2), np.eye(3)))
    >>> (P @ np.ones(6)).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    A = as_operator(op)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {METHODS}.")
    if method == "pinv":
        return PINV(A, rcond)
    require_square(A, "inverse")
    if method == "cholesky":
        return cholesky_inverse(A)
    if method == "dense":
        return INVERSE(Dense(A.to_dense()))
    if method == "cg":
        try:
            preconditioner: LinearOperator | None = kronecker_preconditioner(detached(A))
        except TypeError:
            preconditioner = None
        return Inverse(A, ConjugateGradients(A, preconditioner, tol, max_iter))
    return INVERSE(A, tol=tol, max_iter=max_iter)


def solve(
    op: LinearOperator | Array,
    b: Array,
    *,
    method: str | None = None,
    rcond: float | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
) -> Array:
    """Solve a linear system with the rule of the operator's structure.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``
    b : array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``
        Right-hand sides; not modified.
    method : {None, "cholesky", "cg", "dense", "pinv"}
        As for `inverse`. For repeated solves keep ``inverse(op)``: this function factorises each time.
    rcond : float, optional
        As for `inverse`.
    tol : float
        As for `inverse`. Default 1e-10.
    max_iter : int, optional
        As for `inverse`.

    Returns
    -------
    array, shape as `b`

    Raises
    ------
    ShapeError, SingularFactorError, NotPositiveDefiniteError, NotSymmetricError
        As for `inverse`.

    Warns
    -----
    ConvergenceWarning
        If an iterative solve does not reach `tol`.
    DensificationWarning
        If no rule keeps the structure.

    Notes
    -----
    In torch, gradients flow to `b` and to everything the operator is made of, numbers in front of it included. They
    are found by further solves (the implicit function theorem), never by differentiating eigenvectors or iterations:
    repeated eigenvalues do no harm, and the solution may be differentiated again.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> solve(Kronecker(np.diag([1.0, 2.0]), np.diag([1.0, 4.0])), np.ones(4)).tolist()
    [1.0, 0.25, 0.5, 0.125]
    """
    A = as_operator(op)
    rhs = as_array(b, "b")
    rows = rhs.shape[0] if rhs.ndim == 1 else rhs.shape[-2] if rhs.ndim else None
    if rows != A.shape[0]:
        raise ShapeError(f"b has shape {tuple(rhs.shape)}; expected {A.shape[0]} rows, as {A!r}.")
    return inverse(A, method=method, rcond=rcond, tol=tol, max_iter=max_iter) @ rhs  # type: ignore[return-value]


def lstsq(op: LinearOperator | Array, b: Array, *, rcond: float | None = None) -> Array:
    r"""Return the minimum-norm least-squares solution.

    For Kronecker products the pseudo-inverse is the product of the factors' pseudo-inverses, so rectangular and
    singular factors cost no more than regular ones.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(M, N)``
    b : array, shape ``(M,)``, ``(M, k)`` or ``(..., M, k)``
    rcond : float, optional
        Singular values below `rcond` times the largest count as zero; for Kronecker products in each factor
        (dimensionless). Default: the larger size times machine epsilon.

    Returns
    -------
    array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``

    Raises
    ------
    ShapeError
        If `b` has another number of rows than `op`.
    NotFiniteError
        If `op` holds NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> K = Kronecker(np.array([[1.0], [1.0]]), np.eye(2))
    >>> lstsq(K, np.array([1.0, 2.0, 3.0, 4.0])).round(12).tolist()
    [2.0, 3.0]
    """
    P = inverse(op, method="pinv", rcond=rcond)
    b = as_array(b, "b")
    check_vector(b, P.column_sizes, "b")
    return P @ b  # type: ignore[return-value]
