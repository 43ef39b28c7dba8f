r"""
Coordinates that were never measured
====================================

Soil temperatures at six depths are predicted at other depths and two days ahead, each mode with a process that suits
it.

Heat that flows into the ground is a damped wave, :math:`T = T_0 + A e^{-z / \delta} \sin(\omega t - z / \delta)`: two
functions of depth times two of time. A `FunctionalCP <structkit.tucker.FunctionalCP>` model takes one process per mode,
here a Matern process for depth and one that repeats every day, with a shape that may drift, for time.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.plotting import plot_band, plot_surface
from structkit.statespace import quasi_periodic_sde
from structkit.tucker import FunctionalCP

# %%
# Sensors at six depths report at irregular half hours for eight days, two of them not before the third day.

rng = np.random.default_rng(0)
depths = np.array([0.02, 0.05, 0.10, 0.20, 0.40, 0.80])


def soil(z, t):
    """Temperature in degrees Celsius at depth z (m) and time t (h)."""
    return 14 + 8 * np.exp(-z / 0.12) * np.sin(2 * np.pi * t / 24 - z / 0.12)


X = np.column_stack([rng.choice(depths, 900), np.round(2 * rng.uniform(0, 192, 900)) / 2])
X = X[(X[:, 1] > 72) | ~np.isin(X[:, 0], depths[[1, 3]])]
y = soil(*X.T) + 0.3 * rng.standard_normal(len(X))

time = quasi_periodic_sde(period=24.0, lengthscale=1.0, variance=1.0, decay=300.0, nu=0.5, n_harmonics=2)
model = FunctionalCP(2, kernel=["matern52", time], mean="constant", tol=1e-3, random_state=0).fit(X, y)
print(f"{len(X)} readings; noise {model.noise_var_**0.5:.2f} °C (truth 0.30), components in use: {model.rank_}")

# %%
# Depths between the sensors and a forecast from day 8 to day 10: the bands widen where nothing was measured.

t = np.linspace(120, 240, 400)
fig, axes = plt.subplots(2, 1, figsize=(9.5, 6), sharex=True, layout="constrained")
for ax, z in zip(axes, (0.035, 0.14), strict=True):
    mean, std = model.predict(np.column_stack([np.full(len(t), z), t]), return_std=True)
    plot_band(t / 24, mean, std, ax=ax, label="posterior, 95 % band")
    ax.plot(t / 24, soil(z, t), "k--", lw=1, label="truth")
    ax.axvspan(8, 10, color="0.93", zorder=0)
    ax.set(ylabel="temperature (°C)", title=f"at {100 * z:g} cm, between the sensors")
    inside = np.abs(mean - soil(z, t)) < 1.96 * std
    error = np.sqrt(np.mean((mean - soil(z, t)) ** 2))
    print(f"{100 * z:g} cm: error {error:.2f} °C, {inside.mean():.0%} of the truth inside of the band")
axes[0].legend(frameon=False, loc="upper left", ncols=2)
axes[1].set_xlabel("day")
plt.show()

# %%
# The whole surface, from the ground to a metre and beyond the last reading.

panels = plot_surface(model, modes=(1, 0), coords=[np.linspace(0, 240, 160), np.linspace(0, 1, 60)], X=X)
for panel in panels:
    panel.set(xlabel="time (h)", ylabel="depth (m)", ylim=(1, 0))
    panel.label_outer()
panels[0].set_title("posterior mean (°C)")
panels[1].set_title("standard deviation (°C)")
plt.show()

# %%
# What to try next: ``kernel="discrete"`` for a mode of stations or people, whose unseen levels get what all have in
# common.
