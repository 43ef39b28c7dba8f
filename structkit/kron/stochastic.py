"""Log-determinants by stochastic Lanczos quadrature, with their standard error."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from structkit._backend.namespace import as_array, cast, is_torch
from structkit._core.errors import ConvergenceWarning, NotFiniteError, NotPositiveDefiniteError, ShapeError
from structkit._core.random import check_random_state
from structkit._core.types import Array, RandomState
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.common import Context, is_complex
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.convert import as_operator
from structkit.kron.rules.tables import SLOGDET, SQRTM, require_square

__all__ = ["StochasticLogdet", "stochastic_logdet"]

# The quadrature is compared with itself this many steps earlier to tell whether it has settled.
LAG = 3


@dataclass(frozen=True)
class StochasticLogdet:
    """Estimate of a log-determinant.

    Attributes
    ----------
    value : float
        The estimate.
    standard_error : float
        Standard error over the probes, that of the random part; NaN with one probe.
    quadrature_error : float
        Change of the estimate over the last Lanczos steps: what is left of the deterministic part.
    n_steps : int
        Lanczos steps used.
    samples : array, shape ``(n_probes,)``
        The estimate of every probe.
    converged : bool
        Whether the quadrature settled within its tolerance.
    """

    value: float
    standard_error: float
    quadrature_error: float
    n_steps: int
    samples: np.ndarray
    converged: bool


def stochastic_logdet(
    op: LinearOperator | Array,
    *,
    n_probes: int = 32,
    random_state: RandomState = None,
    probes: Array | None = None,
    preconditioner: LinearOperator | None = None,
    tol: float = 1e-3,
    max_iter: int = 200,
) -> StochasticLogdet:
    r"""Estimate the log-determinant of a positive definite operator from products only.

    For random probes :math:`z` with :math:`E[z z^H] = I`, :math:`\log\det A = E[z^H \log(A)\, z]`, and each quadratic
    form follows from the eigenvalues of a small tridiagonal matrix of the Lanczos recursion. All probes share one
    product a step.

    Parameters
    ----------
    op : LinearOperator, array or scipy sparse matrix, shape ``(N, N)``
        Hermitian positive definite.
    n_probes : int
        Number of random sign vectors. Default 32: the standard error is then near a fifth of that of one probe.
    random_state : None, int or numpy.random.Generator
        Seed of the probes. The same seed gives the same probes, so that differences of nearby operators are smooth.
    probes : array, shape ``(N, n_probes)``, optional
        Probes to use instead: entries of modulus one and mean zero.
    preconditioner : LinearOperator, optional
        Approximate inverse :math:`P` with a known determinant, such as ``inverse`` of a Kronecker product plus noise:
        the estimate is then that of :math:`S^H A S` with :math:`S S^H = P`, whose logarithm is small, minus
        :math:`\log\det P`. Default: none.
    tol : float
        The recursion stops when the estimate changes by less than `tol` times its standard error, or `tol` times
        machine precision allows (dimensionless). Default 1e-3: quadrature errors are then invisible beside those of
        the probes.
    max_iter : int
        Most Lanczos steps. Default 200.

    Returns
    -------
    StochasticLogdet

    Raises
    ------
    NotPositiveDefiniteError
        If an eigenvalue of the recursion is not positive.
    ShapeError
        If shapes disagree.

    Warns
    -----
    ConvergenceWarning
        If the quadrature has not settled after `max_iter`.

    References
    ----------
    .. [1] Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal.
       Appl. 38, 2017, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> result = stochastic_logdet(np.diag([1.0, 2.0, 4.0]), random_state=0)
    >>> round(result.value, 6), result.converged
    (2.079442, True)
    """
    A = as_operator(op)
    require_square(A, "stochastic_logdet")
    offset = 0.0
    if preconditioner is not None:
        root = _root(preconditioner)
        offset = -float(SLOGDET(preconditioner).logabsdet)  # type: ignore[arg-type]
        A = root.H @ A @ root  # type: ignore[assignment]
    ctx = A._context()
    n = A.shape[0]
    if n == 0:
        return StochasticLogdet(0.0, 0.0, 0.0, 0, np.zeros(0), True)
    Z = _probes(A, ctx, n_probes, random_state, probes)
    samples, change, steps, converged = _quadrature(ctx.xp, A, Z, tol, min(max_iter, n))
    if not converged:
        warnings.warn(
            f"stochastic_logdet stopped after {steps} Lanczos steps; the estimate still changed by {change:.2e}. "
            "Raise max_iter, or give a preconditioner.",
            ConvergenceWarning,
            stacklevel=2,
        )
    error = float(samples.std(ddof=1) / math.sqrt(len(samples))) if len(samples) > 1 else math.nan
    samples = samples + offset
    return StochasticLogdet(float(samples.mean()), error, change, steps, samples, converged)


def _root(preconditioner: LinearOperator) -> LinearOperator:
    """Operator S with ``S S^H`` equal to the preconditioner."""
    return preconditioner.root() if isinstance(preconditioner, Congruence) else SQRTM(preconditioner)


def _probes(A: LinearOperator, ctx: Context, count: int, random_state: RandomState, probes: Array | None) -> Array:
    n = A.shape[0]
    if probes is not None:
        Z = as_array(probes, "probes")
        if Z.ndim != 2 or Z.shape[0] != n:
            raise ShapeError(f"probes has shape {tuple(Z.shape)}; expected ({n}, n_probes).")
        A._check_backend(Z)
        return cast(Z, ctx.dtype)
    if count < 1:
        raise ValueError(f"n_probes is {count}; expected at least 1.")
    A._check_memory(n * count, f"{count} probes of length {n}")
    signs = 2.0 * check_random_state(random_state).integers(0, 2, size=(n, count)) - 1.0
    return ctx.xp.asarray(signs, dtype=ctx.dtype, device=ctx.device)


def _quadrature(
    xp: ModuleType, A: LinearOperator, Z: Array, tol: float, max_iter: int
) -> tuple[np.ndarray, float, int, bool]:
    """Lanczos on all probes at once; quadrature values per probe, last change, steps, and whether it settled."""
    squared = _numpy(xp, xp.sum(xp.abs(Z) ** 2, axis=0))
    q = Z / xp.linalg.vector_norm(Z, axis=0)
    previous, beta = xp.zeros_like(q), xp.zeros_like(xp.real(q[0, :]) if is_complex(q) else q[0, :])
    alphas: list[np.ndarray] = []
    betas: list[np.ndarray] = []
    estimates: list[np.ndarray] = []
    change = math.inf
    for step in range(1, max_iter + 1):
        w = A._matmat(q) - beta * previous
        alpha = xp.vecdot(q, w, axis=0)
        alpha = xp.real(alpha) if is_complex(q) else alpha
        w = w - alpha * q
        beta = xp.linalg.vector_norm(w, axis=0)
        alphas.append(_numpy(xp, alpha))
        if not np.isfinite(alphas[-1]).all():
            raise NotFiniteError("The Lanczos recursion met NaN or infinity: the operator or the probes contain some.")
        betas.append(_numpy(xp, beta))
        # a probe whose recursion ended stays put: its later coefficients carry no weight
        safe = xp.where(beta > 0, beta, xp.ones_like(beta))
        previous, q = q, w / safe
        estimates.append(squared * _gauss(np.array(alphas), np.array(betas)))
        if step > LAG or step == max_iter:
            mean = [float(e.mean()) for e in (estimates[-1], estimates[-1 - min(LAG, step - 1)])]
            change = abs(mean[0] - mean[1]) if step > 1 else 0.0
            spread = estimates[-1].std() / math.sqrt(len(squared))
            if change <= max(tol * spread, 1e-10 * abs(mean[0])) or step == A.shape[0]:
                return estimates[-1], change, step, True
    return estimates[-1], change, max_iter, False


def _gauss(alphas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Gauss quadrature of the logarithm for every probe: sum of squared first components times log eigenvalues."""
    from scipy.linalg import eigh_tridiagonal

    out = np.empty(alphas.shape[1])
    for p in range(alphas.shape[1]):
        # an off-diagonal entry at rounding level ends the recursion exactly
        scale = np.abs(alphas[:, p]).max()
        small = np.flatnonzero(betas[:, p] <= 1e-13 * scale)
        m = small[0] + 1 if small.size else alphas.shape[0]
        w, V = eigh_tridiagonal(alphas[:m, p], betas[: m - 1, p])
        if not w[0] > 0:
            raise NotPositiveDefiniteError(
                f"The Lanczos recursion met the eigenvalue {w[0]:.3e}; the log-determinant needs a positive definite "
                "operator. Add a diagonal shift."
            )
        out[p] = V[0] ** 2 @ np.log(w)
    return out


def _numpy(xp: ModuleType, x: Array) -> np.ndarray:
    return (x.detach().cpu().numpy() if is_torch(x) else np.asarray(x)).astype(np.float64)  # type: ignore[attr-defined]
