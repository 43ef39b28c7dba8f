r"""The dense Kronecker product, for small factors and for checks."""

from __future__ import annotations

import math

import numpy as np

from structkit._backend.kernels import kernels, packed
from structkit._backend.namespace import as_factors, cast, check_memory_beside, is_torch, result_dtype
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.entries import no_dask
from structkit.kron.khatri_rao import output_array

__all__ = ["kron"]


def kron(*factors: Array, out: np.ndarray | None = None) -> Array:
    r"""Form the dense Kronecker product of matrices.

    Parameters
    ----------
    *factors : array, shapes ``(m_d, n_d)``
        Matrices, the first one slowest; numpy or torch (gradients flow).
    out : numpy.ndarray, optional
        C-contiguous array of the shape and dtype of the result that receives it (numpy only).

    Returns
    -------
    K : array, shape ``(m_1 * ... * m_D, n_1 * ... * n_D)``
        Dtype by promotion; integers become float64.

    Raises
    ------
    ShapeError
        If a factor is not a matrix, there is none, or `out` does not fit.
    SizeError
        If the result does not fit in memory; raised before anything is allocated.

    See Also
    --------
    structkit.kron.kron_matmul : the product with a vector, without this matrix.

    Examples
    --------
    >>> import numpy as np
    >>> kron(np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]))
    array([[ 1.,  2.],
           [10., 20.]])
    """
    arrays = as_factors(factors)
    no_dask(*arrays)
    for d, a in enumerate(arrays):
        if a.ndim != 2:
            raise ShapeError(f"factors[{d}] has shape {tuple(a.shape)}; expected a matrix (m, n).")
    shape = (math.prod(a.shape[0] for a in arrays), math.prod(a.shape[1] for a in arrays))
    dtype = result_dtype(*arrays)
    if is_torch(arrays[0]):
        if out is not None:
            raise TypeError("out works with numpy arrays; got torch tensors.")
        return _kron_torch([cast(a, dtype) for a in arrays], shape)
    target = output_array(out, shape, np.dtype(dtype), arrays, "The dense Kronecker product")  # type: ignore[call-overload]
    mats = [packed(a, target.dtype) for a in arrays]
    if len(mats) == 1:
        np.copyto(target, mats[0])
        return target
    left = mats[0]
    for a in mats[1:-1]:
        grown = np.empty((left.shape[0] * a.shape[0], left.shape[1] * a.shape[1]), dtype=target.dtype)
        kernels().kron_pair(left, a, grown)
        left = grown
    kernels().kron_pair(left, mats[-1], target)
    return target


def _kron_torch(tensors: list[Array], shape: tuple[int, int]) -> Array:
    """Kronecker product by broadcasting, which autograd follows."""
    first = tensors[0]
    check_memory_beside(first, math.prod(shape) * first.element_size(), "The dense Kronecker product")  # type: ignore[attr-defined]
    result = first
    for a in tensors[1:]:
        rows, columns = result.shape[0] * a.shape[0], result.shape[1] * a.shape[1]
        result = (result[:, None, :, None] * a[:, None, :]).reshape(rows, columns)
    return result * 1 if len(tensors) == 1 else result
