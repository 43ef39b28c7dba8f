r"""
Multiply by a matrix that is never formed
=========================================

A Kronecker product of three 128 x 128 matrices has four trillion entries, and multiplying by it takes milliseconds.

For factors :math:`A_1, \dots, A_D` of size :math:`n \times n` the product

.. math:: y = (A_1 \otimes \dots \otimes A_D)\, x, \qquad x \in \mathbb{R}^{N},\ N = n^D,

costs :math:`2 N D n` operations by one small matrix product per axis, instead of :math:`2 N^2`, and the memory of two
vectors instead of :math:`8 N^2` bytes.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from structkit.kron import kron, kron_matmul

rng = np.random.default_rng(0)


def seconds(call, repeats=5):
    call()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


# %%
# The call takes the list of factors, first factor slowest, and a vector; the answer is that of ``np.kron``.

factors = [rng.standard_normal((8, 8)) for _ in range(3)]
x = rng.standard_normal(8**3)
print("largest difference:", np.abs(kron_matmul(factors, x) - kron(*factors) @ x).max())

# %%
# Now let the factors grow. The dense matrix is out of reach soon; the product with its factors is not.

sizes = np.array([4, 8, 12, 16, 24, 32, 48, 64, 96, 128])
structured, dense = [], []
for n in sizes:
    factors = [rng.standard_normal((n, n)) for _ in range(3)]
    x = rng.standard_normal(n**3)
    structured.append(seconds(lambda f=factors, x=x: kron_matmul(f, x)))
    if n <= 16:
        K = kron(*factors)
        dense.append(seconds(lambda K=K, x=x: K @ x))

# %%
unknowns = sizes.astype(float) ** 3
extrapolated = dense[-1] * (unknowns / unknowns[len(dense) - 1]) ** 2
known = len(dense)

fig, ax = plt.subplots(figsize=(6.8, 4.8), layout="constrained")
ax.loglog(unknowns[known - 1 :], extrapolated[known - 1 :], ":", color="#d55e00")
ax.loglog(unknowns[:known], dense, "o-", color="#d55e00", label="dense matrix (dotted: extrapolated)")
ax.loglog(unknowns, structured, "o-", color="#0072b2", label="kron_matmul")
for i, unit, size in ((known - 1, "MB", 1e6), (5, "GB", 1e9), (-1, "TB", 1e12)):
    ax.annotate(
        f"{8 * unknowns[i] ** 2 / size:.0f} {unit}",
        (unknowns[i], extrapolated[i]),
        (-8, 0),
        ha="right",
        textcoords="offset points",
        color="#d55e00",
    )
    ax.annotate(
        f"{8e-6 * (2 * unknowns[i] + 3 * sizes[i] ** 2):.2g} MB",
        (unknowns[i], structured[i]),
        (0, -16),
        ha="center",
        textcoords="offset points",
        color="#0072b2",
    )
ax.set(xlabel="unknowns N", ylabel="seconds per product", title="Time, and memory beside it")
ax.margins(y=0.12)
ax.legend(frameon=False, loc="upper left")
ax.grid(alpha=0.25)
plt.show()

# %%
# What to try next: several right-hand sides at once (``x`` of shape ``(N, k)``), rectangular factors (the order of
# the axes is then chosen by cost), a :func:`~structkit.kron.kron_plan` for small products in a loop, torch tensors.
