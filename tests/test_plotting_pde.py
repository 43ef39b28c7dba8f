"""Pictures of solved equations show the numbers they are given."""

import numpy as np
import pytest

from structkit import NotFiniteError, NotFittedError, ShapeError
from structkit.pde import PDE, D, Dirichlet, GPSolver
from structkit.plotting import plot_carriers, plot_field, plot_solution


def wave(x):
    return np.sin(100 * x)


@pytest.fixture(scope="module")
def line():
    return GPSolver().fit(PDE(D(0, 2), domain=[(0, 6)], source=lambda x: -1e4 * wave(x), conditions=Dirichlet(wave)))


@pytest.fixture(scope="module")
def cube():
    laplace = D(0, 2) + D(1, 2) + D(2, 2)
    return GPSolver().fit(PDE(laplace, domain=[(0, 1)] * 3, source=lambda x, y, z: 0 * x, conditions=Dirichlet(1.0)))


def test_line_and_error(line):
    ax = plot_solution(line, n=50)
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, wave(x), atol=1e-7)
    error = plot_solution(line, exact=wave, n=50).lines[0].get_ydata()
    assert np.abs(error).max() < 1e-7


def test_slices_of_a_cube(cube):
    ax = plot_solution(cube, n=9)
    assert ax.get_title() == "x3 = 0.5"
    np.testing.assert_allclose(ax.collections[0].get_array(), 1.0, atol=1e-8)
    ax = plot_solution(cube, at=(0.25, None, 0.5), n=9)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 1.0, atol=1e-8)
    with pytest.raises(ShapeError, match="one or two of them None"):
        plot_solution(cube, at=(None, None, None))


def test_slices_name_the_axes_that_are_drawn(cube):
    ax = plot_solution(cube, at=(0.5, None, None), n=5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x2", "x3")
    assert plot_solution(cube, at=(0.5, None, 0.5), n=5).get_xlabel() == "x2"


def test_a_posterior_has_a_band():
    places = np.linspace(0, 1, 9)
    problem = PDE(D(0, 2), domain=[(0, 1)], source=-9.0)
    model = GPSolver().fit(problem, (places, 4.5 * places * (1 - places), 1e-4))
    ax = plot_solution(model, n=11, level=0.5)
    x = np.linspace(0, 1, 11)
    mean, std = model.predict([x], return_std=True)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), mean)
    edges = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert edges.max() == pytest.approx((mean + 0.6744897501960817 * std).max(), rel=1e-12)
    error = plot_solution(model, n=11, exact=lambda x: 4.5 * x * (1 - x))
    assert np.abs(error.lines[0].get_ydata()).max() < 0.1


def test_carriers(line):
    ax = plot_carriers(line)
    f, amplitude = ax.lines[0].get_data()
    assert abs(f[np.argmax(amplitude)] - 100 / (2 * np.pi)) < 0.2
    drawn = [h.get_xdata()[0] for h in ax.lines[1:]]
    np.testing.assert_array_equal(drawn, line.frequencies_[0])
    with pytest.raises(ShapeError, match="1 axes"):
        plot_carriers(line, axis=1)


def test_bad_input():
    with pytest.raises(NotFittedError, match="call fit"):
        plot_solution(GPSolver())
    with pytest.raises(ShapeError, match="one or two axes"):
        plot_field([np.arange(3.0)], np.zeros((3, 3)))
    with pytest.raises(TypeError, match="real numbers"):
        plot_field([np.arange(3.0)], np.ones(3) * 1j)
    with pytest.raises(NotFiniteError, match="no finite"):
        plot_field([np.arange(3.0), np.arange(2.0)], np.full((3, 2), np.nan))
    assert plot_field([np.arange(3.0), np.arange(2.0)], np.array([[1.0, np.nan]] * 3)).collections
