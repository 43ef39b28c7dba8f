"""Gradient ascent on the evidence of a grid: the vector of parameters that L-BFGS sees, and the climb."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from structkit._core.progress import Progress
from structkit.gp.grid_data import GridData, GridModel
from structkit.gp.grid_evidence import GridEvidence
from structkit.gp.kernels import Kernel

if TYPE_CHECKING:
    from structkit.gp.grid_learning import Evaluator

__all__ = ["NOISE_RANGE", "Parameters", "climb"]

NOISE_RANGE = (1e-10, 1e2)  # of the variance of the data
LEAST_GAIN = 1e-4  # of the evidence, times `learning_tol`: where L-BFGS ends
EXACT_GAIN = 1e-6  # ... for exact evidences, whose last digits are cheap
NOISY_TRIALS = 6  # of a line search whose gradient is an estimate: where that ends, more trials find nothing
LARGE = 50.0  # kernel parameters beyond are no logarithms and step in proportion to their size


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

    def steps(self, model: GridModel) -> np.ndarray:
        """Natural size of a step in every parameter: one, but for raw gpytorch parameters far from zero."""
        size = np.ones(len(self.pack(model)))
        if self.kernels:
            theta = np.abs(np.concatenate([k.theta for k in model.kernels if isinstance(k, Kernel)] or [np.zeros(0)]))
            size[: len(theta)] = np.where(theta > LARGE, theta, 1.0)
        return size

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
    unit = free.steps(model)
    start = free.pack(model) / unit
    # In standardised units the objective, and so where the optimiser stops, does not depend on the units of the data.
    shift = evaluate.data.n_observed * math.log(free.unit)
    best = (-math.inf, model)
    if not start.size or progress.stopped:
        return model, -math.inf, True

    def negative(vector: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        candidate = free.unpack(model, vector * unit)
        try:
            e = evaluate(candidate)
        except np.linalg.LinAlgError:  # a step too far: the line search turns back
            return 1e300, np.zeros_like(vector)
        value = e.value + log_prior(candidate)
        slope = free.gradient(candidate, evaluate.data, e) * unit
        if not math.isfinite(value) or not np.isfinite(slope).all():
            return 1e300, np.zeros_like(vector)
        if value > best[0]:
            best = (value, candidate)
        return -value - shift, -slope

    def report(intermediate_result: object) -> None:
        trace.append(best[0])
        record = {"stage": stage, "log_evidence": best[0], "noise_var": float(best[1].noise_var.mean())}
        if progress.step(record):
            raise StopIteration

    progress.stage(stage, max_iter)
    bounds = free.bounds(model) / unit[:, None]
    options = evaluate.options
    trace: list[float] = []
    noisy = evaluate.method == "iterative"
    gain = options.learning_tol * (LEAST_GAIN if noisy else EXACT_GAIN)
    outcome = minimize(
        negative,
        np.clip(start, bounds[:, 0], bounds[:, 1]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=report,
        options={"maxiter": max_iter, "ftol": gain, "gtol": 1e-5, "maxls": NOISY_TRIALS if noisy else 20},
    )
    progress.close()
    # At the limit, or where noise of an estimated gradient or rounding ended the line search, what counts is whether
    # the last steps still gained anything to speak of.
    flat = len(trace) > 1 and trace[-1] - trace[-2] <= LEAST_GAIN * options.learning_tol * max(
        abs(trace[-1] + shift), 1
    )
    settled = outcome.status == 0 or flat or (outcome.status == 2 and noisy)
    return best[1], best[0], bool(settled or progress.stopped)
