"""Approximate inverses that keep Kronecker structure."""

from __future__ import annotations

import math

from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import as_float
from structkit.kron.operators.diagonal import Diagonal
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.masked import Masked
from structkit.kron.rules.tables import INVERSE

__all__ = ["closest_product", "full_grid_inverse", "kronecker_preconditioner"]


def closest_product(op: KroneckerPlusDiagonal) -> KroneckerPlusDiagonal:
    r"""Replace an arbitrary positive diagonal by the product over axes closest to it in logarithms.

    The fit of :math:`\log d` by main effects is a mean over the other axes, one per axis; a diagonal that is a
    product is reproduced exactly. With zeros on the diagonal its mean is used, as a multiple of the identity.
    """
    ctx = op._context()
    xp, sizes = ctx.xp, op.kron.row_sizes
    d = xp.real(op.diag.diagonal()) if xp.isdtype(op.dtype, "complex floating") else op.diag.diagonal()
    if op.shape[0] == 0:
        return KroneckerPlusDiagonal(op.kron, 1.0)
    smallest, mean = as_float(xp.min(d)), as_float(xp.mean(d))
    if smallest < 0:
        raise NotPositiveDefiniteError(
            f"The diagonal reaches {smallest:.3e}; conjugate gradients need it non-negative. "
            'Use method="dense" for an indefinite system.'
        )
    if smallest == 0:
        return KroneckerPlusDiagonal(op.kron, mean)
    logs: Array = xp.log(d).reshape(sizes)
    overall = xp.mean(logs)
    factors = []
    for axis in range(len(sizes)):
        others = tuple(a for a in range(len(sizes)) if a != axis)
        effect = (xp.mean(logs, axis=others) if others else logs) - overall
        factors.append(Diagonal(xp.exp(effect)))
    return KroneckerPlusDiagonal(op.kron, Kronecker(*factors, scale=math.exp(as_float(overall))))


def full_grid_inverse(op: Masked) -> LinearOperator:
    """Inverse on the full grid, restricted to the observed cells: positive definite, exact where all are observed."""
    full = op.op
    if isinstance(full, KroneckerPlusDiagonal) and full.kind == "arbitrary":
        full = closest_product(full)
    return op.with_operator(INVERSE(full))


def kronecker_preconditioner(op: LinearOperator) -> LinearOperator:
    """Prepare an approximate inverse that keeps Kronecker structure, for `cg`.

    Parameters
    ----------
    op : Masked or KroneckerPlusDiagonal, shape ``(N, N)``
        For `Masked`, the inverse on the full grid restricted to the observed cells; for a Kronecker product plus an
        arbitrary diagonal, the exact inverse with the closest diagonal that is a product over axes.

    Returns
    -------
    LinearOperator, shape ``(N, N)``
        Hermitian positive definite. Preparing it costs the factorisations; applying it two products per call.

    Raises
    ------
    TypeError
        For an operator without such a preconditioner.
    NotPositiveDefiniteError
        If the full operator is not positive definite (no noise and a singular kernel matrix, for example).

    Notes
    -----
    For `Masked` the preconditioned matrix has as many eigenvalues different from one as there are hidden cells. It pays
    where few cells are hidden; with most of them hidden, or in large holes, the iteration is slow, and
    `structkit.gp.GridGP`, which iterates on coefficients, is the tool.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Identity, Kronecker, Masked, cg
    >>> K = Kronecker(np.eye(2), np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> A = Masked(K, np.array([True, True, False, True])) + 0.5 * Identity(3)
    >>> cg(A, np.ones(3), preconditioner=kronecker_preconditioner(A)).converged
    True
    """
    if isinstance(op, Masked):
        return full_grid_inverse(op)
    if isinstance(op, KroneckerPlusDiagonal):
        return INVERSE(closest_product(op) if op.kind == "arbitrary" else op)
    raise TypeError(f"{type(op).__name__} has no Kronecker preconditioner; expected Masked or KroneckerPlusDiagonal.")
