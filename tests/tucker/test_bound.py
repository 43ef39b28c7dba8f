"""The evidence lower bound: its value from the definition, and that it never falls."""

import itertools

import numpy as np
import pytest

from structkit.tucker.ascent import Ascent
from structkit.tucker.cores import CPCore
from structkit.tucker.noise import StudentNoise
from tests.tucker.oracle import bound, entries, posterior

RANKS = {
    "cp": {1: (2,), 2: (2, 2), 3: (2, 2, 2), 4: (2, 2, 2, 2)},
    "tucker": {1: (2,), 2: (3, 2), 3: (2, 3, 4), 4: (2, 1, 2, 2)},
}
MEANS = ("zero", "constant", "main-effects")


def standardised(n_modes, n=40, seed=0, n_levels=5):
    X, y = entries(np.random.default_rng(seed), n_modes, n, n_levels)
    return X, (y - y.mean()) / y.std()


@pytest.mark.parametrize(
    ("mean", "student", "known"),
    [("constant", False, None), ("main-effects", False, 0.2), ("main-effects", True, None), ("constant", True, 0.2)],
)
@pytest.mark.parametrize("n_modes", [1, 2, 3])
@pytest.mark.parametrize("form", RANKS)
def test_the_bound_is_its_definition(form, n_modes, mean, student, known):
    X, y = standardised(n_modes)
    post = posterior(X, y, RANKS[form][n_modes], cp=form == "cp", mean=mean, student=student, known=known)
    centred = y - y.mean()
    for steps in (0, 0, 2):
        post.sweep(steps)
        np.testing.assert_allclose(post.elbo, bound(post, X, centred), rtol=1e-8)


def test_the_bound_after_learning_smoother_functions():
    X, y = standardised(2, n_levels=4)
    post = posterior(X, y, (2, 2), cp=False, mean="main-effects", kernel="matern32")
    for _ in range(4):
        post.sweep(3)
    assert np.abs(post.functions[0].shares).max() > 1e-3
    np.testing.assert_allclose(post.elbo, bound(post, X, y - y.mean()), rtol=1e-7)


def assert_rises(values):
    values = np.array(values)
    assert np.isfinite(values).all()
    assert np.all(np.diff(values) >= -1e-9 * np.abs(values[1:]))


def everything():
    """All combinations; a part of them in the default run."""
    quick = {("cp", 2, "zero", False), ("tucker", 2, "constant", True), ("cp", 3, "constant", True)}
    quick |= {("cp", 3, "main-effects", False), ("tucker", 3, "main-effects", True), ("tucker", 3, "zero", False)}
    quick |= {("cp", 4, "main-effects", True), ("tucker", 4, "main-effects", False)}
    for each in itertools.product(RANKS, (2, 3, 4), MEANS, (False, True)):
        yield pytest.param(*each, marks=() if each in quick else pytest.mark.slow)


@pytest.mark.parametrize(("form", "n_modes", "mean", "student"), list(everything()))
def test_the_bound_never_falls(form, n_modes, mean, student):
    X, y = standardised(n_modes, 60)
    if student:
        y[:3] += 8.0
    for learn in (False, True):
        post = posterior(X, y, RANKS[form][n_modes], cp=form == "cp", mean=mean, student=student)
        assert_rises([post.sweep(3 if learn and k % 3 == 2 else 0) for k in range(6)])
        ascent = Ascent(post, 1.5, learn)
        assert_rises([ascent.sweep() for _ in range(10)])
        assert ascent.bound == pytest.approx(post.elbo + 1.5)


@pytest.mark.parametrize("form", RANKS)
def test_extrapolation_is_taken_back_where_it_loses(form):
    """Sweeps from beyond two states never lose, and end in an optimum about as good as that of plain ones."""
    X, y = standardised(3, 80)
    plain, fast = (posterior(X, y, RANKS[form][3], cp=form == "cp") for _ in range(2))
    for _ in range(60):
        plain.sweep()
    ascent = Ascent(fast, 0.0, False)
    for _ in range(60):
        ascent.sweep()
    assert np.diff(ascent.bounds).min() >= -1e-9 * abs(ascent.bound)
    assert ascent.bound >= plain.elbo - 2e-2 * abs(plain.elbo)


def test_states_of_a_posterior_come_back():
    X, y = standardised(3)
    post = posterior(X, y, (2, 2, 2), cp=True, mean="main-effects", student=True)
    post.sweep()
    state = post.state
    again = [post.sweep(2) for _ in range(3)]
    post.state = state
    assert [post.sweep(2) for _ in range(3)] == again


def test_weights_of_observations_are_their_posterior_means():
    X, y = standardised(2)
    y[4] += 10.0
    post = posterior(X, y, (2, 2), cp=True, student=True)
    for _ in range(10):
        post.sweep()
    assert isinstance(post.core, CPCore)
    assert isinstance(post.noise, StudentNoise)
    weight = post.entries.blocks[0].weight
    assert weight.argmin() == 4
    assert weight[4] < 0.2


def test_optimal_degrees_of_freedom():
    """The divergence of the weights at the learned degrees is the smallest one on a grid."""
    X, y = standardised(2, 200)
    y += 0.3 * np.random.default_rng(1).standard_t(3, len(y))
    post = posterior(X, y, (2, 2), cp=True, student=True)
    for _ in range(5):
        post.sweep()
    noise = post.noise
    grid = np.exp(np.linspace(np.log(3.0), np.log(200.0), 200))
    values = [noise._weight_kl(d) for d in grid]
    assert noise._weight_kl(noise.degrees) <= min(values) + 1e-3
    assert noise.degrees < 50
