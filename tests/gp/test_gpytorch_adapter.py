"""gpytorch kernels behind the kernel interface: values, gradients, priors, constraints, storage."""

import json
import math

import numpy as np
import pytest

gpytorch = pytest.importorskip("gpytorch")
torch = pytest.importorskip("torch")

from gpytorch import constraints as gc  # noqa: E402
from gpytorch import kernels as gk  # noqa: E402
from gpytorch import priors as gpr  # noqa: E402

from structkit import BackendMismatchError, ShapeError  # noqa: E402
from structkit.gp import (  # noqa: E402
    GPyTorchKernel,
    Kernel,
    SquaredExponential,
    as_kernel,
    from_gpytorch,
)

X = np.array([-0.35, 0.0, 0.0, 0.11, 0.4, 1.7])
Y = np.linspace(-0.6, 1.2, 5)


def mixture():
    torch.manual_seed(0)
    k = gk.SpectralMixtureKernel(num_mixtures=2)
    k.initialize(mixture_weights=[0.7, 0.4], mixture_means=[[[0.2]], [[1.4]]], mixture_scales=[[[0.3]], [[0.5]]])
    return k


def with_priors():
    k = gk.ScaleKernel(
        gk.RBFKernel(
            lengthscale_prior=gpr.GammaPrior(3.0, 6.0), lengthscale_constraint=gc.Interval(0.05, 4.0, initial_value=0.6)
        ),
        outputscale_prior=gpr.LogNormalPrior(0.1, 0.7),
        outputscale_constraint=gc.GreaterThan(1e-3),
    )
    k.outputscale = 1.4
    return k


BUILD = {
    "rbf": lambda: gk.ScaleKernel(gk.RBFKernel()),
    "matern12": lambda: gk.MaternKernel(nu=0.5),
    "matern32": lambda: gk.ScaleKernel(gk.MaternKernel(nu=1.5)),
    "matern52": lambda: gk.MaternKernel(nu=2.5),
    "rq": lambda: gk.RQKernel(),
    "periodic": lambda: gk.ScaleKernel(gk.PeriodicKernel()),
    "mixture": mixture,
    "sum": lambda: gk.ScaleKernel(gk.RBFKernel()) + gk.MaternKernel(nu=2.5),
    "product": lambda: gk.RBFKernel() * gk.PeriodicKernel(),
    "constant": lambda: gk.ConstantKernel() + gk.RBFKernel(),
    "cosine": lambda: gk.CosineKernel(),
    "linear": lambda: gk.LinearKernel(),
    "polynomial": lambda: gk.PolynomialKernel(power=2),
    "piecewise": lambda: gk.PiecewisePolynomialKernel(q=2),
    "priors": with_priors,
}
WITHOUT_EQUIVALENT = {"cosine", "linear", "polynomial", "piecewise"}


@pytest.fixture(params=list(BUILD))
def name(request):
    return request.param


@pytest.fixture
def module(name):
    return BUILD[name]().double()


def dense(module, x, y=None):
    a = torch.from_numpy(x)[:, None]
    return module(a, a if y is None else torch.from_numpy(y)[:, None]).to_dense().detach().numpy()


def test_values_are_gpytorchs(module):
    k = GPyTorchKernel(module)
    np.testing.assert_allclose(k(X, Y), dense(module, X, Y), rtol=1e-14)
    np.testing.assert_allclose(k(X), dense(module, X), rtol=1e-14)
    np.testing.assert_allclose(k.diagonal(X), np.diagonal(dense(module, X)), rtol=1e-13)
    assert k(X).dtype == np.float64


def test_theta_holds_the_raw_parameters(module):
    k = GPyTorchKernel(module)
    flat = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
    np.testing.assert_array_equal(k.theta, flat)
    assert len(k.parameter_names) == len(flat)
    assert k.bounds.shape == (len(flat), 2)
    assert np.all((k.bounds[:, 0] <= flat) & (flat <= k.bounds[:, 1]))


def test_jacobian_and_contraction_agree_with_finite_differences(module):
    k = GPyTorchKernel(module)
    step = 1e-5
    G = np.random.default_rng(0).standard_normal((6, 6))
    J, gradient = k.jacobian(X), k.contract_gradient(X, G)
    assert J.shape == (len(k.theta), 6, 6)
    for i, e in enumerate(np.eye(len(k.theta))):
        expected = (k.with_theta(k.theta + step * e)(X) - k.with_theta(k.theta - step * e)(X)) / (2 * step)
        np.testing.assert_allclose(J[i], expected, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(gradient[i], np.sum(G * expected), rtol=1e-6, atol=1e-8)


def test_contraction_between_two_sets(module):
    k = GPyTorchKernel(module)
    G = np.random.default_rng(0).standard_normal((6, 5))
    J = k.jacobian(X, Y)
    step = 1e-5
    for i, e in enumerate(np.eye(len(k.theta))):
        difference = (k.with_theta(k.theta + step * e)(X, Y) - k.with_theta(k.theta - step * e)(X, Y)) / (2 * step)
        np.testing.assert_allclose(J[i], difference, rtol=1e-6, atol=1e-8)
    expected = np.einsum("ij,kij->k", G, J)
    np.testing.assert_allclose(k.contract_gradient(X, G, Y), expected, rtol=1e-9, atol=1e-11)


def test_with_theta_returns_a_new_kernel_and_leaves_the_module_alone(module):
    before = [p.detach().clone() for p in module.parameters()]
    k = GPyTorchKernel(module)
    old = k(X)
    new = k.with_theta(k.theta + 0.3)
    assert not np.allclose(new(X), old)
    np.testing.assert_array_equal(k(X), old)
    for p, q in zip(module.parameters(), before, strict=True):
        assert torch.equal(p, q)
    np.testing.assert_allclose(dense(new.module, X), new(X), rtol=1e-14)
    new.module.double().zero_grad()


def test_equivalents_have_the_same_values_and_give_derivative_blocks(module, name):
    k = GPyTorchKernel(module)
    if name in WITHOUT_EQUIVALENT:
        with pytest.raises(TypeError, match="no equivalent structkit kernel"):
            from_gpytorch(module)
        with pytest.raises(ValueError, match="up to total order 0"):
            k(X, d1=1)
        return
    own = Kernel.from_dict(from_gpytorch(module).to_dict())
    np.testing.assert_allclose(own(X, Y), k(X, Y), rtol=1e-12, atol=1e-14)
    if own.max_order >= 2:
        np.testing.assert_allclose(k(X, Y, d1=1, d2=1), own(X, Y, d1=1, d2=1), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(k.diagonal(X, order=1), own.diagonal(X, order=1), rtol=1e-13)
        step = 1e-6
        for i, e in enumerate(np.eye(len(k.theta))):
            plus, minus = k.with_theta(k.theta + step * e), k.with_theta(k.theta - step * e)
            expected = (plus(X, d1=1, d2=1) - minus(X, d1=1, d2=1)) / (2 * step)
            np.testing.assert_allclose(k.jacobian(X, d1=1, d2=1)[i], expected, rtol=1e-5, atol=1e-7)


def test_float32_and_torch_follow_the_input(module):
    k = GPyTorchKernel(module)
    assert k(X.astype(np.float32)).dtype == np.float32
    x = torch.from_numpy(X)
    K = k(x)
    assert isinstance(K, torch.Tensor)
    np.testing.assert_allclose(K.numpy(), k(X), rtol=1e-14)
    assert k(x.float()).dtype == torch.float32
    assert k.jacobian(x).shape == (len(k.theta), 6, 6)
    assert k.contract_gradient(x, torch.ones(6, 6, dtype=torch.float64)).dtype == torch.float64


def test_storage_round_trip_is_exact(module):
    k = GPyTorchKernel(module)
    k = k.with_theta(k.theta + 0.1234567).fix(k.parameter_names[0])
    again = Kernel.from_dict(json.loads(json.dumps(k.to_dict())))
    assert again == k
    np.testing.assert_array_equal(again(X), k(X))
    assert again.log_prior()[0] == k.log_prior()[0]
    assert again.parameter_names == k.parameter_names


def test_torch_gradients_reach_theta_and_coordinates():
    k = GPyTorchKernel(BUILD["rbf"]())
    theta = torch.from_numpy(k.theta).requires_grad_()
    x = torch.from_numpy(X)
    (gradient,) = torch.autograd.grad(k.with_theta(theta)(x).sum(), theta)
    np.testing.assert_allclose(gradient.numpy(), k.contract_gradient(X, np.ones((6, 6))), rtol=1e-10)
    z = torch.tensor([0.0, 0.7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(k(z, x).sum(), z)
    np.testing.assert_allclose(slope.numpy(), k(z.detach().numpy(), X, d1=1).sum(1), rtol=1e-9)
    with pytest.raises(BackendMismatchError, match="torch tensors"):
        k.with_theta(theta)(X)


# ---- priors and constraints ------------------------------------------------------------------------------------------


def test_log_prior_is_the_sum_of_registered_priors():
    module = with_priors().double()
    k = GPyTorchKernel(module)
    value, gradient = k.log_prior()
    ell, scale = module.base_kernel.lengthscale.item(), module.outputscale.item()
    gamma = torch.distributions.Gamma(3.0, 6.0).log_prob(torch.tensor(ell, dtype=torch.float64)).item()
    lognormal = torch.distributions.LogNormal(0.1, 0.7).log_prob(torch.tensor(scale, dtype=torch.float64)).item()
    assert value == pytest.approx(gamma + lognormal, rel=1e-7)
    step = 1e-6
    for i, e in enumerate(np.eye(2)):
        plus, minus = k.with_theta(k.theta + step * e).log_prior()[0], k.with_theta(k.theta - step * e).log_prior()[0]
        assert gradient[i] == pytest.approx((plus - minus) / (2 * step), rel=1e-6)
    assert k.fix("raw_outputscale").log_prior()[1].shape == (1,)
    combined = SquaredExponential() * k
    assert combined.log_prior()[0] == value
    np.testing.assert_array_equal(combined.log_prior()[1], [0.0, 0.0, *gradient])


def test_without_priors_the_log_prior_is_zero():
    value, gradient = GPyTorchKernel(gk.RBFKernel()).log_prior()
    assert value == 0.0
    np.testing.assert_array_equal(gradient, [0.0])


def test_every_theta_respects_the_constraints():
    k = GPyTorchKernel(with_priors())
    for shift in (-30.0, 30.0):
        module = k.with_theta(k.theta + shift).module
        assert 0.05 <= module.base_kernel.lengthscale.item() <= 4.0
        assert module.outputscale.item() >= 1e-3


def test_constraints_that_do_not_transform_become_bounds():
    module = gk.RBFKernel(lengthscale_constraint=gc.Interval(0.1, 2.0, transform=None, initial_value=1.0))
    k = GPyTorchKernel(module)
    np.testing.assert_allclose(k.bounds, [[0.1, 2.0]], rtol=1e-6)
    assert Kernel.from_dict(k.to_dict()) == k


def test_parameters_without_gradient_stay_out():
    module = gk.ScaleKernel(gk.RBFKernel())
    module.base_kernel.raw_lengthscale.requires_grad_(False)
    module.base_kernel.lengthscale = 0.3
    k = GPyTorchKernel(module)
    assert k.parameter_names == ("raw_outputscale",)
    again = Kernel.from_dict(k.to_dict())
    np.testing.assert_array_equal(again(X), k(X))
    np.testing.assert_allclose(k(X.astype(np.float32)), k(X), rtol=1e-5)


def test_fixed_parameters_keep_their_value():
    k = GPyTorchKernel(mixture()).fix("raw_mixture_means", "raw_mixture_weights[1]")
    assert k.parameter_names == ("raw_mixture_weights[0]", "raw_mixture_scales[0]", "raw_mixture_scales[1]")
    new = k.with_theta(np.zeros(3))
    full = new.free()
    np.testing.assert_array_equal(full.theta[2:4], k.free().theta[2:4])
    assert k.jacobian(X).shape == (3, 6, 6)
    assert k.contract_gradient(X, np.ones((6, 6))).shape == (3,)


def test_combined_with_structkit_kernels():
    inner = GPyTorchKernel(gk.ScaleKernel(gk.LinearKernel()))
    own = SquaredExponential(0.6)
    G = np.random.default_rng(1).standard_normal((6, 6))
    for k, expected in (
        (own + inner, own(X) + inner(X)),
        (own * inner, own(X) * inner(X)),
        (2.5 * inner, 2.5 * inner(X)),
    ):
        np.testing.assert_allclose(k(X), expected, rtol=1e-13)
        np.testing.assert_allclose(k.diagonal(X), np.diagonal(expected), rtol=1e-13)
        J = k.jacobian(X)
        step = 1e-6
        for i, e in enumerate(np.eye(len(k.theta))):
            difference = (k.with_theta(k.theta + step * e)(X) - k.with_theta(k.theta - step * e)(X)) / (2 * step)
            np.testing.assert_allclose(J[i], difference, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(k.contract_gradient(X, G), np.einsum("ij,kij->k", G, J), rtol=1e-10, atol=1e-12)
        assert Kernel.from_dict(k.to_dict()) == k


def test_derivative_blocks_of_mixed_sums_and_products():
    inner, own = GPyTorchKernel(gk.RBFKernel()), SquaredExponential(0.6)
    same = SquaredExponential(math.log(2.0))
    for d1, d2 in ((1, 0), (1, 1), (2, 2)):
        atol = 1e-6 * abs(own([0.0], d1=d1 + d2)).max()
        for k, expected in ((own + inner, own + same), (own * inner, own * same)):
            np.testing.assert_allclose(k(X, Y, d1=d1, d2=d2), expected(X, Y, d1=d1, d2=d2), rtol=1e-6, atol=atol + 1e-9)


# ---- as_kernel and errors --------------------------------------------------------------------------------------------


def test_as_kernel():
    own = SquaredExponential()
    assert as_kernel(own) is own
    assert isinstance(as_kernel(gk.RBFKernel()), GPyTorchKernel)
    for bad in (SquaredExponential, gk.RBFKernel, "rbf", None, 1.0):
        with pytest.raises(TypeError, match="Expected a kernel of structkit"):
            as_kernel(bad)


def test_bad_modules():
    with pytest.raises(TypeError, match="wraps gpytorch kernels; got Linear"):
        GPyTorchKernel(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"batch_shape \(2,\)"):
        GPyTorchKernel(gk.RBFKernel(batch_shape=torch.Size([2])))
    with pytest.raises(ShapeError, match="theta has shape"):
        GPyTorchKernel(gk.RBFKernel()).with_theta([0.0, 1.0])
    with pytest.raises(TypeError, match="active_dims"):
        from_gpytorch(gk.RBFKernel(active_dims=(0,)))


def test_modules_that_cannot_be_described_say_so():
    class Own(gk.RBFKernel):
        pass

    with pytest.raises(TypeError, match="of type Own cannot be stored"):
        GPyTorchKernel(Own()).to_dict()
    with pytest.raises(TypeError, match="of type SmoothedBoxPrior cannot be stored"):
        GPyTorchKernel(gk.RBFKernel(lengthscale_prior=gpr.SmoothedBoxPrior(0.1, 1.0))).to_dict()


def test_repr_names_the_modules_and_values():
    assert repr(GPyTorchKernel(gk.ScaleKernel(gk.RBFKernel()))) == (
        "<GPyTorchKernel ScaleKernel/RBFKernel: raw_outputscale=0, base_kernel.raw_lengthscale=0>"
    )
