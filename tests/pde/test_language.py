"""Operators, parameters and conditions as they are written, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structkit import NotFiniteError, ShapeError
from structkit.pde import PDE, D, Dirichlet, Initial, Neumann, Nonlinearity, Operator, Parameter, Periodic, Robin


def applied(operator, coords, derivative):
    """Value of an operator where ``derivative(orders)`` gives the derivatives at one point."""
    return sum(t.coefficient.at(coords, {}) * derivative(dict(t.orders)) for t in operator.terms)


numbers = st.floats(-3, 3)


@given(numbers, numbers, numbers, numbers, st.integers(0, 4), st.integers(0, 4))
def test_operators_are_a_vector_space(a, b, x, y, m, n):
    k, q = 1.3, -0.7  # of u = exp(k x + q y)

    def derivative(orders):
        return k ** orders.get(0, 0) * q ** orders.get(1, 0) * np.exp(k * x + q * y)

    operator = a * D(0, m) - D(1, n) * b + (lambda s, t: s * t) * D(0, 1)
    expected = (a * k**m - b * q**n + x * y * k) * np.exp(k * x + q * y)
    assert applied(operator, [x, y], derivative) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert applied(-operator, [x, y], derivative) == pytest.approx(-expected, rel=1e-12, abs=1e-12)


def test_numpy_numbers_multiply_whole_operators():
    operator = np.float64(2.0) * (D(0, 2) + D(1, 2))
    assert isinstance(operator, Operator)
    assert [t.coefficient.scale for t in operator.terms] == [2.0, 2.0]


def test_products_of_operators():
    mixed = (2 * D(0)) * (3 * D(1, 2))
    assert mixed.terms[0].orders == ((0, 1), (1, 2))
    assert mixed.terms[0].coefficient.scale == 6
    assert (D(0, 2) * D(0, 2)).terms[0].orders == ((0, 4),)
    with pytest.raises(ValueError, match="whole number from 0 to 4"):
        D(0, 3) * D(0, 2)
    with pytest.raises(ValueError, match="Write the product rule out"):
        D(0) * ((lambda x: x) * D(0))


def test_parameters():
    k = Parameter("k", 2.0, bounds=(1.0, 5.0))
    operator = D(0, 2) + k * D(0, 0) - 3 * k * D(0)
    assert operator.parameters == (k,)
    assert [t.coefficient.number({"k": 4.0}) for t in operator.terms] == [1.0, 4.0, -12.0]
    for bad in ({"initial": 7.0}, {"initial": 2.0, "bounds": (3.0, 1.0)}):
        with pytest.raises(ValueError, match="Parameter 'k'"):
            Parameter("k", **{"bounds": (1.0, 5.0)} | bad)


@pytest.mark.parametrize(("axis", "order"), [(-1, 1), (0, 5), (0, -1), (0, 1.5), (0.5, 1)])
def test_bad_derivatives(axis, order):
    with pytest.raises(ValueError, match="expected"):
        D(axis, order)


def test_faces_of_conditions():
    assert Dirichlet(0.0, axis=1, side="upper").faces(2) == [(1, "upper")]
    assert len(Dirichlet(0.0).faces(3)) == 6
    assert Initial(1.0).faces(3) == [(2, "lower")]
    assert Robin(1.0, 2.0, axis=0).weights("upper") == {0: 1.0, 1: 2.0}
    for bad in (
        lambda: Dirichlet(0.0, axis=-2),
        lambda: Neumann(0.0, axis=0, side="left"),
        lambda: Dirichlet(np.nan),
        lambda: Initial("zero"),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()


GOOD = {"operator": D(0, 2) + D(1, 2), "domain": [(0, 1), (0, 1)], "source": 1.0, "conditions": Dirichlet(0.0)}
GRID = [np.linspace(0, 1, 9)] * 2


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"operator": lambda x: x}, TypeError, "build it from D"),
        ({"operator": D(2, 2)}, ShapeError, "along axis 2; the domain has 2 axes"),
        ({"domain": [(0, 1), (1, 1)]}, ValueError, "domain of axis 1"),
        ({"domain": [(0, np.inf), (0, 1)]}, ValueError, "domain of axis 0"),
        ({"domain": [(0, 1)] * 4}, ValueError, "4 axes; expected 1 to 3"),
        ({"domain": 3}, ValueError, "pair for each axis"),
        ({"source": lambda x, y: x * np.nan}, NotFiniteError, "source is nan at"),
        ({"source": lambda x, y: np.ones(7)}, ShapeError, "source returned shape"),
        ({"source": lambda x, y: 1j * x}, TypeError, "expected real numbers"),
        ({"source": np.ones((9, 9))}, ValueError, "as grid"),
        ({"source": np.ones((9, 8)), "grid": GRID}, ShapeError, "the grid has"),
        ({"source": np.full((9, 9), np.nan), "grid": GRID}, NotFiniteError, "NaN or infinity"),
        ({"source": np.ones((9, 9)), "grid": [GRID[0] ** 2, GRID[1]]}, ValueError, "not evenly spaced"),
        ({"conditions": [Dirichlet(0.0), 3]}, TypeError, "conditions hold 3"),
        ({"conditions": Dirichlet(0.0, axis=2)}, ShapeError, "axis 2; the domain has 2"),
        ({"conditions": Neumann(0.0, order=2)}, ValueError, "order must be smaller"),
        ({"conditions": Dirichlet(lambda x, y: x / 0 * np.inf if np.ndim(x) else x)}, NotFiniteError, "must be finite"),
        ({"nonlinearity": lambda u: u}, TypeError, "pair .N, dN."),
    ],
)
def test_bad_problems(change, error, match):
    with np.errstate(all="ignore"), pytest.raises(error, match=match):
        PDE(**GOOD | change)


def test_periodic_conditions_are_no_probe():
    assert "Periodic" in repr(PDE(D(0, 2), domain=[(0, 1)], conditions=Periodic(0)).conditions[0])


def test_slopes_of_nonlinear_terms():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 50))
    term = Nonlinearity(lambda a, b: a * b + np.exp(a) * b**2, [D(0, 0), D(0, 1)])
    by_a, by_b = term.slopes([u, v])
    np.testing.assert_allclose(by_a, v + np.exp(u) * v**2, rtol=1e-14)
    np.testing.assert_allclose(by_b, u + 2 * np.exp(u) * v, rtol=1e-14)
