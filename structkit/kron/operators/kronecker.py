"""The Kronecker product operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from structkit._backend.namespace import cast
from structkit._core.errors import ShapeError
from structkit._core.types import Array, Shape
from structkit._core.validation import check_memory
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, Scalar, check_scalar, eps_of, is_complex, plain_scalar
from structkit.kron.operators.convert import as_factor
from structkit.kron.operators.dense import Dense
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.lazy import Scaled
from structkit.kron.products import kron_matmul

__all__ = ["Kronecker"]


class Kronecker(LinearOperator):
    r"""Kronecker product of any number of factors, :math:`c\, A_1 \otimes \dots \otimes A_D`, never formed.

    Row-major order: the first factor is the slowest, and for two factors
    ``Kronecker(A, B) @ X.ravel() == (A @ X @ B.T).ravel()``. Neighbouring dense factors are applied together by
    `kron_matmul`; every other factor by its own rule (Fourier transform, sparse product, broadcast, nothing at all
    for an identity), in the cheapest order.

    Parameters
    ----------
    *factors : array, scipy sparse matrix or LinearOperator, shapes ``(m_d, n_d)``
        First factor slowest; rectangular factors are allowed. A Kronecker among them is flattened.
    scale : float or complex, optional
        Number :math:`c` in front, kept apart so that no factor is copied. Default 1.

    Attributes
    ----------
    factors : tuple of LinearOperator
    scale : float, complex or array without dimensions
    row_sizes, column_sizes : tuple of int
        The ``m_d`` and the ``n_d``.

    Raises
    ------
    ShapeError
        If there is no factor, or a factor is not a matrix.

    References
    ----------
    .. [1] Van Loan, "The ubiquitous Kronecker product", J. Comput. Appl. Math. 123, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> K = Kronecker(np.diag([1.0, 2.0]), np.ones((1, 3)))
    >>> K.shape
    (2, 6)
    >>> (K @ np.ones(6)).tolist()
    [3.0, 6.0]
    """

    def __init__(self, *factors: object, scale: Scalar = 1) -> None:
        if not factors:
            raise ShapeError("Kronecker needs at least one factor; got none.")
        scale = plain_scalar(scale)
        flat: list[LinearOperator] = []
        for i, factor in enumerate(factors):
            op = as_factor(factor, i)
            if isinstance(op, Scaled):
                scale, op = scale * op.scalar, op.op  # type: ignore[operator]
            if isinstance(op, Kronecker):
                scale = scale * op.scale  # type: ignore[operator]
                flat.extend(op.factors)
            else:
                flat.append(op)
        rows, columns = tuple(f.shape[0] for f in flat), tuple(f.shape[1] for f in flat)
        super().__init__(
            (math.prod(rows), math.prod(columns)),
            flat,
            row_sizes=rows,
            column_sizes=columns,
            is_complex=is_complex(scale),
        )
        check_scalar(scale, self._backend)
        self.factors: tuple[LinearOperator, ...] = tuple(_widen(f, self.dtype) for f in flat)
        self.scale: Scalar = scale
        self._arrays_of_factors: list[Array] | None = None
        if all(isinstance(f, Dense) for f in self.factors):
            self._arrays_of_factors = [f.matrix for f in self.factors]  # type: ignore[attr-defined]

    @property
    def arrays(self) -> list[Array] | None:
        """The factors' matrices if all of them are dense, else None."""
        return self._arrays_of_factors

    @property
    def has_square_factors(self) -> bool:
        """Whether every factor is square (stronger than a square product)."""
        return self.row_sizes == self.column_sizes

    # ---- action -------------------------------------------------------------------------------------
    def _groups(self) -> Iterator[tuple[int, int, tuple[LinearOperator, ...]]]:
        """Runs of dense neighbours and single other factors, as (first, one past last, factors)."""
        position = 0
        for dense, run in groupby(self.factors, key=lambda f: isinstance(f, Dense)):
            members = tuple(run)
            for part in (members,) if dense else tuple((f,) for f in members):
                yield position, position + len(part), part
                position += len(part)

    def _apply(self, X: Array, adjoint: bool) -> Array:
        """Apply to (..., N, k), one group of factors after the other, cheapest order first."""
        batch, k = tuple(X.shape[:-2]), X.shape[-1]
        sizes: list[int] = list(self.row_sizes if adjoint else self.column_sizes)
        out_sizes = self.column_sizes if adjoint else self.row_sizes
        steps = [g for g in self._groups() if not all(isinstance(f, Identity) for f in g[2])]
        steps.sort(key=lambda g: _order_key(sizes[g[0] : g[1]], out_sizes[g[0] : g[1]]))
        y = X
        for start, stop, members in steps:
            left, here = math.prod(sizes[:start]), math.prod(sizes[start:stop])
            right = math.prod(sizes[stop:]) * k
            y = y.reshape((*batch, here, right) if left == 1 else (*batch, left, here, right))  # type: ignore[arg-type]
            if isinstance(members[0], Dense):
                y = kron_matmul([f.matrix for f in members], y, adjoint=adjoint)  # type: ignore[attr-defined]
            else:
                y = members[0]._adjoint_matmat(y) if adjoint else members[0]._matmat(y)
            sizes[start:stop] = out_sizes[start:stop]
        return (y * 1 if y is X else y).reshape((*batch, math.prod(out_sizes), k))  # type: ignore[arg-type]

    def _matmat(self, X: Array) -> Array:
        arrays = self.arrays
        return self._scaled(kron_matmul(arrays, X) if arrays is not None else self._apply(X, False))

    def _matvec(self, x: Array) -> Array:
        arrays = self.arrays
        return self._scaled(kron_matmul(arrays, x) if arrays is not None else self._apply(x[:, None], False)[:, 0])

    def _adjoint_matmat(self, X: Array) -> Array:
        arrays = self.arrays
        y = kron_matmul(arrays, X, adjoint=True) if arrays is not None else self._apply(X, True)
        return y if _is_one(self.scale) else _conjugate(self.scale) * y  # type: ignore[operator]

    def _scaled(self, y: Array) -> Array:
        return y if _is_one(self.scale) else self.scale * y  # type: ignore[operator]

    def _adjoint(self) -> LinearOperator:
        return Kronecker(*(f.H for f in self.factors), scale=_conjugate(self.scale))

    def _conj(self) -> LinearOperator:
        return Kronecker(*(f.conj() for f in self.factors), scale=_conjugate(self.scale))

    # ---- dense values -------------------------------------------------------------------------------
    def _dense(self, ctx: Context) -> Array:
        out = cast(self.factors[0]._dense(ctx), ctx.dtype)
        for f in self.factors[1:]:
            b = f._dense(ctx)
            shape = (out.shape[0] * b.shape[0], out.shape[1] * b.shape[1])
            out = (out[:, None, :, None] * b[None, :, None, :]).reshape(shape)  # type: ignore[arg-type]
        return self._scaled(out)

    def _diagonal(self, ctx: Context) -> Array:
        if self.has_square_factors:
            out = ctx.ones((1,))
            for f in self.factors:
                out = (out[:, None] * cast(f._diagonal(ctx), ctx.dtype)[None, :]).reshape(-1)
            return self._scaled(out)
        # A square product of rectangular factors: row and column multi-indices of one flat index differ.
        n = self.shape[0]
        check_memory(2 * len(self.factors) * 8 * n, f"The index of the diagonal of {self!r}")
        rows = np.unravel_index(np.arange(n), self.row_sizes)
        columns = np.unravel_index(np.arange(n), self.column_sizes)
        out = ctx.ones((n,))
        for f, i, j in zip(self.factors, rows, columns, strict=True):
            at_rows, at_columns = (ctx.xp.asarray(t, device=ctx.device) for t in (i, j))
            out = out * f._dense(ctx)[at_rows, at_columns]  # type: ignore[index]
        return self._scaled(out)

    def _trace(self, ctx: Context) -> Array:
        if not self.has_square_factors:
            return super()._trace(ctx)
        out = ctx.ones(())
        for f in self.factors:
            out = out * f._trace(ctx)
        return self._scaled(out)


def _widen(op: LinearOperator, dtype: object) -> LinearOperator:
    """Bring a single precision matrix among double precision ones to theirs, once instead of in every product."""
    wide = op.dtype == dtype or eps_of(op.dtype) == eps_of(dtype)
    if wide or not isinstance(op, (Dense, Diagonal)):
        return op
    return op._like(cast(op.matrix, dtype)) if isinstance(op, Dense) else Diagonal(cast(op.values, dtype))


def _is_one(scale: Scalar) -> bool:
    return isinstance(scale, (int, float)) and scale == 1


def _conjugate(scale: Scalar) -> Scalar:
    return scale.conj() if hasattr(scale, "conj") else scale.conjugate()  # type: ignore[union-attr]


def _order_key(sizes: list[int] | Shape, out_sizes: list[int] | Shape) -> float:
    """Shrinking factors first, growing ones last: the order of least work for mode products."""
    n, m = math.prod(sizes), math.prod(out_sizes)
    if m == 0 or n == 0:
        return -math.inf
    return 1 / n - 1 / m
