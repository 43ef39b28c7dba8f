"""
A dictionary that changes
=========================

A stream whose dictionary turns slowly and then changes all at once is followed by forgetting.

With ``forgetting=0`` all samples count, which is right for a fixed dictionary. With a positive value the newest block
of samples has at least that weight, and codes are watched: when they lose their zeros, the dictionary has changed
abruptly, and another one is found from the next samples.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import expm

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.plotting import plot_recovery

rng = np.random.default_rng(3)
n, batch, n_batches = 16, 32, 900
A = rng.standard_normal((n, n))
turn = expm(2e-3 * (A - A.T) / np.linalg.norm(A - A.T, 2))


def stream():
    D = np.linalg.qr(rng.standard_normal((n, n)))[0]
    for t in range(n_batches):
        if t == 600:
            D = np.linalg.qr(rng.standard_normal((n, n)))[0]  # another dictionary altogether
        elif t > 200:
            D = turn @ D  # a slow turn
        codes = rng.standard_normal((batch, n)) * (rng.random((batch, n)) < 0.2)
        yield D, codes @ D.T + 0.05 * rng.standard_normal((batch, n))


# %%
# Three values of ``forgetting`` see the same stream: fixed for 200 batches, turning for 400, another one after that.

models = {f"forgetting={f:g}": OrthogonalDictionary(forgetting=f, random_state=0) for f in (0.0, 0.05, 0.2)}
errors = {name: [] for name in models}
seen = []
for t, (D, Y) in enumerate(stream()):
    for name, model in models.items():
        model.partial_fit(Y)
        if t % 10 == 9:
            errors[name].append(dictionary_distance(model.components_, D.T))
    if t % 10 == 9:
        seen.append((t + 1) * batch)
for name, values in errors.items():
    fixed, turning, after = (np.median(values[a:b]) for a, b in ((10, 20), (30, 60), (75, 90)))
    print(f"{name:16s} fixed {fixed:.3f}   turning {turning:.3f}   after the change {after:.3f}")

# %%
# Without forgetting the truth is lost as soon as it moves. Much forgetting follows faster and averages less: the price
# is a larger error while nothing moves.

ax = plot_recovery(seen, errors)
ax.axvspan(200 * batch, 600 * batch, color="0.93", zorder=0)
ax.axvline(600 * batch, color="0.4", ls="--", lw=1)
ax.text(400 * batch, 1.6, "turning", ha="center", va="top", color="0.3")
ax.text(605 * batch, 1.6, "another one", va="top", color="0.3")
ax.set(ylim=(4e-3, 2), xlim=(0, n_batches * batch))
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# What to try next: ``batch_size`` for more frequent updates, which follow faster at the same weight.
