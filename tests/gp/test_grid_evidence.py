"""Evidences of a grid and their gradients: against the dense density, finite differences, and many probes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from structkit import NotPositiveDefiniteError
from structkit.gp import FreeCovariance, Matern, RationalQuadratic, SquaredExponential
from structkit.gp.grid_ascent import Parameters
from structkit.gp.grid_data import GridModel, check_grid
from structkit.gp.grid_evidence import complete_evidence, dense_evidence, grid_normals, stochastic_evidence
from structkit.gp.regions import find_regions
from tests.gp.grid_oracle import DenseGP, draw, hide

RNG = np.random.default_rng(4)
X = RNG.uniform(0.0, 3.0, 7)
T = np.linspace(-1.0, 1.0, 5)
KERNELS = (Matern(1.5, 0.7, 1.3), RationalQuadratic(1.2, 0.6, 0.8))
FREE = (FreeCovariance(matrix=np.cov(RNG.normal(size=(7, 30)))), SquaredExponential(0.6, 0.8))
LEVELS = np.array([0.3, 0.02, 0.1, 1e-3, 0.5])
MEANS = np.array([3.0, -1.0, 0.5, 2.0, 0.0])


def build(noise, mean, kernels=KERNELS, share=0.0, dtype=np.float64, seed=5):
    """Data and model; vectors of noise and mean belong to the second axis."""
    rng = np.random.default_rng(seed)
    coords = [None if isinstance(kernels[0], FreeCovariance) else X, T]
    y = hide(draw(kernels, coords, noise, rng, mean)[1], share, rng) if share else draw(kernels, coords, noise, rng)[1]
    data = check_grid(coords, y.astype(dtype), None, kernels, None)
    noise, mean = np.asarray(noise, dtype=float), np.asarray(mean, dtype=float)
    return data, GridModel(kernels, noise, mean, 1 if noise.ndim else None, 1 if mean.ndim else None)


def oracle(model, data):
    y = np.where(data.weights > 0, data.y, np.nan)
    noise = model.scale_grid(data.shape) ** 2 / np.where(data.weights > 0, data.weights, 1.0)
    return DenseGP(model.kernels, data.coords, y, noise, model.mean_grid(2))


EXACT = {"complete": (complete_evidence, 0.0), "dense": (dense_evidence, 0.4)}
NOISES = {"scalar": np.asarray(0.1), "small": np.asarray(1e-5), "levels": LEVELS}
MEAN_FORMS = {"scalar": np.asarray(0.7), "levels": MEANS}


@pytest.mark.parametrize("mean", MEAN_FORMS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernels", [KERNELS, FREE], ids=["kernels", "free"])
@pytest.mark.parametrize("method", EXACT)
def test_exact_evidences_and_their_gradients(method, kernels, noise, mean):
    evidence, share = EXACT[method]
    data, model = build(NOISES[noise], MEAN_FORMS[mean], kernels, share)
    result, exact = evidence(model, data), oracle(model, data)
    w = np.linalg.eigvalsh(exact.C)
    eps = 100 * np.finfo(float).eps * w[-1] / w[0]
    assert result.standard_error == 0.0
    assert result.value == pytest.approx(exact.evidence(), rel=max(eps, 1e-13))
    for ours, theirs in zip(result.covariances, exact.covariance_gradients(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=eps * np.abs(theirs).max())
    pull = np.zeros(data.y.size)
    pull[exact.seen] = exact.alpha
    np.testing.assert_allclose(result.mean.ravel(), pull, atol=eps * np.abs(pull).max())
    inverse = np.linalg.inv(exact.C)
    cells = np.zeros(data.y.size)
    cells[exact.seen] = 0.5 * exact.noise * (exact.alpha**2 - np.diag(inverse))
    other = 0 if model.whitened_axis == 1 else 1
    expected = cells.reshape(data.shape).sum(other)
    np.testing.assert_allclose(result.log_noise, expected, atol=eps * np.abs(cells).max() * len(cells))


@pytest.mark.parametrize("mean", MEAN_FORMS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("method", EXACT)
def test_the_gradient_that_the_optimiser_sees(method, noise, mean):
    evidence, share = EXACT[method]
    data, model = build(NOISES[noise], MEAN_FORMS[mean], share=share)
    free = Parameters(kernels=True, noise=True, mean=True, unit=2.0)
    at = free.pack(model)
    assert len(at) == 5 + model.noise_var.size + model.mean.size
    gradient = free.gradient(model, data, evidence(model, data))
    h = 1e-5
    for i in range(len(at)):
        step = h * np.eye(len(at))[i]
        high, low = (oracle(free.unpack(model, at + s), data).evidence() for s in (step, -step))
        assert gradient[i] == pytest.approx((high - low) / (2 * h), rel=1e-5, abs=1e-5 * np.abs(gradient).max())


def test_weights_of_cells_enter_the_dense_evidence():
    data, model = build(np.asarray(0.1), np.asarray(0.7), share=0.4)
    data = data.weighted(10.0 ** np.random.default_rng(0).uniform(-4, 0, data.shape))
    assert dense_evidence(model, data).value == pytest.approx(oracle(model, data).evidence(), rel=1e-13)


def test_single_precision_data_give_the_evidence_in_double_precision():
    data, model = build(np.asarray(1e-5), np.asarray(0.7), dtype=np.float32)
    for evidence in (complete_evidence, dense_evidence):
        # The data themselves are rounded to single precision, and so is the mean's difference to them.
        exact = evidence(model, replace(data, y=data.y.astype(float), weights=data.weights.astype(float)))
        assert evidence(model, data).value == pytest.approx(exact.value, rel=1e-4)


def test_an_indefinite_covariance_is_refused():
    data, _ = build(np.asarray(0.1), np.asarray(0.0), share=0.4)
    smooth = GridModel((SquaredExponential(50.0), SquaredExponential(50.0)), np.asarray(1e-30), np.asarray(0.0))
    with pytest.raises(NotPositiveDefiniteError, match=r"observed cells is not positive definite.*Raise noise_var"):
        dense_evidence(smooth, data)


# ---- the stochastic evidence: fixed normals, statistical checks ------------------------------------------------------


def estimates(model, data, batches, k, tol=1e-6):
    """Independent stochastic evidences of `k` probes each."""
    rng = np.random.default_rng(6)
    geometry = find_regions(data.weights)
    return [
        stochastic_evidence(
            model, data, geometry, grid_normals(rng, k, data.shape, data.y.dtype), tol=tol, max_iter=3000
        )
        for _ in range(batches)
    ]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_stochastic_gradient_is_unbiased(noise, share):
    data, model = build(NOISES[noise], MEANS, share=share)
    free = Parameters(kernels=True, noise=True, mean=True, unit=2.0)
    exact = dense_evidence(model, data)
    batches = estimates(model, data, 25, 60)
    gradients = np.array([free.gradient(model, data, e) for e in batches])
    # Statistical: student's t with 24 degrees of freedom, 11 to 15 components, 6 cases: beyond 5 about once in 500.
    spread = gradients.std(0, ddof=1) / math.sqrt(len(batches))
    target = free.gradient(model, data, exact)
    floor = 1e-4 * np.abs(target).max()
    assert np.all(np.abs(gradients.mean(0) - target) < 5 * spread + floor)
    # What the mean's gradient contains is no estimate.
    np.testing.assert_allclose(gradients[0, -5:], target[-5:], atol=1e-3 * np.abs(target).max())
    values = np.array([e.value for e in batches])
    assert abs(values.mean() - exact.value) < 5 * values.std(ddof=1) / math.sqrt(len(batches)) + 1e-3


def test_the_quadrature_runs_until_its_bias_is_small_beside_the_sampling_error():
    # Ill-conditioned enough that a fixed number of 40 Lanczos steps is off by tens of standard errors.
    kernels = (Matern(0.5, 0.7, 1.3), SquaredExponential(0.6, 0.8), Matern(2.5, 0.5))
    coords = [X[:7], np.linspace(-1.0, 1.0, 6), np.linspace(0.0, 2.0, 5)]
    rng = np.random.default_rng(0)
    y = hide(draw(kernels, coords, 1e-5, rng)[1], 0.9, rng)
    data = check_grid(coords, y, None, kernels, None)
    model = GridModel(kernels, np.asarray(1e-5), np.zeros(()))
    (estimate,) = estimates(model, data, 1, 150, tol=1e-2)
    assert abs(estimate.value - dense_evidence(model, data).value) < 4 * estimate.standard_error


def test_directions_without_data_do_not_upset_the_quadrature():
    # White noise a million times the noise variance: hidden cells are eigenvalues at the edge of rounding.
    kernels = (Matern(0.5, 1e-7, 1e5), Matern(0.5, 1e-7, 1e5))
    data, _ = build(np.asarray(0.1), np.asarray(0.0), kernels, share=0.4)
    model = GridModel(kernels, np.asarray(1e-6), np.zeros(()))
    for k in (4, 64):
        (estimate,) = estimates(model, data, 1, k, tol=1e-2)
        error = estimate.value - dense_evidence(model, data).value
        assert abs(error) < 5 * estimate.standard_error
        assert estimate.standard_error < 300 / math.sqrt(k)


def test_fixed_normals_give_a_smooth_evidence():
    data, model = build(np.asarray(0.1), np.asarray(0.7), share=0.4)
    free = Parameters(kernels=True, noise=True, mean=True, unit=2.0)
    normals = grid_normals(np.random.default_rng(6), 8, data.shape, data.y.dtype)
    geometry = find_regions(data.weights)

    def value(vector):
        at = free.unpack(model, vector)
        return stochastic_evidence(at, data, geometry, normals, tol=1e-8, max_iter=500).value

    at = free.pack(model)
    line = np.array([value(at + s) for s in np.linspace(0.0, 1e-3, 9)])
    # A smooth function on a short line is a parabola; what is left is rounding.
    s = np.linspace(-1, 1, 9)
    left = line - np.polyval(np.polyfit(s, line, 2), s)
    assert np.abs(left).max() < 1e-6 * np.ptp(line)
