"""The numpy path of Kronecker products: checks, output, and the kernel that the plan names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.kernels import use_numba
from structkit._core.errors import BackendMismatchError, ShapeError
from structkit._core.types import Array, Shape
from structkit._core.validation import ALWAYS_FITS, check_memory, check_vector
from structkit.kron._chain import apply_chain
from structkit.kron._gemm import apply_gemm, merge_factors, scalar_part
from structkit.kron.plan import DEFAULT_MAX_BYTES, KronPlan, cached_plan, default_threads

__all__ = ["batch_product", "batch_shape", "check_plan", "kron_stack", "numpy_product", "write_out"]


def numpy_product(
    mats: Sequence[np.ndarray], x: np.ndarray, out: np.ndarray | None, plan: KronPlan | None, max_bytes: int
) -> np.ndarray:
    shapes = tuple([f.shape for f in mats])
    dtype = x.dtype
    for f in mats:
        if f.dtype is not dtype:
            dtype = np.result_type(*mats, x)
            mats = [f if f.dtype == dtype else f.astype(dtype) for f in mats]
            break
    rows = x.shape[0] if x.ndim == 1 else x.shape[-2] if x.ndim else -1
    if plan is None or plan.shapes != shapes or plan.n_in != rows:
        check_vector(x, tuple(n for _, n in shapes))
    if plan is None:
        k = 1 if x.ndim == 1 else x.shape[-1]
        plan = cached_plan(shapes, dtype, k, "numpy", max_bytes, default_threads(), use_numba())
    else:
        check_plan(plan, shapes, dtype, "numpy")
    shape = _out_shape(x, plan.n_out)
    if out is None:
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > ALWAYS_FITS:
            check_memory(n_bytes, f"The result of shape {shape} and dtype {dtype}")
        return _execute(plan, mats, x, np.empty(shape, dtype))
    _check_out(out, shape, dtype, [x, *mats])
    if out.flags.carray:
        return _execute(plan, mats, x, out)
    np.copyto(out, _execute(plan, mats, x, np.empty(shape, dtype)))
    return out


def kron_stack(mats: Sequence[np.ndarray], x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Write the product with every tensor of a stack into `out`; arrays of one dtype that fit, both C-contiguous."""
    shapes = tuple([f.shape for f in mats])
    plan = cached_plan(shapes, out.dtype, 1, "numpy", DEFAULT_MAX_BYTES, default_threads(), use_numba())
    _execute(plan, mats, x.reshape(-1, plan.n_in, 1), out.reshape(-1, plan.n_out, 1))
    return out


def _execute(plan: KronPlan, mats: Sequence[np.ndarray], x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Fill `out`, C-contiguous and of the right shape, and return it."""
    if plan.kernel == "empty" or out.size == 0:
        out.fill(0)
        return out
    if x.dtype != plan.dtype:
        x = x.astype(plan.dtype)
    if plan.kernel == "scalar":
        return np.multiply(x, scalar_part(plan, mats), out=out)
    k = 1 if x.ndim == 1 else x.shape[-1]
    if plan.kernel == "chain" and use_numba():
        apply_chain(plan, mats, np.ascontiguousarray(x), out, k)
        return out
    apply_gemm(plan, merge_factors(plan, mats), x.reshape(-1, plan.n_in, k), out.reshape(-1, plan.n_out, k))
    return out


def _out_shape(x: Array, rows: int) -> Shape:
    """Shape of the product: that of `x` with another number of rows."""
    return (rows,) if x.ndim == 1 else (*x.shape[:-2], rows, x.shape[-1])


def check_plan(plan: KronPlan, shapes: tuple[Shape, ...], dtype: np.dtype, namespace: str) -> None:
    """Raise unless the plan was made for these factors."""
    if shapes != plan.shapes:
        raise ShapeError(
            f"plan was made for factors of shapes {plan.shapes}; got {shapes} as applied. "
            "Make one with kron_plan for these shapes (transposed ones for adjoint=True)."
        )
    if dtype != plan.dtype or namespace != plan.namespace:
        raise TypeError(
            f"plan was made for {plan.namespace} arrays of dtype {plan.dtype}; got {namespace} arrays whose common "
            f"dtype is {dtype}. Make one with kron_plan for that dtype."
        )


def _check_out(out: object, shape: Shape, dtype: np.dtype, inputs: Sequence[np.ndarray]) -> None:
    """Raise unless `out` is a writeable numpy array of the right shape and dtype, apart from all inputs."""
    if not isinstance(out, np.ndarray):
        raise BackendMismatchError(f"out must be a numpy array like x; got {type(out).__name__}.")
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


def write_out(out: np.ndarray, y: np.ndarray, x: np.ndarray, mats: list[np.ndarray]) -> np.ndarray:
    _check_out(out, y.shape, y.dtype, [x, *mats])
    np.copyto(out, y)
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
                f"factors[{i}] has shape {tuple(f.shape)}, whose batch axes {tuple(f.shape[:-2])} do not broadcast "
                f"with the batch axes {shape} of x (shape {tuple(x.shape)}) and the factors before it."
            ) from err
    return shape


def batch_product(mats: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Stacks of Kronecker products: one broadcast matmul per factor."""
    check_vector(x, tuple(f.shape[-1] for f in mats))
    batch = batch_shape(mats, x)
    dtype = np.result_type(*mats, x)
    sizes = [f.shape[-1] for f in mats]
    k = x.shape[-1]
    y = x.astype(dtype, copy=False)
    for i, f in enumerate(mats):
        left, right = math.prod(sizes[:i]), math.prod(sizes[i + 1 :]) * k
        y = np.matmul(f[..., None, :, :], y.reshape(*y.shape[:-2], left, sizes[i], right))
        sizes[i] = f.shape[-2]
        y = y.reshape(*y.shape[:-3], math.prod(sizes), k)
    return np.broadcast_to(y, (*batch, *y.shape[-2:])).astype(dtype, order="C", copy=y.shape[:-2] != batch)
