"""structkit kernels as gpytorch modules."""

import copy
import io

import numpy as np
import pytest

gpytorch = pytest.importorskip("gpytorch")
torch = pytest.importorskip("torch")

from structkit.gp import (  # noqa: E402
    GPyTorchKernel,
    Matern,
    Periodic,
    SpectralMixture,
    SquaredExponential,
    as_kernel,
)
from structkit.interop import from_gpytorch, from_linear_operator, to_gpytorch, to_linear_operator  # noqa: E402
from structkit.kron import Identity, Kronecker, gaussian_evidence, solve  # noqa: E402

KERNELS = {
    "squared-exponential": SquaredExponential(0.7, 1.3),
    "matern": Matern(2.5, 0.4),
    "mixture": SpectralMixture([1.0, 0.4], [0.0, 2.3], [0.9, 0.5]),
    "locally-periodic": SquaredExponential(2.0) * Periodic(1.0, 0.5).fix("variance"),
}
X = torch.tensor([[-0.3], [0.0], [0.0], [0.4], [1.3]], dtype=torch.float64)
Y = torch.tensor([[0.1], [0.9]], dtype=torch.float64)


@pytest.fixture(params=list(KERNELS))
def kernel(request):
    return KERNELS[request.param]


def test_values_diagonals_and_batches(kernel):
    module = to_gpytorch(kernel).double()
    np.testing.assert_allclose(module(X, Y).to_dense().detach(), kernel(X[:, 0].numpy(), Y[:, 0].numpy()), rtol=1e-6)
    np.testing.assert_allclose(module(X, diag=True).detach(), kernel.diagonal(X[:, 0].numpy()), rtol=1e-6)
    K = module(torch.stack([X, 2 * X]), Y).to_dense().detach()
    assert K.shape == (2, 5, 2)
    np.testing.assert_allclose(K[1], kernel(2 * X[:, 0].numpy(), Y[:, 0].numpy()), rtol=1e-5, atol=1e-7)
    diagonal = module(X[:2], Y, diag=True).detach()
    np.testing.assert_allclose(diagonal, np.diagonal(kernel(X[:2, 0].numpy(), Y[:, 0].numpy())), rtol=1e-6, atol=1e-8)


def test_gradients_reach_theta(kernel):
    module = to_gpytorch(kernel).double()
    module(X).to_dense().sum().backward()
    expected = module.structkit_kernel().contract_gradient(X[:, 0], torch.ones(5, 5, dtype=torch.float64))
    np.testing.assert_allclose(module.theta.grad, expected.detach(), rtol=1e-10, atol=1e-10)
    assert module.parameter_names == kernel.parameter_names


def test_trains_in_an_exact_gp():
    class Model(gpytorch.models.ExactGP):
        def __init__(self, x, y, likelihood):
            super().__init__(x, y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = to_gpytorch(SpectralMixture([1.0], [1.9], [1.0]).fix("lengthscales"))

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    x = torch.linspace(0, 2, 25, dtype=torch.float64)
    y = torch.sin(2 * torch.pi * 2.0 * x)
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = Model(x, y, likelihood).double()
    evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = -evidence(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    learned = model.covar_module.structkit_kernel()
    assert losses[-1] < losses[0] - 0.5
    assert abs(learned.frequencies[0].item() - 2.0) < 0.05
    assert learned.lengthscales[0].item() == 1.0
    model.eval()
    likelihood.eval()
    with torch.no_grad():
        mean = model(torch.tensor([0.33], dtype=torch.float64)).mean
    assert mean.item() == pytest.approx(np.sin(4 * np.pi * 0.33), abs=0.1)


class GridModel(gpytorch.models.ExactGP):
    """A grid process as a gpytorch model: structkit kernels, one per axis, and a structkit operator."""

    def __init__(self, axes, y, likelihood, kernels):
        super().__init__(torch.arange(float(y.numel()), dtype=y.dtype), y, likelihood)
        self.axes, self.mean_module = axes, gpytorch.means.ZeroMean()
        self.kernels = torch.nn.ModuleList(to_gpytorch(k).double() for k in kernels)

    def forward(self, x):
        factors = [k(t[:, None]).to_dense() for k, t in zip(self.kernels, self.axes, strict=True)]
        K = to_linear_operator(Kronecker(*factors))
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), K)


def test_a_gpytorch_model_trains_with_structkit_operators():
    axes = [torch.linspace(0, 2, 9, dtype=torch.float64), torch.linspace(0, 1, 6, dtype=torch.float64)]
    kernels = [SpectralMixture([1.0], [1.0], [1.0]).fix("frequencies", "weights"), SquaredExponential(0.4, 0.8)]
    rng = np.random.default_rng(0)
    y = torch.from_numpy(
        (np.sin(2 * np.pi * axes[0].numpy())[:, None] * np.exp(-axes[1].numpy())).ravel()
        + 0.1 * rng.standard_normal(54)
    )
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    model = GridModel(axes, y, likelihood, kernels)
    model.train()
    evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = -54 * evidence(model(model.train_inputs[0]), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 5
    # value and gradient are those of structkit's own evidence
    optimizer.zero_grad()
    theirs = 54 * evidence(model(model.train_inputs[0]), y)
    theirs.backward()
    gradients = [k.theta.grad.clone() for k in model.kernels]
    optimizer.zero_grad()
    factors = [k(t[:, None]).to_dense() for k, t in zip(model.kernels, axes, strict=True)]
    noise = likelihood.noise.squeeze()
    ours = gaussian_evidence(factors, y, noise).value
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for k, expected in zip(model.kernels, gradients, strict=True):
        torch.testing.assert_close(k.theta.grad, expected, rtol=1e-6, atol=1e-8)
    # the covariance goes back with its structure, and solves the same system
    prior = model(model.train_inputs[0])
    back = from_linear_operator(prior.lazy_covariance_matrix)
    assert isinstance(back, Kronecker)
    weights = solve(back + noise.detach() * Identity(54), y)
    expected = likelihood(prior).lazy_covariance_matrix.solve(y[:, None])[:, 0]
    torch.testing.assert_close(weights, expected, rtol=1e-7, atol=1e-9)


def test_round_trips(kernel):
    module = to_gpytorch(kernel).double()
    np.testing.assert_allclose(as_kernel(module)(X[:, 0].numpy()), kernel(X[:, 0].numpy()), rtol=1e-6)
    back = from_gpytorch(module)
    np.testing.assert_allclose(back(X[:, 0]).detach(), kernel(X[:, 0].numpy()), rtol=1e-6)
    wrapped = GPyTorchKernel(gpytorch.kernels.RBFKernel())
    assert isinstance(to_gpytorch(wrapped), gpytorch.kernels.RBFKernel)


def test_modules_copy_and_save(kernel):
    module = to_gpytorch(kernel)
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin.theta += 1.0
    assert not torch.equal(twin.theta, module.theta)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert again.kernel == kernel
    again.load_state_dict(twin.state_dict())
    assert torch.equal(again.theta, twin.theta)


def test_active_dims_choose_a_column():
    module = to_gpytorch(SquaredExponential(), active_dims=(1,))
    x = torch.tensor([[5.0, 0.0], [7.0, 1.0]])
    np.testing.assert_allclose(module(x).to_dense().detach()[0, 1], np.exp(-0.5), rtol=1e-6)
    plain = to_gpytorch(SquaredExponential())
    with pytest.raises(ValueError, match="one input; got 2"):
        plain(x).to_dense()
    with pytest.raises(ValueError, match="must name one column"):
        to_gpytorch(SquaredExponential(), active_dims=(0, 1))


def test_only_kernels_are_converted():
    with pytest.raises(TypeError, match="converts structkit kernels; got RBFKernel"):
        to_gpytorch(gpytorch.kernels.RBFKernel())
