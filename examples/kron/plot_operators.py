r"""
Operators that keep their structure
===================================

Write formulas with matrices; what has structure stays structured, and what you see is what is stored.

An operator has a shape and multiplies with ``@``. Sums, products, transposes and inverses of operators are operators
again, and the algebra knows the identities of Kronecker products, for example

.. math:: (A \otimes B)(C \otimes D) = AC \otimes BD, \qquad (A \otimes B)^\top = A^\top \otimes B^\top .
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import (
    BlockTridiagonal,
    Diagonal,
    Identity,
    Kronecker,
    KroneckerSum,
    LowRankPlusDiagonal,
    Masked,
    Toeplitz,
)

t = np.linspace(0, 1, 8)
K_time = Toeplitz(np.exp(-3 * t))
K_space = np.exp(-np.abs(t[:5, None] - t[:5]) * 8)

# %%
# Products of Kronecker products stay Kronecker products; adding a multiple of the identity gives the form whose solve
# and log-determinant are exact and cheap.

K = Kronecker(K_time, K_space)
print(K @ K)
print(K.T)
print(K + 0.1 * Identity(40))
print(2.0 * K @ Kronecker(K_time, Identity(5)))

# %%
# Nine structures and the matrices they stand for. Each is stored by what is drawn in the title, not by its entries.

laplacian = 2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)
observed = np.random.default_rng(0).random(40) < 0.5
blocks = 0.2 + np.random.default_rng(1).random((8, 5, 5))
gallery = {
    "Kronecker\n(Toeplitz, dense)": K,
    "KroneckerPlusDiagonal\nK + c I": K + 0.8 * Identity(40),
    "KroneckerSum\nLaplacian of a 6 x 6 grid": KroneckerSum(laplacian, laplacian),
    "Masked\nhalf of the cells": Masked(K, observed),
    "Kronecker\n(identity, dense)": Kronecker(Identity(8), K_space),
    "Kronecker\n(dense, diagonal)": Kronecker(K_time, Diagonal(np.linspace(0.2, 1, 5))),
    "Toeplitz": Toeplitz(np.exp(-0.08 * np.arange(40)) * np.cos(0.6 * np.arange(40))),
    "BlockTridiagonal": BlockTridiagonal(blocks, 0.4 * blocks[1:]),
    "LowRankPlusDiagonal": LowRankPlusDiagonal(np.linspace(0, 1, 40)[:, None] ** 2, np.full(40, 0.7)),
}
fig, axes = plt.subplots(3, 3, figsize=(7.2, 7.8), layout="constrained")
for ax, (name, op) in zip(axes.flat, gallery.items(), strict=True):
    dense = op.to_dense()
    ax.imshow(dense, cmap="RdBu_r", vmin=-np.abs(dense).max(), vmax=np.abs(dense).max(), interpolation="nearest")
    ax.set_title(name, fontsize=9)
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# A dense matrix appears only where you ask for it with ``to_dense``, and an error says so before it would not fit in
# memory.

big = Kronecker(*[np.eye(64)] * 5)
print(f"{big.shape[0]:.1e} rows; trace {big.trace():.3e}")
try:
    big.to_dense()
except MemoryError as err:
    print(err)

# %%
# What to try next: :func:`~structkit.kron.solve`, :func:`~structkit.kron.logdet` and :func:`~structkit.kron.eigh` of
# these operators, and ``op.as_scipy()`` to hand one to an iterative method of scipy.
