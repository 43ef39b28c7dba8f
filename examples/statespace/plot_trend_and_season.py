r"""
Trend, season and weather of an irregular record
================================================

A record with gaps is split into a trend, a season whose shape drifts, and short-lived variation, and forecast.

The model is a sum of processes, one of them a product,

.. math:: f = c + f_\text{long} + f_\text{periodic} \times f_\text{slow} + f_\text{short}, \qquad
          y_i = f(t_i) + \varepsilon_i,

each of them a linear differential equation, so that all of them together are one, and a Kalman filter with its smoother
conditions it on the data. The parameters are learned from the gradient of the log likelihood, which costs one more
pass.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from structkit.plotting import plot_band
from structkit.statespace import (
    constant_sde,
    kalman_filter,
    log_likelihood,
    matern_sde,
    quasi_periodic_sde,
    rts_smoother,
)

# %%
# Forty years of a gas concentration, made up: about ten readings a year at irregular dates, none for three years, a
# season that grows and shifts.

rng = np.random.default_rng(3)
years = np.sort(rng.uniform(0.0, 40.0, 420))
years = years[(years < 17.0) | (years > 20.0)]


def truth(t):
    trend = 330 + 1.6 * t + 4 * np.sin(t / 6)
    phase = 2 * np.pi * (t + 0.002 * t)
    return trend, (2.5 + 0.03 * t) * (np.sin(phase) + 0.35 * np.cos(2 * phase))


weather = np.linalg.cholesky(0.25 * np.exp(-np.abs(years[:, None] - years) / 0.15)) @ rng.normal(size=len(years))
ppm = sum(truth(years)) + weather + 0.3 * rng.normal(size=len(years))
centre = ppm.mean()

# %%
# The period is known; everything else starts from a round number and is learned.

start = (
    constant_sde(500.0)
    + matern_sde(2.5, lengthscale=20.0, variance=500.0)
    + quasi_periodic_sde(1.0, 1.0, 10.0, decay=30.0, n_harmonics=4)
    + matern_sde(0.5, lengthscale=0.2, variance=0.1)
)
free = [i for i, name in enumerate(start.parameter_names) if name not in ("0.variance", "2.0.period", "2.1.variance")]


def model(theta):
    """Model and noise variance at logarithms of the free parameters."""
    values = start.parameters
    values[free] = np.exp(theta[:-1])
    return start.with_parameters(values), np.exp(theta[-1])


def objective(theta):
    sde, noise_var = model(theta)
    result = log_likelihood(sde, years, ppm - centre, noise_var=noise_var, grad=True)
    return -result.value, -np.append(result.gradient[free], result.noise_gradient)


found = minimize(
    objective, np.log([*start.parameters[free], 0.1]), jac=True, method="L-BFGS-B", options={"maxiter": 60}
)
sde, noise_var = model(found.x)
print(f"{sde.n_states} states, {len(years)} readings, log likelihood {-found.fun:.1f} after {found.nfev} evaluations")
for name, value in zip(sde.parameter_names, sde.parameters, strict=True):
    print(f"  {name:18s} {value:9.3g}")
print(f"noise {noise_var**0.5:.2f} ppm (truth 0.30)")

# %%
# Times without a reading are given as NaN, gap and future included; the parts are read off the smoothed states. The
# constant harmonic of the season, its first two states, counts as trend.

grid = np.union1d(years, np.linspace(0.0, 46.0, 2000))
y = np.full(len(grid), np.nan)
y[np.searchsorted(grid, years)] = ppm - centre
smoothed = rts_smoother(kalman_filter(sde, grid, y, noise_var=noise_var))
states, covs = smoothed.states()
parts = {"trend": slice(0, 6), "season": slice(6, 22), "weather": slice(22, 23)}

fig, axes = plt.subplots(4, 1, figsize=(9.5, 9), sharex=True, layout="constrained", height_ratios=(2, 1, 1, 1))
plot_band(grid, smoothed.mean + centre, smoothed.var**0.5, ax=axes[0], label="posterior, 95 % band")
axes[0].plot(years, ppm, "k.", ms=2.5, label="readings")
axes[0].plot(grid, sum(truth(grid)), "k--", lw=0.6, label="truth without weather")
axes[0].set(ylabel="ppm", title="a gap of three years, a forecast of six", xlim=(0, 46))
known = {"trend": truth(grid)[0] - centre, "season": truth(grid)[1]}
for ax, (name, block) in zip(axes[1:], parts.items(), strict=True):
    row = sde.H[block]
    mean, var = states[:, block] @ row, np.einsum("k,tkl,l->t", row, covs[:, block, block], row)
    plot_band(grid, mean, var**0.5, ax=ax)
    ax.set(ylabel="ppm", title=name)
    if name in known:
        ax.plot(grid, known[name], "k--", lw=0.7)
        inside = np.abs(mean - known[name]) < 1.96 * var**0.5
        print(f"{name}: {100 * inside.mean():.0f} % of the truth inside of the band")
axes[3].plot(years, weather, "k.", ms=2)
for ax in axes:
    ax.axvspan(17, 20, color="0.93", zorder=0)
    ax.axvspan(40, 46, color="0.93", zorder=0)
axes[0].legend(frameon=False, loc="upper left")
axes[3].set_xlabel("year")
plt.show()

# %%
# What to try next: `sample <structkit.statespace.sample>` for whole futures that the record allows, or a Matern of
# order 1/2 for the decay of the season.
