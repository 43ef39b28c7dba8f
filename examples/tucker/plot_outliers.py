r"""
Entries with gross errors
=========================

One entry in ten has ten times the noise. Student-t noise hardly notices; Gaussian noise pays with accuracy.

With ``likelihood="student-t"`` every entry has a precision of its own,

.. math:: \varepsilon_n \sim N(0, \sigma^2 / \lambda_n), \qquad \lambda_n \sim \operatorname{Gamma}(\nu / 2, \nu / 2);

entries far from what all others say get little weight. The degrees of freedom :math:`\nu` are learned.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import sample_functional_tensor
from structkit.tucker import FunctionalTucker

# %%
# A tensor with a full core, 3000 entries on 60 levels per mode.

data = sample_functional_tensor(3000, truth="tucker", n_levels=60, outliers=0.1, random_state=2)
options = {"kernel": "matern32", "tol": 1e-3, "random_state": 0}
models = {
    "Gaussian noise": FunctionalTucker(2, **options),
    "Student-t noise": FunctionalTucker(2, likelihood="student-t", **options),
}
for name, model in models.items():
    model.fit(data.X_train, data.y_train)
    error = np.sqrt(np.mean((model.predict(data.X_test) - data.f_test) ** 2)) / data.noise_std
    print(f"{name}: error {error:.2f} noise standard deviations, degrees of freedom {model.degrees_of_freedom_:.1f}")
    print(f"  noise {model.noise_var_**0.5:.2f}; truth: {data.noise_std:.2f} and {10 * data.noise_std:.2f}")

# %%
# Error of the posterior mean at new entries, and how large the residuals of the training entries are.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
bins = np.linspace(-3, 3, 61)
for (name, model), color in zip(models.items(), ("#D55E00", "#0072B2"), strict=True):
    error = (model.predict(data.X_test) - data.f_test) / data.noise_std
    left.hist(np.clip(error, -3, 3), bins, histtype="stepfilled", alpha=0.25, color=color)
    left.hist(np.clip(error, -3, 3), bins, histtype="step", lw=1.8, color=color, label=name)
left.set(xlabel="error of the mean (noise standard deviations)", ylabel="new entries")
left.legend(frameon=False)
residual = (data.y_train - models["Student-t noise"].predict(data.X_train)) / data.noise_std
true_error = (data.y_train - data.f_train) / data.noise_std
gross = np.abs(true_error) > 4
right.plot(true_error[~gross], residual[~gross], ".", color="0.6", ms=3, label="entries")
right.plot(
    true_error[gross], residual[gross], ".", color="#CC79A7", ms=6, label="more than four standard deviations off"
)
right.axline((0, 0), slope=1, color="0.3", lw=1, ls="--")
right.set(
    xlabel="true error of the entry", ylabel="residual with Student-t noise", title="in noise standard deviations"
)
right.legend(frameon=False)
plt.show()
print(f"gross errors: {gross.sum()}; recognised by their residual: {np.mean(np.abs(residual[gross]) > 3):.1%}")

# %%
# What to try next: ``outliers=0``, where both are equally good. On the dust of Beijing (:ref:`here
# <sphx_glr_gallery_tucker_plot_beijing.py>`), heavy tails are what one has, not what one simulates.
