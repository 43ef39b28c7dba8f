"""Features against the covariance they are a square root of, their derivatives, and the frequencies that are found."""

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from structkit.gp import SpectralMixture
from structkit.pde.basis import AxisBasis, clenshaw_curtis
from structkit.pde.features import axis_features
from structkit.pde.frequencies import discover_frequencies


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.6, 3.0])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_square_root_of_a_spectral_mixture(ratio, order):
    lower, upper = -1.0, 2.0
    f, w = np.array([0.0, 1.3, 4.0]), np.array([0.5, 2.0, 0.1])
    features = axis_features(lower, upper, 3 * ratio, f, weights=w)
    x = np.linspace(lower, upper, 31)
    kernel = SpectralMixture(w, f, np.full(3, 3 * ratio))
    expected = np.asarray(kernel(x, d1=order, d2=order))
    ours = features(x, order) @ features(x, order).T
    # Legendre series of the modes end at a degree, and derivatives magnify what is left at the ends of short envelopes.
    tol = 1e-9 * 10 ** (1.5 * order) if ratio < 0.1 else 1e-9
    np.testing.assert_allclose(ours, expected, atol=tol * np.abs(expected).max())
    assert features.n_features == len(features.groups) == features(x).shape[1]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives(order):
    features = axis_features(0.0, 2.0, 0.7, [0.0, 3.0])
    nodes = np.linspace(0.0, 2.0, 200)
    fit = chebyshev.Chebyshev.fit(nodes, features(nodes) @ np.ones(features.n_features), 90, domain=[0, 2])
    x = np.linspace(0.3, 1.7, 40)
    expected = fit.deriv(order)(x)
    np.testing.assert_allclose(
        features(x, order) @ np.ones(features.n_features), expected, atol=1e-6 * np.abs(expected).max()
    )


@pytest.mark.parametrize("n", [2, 3, 10, 33])
def test_quadrature(n):
    x, w = clenshaw_curtis(n)
    for k in range(n):
        assert w @ x**k == pytest.approx((1 - (-1) ** (k + 1)) / (k + 1), abs=1e-14)


def test_orthonormal_basis():
    basis = AxisBasis(axis_features(1.0, 3.0, 0.5, [0.0, 6.0]), 150)
    B = basis.values()
    np.testing.assert_allclose(B.T @ (basis.weights[:, None] * B), np.eye(basis.rank), atol=1e-4)
    # Coefficients of what the basis holds are exact, although its last functions are small differences of features.
    f = np.exp(basis.x) * np.cos(2 * np.pi * 6 * basis.x)
    np.testing.assert_allclose(B @ (basis.test.T @ f), f, atol=1e-9 * np.abs(f).max())


@pytest.mark.parametrize("seed", range(4))
def test_frequencies_are_found(seed):
    rng = np.random.default_rng(seed)
    truth = np.sort(rng.uniform(5, 60, 3))
    while np.diff(truth).min() < 4:
        truth = np.sort(rng.uniform(5, 60, 3))
    x = np.linspace(0, 2, 900)
    amplitude = 10 ** rng.uniform(-3, 0, 3)
    y = sum(a * np.sin(2 * np.pi * f * x + p) for a, f, p in zip(amplitude, truth, rng.uniform(0, 6, 3), strict=True))
    found = discover_frequencies((y + np.exp(x))[:, None], 0.0, 2.0, 0.7)
    assert found[0] == 0
    assert all(np.abs(found - f).min() < 0.5 for f in truth)
    assert len(found) <= 7


def test_nothing_to_find():
    x = np.linspace(0, 1, 200)
    assert discover_frequencies(np.zeros((200, 2)), 0.0, 1.0, 0.3).tolist() == [0.0]
    assert discover_frequencies(np.exp(x)[:, None], 0.0, 1.0, 0.35).tolist() == [0.0]
