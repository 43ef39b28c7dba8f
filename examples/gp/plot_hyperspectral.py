r"""
Restore three quarters of a hyperspectral image
===============================================

An image of farmland in 40 spectral bands is filled in from one value in four, each with an error bar that holds.

Rows and columns of pixels have coordinates, bands do not: their covariance :math:`B` is learned, and so is a noise
variance for each band,

.. math:: y = m_b + f + \varepsilon, \qquad f \sim N(0,\; K_\text{row} \otimes K_\text{column} \otimes B), \qquad
          \varepsilon_b \sim N(0, \sigma_b^2).

A band that is hidden at a pixel is seen through the other bands there and through the pixels around.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.interpolate import griddata

from structkit.datasets import indian_pines, random_mask
from structkit.gp import FreeCovariance, GridGP, Matern
from structkit.plotting import plot_correlation

# %%
# A part of the Indian Pines image, 64 x 64 pixels and every fifth band, 163840 cells in all.

image = indian_pines()
rows, columns, bands = slice(40, 104), slice(40, 104), slice(2, 200, 5)
cube, wavelengths = image.cube[rows, columns, bands], image.wavelengths[bands]
observed = random_mask(cube.shape, hidden=0.75, random_state=0)
pixels = np.arange(64.0)

# %%
# Three lines, and what most people would try: linear interpolation of each band.

kernels = [Matern(nu=1.5, lengthscale=5.0), Matern(nu=1.5, lengthscale=5.0).fix("variance"), FreeCovariance()]
model = GridGP(kernels, mean="per-level", mean_axis=2, noise_axis=2, n_probes=4, random_state=0)
filled, std = model.fit([pixels, pixels, None], cube, mask=observed).predict(return_std=True, include_noise=True)

grid = np.stack(np.meshgrid(pixels, pixels, indexing="ij"), axis=-1)
interpolated = cube.copy()
for b in range(cube.shape[2]):
    seen = observed[..., b]
    linear, nearest = (griddata(grid[seen], cube[seen, b], grid[~seen], how) for how in ("linear", "nearest"))
    interpolated[~seen, b] = np.where(np.isnan(linear), nearest, linear)

hidden = ~observed
for name, guess in (("interpolation", interpolated), ("GridGP", filled)):
    print(f"{name:14s} error on the hidden cells {np.sqrt(np.mean((guess - cube)[hidden] ** 2)):.0f}")
inside = np.abs(filled - cube)[hidden] < 1.96 * std[hidden]
print(f"{100 * inside.mean():.1f} % of the hidden cells inside of the 95 % bands; converged: {model.converged_}")

# %%
# One band in pictures, the spectrum of one pixel, and what the model has learned about the bands: near infrared (bands
# 7 to 15), in which plants shine, goes by itself, and visible light (0 to 6) with the longer waves.

fig = plt.figure(figsize=(10.5, 7.4), layout="constrained")
names = ["truth", "observed", "filled in", "standard deviation"]
axes = fig.subplot_mosaic([names, ["spectrum", "spectrum", "bands", "bands"]], height_ratios=(1, 1.25))
band, pixel = 15, (20, 30)
low, high = np.percentile(cube[..., band], [1, 99])
shown = (cube, np.where(observed, cube, np.nan), filled)
for name, values in zip(names, shown, strict=False):
    picture = axes[name].imshow(values[..., band], vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
doubt = axes[names[3]].imshow(std[..., band], cmap="cividis", interpolation="nearest")
for name in names:
    axes[name].set(title=name, xticks=[], yticks=[], facecolor="0.25")
label = f"radiance at {wavelengths[band]:.0f} nm (scaled)"
fig.colorbar(picture, ax=[axes[n] for n in names[:3]], label=label, location="bottom", aspect=60)
fig.colorbar(doubt, ax=axes[names[3]], label="standard deviation", location="bottom", aspect=19)

order, here = np.argsort(wavelengths), observed[pixel]
mean, sd = filled[pixel][order], 1.96 * std[pixel][order]
ax = axes["spectrum"]
ax.fill_between(wavelengths[order], mean - sd, mean + sd, color="#0072B2", alpha=0.25, lw=0)
ax.plot(wavelengths[order], mean, color="#0072B2", label="filled in, 95 % band")
ax.plot(wavelengths[~here], cube[pixel][~here], "o", mfc="w", mec="k", ms=4, label="hidden")
ax.plot(wavelengths[here], cube[pixel][here], "ko", ms=4, label="observed")
ax.set(title="spectrum of one pixel", xlabel="wavelength (nm)", ylabel="radiance (scaled)")
ax.legend(frameon=False)
plot_correlation(model.kernels_[2], ax=axes["bands"]).set(title="learned correlations", xlabel="band", ylabel="band")
plt.show()

# %%
# What to try next: the whole image with ``make demo``; hide blocks with :func:`~structkit.datasets.block_mask`; clouds,
# ``size=(12, 12, None)``, hide a pixel in all bands.
