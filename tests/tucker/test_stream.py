"""Streams of entries: the first batch is a fit, later ones add to it, bad ones change nothing."""

import numpy as np
import pytest

from structkit._core.errors import NotFiniteError, ShapeError
from tests.tucker.problems import MODELS, draw, quick, truth

X, Y = draw(600)
NEW = np.random.default_rng(1).uniform(0, 1, (60, 3))
each_model = pytest.mark.parametrize("form", MODELS)


def rmse(model):
    return np.sqrt(np.mean((model.predict(NEW) - truth(NEW)) ** 2))


@each_model
def test_the_first_batch_is_a_fit(form):
    a, b = quick(form).fit(X, Y), quick(form).partial_fit(X, Y)
    np.testing.assert_array_equal(a.predict(NEW), b.predict(NEW))
    assert a.noise_var_ == b.noise_var_


@each_model
@pytest.mark.parametrize("likelihood", ["gaussian", "student-t"])
def test_later_batches_make_it_better(form, likelihood):
    model = quick(form, likelihood=likelihood, tol=1e-2).fit(X[:200], Y[:200])
    _, before = model.predict(NEW, return_std=True)
    for part in (slice(200, 400), slice(400, 600)):
        model.partial_fit(X[part], Y[part])
    everything = quick(form, likelihood=likelihood, tol=1e-2).fit(X, Y)
    assert model.predict(NEW, return_std=True)[1].mean() < before.mean()
    # statistical: a stream is less precise than one fit, by no more than half of the spread of the noise
    assert rmse(model) < rmse(everything) + 0.05


def test_new_levels_are_learned():
    low = X[:, 0] < 0.6
    model = quick().fit(X[low], Y[low])
    high = NEW[NEW[:, 0] > 0.7]
    before = np.mean((model.predict(high) - truth(high)) ** 2)
    model.partial_fit(X[~low], Y[~low])
    assert np.mean((model.predict(high) - truth(high)) ** 2) < 0.5 * before


def test_missing_values_and_a_known_noise():
    y = Y.copy()
    y[310:320] = np.nan
    seen = ~np.isnan(y[300:])
    a, b = (quick(noise_var=0.01).fit(X[:300], Y[:300]) for _ in range(2))
    a.partial_fit(X[300:], y[300:])
    b.partial_fit(X[300:][seen], y[300:][seen])
    np.testing.assert_array_equal(a.predict(NEW), b.predict(NEW))
    np.testing.assert_allclose(a.noise_var_, 0.01, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        (X[:, :2], Y, ShapeError),
        (X, Y[:-1], ShapeError),
        (np.full_like(X, np.nan), Y, NotFiniteError),
        (X, np.full_like(Y, np.nan), ValueError),
    ],
)
def test_a_bad_batch_changes_nothing(x, y, error):
    model = quick().fit(X, Y)
    before = model.predict(NEW, return_std=True)
    with pytest.raises(error):
        model.partial_fit(x, y)
    for a, b in zip(before, model.predict(NEW, return_std=True), strict=True):
        np.testing.assert_array_equal(a, b)
