"""Which conditions count, and what is said where they do not fit the equation or each other."""

import numpy as np
import pytest

from structkit import ConvergenceWarning
from structkit.pde import PDE, D, Dirichlet, GPSolver, Initial, Neumann, Periodic, Robin

POISSON = D(0, 2)
HEAT = D(1, 1) - 0.1 * D(0, 2)


def _sine(x):
    return np.sin(9 * x)


def _slope(x):
    return 9 * np.cos(9 * x)


def _poisson(*conditions):
    return PDE(POISSON, domain=[(0, 1)], source=lambda x: -81 * _sine(x), conditions=conditions)


def _error(solver):
    x = np.linspace(0, 1, 300)
    return np.abs(solver.predict([x]) - _sine(x)).max()


@pytest.mark.parametrize(
    "conditions",
    [
        (Dirichlet(_sine), Neumann(_slope, axis=0, side="upper")),
        (Neumann(_slope, axis=0, side="upper"), Dirichlet(_sine)),
        (Dirichlet(0.0), Dirichlet(_sine, axis=0, side="upper")),
        (Dirichlet(_sine, side="upper"), Neumann(77.0), Dirichlet(_sine, axis=0, side="lower")),
        (Robin(1.0, 3.0, 9.0), Dirichlet(_sine, axis=0)),
        (Initial(_sine, axis=0), Initial(_slope, axis=0, order=1), Dirichlet(5.0)),
    ],
)
def test_a_condition_that_names_a_face_takes_the_place_of_one_for_all(conditions):
    solver = GPSolver().fit(_poisson(*conditions))
    assert solver.converged_
    assert _error(solver) < 1e-9


def test_periodicity_of_an_axis_takes_the_place_of_values_on_all_faces():
    def exact(x, y):
        return np.cos(2 * np.pi * (x - 0.2)) * np.exp(y)

    source = (1 - 4 * np.pi**2) * np.ones(())
    problem = PDE(
        D(0, 2) + D(1, 2),
        domain=[(0, 1), (0, 1)],
        source=lambda x, y: source * exact(x, y),
        conditions=[Dirichlet(exact), Periodic(0)],
    )
    solver = GPSolver().fit(problem)
    x = np.linspace(0, 1, 50)
    np.testing.assert_allclose(solver.predict([x, x]), exact(x[:, None], x), atol=1e-9)
    assert solver.converged_


def test_values_on_all_faces_are_not_asked_for_at_the_final_time():
    problem = PDE(
        HEAT,
        domain=[(0, 1), (0, 2)],
        conditions=[Dirichlet(0.0), Initial(lambda x, t: np.sin(np.pi * x) + 0 * t)],
    )
    solver = GPSolver().fit(problem)
    x, t = np.linspace(0, 1, 40), np.linspace(0, 2, 30)
    exact = np.sin(np.pi * x)[:, None] * np.exp(-0.1 * np.pi**2 * t)
    np.testing.assert_allclose(solver.predict([x, t]), exact, atol=1e-9)


def test_more_conditions_than_needed_are_fine_if_they_agree():
    solver = GPSolver().fit(_poisson(Dirichlet(_sine), Neumann(_slope)))
    assert solver.converged_
    assert _error(solver) < 1e-9


@pytest.mark.parametrize(
    "conditions",
    [
        (Dirichlet(_sine), Neumann(3.0)),
        (Dirichlet(_sine), Dirichlet(lambda x: 1 + _sine(x))),
        (Dirichlet(_sine), Dirichlet(0.2, axis=0, side="upper"), Dirichlet(0.3, axis=0, side="upper")),
    ],
)
def test_conditions_that_contradict_each_other_are_told(conditions):
    with pytest.warns(ConvergenceWarning, match="contradict each other"):
        solver = GPSolver().fit(_poisson(*conditions))
    assert not solver.converged_
    assert solver.condition_residual_ > 1e-4


def test_values_that_disagree_at_a_corner_are_told():
    problem = PDE(
        D(0, 2) + D(1, 2),
        domain=[(0, 1), (0, 1)],
        conditions=[Dirichlet(0.0, axis=0), Dirichlet(1.0, axis=1)],
    )
    with pytest.warns(ConvergenceWarning, match="at a corner"):
        GPSolver(lengthscale=0.35).fit(problem)


@pytest.mark.parametrize(
    ("operator", "conditions", "message"),
    [
        (POISSON, [], "Axis 0 has 0 condition.*Add 2 more"),
        (POISSON, [Dirichlet(0.0, side="lower")], "Axis 0 has 1 condition.*Add 1 more"),
        (D(0, 4), [Dirichlet(0.0)], "Axis 0 has 2 condition.*Add 2 more"),
        (HEAT, [Dirichlet(0.0, axis=0)], "Axis 1 has 0 condition.*Add 1 more"),
        (D(1, 2) - D(0, 2), [Dirichlet(0.0, axis=0), Initial(0.0)], "Axis 1 has 1 condition.*Add 1 more"),
    ],
)
def test_missing_conditions_are_counted(operator, conditions, message):
    problem = PDE(operator, domain=[(0, 1)] * operator.n_axes, source=1.0, conditions=conditions)
    with pytest.raises(ValueError, match=message):
        GPSolver().fit(problem)


@pytest.mark.parametrize(
    ("operator", "conditions"),
    [
        (D(0, 2), [Neumann(0.0)]),
        (D(0, 2), [Periodic(0)]),
        (D(0, 2) + 9 * np.pi**2 * D(0, 0), [Dirichlet(0.0)]),
        (D(0, 2) + D(1, 2), [Neumann(0.0)]),
        (D(0, 2) + D(1, 2) + 13 * np.pi**2 * D(0, 0), [Dirichlet(0.0)]),
        (D(0, 2) + D(1, 2) + D(2, 2) + 14 * np.pi**2 * D(0, 0), [Dirichlet(0.0)]),
    ],
)
@pytest.mark.parametrize("source", [1.0, lambda *x: np.cos(2 * np.pi * x[0]) * np.cos(np.pi * x[-1])])
def test_a_resonance_is_told(operator, conditions, source):
    problem = PDE(operator, domain=[(0, 1)] * operator.n_axes, source=source, conditions=conditions)
    with pytest.warns(ConvergenceWarning, match="resonance"):
        solver = GPSolver(lengthscale=0.35).fit(problem)
    assert not solver.converged_


def test_near_a_resonance_the_solution_is_still_found():
    shift = 1e-3
    exact = lambda x: np.sin(3 * np.pi * x) / shift  # noqa: E731
    problem = PDE(
        D(0, 2) + (9 * np.pi**2 + shift) * D(0, 0),
        domain=[(0, 1)],
        source=lambda x: np.sin(3 * np.pi * x),
        conditions=Dirichlet(0.0),
    )
    solver = GPSolver().fit(problem)
    x = np.linspace(0, 1, 99)
    np.testing.assert_allclose(solver.predict([x]), exact(x), atol=1e-7 / shift)
    assert solver.converged_
