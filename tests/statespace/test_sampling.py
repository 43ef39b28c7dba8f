"""Draws: moments against the exact ones, and properties that hold for every single draw."""

import numpy as np
import pytest

from structkit.statespace import (
    constant_sde,
    discretize,
    interpolate,
    kalman_filter,
    matern_sde,
    rts_smoother,
    sample,
    sample_prior,
    white_sde,
)
from structkit.statespace.sampling import semidefinite_root
from tests.statespace.oracle import CASES, block_observations, dense

N = 20_000


def _close(draws, mean, cov):
    """Mean and covariance of draws within five standard errors of the given ones."""
    flat = draws.reshape(len(draws), -1)
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(flat.mean(axis=0) - mean) <= 5 * sd / np.sqrt(len(flat)) + 1e-9).all()
    error = np.sqrt((np.outer(sd, sd) ** 2 + cov**2) / len(flat))
    assert (np.abs(np.cov(flat.T) - cov) <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("name", ["matern52", "periodic", "sum", "quasi-periodic"])
def test_prior_draws_have_the_covariance_function(name):
    sde, kappa = CASES[name]
    times = np.array([3.0, 0.0, 0.4, 0.4, 10.0])
    draws = sample_prior(sde, times, N, random_state=1)
    _close(draws, np.zeros(5), kappa(times[:, None] - times))
    assert np.allclose(draws[:, 2], draws[:, 3], rtol=0, atol=1e-14)


def test_posterior_draws_are_joint_over_times_and_outputs(rng):
    sde = constant_sde(0.5) + matern_sde(1.5, 0.7, 1.3)

    def kappa(d):
        return 0.5 + CASES["matern32"][1](d)

    times = np.array([0.0, 0.7, 0.7, 2.0])
    precision, information = block_observations(rng, 4, 2)
    smoothed = rts_smoother(kalman_filter(sde, times, precision=precision, information=information))
    new = np.array([1.0, -0.5, 0.7, 2.5])
    draws = sample(smoothed, 4000, times=new, random_state=2)
    mean, cov, _ = dense(kappa, times, precision, information, new)
    assert draws.shape == (4000, 4, 2)
    _close(draws, mean.ravel(), cov.reshape(8, 8))


def test_draws_of_a_batch_of_values(rng):
    times, y = np.array([0.0, 1.0, 3.0]), rng.normal(size=(2, 3))
    smoothed = rts_smoother(kalman_filter(matern_sde(0.5), times, y, noise_var=0.5))
    draws = sample(smoothed, 3000, random_state=0)
    assert draws.shape == (3000, 2, 3)
    for b in range(2):
        gram = np.exp(-np.abs(times[:, None] - times))
        gain = gram @ np.linalg.inv(gram + 0.5 * np.eye(3))
        _close(draws[:, b], gain @ y[b], gram - gain @ gram)


def test_precise_data_pin_every_draw():
    smoothed = rts_smoother(kalman_filter(matern_sde(1.5), [0.0, 0.0, 1.0], [1.0, 1.0, -1.0], noise_var=1e-16))
    draws = sample(smoothed, 5, random_state=0)
    assert np.allclose(draws, [1.0, 1.0, -1.0], atol=1e-6)


def test_levels_without_order_are_drawn_independently():
    smoothed = rts_smoother(kalman_filter(white_sde(2.0), [0.0, 1.0], [1.0, np.nan], noise_var=2.0))
    draws = sample(smoothed, 4000, random_state=0)
    _close(draws, np.array([0.5, 0.0]), np.diag([1.0, 2.0]))
    assert np.allclose(interpolate(smoothed, [0.5]).var, 2.0)


def test_seed_decides():
    one, two = (sample_prior(matern_sde(0.5), [0.0, 1.0], 3, random_state=7) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, sample_prior(matern_sde(0.5), [0.0, 1.0], 3, random_state=8))
    assert sample_prior(matern_sde(0.5), [], 2).shape == (2, 0)


def test_roots_of_singular_matrices(rng):
    root = rng.normal(size=(5, 4, 2))
    a = root @ root.transpose(0, 2, 1)
    a[3] = 0
    got = semidefinite_root(a)
    assert np.allclose(got @ got.transpose(0, 2, 1), a, atol=1e-12)
    assert np.array_equal(got, np.tril(got))
    q = discretize(matern_sde(2.5), [1e-5]).Q
    small = semidefinite_root(q)
    assert np.allclose(np.diag((small @ small.transpose(0, 2, 1))[0]), np.diag(q[0]), rtol=1e-10, atol=0)


def test_bad_arguments():
    smoothed = rts_smoother(kalman_filter(matern_sde(0.5), [0.0], [1.0], noise_var=1.0))
    for n in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="n = "):
            sample(smoothed, n)
        with pytest.raises(ValueError, match="n = "):
            sample_prior(matern_sde(0.5), [0.0], n)
    with pytest.raises(TypeError, match="rts_smoother"):
        sample(smoothed.filtered)
