r"""
tensorly's algorithms on structkit's products
=============================================

One line puts structkit behind tensorly's tensor algebra: the same decompositions, without large intermediates.

The work of a CP decomposition is the matricised tensor times Khatri-Rao product,

.. math:: M_d = X_{(d)} \,(A_1 \odot \dots \odot A_{d-1} \odot A_{d+1} \odot \dots \odot A_D).

tensorly forms the Khatri-Rao product and unfolds the tensor for every mode; structkit contracts runs of modes in place.
"""

import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np
from tensorly import tenalg
from tensorly.decomposition import parafac

from structkit.interop import register_tensorly_backend

# %%
# A fourth-order tensor of rank 8 and its decomposition by alternating least squares, from the same start.

rng = np.random.default_rng(0)
factors = [rng.standard_normal((24, 8)) for _ in range(4)]
X = np.einsum("ar,br,cr,dr->abcd", *factors) + 0.1 * rng.standard_normal((24,) * 4)
options = {"rank": 8, "n_iter_max": 15, "init": "random", "random_state": 0, "tol": 0}
theirs = parafac(X, **options)
with tenalg.backend_context(register_tensorly_backend()):
    ours = parafac(X, **options)
differences = [np.abs(a - b).max() for a, b in zip(ours.factors, theirs.factors, strict=True)]
print(f"largest difference of the factors: {max(differences):.1e}")

# %%
# One product at growing sizes: seconds and the most memory beyond the tensor itself, for rank 16 and the second of four
# modes.


def measure(X, matrices):
    """Best of five times, and the peak of memory, both of one product."""
    tenalg.unfolding_dot_khatri_rao(X, (None, matrices), 1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        tenalg.unfolding_dot_khatri_rao(X, (None, matrices), 1)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    tenalg.unfolding_dot_khatri_rao(X, (None, matrices), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(seconds), peak / X.nbytes


sizes = [12, 18, 24, 32, 44, 56]
results = {"tensorly": [], "structkit": []}
for n in sizes:
    Y, matrices = rng.standard_normal((n,) * 4), [rng.standard_normal((n, 16)) for _ in range(4)]
    results["tensorly"].append(measure(Y, matrices))
    with tenalg.backend_context(register_tensorly_backend()):
        results["structkit"].append(measure(Y, matrices))

fig, axes = plt.subplots(1, 2, figsize=(8.4, 4), layout="constrained")
for (name, values), color in zip(results.items(), ("#D55E00", "#0072B2"), strict=True):
    seconds, peaks = np.transpose(values)
    axes[0].loglog([n**4 for n in sizes], 1e3 * seconds, "o-", color=color, label=name)
    axes[1].semilogx([n**4 for n in sizes], peaks, "o-", color=color, label=name)
axes[0].set(xlabel="entries of the tensor", ylabel="time of one product (ms)")
axes[1].set(xlabel="entries of the tensor", ylabel="extra memory / tensor", ylim=(0, None))
axes[0].legend(frameon=False)
plt.show()

# %%
# What to try next: torch tensors (``tensorly.set_backend("pytorch")``), through which gradients flow; Tucker
# decompositions, whose mode products gain likewise; ``tenalg.set_backend("core")`` to go back.
