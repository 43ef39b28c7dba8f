"""Covariance matrices and their hyperparameter gradients against scikit-learn and gpytorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from structkit.gp import Kernel, Matern, Periodic, RationalQuadratic, SpectralMixture, SquaredExponential
from tests.benchmarks.harness import Row, compare, optional

ELL, PERIOD, ALPHA = 0.7, 1.3, 0.8


def _sklearn_kernel(kernel: Kernel) -> object:
    from sklearn.gaussian_process import kernels as sk

    if isinstance(kernel, SquaredExponential):
        return 1.0 * sk.RBF(ELL)
    if isinstance(kernel, Matern):
        return 1.0 * sk.Matern(ELL, nu=kernel.nu)
    if isinstance(kernel, Periodic):
        return 1.0 * sk.ExpSineSquared(ELL, PERIOD)
    if isinstance(kernel, RationalQuadratic):
        return 1.0 * sk.RationalQuadratic(ELL, ALPHA)
    raise ValueError(f"scikit-learn has no {type(kernel).__name__}")


def _gpytorch_kernel(kernel: Kernel) -> object:
    import torch
    from gpytorch import kernels as gk

    if isinstance(kernel, SpectralMixture):
        module = gk.SpectralMixtureKernel(num_mixtures=len(kernel.weights)).double()
        module.mixture_weights = kernel.weights.copy()
        module.mixture_means = kernel.frequencies.reshape(-1, 1, 1).copy()
        module.mixture_scales = 1 / (2 * np.pi * kernel.lengthscales.reshape(-1, 1, 1))
        return module
    kinds = {
        SquaredExponential: gk.RBFKernel,
        Matern: lambda: gk.MaternKernel(nu=kernel.nu),
        Periodic: gk.PeriodicKernel,
        RationalQuadratic: gk.RQKernel,
    }
    base = kinds[type(kernel)]().double()

    def number(value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float64)  # a Python float would be rounded to single precision

    base.lengthscale = number(ELL**2 if isinstance(kernel, Periodic) else ELL)
    if isinstance(kernel, Periodic):
        base.period_length = number(PERIOD)
    if isinstance(kernel, RationalQuadratic):
        base.alpha = number(ALPHA)
    module = gk.ScaleKernel(base).double()
    module.outputscale = number(1.0)
    return module


def _gram_peers(kernel: Kernel, x: np.ndarray) -> dict[str, Callable[[], object] | str]:
    def scikit_learn() -> Callable[[], object]:
        theirs = _sklearn_kernel(kernel)
        return lambda: theirs(x[:, None])

    def gpytorch() -> Callable[[], object]:
        import torch

        module, points = _gpytorch_kernel(kernel), torch.from_numpy(x)[:, None]

        def call() -> object:
            with torch.no_grad():
                return module(points).to_dense()

        return call

    return {"scikit-learn": optional(scikit_learn), "gpytorch": optional(gpytorch)}


def _gradient_peers(kernel: Kernel, x: np.ndarray, G: np.ndarray) -> dict[str, Callable[[], object] | str]:
    """Gradient in log lengthscale and log variance (in that order), the parameters that all libraries share."""

    def scikit_learn() -> Callable[[], object]:
        theirs = _sklearn_kernel(kernel)
        names = [h.name for h in theirs.hyperparameters]
        order = [names.index("k2__length_scale"), names.index("k1__constant_value")]

        def call() -> object:
            gradient = np.einsum("ij,ijk->k", G, theirs(x[:, None], eval_gradient=True)[1])
            return gradient[order]

        return call

    def gpytorch() -> Callable[[], object]:
        import torch

        module, points, weights = _gpytorch_kernel(kernel), torch.from_numpy(x)[:, None], torch.from_numpy(G)

        def log_gradient(owner: object, name: str) -> torch.Tensor:
            raw = getattr(owner, f"raw_{name}")
            natural = getattr(owner, name).detach()
            # softplus' = 1 - exp(-softplus)
            return (raw.grad / -torch.expm1(-natural) * natural).reshape(-1)

        def call() -> object:
            module.zero_grad()
            (module(points).to_dense() * weights).sum().backward()
            lengthscale = log_gradient(module.base_kernel, "lengthscale")
            # gpytorch's periodic lengthscale is the square of ours.
            factor = 2.0 if isinstance(kernel, Periodic) else 1.0
            return torch.cat([factor * lengthscale, log_gradient(module, "outputscale")])

        return call

    return {"scikit-learn": optional(scikit_learn), "gpytorch": optional(gpytorch)}


def _mixture_gradient_peers(kernel: SpectralMixture, x: np.ndarray, G: np.ndarray) -> dict:
    def gpytorch() -> Callable[[], object]:
        import torch

        module, points, weights = _gpytorch_kernel(kernel), torch.from_numpy(x)[:, None], torch.from_numpy(G)

        def call() -> object:
            module.zero_grad()
            (module(points).to_dense() * weights).sum().backward()
            natural = module.mixture_weights.detach()
            return module.raw_mixture_weights.grad / -torch.expm1(-natural) * natural

        return call

    return {"gpytorch": optional(gpytorch)}


def rows(*, quick: bool = False) -> list[Row]:
    """Rows of the benchmark table."""
    n = 300 if quick else 2000
    rng = np.random.default_rng(0)
    scattered, uniform = np.sort(rng.uniform(0, 10, n)), np.linspace(0, 10, n)
    G = rng.standard_normal((n, n))
    kernels: dict[str, Kernel] = {
        "SquaredExponential": SquaredExponential(ELL),
        "Matern-1/2": Matern(0.5, ELL),
        "Matern-5/2": Matern(2.5, ELL),
        "Periodic": Periodic(ELL, PERIOD),
        "RationalQuadratic": RationalQuadratic(ELL, ALPHA),
        "SpectralMixture, 4": SpectralMixture([1.0, 0.5, 0.3, 0.2], [0.1, 1.0, 2.0, 3.0], [1.0, 1.0, 0.5, 0.5]),
    }
    out: list[Row] = []
    for name, k in kernels.items():
        for kind, x in (("scattered", scattered), ("uniform", uniform)):
            reference = np.concatenate([k(x[i : i + 1], x).ravel() for i in range(n)])
            gate = 1.0 if kind == "scattered" else 3.0
            out += compare(
                f"{name}: Gram matrix, {n} {kind} points",
                lambda k=k, x=x: k(x),
                _gram_peers(k, x),
                reference=reference,
                gate=gate,
                bytes_moved=8.0 * n * n,
                budget=0.5,
            )
            free = k.fix()
            free = free.free("weights") if isinstance(k, SpectralMixture) else free.free("lengthscale", "variance")
            reference = np.einsum("ij,kij->k", G, free.jacobian(x, x.copy()))
            peers = _mixture_gradient_peers if isinstance(k, SpectralMixture) else _gradient_peers
            out += compare(
                f"{name}: gradient, {n} {kind} points",
                lambda free=free, x=x: free.contract_gradient(x, G),
                peers(k, x, G),
                reference=reference,
                gate=gate,
                bytes_moved=8.0 * n * n,
                budget=0.5,
            )
    return out
