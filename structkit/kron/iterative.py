"""Conjugate gradients on operators, matrices and callables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple, TypeAlias, Union

from structkit._backend.namespace import as_array, backend_name, cast, get_namespace, result_dtype
from structkit._core.errors import ConvergenceWarning, ShapeError
from structkit._core.results import Result
from structkit._core.types import Array
from structkit.kron._implicit import solution
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.convert import as_operator

__all__ = ["CGState", "Preconditioner", "cg"]

Apply: TypeAlias = Callable[[Array], Array]
Preconditioner: TypeAlias = Union[LinearOperator, Array, Apply]

# Restarts from the true residual when the updated one has drifted away from it; each must gain a factor of two.
MAX_RESTARTS = 8
DEFAULT_MAX_ITER = 1000


class CGState(NamedTuple):
    """What a callback of `cg` sees after each iteration.

    Attributes
    ----------
    n_iter : int
        Iterations done.
    residual : float
        Largest relative residual over the columns, as updated by the recursion (dimensionless).
    value : array, shape ``(N, k)``
        Current solution, updated in place by the iteration: copy it to keep it.
    """

    n_iter: int
    residual: float
    value: Array


def cg(
    op: LinearOperator | Array | Apply,
    b: Array,
    *,
    preconditioner: Preconditioner | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
    x0: Array | None = None,
    callback: Callable[[CGState], bool | None] | None = None,
) -> Result:
    r"""Solve a Hermitian positive definite system by preconditioned conjugate gradients.

    Columns share one product per iteration and converge separately: a finished column is frozen and no longer
    multiplied. The residual in the result is recomputed from the operator, and where the recursion has drifted away
    from it the iteration restarts. In torch, gradients to `b` and to all that `op` is made of are those of the exact
    solution, found by further solves; only through a callable do they follow the iteration.

    Parameters
    ----------
    op : LinearOperator, array, scipy sparse matrix or callable, shape ``(N, N)``
        The system. A callable maps ``(N, k)`` to ``(N, k)``.
    b : array, shape ``(N,)``, ``(N, k)`` or ``(..., N, k)``
        Right-hand sides; not modified.
    preconditioner : LinearOperator, array or callable, optional
        Approximate inverse, Hermitian positive definite: what `inverse` returns for an operator close to `op`.
        Default: none.
    tol : float, > 0
        Relative residual ``|b - A x| / |b|`` to reach in every column (dimensionless). Default 1e-10, near what double
        precision can reach.
    max_iter : int, optional
        Most iterations. Default ``min(10 N, 1000)``: in exact arithmetic `N` are enough, and a system that needs
        more than a thousand needs a preconditioner.
    x0 : array, shape as `b`, optional
        Starting point. Default zero.
    callback : callable, optional
        Called with a `CGState` after each iteration; returning True stops.

    Returns
    -------
    Result
        ``value`` (as `b`), ``status``, ``n_iter``, ``residual``; see `Result.message` for causes and remedies.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Warns
    -----
    ConvergenceWarning
        If the iteration ends without reaching `tol`, unless the callback stopped it.

    References
    ----------
    .. [1] Hestenes, Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49, 1952.
    .. [2] Golub, Van Loan, "Matrix Computations", 4th ed., 2013, algorithm 11.5.1.

    Examples
    --------
    >>> import numpy as np
    >>> result = cg(np.diag([1.0, 2.0, 4.0]), np.ones(3))
    >>> result.status, result.n_iter
    ('converged', 3)
    >>> result.value.round(12).tolist()
    [1.0, 0.5, 0.25]
    """
    result = solve_cg(op, b, preconditioner=preconditioner, tol=tol, max_iter=max_iter, x0=x0, callback=callback)
    warn_unconverged(result, tol, stacklevel=3)
    return result


def solve_cg(
    op: LinearOperator | Array | Apply,
    b: Array,
    *,
    preconditioner: Preconditioner | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
    x0: Array | None = None,
    callback: Callable[[CGState], bool | None] | None = None,
) -> Result:
    """Do what `cg` does, without the warning."""
    if not tol > 0:
        raise ValueError(f"tol is {tol}; expected a positive relative residual, for example 1e-10.")
    rhs = as_array(b, "b")
    if rhs.ndim == 0:
        raise ShapeError("b is a scalar; expected shape (N,), (N, k) or (..., N, k).")
    apply, dtype = _as_apply(op, rhs, "op")
    precondition, dtype = _as_apply(preconditioner, rhs, "preconditioner", dtype)
    xp = get_namespace(rhs)
    columns, restore = _as_columns(xp, cast(rhs, dtype))
    start = None
    if x0 is not None:
        guess = as_array(x0, "x0")
        if tuple(guess.shape) != tuple(rhs.shape):
            raise ShapeError(f"x0 has shape {tuple(guess.shape)}; expected that of b, {tuple(rhs.shape)}.")
        backend_name(rhs, guess)
        start = _as_columns(xp, cast(guess, dtype))[0]
    limit = min(10 * columns.shape[0], DEFAULT_MAX_ITER) if max_iter is None else max_iter
    results: list[Result] = []

    def iterate(right: Array) -> Array:
        """Solve; every call after the first is one for gradients."""
        options = (None, None) if results else (start, callback)
        result = Result(*_Run(xp, apply, precondition, right, tol, limit, options[1]).solve(options[0]))
        if results:
            warn_unconverged(result, tol, stacklevel=5)
        results.append(result)
        return result.value

    whole = iterate(columns) if _is_function(op) else solution(as_operator(op), columns, iterate)
    return replace(results[0], value=restore(whole))


def warn_unconverged(result: Result, tol: float, stacklevel: int) -> None:
    """Emit a ConvergenceWarning with causes and remedies unless the tolerance was reached or a callback stopped."""
    if result.status not in ("converged", "callback"):
        warnings.warn(
            f"cg stopped after {result.n_iter} iterations at relative residual {result.residual:.2e} (tol {tol:.1e}), "
            f"status {result.status!r}. {result.message}",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _as_apply(op: object, b: Array, name: str, dtype: object = None) -> tuple[Apply, object]:
    """Turn an operator, matrix or callable into a function of ``(N, k)``, and find the common dtype."""
    dtype = b.dtype if dtype is None else dtype
    if op is None:
        return (lambda x: x), dtype
    if _is_function(op):
        return op, dtype  # type: ignore[return-value]
    operator = as_operator(op)
    n = b.shape[0] if b.ndim == 1 else b.shape[-2]
    if operator.shape != (n, n):
        raise ShapeError(f"{name} has shape {operator.shape}; expected ({n}, {n}), the rows of b {tuple(b.shape)}.")
    if operator._arrays:
        operator._check_backend(b)
        ctx = operator._context()
        dtype = result_dtype(ctx.zeros((0,)), ctx.xp.zeros((0,), dtype=dtype, device=ctx.device))
    return (lambda x: operator @ x), dtype  # type: ignore[return-value]


def _is_function(op: object) -> bool:
    return callable(op) and not isinstance(op, LinearOperator)


def _as_columns(xp: ModuleType, b: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Bring vectors and batches to (N, k), with the way back."""
    if b.ndim == 1:
        return b[:, None], lambda x: x[:, 0]
    if b.ndim == 2:
        return b, lambda x: x
    *batch, n, k = b.shape
    flat = xp.moveaxis(b, -2, 0).reshape((n, -1) if b.size else (n, math.prod(batch) * k))  # type: ignore[attr-defined]
    return flat, lambda x: xp.moveaxis(x.reshape((n, *batch, k)), 0, -2)


class _Run:
    """One call of `cg`: the loop, its bookkeeping of columns, and its tests."""

    def __init__(
        self,
        xp: ModuleType,
        apply: Apply,
        precondition: Apply,
        b: Array,
        tol: float,
        limit: int,
        callback: Callable[[CGState], bool | None] | None,
    ) -> None:
        self.xp, self.apply, self.precondition = xp, apply, precondition
        self.b, self.tol, self.limit, self.callback = b, tol, limit, callback
        norms = xp.linalg.vector_norm(b, axis=0)
        self.scale = xp.where(norms > 0, norms, xp.ones_like(norms))  # type: ignore[operator]
        self.n_iter = 0

    def dots(self, a: Array, c: Array) -> Array:
        """Real inner products column by column."""
        return self.xp.real(self.xp.vecdot(a, c, axis=0)) if _is_complex(self.xp, a) else self.xp.vecdot(a, c, axis=0)

    def relative(self, r: Array, columns: Array | None = None) -> Array:
        scale = self.scale if columns is None else self.scale[columns]
        return self.xp.linalg.vector_norm(r, axis=0) / scale

    def solve(self, x0: Array | None) -> tuple[Array, str, int, float]:
        """Iterate, restarting from the true residual, until a status is reached."""
        xp, b = self.xp, self.b
        x = xp.zeros_like(b) if x0 is None else x0 * 1
        best = math.inf
        for _ in range(MAX_RESTARTS):
            r = b - self.apply(x) if (self.n_iter or x0 is not None) else b * 1
            errors = self.relative(r)
            worst = float(xp.max(errors)) if b.shape[1] else 0.0
            if not math.isfinite(worst):
                return x, "not_finite", self.n_iter, worst
            if worst <= self.tol:
                return x, "converged", self.n_iter, worst
            if worst > best / 2:
                return x, "stagnation", self.n_iter, worst
            best = worst
            active = xp.nonzero(errors > self.tol)[0]  # type: ignore[operator]
            x, status = self.sweep(x, r, active)
            if status is not None:
                return x, status, self.n_iter, float(xp.max(self.relative(b - self.apply(x))))
        return x, "stagnation", self.n_iter, worst

    def sweep(self, x: Array, r: Array, active: Array) -> tuple[Array, str | None]:
        """Run the recursion until every active column looks converged (status None) or something stops it."""
        xp = self.xp
        r = xp.take(r, active, axis=1)
        z = self.precondition(r)
        p, rz = z, self.dots(r, z)
        while self.n_iter < self.limit:
            if not bool(xp.all(rz > 0)):  # type: ignore[operator]
                return x, self.failure(rz)
            q = self.apply(p)
            curvature = self.dots(p, q)
            if not bool(xp.all(curvature > 0)):  # type: ignore[operator]
                return x, self.failure(curvature)
            alpha = rz / curvature
            x = _add_columns(xp, x, alpha * p, active)
            r = r - alpha * q
            self.n_iter += 1
            errors = self.relative(r, active)
            if self.callback is not None and self.callback(CGState(self.n_iter, float(xp.max(errors)), x)):
                return x, "callback"
            keep = errors > self.tol  # type: ignore[operator]
            if not bool(xp.all(keep)):
                left = xp.nonzero(keep)[0]
                if left.shape[0] == 0:
                    return x, None
                active, rz = active[left], rz[left]
                r, p = xp.take(r, left, axis=1), xp.take(p, left, axis=1)
            z = self.precondition(r)
            new = self.dots(r, z)
            p = z + (new / rz) * p
            rz = new
        return x, "max_iter"

    def failure(self, values: Array) -> str:
        """Tell overflow and NaN from loss of positive definiteness."""
        return "breakdown" if bool(self.xp.all(self.xp.isfinite(values))) else "not_finite"


def _is_complex(xp: ModuleType, a: Array) -> bool:
    return xp.isdtype(a.dtype, "complex floating")


def _add_columns(xp: ModuleType, x: Array, update: Array, columns: Array) -> Array:
    """Add to some columns; in place unless a gradient is recorded or a callable operator widened the dtype."""
    whole = columns.shape[0] == x.shape[1]
    x = cast(x, result_dtype(x, update))
    if getattr(x, "requires_grad", False) or getattr(update, "requires_grad", False):
        return x + update if whole else x.index_add(1, columns, update)  # type: ignore[attr-defined]
    if whole:
        x += update
    else:
        x[:, columns] += update  # type: ignore[index]
    return x
