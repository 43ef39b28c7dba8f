"""The lazy linear operator every structure derives from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import (
    as_array,
    backend_name,
    cast,
    check_memory_beside,
    device_of,
    get_namespace,
    is_torch,
    result_dtype,
)
from structkit._core.errors import BackendMismatchError, DensificationWarning, ShapeError, SizeError
from structkit._core.types import Array, Shape
from structkit._core.validation import check_vector
from structkit.kron.operators.common import (
    ADD,
    MATMUL,
    SCALE,
    Context,
    Scalar,
    check_home,
    check_scalar,
    complex_of,
    is_complex,
    is_scalar,
    plain_scalar,
    refuse_sum,
)

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

__all__ = ["Adjoint", "Conjugate", "LinearOperator"]


class LinearOperator:
    """A matrix known by its action, with shape, dtype and device.

    Subclasses implement ``_matmat(X)`` and ``_adjoint_matmat(X)`` for arrays ``(..., N, k)``; everything else has a
    correct default here and is overridden where the structure allows better. Operators are immutable: arrays given to
    them are kept as read-only views, and arithmetic returns new operators. The library, device and promotion of dtypes
    follow the arrays (numpy or torch); a torch operator carries gradients.

    Parameters
    ----------
    shape : tuple of int, ``(M, N)``
        Python integers, so that operators with more than ``2**63`` rows are exact.
    parts : sequence of array or LinearOperator
        What the operator is made of; it decides library, dtype and device. Empty: adapts to what it is applied to.
    row_sizes, column_sizes : tuple of int, optional
        Tensor shapes behind rows and columns; defaults ``(M,)`` and ``(N,)``.
    is_complex : bool, optional
        Promote the dtype to complex (a complex scalar in front of real arrays).

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> K = Kronecker(np.array([[2.0, 0.0], [0.0, 1.0]]), np.eye(3))
    >>> (2 * K @ np.ones(6)).tolist()
    [4.0, 4.0, 4.0, 2.0, 2.0, 2.0]
    """

    # Makes numpy hand ``array @ op`` and ``array * op`` to the operator instead of looping over elements.
    __array_ufunc__ = None

    def __init__(
        self,
        shape: Sequence[int],
        parts: Sequence[Array | LinearOperator],
        *,
        row_sizes: Shape | None = None,
        column_sizes: Shape | None = None,
        is_complex: bool = False,
    ) -> None:
        self.shape: Shape = (int(shape[0]), int(shape[1]))
        self.row_sizes: Shape = row_sizes or (self.shape[0],)
        self.column_sizes: Shape = column_sizes or (self.shape[1],)
        held = (part._arrays if isinstance(part, LinearOperator) else (part,) for part in parts)
        self._arrays: tuple[Array, ...] = tuple({id(a): a for arrays in held for a in arrays}.values())
        self._backend = backend_name(*self._arrays) if self._arrays else None
        base = result_dtype(*self._arrays) if self._arrays else np.dtype(np.float64)
        self._force_complex: bool = is_complex or any(isinstance(p, LinearOperator) and p._force_complex for p in parts)
        self.dtype: object = complex_of(base) if self._force_complex else base

    # ---- what a structure implements ----------------------------------------------------------------
    def _matmat(self, X: Array) -> Array:
        """Apply to ``(..., N, k)``."""
        raise NotImplementedError

    def _adjoint_matmat(self, X: Array) -> Array:
        """Apply the conjugate transpose to ``(..., M, k)``."""
        raise NotImplementedError

    def _matvec(self, x: Array) -> Array:
        """Apply to a vector ``(N,)``."""
        return self._matmat(x[:, None])[:, 0]

    def _adjoint(self) -> LinearOperator:
        return Adjoint(self)

    def _conj(self) -> LinearOperator:
        return Conjugate(self)

    def _dense(self, ctx: Context) -> Array:
        """Return the dense matrix; sizes are checked before."""
        return self._matmat(ctx.eye(self.shape[1]))

    def _diagonal(self, ctx: Context) -> Array:
        """Return the diagonal of a square operator: here from its action on blocks of unit vectors."""
        warnings.warn(
            f"The diagonal of {self!r} has no structured rule; it costs {self.shape[0]} products.",
            DensificationWarning,
            stacklevel=3,
        )
        n, block, out = self.shape[0], 64, []
        for start in range(0, n, block):
            stop = min(n, start + block)
            E = ctx.zeros((n, stop - start))
            E[start:stop, :] = ctx.eye(stop - start)  # type: ignore[index]
            out.append(ctx.xp.linalg.diagonal(self._matmat(E)[start:stop, :]))
        return ctx.xp.concat(out) if out else ctx.zeros((0,))

    def _trace(self, ctx: Context) -> Array:
        self._check_memory(self.shape[0], f"A vector of {self!r}")
        return ctx.xp.sum(self._diagonal(ctx))

    # ---- description --------------------------------------------------------------------------------
    ndim = 2

    @property
    def device(self) -> str:
        """Device of the arrays behind the operator."""
        return device_of(self._arrays[0]) if self._arrays else "cpu"

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are equally many."""
        return self.shape[0] == self.shape[1]

    def _context(self) -> Context:
        device = next((a.device for a in self._arrays if is_torch(a)), "cpu")  # type: ignore[attr-defined]
        return Context(get_namespace(*self._arrays), self.dtype, device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def _itemsize(self) -> int:
        return self.dtype.itemsize  # type: ignore[attr-defined]

    def _check_memory(self, count: int, what: str) -> None:
        """Raise unless `count` numbers fit on the operator's device."""
        check_memory_beside(self._arrays[0] if self._arrays else None, count * self._itemsize(), what)

    # ---- application --------------------------------------------------------------------------------
    def _prepare(self, x: object, sizes: Shape) -> Array:
        """Check an operand and bring it to the common dtype."""
        x = as_array(x, "x")
        check_vector(x, sizes)
        if self._arrays:
            self._check_backend(x)
            if x.dtype != self.dtype:
                dtype = result_dtype(x, *self._arrays)
                return cast(x, complex_of(dtype) if self._force_complex else dtype)
        return x

    def _check_backend(self, x: Array) -> None:
        check_home(type(self).__name__, self._backend, self.device, x)

    def __matmul__(self, other: object) -> Array | LinearOperator:
        if isinstance(other, LinearOperator):
            if self.shape[1] != other.shape[0]:
                raise ShapeError(
                    f"Operators of shapes {self.shape} and {other.shape} do not chain: inner sizes differ."
                )
            backend_name(*self._arrays, *other._arrays)
            return MATMUL(self, other)
        x = self._prepare(other, self.column_sizes)
        return self._matvec(x) if x.ndim == 1 else self._matmat(x)

    def __rmatmul__(self, other: object) -> Array:
        x = as_array(other, "x")
        if x.ndim == 1:
            return self.T @ x  # type: ignore[return-value]
        xp = get_namespace(x)
        return xp.matrix_transpose(self.T @ xp.matrix_transpose(x))

    def apply_tensor(self, X: object) -> Array:
        """Apply to a tensor with the operator's column sizes as its last axes.

        Parameters
        ----------
        X : array, shape ``(..., *column_sizes)``
            Leading axes are a batch. ``@`` never guesses a tensor from its shape; this method is the way in.

        Returns
        -------
        array, shape ``(..., *row_sizes)``

        Raises
        ------
        ShapeError
            If the last axes of `X` are not the operator's column sizes.

        Examples
        --------
        >>> import numpy as np
        >>> from structkit.kron import Kronecker
        >>> Kronecker(np.ones((1, 2)), np.eye(3)).apply_tensor(np.ones((2, 3))).tolist()
        [[2.0, 2.0, 2.0]]
        """
        x = as_array(X, "X")
        first = max(x.ndim - len(self.column_sizes), 0)
        if tuple(x.shape[first:]) != self.column_sizes:
            raise ShapeError(f"X has shape {tuple(x.shape)}; expected its last axes to be {self.column_sizes}.")
        batch = tuple(x.shape[:first])
        if not batch:
            return (self @ x.reshape(-1)).reshape(self.row_sizes)  # type: ignore[union-attr, arg-type]
        # A batch of tensors is a matrix of row vectors; the transposed view makes them columns.
        flat = x.reshape((math.prod(batch), self.shape[1]))  # type: ignore[arg-type]
        return (self @ flat.T).T.reshape((*batch, *self.row_sizes))  # type: ignore[union-attr, attr-defined, arg-type]

    # ---- algebra ------------------------------------------------------------------------------------
    @property
    def H(self) -> LinearOperator:
        """Conjugate transpose."""
        return self._adjoint()

    @property
    def T(self) -> LinearOperator:
        """Transpose (not conjugated)."""
        return self._adjoint().conj()

    def conj(self) -> LinearOperator:
        """Complex conjugate; the operator itself when it is real."""
        return self._conj() if is_complex(self) else self

    def __mul__(self, scalar: Scalar) -> LinearOperator:
        if isinstance(scalar, (LinearOperator, list, tuple)) or (hasattr(scalar, "ndim") and not is_scalar(scalar)):
            raise TypeError(
                "* scales an operator by a number. Use @ for products and structkit.kron.hadamard for entrywise."
            )
        if not is_scalar(scalar):
            return NotImplemented
        check_scalar(scalar, self._backend)
        return SCALE(self, plain_scalar(scalar))

    __rmul__ = __mul__

    def __truediv__(self, scalar: Scalar) -> LinearOperator:
        if not is_scalar(scalar):
            return NotImplemented
        return self * (1 / plain_scalar(scalar))  # type: ignore[operator]

    def __neg__(self) -> LinearOperator:
        return self * -1

    def __add__(self, other: object) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return refuse_sum(other)
        if self.shape != other.shape:
            raise ShapeError(f"Operators of shapes {self.shape} and {other.shape} cannot be added.")
        backend_name(*self._arrays, *other._arrays)
        return ADD(self, other)

    def __sub__(self, other: object) -> LinearOperator:
        return self + (-other) if isinstance(other, LinearOperator) else refuse_sum(other)

    # ---- dense values -------------------------------------------------------------------------------
    def to_dense(self, *, max_bytes: int | None = None) -> Array:
        """Return the dense matrix.

        Parameters
        ----------
        max_bytes : int, optional
            Largest allowed result in bytes; by default what the machine has available.

        Returns
        -------
        array, shape ``(M, N)``

        Raises
        ------
        SizeError
            Before anything is allocated, if the matrix does not fit.
        """
        n_bytes = math.prod(self.shape) * self._itemsize()
        if max_bytes is not None and n_bytes > max_bytes:
            raise SizeError(
                f"The dense matrix of {self!r} takes {n_bytes} bytes and max_bytes is {max_bytes}. "
                "Keep the operator, or raise max_bytes."
            )
        self._check_memory(math.prod(self.shape), f"The dense matrix of {self!r}")
        return self._dense(self._context())

    def diagonal(self) -> Array:
        """Return the diagonal ``(N,)`` of a square operator.

        Raises
        ------
        ShapeError
            If the operator is not square.
        SizeError
            If a vector of this length does not fit in memory.
        """
        self._check_square("diagonal")
        self._check_memory(self.shape[0], f"A vector of {self!r}")
        return self._diagonal(self._context())

    def trace(self) -> Array:
        """Return the sum of the diagonal of a square operator as a scalar."""
        self._check_square("trace")
        return self._trace(self._context())

    def _check_square(self, operation: str) -> None:
        if not self.is_square:
            raise ShapeError(f"{type(self).__name__} has shape {self.shape}; {operation} needs a square operator.")

    def as_scipy(self) -> ScipyLinearOperator:
        """Return a `scipy.sparse.linalg.LinearOperator` with the same action.

        Raises
        ------
        BackendMismatchError
            If the operator holds torch tensors.
        SizeError
            If a vector of this length does not fit in memory.
        """
        from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

        if self._backend == "torch":
            raise BackendMismatchError("scipy operators act on numpy arrays; this one holds torch arrays.")
        self._check_memory(max(self.shape), f"A vector of {self!r}")
        adjoint = self.H
        return ScipyLinearOperator(
            self.shape,
            matvec=lambda x: self @ x.reshape(-1),
            rmatvec=lambda x: adjoint @ x.reshape(-1),
            matmat=lambda X: self @ X,
            rmatmat=lambda X: adjoint @ X,
            dtype=self.dtype,
        )


class Adjoint(LinearOperator):
    """Conjugate transpose of an operator without a rule of its own."""

    def __init__(self, op: LinearOperator) -> None:
        super().__init__(op.shape[::-1], (op,), row_sizes=op.column_sizes, column_sizes=op.row_sizes)
        self.op = op

    def _matmat(self, X: Array) -> Array:
        return self.op._adjoint_matmat(X)

    def _adjoint_matmat(self, X: Array) -> Array:
        return self.op._matmat(X)

    def _adjoint(self) -> LinearOperator:
        return self.op

    def _dense(self, ctx: Context) -> Array:
        return ctx.xp.conj(ctx.xp.matrix_transpose(self.op._dense(ctx)))

    def _diagonal(self, ctx: Context) -> Array:
        return ctx.xp.conj(self.op._diagonal(ctx))


class Conjugate(LinearOperator):
    """Complex conjugate of an operator without a rule of its own."""

    def __init__(self, op: LinearOperator) -> None:
        super().__init__(op.shape, (op,), row_sizes=op.row_sizes, column_sizes=op.column_sizes)
        self.op = op

    def _matmat(self, X: Array) -> Array:
        xp = get_namespace(X)
        return xp.conj(self.op._matmat(xp.conj(X)))

    def _adjoint_matmat(self, X: Array) -> Array:
        xp = get_namespace(X)
        return xp.conj(self.op._adjoint_matmat(xp.conj(X)))

    def _conj(self) -> LinearOperator:
        return self.op

    def _dense(self, ctx: Context) -> Array:
        return ctx.xp.conj(self.op._dense(ctx))

    def _diagonal(self, ctx: Context) -> Array:
        return ctx.xp.conj(self.op._diagonal(ctx))
