"""Tensor products, values at entries, solves and evidence on a CUDA device against the same calls in numpy."""

import numpy as np
import pytest

from structkit._core.errors import BackendMismatchError
from structkit.kron import (
    cp_at,
    gaussian_evidence,
    khatri_rao,
    kron,
    kron_slogdet,
    kron_solve,
    mttkrp,
    mttkrp_sparse,
    multi_mode_product,
    tucker_at,
)

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]

RNG = np.random.default_rng(0)


def cuda(array):
    return torch.tensor(array, device="cuda")


def same(on_device, on_host, rtol=1e-10):
    assert on_device.is_cuda
    host = np.asarray(on_host)
    np.testing.assert_allclose(
        on_device.detach().cpu(), host, rtol=rtol, atol=rtol * max(1.0, np.abs(host).max(initial=0))
    )


def spd(n):
    a = RNG.normal(size=(n, n))
    return a @ a.T / n + np.eye(n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_products(dtype):
    X = RNG.normal(size=(12, 20, 3, 7)).astype(dtype)
    mats = [RNG.normal(size=(5, n)).astype(dtype) for n in X.shape]
    tall = [a.T.copy() for a in mats]
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    same(multi_mode_product(cuda(X), [cuda(a) for a in mats]), multi_mode_product(X, mats), rtol)
    same(khatri_rao([cuda(a) for a in tall]), khatri_rao(tall), rtol)
    same(kron(cuda(tall[0]), cuda(tall[2])), kron(tall[0], tall[2]), rtol)
    for mode in range(4):
        same(mttkrp(cuda(X), [cuda(a) for a in tall], mode), mttkrp(X, tall, mode), rtol)


def test_entries_and_their_gradients():
    sizes, ranks = (30, 20, 10), (3, 4, 2)
    idx = np.stack([RNG.integers(0, n, size=500) for n in sizes], axis=1)
    mats, core = [RNG.normal(size=(n, 3)) for n in sizes], RNG.normal(size=ranks)
    factors = [RNG.normal(size=s) for s in zip(sizes, ranks, strict=True)]
    on_device = [cuda(a).requires_grad_() for a in mats]
    values = cp_at(idx, on_device)
    same(values, cp_at(idx, mats))
    values.sum().backward()
    same(on_device[0].grad, mttkrp_sparse(idx, np.ones(500), mats, 0))
    same(tucker_at(cuda(idx), cuda(core), [cuda(a) for a in factors]), tucker_at(idx, core, factors))


def test_solves_determinants_and_evidence():
    mats, b = [spd(6), spd(5)], RNG.normal(size=(30, 2))
    tensors = [cuda(a) for a in mats]
    for assume in ("general", "sym", "pos"):
        same(kron_solve(tensors, cuda(b), assume=assume), kron_solve(mats, b, assume=assume))
    same(kron_solve(tensors, cuda(b), noise_var=0.3, assume="pos"), kron_solve(mats, b, noise_var=0.3, assume="pos"))
    same(kron_slogdet(tensors).logabsdet, kron_slogdet(mats).logabsdet)
    leaves = [t.clone().requires_grad_() for t in tensors]
    value = gaussian_evidence(leaves, cuda(b[:, 0]), 0.3).value
    expected = gaussian_evidence(mats, b[:, 0], 0.3, grad=True)
    same(value, expected.value)
    for ours, theirs in zip(torch.autograd.grad(value, leaves), expected.grad.factors, strict=True):
        same(ours, theirs, 1e-8)


def test_devices_do_not_mix():
    with pytest.raises(BackendMismatchError, match="cpu and cuda"):
        multi_mode_product(torch.ones(2, 3), [cuda(np.eye(2)), cuda(np.eye(3))])
