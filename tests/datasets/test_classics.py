"""Classical equations: the exact solutions solve them, and the solver finds these."""

import numpy as np
import pytest

from structkit.datasets import CLASSIC_PROBLEMS, classic_pde
from structkit.pde import GPSolver, Initial, Periodic

STEP = 1e-3


def _derivative(u, coords, orders):
    """A derivative of the exact solution by central differences of order six."""
    weights = {1: (-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60)}
    weights[2] = (1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90)
    if not orders:
        return u(*coords)
    (axis, order), *rest = orders
    total = 0.0
    for k, w in zip(range(-3, 4), weights[order], strict=True):
        moved = [c + k * STEP if a == axis else c for a, c in enumerate(coords)]
        total = total + w / STEP**order * _derivative(u, moved, rest)
    return total


def _points(problem, n=40):
    rng = np.random.default_rng(0)
    return [rng.uniform(a + 0.01, b - 0.01, n) for a, b in problem.domain]


@pytest.mark.parametrize("name", CLASSIC_PROBLEMS)
def test_exact_solution_solves_the_equation_and_has_the_data(name):
    problem, u = classic_pde(name)
    coords = _points(problem)
    terms = [t.coefficient.at(coords, {}) * _derivative(u, coords, t.orders) for t in problem.operator.terms]
    if problem.nonlinearity is not None:
        arguments = [_derivative(u, coords, o.terms[0].orders) for o in problem.nonlinearity.operators]
        terms.append(problem.nonlinearity.value(arguments))
    source = problem.source(*coords) if callable(problem.source) else problem.source
    size = max(np.abs(t).max() for t in terms)
    # Differences of order six leave (frequency * STEP)^6 of the largest term.
    np.testing.assert_allclose(sum(terms), source, atol=1e-6 * size)
    for condition in problem.conditions:
        assert not isinstance(condition, Periodic)
        for axis, side in condition.faces(problem.n_axes):
            end = problem.domain[axis][side == "upper"]
            face = [np.full_like(c, end) if a == axis else c for a, c in enumerate(coords)]
            order = condition.order if isinstance(condition, Initial) else 0
            value = condition.value(*face) if callable(condition.value) else condition.value
            found = _derivative(u, face, ((axis, order),) if order else ())
            np.testing.assert_allclose(found, value, atol=1e-6 * max(np.abs(found).max(), 1))


@pytest.mark.parametrize("name", CLASSIC_PROBLEMS)
def test_the_solver_finds_it(name):
    problem, u = classic_pde(name)
    coords = [np.linspace(a, b, 30 + axis) for axis, (a, b) in enumerate(problem.domain)]
    truth = u(*np.meshgrid(*coords, indexing="ij"))
    solver = GPSolver().fit(problem)
    assert solver.converged_
    assert np.linalg.norm(solver.predict(coords) - truth) <= 1e-9 * np.linalg.norm(truth)


def test_unknown_names():
    with pytest.raises(ValueError, match="expected one of helmholtz, "):
        classic_pde("stokes")
