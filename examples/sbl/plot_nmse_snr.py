r"""
Errors of all methods over noise
================================

On the published stock problem, the exact search stays near least squares on the true support at every noise level, a
model that knows of the product is several times better, and alternating minimisation and greedy pursuit fall behind.

The coefficients are a product of three 3-sparse vectors, :math:`x = x_1 \otimes x_2 \otimes x_3`, behind random
dictionaries of 8 x 15, 12 x 15 and 15 x 15. `SeparableSBL` is told so; the others only assume a Kronecker support.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from structkit import ConvergenceWarning
from structkit.kron import multi_mode_product
from structkit.plotting import plot_error_curves
from structkit.sbl import KroneckerOMP, KroneckerSBL, SeparableSBL, nmse

# %%
# The published methods get the true noise variance and their own starting point; ours learn the noise.

warnings.simplefilter("ignore", ConvergenceWarning)
snrs, runs = np.array([5, 10, 15, 20, 25, 30]), 4


def draw(seed, snr):
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((m, 15)) for m in (8, 12, 15)]
    support = [rng.choice(15, 3, replace=False) for _ in range(3)]
    x = np.zeros((15, 15, 15))
    x[np.ix_(*support)] = np.einsum("i,j,k->ijk", *rng.standard_normal((3, 3)))
    clean = multi_mode_product(x, factors)
    noise_var = np.mean(clean**2) / 10 ** (snr / 10)
    return factors, support, x, clean + np.sqrt(noise_var) * rng.standard_normal(clean.shape), noise_var


def told_the_support(factors, support, y):
    x = np.zeros((15, 15, 15))
    x[np.ix_(*support)] = multi_mode_product(
        y, [np.linalg.pinv(A[:, s]) for A, s in zip(factors, support, strict=True)]
    )
    return x


errors = {}
for run in range(runs):
    for k, snr in enumerate(snrs):
        factors, support, x, y, noise_var = draw(100 + run, snr)
        known = {"noise_var": noise_var, "initial_variance": 1.0}
        found = {
            "fb": KroneckerSBL().fit(factors, y).coef_,
            "separable": SeparableSBL().fit(factors, y).coef_,
            "mm": KroneckerSBL("mm").fit(factors, y).coef_,
            "published AM": KroneckerSBL("am", **known).fit(factors, y).coef_,
            "published SVD": KroneckerSBL("svd", **known).fit(factors, y).coef_,
            "Kronecker OMP": KroneckerOMP(noise_var=noise_var).fit(factors, y).coef_,
            "true support": told_the_support(factors, support, y),
        }
        for name, coef in found.items():
            errors.setdefault(name, np.zeros((runs, len(snrs))))[run, k] = nmse(coef, x)

# %%
# Lines are means, bands run from the first to the last decile of the runs.

styles = {"true support": {"color": "k", "ls": "--", "marker": ""}, "Kronecker OMP": {"color": "0.5"}}
ax = plot_error_curves(snrs, errors, styles=styles)
ax.legend(frameon=False, ncols=2, fontsize=9)
plt.show()

for name, values in errors.items():
    print(f"{name:15s}" + "".join(f"{v:9.1e}" for v in values.mean(axis=0)))

# %%
# What to try next: generic coefficients instead of a product, where `KroneckerSBL` is the right model and
# `SeparableSBL` is not; more columns than rows in every mode; complex dictionaries.
