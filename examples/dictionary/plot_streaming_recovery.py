r"""
A dictionary in one pass
========================

Samples are seen once, thirty at a time, and the dictionary behind them is found to four digits.

Every sample mixes a few of 32 orthogonal atoms,

.. math:: y = D x + \varepsilon, \qquad D^\top D = I, \qquad \text{one code } x_i \text{ in ten is not zero},

and neither :math:`D` nor the codes are known.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.plotting import plot_code_sparsity, plot_recovery

rng = np.random.default_rng(0)
n = 32
D = np.linalg.qr(rng.standard_normal((n, n)))[0]


def samples(count, noise):
    codes = rng.standard_normal((count, n)) * (rng.random((count, n)) < 0.1)
    return codes @ D.T + noise * rng.standard_normal((count, n))


# %%
# ``partial_fit`` takes batches of any length, and ``components_`` may be asked for at any time. The distance to the
# truth is measured up to the order and the signs of the atoms, which no method can know. Two others see the same
# batches: the online Frank-Wolfe method, ``schedule="paper"``, and the fixed points of the sum of fourth powers (MSP),
# run anew on all samples so far.


def msp(Y, n_iter=60):
    A = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
    for _ in range(n_iter):
        Z = Y @ A.T
        U, _, Vt = np.linalg.svd((Z * Z * Z).T @ Y)
        A = U @ Vt
    return A


marks = np.unique(np.geomspace(300, 16200, 12).astype(int) // 30 * 30)
curves, noises = {}, {"no noise": 0.0, "noise 0.1": 0.1}
for label, noise in noises.items():
    Y = samples(marks[-1], noise)
    models = {
        f"structkit, {label}": OrthogonalDictionary(random_state=0),
        f"Frank-Wolfe, {label}": OrthogonalDictionary(schedule="paper", batch_size=8, random_state=0),
    }
    found = {name: [] for name in [*models, f"MSP, {label}"]}
    for start in range(0, len(Y), 30):
        for model in models.values():
            model.partial_fit(Y[start : start + 30])
        if start + 30 in marks:
            for name, model in models.items():
                found[name].append(dictionary_distance(model.components_, D.T))
            found[f"MSP, {label}"].append(dictionary_distance(msp(Y[: start + 30]), D.T))
    curves[label] = found
    print(f"{label}: " + ", ".join(f"{name.split(',')[0]} {values[-1]:.1e}" for name, values in found.items()))

# %%
# The threshold separates zero codes from others exactly in the end, which is why the error falls so much faster than
# the square root of the number of samples. The first 2048 samples are kept, then only three matrices of 32 x 32.

fig, axes = plt.subplot_mosaic([[*noises], ["energy", "energy"]], figsize=(9, 6.6), layout="constrained")
for label, found in curves.items():
    plot_recovery(marks, {name.split(",")[0]: values for name, values in found.items()}, ax=axes[label])
    axes[label].set(title=label, xscale="log", ylim=(3e-5, 2))
    axes[label].legend(frameon=False)
model = OrthogonalDictionary(random_state=0).fit(samples(4000, 0.1))
fresh = samples(2000, 0.1)
plot_code_sparsity(fresh, ax=axes["energy"], color="0.6", label="samples as they are")
plot_code_sparsity(fresh @ model.components_.T, ax=axes["energy"], label="codes")
axes["energy"].set_title("energy in the largest numbers")
axes["energy"].legend(frameon=False)
plt.show()

# %%
# What to try next: ``transform`` for the codes, ``n_nonzero=`` for a fixed number of them, ``orthogonal=False`` for
# atoms that are not orthogonal.
