"""Learning of hyperparameters on a grid: where it starts, expectation maximisation, sub-grids, the order of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from structkit._core.progress import Progress
from structkit.gp.covariance import FreeCovariance, pairwise_covariance
from structkit.gp.grid_amplitude import prior_level, with_prior_variance
from structkit.gp.grid_ascent import NOISE_RANGE, Parameters, climb
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
DRAWN_NOISE = 1e-6  # of the variance of the data: the least noise that expectation maximisation by draws can follow
EM_CELLS = (
    10_000_000  # of the draws of expectation maximisation together; more on smaller grids, which average over fewer
)
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
            tol=tol or max(self.options.solver_tol, 5e-2),
            max_iter=self.options.solver_max_iter,
        )

    def noise_limits(self, model: GridModel) -> tuple[float, float]:
        """Least and largest noise variance that expectation maximisation may reach."""
        variance = observed_variance(self.data, model.mean_grid(self.data.y.ndim))
        low, high = NOISE_RANGE if self.data.complete else (DRAWN_NOISE, NOISE_RANGE[1])
        return low * variance, high * variance

    def moments(self, model: GridModel, previous: Moments | None) -> Moments:
        """Posterior moments of one model."""
        geometry = self.geometry if self.method == "iterative" else find_regions(self.data.weights)
        if self.method == "iterative":
            normals = self.normals[:, : max(EM_CELLS // self.data.y.size, 1)]
        else:
            rng = np.random.default_rng(0)
            normals = np.zeros(0) if self.data.complete else grid_normals(rng, 64, self.data.shape, self.data.y.dtype)
        return posterior_moments(
            model,
            self.data,
            geometry,
            normals,
            tol=max(self.options.solver_tol, 1e-1),
            max_iter=self.options.solver_max_iter,
            state=previous.state if previous else None,
        )


def sweep(
    model: GridModel, evaluate: Evaluator, options: LearningOptions, progress: Progress, stage: str, max_iter: int
) -> tuple[GridModel, bool]:
    """Repeat expectation maximisation until noise and covariance settle to `learning_tol`."""
    if progress.stopped:
        return model, True
    progress.stage(stage, max_iter)
    moments: Moments | None = None
    converged = False
    least, most = evaluate.noise_limits(model)
    for _ in range(max_iter):
        moments = evaluate.moments(model, moments)
        if not moments.settled:  # moments of an unfinished solve lead anywhere
            break
        new = em_update(
            model,
            evaluate.data,
            moments,
            kernels=options.learn_kernels,
            noise=options.learn_noise,
            mean=options.learn_mean,
        )
        if options.learn_noise:
            new = replace(new, noise_var=np.clip(new.noise_var, least, most))
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
        B, B_new = (np.asarray(m.kernels[axis].matrix) for m in (old, new))  # type: ignore[union-attr]
        change = max(change, float(np.linalg.norm(B_new - B) / np.linalg.norm(B)))
    return change


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
        kernels = _start_kernels(data, draft, variance)
    return replace(draft, kernels=tuple(kernels), noise_var=np.asarray(noise, dtype=np.float64))


def _start_kernels(data: GridData, draft: GridModel, variance: float) -> list[Kernel | FreeCovariance]:
    """Give the prior the variance of the data, where it is open, and start a free covariance from pairs of cells."""
    axis = draft.free_axis
    if axis is None:
        return with_prior_variance(draft.kernels, data.coords, variance)
    out = list(draft.kernels)
    free = out[axis]
    if isinstance(free, FreeCovariance) and free.matrix is None:
        centred = np.where(data.weights > 0, data.y - draft.mean_grid(data.y.ndim), 0.0).astype(data.y.dtype)
        matrix = pairwise_covariance(centred, data.weights > 0, axis, 1e-6)
        out[axis] = free.with_matrix(matrix / prior_level(out, data.coords))
    return out


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
    windows = [d for d in range(len(sizes)) if d != free_axis]
    while math.prod(sizes) > cells and (long := [d for d in windows if sizes[d] > MIN_LEVELS]):
        d = max(long, key=lambda e: sizes[e])
        sizes[d] = max(MIN_LEVELS, int(sizes[d] * 0.9))
    index = []
    for d, (size, n) in enumerate(zip(sizes, data.shape, strict=True)):
        if d == free_axis:
            index.append(np.linspace(0, n - 1, size).round().astype(int))
            continue
        order = np.argsort(np.asarray(data.coords[d]), kind="stable")
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
    """Take over from a sub-grid what holds on the whole grid: kernels, and noise and mean that have no levels.

    What belongs to levels starts anew; there the step is closed and cheap, and starts best from too much noise.
    """
    kernels = tuple(
        k if isinstance(k, FreeCovariance) else s for k, s in zip(model.kernels, small.kernels, strict=True)
    )
    noise = small.noise_var if model.noise_var.ndim == 0 else model.noise_var
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
    by_levels = options.learn_noise and model.noise_var.ndim > 0
    by_em = (options.learn_kernels and model.free_axis is not None) or (method == "iterative" and by_levels)
    everything = Parameters(options.learn_kernels, options.learn_noise, options.learn_mean, unit)
    starts = [model]
    if options.learn_kernels and not warm:
        starts.append(alternative_start(model, data))
    if len(starts) > 1 and (by_em or method == "iterative"):
        starts = [max(starts, key=lambda m: evaluate(m).value)]
    if not by_em:
        results = [climb(m, evaluate, everything, progress, f"evidence ({where})", options.max_iter) for m in starts]
        best = max(results, key=lambda r: r[1])
        return best[0], best[2]
    only_kernels = Parameters(options.learn_kernels, False, False, unit)
    model = starts[0]
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
