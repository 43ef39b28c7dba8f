r"""
Regression on a complete grid
=============================

Four weeks of hourly readings at thirty places become a curve with an error band at a place without a sensor.

The model of the readings :math:`y` at all times and places is

.. math:: y = m + f + \varepsilon, \qquad f \sim N(0, K_\text{time} \otimes K_\text{place}), \qquad
          \varepsilon \sim N(0, \sigma^2 I),

with one kernel per axis. The covariance of the 20160 readings would fill 3.3 GB; the model is exact and keeps only its
two factors, 672 x 672 and 30 x 30.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import sample_grid
from structkit.gp import GridGP, Matern, Periodic, SquaredExponential
from structkit.plotting import plot_band

# %%
# The temperatures are drawn from such a model, so that the truth is known: a daily rhythm that changes its shape from
# week to week, weather, and places along a street of 10 km. Three more places have no sensor. Spacing is free on every
# axis.

hours = np.arange(24 * 28.0)
places = np.sort(np.random.default_rng(0).uniform(0, 10, 30))
unseen = np.array([2.9, 5.1, 7.4])
rhythm = SquaredExponential(lengthscale=120.0) * Periodic(lengthscale=1.2, period=24.0)
weather = Matern(nu=1.5, lengthscale=8.0)
kernels = [6.0 * rhythm + weather, SquaredExponential(lengthscale=1.0)]
truth = sample_grid(kernels, [hours, np.append(places, unseen)], noise_var=0.25, mean=15.0, random_state=6)
y = truth.y[:, : places.size]

# %%
# The model starts from other values and learns all but the period, which is known. Of the variances only the product
# counts: one per term of the sum is free.

daily = SquaredExponential(lengthscale=100.0) * Periodic(period=24.0).fix("period", "variance")
start = [daily + Matern(nu=1.5), SquaredExponential(lengthscale=3.0).fix("variance")]
model = GridGP(start, random_state=0).fit([hours, places], y)
mean, std = model.predict([None, unseen], return_std=True)

# %%
# What it learned, beside the truth:

learned_rhythm, learned_weather = model.kernels_[0].kernels
for name, found, true in (
    ("rhythm: memory (h)", learned_rhythm.kernels[0].lengthscale, 120.0),
    ("rhythm: variance (degC^2)", learned_rhythm.kernels[0].variance, 6.0),
    ("weather: lengthscale (h)", learned_weather.lengthscale, 8.0),
    ("weather: variance (degC^2)", learned_weather.variance, 1.0),
    ("place: lengthscale (km)", model.kernels_[1].lengthscale, 1.0),
    ("noise variance (degC^2)", model.noise_var_, 0.25),
    ("mean (degC)", model.mean_, 15.0),
):
    print(f"{name:28s} learned {found:6.2f}   true {true:6.2f}")
inside = np.abs(mean - truth.function[:, places.size :]) < 1.96 * std
print(f"\n{model.method_}: {100 * inside.mean():.1f} % of the unseen truth inside of the 95 % bands")

# %%
# In the pictures the sensors are marked at the right edge, and the line is the place that is drawn below.

fine = np.linspace(0, 10, 201)
field, doubt = model.predict([hours[:168], fine], return_std=True)
fig = plt.figure(figsize=(9, 6.4), layout="constrained")
axes = fig.subplot_mosaic([["field", "doubt"], ["line", "line"]], height_ratios=(1.1, 1))
for ax, values, cmap, title in (
    (axes["field"], field, "viridis", "posterior mean (°C)"),
    (axes["doubt"], doubt, "cividis", "standard deviation (°C)"),
):
    picture = ax.pcolormesh(hours[:168] / 24, fine, values.T, cmap=cmap, rasterized=True)
    ax.plot(np.full_like(places, 0.985), places, "<", color="w", ms=4, transform=ax.get_yaxis_transform())
    ax.axhline(unseen[1], color="w", lw=1, ls="--")
    ax.set(title=title, xlabel="time (days)", ylabel="place (km)", xlim=(0, 7), ylim=(0, 10))
    fig.colorbar(picture, ax=ax)
week, days = slice(0, 168), hours[:168] / 24
ax = plot_band(days, mean[week, 1], std[week, 1], ax=axes["line"], label="learned, no sensor here")
ax.plot(days, truth.function[week, places.size + 1], color="k", lw=1, ls="--", label="truth")
nearest = np.argmin(np.abs(places - unseen[1]))
name = f"sensor at {places[nearest]:.1f} km"
ax.plot(days, y[week, nearest], ".", color="#E69F00", ms=4, label=name)
ax.set(xlabel="time (days)", ylabel="temperature (°C)", title=f"at {unseen[1]} km")
ax.set(xlim=(0, 7), ylim=(7, None))
ax.legend(frameon=False, ncols=3, loc="lower center")
plt.show()

# %%
# What to try next: ``model.sample`` for whole fields that the data allow, ``include_noise=True`` for bands that new
# readings fall into, or a NaN wherever a reading is missing.
