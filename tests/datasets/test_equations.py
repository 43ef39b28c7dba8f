"""The problems with known solutions: each solves its own equation, and the solver finds it."""

import numpy as np
import pytest

from structkit.datasets import HIGH_FREQUENCY_PROBLEMS, high_frequency_pde
from structkit.pde import GPSolver


@pytest.mark.parametrize("name", HIGH_FREQUENCY_PROBLEMS)
def test_defaults_reach_nine_digits(name):
    problem, exact = high_frequency_pde(name)
    solver = GPSolver().fit(problem)
    coords = [np.linspace(a, b, 300) for a, b in problem.domain]
    truth = exact(*np.meshgrid(*coords, indexing="ij"))
    error = np.linalg.norm(solver.predict(coords) - truth) / np.linalg.norm(truth)
    assert error <= 1e-9
    assert error / 100 <= solver.residual_ <= 100 * error
    assert solver.converged_


def test_unknown_names():
    with pytest.raises(ValueError, match="expected one of poisson_1d-single_sin, "):
        high_frequency_pde("poisson")
