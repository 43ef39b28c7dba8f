r"""
Bring a gpytorch kernel, its prior and its constraint
=====================================================

A gpytorch kernel on one axis, a structkit kernel on the other; what you know about the period decides the forecast.

Sixty hours of readings at eight places are modelled as
:math:`y \sim N(m, K_\text{time} \otimes K_\text{place} + \sigma^2 I)`. Learning maximises the log evidence plus the log
densities of the priors,

.. math:: \log p(y \mid \theta) + \log p(\theta), \qquad \theta \text{ within the constraints.}
"""

import gpytorch
import matplotlib.pyplot as plt
import numpy as np
from gpytorch.kernels import MaternKernel, PeriodicKernel, RBFKernel, ScaleKernel

from structkit.datasets import sample_grid
from structkit.gp import GridGP, Matern, Periodic, SquaredExponential
from structkit.plotting import plot_band

# %%
# The truth has a rhythm of 24 hours. Forty of sixty-four times are observed, two and a half days.

hours, places, known = np.arange(0, 96, 1.5), np.linspace(0, 4, 8), 40
rhythm = SquaredExponential(lengthscale=150.0) * Periodic(lengthscale=0.8, period=24.0)
kernels = [rhythm + 0.15 * Matern(nu=1.5, lengthscale=4.0), SquaredExponential(lengthscale=1.5)]
truth = sample_grid(kernels, [hours, places], noise_var=0.05, random_state=3)

# %%
# Two kernels of gpytorch. The first may have any period and starts at ten hours. The second knows that a day has about
# 24 hours, and that the rhythm keeps for days: a constraint and a prior, written as for any model of gpytorch.

free = PeriodicKernel()
free.period_length = 10.0
about_a_day = gpytorch.constraints.Interval(20.0, 28.0, initial_value=23.0)
daily = PeriodicKernel(period_length_constraint=about_a_day)
memory = RBFKernel(lengthscale_prior=gpytorch.priors.LogNormalPrior(np.log(100.0), 0.5))

forecasts = {}
for name, rhythm in (("any period", free * RBFKernel()), ("20 to 28 hours, and a prior", daily * memory)):
    rhythm.kernels[1].lengthscale = 50.0
    time_kernel = ScaleKernel(rhythm) + ScaleKernel(MaternKernel(nu=1.5))
    kernels = [time_kernel, SquaredExponential().fix("variance")]
    model = GridGP(kernels, max_learning_iter=200, random_state=0)
    model.fit([hours[:known], places], truth.y[:known])
    mean, std = forecasts[name] = model.predict([hours, None], return_std=True)
    periodic, decay = model.kernels_[0].module.kernels[0].base_kernel.kernels
    log_prior = model.kernels_[0].log_prior()[0]
    error = np.sqrt(np.mean((mean - truth.function)[known:] ** 2))
    print(f"{name}: period {periodic.period_length.item():.1f} h, memory {decay.lengthscale.item():.0f} h")
    print(f"    log evidence {model.log_evidence_:.1f}, log prior {log_prior:.1f}, forecast error {error:.2f}")

# %%
# Both explain the readings. A period of 12 hours is a local maximum of the evidence, and its forecast is little more
# than the mean; nothing but the starting value or your knowledge keeps learning from it.

fig, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
for ax, (name, (mean, std)), color in zip(axes, forecasts.items(), ("#E69F00", "#0072B2"), strict=True):
    plot_band(hours, mean[:, 3], std[:, 3], ax=ax, color=color, label="posterior")
    ax.plot(hours, truth.function[:, 3], "k--", lw=1, label="truth")
    ax.plot(hours[:known], truth.y[:known, 3], "k.", ms=4, label="observed")
    ax.axvspan(hours[known - 1], hours[-1], color="0.94", zorder=0)
    ax.set(title=name, ylabel="reading", xlim=(0, hours[-1]))
axes[0].legend(frameon=False, ncols=3, loc="upper left")
axes[1].set_xlabel("time (h); shaded: forecast")
plt.show()

# %%
# What to try next: :func:`~structkit.gp.from_gpytorch` for the structkit kernel of the same form, which is faster, and
# :func:`~structkit.interop.to_gpytorch` to train a structkit kernel inside of a gpytorch model.
