"""Boundary value problems with known solutions: high frequencies and several scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from structkit.pde import PDE, D, Dirichlet

__all__ = ["HIGH_FREQUENCY_PROBLEMS", "SolvedPDE", "high_frequency_pde"]

Wave = tuple[Callable[[Any], Any], Callable[[Any], Any]]


class SolvedPDE(NamedTuple):
    """A problem and its exact solution.

    Attributes
    ----------
    problem : PDE
        The problem.
    exact : callable
        Solution as a function of all coordinates, broadcast.
    """

    problem: PDE
    exact: Callable[..., Any]


def _sine(a: float) -> Wave:
    return lambda x: np.sin(a * x), lambda x: -(a**2) * np.sin(a * x)


def _product(x: Any, a: float, b: float) -> Any:
    return np.sin(a * x) * np.cos(b * x)


def _sine_cosine(a: float, b: float) -> Wave:
    def second(x: Any) -> Any:
        return -(a**2 + b**2) * _product(x, a, b) - 2 * a * b * np.cos(a * x) * np.sin(b * x)

    return lambda x: _product(x, a, b), second


def _growing(a: float) -> Wave:
    return lambda x: x * np.sin(a * x), lambda x: 2 * a * np.cos(a * x) - a**2 * x * np.sin(a * x)


def _three_scales(x: Any) -> Any:
    return np.sin(x) + 0.1 * np.sin(20 * x) + 0.05 * np.sin(100 * x)


def _three_scales_2(x: Any) -> Any:
    return -np.sin(x) - 40 * np.sin(20 * x) - 500 * np.sin(100 * x)


def _fast_on_parabola() -> Wave:
    return lambda x: np.sin(500 * x) - 2 * (x - 0.5) ** 2, lambda x: -250000 * np.sin(500 * x) - 4


def _scales(x: Any) -> Any:
    return np.sin(x) + 0.1 * np.sin(20 * x) + np.cos(100 * x)


def _scales_2(x: Any) -> Any:
    return -np.sin(x) - 40 * np.sin(20 * x) - 1e4 * np.cos(100 * x)


_PERIOD = (0.0, 2 * np.pi)
_UNIT = (0.0, 1.0)
_LINES: dict[str, tuple[Wave, tuple[float, float], bool]] = {
    "poisson_1d-single_sin": (_sine(100), _PERIOD, False),
    "poisson_1d-sin_cos": (_sine_cosine(6, 100), _PERIOD, False),
    "poisson_1d-x_time_sinx": (_growing(200), _PERIOD, False),
    "poisson_1d-mix_sin": ((_three_scales, _three_scales_2), _UNIT, False),
    "poisson_1d-x2_add_sinx": (_fast_on_parabola(), _UNIT, False),
    "allencahn_1d-single_sin": (_sine(100), _PERIOD, True),
    "allencahn_1d-sin_cos": (_sine_cosine(6, 100), _PERIOD, True),
}
HIGH_FREQUENCY_PROBLEMS = (
    *_LINES,
    "poisson_2d-sin_sin",
    "poisson_2d-sin_add_cos",
    "allencahn_2d-mix_sincos",
    "advection-sin",
)
_ALLEN_CAHN = (lambda u: u * (u**2 - 1), lambda u: 3 * u**2 - 1)


def high_frequency_pde(name: str) -> SolvedPDE:
    """Return one of the eleven problems of the GP-HM paper [1]_, with its exact solution.

    Parameters
    ----------
    name : str
        One of `HIGH_FREQUENCY_PROBLEMS`: the equation, a hyphen and the solution.

    Returns
    -------
    SolvedPDE
        Problem, with values of the exact solution on all faces, and exact solution.

    Raises
    ------
    ValueError
        If there is no such problem.

    References
    ----------
    .. [1] Fang, Cooley, Long, Li, Kirby, Zhe, "Solving high frequency and multi-scale PDEs with Gaussian processes",
       ICLR 2024.

    Examples
    --------
    >>> problem, exact = high_frequency_pde("poisson_1d-single_sin")
    >>> problem
    PDE(D(0, 2), domain=((0.0, 6.283185307179586),))
    """
    if name in _LINES:
        (u, second), ends, nonlinear = _LINES[name]
        return _line(u, second, ends, nonlinear)
    laplace = D(0, 2) + D(1, 2)
    if name == "poisson_2d-sin_sin":
        s, _ = _sine(100)
        return _plane(laplace, [_PERIOD] * 2, lambda x, y: s(x) * s(y), lambda x, y: -2e4 * s(x) * s(y))
    if name == "poisson_2d-sin_add_cos":
        w, w2 = _sine_cosine(6, 20)
        return _plane(laplace, [_PERIOD] * 2, lambda x, y: w(x) + w(y), lambda x, y: w2(x) + w2(y))
    if name == "allencahn_2d-mix_sincos":
        return _plane(
            laplace,
            [_UNIT] * 2,
            lambda x, y: _scales(x) * _scales(y),
            lambda x, y: _scales_2(x) * _scales(y) + _scales(x) * _scales_2(y),
            nonlinear=True,
        )
    if name == "advection-sin":
        return _plane(200 * D(0, 1) + D(1, 1), [_UNIT] * 2, lambda x, y: np.sin(x - 200 * y), 0.0)
    raise ValueError(f"name = {name!r}; expected one of {', '.join(HIGH_FREQUENCY_PROBLEMS)}.")


def _line(u: Any, second: Any, ends: tuple[float, float], nonlinear: bool) -> SolvedPDE:
    source = (lambda x: second(x) + u(x) * (u(x) ** 2 - 1)) if nonlinear else second
    nonlinearity = _ALLEN_CAHN if nonlinear else None
    return SolvedPDE(PDE(D(0, 2), domain=[ends], source=source, conditions=Dirichlet(u), nonlinearity=nonlinearity), u)


def _plane(operator: Any, domain: list[tuple[float, float]], u: Any, f: Any, *, nonlinear: bool = False) -> SolvedPDE:
    source = (lambda x, y: f(x, y) + u(x, y) * (u(x, y) ** 2 - 1)) if nonlinear else f
    nonlinearity = _ALLEN_CAHN if nonlinear else None
    return SolvedPDE(PDE(operator, domain=domain, source=source, conditions=Dirichlet(u), nonlinearity=nonlinearity), u)
