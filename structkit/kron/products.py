"""Products of Kronecker matrices with arrays, without forming the matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import as_array, backend_name, cast, result_dtype
from structkit._core.types import Array, Factors
from structkit._core.validation import check_matrices, check_vector
from structkit.kron._dask import dask_kron_matmul
from structkit.kron._numpy import batch_product, batch_shape, check_plan, numpy_product, write_out
from structkit.kron.plan import DEFAULT_MAX_BYTES, KronPlan, as_numpy_dtype, cached_plan

__all__ = ["kron_matmul", "kron_rmatmul"]

FLOATING = frozenset(np.dtype(t) for t in (np.float32, np.float64, np.complex64, np.complex128))


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
    factor, twice differentiable; tensors in main memory that record none run on the numpy kernels, which are faster
    there, unless a `plan` for torch is given. With dask, `x` is a dask array and the factors are numpy arrays.

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
    mats = _plain_arrays(factors, x)
    rows: np.ndarray = x  # type: ignore[assignment]
    if mats is None:
        kind = backend_name(x, *factors)
        if kind == "torch":
            return _torch_product(factors, x, adjoint, transpose, out, plan, max_bytes)
        if kind == "dask":
            return _dask_product(factors, x, adjoint, transpose, out, max_bytes)
        mats, rows = _as_numpy(factors, x)
    if adjoint or transpose:
        mats = [f.swapaxes(-1, -2) for f in mats]
        if adjoint:
            mats = [f.conj() if f.dtype.kind == "c" else f for f in mats]
    target: np.ndarray | None = out  # type: ignore[assignment]
    for f in mats:
        if f.ndim > 2:
            break
    else:
        return numpy_product(mats, rows, target, plan, max_bytes)
    y = batch_product(mats, rows)
    return y if target is None else write_out(target, y, rows, mats)


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
    x = as_array(x, "x")
    if x.ndim < 2:
        return kron_matmul(factors, x, transpose=True, plan=plan, max_bytes=max_bytes)
    columns = x.swapaxes(-1, -2)  # type: ignore[attr-defined]
    y = kron_matmul(factors, columns, transpose=True, plan=plan, max_bytes=max_bytes)
    return y.swapaxes(-1, -2)  # type: ignore[attr-defined]


def _plain_arrays(factors: Sequence[object], x: object) -> list[np.ndarray] | None:
    """Return the factors if all arrays are numpy matrices of one floating dtype, the case that should cost nothing."""
    if type(x) is not np.ndarray or x.dtype not in FLOATING:
        return None
    dtype, mats = x.dtype, []
    for f in factors:
        if type(f) is not np.ndarray or f.dtype is not dtype or f.ndim < 2:
            return None
        mats.append(f)
    return mats or None


def _as_numpy(factors: Sequence[object], x: object) -> tuple[list[np.ndarray], np.ndarray]:
    mats = [as_array(f, f"factors[{i}]") for i, f in enumerate(factors)]
    check_matrices(mats)
    return mats, as_array(x, "x")  # type: ignore[return-value]


def _torch_product(
    factors: Factors, x: Array, adjoint: bool, transpose: bool, out: Array | None, plan: KronPlan | None, max_bytes: int
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
        return torch_ops.finish(torch_ops.batch_product(mats, x), out, given)  # type: ignore[arg-type, return-value]
    shapes = tuple((int(f.shape[0]), int(f.shape[1])) for f in mats)
    if plan is None:
        host = torch_ops.host_arrays(x, *mats)  # type: ignore[arg-type]
        if host is not None:
            y = numpy_product(host[1:], host[0], None, None, max_bytes)
            return torch_ops.finish(torch_ops.from_host(y), out, given)  # type: ignore[arg-type, return-value]
        k = 1 if x.ndim == 1 else int(x.shape[-1])
        plan = cached_plan(shapes, as_numpy_dtype(dtype), k, "torch", max_bytes, 1, False)
    else:
        check_plan(plan, shapes, as_numpy_dtype(dtype), "torch")
    return torch_ops.finish(torch_ops.kron_matmul(plan, mats, x), out, given)  # type: ignore[arg-type, return-value]


def _dask_product(
    factors: Factors, x: Array, adjoint: bool, transpose: bool, out: Array | None, max_bytes: int
) -> Array:
    if out is not None:
        raise ValueError("out cannot be given with dask arrays, which are lazy; use dask.array.store.")
    return dask_kron_matmul(factors, x, adjoint=adjoint, transpose=transpose, max_bytes=max_bytes)  # type: ignore[arg-type]
