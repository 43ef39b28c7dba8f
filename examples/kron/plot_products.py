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
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
unknowns = sizes**3
left.loglog(unknowns[: len(dense)], dense, "o-", color="#d55e00", label="dense matrix")
left.loglog(unknowns, structured, "o-", color="#0072b2", label="kron_matmul")
left.loglog(
    unknowns[3:], dense[3] * (unknowns[3:] / unknowns[3]) ** 2.0, ":", color="#d55e00", label="dense, extrapolated"
)
left.set(xlabel="unknowns N", ylabel="seconds per product", title="Time")
left.legend(frameon=False)
right.loglog(unknowns, 8.0 * unknowns**2, ":", color="#d55e00")
right.loglog(unknowns[: len(dense)], 8.0 * unknowns[: len(dense)] ** 2.0, "o-", color="#d55e00", label="dense matrix")
right.loglog(unknowns, 8.0 * (3 * sizes**2 + 2 * unknowns), "o-", color="#0072b2", label="factors and two vectors")
right.axhline(16e9, color="0.6", lw=1)
right.annotate("16 GB", (unknowns[0], 20e9), color="0.4")
right.set(xlabel="unknowns N", ylabel="bytes", title="Memory")
right.legend(frameon=False, loc="lower right")
for ax in (left, right):
    ax.grid(alpha=0.25)
plt.show()

# %%
# What to try next: several right-hand sides at once (``x`` of shape ``(N, k)``), rectangular factors (the order of
# the axes is then chosen by cost), a :func:`~structkit.kron.kron_plan` for small products in a loop, torch tensors.
