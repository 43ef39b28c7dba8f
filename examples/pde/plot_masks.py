"""
Domains that are no boxes
=========================

A curve with conditions on it, inside of a box: waves on a flower, flow around a cylinder, a loaded membrane.

``OnCurve`` prescribes values or normal derivatives on a curve. What lies inside of closed curves is the domain; a
``mask`` says so where that is not enough.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, Dirichlet, GPSolver, OnCurve
from structkit.plotting import plot_field

laplace = D(0, 2) + D(1, 2)
turn = 2 * np.pi


def circle(t):
    return 0.5 * np.cos(turn * t), 0.5 * np.sin(turn * t)


def flower(t):
    r = 0.75 + 0.12 * np.cos(5 * turn * t)
    return r * np.cos(turn * t), r * np.sin(turn * t)


def bean(t):
    return 0.75 * np.cos(turn * t) + 0.18 * np.cos(2 * turn * t), 0.7 * np.sin(turn * t)


# %%
# A wave with twelve periods across the flower. Its carriers are found on lines that stay inside; nothing is evaluated
# outside.


def wave(x, y):
    return np.sin(30 * x + 22 * y) + 0.3 * x


waves = PDE(
    laplace,
    domain=[(-1, 1), (-1, 1)],
    source=lambda x, y: -(30**2 + 22**2) * np.sin(30 * x + 22 * y),
    conditions=OnCurve(flower, wave),
)

# %%
# The potential of a flow around a cylinder has no normal derivative there. The box has conditions as well, so that a
# mask has to say which side of the circle is meant.


def potential(x, y):
    return x * (1 + 0.25 / (x**2 + y**2))


flow = PDE(
    laplace,
    domain=[(-1, 1), (-1, 1)],
    mask=lambda x, y: x**2 + y**2 > 0.25,
    conditions=[Dirichlet(potential), OnCurve(circle, 0.0, a=0, b=1)],
)

# %%
# The last solution has no formula: ``residual_`` estimates its error.

membrane = PDE(laplace, domain=[(-1, 1), (-1, 1)], source=-1.0, conditions=OnCurve(bean))

# %%
# Outside of the domain ``predict`` returns a smooth continuation without meaning, which is cut off here.

x = np.linspace(-1, 1, 301)
panels = [["waves", "waves", "flow"], ["waves", "waves", "membrane"]]
fig, axes = plt.subplot_mosaic(panels, figsize=(9.6, 5.4), layout="constrained")
cases = [("waves", waves, flower, wave), ("flow", flow, circle, potential), ("membrane", membrane, bean, None)]
for name, problem, curve, exact in cases:
    solver = GPSolver().fit(problem)
    inside = problem.mask(x[:, None], x)
    values = np.where(inside, solver.predict([x, x]), np.nan)
    print(f"{name}: estimated error {solver.residual_:.0e}")
    if exact is not None:
        grid = np.meshgrid(x, x, indexing="ij")
        truth = exact(*(g[inside] for g in grid))
        print(f"{name}: error {np.linalg.norm(values[inside] - truth) / np.linalg.norm(truth):.0e}")
    plot_field([x, x], values, ax=axes[name])
    axes[name].plot(*curve(np.linspace(0, 1, 400)), color="black", lw=1)
    axes[name].set(title=name, xlabel="x", ylabel="y", aspect="equal", facecolor="white")
