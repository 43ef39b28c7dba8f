"""Functions of one mode against dense Gaussian conditioning."""

import numpy as np
import pytest
import scipy.optimize

from structkit.statespace import matern_sde, periodic_sde
from structkit.tucker.functions import ModeFunctions
from structkit.tucker.packing import unpack
from structkit.tucker.priors import ModePrior, mode_prior
from tests.statespace.oracle import block_observations, diagonal
from tests.tucker.oracle import dense_functions, dense_kl, dense_prior

KERNELS = ("matern12", "matern32", "matern52")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def solved(rng, kernel, rank, effect, n=12):
    levels = np.sort(rng.uniform(-3, 5, n))
    functions = ModeFunctions(mode_prior(kernel, levels), levels, rank, effect)
    functions.shares = rng.normal(size=functions.shares.shape)
    functions.solve(*block_observations(rng, n, rank + effect, 1.0))
    return functions, levels


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_mode_is_dense_regression(rng, kernel, effect):
    functions, _ = solved(rng, kernel, 2, effect)
    mean, cov = dense_functions(functions)
    check_moments(functions.moments, mean, diagonal(cov), 2)
    np.testing.assert_allclose(functions.kl, dense_kl(functions), rtol=1e-8)


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_moments_at_new_coordinates_are_dense_regression(rng, kernel, effect):
    functions, levels = solved(rng, kernel, 3, effect)
    new = np.array([-9.0, levels[0], (levels[3] + levels[4]) / 2, levels[-1], levels[-1] + 1e-3, 30.0])
    mean, cov = dense_functions(functions, new)
    check_moments(functions.at(new), mean, diagonal(cov), 3)
    means, stds = functions.marginals(new)
    np.testing.assert_allclose(means, mean, atol=1e-8 * np.abs(mean).max())
    variances = np.diagonal(diagonal(cov), axis1=1, axis2=2)
    np.testing.assert_allclose(stds, np.sqrt(variances), atol=1e-7 * np.sqrt(variances.max()))
    check_moments(functions.moved(new).moments, mean, diagonal(cov), 3)


def test_every_function_mixes_the_processes_in_its_own_way(rng):
    functions, _ = solved(rng, "matern32", 3, True)
    prior = np.einsum("ncnc->nc", dense_prior(functions, functions.times, functions.times))
    np.testing.assert_allclose(prior, np.broadcast_to(np.exp(2 * functions.shares).sum(axis=1), prior.shape))


def check_moments(moments, f, cov, rank):
    second = cov + f[:, :, None] * f[:, None, :]
    tol = {"rtol": 1e-8, "atol": 1e-8 * np.abs(second).max()}
    np.testing.assert_allclose(moments.mean, f[:, :rank], **tol)
    np.testing.assert_allclose(unpack(moments.second, rank), second[:, :rank, :rank], **tol)
    if f.shape[1] == rank:
        assert moments.effect is None
        assert moments.effect_second is None
        assert moments.cross is None
    else:
        np.testing.assert_allclose(moments.effect, f[:, rank], **tol)
        np.testing.assert_allclose(moments.effect_second, second[:, rank, rank], **tol)
        np.testing.assert_allclose(moments.cross, second[:, :rank, rank], **tol)


def test_one_function_with_unit_weight_is_gaussian_process_regression(rng):
    x, y, noise = np.sort(rng.uniform(0, 4, 15)), rng.normal(size=15), 0.3
    functions = ModeFunctions(ModePrior(matern_sde(1.5, 0.7, 2.0), 0.0, 1.0), x, 1, False)
    functions.solve(np.full((15, 1, 1), 1 / noise), y[:, None] / noise)
    u = np.sqrt(3) * np.abs(x[:, None] - x) / 0.7
    K = 2.0 * (1 + u) * np.exp(-u)
    gain = np.linalg.solve(K + noise * np.eye(15), K).T
    np.testing.assert_allclose(functions.moments.mean[:, 0], gain @ y, atol=1e-10)
    variance = functions.moments.second[:, 0] - functions.moments.mean[:, 0] ** 2
    np.testing.assert_allclose(variance, np.diag(K - gain @ K), atol=1e-10)


SDES = {
    "matern12": "matern12",
    "matern52": "matern52",
    "discrete": "discrete",
    "own": matern_sde(1.5, 2.0, 0.6),
    "periodic": periodic_sde(1.2, 3.0, 0.8, 3),
}


def objective_of(functions, messages, monkeypatch):
    """What `learn` minimises, and where it starts."""
    seen = {}

    def minimize(objective, start, **options):
        seen.update(objective=objective, start=start)
        return scipy.optimize.OptimizeResult(fun=np.inf)

    with monkeypatch.context() as patch:
        patch.setattr(scipy.optimize, "minimize", minimize)
        functions.learn(*messages, 1)
    return seen["objective"], seen["start"]


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("kernel", SDES)
def test_gradient_of_the_evidence(rng, kernel, effect, monkeypatch):
    functions, _ = solved(rng, SDES[kernel], 2, effect)
    objective, x = objective_of(functions, block_observations(rng, 12, 2 + effect, 1.0), monkeypatch)
    x = x + 0.2 * rng.standard_normal(len(x))
    value, gradient = objective(x)
    assert gradient.shape == x.shape
    h = 1e-5
    for k, e in enumerate(np.eye(len(x))):
        slope = (objective(x + h * e)[0] - objective(x - h * e)[0]) / (2 * h)
        # rounding of the value over the step, and the third derivative
        assert abs(slope - gradient[k]) < 1e-13 * max(1.0, abs(value)) / h + 1e-5 * max(1.0, abs(gradient[k]))


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("kernel", SDES)
def test_learning_never_loses_evidence(rng, kernel, effect):
    functions, _ = solved(rng, SDES[kernel], 2, effect)
    messages = functions.messages
    before = evidence(functions)
    for steps in (1, 3):
        functions.learn(*messages, steps)
        functions.solve(*messages)
        after = evidence(functions)
        assert after >= before - 1e-10 * abs(before)
        before = after


def evidence(functions):
    """Log Z from the divergence, with the prior of the parameters."""
    precision, information = functions.messages
    mean, cov = np.asarray(functions.smoothed.mean), np.asarray(functions.smoothed.cov)
    second = cov + mean[:, :, None] * mean[:, None, :]
    factors = np.sum(information * mean) - np.sum(precision * second) / 2
    return functions.log_prior() - functions.kl + factors


def test_learning_finds_the_parameters_of_a_draw(rng):
    x = np.linspace(0, 10, 400)
    u = np.abs(x[:, None] - x) / 2.0
    y = np.linalg.cholesky(np.exp(-u) + 1e-9 * np.eye(400)) @ rng.standard_normal((400, 4))
    functions = ModeFunctions(mode_prior(matern_sde(0.5, 0.3), x), x, 4, False)
    messages = np.tile(100.0 * np.eye(4), (400, 1, 1)), 100.0 * y
    functions.learn(*messages, 30)
    # four draws of five correlation lengths each: the estimate scatters by a fifth or so
    assert 1.0 < functions.sde.parameters[functions.sde.parameter_names.index("lengthscale")] < 4.0


def test_states_come_back(rng):
    functions, _ = solved(rng, "matern32", 2, True)
    state, mean = functions.state, functions.moments.mean.copy()
    functions.learn(*functions.messages, 3)
    functions.solve(*block_observations(rng, 12, 3, 1.0))
    assert not np.allclose(functions.moments.mean, mean)
    functions.state = state
    np.testing.assert_array_equal(functions.moments.mean, mean)
