"""Gaussian processes on grids against gpytorch, botorch, scikit-learn, dense algebra and tensorly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structkit.gp import GridGP, Kernel, Matern, SquaredExponential
from structkit.gp.grid_evidence import complete_evidence
from structkit.gp.grid_posterior import GridPosterior
from structkit.kron import kron_matmul
from tests.benchmarks import gridgp_peers as peers
from tests.benchmarks.harness import Row, compare, optional

NOISE = 0.01  # variance of the noise; that of the process is 1


@dataclass(frozen=True)
class Problem:
    """A function drawn from the model on a grid, noisy, observed where the mask is True."""

    coords: list[np.ndarray]
    kernels: list[Kernel]
    truth: np.ndarray
    y: np.ndarray

    @property
    def name(self) -> str:
        """Size of the grid."""
        return "x".join(map(str, self.truth.shape))

    @property
    def hidden(self) -> np.ndarray:
        """True at cells without an observation."""
        return np.isnan(self.y)

    def hidden_rmse(self, result: np.ndarray) -> float:
        """Root mean squared error of a flat prediction at the hidden cells, in standard deviations of the process."""
        return float(np.sqrt(np.mean((result.reshape(self.truth.shape) - self.truth)[self.hidden] ** 2)))

    @cached_property
    def model(self) -> GridGP:
        """The process with its true hyperparameters, conditioned on the data."""
        return self.fitted("iterative" if self.hidden.any() else "eigen")

    def fitted(self, method: str) -> GridGP:
        """Condition the process on the data by one method."""
        return GridGP(
            self.kernels, noise_var=NOISE, learn_kernels=False, mean="zero", method=method, random_state=0, n_probes=4
        ).fit(self.coords, self.y)

    @cached_property
    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation at all cells by dense algebra."""
        return peers.dense_posterior(self, NOISE)


def draw(kernels: Sequence[Kernel], sizes: Sequence[int], mask: Callable[..., np.ndarray] | None = None) -> Problem:
    """Draw a problem on a grid with unit spacing."""
    rng = np.random.default_rng(0)
    coords = [np.arange(float(n)) for n in sizes]
    roots = []
    for k, x in zip(kernels, coords, strict=True):
        w, V = np.linalg.eigh(k(x))
        roots.append(V * np.sqrt(np.maximum(w, 0.0)))
    truth = kron_matmul(roots, rng.standard_normal(math.prod(sizes))).reshape(sizes)
    y = truth + math.sqrt(NOISE) * rng.standard_normal(sizes)
    if mask is not None:
        y[~mask(rng, tuple(sizes))] = np.nan
    return Problem(coords, list(kernels), truth, y)


def scattered(share: float) -> Callable[..., np.ndarray]:
    """Mask that keeps this share of the cells, at random."""
    return lambda rng, shape: rng.random(shape) < share


def blocks(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mask with square holes: a side is an eighth of the grid's, and they hide about a quarter of it."""
    mask = np.ones(shape, bool)
    side = max(2, min(shape) // 8)
    for _ in range(18):
        corner = [int(rng.integers(0, n - side + 1)) for n in shape]
        mask[tuple(slice(c, c + side) for c in corner)] = False
    return mask


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found = _evidence(draw([SquaredExponential(2.0)] * 2, (12, 10) if quick else (200, 200)), gate=1.5)
    small = draw([SquaredExponential(2.0)] * 2, (8, 6) if quick else (30, 30))
    found += _evidence(small, dense=True)
    found += _fit(small, dense=True)
    found += _fit(draw([SquaredExponential(2.0)] * 2, (10, 8) if quick else (200, 200)))
    found += _predict(small, 9 if quick else 45)
    for n in (10,) if quick else (64, 200, 400):
        for name, mask in (("scattered", scattered(0.5)), ("blocks", blocks)):
            found += _means(draw([Matern(1.5, 8.0), Matern(1.5, 8.0)], (n, n), mask), name)
    found += _spread(draw([Matern(1.5, 8.0), Matern(1.5, 8.0)], (10, 8) if quick else (48, 48), scattered(0.5)))
    found += _completion(draw([Matern(1.5, 6.0)] * 3, (6, 6, 5) if quick else (30, 30, 30), scattered(0.3)), quick)
    return found


# ---- complete grids ---------------------------------------------------------------------------------------------


def _evidence(p: Problem, *, gate: float | None = None, dense: bool = False) -> list[Row]:
    """Value and derivatives for the logarithms of lengthscale (that of both axes), variance and noise."""
    fitted = p.model
    model, data = fitted._model, fitted._data

    def ours() -> object:
        e = complete_evidence(model, data)
        first, second = (
            k.contract_gradient(x, G) for k, x, G in zip(model.kernels, data.coords, e.covariances, strict=True)
        )
        return np.array([e.value, first[0] + second[0], first[1], e.log_noise.sum()])

    found = {
        "gpytorch, Kronecker kernel": optional(lambda: peers.gpytorch_evidence(p, NOISE, "kronecker")),
        "gpytorch, GridKernel(ScaleKernel)": optional(lambda: peers.gpytorch_evidence(p, NOISE, "inside")),
    }
    if dense:
        found["scikit-learn"] = optional(lambda: peers.sklearn_evidence(p, NOISE))
    else:
        found["gpytorch, ScaleKernel(GridKernel)"] = optional(lambda: peers.gpytorch_evidence(p, NOISE, "outside"))
    return compare(
        f"GridGP complete {p.name}: evidence + gradient",
        ours,
        found,
        reference=peers.dense_evidence(p, NOISE) if dense else None,
        gate=gate,
        rounds=3,
    )


def _fit(p: Problem, *, dense: bool = False) -> list[Row]:
    """Learn lengthscales, variance and noise from the same start; the result is the log evidence reached."""
    start = [SquaredExponential(1.0), SquaredExponential(1.0).fix("variance")]

    def fit(**options: object) -> float:
        return GridGP(start, mean="zero", **options).fit(p.coords, p.y).log_evidence_

    found = {"gpytorch, Kronecker kernel": optional(lambda: peers.gpytorch_fit(p))}
    if dense:
        found["scikit-learn"] = optional(lambda: peers.sklearn_fit(p))
    return compare(
        f"GridGP complete {p.name}: hyperparameters (error of the log evidence)",
        fit,
        found,
        reference=np.float64(fit(learning_tol=1e-9, max_learning_iter=500)),
        rtol=1e-6,
        rounds=2,
    )


def _predict(p: Problem, n: int) -> list[Row]:
    """Mean and standard deviation on a finer grid, the model being fitted."""
    new = [np.linspace(0.0, x[-1], n) for x in p.coords]
    model = p.model
    return compare(
        f"GridGP complete {p.name}: mean and deviation at {n}x{n} new cells",
        lambda: model.predict(new, return_std=True),
        {
            "scikit-learn": optional(lambda: peers.sklearn_predict(p, NOISE, new)),
            "gpytorch, dense": optional(lambda: peers.gpytorch_predict(p, NOISE, new)),
        },
        reference=peers.dense_posterior(p, NOISE, new),
        rounds=2,
    )


# ---- incomplete grids -------------------------------------------------------------------------------------------


def _posterior(p: Problem, tol: float = 1e-3) -> GridPosterior:
    """What `GridGP` computes for its posterior mean: eigendecompositions, preconditioner and solve."""
    return GridPosterior(p.model._model, p.model._data, "iterative", tol=tol, max_iter=5000)


def _means(p: Problem, mask: str) -> list[Row]:
    """One posterior mean with given hyperparameters, from nothing: with default tolerances, and to three digits."""
    everywhere = [None, None]
    found: list[Row] = []
    # A tight solve and the dense one differ by less than 1e-7; the test suite compares them.
    small = p.truth.size <= 5000
    reference = p.dense[0] if small else _posterior(p, 1e-9).mean(everywhere)
    large = p.truth.size > 10**5
    levels = (("default", 1e-3, 1e-2, 1e-1), ("accurate", 1e-5, 1e-4, 1e-3))
    for label, tol, their_tol, rtol in levels[:1] if large else levels:
        latent = optional(lambda tol=their_tol: peers.botorch_mean(p, NOISE, tol))
        cholesky = {"dense Cholesky": lambda: peers.dense_posterior(p, NOISE, deviation=False)} if small else {}
        found += compare(
            f"GridGP incomplete {p.name}, {mask}: posterior mean, {label}",
            lambda tol=tol: _posterior(p, tol).mean(everywhere),
            {f"botorch latent Kronecker, tolerance {their_tol:g}": latent, **cholesky},
            reference=reference,
            gate=1.0,
            rtol=rtol,
            rounds=1 if large else 2,
            score=("hidden RMSE", p.hidden_rmse),
        )
    return found


def _spread(p: Problem) -> list[Row]:
    """Standard deviations and posterior samples; the score is the relative error of the deviation, root mean square."""
    mean, exact = p.dense
    model = p.model
    count = 64

    def error(deviation: np.ndarray) -> float:
        return float(np.sqrt(np.mean((deviation.reshape(exact.shape) / exact - 1.0) ** 2)))

    def of_samples(result: np.ndarray) -> float:
        return error(np.sqrt(np.mean((result.reshape(count, *exact.shape) - mean) ** 2, axis=0)))

    def ours() -> object:
        model._smoothed = None  # draws are made once and kept; here they are part of the work
        return model.predict(return_std=True)[1]

    found = compare(
        f"GridGP incomplete {p.name}: standard deviation",
        ours,
        {
            "botorch latent Kronecker": optional(lambda: peers.botorch_deviation(p, NOISE)),
            "dense Cholesky": lambda: peers.dense_posterior(p, NOISE)[1],
        },
        reference=exact,
        rtol=math.inf,
        rounds=1,
        score=("RMS error", error),
    )
    return found + compare(
        f"GridGP incomplete {p.name}: {count} posterior samples",
        lambda: model.sample(count, 0),
        {"botorch latent Kronecker": optional(lambda: peers.botorch_samples(p, NOISE, count))},
        rtol=math.inf,
        rounds=2,
        score=("RMS error of their deviation", of_samples),
    )


def _completion(p: Problem, quick: bool) -> list[Row]:
    """Fill a tensor, everything learned, beside the low-rank models that need no coordinates."""

    def ours() -> object:
        return GridGP([Matern(1.5)] * 3, random_state=0).fit(p.coords, p.y).predict()

    ranks = (2,) if quick else (10, 20)
    found = {f"tensorly masked CP, rank {r}": optional(lambda r=r: peers.tensorly_cp(p, r)) for r in ranks}
    found |= {f"tensorly masked Tucker, rank {r}": optional(lambda r=r: peers.tensorly_tucker(p, r)) for r in ranks}
    return compare(
        f"GridGP incomplete {p.name}: learn and fill in",
        ours,
        found,
        reference=p.truth,
        rtol=math.inf,
        rounds=1,
        score=("hidden RMSE", p.hidden_rmse),
    )
