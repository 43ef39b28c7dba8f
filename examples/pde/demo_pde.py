"""Solve the eleven high-frequency and multi-scale problems of the GP-HM paper, beside two classical methods.

A table and a figure ``equations.png`` in the folder given by ``--output``. Every method gets the same number of points:
polynomials on Chebyshev points (the spectral method), and second-order finite differences for the linear problems.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ.setdefault(_pool, "1")

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from structkit.datasets import HIGH_FREQUENCY_PROBLEMS, SolvedPDE, high_frequency_pde
from structkit.pde import GPSolver, chebyshev_solve
from structkit.plotting import plot_carriers, plot_solution

TEST_POINTS = 300


def relative_error(values: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square error over that of the exact values."""
    return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))


def finite_differences(solved: SolvedPDE, n: int) -> float:
    """Error at the nodes of central differences on `n` points per axis, second-order equations without other terms."""
    problem = solved.problem
    axes = [np.linspace(a, b, n) for a, b in problem.domain]
    grids = np.meshgrid(*axes, indexing="ij")
    inside = np.zeros((n,) * len(axes), bool)
    inside[(slice(1, -1),) * len(axes)] = True
    terms = []
    for d, x in enumerate(axes):
        second = sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(n, n)) / (x[1] - x[0]) ** 2
        factors = [second if a == d else sp.identity(n) for a in range(len(axes))]
        terms.append(factors[0] if len(axes) == 1 else sp.kron(*factors))
    A = sum(terms[1:], terms[0]).tocsc()
    exact = np.broadcast_to(solved.exact(*grids), inside.shape).ravel()
    source = np.broadcast_to(problem.source(*grids), inside.shape).ravel()
    i = np.flatnonzero(inside.ravel())
    known = np.where(inside.ravel(), 0.0, exact)
    u = known.copy()
    u[i] = scipy.sparse.linalg.spsolve(A[i][:, i], (source - A @ known)[i])
    return relative_error(u, exact)


def table() -> dict[str, GPSolver]:
    """Print errors and times of every problem; return the solutions."""
    print(
        f"{'problem':26s}{'error':>9s}{'estimate':>10s}{'seconds':>9s}{'points':>10s}{'spectral':>10s}{'differences':>13s}"
    )
    found = {}
    GPSolver().fit(high_frequency_pde(HIGH_FREQUENCY_PROBLEMS[0]).problem)  # the first call loads libraries
    for name in HIGH_FREQUENCY_PROBLEMS:
        solved = high_frequency_pde(name)
        problem, exact = solved
        axes = [np.linspace(a, b, TEST_POINTS) for a, b in problem.domain]
        truth = exact(*np.meshgrid(*axes, indexing="ij"))
        start = time.perf_counter()
        solver = GPSolver().fit(problem)
        seconds = time.perf_counter() - start
        error = relative_error(solver.predict(axes), truth)
        n = max(solver.n_points_)
        spectral, differences = "-", "-"
        if problem.nonlinearity is None:
            spectral = f"{relative_error(chebyshev_solve(problem, solver.n_points_).predict(axes), truth):.0e}"
        if problem.nonlinearity is None and problem.order(0) == 2:
            differences = f"{finite_differences(solved, n):.0e}"
        points = "x".join(map(str, solver.n_points_))
        print(
            f"{name:26s}{error:9.0e}{solver.residual_:10.0e}{seconds:9.2f}{points:>10s}{spectral:>10s}{differences:>13s}",
            flush=True,
        )
        found[name] = solver
    return found


def picture(found: dict[str, GPSolver], path: Path) -> None:
    """Solutions, an error and a spectrum."""
    fig, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    plot_solution(found["poisson_1d-mix_sin"], n=2000, ax=axes[0, 0])
    axes[0, 0].set_title("three scales, of which the source shows mostly the fast one")
    plot_carriers(found["poisson_1d-mix_sin"], ax=axes[0, 1])
    axes[0, 1].set_title("its carriers")
    name = "allencahn_2d-mix_sincos"
    plot_solution(found[name], ax=axes[1, 0])
    axes[1, 0].set_title("Allen-Cahn, three scales on each axis")
    plot_solution(found[name], exact=high_frequency_pde(name).exact, ax=axes[1, 1])
    axes[1, 1].set_title("its error")
    fig.savefig(path, dpi=130)
    plt.close(fig)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the figure")
    args = parser.parse_args()
    mpl.use("Agg")
    args.output.mkdir(parents=True, exist_ok=True)
    picture(table(), args.output / "equations.png")
    print(f"figure: {args.output / 'equations.png'}")


if __name__ == "__main__":
    main()
