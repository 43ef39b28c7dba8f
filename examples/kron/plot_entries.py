r"""
Read scattered entries of a tensor with a billion cells
=======================================================

A tensor in CP form is evaluated where it is needed, one entry at a time, and never as a whole.

With factor matrices :math:`A_d` of shape :math:`(n_d, R)` the entry at :math:`(i_1, \dots, i_D)` is

.. math:: t_{i_1 \dots i_D} = \sum_{r=1}^{R} \prod_{d=1}^{D} A_d[i_d, r].

Here a tensor of 1000 x 1000 x 1000 cells is a standing wave in a box, a sum of 32 products of cosines.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import cp_at

rng = np.random.default_rng(3)
n, rank = 1000, 32
grid = np.linspace(0, 1, n)
waves = rng.integers(1, 9, size=(3, rank))
matrices = [np.cos(np.pi * grid[:, None] * k) for k in waves]
weights = rng.standard_normal(rank) / waves.sum(0)
print(f"full tensor: {8 * n**3 / 1e9:.0f} GB; factor matrices: {sum(A.nbytes for A in matrices) / 1e6:.1f} MB")

# %%
# 200 thousand entries on a sphere inside of the box, and the time beside that of gathering rows with numpy.

longitude, latitude = np.meshgrid(np.linspace(-np.pi, np.pi, 800), np.linspace(-np.pi / 2, np.pi / 2, 250))
sphere = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
index = np.rint((0.5 + 0.49 * np.stack(sphere, axis=-1)) * (n - 1)).astype(np.int64).reshape(-1, 3)


def numpy_values():
    first, second, third = (A[index[:, d]] for d, A in enumerate(matrices))
    return (first * second * third) @ weights


def best_of_three(call):
    times = []
    for _ in range(3):
        start = perf_counter()
        found = call()
        times.append(perf_counter() - start)
    return min(times), found


fast, values = best_of_three(lambda: cp_at(index, matrices, weights))
slow, reference = best_of_three(numpy_values)
print(
    f"cp_at {1e3 * fast:.0f} ms, numpy {1e3 * slow:.0f} ms; largest difference {np.abs(values - reference).max():.0e}"
)

# %%
field = values.reshape(longitude.shape)
limit = np.abs(field).max()
fig, ax = plt.subplots(figsize=(8, 4), subplot_kw={"projection": "mollweide"}, layout="constrained")
ax.grid(False)
picture = ax.pcolormesh(longitude, latitude, field, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
ax.set(xticks=[], yticks=[], title="the tensor on a sphere")
fig.colorbar(picture, ax=ax, label="value (dimensionless)", shrink=0.8)
plt.show()

# %%
# What to try next: :func:`~structkit.kron.tucker_at` for a Tucker core, gradients with respect to the matrices
# (torch tensors, or :func:`~structkit.kron.cp_at_gradient`), and :func:`~structkit.kron.mttkrp_sparse` for
# decompositions of scattered data.
