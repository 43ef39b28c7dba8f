"""Nonlinear problems that Newton's method does not solve from the linear solution, and ones without solution."""

import numpy as np
import pytest

from structkit import ConvergenceWarning
from structkit.pde import PDE, D, Dirichlet, GPSolver, Nonlinearity
from tests.pde.manufactured import Exact, Ridge, Step, problem

U = D(0, 0)
BISTABLE = Nonlinearity(lambda u: u**3 - u, [U], [lambda u: 3 * u**2 - 1])


def test_pseudo_time_leads_to_a_solution_where_newton_fails():
    """Reaction beats diffusion: the linear solution is far from every solution, of which there are several."""
    layer = Exact(Ridge(Step(3.5), (1.0, 0.5), 0.1))
    pde = problem(-0.01 * (D(0, 2) + D(1, 2)), [(-1, 1), (-1, 1)], layer, nonlinearity=BISTABLE)
    solver = GPSolver(lengthscale=0.1).fit(pde)
    assert solver.converged_
    x, y = np.linspace(-0.99, 0.99, 61), np.linspace(-0.98, 0.97, 57)
    u = solver.predict([x, y])
    curved = solver.predict([x, y], derivative={0: 2}) + solver.predict([x, y], derivative={1: 2})
    wanted = pde.source_on([x, y])
    np.testing.assert_allclose(-0.01 * curved + u**3 - u, wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("strength", [1.0, 3.4, 3.5])
def test_bratu_below_its_fold(strength):
    """``u'' + c e^u = 0`` has two solutions for c < 3.5138; its lower one is known in closed form."""
    pde = PDE(
        D(0, 2),
        domain=[(0, 1)],
        conditions=Dirichlet(0.0),
        nonlinearity=(lambda u: strength * np.exp(u), lambda u: strength * np.exp(u)),
    )
    theta = 1.0
    for _ in range(500):  # theta = sqrt(2 c) cosh(theta / 4)
        theta = np.sqrt(2 * strength) * np.cosh(theta / 4)
    x = np.linspace(0, 1, 101)
    exact = -2 * np.log(np.cosh((x - 0.5) * theta / 2) / np.cosh(theta / 4))
    np.testing.assert_allclose(GPSolver().fit(pde).predict([x]), exact, atol=1e-8)


def test_no_solution_is_told():
    pde = PDE(
        D(0, 2),
        domain=[(0, 1)],
        conditions=Dirichlet(0.0),
        nonlinearity=(lambda u: 5.0 * np.exp(u), lambda u: 5.0 * np.exp(u)),
    )
    with pytest.warns(ConvergenceWarning, match="Newton's method did not converge"):
        solver = GPSolver(lengthscale=0.35).fit(pde)
    assert not solver.converged_


def test_a_nonlinearity_that_is_not_finite_is_told():
    pde = PDE(
        D(0, 2),
        domain=[(0, 1)],
        source=-1.0,
        conditions=Dirichlet(0.0),
        nonlinearity=(lambda u: np.sqrt(u - 1), lambda u: 0.5 / np.sqrt(u - 1)),
    )
    with pytest.warns(ConvergenceWarning, match="Newton"):
        solver = GPSolver(lengthscale=0.35).fit(pde)
    assert not solver.converged_
    assert solver.residual_ == np.inf


def test_nothing_in_nothing_out():
    pde = PDE(
        D(0, 2) + D(1, 2),
        domain=[(0, 1), (0, 1)],
        conditions=Dirichlet(0.0),
        nonlinearity=(lambda u: u**3, lambda u: 3 * u**2),
    )
    solver = GPSolver().fit(pde)
    assert solver.converged_
    np.testing.assert_array_equal(solver.predict([[0.3], [0.4, 0.5]]), 0.0)


def test_slopes_by_complex_steps_are_those_given():
    given = Nonlinearity(lambda u, v: u * v + np.exp(u), [U, D(0, 1)], [lambda u, v: v + np.exp(u), lambda u, v: u])
    found = Nonlinearity(given.function, given.operators)
    values = [np.linspace(-1, 1, 5), np.linspace(2, 3, 5)]
    for a, b in zip(given.slopes(values), found.slopes(values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
