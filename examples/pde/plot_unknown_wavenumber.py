"""
An unknown wavenumber
=====================

From a few noisy readings of a wave in a driven medium, its wavenumber is learned to four digits, with a standard error.

A coefficient of the equation may be a :class:`~structkit.pde.Parameter`. Its evidence has many peaks; the solver looks
at the whole range between the bounds before it climbs.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.pde import PDE, D, GPSolver, Parameter
from structkit.plotting import plot_band

k2 = 27.0**2


def u(x):
    return np.sin(27 * x) + 0.5 * np.sin(12 * x) + 0.2 * np.cos(3 * x)


def f(x):
    return 0.5 * (k2 - 144) * np.sin(12 * x) + 0.2 * (k2 - 9) * np.cos(3 * x)


rng = np.random.default_rng(0)
sensors = np.sort(rng.uniform(0, 1.5, 25))
readings = u(sensors) + 0.01 * np.std(u(sensors)) * rng.standard_normal(25)

unknown = Parameter("k2", 400.0, bounds=(100.0, 2000.0))
problem = PDE(D(0, 2) + unknown * D(0, 0), domain=[(0, 1.5)], source=f)
solver = GPSolver().fit(problem, observations=(sensors[:, None], readings, "learn"))
found = solver.parameters_["k2"]
print(f"k2 = {found.value:.2f} +- {found.standard_error:.2f}, the truth is {k2:.2f}")

# %%
# The wave between the sensors, with its band.

x = np.linspace(0, 1.5, 600)
mean, std = solver.predict([x], return_std=True)
fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
plot_band(x, mean, std, ax=ax, label="posterior")
ax.plot(x, u(x), "k--", lw=1, label="exact")
ax.plot(sensors, readings, "o", color="tab:red", ms=5, label="sensors")
ax.set(xlabel="x", ylabel="u", title=f"$k^2$ = {found.value:.2f} ± {found.standard_error:.2f}")
ax.legend(frameon=False, loc="lower left")
