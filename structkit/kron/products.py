"""Products of Kronecker matrices with arrays, without forming the matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.kernels import use_numba
from structkit._backend.namespace import as_array, backend_name, cast, result_dtype
from structkit._core.errors import ShapeError
from structkit._core.types import Array, Factors, Shape
from structkit._core.validation import check_matrices, check_memory, check_vector
from structkit.kron._chain import apply_chain
from structkit.kron._gemm import apply_gemm, merge_factors, scalar_part
from structkit.kron.plan import DEFAULT_MAX_BYTES, KronPlan, as_numpy_dtype, cached_plan, default_threads

__all__ = ["kron_matmul", "kron_rmatmul"]

# Reading the free memory costs some 30 microseconds: worth it only where an allocation could hurt.
CHECK_FROM_BYTES = 2**26


def kron_matmul(
    factors: Factors,
    x: Array,
    *,
    adjoint: bool = False,
    transpose: bool = False,
    out: Array | None = None,
    plan: KronPlan | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Array:
    r"""Multiply a Kronecker product of matrices with vectors.

    Computes :math:`y = (A_1 \otimes A_2 \otimes \dots \otimes A_D)\, x` by one product per axis, in
    :math:`O(N \sum_i n_i)` operations for square factors, :math:`N = \prod_i n_i`, instead of :math:`O(N^2)`. Vectors
    are row-major: a flat vector and the tensor of shape ``(n_1, ..., n_D)`` are the same numbers, first factor slowest.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., m_i, n_i)``
        The factors, first factor slowest; not modified. Leading axes are a batch of Kronecker products and broadcast
        against each other and against those of `x`.
    x : array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``, with ``N = n_1 * ... * n_D``
        Vector, columns, or stacks of columns; not modified. numpy, torch or dask.
    adjoint : bool, default False
        Apply the conjugate transpose :math:`A_1^H \otimes \dots \otimes A_D^H` instead; `x` then has
        ``m_1 * ... * m_D`` rows.
    transpose : bool, default False
        Apply the transpose without conjugation instead.
    out : array, optional
        Where to write the result: its shape and dtype must be those of the result, and it must not share memory with
        `x` or a factor. Default: a new C-contiguous array.
    plan : KronPlan, optional
        What `kron_plan` returned for the shapes of the factors as applied (transposed for `adjoint` and
        `transpose`). Default: one is made, and remembered by shapes.
    max_bytes : int, default 2**30
        Bound on the workspace in bytes; columns are worked on in blocks that keep it. Ignored when `plan` is given.

    Returns
    -------
    y : array
        As many axes as `x` (more only if the factors have batch axes that `x` lacks), with ``M = m_1 * ... * m_D``
        rows, in the library and on the device of `x`, in the common dtype of `x` and the factors; integers count as
        float64.

    Raises
    ------
    ShapeError
        If there is no factor, a factor is no matrix, or the length of `x`, the shape of `out`, or the plan does not
        match. The message states the expected and the given shape.
    SizeError
        If the result cannot fit in memory; raised before anything is allocated.
    BackendMismatchError
        If arrays of different libraries or devices are mixed.
    ValueError
        If `out` shares memory with an input, or both `adjoint` and `transpose` are asked for.

    See Also
    --------
    kron_plan : decide order, merges and kernel once for repeated products.
    structkit.kron.multi_mode_product : the same on tensors, for some of the axes.

    Notes
    -----
    The memory of a product of square factors is one output and at most one workspace of its size. Zeros are never
    skipped, so NaN and infinity spread as they do in the dense product. In torch, gradients flow to `x` and to every
    factor, twice differentiable. With dask, `x` is a dask array and the factors are numpy arrays.

    References
    ----------
    .. [1] Van Loan, "The ubiquitous Kronecker product", J. Comput. Appl. Math. 123, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.diag([1.0, 10.0, 100.0])
    >>> kron_matmul([A, B], np.ones(6))
    array([  3.,  30., 300.,   7.,  70., 700.])
    """
    if adjoint and transpose:
        raise ValueError("adjoint and transpose were both given; the adjoint is the conjugate transpose already.")
    if type(x) is not np.ndarray or not all(type(f) is np.ndarray for f in factors):
        kind = backend_name(x, *factors)
        if kind == "torch":
            return _torch_product(factors, x, adjoint, transpose, out, plan)
        if kind == "dask":
            return _dask_product(factors, x, adjoint, transpose, out, max_bytes)
    mats, x_arr = _as_numpy(factors, x)
    if adjoint or transpose:
        mats = [f.swapaxes(-1, -2) for f in mats]
        if adjoint:
            mats = [f.conj() if f.dtype.kind == "c" else f for f in mats]
    if any(f.ndim > 2 for f in mats):
        y = _batch_product(mats, x_arr)
        return y if out is None else _write(out, y, x_arr, mats)
    return _numpy_product(mats, x_arr, out, plan, max_bytes)


def kron_rmatmul(
    factors: Factors, x: Array, *, plan: KronPlan | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> Array:
    r"""Multiply vectors with a Kronecker product of matrices from the right.

    Computes :math:`x\,(A_1 \otimes \dots \otimes A_D)`.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., m_i, n_i)``
        The factors, first factor slowest.
    x : array, shape ``(M,)``, ``(k, M)`` or ``(..., k, M)``, with ``M = m_1 * ... * m_D``
        Row vectors.
    plan : KronPlan, optional
        A plan for the transposed shapes ``(n_i, m_i)``.
    max_bytes : int, default 2**30
        As in `kron_matmul`.

    Returns
    -------
    y : array, shape ``(N,)``, ``(k, N)`` or ``(..., k, N)``

    Raises
    ------
    ShapeError, SizeError, BackendMismatchError
        As `kron_matmul`.

    Examples
    --------
    >>> import numpy as np
    >>> kron_rmatmul([np.array([[1.0, 2.0]]), np.eye(2)], np.array([1.0, 3.0]))
    array([1., 3., 2., 6.])
    """
    if x.ndim < 2:
        return kron_matmul(factors, x, transpose=True, plan=plan, max_bytes=max_bytes)
    columns = x.swapaxes(-1, -2)  # type: ignore[attr-defined]
    y = kron_matmul(factors, columns, transpose=True, plan=plan, max_bytes=max_bytes)
    return y.swapaxes(-1, -2)  # type: ignore[attr-defined]


def _as_numpy(factors: Sequence[object], x: object) -> tuple[list[np.ndarray], np.ndarray]:
    mats = [as_array(f, f"factors[{i}]") for i, f in enumerate(factors)]
    check_matrices(mats)
    return mats, as_array(x, "x")  # type: ignore[return-value]


def _numpy_product(
    mats: list[np.ndarray], x: np.ndarray, out: Array | None, plan: KronPlan | None, max_bytes: int
) -> np.ndarray:
    shapes = tuple(f.shape for f in mats)
    check_vector(x, tuple(n for _, n in shapes))
    dtype = np.dtype(result_dtype(*mats, x))
    k = 1 if x.ndim == 1 else x.shape[-1]
    if plan is None:
        plan = cached_plan(shapes, dtype, k, "numpy", max_bytes, default_threads(), use_numba())
    else:
        check_plan(plan, shapes, dtype, "numpy")
    mats = [f if f.dtype == dtype else f.astype(dtype) for f in mats]
    shape = out_shape(x, plan.n_out)
    if out is None:
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > CHECK_FROM_BYTES:
            check_memory(n_bytes, f"The result of shape {shape} and dtype {dtype}")
        return _execute(plan, mats, x, np.empty(shape, dtype))
    check_out(out, shape, dtype, [x, *mats])
    if out.flags.c_contiguous:  # type: ignore[attr-defined]
        return _execute(plan, mats, x, out)  # type: ignore[arg-type]
    np.copyto(out, _execute(plan, mats, x, np.empty(shape, dtype)))  # type: ignore[call-overload]
    return out  # type: ignore[return-value]


def _execute(plan: KronPlan, mats: list[np.ndarray], x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Fill `out`, C-contiguous and of the right shape, and return it."""
    if plan.kernel == "empty" or out.size == 0:
        out.fill(0)
        return out
    if x.dtype != plan.dtype:
        x = x.astype(plan.dtype)
    if plan.kernel == "scalar":
        return np.multiply(x, scalar_part(plan, mats), out=out)
    k = 1 if x.ndim == 1 else x.shape[-1]
    if plan.kernel == "chain":
        apply_chain(plan, mats, np.ascontiguousarray(x), out, k)
        return out
    apply_gemm(plan, merge_factors(plan, mats), x.reshape(-1, plan.n_in, k), out.reshape(-1, plan.n_out, k))
    return out


def out_shape(x: Array, rows: int) -> Shape:
    """Shape of the product: that of `x` with another number of rows."""
    return (rows,) if x.ndim == 1 else (*x.shape[:-2], rows, x.shape[-1])


def check_plan(plan: KronPlan, shapes: Sequence[Shape], dtype: np.dtype, namespace: str) -> None:
    """Raise unless the plan was made for these factors."""
    if tuple(shapes) != plan.shapes:
        raise ShapeError(
            f"plan was made for factors of shapes {plan.shapes}; got {tuple(shapes)} as applied. "
            "Make one with kron_plan for these shapes (transposed ones for adjoint=True)."
        )
    if dtype != plan.dtype or namespace != plan.namespace:
        raise TypeError(
            f"plan was made for {plan.namespace} arrays of dtype {plan.dtype}; got {namespace} arrays whose common dtype "
            f"is {dtype}. Make one with kron_plan for that dtype."
        )


def check_out(out: Array, shape: Shape, dtype: np.dtype, inputs: Sequence[np.ndarray]) -> None:
    """Raise unless `out` is a writeable numpy array of the right shape and dtype, apart from all inputs."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array like x; got {type(out).__name__}.")
    if out.shape != shape or out.dtype != dtype:
        raise ShapeError(f"out has shape {out.shape} and dtype {out.dtype}; expected {shape} and {dtype}.")
    if not out.flags.writeable:
        raise ValueError("out is read-only; pass a writeable array.")
    for i, a in enumerate(inputs):
        if np.may_share_memory(out, a) and np.shares_memory(out, a):
            name = "x" if i == 0 else f"factors[{i - 1}]"
            raise ValueError(
                f"out shares memory with {name}; the product cannot be formed in place. Pass another array."
            )


def _write(out: Array, y: np.ndarray, x: np.ndarray, mats: list[np.ndarray]) -> Array:
    check_out(out, y.shape, y.dtype, [x, *mats])
    np.copyto(out, y)  # type: ignore[call-overload]
    return out


def batch_shape(factors: Sequence[Array], x: Array) -> Shape:
    """Broadcast the batch axes of the factors and of `x`; the error names both shapes."""
    if x.ndim == 1:
        raise ShapeError(
            "factors have batch axes, so x must have shape (N, k) or (..., N, k); got a vector of shape "
            f"{tuple(x.shape)}. Pass x[:, None]."
        )
    shape = tuple(x.shape[:-2])
    for i, f in enumerate(factors):
        try:
            shape = np.broadcast_shapes(shape, tuple(f.shape[:-2]))
        except ValueError as err:
            raise ShapeError(
                f"factors[{i}] has shape {tuple(f.shape)}, whose batch axes {tuple(f.shape[:-2])} do not broadcast with "
                f"the batch axes {shape} of x (shape {tuple(x.shape)}) and the factors before it."
            ) from err
    return shape


def _batch_product(mats: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Stacks of Kronecker products: one broadcast matmul per factor."""
    check_vector(x, tuple(f.shape[-1] for f in mats))
    batch = batch_shape(mats, x)
    dtype = np.dtype(result_dtype(*mats, x))
    sizes = [f.shape[-1] for f in mats]
    k = x.shape[-1]
    y = x.astype(dtype, copy=False)
    for i, f in enumerate(mats):
        left, right = math.prod(sizes[:i]), math.prod(sizes[i + 1 :]) * k
        y = np.matmul(f[..., None, :, :], y.reshape(*y.shape[:-2], left, sizes[i], right))
        sizes[i] = f.shape[-2]
        y = y.reshape(*y.shape[:-3], math.prod(sizes), k)
    return np.broadcast_to(y, (*batch, *y.shape[-2:])).astype(dtype, order="C", copy=y.shape[:-2] != batch)


def _torch_product(
    factors: Factors, x: Array, adjoint: bool, transpose: bool, out: Array | None, plan: KronPlan | None
) -> Array:
    from structkit._backend import torch_ops

    mats = [as_array(f, f"factors[{i}]") for i, f in enumerate(factors)]
    check_matrices(mats)
    x = as_array(x, "x")
    given = [x, *mats]
    if adjoint or transpose:
        mats = [f.mH if adjoint else f.mT for f in mats]  # type: ignore[attr-defined]
    check_vector(x, tuple(f.shape[-1] for f in mats))
    dtype = result_dtype(*mats, x)
    mats, x = [cast(f, dtype) for f in mats], cast(x, dtype)
    if any(f.ndim > 2 for f in mats):
        batch_shape(mats, x)
        return torch_ops.finish(torch_ops.batch_product(mats, x), out, given)
    shapes = tuple((int(f.shape[0]), int(f.shape[1])) for f in mats)
    if plan is None:
        k = 1 if x.ndim == 1 else int(x.shape[-1])
        plan = cached_plan(shapes, as_numpy_dtype(dtype), k, "torch", DEFAULT_MAX_BYTES, 1, False)
    else:
        check_plan(plan, shapes, as_numpy_dtype(dtype), "torch")
    return torch_ops.finish(torch_ops.kron_matmul(plan, mats, x), out, given)


def _dask_product(
    factors: Factors, x: Array, adjoint: bool, transpose: bool, out: Array | None, max_bytes: int
) -> Array:
    from structkit.kron._dask import dask_kron_matmul

    if out is not None:
        raise ValueError("out cannot be given with dask arrays, which are lazy; use dask.array.store.")
    return dask_kron_matmul(factors, x, adjoint=adjoint, transpose=transpose, max_bytes=max_bytes)
