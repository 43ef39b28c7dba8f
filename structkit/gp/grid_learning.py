"""Learning of hyperparameters on a grid: L-BFGS on the evidence, expectation maximisation, sub-grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from structkit._core.progress import Progress
from structkit.gp.covariance import FreeCovariance, pairwise_covariance
from structkit.gp.grid_data import GridData, GridModel, observed_variance
from structkit.gp.grid_evidence import (
    GridEvidence,
    complete_evidence,
    dense_evidence,
    grid_normals,
    stochastic_evidence,
)
from structkit.gp.grid_moments import Moments, em_update, posterior_moments
from structkit.gp.kernels import Kernel
from structkit.gp.regions import find_regions

__all__ = ["Evaluator", "LearningOptions", "initial_model", "learn"]

START_NOISE = 0.05  # of the variance of the data
NOISE_RANGE = (1e-10, 1e2)  # of the variance of the data
EM_DRAWS = 2  # enough: the moments average over all other axes
MIN_LEVELS = 24  # of an axis in a sub-grid


@dataclass(frozen=True)
class LearningOptions:
    """What to learn and how hard to try; see `GridGP` for the meaning of each value."""

    learn_kernels: bool
    learn_noise: bool
    learn_mean: bool
    max_iter: int
    learning_tol: float
    solver_tol: float
    solver_max_iter: int
    n_probes: int | None
    subgrid: int | None


class Evaluator:
    """Log evidence and gradient of models on one data set by one method, with fixed random draws."""

    def __init__(self, data: GridData, method: str, options: LearningOptions, rng: np.random.Generator) -> None:
        self.data, self.method, self.options = data, method, options
        if method == "iterative":
            self.geometry = find_regions(data.weights)
            cells = data.y.size
            probes = options.n_probes or int(np.clip(400_000 // cells, 4, 64))
            self.normals = grid_normals(rng, probes, data.shape, data.y.dtype)

    def __call__(self, model: GridModel, tol: float | None = None) -> GridEvidence:
        """Evaluate one model."""
        if self.method == "eigen":
            return complete_evidence(model, self.data)
        if self.method == "dense":
            return dense_evidence(model, self.data)
        return stochastic_evidence(
            model,
            self.data,
            self.geometry,
            self.normals,
            tol=tol or max(self.options.solver_tol, 1e-2),
            max_iter=self.options.solver_max_iter,
        )

    def moments(self, model: GridModel, previous: Moments | None) -> Moments:
        """Posterior moments of one model."""
        geometry = self.geometry if self.method == "iterative" else find_regions(self.data.weights)
        if self.method == "iterative":
            normals = self.normals[:, :EM_DRAWS] if self.data.y.size > 100_000 else self.normals
        else:
            rng = np.random.default_rng(0)
            normals = np.zeros(0) if self.data.complete else grid_normals(rng, 64, self.data.shape, self.data.y.dtype)
        return posterior_moments(
            model,
            self.data,
            geometry,
            normals,
            tol=max(self.options.solver_tol, 3e-2),
            max_iter=self.options.solver_max_iter,
            state=previous.state if previous else None,
        )


# ---- the vector of parameters that L-BFGS sees ------------------------------------------------------------------


@dataclass(frozen=True)
class Parameters:
    """Map between a model and the free parameters of L-BFGS: kernels, log noise, mean in units of `unit`."""

    kernels: bool
    noise: bool
    mean: bool
    unit: float

    def pack(self, model: GridModel) -> np.ndarray:
        """Return the vector of a model."""
        parts = [k.theta for k in model.kernels if isinstance(k, Kernel)] if self.kernels else []
        if self.noise:
            parts.append(np.log(model.noise_var).reshape(-1))
        if self.mean:
            parts.append(model.mean.reshape(-1) / self.unit)
        return np.concatenate([*parts, np.zeros(0)])

    def unpack(self, model: GridModel, vector: np.ndarray) -> GridModel:
        """Return the model with the values of a vector."""
        changes: dict[str, object] = {}
        at = 0
        if self.kernels:
            new = []
            for k in model.kernels:
                size = len(k.theta) if isinstance(k, Kernel) else 0
                new.append(k.with_theta(vector[at : at + size]) if size else k)  # type: ignore[union-attr]
                at += size
            changes["kernels"] = tuple(new)
        if self.noise:
            changes["noise_var"] = np.exp(vector[at : at + model.noise_var.size]).reshape(model.noise_var.shape)
            at += model.noise_var.size
        if self.mean:
            changes["mean"] = (vector[at:] * self.unit).reshape(model.mean.shape)
        return replace(model, **changes)  # type: ignore[arg-type]

    def bounds(self, model: GridModel) -> np.ndarray:
        """Bounds of the vector, shape ``(p, 2)``."""
        parts = [k.bounds for k in model.kernels if isinstance(k, Kernel)] if self.kernels else []
        if self.noise:
            low, high = (math.log(f * self.unit**2) for f in NOISE_RANGE)
            parts.append(np.tile([low, high], (model.noise_var.size, 1)))
        if self.mean:
            parts.append(np.tile([-np.inf, np.inf], (model.mean.size, 1)))
        return np.concatenate([*parts, np.zeros((0, 2))])

    def gradient(self, model: GridModel, data: GridData, e: GridEvidence) -> np.ndarray:
        """Gradient of the evidence, with the priors of the kernels, in the vector's coordinates."""
        parts = []
        if self.kernels:
            for k, x, G in zip(model.kernels, data.coords, e.covariances, strict=True):
                if isinstance(k, Kernel):
                    parts.append(k.contract_gradient(x, G) + k.log_prior()[1])
        if self.noise:
            parts.append(e.log_noise if model.noise_var.ndim else e.log_noise.sum().reshape(1))
        if self.mean:
            axes = tuple(d for d in range(e.mean.ndim) if model.mean.ndim == 0 or d != model.mean_axis)
            parts.append(e.mean.sum(axis=axes).reshape(-1) * self.unit)
        return np.concatenate([*parts, np.zeros(0)])


def log_prior(model: GridModel) -> float:
    """Log density of the kernels' hyperparameters; zero without priors."""
    return sum(k.log_prior()[0] for k in model.kernels if isinstance(k, Kernel))


def climb(
    model: GridModel, evaluate: Evaluator, free: Parameters, progress: Progress, stage: str, max_iter: int
) -> tuple[GridModel, float, bool]:
    """Maximise the evidence by L-BFGS; returns the best model seen, its objective, and whether it converged."""
    start = free.pack(model)
    best = (-math.inf, model)
    if not start.size:
        return model, math.nan, True

    def negative(vector: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        candidate = free.unpack(model, vector)
        try:
            e = evaluate(candidate)
        except np.linalg.LinAlgError:  # a step too far: the line search turns back
            return 1e300, np.zeros_like(vector)
        value = e.value + log_prior(candidate)
        if not math.isfinite(value):
            return 1e300, np.zeros_like(vector)
        if value > best[0]:
            best = (value, candidate)
        return -value, -free.gradient(candidate, evaluate.data, e)

    def report(intermediate_result: object) -> None:
        record = {"stage": stage, "log_evidence": best[0], "noise_var": float(best[1].noise_var.mean())}
        if progress.step(record):
            raise StopIteration

    progress.stage(stage, max_iter)
    bounds = free.bounds(model)
    outcome = minimize(
        negative,
        np.clip(start, bounds[:, 0], bounds[:, 1]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=report,
        options={"maxiter": max_iter, "ftol": evaluate.options.learning_tol * 1e-4, "gtol": 1e-5},
    )
    progress.close()
    # With estimated gradients the line search ends where the noise of the estimate begins: that is convergence too.
    settled = outcome.status == 0 or (outcome.status == 2 and evaluate.method == "iterative") or progress.stopped
    return best[1], best[0], bool(settled)


def sweep(
    model: GridModel, evaluate: Evaluator, options: LearningOptions, progress: Progress, stage: str, max_iter: int
) -> tuple[GridModel, bool]:
    """Repeat expectation maximisation until noise and covariance settle to `learning_tol`."""
    progress.stage(stage, max_iter)
    moments: Moments | None = None
    converged = False
    for _ in range(max_iter):
        moments = evaluate.moments(model, moments)
        new = em_update(
            model,
            evaluate.data,
            moments,
            kernels=options.learn_kernels,
            noise=options.learn_noise,
            mean=options.learn_mean,
        )
        change = _change(model, new)
        model = new
        stop = progress.step({"stage": stage, "noise_var": float(model.noise_var.mean()), "change": change})
        converged = change < options.learning_tol
        if stop or converged:
            break
    progress.close()
    return model, converged or progress.stopped


def _change(old: GridModel, new: GridModel) -> float:
    """Largest relative change of noise and free covariance between two models (root mean square each)."""
    change = float(np.sqrt(np.mean((new.noise_var / old.noise_var - 1.0) ** 2)))
    if (axis := old.free_axis) is not None:
        B, B_new = old.kernels[axis].matrix, new.kernels[axis].matrix  # type: ignore[union-attr]
        change = max(change, float(np.linalg.norm(B_new - B) / np.linalg.norm(B)))
    return change


# ---- start, sub-grid, and the whole ---------------------------------------------------------------------------


def initial_model(
    data: GridData,
    kernels: Sequence[Kernel | FreeCovariance],
    noise_var: np.ndarray | None,
    mean: np.ndarray | None,
    noise_axis: int | None,
    mean_axis: int | None,
    learn_kernels: bool,
) -> GridModel:
    """Build the model that learning starts from; None for noise or mean means a start from the data."""
    seen = (data.weights > 0).astype(np.float64)

    def average(axis: int | None) -> np.ndarray:
        axes = tuple(d for d in range(seen.ndim) if axis is None or d != axis)
        total = seen.sum()
        overall = (data.y * seen).sum(dtype=np.float64) / total
        counts = seen.sum(axis=axes)
        sums = (data.y * seen).sum(axis=axes, dtype=np.float64)
        return np.where(counts > 0, sums / np.maximum(counts, 1.0), overall)

    start_mean = average(mean_axis) if mean is None else mean
    draft = GridModel(tuple(kernels), np.ones(()), start_mean, noise_axis, mean_axis)
    variance = observed_variance(data, draft.mean_grid(data.y.ndim))
    shape = () if noise_axis is None else (data.shape[noise_axis],)
    noise = np.full(shape, START_NOISE * variance) if noise_var is None else noise_var
    if learn_kernels:
        kernels = _scaled_kernels(data, draft, variance)
    return replace(draft, kernels=tuple(kernels), noise_var=np.asarray(noise, dtype=np.float64))


def _scaled_kernels(data: GridData, draft: GridModel, variance: float) -> list[Kernel | FreeCovariance]:
    """Scale the kernels so that the prior variance is that of the data, and start free covariances from pairs."""
    out = list(draft.kernels)
    axis = draft.free_axis
    amplitude = 1.0
    for d, (k, x) in enumerate(zip(out, data.coords, strict=True)):
        if isinstance(k, Kernel):
            level = float(np.mean(k.diagonal(x)))
            if axis is None:
                amplitude *= level
            else:
                out[d] = k * (1.0 / level)
    if axis is None:
        first = next(d for d, k in enumerate(out) if isinstance(k, Kernel))
        if "fixed" not in _variance_state(out[first]):
            out[first] = out[first] * (variance / amplitude)  # type: ignore[operator]
    elif out[axis].matrix is None:  # type: ignore[union-attr]
        centred = np.where(data.weights > 0, data.y - draft.mean_grid(data.y.ndim), 0.0).astype(data.y.dtype)
        out[axis] = out[axis].with_matrix(pairwise_covariance(centred, data.weights > 0, axis, 1e-6))  # type: ignore[union-attr]
    return out


def _variance_state(kernel: Kernel | FreeCovariance) -> str:
    """``"fixed"`` if the user holds the kernel's variance constant."""
    names = getattr(kernel, "parameter_names", ())
    has = hasattr(kernel, "variance")
    return "fixed" if has and not any(n.endswith("variance") for n in names) else "free"


def alternative_start(model: GridModel, data: GridData) -> GridModel:
    """Return the model with its kernels' scales taken from the coordinates instead of the user's values."""
    new: list[Kernel | FreeCovariance] = []
    for k, x in zip(model.kernels, data.coords, strict=True):
        usable = isinstance(k, Kernel) and x is not None and len(x) > 1
        new.append(k.initialize(x) if usable else k)  # type: ignore[union-attr]
    return replace(model, kernels=tuple(new))


def subgrid_index(data: GridData, cells: int, free_axis: int | None) -> list[np.ndarray] | None:
    """Choose the levels of a sub-grid of about `cells` cells, or None if the grid is no larger.

    An axis without coordinates is thinned evenly; the others give a central window, which keeps their finest scale.
    """
    sizes = list(data.shape)
    excess = data.y.size / cells
    if excess <= 1.0:
        return None
    if free_axis is not None:
        sizes[free_axis] = max(min(sizes[free_axis], MIN_LEVELS), int(sizes[free_axis] / excess))
    while math.prod(sizes) > cells:
        windows = [d for d in range(len(sizes)) if d != free_axis and sizes[d] > MIN_LEVELS]
        if not windows:
            break
        d = max(windows, key=lambda e: sizes[e])
        sizes[d] = max(MIN_LEVELS, int(sizes[d] * 0.9))
    index = []
    for d, (size, n) in enumerate(zip(sizes, data.shape, strict=True)):
        if d == free_axis:
            index.append(np.unique(np.linspace(0, n - 1, size).round().astype(int)))
            continue
        order = np.arange(n) if data.coords[d] is None else np.argsort(data.coords[d], kind="stable")
        first = (n - size) // 2
        index.append(np.sort(order[first : first + size]))
    return index


def choose_method(data: GridData, method: str, dense_limit: int) -> str:
    """Resolve ``"auto"``: eigendecompositions on complete grids, Cholesky on few observed cells, else iterations."""
    if method != "auto":
        return method
    if data.complete:
        return "eigen"
    return "dense" if data.n_observed <= dense_limit else "iterative"


def learn(
    model: GridModel,
    data: GridData,
    options: LearningOptions,
    choose: Callable[[GridData], str],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[GridModel, bool]:
    """Learn what the options name, first on a sub-grid if the grid is large; returns the model and convergence."""
    if not (options.learn_kernels or options.learn_noise or options.learn_mean):
        return model, True
    unit = math.sqrt(observed_variance(data, model.mean_grid(data.y.ndim)))
    index = None
    if options.subgrid is not None and choose(data) == "iterative":
        index = subgrid_index(data, options.subgrid, model.free_axis)
    if index is not None and (part := data.subset(index)).n_observed > 1:
        small = _optimise(model.restricted(index), part, options, choose(part), rng, progress, unit, "sub-grid")[0]
        model = _merged(model, small)
    if progress.stopped:
        return model, True
    return _optimise(model, data, options, choose(data), rng, progress, unit, "grid", warm=index is not None)


def _merged(model: GridModel, small: GridModel) -> GridModel:
    """Take over from a sub-grid what holds on the whole grid."""
    kernels = tuple(
        k if isinstance(k, FreeCovariance) else s for k, s in zip(model.kernels, small.kernels, strict=True)
    )
    if model.noise_var.ndim == 0:
        noise = small.noise_var
    else:  # levels outside the sub-grid move with those inside
        noise = model.noise_var * np.exp(np.mean(np.log(small.noise_var)) - np.mean(np.log(model.noise_var)))
    mean = small.mean if model.mean.ndim == 0 else model.mean
    return replace(model, kernels=kernels, noise_var=noise, mean=mean)


def _optimise(
    model: GridModel,
    data: GridData,
    options: LearningOptions,
    method: str,
    rng: np.random.Generator,
    progress: Progress,
    unit: float,
    where: str,
    *,
    warm: bool = False,
) -> tuple[GridModel, bool]:
    """Learn on one grid: L-BFGS for parameters with gradients, expectation maximisation for the rest, in turn."""
    evaluate = Evaluator(data, method, options, rng)
    by_em = model.free_axis is not None or (method == "iterative" and model.noise_var.ndim > 0)
    everything = Parameters(options.learn_kernels, options.learn_noise, options.learn_mean, unit)
    if not by_em:
        starts = [model]
        if options.learn_kernels and not warm:
            starts.append(alternative_start(model, data))
        if method == "iterative":
            starts = [max(starts, key=lambda m: evaluate(m).value)]
        results = [climb(m, evaluate, everything, progress, f"evidence ({where})", options.max_iter) for m in starts]
        best = max(results, key=lambda r: r[1])
        return best[0], best[2]
    only_kernels = Parameters(options.learn_kernels, False, False, unit)
    if warm:
        return sweep(model, evaluate, options, progress, f"expectation maximisation ({where})", options.max_iter)
    for _ in range(3):
        model, done = sweep(model, evaluate, options, progress, f"expectation maximisation ({where})", 4)
        before = only_kernels.pack(model)
        model, _, _ = climb(model, evaluate, only_kernels, progress, f"evidence ({where})", 8)
        settled = np.allclose(before, only_kernels.pack(model), atol=0.1)
        if progress.stopped or (done and settled):
            break
    return sweep(model, evaluate, options, progress, f"expectation maximisation ({where})", options.max_iter)
