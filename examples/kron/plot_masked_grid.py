r"""
Fill in terrain from one pixel in ten
=====================================

A masked operator keeps the rows and columns of the hidden cells, and conjugate gradients fill them in within a second.

The smoothest surface through the observed heights minimises :math:`\|L z\|^2`, where

.. math:: L = D_1 \otimes I + I \otimes D_2

is the Laplacian of the grid, a Kronecker *sum* of two sparse matrices. With :math:`Q = L^\top L`, hidden cells
:math:`h` and observed cells :math:`o`, its heights solve :math:`Q_{hh} z_h = -Q_{ho} z_o`.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from matplotlib.cbook import get_sample_data

from structkit.kron import KroneckerSum, Masked, cg

heights = get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)  # metres; ships with matplotlib
observed = np.random.default_rng(0).random(heights.shape) < 0.1


# %%
# The Laplacian is built from one second difference per axis, the blocks :math:`Q_{hh}` and :math:`Q_{ho}` by two masks.
# Nothing of the size of the grid squared is formed.


def second_difference(n):
    D = sp.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n))
    return (D.T @ D).tocsr()


L = KroneckerSum(*(second_difference(n) for n in heights.shape))
Q = L.T @ L
result = cg(Masked(Q, ~observed), -(Masked(Q, ~observed, observed) @ heights[observed]), tol=1e-6)
print(f"{result.status} after {result.n_iter} iterations, relative residual {result.residual:.1e}")

filled = heights.copy()
filled[~observed] = result.value
error = filled - heights
print(f"root mean square error of the hidden heights: {np.sqrt(np.mean(error[~observed] ** 2)):.1f} m")

# %%
fig, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
style = {"cmap": "gist_earth", "vmin": heights.min(), "vmax": heights.max(), "interpolation": "nearest"}
panels = {"observed, 10 %": np.where(observed, heights, np.nan), "filled in": filled, "truth": heights}
for ax, (title, image) in zip(axes.flat, panels.items(), strict=False):
    picture = ax.imshow(image, **style)
    ax.set(title=title, xticks=[], yticks=[], facecolor="0.15")
difference = axes[1, 1].imshow(error, cmap="RdBu_r", vmin=-60, vmax=60)
axes[1, 1].set(title="filled in minus truth", xticks=[], yticks=[])
fig.colorbar(picture, ax=axes[0], label="height (m)")
fig.colorbar(difference, ax=axes[1], label="error (m)")
plt.show()

# %%
# What to try next: hide a block instead of scattered pixels and watch the number of iterations; give ``cg`` a
# preconditioner; or use ``GridGP``, which learns how smooth the surface is and returns error bars.
