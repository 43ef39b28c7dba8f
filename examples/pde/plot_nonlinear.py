"""
Nonlinear equations
===================

Allen-Cahn with three scales, and Burgers' equation from a smooth start to a steep front.

Nonlinear terms are given as a pair ``(N, dN)`` of functions of the solution, or as a
:class:`~structkit.pde.Nonlinearity` of the solution and its derivatives. Newton's method needs a few steps; its linear
equations are solved by GMRES with the separable part as preconditioner.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, Dirichlet, GPSolver, Initial, Nonlinearity
from structkit.plotting import plot_field, plot_solution


def p(x):
    return np.sin(x) + 0.1 * np.sin(20 * x) + np.cos(100 * x)


def p2(x):
    return -np.sin(x) - 40 * np.sin(20 * x) - 1e4 * np.cos(100 * x)


def u(x, y):
    return p(x) * p(y)


allen_cahn = PDE(
    D(0, 2) + D(1, 2),
    domain=[(0, 1), (0, 1)],
    source=lambda x, y: p2(x) * p(y) + p(x) * p2(y) + u(x, y) * (u(x, y) ** 2 - 1),
    conditions=Dirichlet(u),
    nonlinearity=(lambda v: v * (v**2 - 1), lambda v: 3 * v**2 - 1),
)
solver = GPSolver().fit(allen_cahn)
x = np.linspace(0, 1, 300)
exact = u(x[:, None], x)
error = np.linalg.norm(solver.predict([x, x]) - exact) / np.linalg.norm(exact)
print(f"Allen-Cahn: error {error:.0e}, estimated {solver.residual_:.0e}")

# %%
# Burgers' equation :math:`u_t + u u_x = \nu u_{xx}` has no source here; the estimate of the error is all there is to
# judge by, as on any problem of one's own.

burgers = PDE(
    D(1) - 0.05 * D(0, 2),
    domain=[(-1, 1), (0, 1)],
    conditions=[Dirichlet(0.0, axis=0), Initial(lambda x, t: -np.sin(np.pi * x))],
    nonlinearity=Nonlinearity(lambda v, v_x: v * v_x, [D(0, 0), D(0, 1)]),
)
front = GPSolver().fit(burgers)
print(f"Burgers: estimated error {front.residual_:.0e}, {front.n_points_} points")

fig, axes = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
plot_field([x, x], solver.predict([x, x]), ax=axes[0, 0])
axes[0, 0].set(title="Allen-Cahn", xlabel="x", ylabel="y")
plot_solution(solver, exact=u, ax=axes[0, 1])
axes[0, 1].set(title="its error", xlabel="x", ylabel="y")
s, t = np.linspace(-1, 1, 301), np.linspace(0, 1, 201)
plot_field([s, t], front.predict([s, t]), ax=axes[1, 0])
axes[1, 0].set(title="Burgers", xlabel="x", ylabel="time")
for moment in (0.0, 0.25, 0.5, 1.0):
    axes[1, 1].plot(s, front.predict([s, [moment]])[:, 0], label=f"t = {moment:g}")
axes[1, 1].set(title="the front forms", xlabel="x", ylabel="u")
axes[1, 1].legend(frameon=False)
