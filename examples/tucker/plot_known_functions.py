r"""
Find the functions behind scattered entries
===========================================

From 4000 noisy entries, one in two hundred of the grid, the latent functions are found again, with bands that hold.

The entries follow a CP model with real coordinates,

.. math:: y_n = \sum_{r=1}^{2} w_r \, u_{1r}(x_{n1}) \, u_{2r}(x_{n2}) \, u_{3r}(x_{n3}) + \varepsilon_n.

Only the products are determined: every function is found up to its sign and scale, which the weights take.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.plotting import plot_factors, plot_predicted
from structkit.tucker import FunctionalCP

# %%
# Two components, three modes with units of their own, noise a tenth of the signal. Coordinates are recorded to a
# quarter of an hour, 0.1 km and 0.5 K: 97 x 101 x 81 possible entries.

rng = np.random.default_rng(1)
low, high, step = np.array([[0.0, 24.0, 0.25], [-5.0, 5.0, 0.1], [280.0, 320.0, 0.5]]).T
X = np.round(rng.uniform(low, high, (5000, 3)) / step) * step
truth = [
    lambda hour: np.stack([1 + np.sin(2 * np.pi * hour / 24), np.cos(2 * np.pi * hour / 12)], axis=1),
    lambda km: np.stack([np.exp(-((km / 2) ** 2)), np.tanh(km)], axis=1),
    lambda kelvin: np.stack([(kelvin - 270) / 30, np.sin(kelvin / 8)], axis=1),
]
f = np.prod([u(x) for u, x in zip(truth, X.T, strict=True)], axis=0).sum(axis=1)
noise = 0.1 * f.std()
y = f + noise * rng.standard_normal(len(f))
train, new = slice(0, 4000), slice(4000, None)

# %%
# The rank is set too high on purpose. Two components remain, and no main effects are asked for, because the truth has
# none; the noise is learned.

model = FunctionalCP(3, kernel="matern32", mean="zero", random_state=0).fit(X[train], y[train])
mean, std = model.predict(X[new], return_std=True, include_noise=True)
print(f"components in use: {model.rank_} of {model.rank}, weights {np.round(model.core_, 2)}")
print(f"noise: {model.noise_var_**0.5:.4f}, truth {noise:.4f}")
error = np.sqrt(np.mean((mean - f[new]) ** 2)) / noise
print(f"error of the mean at new entries: {error:.2f} standard deviations of the noise")

# %%
# Components come in any order. To draw the truth over them, each true function is paired with the component that it
# resembles in all modes, and stretched to it.

grids = [np.linspace(a, b, 300) for a, b in zip(low, high, strict=True)]
found = [model.factor(k, t) for k, t in enumerate(grids)]
true = [u(t) for u, t in zip(truth, grids, strict=True)]


def likeness(a, b):
    """Absolute cosines between the columns of two matrices."""
    return np.abs((a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0)))


used = np.argsort(-np.abs(model.core_))[: model.rank_]
match = used[np.prod([likeness(u, v[:, used]) for u, v in zip(true, found, strict=True)], axis=0).argmax(axis=1)]
fig, axes = plt.subplots(2, 2, figsize=(10, 7.2), layout="constrained")
units = ("time of day (h)", "distance (km)", "temperature (K)")
for k, (ax, t, unit) in enumerate(zip(axes.flat, grids, units, strict=False)):
    plot_factors(model, k, t, functions=match, ax=ax)
    for r, component in enumerate(match):
        u, v = true[k][:, r], found[k][:, component]
        stretched = u * (u @ v) / (u @ u)
        ax.plot(t, stretched, "k--", lw=1, label="truth" if r == 0 else None)
        std_k = model.factor(k, t, return_std=True)[1][:, component]
        inside = np.mean(np.abs(stretched - v) < 1.96 * std_k)
        print(f"mode {k}, component {r}: likeness {likeness(u[:, None], v[:, None])[0, 0]:.4f}, {inside:.0%} in band")
    ax.set(xlabel=unit, ylabel="latent function")
axes[0, 0].legend(frameon=False, fontsize="small")
plot_predicted(y[new], mean, std, ax=axes[1, 1])
plt.show()

# %%
# What to try next: `sample_functional_tensor <structkit.datasets.sample_functional_tensor>` draws such tensors, also
# with a full core and with a function of no finite rank; `FunctionalTucker <structkit.tucker.FunctionalTucker>` fits
# them.
