"""Classical equations with exact solutions: Helmholtz, heat, wave, Klein-Gordon, Burgers, Poisson in a cube."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from structkit.datasets.equations import SolvedPDE
from structkit.pde import PDE, D, Dirichlet, Initial, Nonlinearity

__all__ = ["CLASSIC_PROBLEMS", "classic_pde"]


def _helmholtz() -> SolvedPDE:
    def u(x: Any, y: Any) -> Any:
        return np.sin(24 * x + 7 * y) + np.cos(15 * x - 20 * y)

    operator = D(0, 2) + D(1, 2) + 25**2 * D(0, 0)
    return SolvedPDE(PDE(operator, domain=[(0, 1), (0, 1)], conditions=Dirichlet(u)), u)


def _heat() -> SolvedPDE:
    def u(x: Any, t: Any) -> Any:
        slow, fast = 2 * np.pi, 10 * np.pi
        return np.exp(-0.02 * slow**2 * t) * np.sin(slow * x) + 0.5 * np.exp(-0.02 * fast**2 * t) * np.sin(fast * x)

    conditions = [Dirichlet(0.0, axis=0), Initial(u)]
    return SolvedPDE(PDE(D(1, 1) - 0.02 * D(0, 2), domain=[(0, 1), (0, 1)], conditions=conditions), u)


def _wave() -> SolvedPDE:
    def u(x: Any, t: Any) -> Any:
        return np.sin(2 * np.pi * x) * np.cos(4 * np.pi * t) + 0.3 * np.sin(9 * np.pi * x) * np.cos(18 * np.pi * t)

    conditions = [Dirichlet(0.0, axis=0), Initial(u), Initial(0.0, order=1)]
    return SolvedPDE(PDE(D(1, 2) - 4.0 * D(0, 2), domain=[(0, 1), (0, 1)], conditions=conditions), u)


def _klein_gordon() -> SolvedPDE:
    waves = [(1.0, 20.0, np.hypot(20.0, 8.0)), (0.4, -5.0, np.hypot(5.0, 8.0))]

    def u(x: Any, t: Any) -> Any:
        return sum(a * np.sin(k * x - w * t) for a, k, w in waves)

    def u_t(x: Any, t: Any) -> Any:
        return sum(-a * w * np.cos(k * x - w * t) for a, k, w in waves)

    conditions = [Dirichlet(u, axis=0), Initial(u), Initial(u_t, order=1)]
    operator = D(1, 2) - D(0, 2) + 64.0 * D(0, 0)
    return SolvedPDE(PDE(operator, domain=[(0, 1), (0, 2)], conditions=conditions), u)


def _burgers() -> SolvedPDE:
    def u(x: Any, t: Any) -> Any:
        return 0.5 - 0.5 * np.tanh(0.25 * (x - 0.5 * t) / 0.05)

    conditions = [Dirichlet(u, axis=0), Initial(u)]
    steepening = Nonlinearity(lambda v, v_x: v * v_x, [D(0, 0), D(0, 1)])
    operator = D(1, 1) - 0.05 * D(0, 2)
    return SolvedPDE(PDE(operator, domain=[(-1, 1), (0, 1)], conditions=conditions, nonlinearity=steepening), u)


def _cube() -> SolvedPDE:
    def line(x: Any, a: float, b: float) -> Any:
        return np.sin(a * x) + 0.1 * np.cos(b * x)

    def second(x: Any, a: float, b: float) -> Any:
        return -(a**2) * np.sin(a * x) - 0.1 * b**2 * np.cos(b * x)

    def u(x: Any, y: Any, z: Any) -> Any:
        return line(x, 4, 40) * line(y, 3, 25) * line(z, 5, 30)

    def source(x: Any, y: Any, z: Any) -> Any:
        lines, seconds = ([f(x, 4, 40), f(y, 3, 25), f(z, 5, 30)] for f in (line, second))
        return seconds[0] * lines[1] * lines[2] + lines[0] * seconds[1] * lines[2] + lines[0] * lines[1] * seconds[2]

    laplace = D(0, 2) + D(1, 2) + D(2, 2)
    return SolvedPDE(PDE(laplace, domain=[(0, 1)] * 3, source=source, conditions=Dirichlet(u)), u)


_MAKERS: dict[str, Callable[[], SolvedPDE]] = {
    "helmholtz": _helmholtz,
    "heat": _heat,
    "wave": _wave,
    "klein_gordon": _klein_gordon,
    "burgers": _burgers,
    "poisson_3d": _cube,
}
CLASSIC_PROBLEMS = tuple(_MAKERS)


def classic_pde(name: str) -> SolvedPDE:
    """Return a classical equation with a solution in closed form.

    Parameters
    ----------
    name : str
        One of `CLASSIC_PROBLEMS`:

        - ``"helmholtz"``: two plane waves of wavenumber 25 on a square;
        - ``"heat"``: two modes in a rod;
        - ``"wave"``: two modes of a string;
        - ``"klein_gordon"``: two dispersive waves;
        - ``"burgers"``: a travelling front;
        - ``"poisson_3d"``: two scales on each axis of a cube.

        Time is the second axis.

    Returns
    -------
    SolvedPDE
        Problem and exact solution.

    Raises
    ------
    ValueError
        If there is no such problem.

    See Also
    --------
    high_frequency_pde : the problems of the GP-HM paper.

    Examples
    --------
    >>> from structkit.datasets import classic_pde
    >>> problem, exact = classic_pde("heat")
    >>> problem
    PDE(D(1, 1) - 0.02 * D(0, 2), domain=((0.0, 1.0), (0.0, 1.0)))
    """
    if name not in _MAKERS:
        raise ValueError(f"name = {name!r}; expected one of {', '.join(CLASSIC_PROBLEMS)}.")
    return _MAKERS[name]()
