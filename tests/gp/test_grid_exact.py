"""Mean, variance and evidence of every method against a dense Gaussian process."""

import math

import numpy as np
import pytest

from structkit.gp import FreeCovariance, GridGP, Matern, Periodic, SquaredExponential
from structkit.gp.whitening import NEGLIGIBLE
from tests.gp.grid_oracle import DenseGP, draw, hide

EPS = np.finfo(float).eps
RNG = np.random.default_rng(0)
X = RNG.permutation(np.sort(RNG.uniform(0.0, 3.0, 9)))
T = RNG.permutation(np.linspace(-1.0, 1.0, 7))
S = RNG.uniform(0.0, 2.0, 5)
BANDS = np.cov(RNG.normal(size=(4, 9)))

GRIDS = {
    "one-axis": ([SquaredExponential(0.7, 1.3)], [X]),
    "two-axes": ([Matern(1.5, 0.7, 1.3), SquaredExponential(0.6, 0.8)], [X, T]),
    "three-axes": ([Matern(0.5, 0.7, 1.3), Periodic(1.0, 0.9), Matern(2.5, 0.5)], [X[:5], T[:4], S]),
    "one-level": ([Matern(0.5, 0.7, 1.3), SquaredExponential(0.6, 0.8), Matern(2.5, 0.5)], [X, T[:1], S]),
    "one-cell": ([Matern(0.5, 0.7, 1.3), Matern(1.5)], [X[:1], T[:1]]),
    "free-axis": ([FreeCovariance(matrix=BANDS), SquaredExponential(0.6, 0.8)], [None, T]),
}
SHARES = {"complete": 0.0, "half": 0.5, "most": 0.95, "one-observed": 1.0, "block": None}
NEW = np.array([-0.5, 0.2, 1.7])


def masked(name, y):
    if SHARES[name] is None:
        y = y.copy()
        y[: (len(y) + 1) // 2] = np.nan
        return y if len(y) > 1 else np.nan_to_num(y)
    return hide(y, SHARES[name], np.random.default_rng(1))


def methods(y):
    return ["eigen", "dense"] if not np.isnan(y).any() else ["dense"]


def accuracy(oracle, noise):
    """Error that rounding and the dropped coefficients may cause, in units of the data."""
    w = np.linalg.eigvalsh(oracle.C)
    size = np.abs(oracle.r).max() + oracle.std().max()
    return 10 * EPS * w[-1] / w[0] * size + noise * np.linalg.norm(oracle.alpha) * NEGLIGIBLE


def targets(coords):
    """New coordinates on every axis that has any, and on the last one only."""
    return [
        [None if c is None else NEW for c in coords],
        [None] * (len(coords) - 1) + [NEW],
    ]


@pytest.mark.parametrize("noise", [1e-2, 1e-6, 10.0])
@pytest.mark.parametrize("mask", SHARES)
@pytest.mark.parametrize("grid", GRIDS)
def test_exact_methods_equal_the_dense_process(grid, mask, noise):
    kernels, coords = GRIDS[grid]
    y = masked(mask, draw(kernels, coords, noise, np.random.default_rng(2), mean=2.0)[1])
    oracle = DenseGP(kernels, coords, y, noise, mean=2.0)
    tol = accuracy(oracle, noise)
    assert tol < 1e-6  # what is promised
    for method in methods(y):
        model = GridGP(kernels, noise_var=noise, mean=2.0, learn_kernels=False, method=method).fit(coords, y)
        assert (model.method_, model.variance_method_, model.converged_) == (method, "exact", True)
        assert model.log_evidence_ == pytest.approx(oracle.evidence(), rel=1e-9, abs=1e-9)
        assert model.log_evidence_se_ == 0.0
        for new in [None, *targets(coords)]:
            mean, std = model.predict(new, return_std=True)
            np.testing.assert_allclose(mean, oracle.mean(new), rtol=0, atol=tol)
            np.testing.assert_allclose(std**2, oracle.std(new) ** 2, rtol=1e-6, atol=tol * noise + 1e-10)
        noisy = model.predict(return_std=True, include_noise=True)[1]
        np.testing.assert_allclose(noisy**2, oracle.std() ** 2 + noise, rtol=1e-6)


@pytest.mark.parametrize("mask", ["half", "most", "one-observed", "block", "complete"])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_automatic_choice_is_exact_on_small_grids(grid, mask):
    kernels, coords = GRIDS[grid]
    y = masked(mask, draw(kernels, coords, 0.01, np.random.default_rng(2))[1])
    model = GridGP(kernels, noise_var=0.01, mean="zero", learn_kernels=False).fit(coords, y)
    oracle = DenseGP(kernels, coords, y, 0.01)
    assert model.method_ == ("eigen" if not np.isnan(y).any() else "dense")
    mean, std = model.predict(return_std=True)
    np.testing.assert_allclose(mean, oracle.mean(), atol=1e-8)
    np.testing.assert_allclose(std, oracle.std(), rtol=1e-7)
    assert model.log_evidence_ == pytest.approx(oracle.evidence(), rel=1e-11)


def test_one_observed_cell_with_a_constant_mean_needs_given_hyperparameters():
    y = np.full((4, 3), np.nan)
    y[1, 2] = 5.0
    model = GridGP([Matern(1.5), Matern(1.5)], noise_var=0.1, learn_kernels=False).fit([X[:4], T[:3]], y)
    assert model.mean_ == pytest.approx(5.0)
    np.testing.assert_allclose(model.predict(), 5.0)


# ---- the iterative method -------------------------------------------------------------------------------------------


def iterative(kernels, noise, **options):
    settings = {"mean": 2.0, "tol": 1e-9, "max_iter": 3000, "n_samples": 2, "n_probes": 2} | options
    return GridGP(kernels, noise_var=noise, learn_kernels=False, method="iterative", random_state=0, **settings)


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 10.0])
@pytest.mark.parametrize("mask", SHARES)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_iterative_mean_equals_the_dense_one(grid, mask, noise):
    kernels, coords = GRIDS[grid]
    y = masked(mask, draw(kernels, coords, noise, np.random.default_rng(2), mean=2.0)[1])
    oracle = DenseGP(kernels, coords, y, noise, mean=2.0)
    model = iterative(kernels, noise).fit(coords, y)
    assert (model.method_, model.variance_method_, model.converged_) == ("iterative", "samples", True)
    # `tol` bounds the root mean square over coefficients, so one cell may be off by that times sqrt(N).
    tol = 10 * 1e-9 * math.sqrt(y.size) * oracle.std().max() + accuracy(oracle, noise)
    assert tol < 1e-6
    for new in [None, *targets(coords)]:
        np.testing.assert_allclose(model.predict(new), oracle.mean(new), rtol=0, atol=tol)


@pytest.mark.parametrize("mask", ["half", "most", "block"])
@pytest.mark.parametrize("grid", ["two-axes", "three-axes", "free-axis"])
def test_the_iterative_variance_is_within_its_sampling_error(grid, mask):
    kernels, coords = GRIDS[grid]
    draws = 1200
    y = masked(mask, draw(kernels, coords, 0.01, np.random.default_rng(2), mean=2.0)[1])
    oracle = DenseGP(kernels, coords, y, 0.01, mean=2.0)
    model = iterative(kernels, 0.01, n_samples=draws, tol=1e-6).fit(coords, y)
    for new in [None, *targets(coords)]:
        # Statistical: each variance is chi-squared about the exact one; 5 standard deviations over about 100 cells.
        std = model.predict(new, return_std=True)[1]
        np.testing.assert_allclose(std**2, oracle.std(new) ** 2, rtol=5 * math.sqrt(2 / draws))


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("mask", ["half", "most", "block"])
def test_the_stochastic_evidence_is_within_its_standard_error(mask, noise):
    kernels, coords = GRIDS["three-axes"]
    y = masked(mask, draw(kernels, coords, noise, np.random.default_rng(2), mean=2.0)[1])
    model = iterative(kernels, noise, n_probes=600, tol=1e-5).fit(coords, y)
    error = model.log_evidence_ - DenseGP(kernels, coords, y, noise, mean=2.0).evidence()
    assert model.log_evidence_se_ < 2.0
    assert abs(error) < 4 * model.log_evidence_se_


def test_the_stated_standard_error_is_the_spread_of_the_estimates():
    kernels, coords = GRIDS["two-axes"]
    y = masked("half", draw(kernels, coords, 0.01, np.random.default_rng(2), mean=2.0)[1])
    runs = [iterative(kernels, 0.01, n_probes=20).set_params(random_state=s).fit(coords, y) for s in range(40)]
    spread = np.std([m.log_evidence_ for m in runs], ddof=1)
    stated = math.sqrt(np.mean([m.log_evidence_se_**2 for m in runs]))
    # Statistical: the spread of 40 runs is known to about 1 / sqrt(80) = 11 %.
    assert spread == pytest.approx(stated, rel=0.45)


# ---- forms of noise and mean ----------------------------------------------------------------------------------------

LEVELS = np.array([0.3, 0.02, 0.1, 1e-3, 0.5, 0.04, 0.2])
MEANS = np.array([3.0, -1.0, 0.5, 2.0, 0.0, 10.0, -4.0])


@pytest.mark.parametrize("method", ["dense", "iterative", "eigen"])
@pytest.mark.parametrize("form", ["scalar", "levels", "scalar-per-level", "cells"])
def test_forms_of_noise(form, method):
    kernels, coords = GRIDS["two-axes"]
    rng = np.random.default_rng(3)
    cells = 10.0 ** rng.uniform(-6, 3, (9, 7))
    given, grid, axis = {
        "scalar": (0.05, 0.05, None),
        "levels": (LEVELS, LEVELS, 1),
        "scalar-per-level": (0.05, 0.05, 1),
        "cells": (cells, cells, None),
    }[form]
    y = draw(kernels, coords, grid, rng)[1]
    y = y if method == "eigen" else hide(y, 0.3, rng)
    if method == "eigen" and form == "cells":
        pytest.skip("noise per cell has no eigendecomposition")
    model = GridGP(
        kernels, noise_var=given, noise_axis=axis, mean="zero", learn_kernels=False, method=method, n_probes=500
    )
    model.set_params(tol=1e-10, max_iter=5000, random_state=0).fit(coords, y)
    oracle = DenseGP(kernels, coords, y, grid)
    np.testing.assert_array_equal(model.noise_var_, given if form != "scalar-per-level" else np.full(7, 0.05))
    np.testing.assert_allclose(model.predict(), oracle.mean(), atol=1e-7)
    np.testing.assert_allclose(model.predict([NEW, None]), oracle.mean([NEW, None]), atol=1e-7)
    np.testing.assert_allclose(model.predict([X[:2], NEW]), oracle.mean([X[:2], NEW]), atol=1e-7)
    if method == "iterative":
        assert abs(model.log_evidence_ - oracle.evidence()) < 4 * model.log_evidence_se_
        return
    assert model.log_evidence_ == pytest.approx(oracle.evidence(), rel=1e-10)
    std = model.predict(return_std=True)[1]
    np.testing.assert_allclose(std, oracle.std(), rtol=1e-7)
    new = [NEW, T[:2] + 0.01]
    np.testing.assert_allclose(model.predict(new, return_std=True)[1], oracle.std(new), rtol=1e-7)
    noisy = model.predict(return_std=True, include_noise=True)[1]
    np.testing.assert_allclose(noisy**2, oracle.std() ** 2 + grid, rtol=1e-9)


def test_noise_at_hidden_cells_may_be_unknown():
    kernels, coords = GRIDS["two-axes"]
    rng = np.random.default_rng(3)
    y = hide(draw(kernels, coords, 0.1, rng)[1], 0.3, rng)
    noise = np.where(np.isnan(y), np.nan, 0.1 * (1 + np.arange(9.0)[:, None]))
    model = GridGP(kernels, noise_var=noise, mean="zero", learn_kernels=False).fit(coords, y)
    oracle = DenseGP(kernels, coords, y, noise)
    np.testing.assert_allclose(model.predict(), oracle.mean(), atol=1e-9)
    std, noisy = (model.predict(return_std=True, include_noise=i)[1] for i in (False, True))
    np.testing.assert_allclose(std, oracle.std(), rtol=1e-8)
    np.testing.assert_array_equal(np.isnan(noisy), np.isnan(y))


def test_noise_is_not_known_at_new_coordinates():
    kernels, coords = GRIDS["two-axes"]
    y = draw(kernels, coords, 0.1, np.random.default_rng(3))[1]
    per_level = GridGP(kernels, noise_var=LEVELS, noise_axis=1, learn_kernels=False).fit(coords, y)
    per_cell = GridGP(kernels, noise_var=np.outer(np.ones(9), LEVELS), learn_kernels=False).fit(coords, y)
    std = per_level.predict([NEW, None], return_std=True)[1]
    noisy = per_level.predict([NEW, None], return_std=True, include_noise=True)[1]
    np.testing.assert_allclose(noisy**2, std**2 + LEVELS)
    for model, new in ((per_level, [None, NEW]), (per_cell, [None, NEW]), (per_cell, [NEW, None])):
        with pytest.raises(ValueError, match="known at its levels only"):
            model.predict(new, return_std=True, include_noise=True)


@pytest.mark.parametrize("method", ["eigen", "dense", "iterative"])
def test_forms_of_mean(method):
    kernels, coords = GRIDS["two-axes"]
    rng = np.random.default_rng(3)
    y = draw(kernels, coords, 0.1, rng)[1] + MEANS
    y = y if method == "eigen" else hide(y, 0.3, rng)
    for given, axis, grid in (("zero", None, 0.0), (-2, None, -2.0), ("constant", None, None), ("per-level", 1, None)):
        model = GridGP(kernels, noise_var=0.1, mean=given, mean_axis=axis, learn_kernels=False, method=method)
        model.set_params(tol=1e-10, max_iter=3000, n_probes=32, random_state=0, learning_tol=1e-8).fit(coords, y)
        oracle = DenseGP(kernels, coords, y, 0.1, mean=model.mean_ if grid is None else grid)
        np.testing.assert_allclose(model.predict(), oracle.mean(), atol=1e-7)
        if grid is not None:
            assert model.mean_ == grid
            continue
        # A learned mean is the generalised least squares estimate.
        A = np.ones((63, 1)) if axis is None else np.tile(np.eye(7), (9, 1))
        A = A[oracle.seen]
        exact = np.linalg.solve(A.T @ np.linalg.solve(oracle.C, A), A.T @ np.linalg.solve(oracle.C, y[~np.isnan(y)]))
        np.testing.assert_allclose(np.ravel(model.mean_), exact, atol=1e-2 if method == "iterative" else 1e-5)


def test_a_mean_per_level_has_no_value_elsewhere():
    kernels, coords = GRIDS["two-axes"]
    y = draw(kernels, coords, 0.1, np.random.default_rng(3))[1] + MEANS
    model = GridGP(kernels, noise_var=0.1, mean="per-level", mean_axis=1, learn_kernels=False).fit(coords, y)
    assert model.predict([NEW, None]).shape == (3, 7)
    with pytest.raises(ValueError, match=r"coords\[1\] must be None"):
        model.predict([None, NEW])
