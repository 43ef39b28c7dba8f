"""Plain polynomials among the functions that are tried."""

import numpy as np
import pytest
from numpy.polynomial import legendre

from structkit.pde import PDE, D, Dirichlet, GPSolver
from structkit.pde.features import polynomial_features
from tests.pde import problems


def test_features_are_orthonormal_on_the_reference_interval():
    t, w = legendre.leggauss(30)
    features = polynomial_features(2.0, 6.0, 20)
    assert features.n_features == 21
    P = features(4 + 2 * t)
    np.testing.assert_allclose(P.T @ (w[:, None] * P), np.eye(21), atol=1e-13)


def test_derivatives_are_those_of_polynomials():
    x = np.linspace(-1, 3, 9)
    features = polynomial_features(-1.0, 3.0, 6)
    powers = np.linalg.lstsq(features(np.linspace(-1, 3, 50)), np.linspace(-1, 3, 50) ** 5, rcond=None)[0]
    np.testing.assert_allclose(features(x, 2) @ powers, 20 * x**3, atol=1e-9)


def test_a_layer_is_found_by_polynomials_and_survives_storage(tmp_path):
    _, problem = problems.boundary_layer()
    solver = GPSolver().fit(problem)
    assert solver.lengthscale_ == [0.0]
    solver.save(tmp_path / "layer.npz")
    x = [np.linspace(0.99, 1, 50)]
    np.testing.assert_array_equal(GPSolver.load(tmp_path / "layer.npz").predict(x), solver.predict(x))


def test_points_that_are_given_limit_the_degree():
    def exact(x):
        return np.exp(100 * (x - 1))

    problem = PDE(0.01 * D(0, 2) - D(0, 1), domain=[(0, 1)], conditions=Dirichlet(exact))
    solver = GPSolver(100).fit(problem)
    assert solver.n_points_ == (100,)
    assert solver.lengthscale_ == [0.0]
    assert solver._expansion.bases[0].rank <= 81
    x = np.linspace(0, 1, 300)
    np.testing.assert_allclose(solver.predict([x]), exact(x), atol=1e-9)


@pytest.mark.parametrize("n", [8, 10])
def test_the_same_polynomials_again_are_no_second_opinion(n):
    def u(x):
        return np.sin(x + 0.4) + np.exp(1.5 * x)

    problem = PDE(
        D(0, 2), domain=[(0, 1)], source=lambda x: 2.25 * np.exp(1.5 * x) - np.sin(x + 0.4), conditions=Dirichlet(u)
    )
    solver = GPSolver(n).fit(problem)
    x = np.linspace(0, 1, 99)
    error = np.linalg.norm(solver.predict([x]) - u(x)) / np.linalg.norm(u(x))
    assert error / 10 < solver.residual_ < 1000 * error
