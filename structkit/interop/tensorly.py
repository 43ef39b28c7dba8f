"""structkit operators to and from tensorly's CP and Tucker tensors.

Tensorly's arrays are those of its backend, numpy or torch, and every structkit product takes them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from structkit._backend.namespace import as_array
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import require
from structkit.kron import KhatriRao, Kronecker, LinearOperator

__all__ = ["from_tensorly", "to_tensorly"]


def to_tensorly(factors: Sequence[Array], *, core: Array | None = None, weights: Array | None = None) -> Any:
    """Return a tensorly CP tensor, or with a core a Tucker tensor.

    Parameters
    ----------
    factors : sequence of array, shapes ``(n_d, R)`` for CP, ``(n_d, r_d)`` for Tucker
        Shared, not copied. Set tensorly's backend to the library of the arrays before computing with the result.
    core : array, shape ``(r_1, ..., r_D)``, optional
        Core of a Tucker tensor. Default: a CP tensor.
    weights : array, shape ``(R,)``, optional
        Weights of a CP tensor. Default: ones.

    Returns
    -------
    tensorly.cp_tensor.CPTensor or tensorly.tucker_tensor.TuckerTensor

    Raises
    ------
    ShapeError
        If the shapes do not fit, or both `core` and `weights` are given.

    Examples
    --------
    >>> import numpy as np
    >>> to_tensorly([np.ones((2, 3)), np.ones((4, 3))]).shape
    (2, 4)
    """
    arrays = [as_array(f, f"factors[{i}]") for i, f in enumerate(factors)]
    if core is not None and weights is not None:
        raise ShapeError("A tensor has either a core (Tucker) or weights (CP); both were given.")
    ranks = tuple(a.shape[-1] if a.ndim == 2 else None for a in arrays)
    if core is not None:
        tucker = require("tensorly.tucker_tensor")
        core = as_array(core, "core")
        if ranks != tuple(core.shape):
            raise ShapeError(f"core has shape {tuple(core.shape)}; expected the factors' numbers of columns, {ranks}.")
        return tucker.TuckerTensor((core, arrays))
    if None in ranks or len(set(ranks)) != 1:
        raise ShapeError(f"factors have {ranks} columns; a CP tensor needs matrices with the same number in each.")
    if weights is not None and tuple(weights.shape) != (ranks[0],):
        raise ShapeError(f"weights has shape {tuple(weights.shape)}; expected ({ranks[0]},).")
    return require("tensorly.cp_tensor").CPTensor((weights, arrays))


def from_tensorly(tensor: Any) -> tuple[LinearOperator, Array]:
    """Return a tensorly CP or Tucker tensor as an operator applied to a vector.

    Parameters
    ----------
    tensor : CPTensor or TuckerTensor, shape ``(n_1, ..., n_D)``

    Returns
    -------
    op : LinearOperator, shape ``(n_1 * ... * n_D, R)`` or ``(n_1 * ... * n_D, r_1 * ... * r_D)``
        Khatri-Rao product of the factors for CP, Kronecker product for Tucker.
    vector : array, shape ``(R,)`` or ``(r_1 * ... * r_D,)``
        Weights or flattened core: ``(op @ vector).reshape(shape)`` is the tensor.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> import numpy as np
    >>> op, w = from_tensorly(to_tensorly([np.ones((2, 3)), np.ones((4, 3))]))
    >>> (op @ w).reshape(2, 4)[0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    if isinstance(tensor, require("tensorly.cp_tensor").CPTensor):
        op = KhatriRao(*tensor.factors)
        ones = op._context().ones((op.shape[1],))
        return op, ones if tensor.weights is None else as_array(tensor.weights, "weights")
    if isinstance(tensor, require("tensorly.tucker_tensor").TuckerTensor):
        return Kronecker(*tensor.factors), as_array(tensor.core, "core").reshape(-1)
    raise TypeError(f"tensor is a {type(tensor).__name__}; expected a tensorly CPTensor or TuckerTensor.")
