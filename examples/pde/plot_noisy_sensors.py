"""
Noisy sensors, no boundary data
===============================

A source known with noise and a dozen sensors inside of the domain give the solution, its derivative, and error bars.

Nothing is known at the ends, so that the equation alone leaves two constants open. With ``noise_var="learn"`` and
``observations`` the solver returns a posterior: noise levels, weights and length-scale are learned from the evidence.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, GPSolver
from structkit.plotting import plot_band


def u(x):
    return np.sin(3 * x) + 0.4 * np.cos(11 * x) + 0.3 * x


def f(x):
    return -9 * np.sin(3 * x) - 48.4 * np.cos(11 * x)


rng = np.random.default_rng(1)
x = np.linspace(0, 2, 200)
source = f(x) + 0.2 * np.sqrt(np.mean(f(x) ** 2)) * rng.standard_normal(200)
sensors = np.sort(rng.uniform(0, 2, 12))
readings = u(sensors) + 0.15 * rng.standard_normal(12)

problem = PDE(D(0, 2), domain=[(0, 2)], source=source, grid=[x])
solver = GPSolver(noise_var="learn").fit(problem, observations=(sensors[:, None], readings, "learn"))
mean, std = solver.predict([x], return_std=True)
inside = np.abs(mean - u(x)) < 1.96 * std
print(
    f"relative error {np.linalg.norm(mean - u(x)) / np.linalg.norm(u(x)):.3f}, {inside.mean():.0%} inside of the band"
)

# %%
# The derivative, which nobody measured, comes with its own band.

slope, slope_std = solver.predict([x], derivative={0: 1}, return_std=True)
fig, axes = plt.subplots(2, 1, figsize=(7, 6), layout="constrained", sharex=True)
plot_band(x, mean, std, ax=axes[0], label="posterior")
axes[0].plot(x, u(x), "k--", lw=1, label="exact")
axes[0].plot(sensors, readings, "o", color="tab:red", ms=5, label="sensors")
axes[0].set(ylabel="u")
axes[0].legend(frameon=False)
plot_band(x, slope, slope_std, ax=axes[1])
axes[1].plot(x, 3 * np.cos(3 * x) - 4.4 * np.sin(11 * x) + 0.3, "k--", lw=1)
axes[1].set(xlabel="x", ylabel="derivative of u")
