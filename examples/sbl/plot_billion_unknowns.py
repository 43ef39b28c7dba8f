r"""
A billion unknowns
==================

From 110 592 noisy measurements, 64 coefficients among 1.07 billion are found on one core in about a second.

Nothing of the size of the unknowns is ever formed: the evidence needs one small decomposition per mode and sums over a
tensor of the size of the measurements, and starting points come from the measurements alone.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import multi_mode_product
from structkit.plotting import plot_prior_variances
from structkit.sbl import KroneckerSBL, nmse

# %%
# Three dictionaries of 48 x 1024, four active columns in each, a signal-to-noise ratio of 10 dB.

rng = np.random.default_rng(0)
factors = [rng.standard_normal((48, 1024)) for _ in range(3)]
support = [np.sort(rng.choice(1024, 4, replace=False)) for _ in range(3)]
block = rng.standard_normal((4, 4, 4))
clean = multi_mode_product(block, [A[:, s] for A, s in zip(factors, support, strict=True)])
noise_var = np.mean(clean**2) / 10
y = clean + np.sqrt(noise_var) * rng.standard_normal(clean.shape)

# %%
# The coefficients on the support are all there is to hold; ``coef_`` would refuse to form 8 GB of zeros on a small
# machine, and ``to_coo()`` lists positions and values.

start = time.perf_counter()
model = KroneckerSBL().fit(factors, y)
print(
    f"{np.prod([A.shape[1] for A in factors]):,} unknowns, {y.size:,} measurements: {time.perf_counter() - start:.1f} s"
)
entries = model.to_coo()
print(f"support exact: {all(np.array_equal(a, b) for a, b in zip(model.support_, support, strict=True))}")
print(f"first entries: {entries.index[:2].tolist()} {entries.values[:2].round(3).tolist()}")
print(f"error {nmse(model.coef_active_, block):.1e}, noise variance {model.noise_var_ / noise_var:.3f} of the true one")

# %%
# A dense method would need the covariance of the measurements, 98 GB, and of the coefficients, 9 exabytes.

fig, axes = plt.subplots(3, 1, figsize=(7.5, 6), layout="constrained", sharey=True)
plot_prior_variances(model, true_support=support, axes=axes)
axes[0].legend(frameon=False, loc="lower right")
plt.show()

# %%
# What to try next: ``n_starts=1`` skips the second start, which costs most of the time here; four or five modes;
# complex dictionaries.
