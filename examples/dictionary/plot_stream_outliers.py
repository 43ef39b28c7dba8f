"""
Outliers in a stream
====================

Two samples in a hundred are ten times too large and have nothing to do with the dictionary. One option makes them
harmless.

``robust=True`` shortens samples to one and a half times the running median of their lengths before they count.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.plotting import plot_recovery

rng = np.random.default_rng(1)
n, count = 16, 16000
D = np.linalg.qr(rng.standard_normal((n, n)))[0]
clean = rng.standard_normal((count, n)) * (rng.random((count, n)) < 0.2) @ D.T
struck = rng.random(count) < 0.02
Y = np.where(struck[:, None], 10 * clean.std() * rng.standard_normal((count, n)), clean)

# %%
# The same stream with and without protection, and the clean stream with it.

runs = {
    "protected": (Y, OrthogonalDictionary(robust=True, random_state=0)),
    "not protected": (Y, OrthogonalDictionary(random_state=0)),
    "protected, clean samples": (clean, OrthogonalDictionary(robust=True, random_state=0)),
}
errors = {name: [] for name in runs}
marks = np.arange(500, count + 1, 500)
for mark in marks:
    for name, (samples, model) in runs.items():
        model.partial_fit(samples[mark - 500 : mark])
        errors[name].append(dictionary_distance(model.components_, D.T))
for name, values in errors.items():
    print(f"{name:26s} {values[-1]:.1e}")

# %%
# Where a sample stands out, its length shows it; how much of it the codes explain shows it too.

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
plot_recovery(marks, errors, ax=axes[0])
axes[0].legend(frameon=False)
model = runs["protected"][1]
ordinary = clean + 0.02 * rng.standard_normal(clean.shape)
for samples, color, label in ((ordinary[:400], "#0072B2", "ordinary"), (Y[struck], "#D55E00", "outlier")):
    codes = samples @ model.components_.T
    largest = np.sort(codes**2, axis=1)[:, ::-1]
    share = largest[:, :5].sum(axis=1) / largest.sum(axis=1)
    axes[1].plot(np.linalg.norm(samples, axis=1), share, ".", color=color, alpha=0.5, label=label)
axes[1].set(xlabel="length of the sample", ylabel="share of the energy in 5 codes", ylim=(0, 1.05))
axes[1].legend(frameon=False)
plt.show()

# %%
# What to try next: smaller outliers. Those that are no longer than other samples cannot be told by their length; each
# does little harm.
