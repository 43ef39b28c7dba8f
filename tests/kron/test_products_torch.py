"""kron_matmul on torch tensors: values, gradients of first and second order, transformations."""

import math
from functools import reduce

import numpy as np
import pytest

from structkit._core.errors import BackendMismatchError, ShapeError
from structkit.kron import kron_matmul, kron_plan, kron_rmatmul

torch = pytest.importorskip("torch")

SHAPES = [[(3, 3)], [(2, 2)] * 7, [(3, 2), (1, 1), (2, 5)], [(4, 4), (10, 10)], [(40, 3), (2, 40)], [(1, 1)]]
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def random(seed, *shape, dtype=torch.float64, grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_(grad)


def make(shapes, dtype=torch.float64, grad=False):
    return [random(i, *s, dtype=dtype, grad=grad) for i, s in enumerate(shapes)]


def dense(factors):
    return reduce(torch.kron, factors)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_equals_dense_product(shapes, dtype):
    factors = make(shapes, dtype)
    matrix = dense(factors)
    for shape in [(matrix.shape[1],), (matrix.shape[1], 1), (matrix.shape[1], 3), (2, matrix.shape[1], 2)]:
        x = random(9, *shape, dtype=dtype)
        y = kron_matmul(factors, x)
        assert y.dtype == dtype
        torch.testing.assert_close(y, matrix @ x)
    z = random(10, matrix.shape[0], 2, dtype=dtype)
    torch.testing.assert_close(kron_matmul(factors, z, adjoint=True), matrix.mH @ z)
    torch.testing.assert_close(kron_matmul(factors, z, transpose=True), matrix.mT @ z)
    torch.testing.assert_close(kron_rmatmul(factors, z.mT), z.mT @ matrix)


@pytest.mark.parametrize("kernel", ["rot", "leftrot", "batched"])
def test_every_kernel_gives_the_product(kernel):
    shapes = [(3, 2), (2, 5), (4, 4)]
    factors = make(shapes)
    for k, max_bytes in ((1, 2**30), (5, 2**30), (5, 100)):
        plan = kron_plan(shapes, torch.float64, namespace="torch", kernel=kernel, n_columns=k, max_bytes=max_bytes)
        x = random(9, 40, k)
        torch.testing.assert_close(kron_matmul(factors, x, plan=plan), dense(factors) @ x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(
    ("shapes", "tail"),
    [([(2, 2)] * 3, ()), ([(3, 2), (2, 3), (1, 1)], (2,)), ([(2, 3), (40, 2)], (1,)), ([(3, 3)], ()), ([(1, 1)], (2,))],
    ids=str,
)
def test_gradients_of_first_and_second_order(shapes, tail, dtype):
    factors = make(shapes, dtype, grad=True)
    x = random(9, math.prod(s[1] for s in shapes), *tail, dtype=dtype, grad=True)

    def product(v, *mats):
        return kron_matmul(mats, v)

    assert torch.autograd.gradcheck(product, (x, *factors))
    if max(map(max, shapes)) < 10:
        assert torch.autograd.gradgradcheck(product, (x, *factors))


def test_gradients_of_stacks_and_of_the_adjoint():
    factors = make([(3, 2), (2, 3)], torch.complex128, grad=True)
    x = random(9, 2, 6, 2, dtype=torch.complex128, grad=True)
    assert torch.autograd.gradcheck(lambda v, *mats: kron_matmul(mats, v, adjoint=True), (x, *factors))
    batch = [random(1, 2, 1, 3, 2, grad=True), random(2, 3, 2, 2, grad=True)]
    x = random(3, 3, 4, 2, grad=True)
    assert torch.autograd.gradcheck(lambda v, *mats: kron_matmul(mats, v), (x, *batch))


def test_gradients_equal_those_of_the_dense_product():
    """Long chains exercise the merges, which lie outside of the hand-written rule."""
    factors = make([(2, 2)] * 9, grad=True)
    x = random(11, 512, grad=True)
    weights = random(12, 512)
    got = torch.autograd.grad(weights @ kron_matmul(factors, x), (x, *factors))
    want = torch.autograd.grad(weights @ (dense(factors) @ x), (x, *factors))
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-10, atol=1e-10)


def test_gradient_only_where_it_is_asked_for():
    factors = make([(40, 40), (30, 30)])
    x = random(5, 1200, grad=True)
    kron_matmul(factors, x).sum().backward()
    torch.testing.assert_close(x.grad, dense(factors).T @ torch.ones(1200, dtype=torch.float64))
    factors[1].requires_grad_()
    kron_matmul(factors, x.detach()).sum().backward()
    assert factors[0].grad is None
    assert factors[1].grad.shape == (30, 30)


def test_works_under_vmap():
    factors = make([(3, 2), (4, 4)])
    xs = random(9, 5, 8)
    y = torch.func.vmap(lambda v: kron_matmul(factors, v))(xs)
    torch.testing.assert_close(y, xs @ dense(factors).T)


def test_promotion_integers_and_layouts():
    a, b = torch.eye(2, dtype=torch.int64), torch.ones(3, 3, dtype=torch.float32)
    y = kron_matmul([a, b], torch.arange(6))
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, torch.tensor([3.0, 3, 3, 12, 12, 12], dtype=torch.float64))
    with pytest.raises(TypeError, match="float16"):
        kron_matmul([b], torch.ones(3, dtype=torch.float16))
    big = random(0, 12, 10)
    factors = [big[::4, ::2][:, :3], big.T[:4, :4]]
    x = random(1, 4, 24)[:, ::2].T
    torch.testing.assert_close(kron_matmul(factors, x), torch.kron(*(f.contiguous() for f in factors)) @ x)


def test_empty_axes():
    assert kron_matmul([torch.ones(2, 2), torch.ones(4, 3)], torch.ones(6, 0)).shape == (8, 0)
    assert torch.equal(kron_matmul([torch.ones(2, 0), torch.ones(4, 3)], torch.ones(0)), torch.zeros(8))


def test_out():
    factors, x = make([(3, 2), (2, 2)]), random(7, 4, 2)
    out = torch.empty(6, 2, dtype=torch.float64)
    assert kron_matmul(factors, x, out=out) is out
    torch.testing.assert_close(out, dense(factors) @ x)
    with pytest.raises(ShapeError, match="expected \\(6, 2\\)"):
        kron_matmul(factors, x, out=out[:5])
    with pytest.raises(TypeError, match="torch tensor"):
        kron_matmul(factors, x, out=np.empty((6, 2)))
    square = make([(2, 2), (2, 2)])
    with pytest.raises(ValueError, match="shares memory with x"):
        kron_matmul(square, x, out=x)
    with pytest.raises(ValueError, match="gradients"):
        kron_matmul(square, x.clone().requires_grad_(), out=torch.empty_like(x))


def test_wrong_inputs():
    with pytest.raises(ShapeError, match="expected N = 2"):
        kron_matmul([torch.eye(2)], torch.ones(3))
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        kron_matmul([np.eye(2)], torch.ones(2))
    with pytest.raises(ShapeError, match="broadcast"):
        kron_matmul([torch.ones(3, 2, 2), torch.ones(4, 2, 2)], torch.ones(4, 1))
    plan = kron_plan([(2, 2)], float)
    with pytest.raises(TypeError, match="numpy"):
        kron_matmul([torch.eye(2, dtype=torch.float64)], torch.ones(2, dtype=torch.float64), plan=plan)


@pytest.fixture
def host_calls(monkeypatch):
    """Number of products that ran on the numpy kernels."""
    from structkit.kron import products

    calls = []
    plain = products.numpy_product
    monkeypatch.setattr(products, "numpy_product", lambda *args: (calls.append(1), plain(*args))[1])
    return calls


def test_tensors_in_main_memory_without_gradients_run_on_the_numpy_kernels(host_calls):
    factors, x = make([(3, 2), (2, 3)], torch.complex128), random(9, 6, 2, dtype=torch.complex128)
    expected = dense(factors) @ x
    torch.testing.assert_close(kron_matmul(factors, x), expected)
    torch.testing.assert_close(kron_matmul(factors, x.conj().conj()), expected)
    torch.testing.assert_close(kron_matmul(factors, expected, adjoint=True), dense(factors).mH @ expected)
    out = torch.empty_like(expected)
    assert kron_matmul(factors, x, out=out) is out
    torch.testing.assert_close(out, expected)
    with torch.no_grad():
        torch.testing.assert_close(kron_matmul([f.requires_grad_() for f in factors], x), expected)
    assert len(host_calls) == 5
    assert kron_matmul(factors, x).requires_grad
    kron_matmul([f.detach() for f in factors], x, plan=kron_plan([(3, 2), (2, 3)], "complex128", namespace="torch"))
    assert len(host_calls) == 5


def test_transformed_tensors_keep_to_torch(host_calls):
    factors, rows = make([(3, 3), (2, 2)]), random(9, 5, 6)
    matrix = dense(factors)
    batched = torch.func.vmap(lambda v: kron_matmul(factors, v))(rows)
    torch.testing.assert_close(batched, rows @ matrix.T)
    gradient = torch.func.vmap(torch.func.grad(lambda v: (kron_matmul(factors, v) ** 2).sum()))(rows)
    torch.testing.assert_close(gradient, 2 * rows @ matrix.T @ matrix)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(rows[0], rows[1])
        with pytest.raises(NotImplementedError, match="jvp"):  # a tangent must not be lost without a word
            kron_matmul(factors, dual)
    assert not host_calls
