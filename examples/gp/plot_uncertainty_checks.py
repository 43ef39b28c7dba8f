r"""
Check that error bars mean what they say
========================================

Over many data sets, a band of probability p contains the truth in a share p of the cells, in holes of the data too.

For data that come from the model, the error of the posterior mean divided by the posterior standard deviation is a
standard normal number at every cell, so that

.. math:: P\big(|f_i - \mu_i| \le z_p\, s_i\big) = p, \qquad z_p = \Phi^{-1}\big(\tfrac{1 + p}{2}\big),

whatever is hidden. We draw data sets, hide half of the cells at random and a block besides, and count.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import block_mask, random_mask, sample_grid
from structkit.gp import GridGP, Matern, SquaredExponential
from structkit.plotting import plot_calibration, plot_posterior_line

# %%
# The hyperparameters are those of the truth. The ``"iterative"`` method finds standard deviations from draws, the
# ``"dense"`` one exactly; one model of each kind per data set.

t, x = np.linspace(0, 8, 36), np.linspace(0, 6, 30)
kernels = [Matern(nu=1.5, lengthscale=1.5), SquaredExponential(lengthscale=0.8)]
block = ~block_mask((36, 30), n_blocks=1, size=(9, 10), random_state=4)
truth, mean, std, masks = [], {"dense": [], "iterative": []}, {"dense": [], "iterative": []}, []
for seed in range(40):
    sample = sample_grid(kernels, [t, x], noise_var=0.05, random_state=seed)
    mask = random_mask((36, 30), hidden=0.5, random_state=seed) & ~block
    truth.append(sample.function)
    masks.append(mask)
    for method in mean:
        model = GridGP(kernels, noise_var=0.05, mean="zero", learn_kernels=False, method=method)
        model.set_params(n_samples=32, random_state=seed)
        m, s = model.fit([t, x], np.where(mask, sample.y, np.nan)).predict(return_std=True)
        mean[method].append(m)
        std[method].append(s)

truth, masks = np.array(truth), np.array(masks)
places = {"observed": masks, "scattered hidden": ~masks & ~block, "block": np.broadcast_to(block, masks.shape)}
for method in mean:
    z = np.abs(truth - mean[method]) / std[method]
    shares = ", ".join(f"{name} {100 * np.mean(z[cells] < 1.96):.1f} %" for name, cells in places.items())
    print(f"{method:9s}  inside of the 95 % band: {shares}")

# %%
# A band says how far off each cell may be; samples say how cells are off together. Each is a function that the data
# allow; the samples agree at the observations and part ways in the hole.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1.6, 1), layout="constrained")
row = int(np.flatnonzero(block.any(1)).mean())
for path in model.sample(5, random_state=1)[:, row]:
    axes[0].plot(x, path, color="#E69F00", lw=1)
plot_posterior_line(model, axis=1, index=[row], ax=axes[0])
axes[0].plot(x, truth[-1][row], "k--", lw=1, label="truth")
axes[0].plot([], [], color="#E69F00", lw=1, label="samples")
axes[0].axvspan(*x[np.flatnonzero(block[row])[[0, -1]]], color="0.93", zorder=0, label="block")
axes[0].set(title="a line through the block, last data set", xlabel="x", ylabel="f", xlim=(0, 6))
axes[0].legend(frameon=False, fontsize=8, ncols=2)

for (name, cells), color in zip(places.items(), ("#009E73", "#0072B2", "#D55E00"), strict=True):
    hits = (truth[cells], np.array(mean["iterative"])[cells], np.array(std["iterative"])[cells])
    plot_calibration(*hits, ax=axes[1], color=color).lines[-1].set_label(name)
handles = {line.get_label(): line for line in axes[1].lines}
axes[1].legend(handles.values(), handles.keys(), frameon=False, fontsize=8)
axes[1].set_title("coverage over 40 data sets, iterative")
plt.show()

# %%
# What to try next: learn the hyperparameters too, which costs a little coverage where data are few; noise in the truth
# and ``include_noise=True``; a wrong kernel, to see what miscalibration looks like.
