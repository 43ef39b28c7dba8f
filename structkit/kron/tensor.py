r"""Tensor algebra: products along modes, unfoldings, Khatri-Rao products and MTTKRP.

A tensor of shape ``(n_1, ..., n_D)`` and its flat vector are the same numbers in row-major order, so the product with a
matrix along every mode is a Kronecker matrix-vector product:
``multi_mode_product(X, [A, B]).ravel() == kron(A, B) @ X.ravel()``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from structkit._backend.namespace import (
    as_array,
    as_factors,
    backend_name,
    cast,
    check_memory_beside,
    is_torch,
    result_dtype,
)
from structkit._core.errors import ShapeError
from structkit._core.types import Array, Shape
from structkit._core.validation import check_memory
from structkit.kron._blocks import THREADS_FROM, axis_product, row_product
from structkit.kron._numpy import kron_stack
from structkit.kron.layout import check_axis
from structkit.kron.plan import default_threads

__all__ = ["apply_modes", "mode_product", "multi_mode_product"]


def mode_product(X: Array, A: Array, mode: int) -> Array:
    r"""Multiply a tensor by a matrix along one mode.

    Computes :math:`Y_{\dots j \dots} = \sum_i A_{ji} X_{\dots i \dots}`, the index running over axis `mode`.

    Parameters
    ----------
    X : array, shape ``(n_1, ..., n_D)``
        Tensor; numpy, torch (gradients flow) or dask. Not modified.
    A : array, shape ``(m, n_mode)``
        Matrix of the same library.
    mode : int
        Axis of `X`, counted from 0; negative values count from the end.

    Returns
    -------
    Y : array, shape ``(n_1, ..., m, ..., n_D)``
        Dtype by promotion of `X` and `A`.

    Raises
    ------
    ShapeError
        If `A` is not a matrix, its columns do not match the axis, or the axis does not exist.

    See Also
    --------
    multi_mode_product : several modes at once, in the cheapest order.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(6.0).reshape(2, 3)
    >>> mode_product(X, np.array([[1.0, 1.0]]), 0)
    array([[3., 5., 7.]])
    """
    A = as_array(A, "A")
    if A.ndim != 2:
        raise ShapeError(f"A has shape {tuple(A.shape)}; expected a matrix (m, n).")
    return multi_mode_product(X, [A], modes=[mode])


def multi_mode_product(
    X: Array,
    matrices: Sequence[Array],
    *,
    modes: Sequence[int] | None = None,
    skip: int | Iterable[int] | None = None,
    adjoint: bool = False,
    out: np.ndarray | None = None,
) -> Array:
    r"""Multiply a tensor by one matrix along each of several modes.

    Computes :math:`Y = X \times_1 A_1 \times_2 A_2 \dots \times_D A_D`. The order of the products does not change the
    result; the one that shrinks the tensor most per operation goes first.

    Parameters
    ----------
    X : array, shape ``(n_1, ..., n_D)``
        Tensor; numpy, torch (gradients flow) or dask. Not modified. Axes that `modes` leaves out are batch axes: a
        stack of ``k`` tensors of shape ``(k, n_1, n_2, n_3)`` takes ``modes=[1, 2, 3]``.
    matrices : sequence of array, shapes ``(m_j, n_modes[j])``
        One matrix per mode, of the same library as `X`.
    modes : sequence of int, optional
        Axis of `X` for each matrix, all different. Default: one matrix for every axis, in order.
    skip : int or iterable of int, optional
        Positions in `matrices` that are left out, as alternating least squares needs. Default: none.
    adjoint : bool, default False
        Multiply by the conjugate transposes :math:`A_j^H`; `matrices` then have shapes ``(n_modes[j], m_j)``.
    out : numpy.ndarray, optional
        C-contiguous array of the shape and dtype of the result that receives it (numpy only). It must not share memory
        with `X` or `matrices`.

    Returns
    -------
    Y : array
        `X` with axis ``modes[j]`` of length ``m_j``; dtype by promotion. Never a view of `X`.

    Raises
    ------
    ShapeError
        If a matrix does not fit its axis, an axis is missing or named twice, or `out` does not fit.

    Notes
    -----
    With numpy every product is a matrix product on a view, no axis is moved and two buffers serve the whole chain, so
    the cost is the cost of the multiplications.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.ones((4, 2, 3))
    >>> multi_mode_product(X, [np.ones((1, 2)), np.eye(3)], modes=[1, 2]).shape
    (4, 1, 3)
    """
    X = as_array(X, "X")
    arrays = as_factors(matrices, "matrices")
    backend = backend_name(X, *arrays)
    axes = _check_modes(X, arrays, modes, adjoint)
    left_out = _positions(skip, len(arrays))
    dtype = result_dtype(X, *arrays)
    steps = [
        (axis, _step_matrix(a, dtype, adjoint))
        for j, (axis, a) in enumerate(zip(axes, arrays, strict=True))
        if j not in left_out
    ]
    # A step costs m products for each of the N entries and leaves N m / n of them: sorting by 1/n - 1/m is optimal.
    steps.sort(key=lambda step: _order_key(step[1]))
    x = cast(X, dtype)
    if backend == "torch":
        return _chain_torch(x, steps)
    if backend == "dask":
        return _chain_dask(x, steps)
    return _chain_numpy(np.ascontiguousarray(x), [(axis, np.asarray(a)) for axis, a in steps], out)


def apply_modes(x: Array, matrices: Sequence[Array], *, first: int = 0, adjoint: bool = False) -> Array:
    """Products along the axes from `first` on with arrays that fit and agree in dtype; nothing is checked."""
    steps = [(first + j, _step_matrix(a, a.dtype, adjoint)) for j, a in enumerate(matrices)]
    if is_torch(x):
        return _chain_torch(x, steps)
    return _chain_numpy(np.ascontiguousarray(x), [(axis, np.asarray(a)) for axis, a in steps], None)


def _check_modes(X: Array, arrays: Sequence[Array], modes: Sequence[int] | None, adjoint: bool) -> list[int]:
    """Return the axes of the matrices, all different and of matching length."""
    if modes is None:
        if len(arrays) != X.ndim:
            raise ShapeError(
                f"{len(arrays)} matrices for a tensor of shape {tuple(X.shape)}; expected {X.ndim}, one per axis. "
                "Name the axes with modes=[...] to leave some of them alone."
            )
        axes = list(range(X.ndim))
    else:
        axes = [check_axis(m, X.ndim) for m in modes]
        if len(axes) != len(arrays):
            raise ShapeError(f"{len(arrays)} matrices for {len(axes)} modes; expected one matrix per mode.")
        if len(set(axes)) != len(axes):
            raise ShapeError(f"modes={list(modes)} names an axis twice; multiply the matrices first.")
    for j, (axis, a) in enumerate(zip(axes, arrays, strict=True)):
        if a.ndim != 2:
            raise ShapeError(f"matrices[{j}] has shape {tuple(a.shape)}; expected a matrix (m, n).")
        n = a.shape[0] if adjoint else a.shape[1]
        if n != X.shape[axis]:
            side = "rows" if adjoint else "columns"
            raise ShapeError(
                f"matrices[{j}] has shape {tuple(a.shape)}, so {n} {side}; axis {axis} of the tensor of shape "
                f"{tuple(X.shape)} has length {X.shape[axis]}."
            )
    return axes


def _positions(skip: int | Iterable[int] | None, count: int) -> set[int]:
    """Return the set of positions in a list of `count` matrices that `skip` names."""
    if skip is None:
        return set()
    named = [skip] if isinstance(skip, (int, np.integer)) else list(skip)
    for s in named:
        if not -count <= s < count:
            raise ShapeError(f"skip={s} is no position in a list of {count} matrices.")
    return {int(s) % count for s in named}


def _step_matrix(a: Array, dtype: object, adjoint: bool) -> Array:
    """Return the matrix of one step, a view wherever possible."""
    a = cast(a, dtype)
    if not adjoint:
        return a
    # On real arrays conj() would copy.
    return a.conj().T if "complex" in str(dtype) else a.T


def _order_key(a: Array) -> float:
    """Sort key ``1/n - 1/m`` of a step; the smallest goes first."""
    m, n = a.shape
    return (1 / n if n else math.inf) - (1 / m if m else math.inf)


def _chain_numpy(x: np.ndarray, steps: Sequence[tuple[int, np.ndarray]], out: np.ndarray | None) -> np.ndarray:
    """Apply the steps with two buffers; `x` is C-contiguous and stays untouched.

    Products along all trailing axes of large tensors are left to the plans of Kronecker products, which merge small
    factors and keep the number of calls down where the axes are short.
    """
    shapes = [x.shape]
    for axis, a in steps:
        shapes.append((*shapes[-1][:axis], a.shape[0], *shapes[-1][axis + 1 :]))
    out = _check_out(out, x, shapes[-1], [a for _, a in steps])
    if not steps:
        np.copyto(out, x)
    first = x.ndim - len(steps)
    if len(steps) > 1 and math.prod(x.shape[first:]) >= PLAN_FROM and min(axis for axis, _ in steps) == first:
        return kron_stack([a for _, a in sorted(steps, key=lambda step: step[0])], x, out)
    y = x
    for (axis, a), target in zip(steps, _targets(shapes[1:], out), strict=True):
        _apply(y, a, axis, target)
        y = target
    return out


def _targets(shapes: Sequence[Shape], out: np.ndarray) -> list[np.ndarray]:
    """Return where each step writes: the last into `out`, those before it into scratch and `out` in turn."""
    sizes = [math.prod(s) for s in shapes]
    names = ["out"] if sizes else []
    for size in sizes[-2::-1]:
        if names[0] != "out" and size <= out.size:
            names.insert(0, "out")
        else:
            names.insert(0, "scratch" if names[0] != "scratch" else "second")
    buffers = {"out": out.reshape(-1)}
    for name in {"scratch", "second"} & set(names):
        size = max(s for s, owner in zip(sizes, names, strict=True) if owner == name)
        check_memory(size * out.itemsize, "The workspace of the mode products")
        buffers[name] = np.empty(size, out.dtype)
    return [buffers[name][:size].reshape(s) for name, size, s in zip(names, sizes, shapes, strict=True)]


# Elements of a tensor from which planning its product pays.
PLAN_FROM = 2**15
# Below this many trailing elements one small product per slice costs more in calls than in arithmetic; one long thin
# product per trailing element is 2 to 4 times faster (measured with OpenBLAS; with MKL, in torch, the limit is higher).
_FEW_COLUMNS = 8
_FEW_COLUMNS_TORCH = 32


def _apply(y: np.ndarray, a: np.ndarray, axis: int, target: np.ndarray) -> None:
    """Write the product of `y` with `a` along `axis` into `target`; both are C-contiguous."""
    left, right = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    m, n = a.shape
    threads = default_threads() if y.size >= THREADS_FROM else 1
    if right == 1:
        row_product(y.reshape(left, n), a, target.reshape(left, m), threads)
        return
    y3, target3 = y.reshape(left, n, right), target.reshape(left, m, right)
    if right <= _FEW_COLUMNS and left >= 4 * right:
        for r in range(right):
            np.matmul(y3[:, :, r], a.T, out=target3[:, :, r])
    else:
        axis_product(a, y3, target3, threads)


def _check_out(out: np.ndarray | None, x: np.ndarray, shape: Shape, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return a buffer for the result."""
    if out is None:
        check_memory(math.prod(shape) * x.itemsize, f"A tensor of shape {shape}")
        return np.empty(shape, dtype=x.dtype)
    if (
        not isinstance(out, np.ndarray)
        or out.shape != tuple(shape)
        or out.dtype != x.dtype
        or not out.flags.c_contiguous
    ):
        raise ShapeError(f"out must be a C-contiguous numpy array of shape {tuple(shape)} and dtype {x.dtype}.")
    if any(np.may_share_memory(out, a) for a in (x, *matrices)):
        raise ShapeError("out shares memory with an input; give a separate array.")
    return out


def _chain_torch(x: Array, steps: Sequence[tuple[int, Array]]) -> Array:
    """Apply the steps with torch operations that autograd follows."""
    y = x if steps else x.clone()  # type: ignore[attr-defined]
    rows = {axis: a.shape[0] for axis, a in steps}
    size = math.prod(rows.get(axis, n) for axis, n in enumerate(x.shape))
    check_memory_beside(x, size * x.element_size(), "The result of the mode products")  # type: ignore[attr-defined]
    for axis, a in steps:
        left, right = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
        m, n = a.shape
        shape = (*y.shape[:axis], m, *y.shape[axis + 1 :])
        if left == 1 and right > 1:
            z = a @ y.reshape(n, right)
        elif right < _FEW_COLUMNS_TORCH:
            fibres = y.reshape(left, n, right).transpose(1, 2).reshape(left * right, n)
            z = (fibres @ a.T).reshape(left, right, m).transpose(1, 2)
        else:
            z = a @ y.reshape(left, n, right)
        y = z.reshape(shape)
    return y


def _chain_dask(x: Array, steps: Sequence[tuple[int, Array]]) -> Array:
    """Apply the steps block by block: the axes that are whole first, the others after one rechunk."""
    y, todo = x, list(steps)
    while todo:
        whole = [step for step in todo if len(y.chunks[step[0]]) == 1]  # type: ignore[attr-defined]
        if not whole:
            y = _rechunk(y, [axis for axis, _ in todo])
            continue
        chunks = list(y.chunks)  # type: ignore[attr-defined]
        for axis, a in whole:
            chunks[axis] = (a.shape[0],)
        y = y.map_blocks(_dask_block, whole, dtype=y.dtype, chunks=tuple(chunks))  # type: ignore[attr-defined]
        done = {axis for axis, _ in whole}
        todo = [step for step in todo if step[0] not in done]
    return y


def _rechunk(y: Array, todo: Sequence[int]) -> Array:
    """Make the axes in `todo` whole and cut the others; where those are too short, leave the longest of `todo` cut."""
    free = math.prod(y.shape[axis] for axis in range(y.ndim) if axis not in todo)
    cut = [axis for axis in range(y.ndim) if axis not in todo]
    if len(todo) > 1 and free < y.npartitions:  # type: ignore[attr-defined]
        cut.append(max(todo, key=lambda axis: y.shape[axis]))
    return y.rechunk({axis: "auto" if axis in cut else -1 for axis in range(y.ndim)})  # type: ignore[attr-defined]


def _dask_block(block: np.ndarray, steps: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Mode products of one block."""
    return _chain_numpy(np.ascontiguousarray(block), steps, None)
