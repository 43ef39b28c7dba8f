"""The dense Kronecker product against numpy.kron."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._core.errors import BackendMismatchError, ShapeError, SizeError
from structkit.kron import kron

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


@pytest.fixture(params=["0", "1"], ids=["numpy", "numba"], autouse=True)
def kernels_in_use(request, monkeypatch):
    monkeypatch.setenv("STRUCTKIT_NUMBA", request.param)


def numpy_kron(mats):
    result = mats[0]
    for a in mats[1:]:
        result = np.kron(result, a)
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shapes",
    [[(3, 2)], [(2, 3), (4, 1)], [(1, 1), (2, 5), (3, 2)], [(2, 2)] * 4, [(0, 2), (3, 4)], [(2, 3), (4, 0)]],
)
def test_agrees_with_numpy(dtype, shapes):
    rng = np.random.default_rng(0)
    mats = [rng.normal(size=s).astype(dtype) for s in shapes]
    if np.dtype(dtype).kind == "c":
        mats = [(a + 1j * rng.normal(size=a.shape)).astype(dtype) for a in mats]
    expected = numpy_kron(mats)
    eps = np.finfo(dtype).eps
    result = kron(*mats)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=8 * eps)
    out = np.empty(expected.shape, dtype)
    assert kron(*mats, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=8 * eps)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_mixed_product_and_transpose(seed, count):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, size=(count, 3))
    A, B = [rng.normal(size=(m, n)) for m, n, _ in sizes], [rng.normal(size=(n, k)) for _, n, k in sizes]
    np.testing.assert_allclose(kron(*A) @ kron(*B), kron(*(a @ b for a, b in zip(A, B, strict=True))), atol=1e-11)
    np.testing.assert_array_equal(kron(*A).T, kron(*(a.T for a in A)))


def test_promotion_and_layout():
    assert kron([[1, 2]], [[3]]).dtype == np.float64
    assert kron(np.ones((1, 1), np.float32), np.ones((1, 1), np.complex64)).dtype == np.complex64
    A = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(kron(A.T[::2], A[:, ::-1]), np.kron(A.T[::2], A[:, ::-1]))


def test_errors():
    with pytest.raises(SizeError, match="GiB"):
        kron(*[np.ones((64, 64))] * 6)
    with pytest.raises(SizeError, match="GiB"):
        kron(*[np.ones((1024, 1024))] * 7)
    with pytest.raises(ShapeError, match="empty"):
        kron()
    with pytest.raises(ShapeError, match=r"factors\[1\]"):
        kron(np.eye(2), np.ones(3))
    with pytest.raises(ShapeError, match="C-contiguous"):
        kron(np.eye(2), np.eye(2), out=np.empty((4, 4), order="F"))
    A = np.ones((4, 4))
    with pytest.raises(ShapeError, match="shares memory"):
        kron(A[:2, :2], np.eye(2), out=A)


def test_torch():
    torch = pytest.importorskip("torch")
    A, B = torch.randn(2, 3, dtype=torch.float64, requires_grad=True), torch.randn(2, 2, dtype=torch.float64)
    np.testing.assert_allclose(kron(A, B, A).detach(), numpy_kron([A.detach().numpy(), B.numpy(), A.detach().numpy()]))
    assert torch.autograd.gradcheck(lambda a: kron(a, B, a), (A,))
    with pytest.raises(SizeError, match="GiB"):
        kron(*[torch.ones(64, 64)] * 6)
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        kron(A, np.eye(2))
