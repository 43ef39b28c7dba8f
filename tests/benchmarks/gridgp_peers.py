"""The problems of `bench_gridgp` as users of gpytorch, botorch, scikit-learn, scipy and tensorly would solve them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from structkit.gp import Kernel, Matern

if TYPE_CHECKING:
    from tests.benchmarks.bench_gridgp import Problem

Call = Callable[[], object]


# ---- dense algebra ----------------------------------------------------------------------------------------------


def dense_posterior(
    p: Problem, noise: float, new: Sequence[np.ndarray] | None = None, *, deviation: bool = True
) -> tuple[np.ndarray, ...]:
    """Posterior mean and standard deviation by the Cholesky factor of the observed cells."""
    index = np.argwhere(~np.isnan(p.y)).T
    C, cross, prior = np.ones(()), np.ones(()), np.ones(())
    for k, x, i, x_new in zip(p.kernels, p.coords, index, new or p.coords, strict=True):
        C = C * k(x)[np.ix_(i, i)]
        K = k(x_new, x)[:, i]
        cross = (cross[..., None, :] * K).reshape(-1, K.shape[1]) if cross.ndim else K
        prior = np.multiply.outer(prior, k.diagonal(x_new))
    C[np.diag_indices_from(C)] += noise
    L = scipy.linalg.cholesky(C, lower=True, overwrite_a=True)
    mean = cross @ scipy.linalg.cho_solve((L, True), p.y[~np.isnan(p.y)])
    if not deviation:
        return (mean.reshape(prior.shape),)
    half = scipy.linalg.solve_triangular(L, cross.T, lower=True)
    variance = prior - (half**2).sum(0).reshape(prior.shape)
    return mean.reshape(prior.shape), np.sqrt(variance)


def dense_evidence(p: Problem, noise: float) -> np.ndarray:
    """Log evidence and its derivatives for the logarithms of lengthscale, variance and noise, on a complete grid."""
    first, second = (k(x) for k, x in zip(p.kernels, p.coords, strict=True))
    slopes = [k.fix("variance").jacobian(x)[0] for k, x in zip(p.kernels, p.coords, strict=True)]
    K = np.kron(first, second)
    C = K + noise * np.eye(len(K))
    y = p.y.ravel()
    inverse = np.linalg.inv(C)
    alpha = inverse @ y
    value = -0.5 * (y @ alpha + np.linalg.slogdet(C)[1] + len(y) * math.log(2 * math.pi))
    W = 0.5 * (np.multiply.outer(alpha, alpha) - inverse)
    lengthscale = np.kron(slopes[0], second) + np.kron(first, slopes[1])
    return np.array([value, (W * lengthscale).sum(), (W * K).sum(), noise * np.trace(W)])


# ---- scikit-learn -----------------------------------------------------------------------------------------------


def _sklearn(p: Problem, lengthscale: float, noise: float, **options: object) -> tuple[object, np.ndarray]:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process import kernels as sk

    kernel = sk.ConstantKernel(1.0) * sk.RBF([lengthscale] * 2) + sk.WhiteKernel(noise)
    points = np.stack(np.meshgrid(*p.coords, indexing="ij"), axis=-1).reshape(-1, 2)
    return GaussianProcessRegressor(kernel, alpha=0.0, **options), points


def sklearn_evidence(p: Problem, noise: float) -> Call:
    """Dense evidence and gradient."""
    model, points = _sklearn(p, p.kernels[0].lengthscale, noise, optimizer=None)
    model.fit(points, p.y.ravel())
    theta = model.kernel_.theta  # variance, two lengthscales, noise

    def call() -> object:
        value, g = model.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        return np.array([value, g[1] + g[2], g[0], g[3]])

    return call


def sklearn_fit(p: Problem) -> Call:
    """Dense fit from lengthscale one."""
    model, points = _sklearn(p, 1.0, 0.05)
    y = p.y.ravel()
    return lambda: model.fit(points, y).log_marginal_likelihood_value_


def sklearn_predict(p: Problem, noise: float, new: Sequence[np.ndarray]) -> Call:
    """Mean and deviation of the fitted dense model."""
    model, points = _sklearn(p, p.kernels[0].lengthscale, noise, optimizer=None)
    model.fit(points, p.y.ravel())
    model.kernel_ = model.kernel_.k1  # without the noise, which would be added to the deviation
    targets = np.stack(np.meshgrid(*new, indexing="ij"), axis=-1).reshape(-1, 2)
    return lambda: model.predict(targets, return_std=True)


# ---- gpytorch ---------------------------------------------------------------------------------------------------


def _number(value: float) -> object:
    import torch

    return torch.tensor(value, dtype=torch.float64)  # a Python float would be rounded to single precision


def _base(kernel: Kernel, lengthscale: float | None = None) -> object:
    """The structkit kernel in gpytorch."""
    from gpytorch import kernels as gk

    module = (gk.MaternKernel(nu=kernel.nu) if isinstance(kernel, Matern) else gk.RBFKernel()).double()
    module.lengthscale = _number(lengthscale or kernel.lengthscale)
    return module


def _scaled(kernel: object) -> object:
    from gpytorch.kernels import ScaleKernel

    module = ScaleKernel(kernel).double()
    module.outputscale = _number(1.0)
    return module


def _likelihood(noise: float) -> object:
    from gpytorch.likelihoods import GaussianLikelihood

    likelihood = GaussianLikelihood().double()
    likelihood.noise = _number(noise)
    return likelihood


def _exact_gp(p: Problem, noise: float, kind: str, lengthscale: float | None = None) -> tuple[object, object, object]:
    """An ExactGP of zero mean with its marginal log likelihood, and its points."""
    import torch
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.kernels import GridKernel
    from gpytorch.means import ZeroMean
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.models import ExactGP
    from gpytorch.utils.grid import create_data_from_grid
    from linear_operator.operators import KroneckerProductLinearOperator

    grid = [torch.from_numpy(x) for x in p.coords]
    points = create_data_from_grid(grid)  # the first axis is the fastest
    base = [_base(k, lengthscale) for k in p.kernels]

    class Model(ExactGP):
        def __init__(self) -> None:
            order = p.y.ravel() if kind == "kronecker" else p.y.ravel(order="F")
            super().__init__(points, torch.from_numpy(order), _likelihood(noise))
            self.mean_module = ZeroMean()
            if kind == "kronecker":
                self.first, self.second = _scaled(base[0]), base[1]
            elif kind == "inside":
                self.kernel = GridKernel(_scaled(base[0]), grid)
            elif kind == "outside":
                self.kernel = _scaled(GridKernel(base[0], grid))
            else:
                self.kernel = _scaled(base[0])

        def transform_inputs(self, X: torch.Tensor) -> torch.Tensor:  # botorch's optimiser asks for it
            return X

        def forward(self, x: torch.Tensor) -> MultivariateNormal:
            if kind == "kronecker":
                K = KroneckerProductLinearOperator(self.first(grid[0]), self.second(grid[1]))
            else:
                K = self.kernel(x)
            return MultivariateNormal(self.mean_module(x), K)

    model = Model().double()
    return model, ExactMarginalLogLikelihood(model.likelihood, model), points


def _log_slope(module: object, name: str) -> object:
    """Derivative for the logarithm of a parameter that gpytorch holds behind a constraint."""
    import torch

    raw, value = getattr(module, f"raw_{name}"), getattr(module, name).detach()
    lower = getattr(module, f"raw_{name}_constraint").lower_bound
    # softplus' = 1 - exp(-softplus)
    return (raw.grad / -torch.expm1(lower - value) * value).sum()


def _structured() -> object:
    """Let gpytorch use the Kronecker structure; botorch, when imported, makes dense Cholesky factors the default."""
    from gpytorch.settings import fast_computations

    return fast_computations(True, True, True)


def gpytorch_evidence(p: Problem, noise: float, kind: str) -> Call:
    """Evidence and gradient with the kernel laid out in one of three ways."""
    import gpytorch

    model, mll, points = _exact_gp(p, noise, kind)
    n = p.y.size
    scale = model.first if kind == "kronecker" else model.kernel.base_kernel if kind == "inside" else model.kernel
    base = {
        "kronecker": lambda: [model.first.base_kernel, model.second],
        "inside": lambda: [model.kernel.base_kernel.base_kernel],
        "outside": lambda: [model.kernel.base_kernel.base_kernel],
    }[kind]()
    axes = 2.0 if kind == "inside" else 1.0  # there, each axis has the scale once

    def call() -> object:
        model.zero_grad()
        with _structured(), gpytorch.settings.use_toeplitz(False):
            value = n * mll(model(points), model.train_targets)
            value.backward()
        lengthscale = sum(float(_log_slope(b, "lengthscale")) for b in base)
        variance = float(_log_slope(scale, "outputscale")) / axes
        return np.array([value.item(), lengthscale, variance, float(_log_slope(model.likelihood.noise_covar, "noise"))])

    return call


def gpytorch_fit(p: Problem) -> Call:
    """L-BFGS of botorch from lengthscale one."""
    from botorch.fit import fit_gpytorch_mll

    def call() -> object:
        model, mll, points = _exact_gp(p, 0.05, "kronecker", 1.0)
        with _structured():
            fit_gpytorch_mll(mll)
            model.train()
            return (mll(model(points), model.train_targets) * p.y.size).item()

    return call


def gpytorch_predict(p: Problem, noise: float, new: Sequence[np.ndarray]) -> Call:
    """Mean and deviation of the dense model, exact; what the model caches is computed in the warm-up."""
    import gpytorch
    import torch

    model, _, _ = _exact_gp(p, noise, "dense")
    model.eval()
    targets = torch.from_numpy(np.stack(np.meshgrid(*new, indexing="ij"), axis=-1).reshape(-1, 2))

    def call() -> object:
        exact = gpytorch.settings.fast_computations(False, False, False)
        with torch.no_grad(), exact, gpytorch.settings.max_cholesky_size(10**6):
            posterior = model(targets)
            mean = posterior.mean.reshape(len(new[0]), -1)
            return mean, posterior.variance.sqrt()

    return call


# ---- botorch ----------------------------------------------------------------------------------------------------


def _latent_kronecker(p: Problem, noise: float) -> object:
    import torch
    from botorch.models.latent_kronecker_gp import LatentKroneckerGP

    first, second = (torch.from_numpy(x)[:, None] for x in p.coords)
    model = LatentKroneckerGP(
        first,
        second,
        torch.from_numpy(p.y),
        likelihood=_likelihood(noise),
        covar_module_X=_base(p.kernels[0]),
        covar_module_T=_base(p.kernels[1]),
        outcome_transform=None,
    )
    model.eval()
    return model


def botorch_mean(p: Problem, noise: float, tol: float) -> Call:
    """Posterior mean on the grid, solved anew in each call; without the variances that would come along."""
    import torch
    from gpytorch.settings import eval_cg_tolerance, skip_posterior_variances

    model = _latent_kronecker(p, noise)
    points = model.train_inputs[0]

    def call() -> object:
        model.prediction_strategy = None
        iterative, mean_only = model.use_iterative_methods(tol=tol), skip_posterior_variances(True)
        with torch.no_grad(), warnings.catch_warnings(), iterative, mean_only, eval_cg_tolerance(tol):
            warnings.simplefilter("ignore")
            return model.posterior(points).mean

    return call


def botorch_deviation(p: Problem, noise: float) -> Call:
    """Standard deviation on the grid."""
    import torch

    model = _latent_kronecker(p, noise)
    points = model.train_inputs[0]

    def call() -> object:
        model.prediction_strategy = None
        with torch.no_grad(), warnings.catch_warnings(), model.use_iterative_methods():
            warnings.simplefilter("ignore")
            return model.posterior(points).variance.sqrt()

    return call


def botorch_samples(p: Problem, noise: float, count: int) -> Call:
    """Posterior samples on the grid by pathwise conditioning."""
    import torch

    model = _latent_kronecker(p, noise)
    points = model.train_inputs[0]

    def call() -> object:
        model.prediction_strategy = None
        with torch.no_grad(), warnings.catch_warnings(), model.use_iterative_methods():
            warnings.simplefilter("ignore")
            return model.posterior(points).rsample(torch.Size([count]))

    return call


# ---- tensorly ---------------------------------------------------------------------------------------------------


def tensorly_cp(p: Problem, rank: int) -> Call:
    """Masked CP decomposition by alternating least squares."""
    import tensorly as tl
    from tensorly.decomposition import parafac

    mask, filled = (~p.hidden).astype(float), np.nan_to_num(p.y)
    return lambda: tl.cp_to_tensor(parafac(filled, rank, mask=mask, n_iter_max=500, random_state=0))


def tensorly_tucker(p: Problem, rank: int) -> Call:
    """Masked Tucker decomposition by alternating singular value decompositions."""
    import tensorly as tl
    from tensorly.decomposition import tucker

    mask, filled = (~p.hidden).astype(float), np.nan_to_num(p.y)
    return lambda: tl.tucker_to_tensor(tucker(filled, [rank] * 3, mask=mask, n_iter_max=500, random_state=0))
