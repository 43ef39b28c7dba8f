"""Layout of tensors: unfoldings and vectors, row-major unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from structkit._backend.namespace import as_array, get_namespace, is_torch
from structkit._core.errors import ShapeError
from structkit._core.types import Array

__all__ = ["check_axis", "fold", "unfold", "unvec", "vec"]


def check_axis(mode: int, ndim: int) -> int:
    """Return `mode` as a non-negative axis."""
    if not -ndim <= mode < ndim:
        raise ShapeError(f"mode {mode} does not exist in a tensor with {ndim} axes; expected {-ndim} <= mode < {ndim}.")
    return mode % ndim


def unfold(X: Array, mode: int) -> Array:
    """Unfold a tensor into a matrix whose rows run over one mode.

    Column order is row-major over the remaining axes, as in tensorly (Kolda and Bader [1]_ use column-major).

    Parameters
    ----------
    X : array, shape ``(n_1, ..., n_D)``
        Tensor with at least one axis.
    mode : int
        Axis that becomes the rows; negative values count from the end.

    Returns
    -------
    M : array, shape ``(n_mode, N / n_mode)``
        A view where the memory layout allows it, else a copy.

    See Also
    --------
    fold : the inverse.

    References
    ----------
    .. [1] Kolda and Bader, "Tensor decompositions and applications", SIAM Review 51, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> unfold(np.arange(6).reshape(2, 3), 1)
    array([[0., 3.],
           [1., 4.],
           [2., 5.]])
    """
    X = as_array(X, "X")
    axis = check_axis(mode, X.ndim)
    columns = math.prod(X.shape[:axis]) * math.prod(X.shape[axis + 1 :])
    moved = X.movedim(axis, 0) if is_torch(X) else get_namespace(X).moveaxis(X, axis, 0)  # type: ignore[attr-defined]
    return moved.reshape(X.shape[axis], columns)


def fold(M: Array, mode: int, shape: Sequence[int]) -> Array:
    """Fold a matrix back into the tensor whose unfolding it is.

    Parameters
    ----------
    M : array, shape ``(n_mode, N / n_mode)``
        Unfolding along `mode`.
    mode : int
        Axis of the tensor that the rows of `M` run over.
    shape : sequence of int
        Shape ``(n_1, ..., n_D)`` of the tensor.

    Returns
    -------
    X : array, shape `shape`
        A view of `M` where possible.

    Raises
    ------
    ShapeError
        If `M` is not the unfolding of a tensor of this shape.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(24.0).reshape(2, 3, 4)
    >>> bool((fold(unfold(X, 1), 1, X.shape) == X).all())
    True
    """
    M = as_array(M, "M")
    shape = tuple(int(s) for s in shape)
    axis = check_axis(mode, len(shape))
    rest = shape[:axis] + shape[axis + 1 :]
    expected = (shape[axis], math.prod(rest))
    if tuple(M.shape) != expected:
        raise ShapeError(
            f"M has shape {tuple(M.shape)}; the mode-{axis} unfolding of a tensor of shape {shape} has {expected}."
        )
    X = M.reshape(shape[axis], *rest)
    return X.movedim(0, axis) if is_torch(X) else get_namespace(X).moveaxis(X, 0, axis)  # type: ignore[attr-defined]


def vec(X: Array, order: str = "C") -> Array:
    r"""Flatten a tensor into a vector.

    Parameters
    ----------
    X : array, shape ``(n_1, ..., n_D)``
        Tensor.
    order : {"C", "F"}, default "C"
        "C", the convention of the whole package, lets the last axis run fastest:
        ``kron(A, B) @ vec(X) == vec(A @ X @ B.T)``. "F" lets the first axis run fastest, as papers and MATLAB do:
        ``kron(A, B) @ vec(X, "F") == vec(B @ X @ A.T, "F")``.

    Returns
    -------
    x : array, shape ``(N,)``
        A view where possible.

    See Also
    --------
    unvec : the inverse.

    Examples
    --------
    >>> import numpy as np
    >>> vec(np.array([[1.0, 2.0], [3.0, 4.0]]), order="F")
    array([1., 3., 2., 4.])
    """
    X = as_array(X, "X")
    return _reversed(X, order).reshape(math.prod(X.shape))


def unvec(x: Array, shape: Sequence[int], order: str = "C") -> Array:
    """Reshape a vector into the tensor whose `vec` it is.

    Parameters
    ----------
    x : array, shape ``(N,)``
        Vector.
    shape : sequence of int
        Shape of the tensor, with ``N`` elements.
    order : {"C", "F"}, default "C"
        Order in which `x` runs through the tensor, as in `vec`.

    Returns
    -------
    X : array, shape `shape`
        A view where possible.

    Raises
    ------
    ShapeError
        If `x` is not a vector of ``prod(shape)`` elements.

    Examples
    --------
    >>> import numpy as np
    >>> unvec(np.arange(4.0), (2, 2), order="F")
    array([[0., 2.],
           [1., 3.]])
    """
    x = as_array(x, "x")
    shape = tuple(int(s) for s in shape)
    if x.ndim != 1 or x.shape[0] != math.prod(shape):
        raise ShapeError(f"x has shape {tuple(x.shape)}; expected ({math.prod(shape)},) for a tensor of shape {shape}.")
    return _reversed(x.reshape(shape if order == "C" else shape[::-1]), order)


def _reversed(X: Array, order: str) -> Array:
    """Reverse the axes for column-major order."""
    if order not in ("C", "F"):
        raise ValueError(f'order must be "C" or "F"; got {order!r}.')
    if order == "C":
        return X
    axes = tuple(range(X.ndim))[::-1]
    return X.permute(axes) if is_torch(X) else X.transpose(axes)  # type: ignore[attr-defined]
