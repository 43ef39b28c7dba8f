r"""
Learn how sensors go together
=============================

Six sensors have no coordinate; the model learns their correlations and fills one sensor's outage from the others.

The readings :math:`y_{ts}` at time :math:`t` of sensor :math:`s` are

.. math:: y = f + \varepsilon, \qquad f \sim N(0, K_\text{time} \otimes B),

where :math:`K_\text{time}` is a kernel and :math:`B` any covariance between the sensors, positive or negative. Both are
learned from the readings that there are.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import block_mask, sample_grid
from structkit.gp import FreeCovariance, GridGP, Matern
from structkit.plotting import plot_band, plot_correlation

# %%
# Two hidden sources drive the sensors; C and F see both, with opposite signs. Each outage lasts for 30 hours.

names = list("ABCDEF")
loadings = np.array([[1.0, 0.0], [1.0, 0.0], [0.9, -0.6], [0.0, 1.0], [0.0, 1.0], [-0.8, 0.5]])
gains = np.array([1.0, 2.0, 1.5, 1.0, 1.5, 2.0])
B = np.multiply.outer(gains, gains) * (loadings @ loadings.T + 0.08 * np.eye(6))

hours = np.arange(360.0)
kernels = [Matern(nu=1.5, lengthscale=6.0), FreeCovariance(matrix=B)]
truth = sample_grid(kernels, [hours, None], noise_var=0.02, random_state=1)
observed = block_mask(truth.y.shape, n_blocks=24, size=(30, 1), random_state=5)
y = np.where(observed, truth.y, np.nan)
print(f"{100 * (1 - observed.mean()):.0f} % of the readings are missing")

# %%
# ``None`` stands for coordinates that an axis does not have. For comparison, the same model with a diagonal covariance:
# each sensor by itself.

together = GridGP([Matern(nu=1.5), FreeCovariance()], mean="zero", n_probes=16, random_state=0)
together.fit([hours, None], y)
diagonal = FreeCovariance(matrix=np.diag(np.nanvar(y, axis=0)))
kernel = Matern(nu=1.5, lengthscale=together.kernels_[0].lengthscale)
options = {"mean": "zero", "noise_var": together.noise_var_, "learn_kernels": False, "random_state": 0}
alone = GridGP([kernel, diagonal], **options).fit([hours, None], y)

for name, model in (("together", together), ("each alone", alone)):
    mean, std = model.predict(return_std=True)
    error = (mean - truth.function)[~observed]
    inside = np.abs(error) < 1.96 * std[~observed]
    rmse = np.sqrt(np.mean(error**2))
    print(f"{name:10s}  error {rmse:.2f}, {100 * inside.mean():.0f} % inside of the 95 % bands")

# %%
fig = plt.figure(figsize=(10, 8), layout="constrained")
panels = [["first", "first"], ["second", "second"], ["learned", "true"]]
axes = fig.subplot_mosaic(panels, height_ratios=(1, 1, 1.5))
for ax, s in ((axes["first"], 0), (axes["second"], 5)):
    for model, color, label in ((alone, "#E69F00", "alone"), (together, "#0072B2", "together")):
        mean, std = model.predict(return_std=True)
        plot_band(hours, mean[:, s], std[:, s], ax=ax, color=color, label=label)
    ax.plot(hours, truth.function[:, s], "k--", lw=1, label="truth")
    ax.plot(hours, y[:, s], "k.", ms=2.5, label="observed")
    ax.set(title=f"sensor {names[s]}", xlabel="time (h)", ylabel="reading", xlim=(0, 360))
axes["first"].legend(frameon=False, ncols=4, loc="upper right")
plot_correlation(together.kernels_[1], labels=names, ax=axes["learned"]).set_title("learned correlations")
plot_correlation(FreeCovariance(matrix=B), labels=names, ax=axes["true"]).set_title("true correlations")
plt.show()

# %%
# What to try next: ``FreeCovariance(rank=2)`` for many sensors and few sources; ``noise_axis=1`` for sensors of
# different quality; ``mean="per-level", mean_axis=1`` where each has an offset.
