"""Rows and columns of an operator at the observed cells."""

from __future__ import annotations

import threading

import numpy as np

from structkit._backend.namespace import cast, get_namespace, is_torch
from structkit._core.errors import ShapeError
from structkit._core.types import Array, Shape
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.products import kron_matmul

__all__ = ["Masked"]


class Masked(LinearOperator):
    r"""Submatrix of an operator, :math:`M A M^T`, where :math:`M` keeps the observed cells.

    A product scatters the observed values into one full-length buffer, applies the operator and gathers: one vector
    of extra memory, kept between calls for numpy arrays; for Kronecker products of dense factors a second one.

    Parameters
    ----------
    op : LinearOperator, shape ``(N, N)``
        The operator on the full grid.
    mask : array of bool, shape ``(N,)`` or ``op.row_sizes``
        True where observed.
    column_mask : array of bool, optional
        Another mask for the columns, for the block between two sets of cells. Default: `mask`.

    Attributes
    ----------
    op : LinearOperator
    rows, columns : array of int
        Flat positions of the cells kept.

    Raises
    ------
    ShapeError
        If a mask does not fit the operator.
    TypeError
        If a mask is not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.kron import Kronecker
    >>> K = Kronecker(np.eye(2), np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> Masked(K, np.array([[True, True], [False, True]])).to_dense().tolist()
    [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    """

    def __init__(self, op: LinearOperator, mask: Array, column_mask: Array | None = None) -> None:
        self.rows = _positions(mask, op.row_sizes, "mask")
        same = column_mask is None or column_mask is mask
        if same and op.shape[0] != op.shape[1]:
            raise ShapeError(f"{op!r} is not square; give a mask for its rows and a column_mask for its columns.")
        self.columns = self.rows if same else _positions(column_mask, op.column_sizes, "column_mask")
        super().__init__((len(self.rows), len(self.columns)), (op,))
        self.op = op
        self._local = threading.local()

    @classmethod
    def _from_positions(cls, op: LinearOperator, rows: np.ndarray, columns: np.ndarray) -> Masked:
        new = cls.__new__(cls)
        LinearOperator.__init__(new, (len(rows), len(columns)), (op,))
        new.op, new.rows, new.columns, new._local = op, rows, columns, threading.local()
        return new

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_local"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    @property
    def is_principal(self) -> bool:
        """Whether rows and columns are the same cells."""
        return self.columns is self.rows

    def _scatter(self, X: Array, positions: np.ndarray, n: int) -> Array:
        """Full-length array with `X` at `positions` along the last but one (for vectors the only) axis."""
        shape = (n,) if X.ndim == 1 else (*X.shape[:-2], n, X.shape[-1])
        if is_torch(X):
            index = self._index_tensor(X, positions)
            zeros = X.new_zeros(shape)  # type: ignore[attr-defined]
            return zeros.index_copy(0 if X.ndim == 1 else X.ndim - 2, index, X)
        # Only the observed positions are ever written, so the zeros in between survive from call to call.
        slot = "rows" if positions is self.rows else "columns"
        buffer = getattr(self._local, slot, None)
        if buffer is None or buffer.shape != shape or buffer.dtype != X.dtype:
            buffer = np.zeros(shape, X.dtype)  # type: ignore[call-overload]
            setattr(self._local, slot, buffer)
        if X.ndim == 1:
            buffer[positions] = X
        else:
            buffer[..., positions, :] = X
        return buffer

    def _index_tensor(self, X: Array, positions: np.ndarray) -> Array:
        """Positions on the device of `X`, moved there once."""
        slot = "row_index" if positions is self.rows else "column_index"
        index = getattr(self._local, slot, None)
        if index is None or index.device != X.device:  # type: ignore[attr-defined]
            index = get_namespace(X).asarray(positions.copy(), device=X.device)  # type: ignore[attr-defined]
            setattr(self._local, slot, index)
        return index

    def _gather(self, Y: Array, positions: np.ndarray) -> Array:
        if is_torch(Y):
            index = self._index_tensor(Y, positions)
            return get_namespace(Y).take(Y, index, axis=0 if Y.ndim == 1 else Y.ndim - 2)
        # take() would copy the read-only index first, which only columns make up for
        return Y[positions] if Y.ndim == 1 else np.take(Y, positions, axis=Y.ndim - 2)  # type: ignore[index, call-overload]

    def _matmat(self, X: Array) -> Array:
        full = self._scatter(X, self.columns, self.op.shape[1])
        return self._kronecker_product(full) if self._is_dense_kronecker(X) else self._gathered(self.op._matmat(full))

    def _matvec(self, x: Array) -> Array:
        full = self._scatter(x, self.columns, self.op.shape[1])
        return self._kronecker_product(full) if self._is_dense_kronecker(x) else self._gathered(self.op._matvec(full))

    def _gathered(self, Y: Array) -> Array:
        return self._gather(Y, self.rows)

    def _is_dense_kronecker(self, X: Array) -> bool:
        """Whether the product may be written into a buffer of our own."""
        op = self.op
        return isinstance(op, Kronecker) and op.arrays is not None and not is_torch(X) and X.dtype == op.dtype

    def _kronecker_product(self, full: Array) -> Array:
        """Apply the operator to a full-length array through a result buffer that is kept, and gather."""
        op: Kronecker = self.op  # type: ignore[assignment]
        shape = (op.shape[0], *full.shape[1:]) if full.ndim == 1 else (*full.shape[:-2], op.shape[0], full.shape[-1])
        buffer = getattr(self._local, "result", None)
        if buffer is None or buffer.shape != shape or buffer.dtype != full.dtype:
            buffer = np.empty(shape, full.dtype)  # type: ignore[call-overload]
            self._local.result = buffer
        return op._scaled(self._gathered(kron_matmul(op.arrays, full, out=buffer)))  # type: ignore[arg-type]

    def _adjoint_matmat(self, X: Array) -> Array:
        full = self.op._adjoint_matmat(self._scatter(X, self.rows, self.op.shape[0]))
        return self._gather(full, self.columns)

    def _adjoint(self) -> LinearOperator:
        return self._from_positions(self.op.H, self.columns, self.rows)

    def _conj(self) -> LinearOperator:
        return self._from_positions(self.op.conj(), self.rows, self.columns)

    def _diagonal(self, ctx: Context) -> Array:
        if not self.is_principal:
            return super()._diagonal(ctx)
        return self._gather(cast(self.op._diagonal(ctx), ctx.dtype), self.rows)

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the boolean masks of rows and columns, flat."""
        row, column = np.zeros(self.op.shape[0], bool), np.zeros(self.op.shape[1], bool)
        row[self.rows] = True
        column[self.columns] = True
        return row, column

    def with_operator(self, op: LinearOperator) -> Masked:
        """Return the same cells of another operator of the same shape.

        Parameters
        ----------
        op : LinearOperator, shape as that of ``self.op``

        Returns
        -------
        Masked
        """
        if op.shape != self.op.shape:
            raise ShapeError(f"op has shape {op.shape}; the masks fit {self.op.shape}.")
        return self._from_positions(op, self.rows, self.columns)


def _positions(mask: object, sizes: Shape, name: str) -> np.ndarray:
    """Flat positions of the True cells of a mask."""
    m = mask.detach().cpu().numpy() if is_torch(mask) else np.asarray(mask)  # type: ignore[attr-defined]
    if m.dtype != bool:
        raise TypeError(
            f"{name} has dtype {m.dtype}; expected booleans, True where observed (for NaN data: ~np.isnan(y))."
        )
    n = 1
    for s in sizes:
        n *= s
    if m.shape not in ((n,), tuple(sizes)):
        raise ShapeError(f"{name} has shape {m.shape}; expected ({n},) or {tuple(sizes)}.")
    positions = np.flatnonzero(m)
    positions.flags.writeable = False
    return positions
