r"""
Beside a masked decomposition on a grid
=======================================

The same sparse entries for :func:`tensorly.decomposition.parafac` with a mask, and for a functional CP decomposition.

A masked decomposition knows the numbers of the levels, not where they are; a functional one knows that neighbouring
levels are alike. With few entries per level that is what counts. It also says how sure it is, and what lies between the
levels.
"""

import matplotlib.pyplot as plt
import numpy as np
import tensorly
from tensorly.decomposition import parafac

from structkit.plotting import plot_predicted
from structkit.tucker import FunctionalCP

# %%
# 40 x 40 x 40 cells of a smooth function with noise; between 1 and 20 per cent of them are observed.

rng = np.random.default_rng(0)
t = np.linspace(0, 1, 40)


def function(a, b, c):
    """Rank 2."""
    return np.sin(6 * a) * np.exp(-b) * (1 + c) + np.cos(4 * a) * b**2 * np.cos(5 * c)


truth = function(*np.meshgrid(t, t, t, indexing="ij"))
noise = 0.1 * truth.std()
noisy = truth + noise * rng.standard_normal(truth.shape)
order = rng.permutation(truth.size)
shares, results = (0.01, 0.03, 0.1, 0.2), []
for share in shares:
    cells = np.unravel_index(order[: int(share * truth.size)], truth.shape)
    mask = np.zeros(truth.shape)
    mask[cells] = 1
    fitted = parafac(noisy * mask, 2, mask=mask, init="random", random_state=0, n_iter_max=300)
    grid = tensorly.cp_to_tensor(fitted)
    X = np.stack([t[i] for i in cells], axis=1)
    model = FunctionalCP(2, kernel="matern32", tol=1e-3, random_state=0).fit(X, noisy[cells])
    filled = tensorly.cp_to_tensor(model.to_tensorly([t, t, t]))
    results.append([np.sqrt(np.mean((g - truth)[mask == 0] ** 2)) / noise for g in (grid, filled)])
    print(
        f"{share:.0%} observed: error over noise {results[-1][0]:.2f} (tensorly), {results[-1][1]:.2f} (FunctionalCP)"
    )

# %%
# Both are given the right rank. `to_tensorly <structkit.tucker.FunctionalCP.to_tensorly>` hands the result over, so
# that everything tensorly does with CP tensors is at hand. To the right, what the grid cannot say: 250 entries at
# coordinates between the levels, with intervals, from the fit to 20 %.

fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
for values, name, color in zip(
    np.transpose(results), ("tensorly", "FunctionalCP"), ("#D55E00", "#0072B2"), strict=True
):
    left.plot(100 * np.array(shares), values, "o-", color=color, label=name)
left.set(xlabel="cells observed (%)", ylabel="error of hidden cells / noise", xscale="log", yscale="log")
left.set_xticks([1, 3, 10, 20], ["1", "3", "10", "20"])
left.minorticks_off()
left.legend(frameon=False)
new = rng.uniform(0, 1, (250, 3))
values = function(*new.T) + noise * rng.standard_normal(250)
plot_predicted(values, *model.predict(new, return_std=True, include_noise=True), ax=right)
plt.show()

# %%
# What to try next: a coarser grid or a rougher function, which favours the mask; more than a hundred million cells,
# which a mask cannot hold in memory and a list of entries can.
