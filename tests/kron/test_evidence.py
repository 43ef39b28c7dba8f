"""Gaussian evidence against the dense density, and its gradient against finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from structkit._core.errors import BackendMismatchError, NotPositiveDefiniteError, NotSymmetricError, ShapeError
from structkit.kron import gaussian_evidence, kron

SIZES = [(4,), (3, 5), (2, 3, 4), (1, 3, 1, 2)]


def spd(rng, n, dtype=np.float64):
    a = rng.normal(size=(n, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.normal(size=(n, n))
    return (a @ a.conj().T / n + 0.1 * np.eye(n)).astype(dtype)


def dense(factors, y, noise_var):
    C = kron(*factors) + noise_var * np.eye(len(y))
    quadratic = (y.conj() @ np.linalg.solve(C, y)).real
    logdet = np.linalg.slogdet(C)[1]
    if np.iscomplexobj(C):
        return -(quadratic + logdet + len(y) * math.log(math.pi))
    return -0.5 * (quadratic + logdet + len(y) * math.log(2 * math.pi))


@pytest.mark.parametrize("noise_var", [0.0, 1e-3, 2.0])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_value_and_gradient(sizes, noise_var, dtype):
    rng = np.random.default_rng(0)
    factors = [spd(rng, n, dtype) for n in sizes]
    y = rng.normal(size=math.prod(sizes)).astype(dtype)
    if np.iscomplexobj(y):
        y = y + 1j * rng.normal(size=len(y))
    result = gaussian_evidence(factors, y, noise_var, grad=True)
    assert isinstance(result.value, float)
    assert result.value == pytest.approx(dense(factors, y, noise_var), rel=1e-11)
    assert gaussian_evidence(factors, y, noise_var).grad is None
    assert gaussian_evidence(factors, y.reshape(sizes), noise_var).value == pytest.approx(result.value, rel=1e-14)
    h = 1e-5
    for d, n in enumerate(sizes):
        direction = spd(rng, n, dtype)
        shifted = [[a + s * h * direction if e == d else a for e, a in enumerate(factors)] for s in (1, -1)]
        slope = (dense(shifted[0], y, noise_var) - dense(shifted[1], y, noise_var)) / (2 * h)
        ours = (result.grad.factors[d].conj() * direction).sum().real
        assert ours == pytest.approx(slope, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(result.grad.factors[d], result.grad.factors[d].conj().T, atol=1e-9)
    # The density is smooth through zero noise, so the dense formula may be evaluated on both sides.
    slope = (dense(factors, y, noise_var + 1e-6) - dense(factors, y, noise_var - 1e-6)) / 2e-6
    assert result.grad.noise_var == pytest.approx(slope, rel=2e-5)
    direction = rng.normal(size=len(y))
    slope = (dense(factors, y + h * direction, noise_var) - dense(factors, y - h * direction, noise_var)) / (2 * h)
    assert (result.grad.y.conj() * direction).sum().real == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_against_scipy():
    rng = np.random.default_rng(1)
    factors, y = [spd(rng, 2), spd(rng, 3)], rng.normal(size=6)
    expected = stats.multivariate_normal(np.zeros(6), kron(*factors) + 0.3 * np.eye(6)).logpdf(y)
    assert gaussian_evidence(factors, y, 0.3).value == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 10), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_scaling_and_order(seed, noise_var, scale):
    rng = np.random.default_rng(seed)
    A, B, Y = spd(rng, 2), spd(rng, 3), rng.normal(size=(2, 3))
    value = gaussian_evidence([A, B], Y, noise_var).value
    # Swapping the axes of data and factors changes nothing; scaling the data by c shifts the density by -N log c.
    assert gaussian_evidence([B, A], Y.T, noise_var).value == pytest.approx(value, rel=1e-10, abs=1e-10)
    scaled = gaussian_evidence([scale * A, scale * B], scale * Y, scale**2 * noise_var).value
    assert scaled == pytest.approx(value - 6 * math.log(scale), rel=1e-9, abs=1e-9)


def test_repeated_eigenvalues_give_finite_exact_gradients():
    factors, noise_var = [2 * np.eye(3), np.ones((4, 4)), np.eye(2)], 0.5
    y = np.random.default_rng(2).normal(size=24)
    result = gaussian_evidence(factors, y, noise_var, grad=True)
    C = kron(*factors) + noise_var * np.eye(24)
    inverse = np.linalg.inv(C)
    a = inverse @ y
    G = 0.5 * (np.outer(a, a) - inverse).reshape(3, 4, 2, 3, 4, 2)
    np.testing.assert_allclose(result.grad.factors[0], np.einsum("iabjcd,ac,bd->ij", G, *factors[1:]), atol=1e-11)
    np.testing.assert_allclose(result.grad.factors[1], np.einsum("aibcjd,ac,bd->ij", G, *factors[::2]), atol=1e-11)
    np.testing.assert_allclose(result.grad.noise_var, 0.5 * (a @ a - np.trace(inverse)), rtol=1e-11)
    np.testing.assert_allclose(result.grad.y, -a, rtol=1e-10)


def test_ill_conditioned_squared_exponentials():
    x = np.linspace(0, 1, 30)
    K = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.3**2)
    y, noise_var = np.random.default_rng(3).normal(size=900), 1e-4
    C = np.kron(K, K) + noise_var * np.eye(900)
    inverse = np.linalg.inv(C)
    a = np.linalg.solve(C, y)
    result = gaussian_evidence([K, K], y, noise_var, grad=True)
    tol = 1e-15 * np.linalg.cond(C) * 10
    assert result.value == pytest.approx(dense([K, K], y, noise_var), rel=tol)
    assert result.grad.noise_var == pytest.approx(0.5 * (a @ a - np.trace(inverse)), rel=tol)
    G = 0.5 * (np.outer(a, a) - inverse).reshape(30, 30, 30, 30)
    expected = np.einsum("iajb,ab->ij", G, K)
    assert np.abs(result.grad.factors[0] - expected).max() <= tol * np.abs(expected).max()


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_scales_beyond_the_range_of_the_product(scale):
    factors = [scale * np.eye(2), scale * np.diag([1.0, 2.0])] * 3
    y = np.zeros(64)
    ones = gaussian_evidence([a / scale for a in factors], y, 0.0).value
    truth = ones - 0.5 * 64 * 6 * math.log(scale)
    assert gaussian_evidence(factors, y, 0.0).value == pytest.approx(truth, rel=1e-13)


def test_single_precision():
    rng = np.random.default_rng(4)
    factors, y = [spd(rng, 5), spd(rng, 6)], rng.normal(size=30)
    single = gaussian_evidence([a.astype(np.float32) for a in factors], y.astype(np.float32), 0.5, grad=True)
    double = gaussian_evidence(factors, y, 0.5, grad=True)
    assert single.value == pytest.approx(double.value, rel=1e-5)
    assert single.grad.factors[0].dtype == np.float32
    np.testing.assert_allclose(single.grad.factors[0], double.grad.factors[0], rtol=1e-3, atol=1e-4)


def test_zero_size():
    result = gaussian_evidence([np.eye(0), np.eye(2)], np.ones(0), 1.0, grad=True)
    assert result.value == 0.0
    assert result.grad.factors[0].shape == (0, 0)
    assert (result.grad.factors[1] == 0).all()


def test_errors():
    y = np.ones(4)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[1\].*eigenvalue -1"):
        gaussian_evidence([np.eye(2), np.diag([1.0, -1.0])], y, 0.1)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[1\].*noise_var is 0"):
        gaussian_evidence([np.eye(2), np.ones((2, 2))], y, 0.0)
    with pytest.raises(NotSymmetricError, match=r"factors\[0\]"):
        gaussian_evidence([np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2)], y, 0.1)
    with pytest.raises(ShapeError, match=r"expected \(2, 2\) or \(4,\)"):
        gaussian_evidence([np.eye(2), np.eye(2)], np.ones(5), 0.1)
    with pytest.raises(ValueError, match="noise_var must be"):
        gaussian_evidence([np.eye(2), np.eye(2)], y, -0.1)
    with pytest.raises(ValueError, match="NaN"):
        gaussian_evidence([np.eye(2), np.eye(2)], [1.0, np.nan, 1.0, 1.0], 0.1)


def test_torch_value_gradient_and_autograd():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for sizes in SIZES:
        factors, y = [spd(rng, n) for n in sizes], rng.normal(size=math.prod(sizes))
        expected = gaussian_evidence(factors, y, 0.3, grad=True)
        tensors = [torch.tensor(a, requires_grad=True) for a in factors]
        data = torch.tensor(y, requires_grad=True)
        s2 = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        result = gaussian_evidence(tensors, data, s2, grad=True)
        assert float(result.value.detach()) == pytest.approx(expected.value, rel=1e-12)
        grads = torch.autograd.grad(result.value, [data, s2, *tensors])
        for ours, theirs in zip(
            [result.grad.y, result.grad.noise_var, *result.grad.factors],
            [expected.grad.y, expected.grad.noise_var, *expected.grad.factors],
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        for ours, theirs in zip(grads, [expected.grad.y, expected.grad.noise_var, *expected.grad.factors], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_torch_gradcheck_through_kernels_at_repeated_eigenvalues():
    torch = pytest.importorskip("torch")

    def value(y, s2, *roots):
        return gaussian_evidence([a @ a.mT for a in roots], y, s2).value

    roots = [torch.eye(n, dtype=torch.float64).requires_grad_() for n in (2, 3)]
    y = torch.randn(6, dtype=torch.float64, requires_grad=True)
    s2 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (y, s2, *roots))
    assert torch.autograd.gradgradcheck(value, (y, s2, *roots))
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        gaussian_evidence([np.eye(2), np.eye(3)], y, 0.1)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[0\]"):
        gaussian_evidence([-torch.eye(2), torch.eye(3)], torch.ones(6), 0.1)


@pytest.mark.parametrize("sizes", [(3,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_torch_second_derivatives(sizes, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    roots = [torch.tensor((np.eye(n) + 0.3 * rng.normal(size=(n, n))).astype(dtype)).requires_grad_() for n in sizes]
    y = torch.tensor(rng.normal(size=math.prod(sizes)).astype(dtype)).requires_grad_()
    s2 = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def value(y, s2, *roots):
        return gaussian_evidence([a @ a.mH for a in roots], y, s2).value

    assert torch.autograd.gradgradcheck(value, (y, s2, *roots))


def test_torch_hessian_in_hyperparameters_against_the_dense_density():
    torch = pytest.importorskip("torch")
    x = torch.linspace(0, 1, 4, dtype=torch.float64)
    y = torch.tensor(np.random.default_rng(1).normal(size=12))

    def factors(theta):
        gram = torch.exp(-0.5 * ((x[:, None] - x) / theta[0].exp()) ** 2)
        return [theta[1].exp() * gram, torch.eye(3, dtype=torch.float64)]  # the second one has repeated eigenvalues

    def structured(theta):
        return gaussian_evidence(factors(theta), y, theta[2].exp()).value

    def dense(theta):
        cov = torch.kron(*factors(theta)) + theta[2].exp() * torch.eye(12, dtype=torch.float64)
        zero = torch.zeros(12, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zero, cov).log_prob(y)

    theta = torch.tensor([-1.0, 0.3, -0.7], dtype=torch.float64)
    ours, theirs = (torch.autograd.functional.hessian(f, theta) for f in (structured, dense))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("order", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_equal_factors(order):
    rng = np.random.default_rng(7)
    pair = [spd(rng, 4), spd(rng, 4)]
    factors = [pair[i].copy() for i in order]
    y = rng.normal(size=64)
    result = gaussian_evidence(factors, y, 0.3, grad=True)
    assert result.value == pytest.approx(dense(factors, y, 0.3), rel=1e-11)
    # Nearly equal is not equal.
    factors[-1] = factors[-1] * (1 + 1e-6)
    assert gaussian_evidence(factors, y, 0.3).value == pytest.approx(dense(factors, y, 0.3), rel=1e-12)


def test_equal_tensors_have_gradients_of_their_own():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    a, y = spd(rng, 3), rng.normal(size=9)
    expected = gaussian_evidence([a, a], y, 0.3, grad=True).grad.factors
    tensors = [torch.tensor(a, requires_grad=True) for _ in range(2)]
    gaussian_evidence(tensors, torch.tensor(y), 0.3).value.backward()
    for t, g in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(t.grad, g, rtol=1e-10)
