r"""
See what a kernel believes
==========================

A kernel is a belief about functions; its samples show how smooth they are, its spectrum where their power is.

A stationary kernel :math:`k(x, x') = h(x - x')` and its spectral density

.. math::

    S(f) = \int_{-\infty}^{\infty} h(\tau)\, e^{-2 \pi i f \tau}\, d\tau, \qquad
    \int_{-\infty}^{\infty} S(f)\, df = h(0),

say the same thing twice. The rougher the samples, the heavier the tail of :math:`S`.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.gp import Matern, Periodic, RationalQuadratic, SpectralMixture, SquaredExponential

kernels = {
    "Matern 1/2": Matern(nu=0.5, lengthscale=1.0),
    "Matern 3/2": Matern(nu=1.5, lengthscale=1.0),
    "Matern 5/2": Matern(nu=2.5, lengthscale=1.0),
    "Squared\nexponential": SquaredExponential(lengthscale=1.0),
    "Rational\nquadratic": RationalQuadratic(lengthscale=1.0, alpha=0.3),
    "Periodic x\nsquared exp.": Periodic(lengthscale=0.8, period=1.5) * SquaredExponential(lengthscale=6.0),
    "Spectral\nmixture": SpectralMixture([0.8, 0.2], [0.0, 2.0], [2.5, 1.5]),
}

# %%
# Three samples of each, drawn from the eigenvectors of the covariance matrix on a grid. The same random numbers serve
# every kernel. In the spectra, the straight lines of the Matern kernels are powers of the frequency: :math:`f^{-2}`,
# :math:`f^{-4}` and :math:`f^{-6}`.

x = np.linspace(0, 10, 501)
lag = np.linspace(0, 4, 201)
frequency = np.geomspace(0.03, 5, 400)
normal = np.random.default_rng(214).standard_normal((x.size, 3))


def samples(kernel):
    eigenvalues, vectors = np.linalg.eigh(kernel(x))
    # signs of eigenvectors are arbitrary: the symmetric square root does not depend on them
    return vectors @ (np.sqrt(np.clip(eigenvalues, 0, None))[:, None] * (vectors.T @ normal))


colours = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#7A5195"]
fig, axes = plt.subplots(
    len(kernels), 3, figsize=(10, 8.5), sharex="col", width_ratios=(1, 2.4, 1.2), layout="constrained"
)
for row, (name, kernel), colour in zip(axes, kernels.items(), colours, strict=True):
    left, middle, right = row
    left.plot(lag, kernel([0.0], lag)[0], color=colour, lw=2)
    left.axhline(0, color="0.8", lw=0.8, zorder=0)
    left.set(ylim=(-0.65, 1.15), yticks=[0, 1], ylabel=name)
    left.yaxis.label.set(rotation=0, ha="right", va="center", weight="bold", color=colour)
    for path, alpha, width in zip(samples(kernel).T, (1.0, 0.55, 0.3), (1.6, 1.2, 1.2), strict=True):
        middle.plot(x, path, color=colour, alpha=alpha, lw=width)
    middle.set(ylim=(-2.9, 2.9), yticks=[-2, 0, 2])
    right.loglog(frequency, kernel.spectral_density(frequency), color=colour, lw=2)
    right.set(ylim=(1e-6, 20), yticks=[1e-5, 1e-3, 1e-1, 1e1])
    for ax in row:
        ax.spines[["top", "right"]].set_visible(False)
axes[0, 0].set_title("covariance")
axes[0, 1].set_title("samples")
axes[0, 2].set_title("spectral density")
axes[-1, 0].set_xlabel(r"distance $\tau$")
axes[-1, 1].set_xlabel(r"coordinate $x$")
axes[-1, 2].set_xlabel("frequency (cycles per unit)")
fig.suptitle("Seven beliefs about a function", weight="bold")

# %%
# Smoothness is also what the derivative blocks report: the highest order that exists, and the standard deviation of the
# slope where there is one.

for name, kernel in kernels.items():
    slope = f"{kernel.diagonal(x[:1], order=1)[0] ** 0.5:.2f}" if kernel.max_order >= 2 else "none"
    print(f"{name.replace(chr(10), ' '):24s} highest order {kernel.max_order:3.0f}   slope {slope}")

# %%
# **What to try next.** Halve a lengthscale and watch the spectrum widen by two; multiply two kernels; or learn the
# hyperparameters from data with `structkit.gp.GridGP`.
