"""Random linear equations with known solutions: solved to what is promised, or a warning says that they are not."""

import warnings

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from structkit import ConvergenceWarning
from structkit.pde import D, Dirichlet, GPSolver, Robin, chebyshev_solve
from tests.pde.manufactured import Exact, Exponential, Ridge, Sine, problem, relative_error

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
# An error above this without a warning is a silent wrong answer.
SILENT = 1e-7
# With points that the user fixed there may be too few of them: the solver warns from this estimated error on.
FIXED = 1e-5
# Polynomials of this degree resolve the fastest wave below to rounding.
POLYNOMIALS = {1: 96, 2: 40}
COEFFICIENT = st.floats(-5, 5)


def solved_or_warned(exact, given_problem, limit=SILENT, **options):
    """Check the solution against the exact one and against polynomials, unless a warning was given."""
    domain = given_problem.domain
    reference = chebyshev_solve(given_problem, POLYNOMIALS[len(domain)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        solver = GPSolver(**options).fit(given_problem)
    warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert warned is not solver.converged_
    event("warned" if warned else "solved")
    if warned:
        return
    assert relative_error(solver, exact, domain) <= limit
    coords = [np.linspace(a, b, 23) for a, b in domain]
    wanted = reference.predict(coords)
    np.testing.assert_allclose(solver.predict(coords), wanted, atol=limit * np.abs(wanted).max())


@FEW
@given(st.floats(1, 40), st.floats(0, 6), st.floats(-2, 2), COEFFICIENT, st.floats(-20, 0), st.floats(-0.9, 0.9))
def test_any_line(k, phase, rate, drift, reaction, variation):
    exact = Exact(Ridge(Sine(k, phase), (1.0,)), Ridge(Exponential(rate), (1.0,)))
    # A leading coefficient above zero and a reaction that is not: every such problem has one solution.
    operator = (lambda x: 1 + variation * np.sin(3 * x)) * D(0, 2) + drift * D(0) + reaction * D(0, 0)
    solved_or_warned(exact, problem(operator, [(0, 1)], exact))


@FEW
@given(st.floats(1, 15), st.floats(-15, 15), st.floats(0.1, 5), COEFFICIENT, st.floats(-20, 0))
def test_any_plane(k, across, stretch, drift, reaction):
    exact = Exact(Ridge(Sine(k, 0.3), (1.0, across / k)), Ridge(Exponential(1.0), (1.0, -0.5)))
    operator = D(0, 2) + stretch * D(1, 2) + drift * D(0) + reaction * D(0, 0)
    solved_or_warned(exact, problem(operator, [(0, 1), (-1, 1)], exact))


@FEW
@given(st.floats(1, 40), st.floats(1, 2000), st.floats(0.1, 5), st.floats(-5, 5))
def test_any_resonance(k, reaction, value, rate):
    # Positive reactions come near eigenvalues, where errors are amplified.
    exact = Exact(Ridge(Sine(k, 0.4), (1.0,)), Ridge(Exponential(rate), (1.0,)))
    sides = [
        Dirichlet(exact, side="lower"),
        Robin(value, 1.0, lambda x: value * exact(x) + exact.derivative({0: 1}, [x]), side="upper"),
    ]
    solved_or_warned(exact, problem(D(0, 2) + reaction * D(0, 0), [(0, 1)], exact, sides))


@FEW
@given(st.integers(8, 60), st.floats(1, 60), st.floats(-20, 0))
def test_any_number_of_points(n_points, k, reaction):
    exact = Exact(Ridge(Sine(k, 0.4), (1.0,)), Ridge(Exponential(1.5), (1.0,)))
    solved_or_warned(exact, problem(D(0, 2) + reaction * D(0, 0), [(0, 1)], exact), FIXED, n_points=n_points)
