"""Kernels on a CUDA device: the numbers of numpy, on the device of the coordinates."""

import numpy as np
import pytest

from structkit.gp import GPyTorchKernel, Matern, Periodic, RationalQuadratic, SpectralMixture, SquaredExponential, White

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]

KERNELS = [
    SquaredExponential(0.7),
    Matern(2.5, 0.4),
    Periodic(1.2, 0.9) * RationalQuadratic(2.0, 0.8).fix("variance"),
    SpectralMixture([1.0, 0.4], [0.3, 2.3], [0.9, 0.5], envelope="matern52"),
    SquaredExponential(0.7) + White(0.1),
]
X = np.array([-0.35, 0.0, 0.0, 0.11, 0.4, 1.7])


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_equals_numpy(kernel):
    x = torch.from_numpy(X).cuda()
    top = 1 if kernel.max_order >= 2 else 0
    K = kernel(x, d1=top, d2=top)
    assert K.device == x.device
    np.testing.assert_allclose(K.cpu(), kernel(X, d1=top, d2=top), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(kernel.jacobian(x).cpu(), kernel.jacobian(X), rtol=1e-11, atol=1e-12)
    G = torch.ones(6, 6, dtype=torch.float64, device=x.device)
    np.testing.assert_allclose(kernel.contract_gradient(x, G).cpu(), kernel.contract_gradient(X, np.ones((6, 6))))
    assert kernel(x.float()).dtype == torch.float32


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gradients_reach_hyperparameters_on_the_device(kernel):
    theta = torch.tensor(kernel.theta.tolist(), dtype=torch.float64, device="cuda", requires_grad=True)
    kernel.with_theta(theta)(torch.from_numpy(X).cuda()).sum().backward()
    np.testing.assert_allclose(theta.grad.cpu(), kernel.contract_gradient(X, np.ones((6, 6))), rtol=1e-9, atol=1e-10)


def test_wrapped_gpytorch_kernels_follow_the_coordinates():
    kernels = pytest.importorskip("gpytorch").kernels
    k = GPyTorchKernel(kernels.ScaleKernel(kernels.MaternKernel(nu=2.5)))
    x = torch.from_numpy(X).cuda()
    assert k(x).device == x.device
    np.testing.assert_allclose(k(x).cpu(), k(X), rtol=1e-9)
    np.testing.assert_allclose(k.jacobian(x).cpu(), k.jacobian(X), rtol=1e-8, atol=1e-10)
