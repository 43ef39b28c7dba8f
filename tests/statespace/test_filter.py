"""Filter, smoother and interpolation against dense Gaussian process regression."""

import numpy as np
import pytest

from structkit.statespace import (
    interpolate,
    kalman_filter,
    log_likelihood,
    matern_sde,
    rts_smoother,
    sample_prior,
)
from tests.statespace.oracle import CASES, block_observations, dense, diagonal, irregular


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("copies", [1, 3])
def test_posterior_equals_dense_regression(name, copies, rng):
    sde, kappa = CASES[name]
    times = irregular(rng)
    precision, information = block_observations(rng, len(times), copies)
    smoothed = rts_smoother(kalman_filter(sde, times, precision=precision, information=information))
    mean, cov, log_z = dense(kappa, times, precision, information)
    assert np.allclose(smoothed.mean, mean, rtol=0, atol=1e-8)
    assert np.allclose(smoothed.cov, diagonal(cov), rtol=0, atol=1e-8)
    assert np.allclose(smoothed.filtered.log_z, log_z, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_interpolation_and_both_ends_equal_dense_regression(name, rng):
    sde, kappa = CASES[name]
    times = irregular(rng)
    precision, information = block_observations(rng, len(times), 2)
    inside = np.concatenate([times[[0, 4, 8, 20, -1]], rng.uniform(0, 6, 6), [times[8] + 5e-8, 500.0, 1003.0]])
    new = np.concatenate([[-1e4, -0.3, times[0] - 1e-9], inside, [times[-1] + 1e-9, times[-1] + 0.4, 1e5]])
    smoothed = rts_smoother(kalman_filter(sde, times, precision=precision, information=information))
    moments = interpolate(smoothed, new)
    mean, cov, _ = dense(kappa, times, precision, information, new)
    assert np.allclose(moments.mean, mean, rtol=0, atol=1e-8)
    assert np.allclose(moments.cov, diagonal(cov), rtol=0, atol=1e-8)
    assert np.array_equal(moments.var, moments.cov[:, [0, 1], [0, 1]])


@pytest.mark.parametrize("name", ["matern12", "matern32", "matern52", "sum"])
def test_values_with_noise_and_missing_entries(name, rng):
    sde, kappa = CASES[name]
    times = irregular(rng)
    y, noise = rng.normal(size=len(times)), rng.uniform(0.01, 2.0, len(times))
    y[[0, 7, -1]] = np.nan
    seen = ~np.isnan(y)
    result = rts_smoother(kalman_filter(sde, times, y, noise_var=noise))
    gram = kappa(times[seen, None] - times[seen]) + np.diag(noise[seen])
    cross = kappa(times[:, None] - times[seen])
    assert np.allclose(result.mean, cross @ np.linalg.solve(gram, y[seen]), rtol=0, atol=1e-8)
    var = kappa(0.0) - np.sum(cross * np.linalg.solve(gram, cross.T).T, axis=1)
    assert np.allclose(result.var, var, rtol=0, atol=1e-8)
    expected = -(y[seen] @ np.linalg.solve(gram, y[seen]) + np.linalg.slogdet(2 * np.pi * gram)[1]) / 2
    assert result.filtered.log_likelihood == pytest.approx(expected, rel=1e-10)


def test_states_hold_the_derivative(rng):
    """The second state of a Matern-3/2 process is its derivative over the rate."""
    sde, times = matern_sde(1.5, 0.8), np.linspace(0, 3, 20)
    y = np.sin(times)
    smoothed = rts_smoother(kalman_filter(sde, times, y, noise_var=0.01))
    mean, cov = smoothed.states()
    step = 1e-5
    ends = interpolate(smoothed, np.concatenate([times + step, times - step])).mean.reshape(2, -1)
    slope = (ends[0] - ends[1]) / (2 * step) * 0.8 / np.sqrt(3)
    assert np.allclose(mean[1:-1, 1], slope[1:-1], atol=1e-4)
    assert np.allclose(mean[:, 0], smoothed.mean, atol=1e-12)
    assert np.allclose(cov[:, 0, 0], smoothed.var, atol=1e-12)


@pytest.mark.parametrize("noise", [1e-4, 1e-8, 1e-12])
def test_precise_data_keep_relative_accuracy(noise):
    """Variances of order of the noise, where a plain update of the covariance loses all digits."""
    times = np.array([0.0, 0.3, 0.3, 1.0, 2.5])
    y = np.array([0.4, 0.1, 0.1, -0.2, 0.5])
    sde = matern_sde(1.5)
    smoothed = rts_smoother(kalman_filter(sde, times, y, noise_var=noise))
    # the tie is one observation of half the variance; off the ties, K^-1 = 1 / noise up to one part in noise
    unique, weight = np.array([0.0, 0.3, 1.0, 2.5]), np.array([1, 2, 1, 1])
    gram = (1 + np.sqrt(3) * np.abs(unique[:, None] - unique)) * np.exp(-np.sqrt(3) * np.abs(unique[:, None] - unique))
    precision = np.linalg.inv(gram) + np.diag(weight / noise)
    var = np.diag(np.linalg.inv(precision))[[0, 1, 1, 2, 3]]
    assert np.allclose(smoothed.var, var, rtol=1e-9, atol=0)


def test_huge_precision_pins_the_outputs(rng):
    times = np.array([0.0, 1.0, 1.0, 2.0])
    precision = np.tile(1e20 * np.eye(2), (4, 1, 1))
    values = np.array([[1.0, 2.0], [0.5, -1.0], [0.5, -1.0], [0.0, 3.0]])
    smoothed = rts_smoother(kalman_filter(matern_sde(2.5), times, precision=precision, information=1e20 * values))
    assert np.allclose(smoothed.mean, values, rtol=0, atol=1e-9)
    assert (smoothed.var >= 0).all()
    assert (smoothed.var <= 1.1e-20).all()


def test_nothing_observed_leaves_the_prior():
    sde = matern_sde(1.5, 2.0, 3.0)
    smoothed = rts_smoother(kalman_filter(sde, [0.0, 1.0], [np.nan, np.nan], noise_var=1.0))
    assert np.allclose(smoothed.mean, 0)
    assert np.allclose(smoothed.var, 3.0)
    assert smoothed.filtered.log_likelihood == 0


def test_information_without_precision_is_exact():
    """A linear factor moves the mean by the prior covariance and leaves the covariance alone."""
    sde, kappa = CASES["matern32"]
    times, eta = np.array([0.0, 0.5]), np.array([[1.0], [0.0]])
    smoothed = rts_smoother(kalman_filter(sde, times, precision=np.zeros((2, 1, 1)), information=eta))
    assert np.allclose(smoothed.mean[:, 0], kappa(times), rtol=1e-13)
    assert np.allclose(smoothed.var, kappa(0.0), rtol=1e-13)
    assert smoothed.filtered.log_z == pytest.approx(kappa(0.0) / 2, rel=1e-13)


def test_one_observation():
    smoothed = rts_smoother(kalman_filter(matern_sde(0.5), [3.0], [2.0], noise_var=1.0))
    assert np.allclose([smoothed.mean[0], smoothed.var[0]], [1.0, 0.5])
    assert np.allclose(interpolate(smoothed, [3.0, 2.0, 5.0]).mean, np.exp([-0.0, -1.0, -2.0]))


def test_batches_equal_single_series(rng):
    sde, times = matern_sde(1.5), np.sort(rng.uniform(0, 5, 12))
    y = rng.normal(size=(2, 3, 12))
    y[0, 1, 4] = np.nan
    batch = rts_smoother(kalman_filter(sde, times, y, noise_var=0.3))
    moments = interpolate(batch, [-1.0, 2.0])
    assert batch.mean.shape == (2, 3, 12)
    assert moments.mean.shape == (2, 3, 2)
    for i in np.ndindex(2, 3):
        one = rts_smoother(kalman_filter(sde, times, y[i], noise_var=0.3))
        assert np.array_equal(batch.mean[i], one.mean)
        assert np.array_equal(batch.filtered.log_likelihood[i], one.filtered.log_likelihood)
        assert np.array_equal(moments.var[i], interpolate(one, [-1.0, 2.0]).var)


def test_precisions_broadcast_over_a_batch(rng):
    precision, _ = block_observations(rng, 6, 2)
    information = rng.normal(size=(4, 6, 2))
    result = kalman_filter(matern_sde(0.5), np.arange(6.0), precision=precision, information=information)
    one = kalman_filter(matern_sde(0.5), np.arange(6.0), precision=precision, information=information[2])
    assert np.array_equal(result.log_z[2], one.log_z)


def test_single_precision(rng):
    times, y = np.sort(rng.uniform(0, 5, 40)), rng.normal(size=40).astype(np.float32)
    sde = CASES["sum"][0]
    single = rts_smoother(kalman_filter(sde, times, y, noise_var=0.1))
    double = rts_smoother(kalman_filter(sde, times, y.astype(float), noise_var=0.1))
    assert single.mean.dtype == single.var.dtype == np.float32
    assert np.allclose(single.mean, double.mean, atol=1e-4)
    assert np.allclose(single.var, double.var, atol=1e-4)
    assert interpolate(single, [0.5]).mean.dtype == np.float32


def test_order_of_ties_does_not_matter(rng):
    times, y = np.array([0.0, 1.0, 1.0, 2.0]), rng.normal(size=4)
    swapped = y[[0, 2, 1, 3]]
    value = [log_likelihood(matern_sde(1.5), times, v, noise_var=0.2) for v in (y, swapped)]
    assert value[0] == pytest.approx(value[1], rel=1e-13)


@pytest.mark.parametrize(("name", "noise"), [("matern32", 1e-8), ("matern52", 1e-8), ("sum", 1e-4)])
def test_time_may_be_reversed(name, noise, rng):
    """Outputs are reversible: long series of precise data, steps over seven decades and ties, both ways round.

    The variance of a sum is a difference of entries of the order of the prior variance, and carries their rounding.
    """
    sde = CASES[name][0]
    steps = rng.exponential(size=3000) * 10 ** rng.uniform(-6, 1, 3000) * (rng.random(3000) > 0.1)
    times = np.cumsum(steps)
    y = sample_prior(sde, times, random_state=1)[0] + np.sqrt(noise) * rng.normal(size=3000)
    forward = rts_smoother(kalman_filter(sde, times, y, noise_var=noise))
    backward = rts_smoother(kalman_filter(sde, -times[::-1], y[::-1], noise_var=noise))
    assert np.allclose(forward.mean, backward.mean[::-1], rtol=0, atol=1e-9)
    absolute = 50 * np.finfo(float).eps if name == "sum" else 0.0
    assert np.allclose(forward.var, backward.var[::-1], rtol=1e-10, atol=absolute)
    assert (forward.var > 0).all()
    assert forward.filtered.log_likelihood == pytest.approx(float(backward.filtered.log_likelihood), rel=1e-10)


def test_many_outputs(rng):
    sde, kappa = CASES["sum"]
    times = np.sort(rng.uniform(0, 3, 8))
    precision, information = block_observations(rng, 8, 12)
    smoothed = rts_smoother(kalman_filter(sde, times, precision=precision, information=information))
    mean, cov, log_z = dense(kappa, times, precision, information)
    assert np.allclose(smoothed.mean, mean, rtol=0, atol=1e-8)
    assert np.allclose(smoothed.cov, diagonal(cov), rtol=0, atol=1e-8)
    assert smoothed.filtered.log_z == pytest.approx(log_z, rel=1e-9)
