r"""Values of CP tensors at observed entries, their gradients, and the sparse MTTKRP.

An entry list `index` has shape ``(S, D)``: row ``s`` holds the position of one observed entry along each of the modes.
Nothing here forms the full tensor: time and memory grow with the number of entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit._backend.kernels import kernels, packed
from structkit._backend.namespace import as_array, as_factors, backend_name, cast, is_torch, result_dtype
from structkit._core.errors import BackendMismatchError, IndexRangeError, ShapeError
from structkit._core.types import Array
from structkit.kron.layout import check_axis

__all__ = ["CPGradient", "check_index", "check_length", "cp_at", "cp_at_gradient", "mttkrp_sparse", "no_dask"]


@dataclass(frozen=True)
class CPGradient:
    """Gradient of a scalar function of `cp_at` values.

    Attributes
    ----------
    matrices : list of array, shapes ``(n_d, R)``
        Gradient with respect to each matrix.
    weights : array, shape ``(R,)``
        Gradient with respect to the weights (at weights one, if none were given).
    """

    matrices: list[Array]
    weights: Array


def cp_at(index: Array, matrices: Sequence[Array], weights: Array | None = None) -> Array:
    r"""Evaluate a CP tensor at given entries.

    Computes :math:`y_s = \sum_r w_r \prod_d A_d[i_{sd}, r]` in :math:`O(S D R)` time.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Entries; numpy, or torch with torch matrices.
    matrices : sequence of array, shapes ``(n_d, R)``
        Factor matrices; numpy or torch (gradients flow to matrices and weights).
    weights : array, shape ``(R,)``, optional
        Weight of each component. Default: ones.

    Returns
    -------
    y : array, shape ``(S,)``
        Dtype by promotion of `matrices` and `weights`.

    Raises
    ------
    ShapeError
        If the ranks differ, or `index` does not have one column per matrix.
    IndexRangeError
        If an index is negative or too large; the message names its row and mode.

    See Also
    --------
    cp_at_gradient : derivatives with respect to matrices and weights.
    structkit.kron.tucker_at : the same for a Tucker tensor.

    Examples
    --------
    >>> import numpy as np
    >>> A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> cp_at([[0, 0], [1, 1]], [A, B])
    array([3., 4.])
    """
    arrays, w, dtype = _cp_inputs(matrices, weights)
    sizes = [a.shape[0] for a in arrays]
    if is_torch(arrays[0]):
        from structkit._backend import torch_scatter

        return torch_scatter.cp_at(check_index(index, sizes, arrays[0]), [cast(a, dtype) for a in arrays], w)
    idx = np.asarray(check_index(index, sizes, validate=False))
    rows_of = _stack(idx, [np.asarray(a) for a in arrays], dtype, None if w is None else np.asarray(w))
    out = np.empty(len(idx), dtype=rows_of.rows.dtype)
    bad = kernels().cp_at(rows_of.index, rows_of.sizes, rows_of.rows, rows_of.offsets, out)
    _raise_invalid(idx, sizes, bad)
    return out


def cp_at_gradient(
    index: Array, matrices: Sequence[Array], cotangent: Array, weights: Array | None = None
) -> CPGradient:
    r"""Differentiate a function of `cp_at` values with respect to matrices and weights.

    With :math:`g_s = \partial L / \partial y_s` it computes, for every mode ``d`` in one pass over the entries,
    :math:`\partial L / \partial A_d[i, r] = w_r \sum_{s: i_{sd} = i} g_s \prod_{e \ne d} A_e[i_{se}, r]`.
    For complex arrays the products are conjugated, which is torch's convention.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Entries.
    matrices : sequence of array, shapes ``(n_d, R)``
        Factor matrices.
    cotangent : array, shape ``(S,)``
        Derivative of the function with respect to each value.
    weights : array, shape ``(R,)``, optional
        Weight of each component. Default: ones.

    Returns
    -------
    CPGradient
        Gradients of the same shapes as `matrices` and `weights`.

    Raises
    ------
    ShapeError
        If shapes disagree.
    IndexRangeError
        If an index lies outside its axis.

    Examples
    --------
    >>> import numpy as np
    >>> A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> cp_at_gradient([[0, 0], [1, 1]], [A, B], np.array([1.0, 1.0])).matrices[0]
    array([[1., 1.],
           [0., 1.]])
    """
    arrays, w, dtype = _cp_inputs(matrices, weights)
    g = check_length(cotangent, "cotangent", arrays[0])
    sizes = [a.shape[0] for a in arrays]
    if is_torch(arrays[0]):
        from structkit._backend import torch_scatter

        idx, dtype = (
            check_index(index, sizes, arrays[0], len(g)),
            result_dtype(g, *arrays, *(() if w is None else (w,))),
        )
        return CPGradient(*torch_scatter.cp_gradient(idx, [cast(a, dtype) for a in arrays], cast(g, dtype), w))
    dtype = np.result_type(dtype, g.dtype)  # type: ignore[arg-type, call-overload]
    idx = np.asarray(check_index(index, sizes, count=len(g)))
    conjugate = [a.conj() for a in arrays]
    rows, offsets = _concatenate(conjugate, dtype)
    grad = np.zeros_like(rows)
    kernels().cp_gradient(idx, packed(g, dtype), rows, offsets, grad)
    parts = np.split(grad, offsets[1:])
    # The kernel leaves the weights out: summing the first matrix against its own gradient is the weights' gradient.
    grad_w = np.einsum("ir,ir->r", conjugate[0], parts[0])
    if w is not None:
        grad *= w.conj()
    return CPGradient(list(parts), grad_w)


def mttkrp_sparse(index: Array, values: Array, matrices: Sequence[Array], mode: int) -> Array:
    r"""Multiply the unfolding of a sparse tensor by the Khatri-Rao product of all matrices but one.

    Computes :math:`M[i, r] = \sum_{s: i_{s,\mathrm{mode}} = i} v_s \prod_{d \ne \mathrm{mode}} A_d[i_{sd}, r]`. Entries
    that occur twice are added.

    Parameters
    ----------
    index : integer array, shape ``(S, D)``
        Positions of the nonzero entries.
    values : array, shape ``(S,)``
        Their values.
    matrices : sequence of array, shapes ``(n_d, R)``
        One matrix per mode, numpy or torch; of ``matrices[mode]`` only the shape is used.
    mode : int
        Mode that stays, counted from 0.

    Returns
    -------
    M : array, shape ``(n_mode, R)``
        Dtype by promotion. Nothing is conjugated.

    Raises
    ------
    ShapeError
        If shapes disagree.
    IndexRangeError
        If an index lies outside its axis.

    See Also
    --------
    structkit.kron.mttkrp : the same for a dense tensor.

    Examples
    --------
    >>> import numpy as np
    >>> mttkrp_sparse([[0, 1], [1, 0]], np.array([2.0, 5.0]), [np.zeros((2, 1)), np.array([[10.0], [1.0]])], 0)
    array([[ 2.],
           [50.]])
    """
    arrays, _, dtype = _cp_inputs(matrices, None)
    v = check_length(values, "values", arrays[0])
    axis = check_axis(mode, len(arrays))
    sizes = [a.shape[0] for a in arrays]
    if is_torch(arrays[0]):
        from structkit._backend import torch_scatter

        idx, dtype = check_index(index, sizes, arrays[0], len(v)), result_dtype(v, *arrays)
        return torch_scatter.mttkrp_sparse(idx, cast(v, dtype), [cast(a, dtype) for a in arrays], axis)
    dtype = np.result_type(dtype, v.dtype)  # type: ignore[arg-type, call-overload]
    idx = np.asarray(check_index(index, sizes, count=len(v), validate=False))
    out = np.zeros((sizes[axis], arrays[0].shape[1]), dtype=dtype)
    values = packed(v, dtype)
    part = _stack(idx, [np.asarray(a) for a in arrays], dtype, None, unused=axis)
    bad = kernels().mttkrp_sparse(part.index, part.sizes, values, part.rows, part.offsets, axis, out)
    _raise_invalid(idx, sizes, bad)
    return out


def _cp_inputs(matrices: Sequence[Array], weights: Array | None) -> tuple[list[Array], Array | None, object]:
    """Check matrices and weights of one rank; return them with their common dtype."""
    arrays = as_factors(matrices, "matrices")
    no_dask(*arrays)
    rank = arrays[0].shape[-1]
    for d, a in enumerate(arrays):
        if a.ndim != 2 or a.shape[1] != rank:
            raise ShapeError(
                f"matrices[{d}] has shape {tuple(a.shape)}; expected (n_{d}, {rank}): one column per component."
            )
    if weights is None:
        return arrays, None, result_dtype(*arrays)
    w = as_array(weights, "weights")
    backend_name(w, *arrays)
    if tuple(w.shape) != (rank,):
        raise ShapeError(f"weights has shape {tuple(w.shape)}; expected ({rank},), one per column of the matrices.")
    return arrays, w, result_dtype(w, *arrays)


def no_dask(*arrays: Array) -> None:
    """Raise for dask arrays, which only the products along modes accept."""
    if backend_name(*arrays) == "dask":
        raise TypeError("This needs arrays in memory; got a dask array. Call .compute() on it first.")


def check_length(values: Array, name: str, like: Array) -> Array:
    """Return `values` as a vector of the library of `like`."""
    v = as_array(values, name)
    backend_name(v, like)
    if v.ndim != 1:
        raise ShapeError(f"{name} has shape {tuple(v.shape)}; expected a vector with one number per entry.")
    return v


def check_index(
    index: Array, sizes: Sequence[int], like: Array | None = None, count: int | None = None, *, validate: bool = True
) -> Array:
    """Return `index` as a contiguous ``int64`` array ``(S, D)`` in the library of `like`; every entry must exist."""
    if like is not None and is_torch(like):
        from structkit._backend import torch_scatter

        idx: Array = torch_scatter.as_index(index, like)
    else:
        idx = _numpy_index(index)
    if idx.ndim != 2 or idx.shape[1] != len(sizes):
        raise ShapeError(f"index has shape {tuple(idx.shape)}; expected (S, {len(sizes)}): one column per mode.")
    if count is not None and idx.shape[0] != count:
        raise ShapeError(f"index has {idx.shape[0]} rows for {count} values; expected one row per value.")
    if validate:
        _raise_invalid(idx, sizes, _first_invalid(idx, sizes))
    return idx


def _raise_invalid(idx: Array, sizes: Sequence[int], bad: int) -> None:
    """Raise if `bad`, a flat position in the index, is not -1."""
    if bad >= 0:
        s, d = divmod(bad, len(sizes))
        valid = f"0 to {sizes[d] - 1} are valid" if sizes[d] else "no index is valid"
        raise IndexRangeError(
            f"index[{s}, {d}] is {int(idx[s, d])}; mode {d} has length {sizes[d]}, so {valid} "
            "(negative indices do not count from the end)."
        )


def _numpy_index(index: Array) -> np.ndarray:
    """Return `index` as a contiguous ``int64`` numpy array."""
    if is_torch(index):
        raise BackendMismatchError("index is a torch tensor and the matrices are numpy arrays; convert one of them.")
    if isinstance(index, np.ma.MaskedArray):
        raise TypeError("index is a numpy masked array; leave the masked entries out (index.compressed()).")
    idx = np.asarray(index)
    if idx.dtype.kind not in "iu" and idx.size:
        raise TypeError(f"index has dtype {idx.dtype}; expected integers, one column per mode.")
    return packed(idx, np.int64)


def _first_invalid(idx: Array, sizes: Sequence[int]) -> int:
    """Return the flat position of the first index outside its axis, or -1."""
    if is_torch(idx):
        from structkit._backend import torch_scatter

        return torch_scatter.first_invalid(idx, sizes)
    return kernels().first_invalid(idx, np.array(sizes, dtype=np.int64))


def _concatenate(arrays: Sequence[np.ndarray], dtype: object) -> tuple[np.ndarray, np.ndarray]:
    """Stack the matrices into one; return it with the row at which each begins."""
    lengths = [len(a) for a in arrays]
    offsets = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    rows = np.empty((sum(lengths), arrays[0].shape[1]), dtype=dtype)  # type: ignore[call-overload]
    for a, start in zip(arrays, offsets, strict=True):
        rows[start : start + len(a)] = a
    return rows, offsets


@dataclass(frozen=True)
class _Stacked:
    """Matrices as one, with the row at which each begins, and the index and the sizes that go with it."""

    index: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray


def _stack(
    idx: np.ndarray, arrays: Sequence[np.ndarray], dtype: object, weights: np.ndarray | None, unused: int = -1
) -> _Stacked:
    """Stack the matrices, the first one times `weights`; take only the rows in use where there are fewer of them."""
    sizes = [len(a) for a in arrays]
    chosen = [a[:0] if d == unused else a for d, a in enumerate(arrays)]
    long = [d for d, n in enumerate(sizes) if n > len(idx) and d != unused]
    if long:
        _raise_invalid(idx, sizes, _first_invalid(idx, sizes))
        idx = idx.copy()
        for d in long:
            chosen[d] = arrays[d][idx[:, d]]
            idx[:, d] = np.arange(len(idx))
            sizes[d] = len(idx)
    rows, offsets = _concatenate(chosen, dtype)
    if weights is not None:
        rows[: len(chosen[0])] *= weights
    return _Stacked(idx, np.array(sizes, dtype=np.int64), rows, offsets)
