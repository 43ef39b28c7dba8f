"""Log evidence of data on a grid and its gradient: complete grids, small incomplete ones, large incomplete ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from structkit._backend.namespace import get_namespace, to_numpy
from structkit._core.errors import NotPositiveDefiniteError
from structkit._core.types import Array, Shape
from structkit.gp.grid_data import GridData, GridModel
from structkit.gp.regions import MaskGeometry
from structkit.gp.solver import CoefficientSolve, PreconditionedSystem
from structkit.gp.whitening import GridSystem, axis_bases, groups
from structkit.kron import gaussian_evidence, multi_mode_product, unfold

__all__ = [
    "GridEvidence",
    "complete_evidence",
    "dense_evidence",
    "dense_factor",
    "grid_normals",
    "iterative_value",
    "observed_covariance",
    "stochastic_evidence",
]

LOG_2PI = math.log(2 * math.pi)
FIRST_CHECK = 10  # Lanczos steps before the first look at the quadrature; then every half as many again
MAX_RATE = 0.9  # of the changes of a quadrature from look to look
QUADRATURE_SHARE = 0.5  # of the sampling error that Lanczos steps not taken may still be worth


@dataclass(frozen=True)
class GridEvidence:
    """Log evidence and gradient.

    Attributes
    ----------
    value : float
        Log density of the observed cells.
    covariances : list of numpy.ndarray
        Derivative with respect to each axis covariance ``(n_d, n_d)``.
    log_noise : numpy.ndarray, shape ``(n,)``
        Derivative with respect to the log noise variance of each level of the whitened axis.
    mean : numpy.ndarray, shape of the grid
        Derivative with respect to the mean of each cell.
    standard_error : float
        Standard error of `value`; 0 where it is exact.
    solve : CoefficientSolve or None
        The coefficients of the posterior mean, where the computation found them.
    """

    value: float
    covariances: list[np.ndarray]
    log_noise: np.ndarray
    mean: np.ndarray
    standard_error: float = 0.0
    solve: CoefficientSolve | None = None


def complete_evidence(model: GridModel, data: GridData) -> GridEvidence:
    """Exact evidence of a complete grid by the eigendecompositions of its axes."""
    a = model.whitened_axis
    sd = model.noise_sd(data.shape)
    whitened = model.whitened_covariances(data.coords, data.shape)
    z = model.whitened_data(data)
    # In single precision the eigenvalues of a covariance far above the noise would be off by more than the noise.
    exact = data.double()
    factors = [exact.device_array(K) for K in whitened]
    result = gaussian_evidence(factors, exact.device_array(z).reshape(-1), 1.0, grad=True)
    gradients = [to_numpy(g).astype(np.float64) for g in result.grad.factors]  # type: ignore[union-attr]
    pull = to_numpy(result.grad.y).reshape(data.shape).astype(np.float64)  # type: ignore[union-attr]
    # The whitened data and the whitened covariance both depend on the noise.
    others = tuple(d for d in range(pull.ndim) if d != a)
    per_level = data.y.size / len(sd)
    log_noise = -0.5 * (pull * z).sum(axis=others) - (gradients[a] * whitened[a]).sum(1) - 0.5 * per_level
    gradients[a] = gradients[a] / np.multiply.outer(sd, sd)
    value = float(result.value) - per_level * float(np.log(sd).sum())
    return GridEvidence(value, gradients, log_noise, -pull / model.scale_grid(data.shape))


def observed_covariance(model: GridModel, data: GridData) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Dense covariance of the observed cells with noise, their multi-index (n, D), and the axis covariances."""
    index = np.argwhere(data.weights > 0)
    covariances = model.covariances(data.coords)
    C = np.ones((len(index),) * 2)
    for K, i in zip(covariances, index.T, strict=True):
        C *= K[np.ix_(i, i)]
    C[np.diag_indices_from(C)] += cell_noise(model, data)[data.weights > 0]
    return C, index, covariances


def cell_noise(model: GridModel, data: GridData) -> np.ndarray:
    """Noise variance of every cell; infinite where nothing was observed."""
    with np.errstate(divide="ignore"):
        return model.scale_grid(data.shape) ** 2 / data.weights.astype(np.float64)


def dense_factor(C: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor of the covariance of the observed cells."""
    try:
        return scipy.linalg.cholesky(C, lower=True)
    except np.linalg.LinAlgError as err:
        raise NotPositiveDefiniteError(
            f"The covariance of the {len(C)} observed cells is not positive definite: {err}. Raise noise_var."
        ) from err


def dense_evidence(model: GridModel, data: GridData) -> GridEvidence:
    """Exact evidence of an incomplete grid by the Cholesky factor of the observed cells."""
    C, index, covariances = observed_covariance(model, data)
    r = (data.y - model.mean_grid(data.y.ndim))[data.weights > 0].astype(np.float64)
    noise = cell_noise(model, data)[data.weights > 0]
    L = dense_factor(C)
    alpha = scipy.linalg.cho_solve((L, True), r)
    value = -0.5 * float(r @ alpha) - float(np.log(np.diag(L)).sum()) - 0.5 * len(r) * LOG_2PI
    W = 0.5 * (np.multiply.outer(alpha, alpha) - scipy.linalg.cho_solve((L, True), np.eye(len(r))))
    gradients = []
    for d, i in enumerate(index.T):
        inner = W.copy()
        for e, (K, j) in enumerate(zip(covariances, index.T, strict=True)):
            if e != d:
                inner *= K[np.ix_(j, j)]
        select = np.zeros((len(i), data.shape[d]))
        select[np.arange(len(i)), i] = 1.0
        gradients.append(select.T @ inner @ select)
    log_noise = np.bincount(
        index[:, model.whitened_axis], np.diag(W) * noise, minlength=data.shape[model.whitened_axis]
    )
    mean = np.zeros(data.shape)
    mean[tuple(index.T)] = alpha
    return GridEvidence(value, gradients, log_noise, mean)


def stochastic_evidence(
    model: GridModel,
    data: GridData,
    geometry: MaskGeometry,
    draws: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    start: Array | None = None,
) -> GridEvidence:
    r"""Estimate evidence and gradient of a large incomplete grid with fixed random draws.

    With :math:`C` the covariance of the observed cells, the gradient is
    :math:`\tfrac12 (a^T \dot C a - E[v^T \dot C v])`, :math:`a = C^{-1} y` and :math:`v = C^{-1}\varepsilon` for data
    :math:`\varepsilon` simulated from the model, so that every solve is a solve for a posterior mean. The
    log-determinant is by stochastic Lanczos quadrature. `draws` (2, k, n_1, ..., n_D) holds standard normals that stay
    the same from call to call, which makes the estimates smooth in the hyperparameters.
    """
    data = data.suited(model, tol)
    weights = data.device_array(data.weights)
    system = GridSystem(axis_bases(model.whitened_covariances(data.coords, data.shape)), weights)
    solver = PreconditionedSystem(system, geometry)
    xp = get_namespace(weights)
    z = data.device_array(model.whitened_data(data))[None]
    normals = [data.device_array(d) for d in draws]
    root = weights**0.5
    simulated = weights * system.to_grid(system.prior_draw(normals[0])) + root * normals[1]
    rhs = xp.concat([system.from_grid(weights * z), system.from_grid(simulated)])
    solve = solver.solve(rhs, tol=tol, max_iter=max_iter, x0=start)
    u = system.to_grid(solve.value)
    dual = xp.concat([weights * (z - u[:1]), simulated - weights * u[1:]])
    value, error = iterative_value(model, data, solver, solve.value[:1], normals[1], max_iter)
    gradients, log_noise = _dual_gradients(model, data, system, dual)
    mean = to_numpy(dual[0]).astype(np.float64) / model.scale_grid(data.shape)
    return GridEvidence(value, gradients, log_noise, mean, error, solve)


def iterative_value(
    model: GridModel, data: GridData, solver: PreconditionedSystem, mean: Array, normals: Array, max_steps: int
) -> tuple[float, float]:
    """Log evidence and its standard error, given the coefficients ``(1, r_1, ..., r_D)`` of the posterior mean.

    `normals` (k, n_1, ..., n_D) are the probes of the log-determinant.
    """
    system = solver.system
    xp = get_namespace(mean)
    residual = data.device_array(model.whitened_data(data))[None] - system.to_grid(mean)
    quadratic = xp.sum(system.weights * residual**2) + xp.sum(mean**2)  # type: ignore[operator]
    logdet, error = lanczos_logdet(solver, system.prior_draw(normals), max_steps)
    seen = data.weights > 0
    log_scale = float(np.log(np.broadcast_to(model.scale_grid(data.shape), data.shape)[seen]).sum())
    log_weights = float(np.log(data.weights[seen].astype(np.float64)).sum())
    value = -0.5 * (float(quadratic) + logdet - log_weights + int(seen.sum()) * LOG_2PI) - log_scale
    return value, 0.5 * error


def _dual_gradients(
    model: GridModel, data: GridData, system: GridSystem, dual: Array
) -> tuple[list[np.ndarray], np.ndarray]:
    """Gradients from the dual vectors: the data's first, then those of simulated data, whose mean is the trace."""
    k = dual.shape[0] - 1
    share = np.array([0.5] + [-0.5 / k] * k).reshape(-1, *([1] * len(data.shape)))
    weighted = dual * data.device_array(share)
    covariances = [data.device_array(K) for K in model.whitened_covariances(data.coords, data.shape)]
    gradients = []
    for d in range(len(data.shape)):
        smooth = multi_mode_product(dual, covariances, modes=system.modes, skip=d)
        left, right = unfold(smooth, d + 1), unfold(weighted, d + 1)
        with np.errstate(over="ignore", invalid="ignore"):  # far off, single precision may not hold it: a step too far
            G = to_numpy(left @ right.T).astype(np.float64)  # type: ignore[attr-defined]
        gradients.append((G + G.T) / 2)
    a = model.whitened_axis
    sd = model.noise_sd(data.shape)
    axes = tuple(d for d in range(dual.ndim) if d != a + 1)
    inverse = data.device_array(np.where(data.weights > 0, 1.0 / np.where(data.weights > 0, data.weights, 1.0), 0.0))
    log_noise = to_numpy(get_namespace(dual).sum(weighted * dual * inverse, axis=axes)).astype(np.float64)
    gradients[a] = gradients[a] / np.multiply.outer(sd, sd)
    return gradients, log_noise


def lanczos_logdet(solver: PreconditionedSystem, probes: Array, max_steps: int) -> tuple[float, float]:
    r"""Estimate ``log det A`` and its standard error by Lanczos quadrature with the given normal probes.

    Works on :math:`F^{1/2} A F^{1/2}`, :math:`F` the diagonal base of the preconditioner, whose own determinant is
    exact. From look to look the quadrature changes by a steady factor, so what further steps would add is known:
    it is added, and the quadrature ends when it is small beside the sampling error, which counts it in.
    """
    size = math.prod(probes.shape[1:])
    limit = min(max_steps, size)
    weights = to_numpy(solver.base).astype(np.float64)
    # A is at least the identity, so nothing below the smallest weight is an eigenvalue: it is rounding.
    base, floor = -float(np.log(weights).sum()), float(weights.min())
    looks: list[float] = []
    check = FIRST_CHECK
    runs = [_lanczos(solver, probes[g]) for g in groups(probes)]
    for step, parts in enumerate(zip(*runs, strict=True), 1):
        diagonal, off = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        exhausted = bool(off[-1].max() < 1e-6 * np.abs(diagonal[-1]).max())
        if step < min(check, limit) and not exhausted:
            continue
        # Scaling by the dimension instead of the probe's own norm removes the noise of that norm.
        estimates = size * _quadratures(diagonal, off[:-1], floor)
        sampling = float(estimates.std(ddof=1) / math.sqrt(len(estimates))) if len(estimates) > 1 else math.inf
        looks.append(float(estimates.mean()))
        rest = 0.0 if exhausted or step >= size else _geometric_rest(looks)
        if abs(rest) <= QUADRATURE_SHARE * sampling or step >= limit:
            break
        check = math.ceil(1.5 * step)
    value = looks[-1] + (rest if math.isfinite(rest) else 0.0)
    return base + value, math.hypot(sampling, rest)


def _geometric_rest(looks: Sequence[float]) -> float:
    """Sum of the changes to come if they go on shrinking by the last factor; infinite before two are known."""
    if len(looks) < 3:
        return math.inf
    before, change = np.diff(looks[-3:]).tolist()
    rate = min(change / before, MAX_RATE) if before else 0.0
    return change * rate / (1.0 - rate) if rate > 0.0 else change


def _lanczos(solver: PreconditionedSystem, probes: Array) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Yield the diagonals and off-diagonals of the Lanczos matrices of all probes after each step."""
    xp = get_namespace(probes)
    axes = tuple(range(1, probes.ndim))
    tail = (-1,) + (1,) * (probes.ndim - 1)
    root = solver.base**0.5
    q = probes / (xp.sum(probes * probes, axis=axes) ** 0.5).reshape(*tail)
    previous, beta = q * 0, None
    diagonal: list[np.ndarray] = []
    off: list[np.ndarray] = []
    while True:
        t = root * solver.system.apply(root * q)
        if beta is not None:
            t -= beta.reshape(*tail) * previous
        alpha = xp.sum(t * q, axis=axes)
        t -= alpha.reshape(*tail) * q
        beta = xp.sum(t * t, axis=axes) ** 0.5
        diagonal.append(to_numpy(alpha).astype(np.float64))
        off.append(to_numpy(beta).astype(np.float64))
        yield diagonal, off
        previous, q = q, t / (beta + (beta == 0)).reshape(*tail)


def _quadratures(diagonal: np.ndarray, off: np.ndarray, floor: float) -> np.ndarray:
    """First-entry elements of the logarithms of symmetric tridiagonal matrices, one per column, none below `floor`."""
    out = np.empty(diagonal.shape[1])
    for j in range(len(out)):
        w, V = scipy.linalg.eigh_tridiagonal(diagonal[:, j], off[:, j] if len(off) else np.zeros(0))
        out[j] = V[0] ** 2 @ np.log(np.maximum(w, floor))
    return out


def grid_normals(rng: np.random.Generator, k: int, shape: Shape, dtype: object) -> np.ndarray:
    """Standard normals (2, k, n_1, ..., n_D) for `stochastic_evidence`."""
    return rng.standard_normal((2, k, *shape), dtype=np.float32 if dtype == np.float32 else np.float64)  # type: ignore[call-overload]
