"""Exact solutions whose derivatives are known in closed form, and the problems that they solve."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from structkit.pde import PDE, Dirichlet

HALF_TURN = 0.5 * math.pi


@dataclass(frozen=True)
class Sine:
    """``sin(k x + phase)``."""

    k: float
    phase: float = 0.0

    def __call__(self, x, order=0):
        return self.k**order * np.sin(self.k * x + self.phase + HALF_TURN * order)


@dataclass(frozen=True)
class Exponential:
    """``exp(rate x)``."""

    rate: float

    def __call__(self, x, order=0):
        return self.rate**order * np.exp(self.rate * x)


@dataclass(frozen=True)
class Power:
    """A polynomial, by its coefficients from the constant on."""

    coefficients: tuple

    def __call__(self, x, order=0):
        p = Polynomial(self.coefficients)
        return p.deriv(order)(x) if order else p(x)


@dataclass(frozen=True)
class Bump:
    """``exp(-(x - center)^2 / (2 width^2))``."""

    center: float
    width: float

    def __call__(self, x, order=0):
        z = (x - self.center) / self.width
        hermite = np.polynomial.hermite_e.hermeval(z, [0.0] * order + [1.0])
        return (-1 / self.width) ** order * hermite * np.exp(-0.5 * z**2)


@dataclass(frozen=True)
class Runge:
    """``1 / (1 + (steepness (x - center))^2)``."""

    steepness: float
    center: float = 0.0

    def __call__(self, x, order=0):
        z = self.steepness * (x - self.center) - 1j
        return self.steepness**order * math.factorial(order) * np.imag((-1) ** order / z ** (order + 1))


@dataclass(frozen=True)
class Step:
    """``tanh(steepness x)``."""

    steepness: float

    def __call__(self, x, order=0):
        p = Polynomial([0.0, 1.0])
        for _ in range(order):
            p = p.deriv() * Polynomial([1.0, 0.0, -1.0])
        return self.steepness**order * p(np.tanh(self.steepness * x))


@dataclass(frozen=True)
class Times:
    """Product of two functions of one variable."""

    a: object
    b: object

    def __call__(self, x, order=0):
        return sum(math.comb(order, k) * self.a(x, k) * self.b(x, order - k) for k in range(order + 1))


@dataclass(frozen=True)
class Shifted:
    """A function moved to the right."""

    f: object
    by: float

    def __call__(self, x, order=0):
        return self.f(x - self.by, order)


@dataclass(frozen=True)
class Ridge:
    """A function of ``direction . x + offset``."""

    f: object
    direction: tuple
    offset: float = 0.0

    def derivative(self, orders, coords):
        s = sum(c * x for c, x in zip(self.direction, coords, strict=True)) + self.offset
        factor = math.prod(c**k for c, k in zip(self.direction, orders, strict=True))
        return factor * self.f(s, sum(orders))


@dataclass(frozen=True)
class Product:
    """A product of functions of one coordinate each."""

    factors: tuple

    def derivative(self, orders, coords):
        return math.prod(f(x, k) for f, x, k in zip(self.factors, coords, orders, strict=True))


class Exact:
    """A weighted sum of ridges and products."""

    def __init__(self, *terms):
        self.terms = [t if isinstance(t, tuple) else (1.0, t) for t in terms]

    def __call__(self, *coords):
        return self.derivative({}, coords)

    def derivative(self, orders, coords):
        """A derivative, by its orders along the axes."""
        k = [orders.get(a, 0) for a in range(len(coords))]
        return sum(c * t.derivative(k, coords) for c, t in self.terms)

    def along(self, axis, order=1):
        """A derivative along one axis, as a function of all coordinates."""
        return lambda *x: self.derivative({axis: order}, x)

    def operated(self, operator, coords):
        """A linear operator of the function."""
        return sum(t.coefficient.at(coords, {}) * self.derivative(dict(t.orders), coords) for t in operator.terms)


def product(*factors):
    return Product(factors)


def problem(operator, domain, exact, conditions=None, nonlinearity=None, **options):
    """The problem that `exact` solves; Dirichlet conditions on every face unless others are given."""

    def source(*x):
        out = exact.operated(operator, x)
        if nonlinearity is not None:
            out = out + nonlinearity.value([exact.operated(o, x) for o in nonlinearity.operators])
        return out

    chosen = Dirichlet(exact) if conditions is None else conditions
    return PDE(operator, domain=domain, source=source, conditions=chosen, nonlinearity=nonlinearity, **options)


def relative_error(solver, exact, domain, n=None):
    """Relative L2 error on an even grid that has nothing to do with the collocation points."""
    n = n or {1: 1777, 2: 211, 3: 47}[len(domain)]
    coords = [np.linspace(a, b, n + 2 * i) for i, (a, b) in enumerate(domain)]
    wanted = exact(*np.meshgrid(*coords, indexing="ij", sparse=True))
    wanted = np.broadcast_to(wanted, [len(c) for c in coords])
    return float(np.linalg.norm(solver.predict(coords) - wanted) / np.linalg.norm(wanted))
