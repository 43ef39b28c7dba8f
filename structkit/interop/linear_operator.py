"""structkit operators to and from the operators of gpytorch (package ``linear_operator``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from structkit._backend.namespace import cast
from structkit._core.errors import DensificationWarning, ShapeError
from structkit._core.validation import require
from structkit.kron import (
    Dense,
    Diagonal,
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    Product,
    Scaled,
    Sum,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    as_operator,
)
from structkit.kron.dispatch import Rules
from structkit.kron.operators.common import is_complex

__all__ = ["from_linear_operator", "to_linear_operator"]

_TO: Rules[Any] = Rules("to_linear_operator")


def to_linear_operator(op: object) -> Any:
    """Return the operator of gpytorch's ``linear_operator`` package with the same matrix and structure.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(M, N)``
        Torch tensors are shared and keep their gradients; numpy arrays are copied.

    Returns
    -------
    linear_operator.LinearOperator, shape ``(M, N)``

    Raises
    ------
    MissingDependencyError
        If ``linear_operator`` (installed with gpytorch) is missing.

    Warns
    -----
    DensificationWarning
        For structures that ``linear_operator`` does not have: unsymmetric Toeplitz, block tridiagonal, sparse,
        Khatri-Rao, Kronecker sums.

    See Also
    --------
    from_linear_operator : the way back.

    Examples
    --------
    >>> import torch
    >>> from structkit.kron import Identity, Kronecker
    >>> K = Kronecker(torch.eye(2), torch.eye(3)) + 0.1 * Identity(6)
    >>> type(to_linear_operator(K)).__name__
    'KroneckerProductAddedDiagLinearOperator'
    """
    return _TO(as_operator(op), require("linear_operator").operators)


def _tensor(x: object) -> Any:
    """Array as a tensor of the same dtype."""
    from structkit._backend.torch_convert import to_tensor

    return to_tensor(x)


def _number(x: object, like: Any) -> Any:
    """Number as a tensor of no dimensions beside another tensor; tensors keep their gradient."""
    return x if hasattr(x, "requires_grad") else like.new_tensor(x)


@_TO.register(LinearOperator)
def _to_dense(op: LinearOperator, lib: ModuleType) -> Any:
    warnings.warn(
        f"linear_operator has no structure for {op!r}; it becomes a dense matrix.", DensificationWarning, stacklevel=4
    )
    return lib.DenseLinearOperator(_tensor(op.to_dense()))


@_TO.register(Dense)
def _dense(op: Dense, lib: ModuleType) -> Any:
    return lib.DenseLinearOperator(_tensor(op.matrix))


@_TO.register(Triangular)
def _triangular(op: Triangular, lib: ModuleType) -> Any:
    return lib.TriangularLinearOperator(_tensor(op.matrix), upper=not op.lower)


@_TO.register(Diagonal)
def _diagonal(op: Diagonal, lib: ModuleType) -> Any:
    return lib.DiagLinearOperator(_tensor(op.values))


@_TO.register(Identity)
def _identity(op: Identity, lib: ModuleType) -> Any:
    return lib.DiagLinearOperator(_tensor(op.diagonal()))


@_TO.register(Toeplitz)
def _toeplitz(op: Toeplitz, lib: ModuleType) -> Any:
    if not op.is_hermitian:
        return _to_dense(op, lib)
    return lib.ToeplitzLinearOperator(_tensor(op.column))


@_TO.register(Scaled)
def _scaled(op: Scaled, lib: ModuleType) -> Any:
    # the library multiplies in the dtype of the operator, which a complex number would widen
    return _to_dense(op, lib) if is_complex(op.scalar) else _times(_TO(op.op, lib), op.scalar, lib)


def _times(inner: Any, scalar: object, lib: ModuleType) -> Any:
    if isinstance(scalar, (int, float)) and scalar == 1:
        return inner
    return lib.ConstantMulLinearOperator(inner, _number(scalar, inner.to_dense().new_zeros(())))


@_TO.register(Kronecker)
def _kronecker(op: Kronecker, lib: ModuleType) -> Any:
    factors = [_TO(_in_dtype(f, op), lib) for f in op.factors]
    # the scale goes into one small factor: the fast rules of linear_operator look for a bare Kronecker product
    if not (isinstance(op.scale, (int, float)) and op.scale == 1):
        first = factors[0].to_dense()
        factors[0] = lib.DenseLinearOperator(_number(op.scale, first) * first)
    return lib.KroneckerProductLinearOperator(*factors)


def _in_dtype(factor: LinearOperator, op: LinearOperator) -> LinearOperator:
    """Identity factors take the dtype and library of the product they stand in, others its dtype."""
    if isinstance(factor, Identity):
        return Diagonal(factor._diagonal(op._context()))
    return factor if factor.dtype == op.dtype else Dense(cast(factor._dense(op._context()), op.dtype))


@_TO.register(KroneckerPlusDiagonal)
def _kronecker_plus_diagonal(op: KroneckerPlusDiagonal, lib: ModuleType) -> Any:
    kron = _kronecker(op.kron, lib)
    if op.kind == "scalar":
        like = _tensor(op._context().zeros((1,)))
        diag = lib.ConstantDiagLinearOperator(_number(op.shift, like).reshape(1), diag_shape=op.shape[0])
    elif isinstance(op.diag, Kronecker):
        parts = [_tensor(f._diagonal(op._context())) for f in op.diag.factors]
        parts[0] = _number(op.diag.scale, parts[0]) * parts[0]
        diag = lib.KroneckerProductDiagLinearOperator(*(lib.DiagLinearOperator(p) for p in parts))
    else:
        diag = lib.DiagLinearOperator(_tensor(op.diag.diagonal()))
    return lib.KroneckerProductAddedDiagLinearOperator(kron, diag)


@_TO.register(SumOfKroneckers)
def _sum_of_kroneckers(op: SumOfKroneckers, lib: ModuleType) -> Any:
    return lib.SumKroneckerLinearOperator(_kronecker(op.first, lib), _kronecker(op.second, lib))


@_TO.register(LowRankPlusDiagonal)
def _low_rank(op: LowRankPlusDiagonal, lib: ModuleType) -> Any:
    if op.C is not None or is_complex(op.U):  # the library's root is multiplied by its transpose, not conjugated
        return _to_dense(op, lib)
    root = lib.LowRankRootLinearOperator(_tensor(op.U))
    return lib.LowRankRootAddedDiagLinearOperator(root, lib.DiagLinearOperator(_tensor(op.diag)))


@_TO.register(Masked)
def _masked(op: Masked, lib: ModuleType) -> Any:
    base = _TO(op.op, lib)
    row, column = op.masks()
    return lib.MaskedLinearOperator(base, _tensor(row).to(base.device), _tensor(column).to(base.device))


@_TO.register(Sum)
def _sum(op: Sum, lib: ModuleType) -> Any:
    return lib.SumLinearOperator(*(_TO(t, lib) for t in op.terms))


@_TO.register(Product)
def _product(op: Product, lib: ModuleType) -> Any:
    out = _TO(op.terms[0], lib)
    for t in op.terms[1:]:
        out = lib.MatmulLinearOperator(out, _TO(t, lib))
    return out


# ---- the way back -----------------------------------------------------------------------------------
def from_linear_operator(op: Any) -> LinearOperator:
    """Return the structkit operator with the matrix and structure of a ``linear_operator`` operator.

    Parameters
    ----------
    op : linear_operator.LinearOperator, shape ``(M, N)``
        Without batch axes. Tensors are shared and keep their gradients.

    Returns
    -------
    LinearOperator, shape ``(M, N)``

    Raises
    ------
    ShapeError
        If `op` has batch axes.
    TypeError
        If `op` is not an operator of that package.

    Warns
    -----
    DensificationWarning
        For a type without a counterpart.

    Examples
    --------
    >>> import torch
    >>> from linear_operator.operators import DiagLinearOperator, KroneckerProductLinearOperator
    >>> lo = KroneckerProductLinearOperator(torch.eye(2), DiagLinearOperator(torch.ones(3)))
    >>> from_linear_operator(lo).factors
    (Dense(shape=(2, 2), dtype=torch.float32), Diagonal(shape=(3, 3), dtype=torch.float32))
    """
    lib = require("linear_operator")
    if not isinstance(op, lib.LinearOperator):
        raise TypeError(f"op is a {type(op).__name__}; expected an operator of the linear_operator package.")
    if len(op.batch_shape):
        raise ShapeError(f"op has batch shape {tuple(op.batch_shape)}; structkit operators are single matrices.")
    for base in type(op).__mro__:
        rule = _FROM.get(base.__name__)
        if rule is not None:
            return rule(op)
    warnings.warn(f"{type(op).__name__} has no counterpart; it becomes dense.", DensificationWarning, stacklevel=2)
    return Dense(op.to_dense())


def _from_kronecker(lo: Any) -> LinearOperator:
    return Kronecker(*(from_linear_operator(f) for f in lo.linear_ops))


def _from_added_diag(lo: Any) -> LinearOperator:
    return from_linear_operator(lo._linear_op) + from_linear_operator(lo._diag_tensor)


def _from_sum_kronecker(lo: Any) -> LinearOperator:
    return SumOfKroneckers(*(_from_kronecker(k) for k in lo.linear_ops))  # type: ignore[arg-type]


def _from_constant_diag(lo: Any) -> LinearOperator:
    return lo.diag_values.reshape(()) * Identity(lo.diag_shape)


def _from_sum(lo: Any) -> LinearOperator:
    first, *rest = (from_linear_operator(t) for t in lo.linear_ops)
    for t in rest:
        first = first + t
    return first


def _from_low_rank(lo: Any) -> LinearOperator:
    return LowRankPlusDiagonal(lo._linear_op.root.to_dense(), lo._diag_tensor.diagonal())


def _from_matmul(lo: Any) -> LinearOperator:
    return from_linear_operator(lo.left_linear_op) @ from_linear_operator(lo.right_linear_op)  # type: ignore[return-value]


def _from_constant_mul(lo: Any) -> LinearOperator:
    return lo.expanded_constant.reshape(-1)[0] * from_linear_operator(lo.base_linear_op)


_FROM: dict[str, Callable[[Any], LinearOperator]] = {
    "AddedDiagLinearOperator": _from_added_diag,
    "ConstantDiagLinearOperator": _from_constant_diag,
    "ConstantMulLinearOperator": _from_constant_mul,
    "DenseLinearOperator": lambda lo: Dense(lo.tensor),
    "DiagLinearOperator": lambda lo: Diagonal(lo.diagonal()),
    "IdentityLinearOperator": lambda lo: Identity(lo.diag_shape),
    "KroneckerProductDiagLinearOperator": _from_kronecker,
    "KroneckerProductLinearOperator": _from_kronecker,
    "LowRankRootAddedDiagLinearOperator": _from_low_rank,
    "MaskedLinearOperator": lambda lo: Masked(from_linear_operator(lo.base), lo.row_mask, lo.col_mask),
    "MatmulLinearOperator": _from_matmul,
    "SumKroneckerLinearOperator": _from_sum_kronecker,
    "SumLinearOperator": _from_sum,
    "ToeplitzLinearOperator": lambda lo: Toeplitz(lo.column),
    "TriangularLinearOperator": lambda lo: Triangular(lo.to_dense(), lower=not lo.upper),
}
