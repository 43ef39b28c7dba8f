r"""
Labelled grids: xarray in, xarray out
=====================================

A lake's temperatures by date and depth, with sensors that failed: a labelled array goes in, another comes out.

The coordinates of the axes are those of the model, NaN is missing, and dates count in days. The model is
:math:`y \sim N(m, K_\text{date} \otimes K_\text{depth} + \sigma^2 I)`, with length-scales in days and metres.

It needs xarray: ``pip install "structkit[xarray]"``.
"""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from structkit.gp import GridGP, Matern, SquaredExponential

# %%
# A summer: warm water above, cold below, a mixed layer that grows, and weather. Twelve sensors hang from a buoy.

rng = np.random.default_rng(0)
date = np.datetime64("2024-06-01") + np.arange(0, 92)
depth = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0])
day = np.arange(92.0)
layer = 4 + 4 * day / 92 + 1.5 * np.sin(2 * np.pi * day / 17)
surface = 18 + 5 * np.sin(np.pi * (day + 10) / 110) + np.convolve(rng.standard_normal(100), np.ones(9) / 4, "valid")
truth = 7 + (surface - 7)[:, None] / (1 + np.exp((depth - layer[:, None]) / 1.5))
readings = truth + 0.3 * rng.standard_normal(truth.shape)
readings[20:34, 3:7] = np.nan  # a cable
readings[50:, 8] = np.nan  # a sensor
readings[62:70] = np.nan  # the buoy was ashore
lake = xr.DataArray(
    readings, coords={"date": date, "depth": depth}, dims=["date", "depth"], name="temperature", attrs={"units": "°C"}
)

# %%
# Kernels in days and metres, a fit, and a prediction on another grid, which is a labelled array without values.

model = GridGP([Matern(2.5, lengthscale=5.0), SquaredExponential(3.0)], random_state=0).fit(lake)
fine = xr.DataArray(coords={"date": date, "depth": np.arange(0.0, 20.25, 0.25)}, dims=["date", "depth"])
mean, std = model.predict(fine, return_std=True)
lost = lake.isnull().values
error = np.sqrt(np.mean((model.predict().values - truth)[lost] ** 2))
print(f"{lost.mean():.0%} of the readings are lost; the error there is {error:.2f} °C")
print(f"noise {np.sqrt(model.noise_var_):.2f} °C, mean of the top metre in July: ", end="")
print(f"{mean.sel(date='2024-07', depth=slice(0, 1)).mean().item():.1f} °C")

# %%
# Selecting, averaging and plotting go on with names. The last panel is where the model is unsure: under the failed
# cable, and in the week ashore.

fig, axes = plt.subplots(3, 1, figsize=(8, 6.6), layout="constrained", sharex=True, sharey=True)
limits = {"vmin": 6, "vmax": 25, "cmap": "viridis", "shading": "nearest", "rasterized": True}
axes[0].pcolormesh(lake["date"], lake["depth"], lake.T, **limits)
shown = axes[1].pcolormesh(mean["date"], mean["depth"], mean.T, **limits)
axes[1].contour(mean["date"], mean["depth"], mean.T, levels=[10, 15, 20], colors="w", linewidths=0.8)
unsure = axes[2].pcolormesh(std["date"], std["depth"], std.T, cmap="cividis", shading="nearest", rasterized=True)
fig.colorbar(shown, ax=axes[:2], label="temperature (°C)", pad=0.02)
fig.colorbar(unsure, ax=axes[2], label="standard\ndeviation (°C)", pad=0.02)
for ax, title in zip(axes, ("readings", "filled in, with isotherms", "how sure"), strict=True):
    ax.set(title=title, ylabel="depth (m)", facecolor="0.88")
    ax.set_xticks(date[[0, 30, 61]], ["1 June", "1 July", "1 August"])
axes[0].set_ylim(20.5, -0.5)
plt.show()

# %%
# What to try next: ``model.sample(50)``, draws with an axis ``sample``, for the depth of an isotherm with its error;
# `FunctionalCP <structkit.tucker.FunctionalCP>`, which takes the same array.
