"""Problems with exact solutions, solved with the defaults: small errors, and an indicator that says how small."""

import inspect

import numpy as np
import pytest

from structkit.pde import GPSolver
from tests.pde import problems
from tests.pde.manufactured import relative_error

# Analytic solutions are to be found to this relative L2 error.
REACH = 1e-8
# Errors below this are rounding, about which the indicator says little.
ROUNDING = 1e-11
NAMES = [name for name, f in vars(problems).items() if inspect.isfunction(f) and f.__module__ == problems.__name__]
QUICK = (
    "poisson_1d_chirplike",
    "cantilever",
    "variable_coefficient_1d",
    "boundary_layer",
    "robin_1d",
    "periodic_1d",
    "oscillator_1d",
    "poisson_2d_two_scales",
    "poisson_2d_neumann",
    "laplace_2d_boundary_driven",
    "helmholtz_2d",
    "mixed_derivative_2d",
    "heat",
    "wave",
    "advection_backwards",
    "helmholtz_3d",
    "variable_3d",
    "allen_cahn_1d",
    "burgers_forced",
    "klein_gordon_cubic",
    "pendulum",
)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_defaults_reach_the_exact_solution_and_know_it(name):
    exact, problem = getattr(problems, name)()
    solver = GPSolver().fit(problem)
    error = relative_error(solver, exact, problem.domain)
    assert error < REACH
    assert solver.converged_
    assert error / 100 <= solver.residual_ <= 100 * max(error, ROUNDING)


@pytest.mark.parametrize("name", ["poisson_1d_runge", "wave", "cantilever"])
def test_derivatives_are_those_of_the_exact_solution(name):
    exact, problem = getattr(problems, name)()
    solver = GPSolver().fit(problem)
    coords = [np.linspace(a, b, 31) for a, b in problem.domain]
    grids = np.meshgrid(*coords, indexing="ij")
    points = np.stack([g.ravel() for g in grids], axis=1)
    for axis in range(problem.n_axes):
        for order in (1, 2):
            wanted = exact.derivative({axis: order}, grids)
            got = solver.predict(coords, derivative={axis: order})
            np.testing.assert_allclose(got, wanted, atol=1e-6 * np.abs(wanted).max())
            at = solver.predict_points(points, derivative={axis: order})
            np.testing.assert_allclose(at, got.ravel(), rtol=1e-10, atol=1e-10 * np.abs(wanted).max())
