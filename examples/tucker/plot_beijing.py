r"""
Fine dust by temperature, pressure and day
==========================================

A tensor whose indexes are measurements: 13 572 entries of 280 million possible ones, and intervals that hold for the
rest.

Each entry is the daily mean of PM2.5 at a station of Beijing, with the temperature, the air pressure and the day it was
measured at. A CP decomposition with functions of real coordinates in the place of factor matrices,

.. math:: y = \mu + g_1(\text{temperature}) + g_2(\text{pressure}) + g_3(\text{day})
          + \sum_{r=1}^{3} w_r \, u_{1r}(\text{temperature}) \, u_{2r}(\text{pressure}) \, u_{3r}(\text{day})
          + \varepsilon,

is learned from four fifths of the entries.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import beijing_pm25
from structkit.plotting import plot_factors, plot_predicted
from structkit.tucker import FunctionalCP

# %%
# Coordinates are in the units in which they were measured. Dust has heavy tails, so Student-t noise is chosen; its
# degrees of freedom are learned, as are the length-scales. Half of the starts and ten times the tolerance of the
# defaults are rough and quick.

data = beijing_pm25(fold=0)
print(f"{len(data.y_train)} entries; {[len(np.unique(x)) for x in data.X.T]} levels of {data.names}")
model = FunctionalCP(rank=3, likelihood="student-t", n_starts=4, tol=1e-3, random_state=0)
model.fit(data.X_train, data.y_train)
mean, std = model.predict(data.X_test, return_std=True, include_noise=True)

print(f"mean: {model.mean_}; components in use: {model.rank_}; sweeps: {model.n_iter_}")
print(f"noise: {np.sqrt(model.noise_var_):.3f}, degrees of freedom: {model.degrees_of_freedom_:.1f}")
rmse = np.sqrt(np.mean((mean - data.y_test) ** 2))
print(f"RMSE of the entries held out: {rmse:.3f}; of their mean: {data.y_test.std():.3f}")

# %%
# Held out entries against their predictions, and the main effects: days differ most, by several standard deviations of
# the dust; temperature moves it by about one, pressure by some tenths.

fig, axes = plt.subplots(2, 2, figsize=(10.5, 7.6), layout="constrained")
plot_predicted(data.y_test, mean, std, ax=axes[0, 0])
axes[0, 0].set(xlabel="predicted PM2.5 (standard deviations)", ylabel="observed PM2.5 (standard deviations)")
for mode, (ax, name, unit) in enumerate(zip(axes.flat[1:], data.names, data.units, strict=True)):
    plot_factors(model, mode, effect=True, ax=ax)
    ax.set(xlabel=f"{name} ({unit})", ylabel="main effect (standard deviations)", title=name)
plt.show()

# %%
# The functions of temperature and of pressure that are multiplied, with each other and with one of the day. Their signs
# are arbitrary, and what they have in common over all entries is part of the effect of a coordinate, too.

fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained", sharey=True)
for mode, ax in enumerate(axes):
    plot_factors(model, mode, ax=ax).set(xlabel=f"{data.names[mode]} ({data.units[mode]})")
axes[0].legend(frameon=False)
axes[1].set_ylabel("")
plt.show()

# %%
# What to try next: ``make demo`` compares both models with baselines; `FunctionalTucker
# <structkit.tucker.FunctionalTucker>` mixes all functions. Source of the data: Song Chen, Beijing Multi-Site Air
# Quality, UCI Machine Learning Repository, 2019, https://doi.org/10.24432/C5RK5G, CC BY 4.0.
