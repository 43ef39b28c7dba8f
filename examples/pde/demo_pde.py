"""Solve the eleven high-frequency and multi-scale problems of the GP-HM paper, the linear ones by polynomials too.

A table and a figure ``equations.png`` in the folder given by ``--output``. Polynomials on Chebyshev points, the
spectral method, get the points that the solver chose.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ.setdefault(_pool, "1")

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import HIGH_FREQUENCY_PROBLEMS, high_frequency_pde
from structkit.pde import GPSolver, chebyshev_solve
from structkit.plotting import plot_carriers, plot_solution

TEST_POINTS = 300
DRAWN = ("poisson_1d-mix_sin", "allencahn_2d-mix_sincos")


def relative_error(values: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square error over that of the exact values."""
    return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))


def table(names: Sequence[str]) -> dict[str, GPSolver]:
    """Print errors and times of every problem; return the solutions."""
    print(f"{'problem':26s}{'error':>9s}{'estimate':>10s}{'seconds':>9s}{'points':>10s}{'spectral':>10s}")
    found = {}
    GPSolver().fit(high_frequency_pde(HIGH_FREQUENCY_PROBLEMS[0]).problem)  # the first call loads libraries
    for name in names:
        problem, exact = high_frequency_pde(name)
        axes = [np.linspace(a, b, TEST_POINTS) for a, b in problem.domain]
        truth = exact(*np.meshgrid(*axes, indexing="ij"))
        start = time.perf_counter()
        solver = GPSolver().fit(problem)
        seconds = time.perf_counter() - start
        error = relative_error(solver.predict(axes), truth)
        spectral = "-"
        if problem.nonlinearity is None:
            spectral = f"{relative_error(chebyshev_solve(problem, solver.n_points_).predict(axes), truth):.0e}"
        points = "x".join(map(str, solver.n_points_))
        print(f"{name:26s}{error:9.0e}{solver.residual_:10.0e}{seconds:9.2f}{points:>10s}{spectral:>10s}", flush=True)
        found[name] = solver
    return found


def picture(found: dict[str, GPSolver], path: Path) -> None:
    """Solutions, an error and a spectrum."""
    fig, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    line, field = DRAWN
    plot_solution(found[line], n=2000, ax=axes[0, 0])
    axes[0, 0].set_title("three scales")
    plot_carriers(found[line], ax=axes[0, 1])
    axes[0, 1].set_title("its carriers")
    plot_solution(found[field], ax=axes[1, 0])
    axes[1, 0].set_title("Allen-Cahn, three scales on each axis")
    plot_solution(found[field], exact=high_frequency_pde(field).exact, ax=axes[1, 1])
    axes[1, 1].set_title("its error")
    fig.savefig(path, dpi=130)
    plt.close(fig)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="a small part, to see that everything works")
    args = parser.parse_args()
    mpl.use("Agg")
    args.output.mkdir(parents=True, exist_ok=True)
    names = DRAWN if args.quick else HIGH_FREQUENCY_PROBLEMS
    picture(table(names), args.output / "equations.png")
    print(f"figure: {args.output / 'equations.png'}")


if __name__ == "__main__":
    main()
