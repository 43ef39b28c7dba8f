r"""
Gradients through a Kronecker product
=====================================

Torch tensors in, torch tensors out, with gradients to the vector and to every factor: here they find a camera's blur.

A sharp image :math:`X` is blurred along its rows and columns, :math:`Y = A(\theta)\, X\, B(\theta)^\top` plus noise,
that is :math:`\operatorname{vec}(Y) = (A \otimes B) \operatorname{vec}(X)`. Widths and shifts of the two blurs are
unknown; we minimise the mean squared difference over :math:`\theta`.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.cbook import get_sample_data

from structkit.kron import kron_matmul


def blur(n, width, shift):
    """Rows are Gaussian weights around each pixel, moved by the shift."""
    i = torch.arange(n, dtype=torch.float64)
    return torch.softmax(-0.5 * ((i[:, None] - i - shift) / width) ** 2, dim=1)


image = get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)[::2, ::2]
sharp = torch.tensor((image - image.mean()) / image.std())
n1, n2 = sharp.shape
x = sharp.ravel()

truth = torch.tensor([2.0, 8.0, 0.0, -12.0], dtype=torch.float64)  # widths, then shifts, in pixels
noise = 0.05 * torch.from_numpy(np.random.default_rng(0).standard_normal(n1 * n2))
y = kron_matmul([blur(n1, truth[0], truth[2]), blur(n2, truth[1], truth[3])], x) + noise

# %%
# The loss is ordinary torch code. The product is differentiated by a rule of its own, which keeps no dense matrix.

theta = torch.tensor([4.0, 4.0, 1.0, -4.0], dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.LBFGS([theta], max_iter=100, line_search_fn="strong_wolfe")
history = []


def closure():
    optimizer.zero_grad()
    factors = [blur(n1, theta[0], theta[2]), blur(n2, theta[1], theta[3])]
    loss = torch.mean((kron_matmul(factors, x) - y) ** 2)
    loss.backward()
    history.append(theta.detach().clone())
    return loss


loss = optimizer.step(closure)
for name, true, found in zip(("width 1", "width 2", "shift 1", "shift 2"), truth, theta.detach(), strict=True):
    print(f"{name}: true {true:6.2f}, found {found:6.2f} pixels")

# %%
fig = plt.figure(figsize=(7.6, 6.4), layout="constrained")
axes = fig.subplot_mosaic([["sharp", "blurred, moved, noisy"], ["trace", "trace"]], height_ratios=(1.5, 1))
for title, picture in (("sharp", sharp.numpy()), ("blurred, moved, noisy", y.reshape(n1, n2).numpy())):
    axes[title].imshow(picture, cmap="gist_earth")
    axes[title].set(title=title, xticks=[], yticks=[])
trace = torch.stack(history).numpy()
for k, color in enumerate(("#0072b2", "#d55e00", "#009e73", "#cc79a7")):
    axes["trace"].plot(trace[:, k], "o-", ms=3, color=color, label=("width 1", "width 2", "shift 1", "shift 2")[k])
    axes["trace"].axhline(truth[k], color=color, ls=":", lw=1)
axes["trace"].set(xlabel="evaluation", ylabel="pixels", title="found by L-BFGS (dotted: true)")
axes["trace"].legend(frameon=False, fontsize=8, ncols=2, loc="center right")
plt.show()

# %%
# What to try next: second derivatives (the rule is differentiable twice), ``x.requires_grad`` to deblur the image
# itself, tensors on a GPU.
