"""Block tridiagonal operator: precision matrices of state-space models, discretised differential operators."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze

__all__ = ["BlockTridiagonal"]


class BlockTridiagonal(LinearOperator):
    r"""Block tridiagonal matrix of ``T`` blocks of size ``s``, solved in :math:`O(T s^3)`.

    Parameters
    ----------
    diag : array, shape ``(T, s, s)``
        Diagonal blocks.
    lower : array, shape ``(T - 1, s, s)``
        Blocks under the diagonal: ``lower[t]`` is block ``(t + 1, t)``.
    upper : array, shape ``(T - 1, s, s)``, optional
        Blocks over the diagonal: ``upper[t]`` is block ``(t, t + 1)``. Default: the conjugate transpose of `lower`.

    Attributes
    ----------
    diag, lower, upper : array
    is_hermitian : bool
        True where `upper` was not given; the diagonal blocks are then taken to be Hermitian, and checked when the
        operator is solved.

    Raises
    ------
    ShapeError
        If the blocks are not square or their numbers do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> A = BlockTridiagonal(2 * np.ones((3, 1, 1)), -np.ones((2, 1, 1)))
    >>> A.to_dense().tolist()
    [[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]]
    """

    def __init__(self, diag: Array, lower: Array, upper: Array | None = None) -> None:
        self.diag = freeze(diag, "diag", 3)
        self.lower = freeze(lower, "lower", 3)
        self.is_hermitian = upper is None
        xp = get_namespace(self.diag)
        self.upper = freeze(xp.conj(xp.matrix_transpose(self.lower)) if upper is None else upper, "upper", 3)
        steps, s, s2 = self.diag.shape
        if s != s2 or steps == 0:
            raise ShapeError(f"diag has shape {tuple(self.diag.shape)}; expected (T, s, s) with T >= 1.")
        for name in ("lower", "upper"):
            got = tuple(getattr(self, name).shape)
            if got != (steps - 1, s, s):
                raise ShapeError(f"{name} has shape {got}; expected {(steps - 1, s, s)} beside diag {(steps, s, s)}.")
        arrays = (self.diag, self.lower) if upper is None else (self.diag, self.lower, self.upper)
        super().__init__((steps * s, steps * s), arrays, row_sizes=(steps, s), column_sizes=(steps, s))

    def _matmat(self, X: Array) -> Array:
        steps, s = self.row_sizes
        x = X.reshape((*X.shape[:-2], steps, s, X.shape[-1]))
        xp = get_namespace(X)
        y = cast(self.diag, X.dtype) @ x
        if steps > 1:
            below = cast(self.lower, X.dtype) @ x[..., :-1, :, :]
            above = cast(self.upper, X.dtype) @ x[..., 1:, :, :]
            edge = xp.zeros_like(y[..., :1, :, :])
            y = y + xp.concat([edge, below], axis=-3) + xp.concat([above, edge], axis=-3)
        return y.reshape(X.shape)  # type: ignore[arg-type]

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._adjoint()._matmat(X)

    def _adjoint(self) -> LinearOperator:
        xp = get_namespace(self.diag)

        def flip(blocks: Array) -> Array:
            return xp.conj(xp.matrix_transpose(blocks))

        if self.is_hermitian:
            return BlockTridiagonal(flip(self.diag), self.lower)
        return BlockTridiagonal(flip(self.diag), flip(self.upper), flip(self.lower))

    def _conj(self) -> LinearOperator:
        xp = get_namespace(self.diag)
        upper = None if self.is_hermitian else xp.conj(self.upper)
        return BlockTridiagonal(xp.conj(self.diag), xp.conj(self.lower), upper)

    def _diagonal(self, ctx: Context) -> Array:
        return cast(ctx.xp.linalg.diagonal(self.diag).reshape(-1), ctx.dtype)
