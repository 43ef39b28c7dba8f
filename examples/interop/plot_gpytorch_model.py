r"""
A gpytorch model on a structkit operator
========================================

structkit's kernels and a Kronecker operator inside of a gpytorch model, trained by torch's optimiser.

A grid of 60 by 50 cells has a covariance :math:`K_1 \otimes K_2 + \sigma^2 I` of 3000 by 3000 numbers. Given as an
operator, gpytorch's own marginal likelihood works with its factors only.
"""

import time

import gpytorch
import matplotlib.pyplot as plt
import numpy as np
import torch

from structkit.gp import GridGP, Matern, SpectralMixture
from structkit.interop import to_gpytorch, to_linear_operator
from structkit.kron import Kronecker

torch.set_default_dtype(torch.float64)
axes = [torch.linspace(0, 3, 60), torch.linspace(0, 1, 50)]
rng = np.random.default_rng(0)
truth = np.sin(2 * np.pi * 1.3 * axes[0].numpy())[:, None] * np.exp(-2 * np.abs(axes[1].numpy() - 0.4))
y = torch.from_numpy((truth + 0.3 * rng.standard_normal(truth.shape)).ravel())

# %%
# A model as in gpytorch's tutorials. What is new is the last line of ``forward``.


class GridModel(gpytorch.models.ExactGP):
    def __init__(self, likelihood):
        super().__init__(torch.arange(3000.0), y, likelihood)
        kernels = SpectralMixture([0.5], [1.0], [1.0]), Matern(1.5, lengthscale=0.5).fix("variance")
        self.kernels = torch.nn.ModuleList(to_gpytorch(k) for k in kernels)

    def forward(self, x):
        mean = torch.zeros(len(x))
        factors = [k(t[:, None]).to_dense() for k, t in zip(self.kernels, axes, strict=True)]
        return gpytorch.distributions.MultivariateNormal(mean, to_linear_operator(Kronecker(*factors)))


likelihood = gpytorch.likelihoods.GaussianLikelihood()
model = GridModel(likelihood)
evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
trace, begin = [], time.perf_counter()
for _ in range(60):
    optimizer.zero_grad()
    loss = -3000 * evidence(model(model.train_inputs[0]), y)
    loss.backward()
    optimizer.step()
    trace.append((model.kernels[0].structkit_kernel().frequencies[0].item(), -loss.item()))
seconds = time.perf_counter() - begin
print(f"60 steps on 3000 cells: {seconds:.1f} s; frequency {trace[-1][0]:.3f}, log evidence {trace[-1][1]:.1f}")

# %%
# The trained kernels come back as structkit's. `GridGP <structkit.gp.GridGP>` predicts with them, exactly, at any
# coordinates; left to learn on by itself, it gains a little more.

kernels = [k.structkit_kernel().with_theta(k.theta.detach().numpy()) for k in model.kernels]
grid = [a.numpy() for a in axes]
Y = y.numpy().reshape(60, 50)
settings = {"mean": "zero", "random_state": 0}
trained = GridGP(kernels, noise_var=likelihood.noise.item(), learn_kernels=False, **settings).fit(grid, Y)
learned = GridGP(kernels, **settings).fit(grid, Y)
mean, std = trained.predict([np.linspace(0, 3.5, 200), [0.2]], return_std=True)
print(f"log evidence: gpytorch {trace[-1][1]:.1f}, the same kernels {trained.log_evidence_:.1f}, ", end="")
print(f"learned on {learned.log_evidence_:.1f}")

fig, (top, bottom) = plt.subplots(2, 1, figsize=(7.5, 5.8), layout="constrained", height_ratios=[1, 1.5])
top.plot([v for _, v in trace], color="#0072B2")
top.axhline(learned.log_evidence_, color="k", ls="--", lw=1, label="GridGP, learned on")
top.set(xlabel="step of Adam", ylabel="log evidence")
top.legend(frameon=False, loc="lower right")
t = np.linspace(0, 3.5, 200)
bottom.fill_between(t, *(mean[:, 0] + k * 1.96 * std[:, 0] for k in (-1, 1)), color="#0072B2", alpha=0.25, lw=0)
bottom.plot(t, mean[:, 0], color="#0072B2", label="posterior at 0.2, 95 % band")
bottom.plot(t, np.exp(-0.4) * np.sin(2 * np.pi * 1.3 * t), "k--", lw=1, label="truth")
bottom.plot(grid[0], Y[:, 10], "k.", ms=4, label="observed beside it")
bottom.axvspan(3, 3.5, color="0.94", zorder=0)
bottom.set(xlabel="first coordinate; shaded: beyond the data", ylabel="value", xlim=(0, 3.5))
bottom.legend(frameon=False, ncols=3, loc="upper center")
bottom.set_ylim(-1.4, 1.9)
plt.show()

# %%
# What to try next: priors on ``theta`` with gpytorch's ``register_prior``; other likelihoods of gpytorch; the way back,
# `from_linear_operator <structkit.interop.from_linear_operator>`.
