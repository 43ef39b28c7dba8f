"""Filter and smoother against scans of jax, dense algebra and scikit-learn."""

from __future__ import annotations

import numpy as np

from structkit.statespace import discretize, kalman_filter, log_likelihood, matern_sde, rts_smoother, sample_prior
from tests.benchmarks import statespace_peers as peers
from tests.benchmarks.harness import Row, compare, optional

SDE, NOISE = matern_sde(1.5), 0.1
JAX = "jax.lax.scan, filter and RTS"


def _problem(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Irregular times, a tenth of a length-scale apart on average, and noisy values of a draw."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(0.1, n))
    return times, sample_prior(SDE, times, random_state=1)[0] + np.sqrt(NOISE) * rng.standard_normal(n)


def _posterior(times: np.ndarray, y: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
    smoothed = rts_smoother(kalman_filter(SDE, times, y, noise_var=NOISE, **options))  # type: ignore[arg-type]
    return np.asarray(smoothed.mean), np.asarray(smoothed.var)


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    return [*_against_dense(400 if quick else 2000), *_long(20_000 if quick else 1_000_000)]


def _against_dense(n: int) -> list[Row]:
    """A size at which dense algebra is the reference."""
    times, y = _problem(n)
    step = discretize(SDE, np.diff(times, prepend=times[0]))
    return compare(
        f"posterior of {n} points, Matern-3/2",
        lambda: _posterior(times, y),
        {
            "dense Cholesky": lambda: peers.dense_posterior(times, y, NOISE),
            "scikit-learn": optional(lambda: peers.sklearn_posterior(times, y, NOISE)),
            JAX: optional(lambda: peers.jax_posterior(step.A, step.Q, y, NOISE)),
        },
        reference=peers.dense_posterior(times, y, NOISE),
        gate=50.0,
        gate_peer="dense Cholesky",
    )


def _long(n: int) -> list[Row]:
    """Transitions are formed beforehand for everybody, and by structkit in the second case."""
    times, y = _problem(n)
    step = discretize(SDE, np.diff(times, prepend=times[0]))
    found = compare(
        f"filter and smoother, {n} steps, Matern-3/2",
        lambda: _posterior(times, y, transitions=step),
        {JAX: optional(lambda: peers.jax_posterior(step.A, step.Q, y, NOISE))},
        gate=2.0,
    )
    found += compare(f"transitions, filter and smoother, {n} steps, Matern-3/2", lambda: _posterior(times, y), {})
    return found + compare(
        f"log likelihood and gradient, {n} steps, Matern-3/2",
        lambda: log_likelihood(SDE, times, y, noise_var=NOISE, grad=True).gradient,  # type: ignore[union-attr]
        {"central differences": lambda: _differences(times, y)},
        gate=1.0,
        rtol=1e-4,
    )


def _differences(times: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Central differences in both parameters."""
    values = [
        log_likelihood(SDE.with_parameters(SDE.parameters * np.exp(shift)), times, y, noise_var=NOISE)
        for shift in 1e-4 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    ]
    return (np.array(values[::2]) - np.array(values[1::2])) / 2e-4  # type: ignore[arg-type]
