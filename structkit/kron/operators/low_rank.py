"""Low rank plus diagonal operator."""

from __future__ import annotations

from structkit._backend.namespace import cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, freeze

__all__ = ["LowRankPlusDiagonal"]


class LowRankPlusDiagonal(LinearOperator):
    r"""Diagonal plus low rank, :math:`\mathrm{diag}(d) + U C U^H`.

    Solved by the Woodbury identity in :math:`O(N r^2)`.

    Parameters
    ----------
    U : array, shape ``(N, r)``
        Low-rank factor, usually with ``r`` far below ``N``.
    diag : array, shape ``(N,)`` or scalar
        The diagonal.
    C : array, shape ``(r, r)``, optional
        Middle matrix. Default: the identity.

    Attributes
    ----------
    U, diag, C : array
        `C` is None for the identity.

    Raises
    ------
    ShapeError
        If the shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> (LowRankPlusDiagonal(np.ones((3, 1)), 2.0) @ np.ones(3)).tolist()
    [5.0, 5.0, 5.0]
    """

    def __init__(self, U: Array, diag: Array | float, C: Array | None = None) -> None:
        self.U = freeze(U, "U", 2)
        n, r = self.U.shape
        xp = get_namespace(self.U)
        d = diag if hasattr(diag, "ndim") else xp.asarray(diag, dtype=self.U.dtype, device=self.U.device)  # type: ignore[attr-defined]
        d = freeze(d, "diag")
        self.diag = d * xp.ones((n,), dtype=d.dtype, device=d.device) if d.ndim == 0 else d  # type: ignore[attr-defined]
        if tuple(self.diag.shape) != (n,):
            raise ShapeError(f"diag has shape {tuple(self.diag.shape)}; expected ({n},), the rows of U {(n, r)}.")
        self.C = None if C is None else freeze(C, "C", 2)
        if self.C is not None and tuple(self.C.shape) != (r, r):
            raise ShapeError(f"C has shape {tuple(self.C.shape)}; expected ({r}, {r}), the columns of U {(n, r)}.")
        super().__init__((n, n), (self.U, self.diag) if self.C is None else (self.U, self.diag, self.C))

    def _matmat(self, X: Array) -> Array:
        xp = get_namespace(X)
        U = cast(self.U, X.dtype)
        inner = xp.conj(U).T @ X
        if self.C is not None:
            inner = cast(self.C, X.dtype) @ inner
        return self.diag[:, None] * X + U @ inner

    def _adjoint_matmat(self, X: Array) -> Array:
        return self._adjoint()._matmat(X)

    def _adjoint(self) -> LinearOperator:
        xp = get_namespace(self.U)
        C = None if self.C is None else xp.conj(self.C).T
        return LowRankPlusDiagonal(self.U, xp.conj(self.diag), C)

    def _conj(self) -> LinearOperator:
        xp = get_namespace(self.U)
        return LowRankPlusDiagonal(xp.conj(self.U), xp.conj(self.diag), None if self.C is None else xp.conj(self.C))

    def _diagonal(self, ctx: Context) -> Array:
        U = cast(self.U, ctx.dtype)
        left = U if self.C is None else U @ cast(self.C, ctx.dtype)
        return self.diag + ctx.xp.sum(left * ctx.xp.conj(U), axis=1)
