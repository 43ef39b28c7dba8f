r"""
Solve a million equations, and take their determinant
=====================================================

The potential of charges in a box on a 1000 x 1000 grid, and the log-determinant of its million-by-million Laplacian.

The Laplacian of a grid is a Kronecker sum, :math:`L = T \otimes I + I \otimes T`, of the second difference
:math:`T` along each axis. The eigenvectors of :math:`L` are products of those of :math:`T`, so that

.. math:: L^{-1} q = (V \otimes V)\, (\lambda_i + \lambda_j)^{-1}\, (V \otimes V)^\top q, \qquad
          \log \det L = \sum_{ij} \log(\lambda_i + \lambda_j)

cost two eigendecompositions of 1000 x 1000 and a few matrix products.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import KroneckerSum, logdet, solve

n = 1000
T = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
L = KroneckerSum(T, T)
rng = np.random.default_rng(5)
charges = np.zeros((n, n))
places = rng.integers(100, 900, size=(14, 2))
charges[places[:, 0], places[:, 1]] = np.where(np.arange(14) % 2, 1.0, -1.0)

# %%
# One call each; both exact up to rounding.

start = perf_counter()
potential = solve(L, charges.ravel())
print(f"solve: {perf_counter() - start:.1f} s, residual {np.abs(L @ potential - charges.ravel()).max():.0e}")

start = perf_counter()
value = logdet(L)
print(f"log-determinant: {perf_counter() - start:.1f} s, {value:.6e}")

# %%
# The determinant itself has 507 thousand digits and would overflow. It counts the spanning trees of the grid with
# its border tied together, and their number is known to grow like :math:`e^{1.16624\, N}`:

print(f"log-determinant per cell: {value / n**2:.5f}, in the limit of large grids {4 * 0.915965594177 / np.pi:.5f}")

# %%
field = potential.reshape(n, n)
limit = np.abs(field).max() / 3
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
picture = ax.imshow(field, cmap="RdBu_r", vmin=-limit, vmax=limit)
ax.contour(field, levels=np.linspace(-limit, limit, 25), colors="k", linewidths=0.4, linestyles="solid")
ax.set(xticks=[], yticks=[], title="potential of 14 charges, one million unknowns")
fig.colorbar(picture, ax=ax, label="potential (units of one charge)")
plt.show()

# %%
# What to try next: a third axis; :class:`~structkit.kron.KroneckerPlusDiagonal` for Gaussian processes, where solve and
# log-determinant together give the evidence (:func:`~structkit.kron.gaussian_evidence`, with its exact gradient).
