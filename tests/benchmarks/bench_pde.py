"""Differential equations: the solver with its defaults against the spectral method, differences and a network."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np

from structkit import ConvergenceWarning
from structkit.datasets import high_frequency_pde
from structkit.pde import PDE, D, Dirichlet, GPSolver, MapSettings, chebyshev_solve
from tests.benchmarks import pde_peers as peers
from tests.benchmarks.harness import Row, compare, optional

CASES = ("poisson_1d-single_sin", "poisson_1d-mix_sin", "poisson_2d-sin_add_cos", "poisson_2d-sin_sin")
NONLINEAR = ("allencahn_1d-sin_cos", "allencahn_2d-mix_sincos")
TEST_POINTS = 300
STEPS = 500  # of Adam, for the network and for the published method


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found: list[Row] = []
    for name in CASES[:1] if quick else CASES + NONLINEAR:
        found += _paper(name, 10 if quick else STEPS)
    return found + _cube(24 if quick else 100)


def _paper(name: str, steps: int) -> list[Row]:
    """One of the paper's problems: everybody gets the points that the solver chose, finite differences four times."""
    solved = high_frequency_pde(name)
    problem, exact = solved
    at = [np.linspace(a, b, TEST_POINTS) for a, b in problem.domain]
    truth = exact(*np.meshgrid(*at, indexing="ij"))
    n = GPSolver().fit(problem).n_points_
    rivals: dict[str, object] = {"spectral method": lambda: chebyshev_solve(problem, n).predict(at)}
    rivals["finite differences"] = partial(peers.finite_differences, solved, 4 * max(n) if len(n) == 1 else max(n), at)
    steps = steps if len(n) == 1 else steps // 5
    rivals[f"network, {steps} steps"] = optional(lambda: partial(peers.network, solved, steps, at))
    settings = MapSettings(n_iter=steps)
    rivals[f"published method, {steps} steps"] = lambda: _published(problem, settings).predict(at)
    return compare(
        f"{name}, {'x'.join(map(str, n))} points",
        lambda: GPSolver().fit(problem).predict(at),
        rivals,  # type: ignore[arg-type]
        reference=truth,
        rounds=1,
        rtol=np.inf,
        score=("relative error", lambda flat: float(np.linalg.norm(flat - truth.ravel()) / np.linalg.norm(truth))),
    )


def _published(problem: PDE, settings: MapSettings) -> GPSolver:
    """A short run of the published method, which says itself that it is short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GPSolver(100 if problem.n_axes == 2 else None, method="map", map_settings=settings).fit(problem)


def _cube(n: int) -> list[Row]:
    """Three dimensions, two scales per axis."""

    def u(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.sin(30 * x) * np.cos(20 * y) * np.sin(25 * z)

    laplace = D(0, 2) + D(1, 2) + D(2, 2)
    problem = PDE(laplace, domain=[(0, 1)] * 3, source=lambda *c: -1925 * u(*c), conditions=Dirichlet(u))
    at = [np.linspace(0, 1, 40)] * 3
    truth = u(*np.meshgrid(*at, indexing="ij"))
    return compare(
        f"Poisson equation in a cube, {n}^3 points",
        lambda: GPSolver(n_points=n).fit(problem).predict(at),
        {"spectral method": lambda: chebyshev_solve(problem, n).predict(at)},
        reference=truth,
        rounds=1,
        rtol=np.inf,
        score=("relative error", lambda flat: float(np.linalg.norm(flat - truth.ravel()) / np.linalg.norm(truth))),
    )
