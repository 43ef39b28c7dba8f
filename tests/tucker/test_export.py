"""Grids as tensors of tensorly, draws and functions agree with the predictions."""

import numpy as np
import pytest

from tests.tucker.problems import MODELS, draw, quick

X, Y = draw(120)
GRID = [np.linspace(-0.2, 1.1, n) for n in (4, 3, 5)]
POINTS = np.stack([g.ravel() for g in np.meshgrid(*GRID, indexing="ij")], axis=1)


@pytest.mark.parametrize("form", MODELS)
@pytest.mark.parametrize("mean", ["zero", "constant", "main-effects"])
def test_a_grid_for_tensorly_is_the_prediction(form, mean):
    pytest.importorskip("tensorly")
    model = quick(form, mean=mean).fit(X, Y)
    predicted = model.predict(POINTS)
    dense = np.asarray(model.to_tensorly(GRID).to_tensor()).ravel()
    np.testing.assert_allclose(dense, predicted, rtol=0, atol=1e-11 * np.abs(Y).max())


@pytest.mark.parametrize("form", MODELS)
def test_core_functions_and_effects_make_up_the_prediction(form):
    model = quick(form, mean="main-effects").fit(X, Y)
    a, b, c = (model.factor(k, GRID[k]) for k in range(3))
    terms = "r,ir,jr,kr->ijk" if form == "cp" else "pqr,ip,jq,kr->ijk"
    total = model.offset_ + np.einsum(terms, model.core_, a, b, c)
    e = [model.effect(k, GRID[k]) for k in range(3)]
    total += e[0][:, None, None] + e[1][:, None] + e[2]
    np.testing.assert_allclose(total.ravel(), model.predict(POINTS), rtol=0, atol=1e-11 * np.abs(Y).max())


@pytest.mark.parametrize("form", MODELS)
def test_draws_have_the_predicted_moments(form):
    model = quick(form, mean="main-effects").fit(X, Y)
    n = 1000
    draws = model.sample(POINTS[:10], n, random_state=0)
    mean, std = model.predict(POINTS[:10], return_std=True)
    # six standard errors; products of Gaussians have heavier tails than a Gaussian, so the spread gets more room
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 6 * std / np.sqrt(n))
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.15)


def test_score_is_the_coefficient_of_determination():
    model = quick().fit(X, Y)
    expected = 1 - np.sum((Y - model.predict(X)) ** 2) / np.sum((Y - Y.mean()) ** 2)
    np.testing.assert_allclose(model.score(X, Y), expected, rtol=1e-12)


def test_the_number_of_draws_is_positive():
    with pytest.raises(ValueError, match="n = "):
        quick().fit(X, Y).sample(X, 0)
