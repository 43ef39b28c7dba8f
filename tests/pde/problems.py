"""Problems with exact solutions: name, exact solution, problem. No default was tuned on them."""

import math

import numpy as np

from structkit.pde import D, Dirichlet, Initial, Neumann, Nonlinearity, Periodic, Robin
from tests.pde.manufactured import (
    Bump,
    Exact,
    Exponential,
    Power,
    Ridge,
    Runge,
    Shifted,
    Sine,
    Step,
    Times,
    problem,
    product,
)

U, UX, UY, UT = D(0, 0), D(0, 1), D(1, 1), D(1, 1)  # time is the second axis where there is one
LAPLACE = {1: D(0, 2), 2: D(0, 2) + D(1, 2), 3: D(0, 2) + D(1, 2) + D(2, 2)}
CUBIC = Nonlinearity(lambda u: u**3 - u, [U], [lambda u: 3 * u**2 - 1])


def poisson_1d_smooth():
    exact = Exact(product(Exponential(1.3)), (0.4, product(Sine(2.0, 0.3))))
    return exact, problem(D(0, 2), [(-1, 2)], exact)


def poisson_1d_chirplike():
    exact = Exact(product(Times(Power((1.0, -0.5, 0.25)), Sine(57.0, 0.2))), (0.1, product(Sine(173.0, 1.0))))
    return exact, problem(D(0, 2), [(0, 3)], exact)


def poisson_1d_runge():
    exact = Exact(product(Runge(5.0, 0.1)))
    return exact, problem(D(0, 2), [(-1, 1)], exact)


def reaction_diffusion_1d():
    exact = Exact(product(Times(Bump(0.4, 0.12), Sine(80.0))), (0.5, product(Exponential(-2.0))))
    return exact, problem(0.02 * D(0, 2) - 1.5 * D(0, 1) - 3.0 * U, [(0, 1)], exact)


def helmholtz_1d():
    exact = Exact(product(Sine(43.7, 0.4)), (0.3, product(Sine(5.1))))
    return exact, problem(D(0, 2) + 40.0**2 * U, [(0, 2)], exact)


def beam():
    exact = Exact(product(Times(Exponential(0.5), Sine(12.0))), product(Power((0, 0, 1.0, -0.7))))
    conditions = [Dirichlet(exact), Neumann(exact.along(0))]
    return exact, problem(D(0, 4) + 3.0 * D(0, 2) + 100.0 * U, [(0, 1)], exact, conditions)


def cantilever():
    exact = Exact(product(Sine(7.0, 0.5)), product(Exponential(1.0)))
    conditions = [
        Dirichlet(exact, side="lower"),
        Neumann(exact.along(0), side="lower"),
        Neumann(exact.along(0, 2), side="upper", order=2),
        Neumann(exact.along(0, 3), side="upper", order=3),
    ]
    return exact, problem(D(0, 4), [(0, 1.5)], exact, conditions)


def dispersive_third_order():
    exact = Exact(product(Sine(21.0, 0.2)), (0.5, product(Power((1.0, 1.0)))))
    conditions = [Dirichlet(exact), Neumann(exact.along(0), side="upper")]
    return exact, problem(D(0, 3) + 2.0 * D(0, 1), [(0, 2)], exact, conditions)


def variable_coefficient_1d():
    exact = Exact(product(Sine(31.0, 0.7)), product(Exponential(-1.0)))
    operator = (lambda x: 2 + x**2) * D(0, 2) + (lambda x: 2 * x) * D(0, 1) - (lambda x: 1 / (1 + x)) * U
    return exact, problem(operator, [(0, 2)], exact)


def robin_1d():
    exact = Exact(product(Times(Exponential(-0.6), Sine(25.0, 0.1))))
    ends = [
        Robin(2.0, 0.5, lambda x: 2.0 * exact(x) - 0.5 * exact.along(0)(x), axis=0, side="lower"),
        Robin(1.0, 0.3, lambda x: exact(x) + 0.3 * exact.along(0)(x), axis=0, side="upper"),
    ]
    return exact, problem(D(0, 2) - 4.0 * U, [(0, 2)], exact, ends)


def periodic_1d():
    exact = Exact(product(Sine(2 * math.pi * 3)), (0.2, product(Sine(2 * math.pi * 17, 0.6))))
    return exact, problem(D(0, 2) - 2.0 * U, [(0, 1)], exact, [Periodic(0)])


def decay_1d():
    exact = Exact(product(Times(Exponential(-0.3), Sine(60.0))), product(Exponential(-0.3)))
    return exact, problem(D(0, 1) + 0.3 * U, [(0, 4)], exact, [Initial(exact, axis=0)])


def oscillator_1d():
    exact = Exact(product(Sine(37.0, 0.2)), (0.3, product(Sine(11.0))))
    conditions = [Initial(exact, axis=0), Initial(exact.along(0), axis=0, order=1)]
    return exact, problem(D(0, 2) + 0.5 * D(0, 1) + 11.0**2 * U, [(0, 3)], exact, conditions)


def poisson_2d_two_scales():
    exact = Exact(
        product(Sine(9.0, 0.1), Sine(47.0, 0.6)),
        (0.5, product(Exponential(0.8), Sine(3.0))),
        (0.2, Ridge(Sine(1.0), (20.0, 13.0), 0.4)),
    )
    return exact, problem(LAPLACE[2], [(0, 1.7), (-1, 1)], exact)


def poisson_2d_neumann():
    exact = Exact(product(Sine(14.0, 0.3), Exponential(0.7)), (0.3, product(Power((0.0, 1.0, 1.0)), Sine(31.0))))
    conditions = [
        Dirichlet(exact, axis=0),
        Neumann(exact.along(1), axis=1, side="lower"),
        Dirichlet(exact, axis=1, side="upper"),
    ]
    return exact, problem(LAPLACE[2], [(0, 1), (0, 2)], exact, conditions)


def poisson_2d_periodic():
    exact = Exact(product(Sine(2 * math.pi * 5, 0.3), Exponential(-1.0)), product(Sine(4 * math.pi), Sine(17.0)))
    return exact, problem(LAPLACE[2] - U, [(0, 1), (0, 1)], exact, [Periodic(0), Dirichlet(exact, axis=1)])


def poisson_2d_localised():
    exact = Exact(product(Bump(0.2, 0.15), Bump(-0.1, 0.2)), (0.1, product(Sine(30.0), Sine(2.0, 1.0))))
    return exact, problem(LAPLACE[2], [(-1, 1), (-1, 1)], exact)


def laplace_2d_boundary_driven():
    """Nothing but the boundary shows the frequency."""
    k = 15.0
    exact = Exact(product(Sine(k, 0.3), Exponential(-k)), (0.2, product(Exponential(-4.0), Sine(4.0))))
    return exact, problem(LAPLACE[2], [(0, 2), (0, 1)], exact)


def helmholtz_2d():
    exact = Exact(product(Sine(33.0), Sine(26.0, 0.5)), (0.4, Ridge(Sine(1.0), (12.0, -29.0))))
    return exact, problem(LAPLACE[2] + 40.0**2 * U, [(0, 1), (0, 1)], exact)


def anisotropic_2d():
    exact = Exact(product(Sine(50.0), Sine(3.0, 0.4)), (0.6, product(Exponential(0.4), Exponential(-1.1))))
    operator = 0.01 * D(0, 2) + 2.0 * D(1, 2) - 1.0 * UX + 0.5 * UY - 2.0 * U
    return exact, problem(operator, [(0, 1), (0, 2)], exact)


def mixed_derivative_2d():
    exact = Exact(Ridge(Sine(1.0), (17.0, 9.0), 0.2), (0.5, product(Sine(5.0), Exponential(0.5))))
    return exact, problem(D(0, 2) + 0.8 * UX * UY + 1.5 * D(1, 2), [(0, 1), (0, 1)], exact)


def variable_coefficient_2d():
    exact = Exact(product(Sine(21.0, 0.4), Sine(8.0)), (0.5, product(Exponential(0.6), Power((1.0, 0.0, 0.5)))))
    operator = (
        (lambda x, y: 2 + x * y) * D(0, 2) + (lambda x, y: 1 + y**2 + 0 * x) * D(1, 2) - (lambda x, y: 3 + x + y) * U
    )
    return exact, problem(operator, [(0, 1), (0, 1)], exact)


def variable_nonseparable_2d():
    exact = Exact(product(Sine(18.0, 0.4), Sine(7.0)), (0.5, product(Exponential(0.6), Sine(2.0))))
    operator = (lambda x, y: 2 + np.sin(3 * x + 5 * y * x)) * D(0, 2) + (lambda x, y: 1.5 + np.exp(-x * y**2)) * D(1, 2)
    return exact, problem(operator, [(0, 1), (0, 1)], exact)


def biharmonic_like_2d():
    exact = Exact(product(Sine(9.0, 0.2), Sine(6.0, 0.7)), (0.3, product(Exponential(0.7), Sine(4.0))))
    conditions = [Dirichlet(exact)]
    conditions += [Neumann(exact.along(a, 2), axis=a, order=2) for a in (0, 1)]
    return exact, problem(D(0, 4) + 2.0 * D(0, 2) * D(1, 2) + D(1, 4), [(0, 1), (0, 1)], exact, conditions)


def heat():
    exact = Exact(product(Sine(12.0, 0.3), Exponential(-0.05 * 144)), (0.5, product(Sine(3.0), Exponential(-0.05 * 9))))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1)]
    return exact, problem(UT - 0.05 * D(0, 2), [(0, 1), (0, 1)], exact, conditions)


def heat_forced():
    exact = Exact(product(Sine(20.0, 0.3), Sine(35.0)), (0.5, product(Power((0.0, 1.0)), Exponential(-1.0))))
    conditions = [Neumann(exact.along(0), axis=0), Initial(exact, axis=1)]
    return exact, problem(UT - 0.3 * D(0, 2), [(0, 1), (0, 2)], exact, conditions)


def wave():
    c = 1.5
    exact = Exact(Ridge(Sine(1.0), (25.0, -25.0 * c), 0.2), (0.5, Ridge(Sine(1.0), (7.0, 7.0 * c))))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1), Initial(exact.along(1), axis=1, order=1)]
    return exact, problem(D(1, 2) - c**2 * D(0, 2), [(0, 1), (0, 1)], exact, conditions)


def klein_gordon_linear():
    k, m = 19.0, 6.0
    exact = Exact(Ridge(Sine(1.0), (k, -math.hypot(k, m))), (0.3, product(Sine(8.0), Sine(math.hypot(8.0, m), 1.0))))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1), Initial(exact.along(1), axis=1, order=1)]
    return exact, problem(D(1, 2) - D(0, 2) + m**2 * U, [(0, 1), (0, 2)], exact, conditions)


def advection():
    exact = Exact(Ridge(Sine(1.0), (9.0, -9.0 * 15)), (0.4, Ridge(Bump(0.0, 1.0), (2.0, -30.0), 3.0)))
    conditions = [Dirichlet(exact, axis=0, side="lower"), Initial(exact, axis=1)]
    return exact, problem(UT + 15.0 * UX, [(0, 1), (0, 0.5)], exact, conditions)


def advection_backwards():
    exact = Exact(Ridge(Sine(1.0), (24.0, 48.0)), product(Exponential(0.5), Exponential(1.0)))
    conditions = [Dirichlet(exact, axis=0, side="upper"), Initial(exact, axis=1)]
    return exact, problem(UT - 2.0 * UX, [(0, 1), (0, 1)], exact, conditions)


def advection_diffusion():
    exact = Exact(product(Sine(16.0), Sine(11.0, 0.4)), Ridge(Sine(1.0), (6.0, -6.0)))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1)]
    return exact, problem(UT + 1.0 * UX - 0.02 * D(0, 2), [(0, 2), (0, 1)], exact, conditions)


def schroedinger_like_beam_in_time():
    exact = Exact(product(Sine(5.0, 0.3), Sine(25.0)), (0.5, product(Exponential(1.0), Sine(2.0, 0.3))))
    conditions = [
        Dirichlet(exact, axis=0),
        Neumann(exact.along(0, 2), axis=0, order=2),
        Initial(exact, axis=1),
        Initial(exact.along(1), axis=1, order=1),
    ]
    return exact, problem(D(1, 2) + D(0, 4), [(0, 1), (0, 1)], exact, conditions)


def poisson_3d():
    exact = Exact(
        product(Sine(12.0, 0.2), Sine(9.0), Sine(15.0, 0.4)),
        (0.3, product(Exponential(0.5), Sine(30.0), Power((1.0, 0.0, -1.0)))),
    )
    return exact, problem(LAPLACE[3], [(0, 1), (0, 1), (0, 1)], exact)


def heat_3d():
    exact = Exact(
        product(Sine(11.0), Sine(7.0, 0.3), Exponential(-0.02 * 170)), (0.3, product(Sine(2.0), Sine(3.0), Sine(20.0)))
    )
    conditions = [Dirichlet(exact, axis=0), Dirichlet(exact, axis=1), Initial(exact, axis=2)]
    return exact, problem(D(2, 1) - 0.02 * (D(0, 2) + D(1, 2)), [(0, 1), (0, 1), (0, 1)], exact, conditions)


def wave_3d():
    exact = Exact(product(Sine(9.0), Sine(12.0, 0.2), Sine(15.0, 0.1)), (0.4, Ridge(Sine(1.0), (3.0, 4.0, -5.0))))
    conditions = [
        Dirichlet(exact, axis=0),
        Dirichlet(exact, axis=1),
        Initial(exact, axis=2),
        Initial(exact.along(2), axis=2, order=1),
    ]
    return exact, problem(D(2, 2) - D(0, 2) - D(1, 2), [(0, 1), (0, 1), (0, 1)], exact, conditions)


def advection_3d_with_a_parameter():
    """No derivative is taken along the second axis."""
    exact = Exact(product(Sine(8.0), Power((1.0, 2.0)), Sine(15.0, 0.4)), (0.5, Ridge(Sine(1.0), (6.0, 2.0, -9.0))))
    conditions = [Dirichlet(exact, axis=0, side="lower"), Initial(exact)]
    return exact, problem(D(2, 1) + 1.5 * UX, [(0, 1), (-1, 1), (0, 1)], exact, conditions)


def helmholtz_3d():
    exact = Exact(product(Sine(11.0), Sine(8.0, 0.5), Sine(10.0)), (0.5, Ridge(Sine(1.0), (8.0, -7.0, 5.0))))
    return exact, problem(LAPLACE[3] + 13.0**2 * U, [(0, 1), (0, 1), (0, 1)], exact)


def variable_3d():
    exact = Exact(
        product(Sine(7.0), Sine(6.0, 0.5), Sine(9.0)), (0.5, product(Exponential(0.5), Sine(2.0), Sine(3.0, 1.0)))
    )
    operator = D(0, 2) + (lambda x, y, z: 2 + y + 0 * x * z) * D(1, 2) + D(2, 2) - (lambda x, y, z: 1 + x * y * z) * U
    return exact, problem(operator, [(0, 1), (0, 1), (0, 1)], exact)


def allen_cahn_1d():
    exact = Exact(product(Times(Sine(4.0), Sine(66.0, 0.5))), (0.5, product(Sine(1.5))))
    return exact, problem(D(0, 2), [(0, 3)], exact, nonlinearity=CUBIC)


def allen_cahn_stiff_1d():
    """A layer of the exact kind, where diffusion is small."""
    exact = Exact(product(Step(7.0)))
    return exact, problem(-0.01 * D(0, 2), [(-1, 1)], exact, nonlinearity=CUBIC)


def allen_cahn_2d():
    exact = Exact(product(Sine(13.0, 0.3), Sine(29.0)), (0.4, product(Exponential(0.4), Sine(3.0))))
    return exact, problem(LAPLACE[2], [(0, 1), (0, 1)], exact, nonlinearity=CUBIC)


def bratu_2d():
    exact = Exact(product(Sine(math.pi), Sine(math.pi)), (0.1, product(Sine(15.0), Sine(22.0))))
    n = Nonlinearity(lambda u: 1.5 * np.exp(u), [U])
    return exact, problem(LAPLACE[2], [(0, 1), (0, 1)], exact, nonlinearity=n)


def sine_gordon():
    exact = Exact(product(Sine(10.0, 0.2), Sine(14.0)), (0.8, Ridge(Sine(1.0), (4.0, -3.0))))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1), Initial(exact.along(1), axis=1, order=1)]
    n = Nonlinearity(lambda u: np.sin(u), [U])
    return exact, problem(D(1, 2) - D(0, 2), [(0, 1), (0, 1)], exact, conditions, n)


def klein_gordon_cubic():
    exact = Exact(product(Power((0.0, 1.0)), Sine(5.0)), product(Sine(18.0), Sine(9.0, 0.3)))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1), Initial(exact.along(1), axis=1, order=1)]
    n = Nonlinearity(lambda u: u**3, [U])
    return exact, problem(D(1, 2) - D(0, 2) + U, [(0, 1), (0, 1)], exact, conditions, n)


def burgers_travelling():
    """The travelling front ``c - a tanh(a (x - c t) / 2 nu)``, an exact solution without source."""
    a, c, nu = 0.5, 0.6, 0.05
    exact = Exact((c, product(Power((1.0,)), Power((1.0,)))), (-a, Ridge(Step(a / (2 * nu)), (1.0, -c), -0.3)))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1)]
    n = Nonlinearity(lambda u, ux: u * ux, [U, UX])
    return exact, problem(UT - nu * D(0, 2), [(0, 1), (0, 0.5)], exact, conditions, n)


def burgers_forced():
    exact = Exact(product(Sine(11.0, 0.2), Sine(6.0, 0.5)), (0.7, product(Exponential(-0.5), Exponential(0.3))))
    conditions = [Dirichlet(exact, axis=0), Initial(exact, axis=1)]
    n = Nonlinearity(lambda u, ux: u * ux, [U, UX])
    return exact, problem(UT - 0.1 * D(0, 2), [(0, 1), (0, 1)], exact, conditions, n)


def burgers_steady_2d():
    exact = Exact(product(Sine(8.0, 0.2), Sine(12.0)), (0.6, product(Exponential(0.5), Sine(1.0, 0.5))))
    n = Nonlinearity(lambda u, ux, uy: u * (ux + uy), [U, UX, UY])
    return exact, problem(-0.1 * LAPLACE[2], [(0, 1), (0, 1)], exact, nonlinearity=n)


def eikonal_like_1d():
    exact = Exact(product(Sine(9.0, 0.1)), product(Exponential(0.5)))
    n = Nonlinearity(lambda u, ux: ux**2 + u, [U, UX])
    return exact, problem(D(0, 2), [(0, 1)], exact, nonlinearity=n)


def logistic_growth():
    exact = Exact((0.5, product(Power((1.0,)))), (0.5, product(Step(0.5))))
    n = Nonlinearity(lambda u: u**2 - u, [U])
    return exact, problem(D(0, 1), [(-4, 6)], exact, [Initial(exact, axis=0)], n)


def pendulum():
    exact = Exact(product(Times(Exponential(-0.2), Sine(22.0))), (0.5, product(Sine(3.0, 1.0))))
    conditions = [Initial(exact, axis=0), Initial(exact.along(0), axis=0, order=1)]
    return exact, problem(D(0, 2), [(0, 3)], exact, conditions, Nonlinearity(lambda u: 4 * np.sin(u), [U]))


def allen_cahn_3d():
    exact = Exact(
        product(Sine(6.0, 0.3), Sine(9.0), Sine(5.0, 0.5)), (0.4, product(Exponential(0.4), Sine(3.0), Sine(2.0)))
    )
    return exact, problem(LAPLACE[3], [(0, 1), (0, 1), (0, 1)], exact, nonlinearity=CUBIC)


def boundary_layer():
    """Polynomials resolve it, envelopes do not."""
    exact = Exact(product(Shifted(Exponential(1000.0), 1.0)), product(Sine(3.0)))
    return exact, problem(1e-3 * D(0, 2) - D(0, 1), [(0, 1)], exact)


def long_time_heat():
    exact = Exact(
        product(Sine(math.pi), Exponential(-(math.pi**2))),
        (0.5, product(Sine(3.0), Sine(2.0))),
    )
    conditions = [Dirichlet(exact, axis=0), Initial(exact)]
    return exact, problem(UT - D(0, 2), [(0, 1), (0, 40)], exact, conditions)
