r"""Khatri-Rao products and the matricised-tensor-times-Khatri-Rao product (MTTKRP)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.kernels import kernels, packed
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
from structkit._core.types import Array
from structkit._core.validation import check_memory
from structkit.kron.entries import no_dask
from structkit.kron.layout import check_axis

__all__ = ["khatri_rao", "mttkrp"]


def khatri_rao(matrices: Sequence[Array], *, out: np.ndarray | None = None) -> Array:
    r"""Multiply matrices column by column with the Kronecker product.

    Column ``r`` of the result is :math:`A_1[:, r] \otimes \dots \otimes A_D[:, r]`, the first matrix slowest.

    Parameters
    ----------
    matrices : sequence of array, shapes ``(n_d, R)``
        Matrices with the same number of columns; numpy or torch (gradients flow).
    out : numpy.ndarray, optional
        C-contiguous array of the shape and dtype of the result that receives it (numpy only).

    Returns
    -------
    K : array, shape ``(n_1 * ... * n_D, R)``
        Dtype by promotion.

    Raises
    ------
    ShapeError
        If the numbers of columns differ, or `out` does not fit.
    SizeError
        If the result does not fit in memory.

    See Also
    --------
    structkit.kron.kron : the Kronecker product, all pairs of columns.

    Examples
    --------
    >>> import numpy as np
    >>> khatri_rao([np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 10.0]])])
    array([[ 1., 20.],
           [ 3., 40.]])
    """
    arrays = as_factors(matrices, "matrices")
    no_dask(*arrays)
    rank = _check_rank(arrays)
    dtype = result_dtype(*arrays)
    if is_torch(arrays[0]):
        if out is not None:
            raise TypeError("out works with numpy arrays; got torch tensors.")
        result = cast(arrays[0], dtype)
        n_bytes = math.prod(a.shape[0] for a in arrays) * rank * result.element_size()  # type: ignore[attr-defined]
        check_memory_beside(result, n_bytes, "The Khatri-Rao product")
        for a in arrays[1:]:
            result = (result[:, None, :] * a).reshape(-1, rank) if rank else result.new_zeros((len(result) * len(a), 0))  # type: ignore[attr-defined]
        return result
    shape = (math.prod(a.shape[0] for a in arrays), rank)
    target = output_array(out, shape, np.dtype(dtype), arrays, "The Khatri-Rao product")  # type: ignore[call-overload]
    mats = [packed(a, target.dtype) for a in arrays]
    if len(mats) == 1:
        np.copyto(target, mats[0])
        return target
    left = mats[0]
    for a in mats[1:-1]:
        grown = np.empty((len(left) * len(a), rank), dtype=target.dtype)
        kernels().khatri_rao_pair(left, a, grown)
        left = grown
    kernels().khatri_rao_pair(left, mats[-1], target)
    return target


def output_array(
    out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype, inputs: Sequence[Array], what: str
) -> np.ndarray:
    """Return `out` after checking it, or a new array; raise before allocating what cannot fit."""
    if out is None:
        check_memory(math.prod(shape) * dtype.itemsize, what)
        return np.empty(shape, dtype=dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        got = f"shape {out.shape} and dtype {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ShapeError(f"out must be a C-contiguous numpy array of shape {shape} and dtype {dtype}; got {got}.")
    if any(np.may_share_memory(out, np.asarray(a)) for a in inputs):
        raise ShapeError("out shares memory with an input; give a separate array.")
    return out


def _check_rank(arrays: Sequence[Array], name: str = "matrices") -> int:
    """Return the common number of columns."""
    rank = arrays[0].shape[-1]
    for d, a in enumerate(arrays):
        if a.ndim != 2 or a.shape[1] != rank:
            raise ShapeError(
                f"{name}[{d}] has shape {tuple(a.shape)}; expected (n_{d}, {rank}), {rank} columns as the first."
            )
    return rank


def mttkrp(X: Array, matrices: Sequence[Array], mode: int) -> Array:
    r"""Multiply an unfolded tensor by the Khatri-Rao product of all matrices but one.

    Computes :math:`M[i, r] = \sum X_{i_1 \dots i_D} \prod_{d \ne \mathrm{mode}} A_d[i_d, r]` over all entries with
    :math:`i_{\mathrm{mode}} = i`: the kernel of alternating least squares for CP decompositions.

    Parameters
    ----------
    X : array, shape ``(n_1, ..., n_D)``
        Tensor; numpy or torch (gradients flow).
    matrices : sequence of array, shapes ``(n_d, R)``
        One matrix per mode; of ``matrices[mode]`` only the shape is used.
    mode : int
        Mode that stays, counted from 0; negative values count from the end.

    Returns
    -------
    M : array, shape ``(n_mode, R)``
        Dtype by promotion. Nothing is conjugated.

    Raises
    ------
    ShapeError
        If a matrix does not fit its axis.

    See Also
    --------
    structkit.kron.mttkrp_sparse : the same for a list of entries.

    Notes
    -----
    A run of leading or trailing modes is contracted first, by one matrix product with their Khatri-Rao product on a
    view of `X`; the rest is a product of each component with its own vectors [1]_. The run is chosen by cost, so that
    neither the Khatri-Rao product nor the intermediate result is large; `X` is never copied.

    References
    ----------
    .. [1] Phan, Tichavsky and Cichocki, "Fast alternating LS algorithms for high order CANDECOMP/PARAFAC tensor
       factorizations", IEEE Trans. Signal Process. 61, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> mttkrp(np.array([[1.0, 2.0], [3.0, 4.0]]), [np.zeros((2, 1)), np.array([[1.0], [10.0]])], 0)
    array([[21.],
           [43.]])
    """
    X = as_array(X, "X")
    arrays = as_factors(matrices, "matrices")
    no_dask(X, *arrays)
    backend_name(X, *arrays)
    axis = check_axis(mode, X.ndim)
    rank = _check_rank(arrays)
    if [a.shape[0] for a in arrays] != list(X.shape):
        shapes = [tuple(a.shape) for a in arrays]
        raise ShapeError(
            f"matrices have shapes {shapes}; a tensor of shape {tuple(X.shape)} needs (n_d, {rank}) for every axis."
        )
    dtype = result_dtype(X, *arrays)
    x, mats = cast(X, dtype), [cast(a, dtype) for a in arrays]
    if X.ndim == 1:
        return x[:, None] * (mats[0][:1] * 0 + 1) if rank else mats[0] * 1
    first, last = _run(tuple(X.shape), axis, rank)
    partial = _contract_run(x, mats, first, last)
    kept = [d for d in range(X.ndim) if not first <= d < last]
    return _contract_rest(partial, [mats[d] for d in kept], [X.shape[d] for d in kept], kept.index(axis))


def _run(shape: tuple[int, ...], axis: int, rank: int) -> tuple[int, int]:
    """Return the run ``first <= d < last`` of leading or trailing modes that is cheapest to contract first."""
    total, ndim = math.prod(shape), len(shape)
    candidates = [(0, stop) for stop in range(1, axis + 1)] + [(start, ndim) for start in range(axis + 1, ndim)]

    def cost(run: tuple[int, int]) -> float:
        # The Khatri-Rao product and the intermediate result are written and read, at the speed of memory; a product
        # whose inner dimension is below about 32 runs at that speed too.
        inner = max(1, math.prod(shape[run[0] : run[1]]))
        return 2 * inner * rank + 3 * (total / inner) * rank + total * (1 + rank / 16) * max(1.0, 32 / inner)

    return min(candidates, key=cost)


def _contract_run(x: Array, mats: Sequence[Array], first: int, last: int) -> Array:
    """Contract a run at either end with its Khatri-Rao product; return shape ``(R, rest)``, contiguous by component."""
    inner = math.prod(x.shape[first:last])
    product = khatri_rao(mats[first:last]).T
    if first == 0:
        return product @ x.reshape(inner, math.prod(x.shape[last:]))
    return product @ x.reshape(math.prod(x.shape[:first]), inner).T


def _contract_rest(partial: Array, mats: Sequence[Array], sizes: Sequence[int], position: int) -> Array:
    """Contract all modes but `position`, each component with its own vectors."""
    rank = partial.shape[0]
    y = partial
    after = math.prod(sizes[position + 1 :])
    if position + 1 < len(sizes):
        vectors = khatri_rao(mats[position + 1 :]).T.reshape(rank, after, 1)
        y = y.reshape(rank, math.prod(sizes[: position + 1]), after) @ vectors
    if position > 0:
        before = math.prod(sizes[:position])
        vectors = khatri_rao(mats[:position]).T.reshape(rank, 1, before)
        y = vectors @ y.reshape(rank, before, sizes[position])
    return y.reshape(rank, sizes[position]).T
