"""The page on the eleven problems of the GP-HM paper: the solver's defaults, the published method, two classics.

``python -m tests.paper.pde_table --write docs/guide/pde_accuracy.rst``
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from structkit import ConvergenceWarning
from structkit.datasets import HIGH_FREQUENCY_PROBLEMS, SolvedPDE, high_frequency_pde
from structkit.pde import GPSolver, MapSettings, chebyshev_solve
from tests.benchmarks import pde_peers as peers

TEST_POINTS = 300
# Largest initial frequency of each problem in the published experiments, cycles per unit, in the order of the problems.
SCALES = (20, 20, 50, 30, 100, 20, 20, 20, 20, 30, 40)
# Points per axis and steps of Adam of the short runs, by the number of axes.
SHORT = {1: (400, 300), 2: (100, 300)}

HEADER = """\
.. Written by ``python -m tests.paper.pde_table``; edits are lost.

The problems of the GP-HM paper
===============================

Relative errors in the root mean square on 300 points per axis, and seconds on one core, all methods in one run of one
process. *GPSolver* runs with its defaults, and *estimate* is its own estimate of the error (``residual_``). The
*spectral method* (``chebyshev_solve``) gets the number of points that GPSolver chose; *differences* are of second order
with a sparse direct solve, on four times as many points in one dimension and on as many in two. *Published method* is
``GPSolver(method="map")`` with the frequency scale of the published experiments, after {one} steps of Adam on {n1}
points in one dimension and {two} steps on {n2} x {n2} points in two. *Network* is a physics-informed network of three
layers of 64 units after as many steps of Adam on 400 points per axis. The published runs take 100 000 to 3 000 000
steps: these figures say what a step costs and how far it goes, not what a complete run reaches.

"""


def error_of(values: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error over that of the truth."""
    return float(np.linalg.norm(values - truth) / np.linalg.norm(truth))


def timed(run: Callable[[], np.ndarray], truth: np.ndarray) -> str:
    """Error and seconds of one run."""
    start = time.perf_counter()
    values = run()
    seconds = time.perf_counter() - start
    return f"{error_of(values, truth):.0e} in {seconds:.2g} s"


def row(name: str, scale: float) -> list[str]:
    """One line of the table."""
    solved: SolvedPDE = high_frequency_pde(name)
    problem, exact = solved
    at = [np.linspace(a, b, TEST_POINTS) for a, b in problem.domain]
    truth = exact(*np.meshgrid(*at, indexing="ij"))
    solver = GPSolver().fit(problem)
    n = solver.n_points_
    ours = timed(lambda: GPSolver().fit(problem).predict(at), truth)
    spectral = timed(lambda: chebyshev_solve(problem, n).predict(at), truth)
    differences = "none"
    if problem.order(0) == 2:
        count = 4 * max(n) if len(n) == 1 else max(n)
        differences = timed(lambda: peers.finite_differences(solved, count, at), truth)
    points, steps = SHORT[len(n)]
    settings = MapSettings(frequency_scale=scale, n_iter=steps)
    published = timed(lambda: GPSolver(points, method="map", map_settings=settings).fit(problem).predict(at), truth)
    network = timed(lambda: peers.network(solved, steps, at), truth)
    estimate = f"{solver.residual_:.0e}"
    return [f"``{name}``", "x".join(map(str, n)), ours, estimate, spectral, differences, published, network]


def page(lines: list[list[str]]) -> str:
    """The page as reStructuredText."""
    titles = [
        "problem",
        "points",
        "GPSolver",
        "estimate",
        "spectral method",
        "differences",
        "published method",
        "network",
    ]
    text = HEADER.format(one=SHORT[1][1], n1=SHORT[1][0], two=SHORT[2][1], n2=SHORT[2][0])
    text += ".. list-table::\n   :header-rows: 1\n   :class: benchmark\n\n"
    for cells in [titles, *lines]:
        text += "".join(f"   {'* ' if i == 0 else '  '}- {cell}\n" for i, cell in enumerate(cells))
    return text


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True, help="the page")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = []
    with threadpool_limits(1):
        for name, scale in zip(HIGH_FREQUENCY_PROBLEMS, SCALES, strict=True):
            lines.append(row(name, scale))
            print("  ".join(lines[-1]), flush=True)
    args.write.write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
