"""Saved functional tensors tell the same after loading, and go on the same."""

import numpy as np
import pytest

import structkit
from structkit.statespace import matern_sde, periodic_sde, quasi_periodic_sde
from structkit.tucker import FunctionalCP, FunctionalTucker
from tests.tucker.problems import MODELS, draw, quick

X, Y = draw(120)
NEW = np.random.default_rng(1).uniform(-0.3, 1.4, (20, 3))
KERNELS = {
    "by name": "matern32",
    "per mode": ["matern12", "discrete", matern_sde(1.5, 0.4)],
    "periodic": [periodic_sde(period=0.7, n_harmonics=2), "matern12", "matern12"],
    "quasi-periodic": ["matern12", quasi_periodic_sde(period=0.7, n_harmonics=2), "matern12"],
}


def assert_same(model, other):
    for a, b in zip(model.predict(NEW, return_std=True), other.predict(NEW, return_std=True), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", MODELS)
@pytest.mark.parametrize("likelihood", ["gaussian", "student-t"])
def test_a_stream_goes_on_after_loading(form, likelihood, tmp_path):
    model = (
        quick(form, likelihood=likelihood, mean="main-effects").fit(X[:80], Y[:80]).partial_fit(X[80:100], Y[80:100])
    )
    model.save(tmp_path / "model")
    other = structkit.load(tmp_path / "model")
    assert type(other) is MODELS[form]
    assert other.noise_var_ == model.noise_var_
    assert_same(model, other)
    assert_same(model.partial_fit(X[100:], Y[100:]), other.partial_fit(X[100:], Y[100:]))


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernels_are_kept(kernel, tmp_path):
    model = quick(kernel=kernel).fit(X, Y)
    model.save(tmp_path / "model")
    assert_same(model, FunctionalCP.load(tmp_path / "model"))


def test_a_damaged_file_and_one_of_another_kind(tmp_path):
    path = tmp_path / "model"
    quick().fit(X, Y).save(path)
    with pytest.raises(structkit.StructKitError, match="FunctionalTucker"):
        FunctionalTucker.load(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(structkit.StructKitError):
        FunctionalCP.load(path)
