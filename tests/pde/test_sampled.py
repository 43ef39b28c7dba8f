"""Sources that are given by samples on an even grid."""

import numpy as np
import pytest

from structkit import ConvergenceWarning
from structkit.pde import PDE, D, Dirichlet, GPSolver
from tests.pde import problems
from tests.pde.manufactured import relative_error


def _sampled(problem, n, noise=0.0):
    grid = [np.linspace(a, b, n + 3 * axis) for axis, (a, b) in enumerate(problem.domain)]
    F = problem.source_on(grid)
    F = F + noise * F.std() * np.random.default_rng(0).normal(size=F.shape)
    return PDE(
        problem.operator,
        domain=problem.domain,
        source=F,
        grid=grid,
        conditions=problem.conditions,
        nonlinearity=problem.nonlinearity,
    )


@pytest.mark.parametrize(
    ("name", "n"),
    [("poisson_1d_smooth", 60), ("poisson_1d_chirplike", 400), ("heat_forced", 120), ("allen_cahn_2d", 200)],
)
def test_samples_do_as_well_as_the_function(name, n):
    exact, problem = getattr(problems, name)()
    solver = GPSolver().fit(_sampled(problem, n))
    assert solver.converged_
    assert relative_error(solver, exact, problem.domain) < 1e-8


@pytest.mark.parametrize(("name", "n"), [("poisson_1d_smooth", 12), ("poisson_2d_two_scales", 60)])
def test_too_few_samples_are_told(name, n):
    exact, problem = getattr(problems, name)()
    with pytest.warns(ConvergenceWarning, match="samples of the source"):
        solver = GPSolver().fit(_sampled(problem, n))
    error = relative_error(solver, exact, problem.domain)
    assert error / 100 < solver.residual_ < 100 * error


def test_noisy_samples_are_told():
    _, problem = problems.poisson_1d_smooth()
    with pytest.warns(ConvergenceWarning, match="or noisy"):
        solver = GPSolver().fit(_sampled(problem, 300, noise=1e-2))
    assert not solver.converged_


def test_samples_of_nothing_make_nothing():
    grid = [np.linspace(0, 1, 20)] * 2
    problem = PDE(D(0, 2) + D(1, 2), domain=[(0, 1)] * 2, source=np.zeros((20, 20)), grid=grid, conditions=Dirichlet())
    np.testing.assert_array_equal(GPSolver().fit(problem).predict(grid), np.zeros((20, 20)))
