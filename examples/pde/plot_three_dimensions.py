"""
Three dimensions
================

A Poisson equation in a cube with two scales on each axis, on a million collocation points.

Along each axis the solution is a sum of a few dozen functions. With them the equation is diagonalised axis by axis, so
that a problem with :math:`n^3` points costs little more than three problems with :math:`n`.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, Dirichlet, GPSolver
from structkit.plotting import plot_carriers, plot_solution


def g(x, slow, fast):
    return np.sin(2 * np.pi * slow * x) + 0.1 * np.sin(2 * np.pi * fast * x)


def g2(x, slow, fast):
    a, b = 2 * np.pi * slow, 2 * np.pi * fast
    return -(a**2) * np.sin(a * x) - 0.1 * b**2 * np.sin(b * x)


def u(x, y, z):
    return g(x, 1, 20) * g(y, 0.5, 14) * np.sin(16 * np.pi * z)


def f(x, y, z):
    plane = g2(x, 1, 20) * g(y, 0.5, 14) + g(x, 1, 20) * g2(y, 0.5, 14)
    return plane * np.sin(16 * np.pi * z) - (16 * np.pi) ** 2 * u(x, y, z)


problem = PDE(D(0, 2) + D(1, 2) + D(2, 2), domain=[(0, 1)] * 3, source=f, conditions=Dirichlet(u))
start = time.perf_counter()
solver = GPSolver(n_points=100).fit(problem)
seconds = time.perf_counter() - start
print(f"{np.prod(solver.n_points_):,} points in {seconds:.1f} s, estimated error {solver.residual_:.0e}")

# %%
# Slices through the solution, and the error on one of them.

fig, axes = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
plot_solution(solver, at=(None, None, 0.03), ax=axes[0, 0])
plot_solution(solver, at=(0.27, None, None), ax=axes[0, 1])
plot_solution(solver, at=(None, None, 0.03), exact=u, ax=axes[1, 0])
axes[1, 0].set_title("error at x3 = 0.03")
plot_carriers(solver, ax=axes[1, 1])
axes[1, 1].set_title("carriers of the first axis")
