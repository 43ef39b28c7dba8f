"""Solutions from noisy data: error bars that hold, parameters that are found, files, and what is refused."""

import numpy as np
import pytest

import structkit
from structkit import SizeError
from structkit.pde import PDE, D, Dirichlet, GPSolver, Observations, Parameter

X = np.linspace(0, 2, 120)
GRID = np.linspace(0, 2, 61)


def u(x):
    return np.sin(3 * x) + 0.4 * np.cos(11 * x)


def f(x):
    return -9 * np.sin(3 * x) - 48.4 * np.cos(11 * x)


def noisy(seed, noise=0.1):
    rng = np.random.default_rng(seed)
    source = f(X) + 0.05 * np.sqrt(np.mean(f(X) ** 2)) * rng.standard_normal(len(X))
    sensors = rng.uniform(0, 2, (15, 1))
    readings = u(sensors[:, 0]) + noise * rng.standard_normal(15)
    problem = PDE(D(0, 2), domain=[(0, 2)], source=source, grid=[X])
    return problem, sensors, readings


@pytest.fixture(scope="module")
def fitted():
    problem, sensors, readings = noisy(0)
    return GPSolver(noise_var="learn").fit(problem, observations=(sensors, readings, "learn"))


def test_bands_hold_without_boundary_data():
    inside, errors = [], []
    for seed in range(4):
        problem, sensors, readings = noisy(seed)
        model = GPSolver(noise_var="learn").fit(problem, observations=(sensors, readings, "learn"))
        mean, std = model.predict([GRID], return_std=True)
        inside.append(np.abs(mean - u(GRID)) < 1.96 * std)
        errors.append(np.linalg.norm(mean - u(GRID)) / np.linalg.norm(u(GRID)))
    assert np.mean(inside) > 0.75
    assert np.median(errors) < 0.15


def test_derivatives_have_bands_too(fitted):
    slope, std = fitted.predict([GRID], derivative={0: 1}, return_std=True)
    exact = 3 * np.cos(3 * GRID) - 4.4 * np.sin(11 * GRID)
    assert np.all(std > 0)
    assert np.mean(np.abs(slope - exact) < 4 * std) > 0.9


def test_draws_scatter_as_the_band_says(fitted):
    draws = fitted.sample([GRID], 4000, random_state=0)
    mean, std = fitted.predict([GRID], return_std=True)
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.1)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * std / np.sqrt(4000))


def test_points_are_the_grid(fitted):
    np.testing.assert_allclose(fitted.predict_points(GRID[:, None]), fitted.predict([GRID]), rtol=1e-9, atol=1e-12)


def test_files_keep_the_posterior(fitted, tmp_path):
    fitted.save(tmp_path / "posterior.npz")
    again = structkit.load(tmp_path / "posterior.npz")
    for ours, theirs in zip(
        fitted.predict([GRID], return_std=True), again.predict([GRID], return_std=True), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert again.noise_var_ == fitted.noise_var_


def test_unknown_coefficient():
    rng = np.random.default_rng(3)
    sensors = rng.uniform(0, 2, (30, 1))
    readings = np.sin(7 * sensors[:, 0]) + 0.01 * rng.standard_normal(30)
    k2 = Parameter("k2", 30.0, bounds=(10.0, 100.0))
    problem = PDE(D(0, 2) + k2 * D(0, 0), domain=[(0, 2)])
    found = GPSolver().fit(problem, observations=(sensors, readings, "learn")).parameters_["k2"]
    assert abs(found.value - 49) < 4 * found.standard_error
    assert found.standard_error < 2


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (([[0.5], [3.0]], [1.0, 1.0], 0.1), ValueError),
        (([[0.5]], [1.0, 1.0], 0.1), ValueError),
        (([[0.5, 0.5]], [1.0], 0.1), ValueError),
        (([[0.5]], [np.nan], 0.1), ValueError),
        (([[0.5]], [1.0], -0.1), ValueError),
        ("sensors", TypeError),
    ],
)
def test_bad_observations(given, error):
    problem = PDE(D(0, 2), domain=[(0, 2)], source=1.0, conditions=Dirichlet(0.0))
    with pytest.raises(error):
        GPSolver().fit(problem, observations=given)


def test_what_has_no_posterior(fitted):
    exact = GPSolver().fit(PDE(D(0, 2), domain=[(0, 2)], source=f, conditions=Dirichlet(u)))
    with pytest.raises(ValueError, match="posterior"):
        exact.predict([GRID], return_std=True)
    nonlinear = PDE(
        D(0, 2), domain=[(0, 2)], source=f, nonlinearity=(lambda v: v**3, lambda v: 3 * v**2), conditions=Dirichlet(u)
    )
    with pytest.raises(ValueError, match=r"nonlinear.*Linearise"):
        GPSolver(noise_var=0.1).fit(nonlinear)
    assert isinstance(Observations([[0.5]], [1.0], 0.1), Observations)


def test_more_features_than_a_dense_matrix_holds():
    problem = PDE(D(0, 2) + D(1, 2), domain=[(0, 1), (0, 1)], source=lambda x, y: np.sin(x) * np.sin(y))
    seen = Observations([[0.5, 0.5], [0.2, 0.7]], [0.1, 0.2], noise_var=0.01)
    with pytest.raises(SizeError, match=r"features.*at most 4000.*larger lengthscale"):
        GPSolver(lengthscale=0.05).fit(problem, observations=seen)
