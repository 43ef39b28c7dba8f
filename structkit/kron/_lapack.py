"""Factorise one square factor, judge its condition, and solve with it along the rows of a matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from structkit._backend.namespace import is_torch
from structkit._core.errors import NotFiniteError, NotPositiveDefiniteError, SingularFactorError
from structkit._core.types import Array
from structkit.kron._symmetric import machine_eps

__all__ = ["check_rcond", "factorise"]

RowSolver = Callable[[Array], Array]


def factorise(a: Array, assume: str, position: int) -> RowSolver:
    """Return a function that solves ``A x = y`` for every row ``y`` of a matrix ``(rows, n)``."""
    if is_torch(a):
        from structkit._backend import torch_solve

        solver, rcond = torch_solve.factorise(a, assume, _not_positive(position, tuple(a.shape)))
        check_rcond(rcond, a, position)
        return solver
    return _factorise_numpy(np.asarray(a), assume, position)


def check_rcond(rcond: float, a: Array, position: int) -> None:
    """Raise unless the reciprocal condition number is at least ``n eps``."""
    n = a.shape[-1]
    limit = n * machine_eps(a)
    if np.isnan(rcond):
        raise NotFiniteError(f"factors[{position}] of shape {tuple(a.shape)} contains NaN or infinity.")
    if rcond < limit:
        raise SingularFactorError(
            f"factors[{position}] of shape {tuple(a.shape)} is singular to working precision: its reciprocal condition "
            f"number is {rcond:.3g}, below n * eps = {limit:.3g}. Add noise (noise_var=...), or use least squares."
        )


def _not_positive(position: int, shape: tuple[int, ...]) -> NotPositiveDefiniteError:
    """The error for a factor without a Cholesky factor."""
    return NotPositiveDefiniteError(
        f"factors[{position}] of shape {shape} is not positive definite. "
        'Add noise (noise_var=...), or use assume="sym" for an indefinite factor.'
    )


def _factorise_numpy(a: np.ndarray, assume: str, position: int) -> RowSolver:
    """Factorise with LAPACK; the rows of a C-ordered matrix are the columns LAPACK wants, so nothing is copied."""
    from scipy.linalg import lapack

    if not np.isfinite(a).all():
        check_rcond(np.nan, a, position)
    norm = float(abs(a).sum(axis=0).max())
    kind = {"general": "ge", "sym": "he" if np.iscomplexobj(a) else "sy", "pos": "po"}.get(assume, "tr")
    if kind == "tr":
        trcon, trtrs = lapack.get_lapack_funcs(("trcon", "trtrs"), (a,))
        lower = int(assume == "lower")
        fortran = np.asfortranarray(a)
        rcond, _ = trcon(fortran, uplo="L" if lower else "U")
        check_rcond(float(rcond), a, position)
        return lambda y: _columns(trtrs, y, fortran, lower=lower)
    if kind == "ge":
        getrf, gecon, getrs = lapack.get_lapack_funcs(("getrf", "gecon", "getrs"), (a,))
        lu, pivots, info = getrf(a)
        rcond = gecon(lu, norm)[0] if info == 0 else 0.0
        check_rcond(float(rcond), a, position)
        return lambda y: _columns(getrs, y, lu, pivots)
    if kind == "po":
        potrf, pocon, potrs = lapack.get_lapack_funcs(("potrf", "pocon", "potrs"), (a,))
        c, info = potrf(a, lower=True, clean=False)
        if info > 0:
            raise _not_positive(position, a.shape)
        check_rcond(float(pocon(c, norm, uplo="L")[0]), a, position)
        return lambda y: _columns(potrs, y, c, lower=True)
    trf, con, trs = lapack.get_lapack_funcs((f"{kind}trf", f"{kind}con", f"{kind}trs"), (a,))
    ldl, pivots, info = trf(a, lower=True)
    rcond = con(ldl, pivots, norm, lower=True)[0] if info == 0 else 0.0
    check_rcond(float(rcond), a, position)
    return lambda y: _columns(trs, y, ldl, pivots, lower=True)


def _columns(solve: Callable[..., tuple], y: Array, *factorisation: object, **options: object) -> np.ndarray:
    """Call a LAPACK solver on the rows of `y`."""
    rows = np.ascontiguousarray(y)
    arguments = (*factorisation, rows.T)
    x, _ = solve(*arguments, **options)
    return x.T
