"""Gradient of the log likelihood against finite differences, also where the problem is ill-conditioned."""

import numpy as np
import pytest
from scipy.optimize import minimize

from structkit.statespace import constant_sde, log_likelihood, matern_sde
from tests.statespace.oracle import CASES, block_observations, irregular

SMOOTH = [name for name in CASES if name != "constant"]


def _difference(value, at, h=1e-5):
    """Central differences in the logarithm of each entry."""
    out = np.empty(len(at))
    for i in range(len(at)):
        shift = np.where(np.arange(len(at)) == i, h, 0.0)
        out[i] = (value(at * np.exp(shift)) - value(at * np.exp(-shift))) / (2 * h)
    return out


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_in_parameters_and_noise(name, rng):
    sde, _ = CASES[name]
    times = np.sort(rng.uniform(0, 6, 25))
    times[5] = times[4]
    y = rng.normal(size=25)
    y[3] = np.nan
    result = log_likelihood(sde, times, y, noise_var=0.2, grad=True)
    expected = _difference(lambda p: log_likelihood(sde.with_parameters(p), times, y, noise_var=0.2), sde.parameters)
    assert np.allclose(result.gradient, expected, rtol=1e-5, atol=1e-5)
    noise = _difference(lambda v: log_likelihood(sde, times, y, noise_var=v[0]), np.array([0.2]))
    assert result.noise_gradient == pytest.approx(noise[0], rel=1e-6)


def test_gradient_in_information_form(rng):
    sde = constant_sde(0.5) + matern_sde(1.5, 0.3, 0.8) + matern_sde(0.5, 3.0, 1.2)
    times = np.sort(rng.uniform(0, 6, 25))
    precision, information = block_observations(rng, 25, 3)
    blocks = {"precision": precision, "information": information}
    result = log_likelihood(sde, times, **blocks, grad=True)
    expected = _difference(lambda p: log_likelihood(sde.with_parameters(p), times, **blocks), sde.parameters, 1e-4)
    assert np.allclose(result.gradient, expected, rtol=1e-5, atol=1e-5)
    assert result.noise_gradient is None


def test_gradient_with_precise_data_and_short_steps(rng):
    """Noise 1e-8 of the variance and a step of 1e-7: a gradient of the order of 1e4 that rounding must not reach."""
    sde, times = matern_sde(1.5, 0.5, 2.0), irregular(rng)
    y = np.sin(times)
    result = log_likelihood(sde, times, y, noise_var=1e-8, grad=True)
    expected = _difference(
        lambda p: log_likelihood(sde.with_parameters(p), times, y, noise_var=1e-8), sde.parameters, 1e-4
    )
    assert np.allclose(result.gradient, expected, rtol=1e-4)


def test_gradient_of_a_batch(rng):
    times, y = np.sort(rng.uniform(0, 5, 10)), rng.normal(size=(3, 2, 10))
    batch = log_likelihood(matern_sde(0.5), times, y, noise_var=0.1, grad=True)
    assert batch.gradient.shape == (3, 2, 2)
    one = log_likelihood(matern_sde(0.5), times, y[1, 1], noise_var=0.1, grad=True)
    assert np.array_equal(batch.gradient[1, 1], one.gradient)
    assert batch.noise_gradient[1, 1] == one.noise_gradient


def test_maximum_likelihood_finds_the_noise(rng):
    """L-BFGS converges on the analytic gradient, which is small where it ends."""
    times = np.sort(rng.uniform(0, 20, 80))
    y = np.sin(times) + 0.1 * rng.normal(size=80)
    sde = matern_sde(1.5)

    def objective(theta):
        result = log_likelihood(sde.with_parameters(np.exp(theta[:2])), times, y, noise_var=np.exp(theta[2]), grad=True)
        return -result.value, -np.append(result.gradient, result.noise_gradient)

    found = minimize(objective, np.zeros(3), jac=True, method="L-BFGS-B")
    assert found.success
    assert np.abs(found.jac).max() < 1e-2
    assert 0.003 < np.exp(found.x[2]) < 0.03
