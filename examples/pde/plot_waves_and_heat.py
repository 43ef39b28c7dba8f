"""
Waves, heat, Helmholtz
======================

Time is an axis like any other: one solve gives the whole history, and its derivatives.

A wave on a string, heat in a rod and a Helmholtz equation, each with an exact solution to compare with.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, Dirichlet, GPSolver, Initial
from structkit.plotting import plot_field

string = [(0, 1), (0, 1)]
fixed_ends = Dirichlet(0.0, axis=0)


def wave(x, t):
    return np.sin(6 * np.pi * x) * np.cos(12 * np.pi * t)


def heat(x, t):
    return np.exp(-0.5 * t) * np.sin(2 * np.pi * x) + 0.3 * np.exp(-4.5 * t) * np.sin(6 * np.pi * x)


def helmholtz(x, y):
    return np.sin(20 * np.pi * x) * np.cos(15 * y)


rate = 0.5 / (2 * np.pi) ** 2
problems = {
    "wave": (
        PDE(
            D(1, 2) - 4 * D(0, 2),
            domain=string,
            conditions=[fixed_ends, Initial(lambda x, t: np.sin(6 * np.pi * x)), Initial(0.0, order=1)],
        ),
        wave,
    ),
    "heat": (
        PDE(D(1) - rate * D(0, 2), domain=string, conditions=[fixed_ends, Initial(lambda x, t: heat(x, 0))]),
        heat,
    ),
    "Helmholtz": (
        PDE(
            D(0, 2) + D(1, 2) + 900 * D(0, 0),
            domain=string,
            source=lambda x, y: (900 - (20 * np.pi) ** 2 - 225) * helmholtz(x, y),
            conditions=Dirichlet(helmholtz),
        ),
        helmholtz,
    ),
}

# %%
# All options stay at their defaults. ``residual_`` estimates the error without the exact solution, from a second solve
# with other functions.

t = np.linspace(0, 1, 201)
fig, axes = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
for ax, (name, (problem, exact)) in zip(axes.flat, problems.items(), strict=False):
    solver = GPSolver().fit(problem)
    values, truth = solver.predict([t, t]), exact(t[:, None], t)
    error = np.linalg.norm(values - truth) / np.linalg.norm(truth)
    print(f"{name:10s} error {error:.0e}, estimated {solver.residual_:.0e}, points {solver.n_points_}")
    plot_field([t, t], values, ax=ax)
    ax.set(title=f"{name}: error {error:.0e}", xlabel="x", ylabel="y" if name == "Helmholtz" else "time")

# Derivatives come from the same expansion: here the heat that leaves the rod at its left end.
solver = GPSolver().fit(problems["heat"][0])
flux = rate * solver.predict([[0.0], t], derivative={0: 1})[0]
exact_flux = rate * (2 * np.pi * np.exp(-0.5 * t) + 0.3 * 6 * np.pi * np.exp(-4.5 * t))
print(f"flux: largest error {np.abs(flux - exact_flux).max():.0e} of {exact_flux.max():.2f}")
ax = axes[1, 1]
ax.plot(t, flux)
ax.set(title="heat that leaves the left end", xlabel="time", ylabel="flux", ylim=(0, None))
