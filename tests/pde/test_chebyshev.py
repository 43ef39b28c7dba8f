"""The polynomial spectral method against exact solutions."""

import numpy as np
import pytest

from structkit.pde import PDE, D, Dirichlet, Initial, Neumann, Periodic, chebyshev_solve


def error(problem, exact, n):
    found = chebyshev_solve(problem, n)
    coords = [np.linspace(a, b, 23) for a, b in problem.domain]
    truth = exact(*np.meshgrid(*coords, indexing="ij"))
    return np.linalg.norm(found.predict(coords) - truth) / np.linalg.norm(truth), found


def wave(x, y):
    return np.sin(3 * x) * np.exp(y)


def test_two_axes_and_a_coefficient():
    operator = (lambda x, y: 2 + x) * D(0, 2) + D(1, 2)
    problem = PDE(
        operator,
        domain=[(0, 1), (-1, 2)],
        source=lambda x, y: (1 - 9 * (2 + x)) * wave(x, y),
        conditions=[
            Dirichlet(wave, axis=1),
            Dirichlet(wave, axis=0, side="lower"),
            Neumann(lambda x, y: 3 * np.cos(3 * x) * np.exp(y), axis=0, side="upper"),
        ],
    )
    worst, found = error(problem, wave, (24, 26))
    assert worst < 1e-11
    assert found.residual < 1e-9


def test_three_axes():
    def u(x, y, z):
        return np.cos(x + 2 * y - z)

    laplace = D(0, 2) + D(1, 2) + D(2, 2)
    problem = PDE(laplace, domain=[(0, 1)] * 3, source=lambda *c: -6 * u(*c), conditions=Dirichlet(u))
    assert error(problem, u, 16)[0] < 1e-11


def test_heat_on_a_ring():
    def u(x, t):
        return np.exp(-0.1 * t) * np.sin(x)

    problem = PDE(
        D(1) - 0.1 * D(0, 2), domain=[(0, 2 * np.pi), (0, 3)], conditions=[Periodic(0), Initial(lambda x, t: np.sin(x))]
    )
    assert error(problem, u, (40, 20))[0] < 1e-11


def test_newton():
    def u(x):
        return np.exp(x)

    problem = PDE(
        D(0, 2),
        domain=[(0, 1)],
        source=lambda x: u(x) + u(x) ** 3,
        conditions=Dirichlet(u),
        nonlinearity=(lambda v: v**3, lambda v: 3 * v**2),
    )
    worst, found = error(problem, u, 20)
    assert worst < 1e-12
    assert found.converged
    assert found.n_iter > 1


def test_few_points_per_wavelength_fail():
    problem = PDE(
        D(0, 2),
        domain=[(0, 6)],
        source=lambda x: -1e4 * np.sin(100 * x),
        conditions=Dirichlet(lambda x: np.sin(100 * x)),
    )
    worst, found = error(problem, lambda x: np.sin(100 * x), 150)
    assert worst > 0.1
    assert found.residual > 0.1
    assert error(problem, lambda x: np.sin(100 * x), 360)[0] < 1e-9


@pytest.mark.parametrize("n", [3, (10, 10), 10.5])
def test_bad_numbers_of_points(n):
    problem = PDE(D(0, 2), domain=[(0, 1)], source=1.0, conditions=Dirichlet(0.0))
    with pytest.raises((ValueError, TypeError)):
        chebyshev_solve(problem, n)
