r"""
Angles between the points of a grid
===================================

Two waves per axis reach a three-dimensional array from directions that lie on no grid; the grid finds them roughly, and
`refine_offgrid` exactly.

Atoms are responses of line arrays, :math:`a(u)_k = e^{j \pi u k} / \sqrt{24}`, complex, with :math:`u` the sine of an
angle. The dictionary has 64 of them per axis.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import multi_mode_product
from structkit.sbl import KroneckerSBL, nmse, refine_offgrid, steering_matrix

# %%
# Measurements at 20 dB.

rng = np.random.default_rng(3)
true = [np.array([-0.613, 0.221]), np.array([-0.104, 0.487]), np.array([0.058, 0.731])]
grid = np.linspace(-1, 1, 64, endpoint=False)


def respond(u):
    return steering_matrix(24, u)


x = (rng.standard_normal((2, 2, 2, 2)) @ [1, 1j]) / np.sqrt(2)
clean = multi_mode_product(x, [respond(u) for u in true])
noise_var = np.mean(np.abs(clean) ** 2) / 100
y = clean + np.sqrt(noise_var / 2) * (rng.standard_normal((*clean.shape, 2)) @ [1, 1j])

# %%
# On the grid, several neighbours stand for one wave. The refinement merges them to peaks, fits the angles by least
# squares with the coefficients eliminated, and deletes what the data do not pay for.

factors = [respond(grid)] * 3
model = KroneckerSBL().fit(factors, y)
fit = refine_offgrid(model, y, [respond] * 3, [grid] * 3)

print(f"on the grid: {[len(s) for s in model.support_]} atoms, error {nmse(model.predict(factors), clean):.1e}")
refined = multi_mode_product(fit.coef, [respond(u) for u in fit.parameters])
print(f"off the grid: {[len(u) for u in fit.parameters]} atoms, error {nmse(refined, clean):.1e}")
for found, wanted in zip(fit.parameters, true, strict=True):
    print(f"found {found.round(5).tolist()}, true {wanted.tolist()}")

# %%
# Energy of the grid's columns, the true angles, and the refined ones.

fig, axes = plt.subplots(3, 1, figsize=(7.5, 6.6), layout="constrained", sharex=True, sharey=True)
for mode, ax in enumerate(axes):
    energy = np.abs(np.moveaxis(model.coef_active_, mode, 0).reshape(len(model.support_[mode]), -1)) ** 2
    level = np.sqrt(energy.sum(axis=1))
    ax.vlines(grid[model.support_[mode]], 0, level / level.max(), color="#0072B2", lw=3, label="columns of the grid")
    for k, u in enumerate(true[mode]):
        ax.axvline(u, color="#D55E00", ls="--", lw=1, label=None if k else "true")
    ax.plot(fit.parameters[mode], np.full(len(fit.parameters[mode]), 1.06), "v", color="k", label="refined")
    ax.set(xlabel=f"sine of the angle, axis {mode}", ylim=(0, 1.5))
axes[0].set_ylabel("magnitude, largest = 1")
axes[0].legend(frameon=False, fontsize=8, loc="upper right")
plt.show()

# %%
# What to try next: several snapshots, other atoms (any smooth function of one parameter), less noise.
