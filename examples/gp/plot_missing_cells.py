r"""
Fill in missing cells, with error bars
======================================

A terrain of which four cells in five are hidden, some as a whole block, comes back with the doubt about each cell.

The heights are :math:`y = m + f + \varepsilon` with :math:`f \sim N(0, K_\text{south} \otimes K_\text{east})`; hidden
cells are NaN. With the observed cells selected by a mask :math:`M`, the posterior mean needs one linear system,

.. math:: (I + R^\top M R)\, c = R^\top M (y - m) / \sigma, \qquad f = \sigma R c, \qquad
          \sigma^2 R R^\top = K_\text{south} \otimes K_\text{east},

which conjugate gradients solve with products along the axes only.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

from structkit.datasets import block_mask, random_mask
from structkit.gp import GridGP, Matern
from structkit.plotting import plot_band

# %%
# Every third cell of an elevation model that ships with matplotlib: 115 x 135 cells of 90 m. A block of 1.8 km is
# hidden, and four fifths of all other cells.

heights = get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)[::3, ::3]
block = ~block_mask(heights.shape, n_blocks=1, size=20, random_state=3)
observed = random_mask(heights.shape, hidden=0.8, random_state=0) & ~block
south, east = (0.09 * np.arange(n) for n in heights.shape)  # kilometres

# %%
# Lengthscales, variance, noise and mean are learned from the observed cells. Of the two variances only the product
# counts, so one of them is fixed; eight simulated data sets serve the estimate of the evidence.

kernels = [Matern(nu=1.5), Matern(nu=1.5).fix("variance")]
y = np.where(observed, heights, np.nan)
model = GridGP(kernels, n_probes=8, random_state=0).fit([south, east], y)
mean, std = model.predict(return_std=True, include_noise=True)

print(f"method {model.method_}, converged {model.converged_} after {model.n_iter_} iterations")
first, second = (k.lengthscale for k in model.kernels_)
print(f"lengthscales {first:.2f} km and {second:.2f} km, noise {model.noise_var_**0.5:.0f} m")
print(f"log evidence {model.log_evidence_:.0f}, standard error {model.log_evidence_se_:.0f}")
for name, cells in (("scattered hidden cells", ~observed & ~block), ("the hidden block", block)):
    error = (mean - heights)[cells]
    inside = np.abs(error) < 1.96 * std[cells]
    rmse = np.sqrt(np.mean(error**2))
    print(f"{name}: error {rmse:.0f} m, {100 * inside.mean():.0f} % inside of the 95 % bands")

# %%
# The standard deviation knows the mask: small beside observed cells, larger where few are near, largest inside of the
# block, where the mean returns to that of the whole terrain. Plains and mountains share one variance, so that the bands
# are wide for the former and narrow for the latter.

fig = plt.figure(figsize=(10.5, 6.2), layout="constrained")
names = ["truth", "observed", "filled in", "standard deviation"]
axes = fig.subplot_mosaic([names, ["line"] * 4], height_ratios=(1.3, 1))
style = {"extent": (0, east[-1], south[-1], 0), "interpolation": "nearest"}
heights_style = style | {"cmap": "gist_earth", "vmin": heights.min(), "vmax": heights.max()}
for name, image in zip(names, (heights, y, mean), strict=False):
    picture = axes[name].imshow(image, **heights_style)
doubt = axes[names[3]].imshow(std, cmap="cividis", **style)
for name in names:
    axes[name].set(title=name, xticks=[], yticks=[], facecolor="0.15")
fig.colorbar(picture, ax=[axes[n] for n in names[:3]], label="height (m)", location="bottom", aspect=60)
fig.colorbar(doubt, ax=axes[names[3]], label="standard deviation (m)", location="bottom", aspect=19)

row = np.flatnonzero(block.any(1)).mean().astype(int)
seen = observed[row]
ax = plot_band(east, mean[row], std[row], ax=axes["line"], label="filled in, 95 % band")
ax.plot(east, heights[row], "k--", lw=1, label="truth")
ax.plot(east[seen], heights[row][seen], "k.", ms=6, label="observed")
ax.axvspan(*east[np.flatnonzero(block[row])[[0, -1]]], color="0.92", zorder=0, label="block")
ax.set(title=f"along the line {south[row]:.1f} km south", xlabel="east (km)", ylabel="height (m)")
ax.set_xlim(0, east[-1])
ax.legend(frameon=False, loc="upper right")
plt.show()

# %%
# What to try next: a rougher kernel (``nu=0.5``), ``model.sample`` for terrains that the observations allow, or
# `FreeCovariance <structkit.gp.FreeCovariance>` for a third axis without coordinates.
