"""Mode products, unfoldings, vectorisation, Khatri-Rao products and dense MTTKRP against einsum and numpy.kron."""

import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._core.errors import BackendMismatchError, ShapeError, SizeError
from structkit.kron import (
    fold,
    khatri_rao,
    mode_product,
    mttkrp,
    multi_mode_product,
    unfold,
    unvec,
    vec,
)

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
EPS = {np.float32: 1.2e-7, np.complex64: 1.2e-7, np.float64: 2.3e-16, np.complex128: 2.3e-16}
LETTERS = string.ascii_letters


def random(rng, shape, dtype):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def oracle(X, matrices, modes):
    """Mode products by one einsum."""
    letters = list(LETTERS[: X.ndim])
    operands, result = ["".join(letters)], list(letters)
    for j, mode in enumerate(modes):
        new = LETTERS[X.ndim + j]
        operands.append(new + letters[mode])
        result[mode] = new
    return np.einsum(",".join(operands) + "->" + "".join(result), X, *matrices)


def close(actual, desired, dtype, terms):
    scale = max(1.0, float(np.abs(desired).max())) if desired.size else 1.0
    np.testing.assert_allclose(actual, desired, rtol=0, atol=8 * math.sqrt(max(terms, 1)) * EPS[dtype] * scale)
    assert actual.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((4,), (3,)),
        ((3, 5), (4, 2)),
        ((2, 3, 4), (5, 3, 2)),
        ((1, 6, 1), (2, 1, 3)),
        ((0, 3), (2, 2)),
        ((3, 2), (0, 2)),
    ],
)
def test_every_mode_agrees_with_einsum(dtype, shape, rows):
    rng = np.random.default_rng(0)
    X = random(rng, shape, dtype)
    mats = [random(rng, (m, n), dtype) for m, n in zip(rows, shape, strict=True)]
    close(multi_mode_product(X, mats), oracle(X, mats, range(len(shape))), dtype, X.size)
    adjoint = [a.conj().T for a in mats]
    close(multi_mode_product(X, adjoint, adjoint=True), oracle(X, mats, range(len(shape))), dtype, X.size)


@pytest.mark.parametrize("mode", [0, 1, 2, 3, -1, -4])
def test_one_mode(mode):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3, 4, 5, 6))
    A = rng.normal(size=(2, X.shape[mode]))
    close(mode_product(X, A, mode), oracle(X, [A], [mode % 4]), np.float64, 6)


@pytest.mark.parametrize("shape", [(200, 20, 2), (64, 3, 3), (50, 2, 7), (5, 30, 2), (40, 9, 1, 3)])
def test_short_trailing_axes_take_the_other_branch_correctly(shape):
    rng = np.random.default_rng(2)
    X = rng.normal(size=shape)
    A = rng.normal(size=(4, shape[1]))
    close(mode_product(X, A, 1), oracle(X, [A], [1]), np.float64, shape[1])


def test_leading_batch_axis_and_skip():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(7, 3, 4, 5))
    mats = [rng.normal(size=(n, n)) for n in (3, 4, 5)]
    stacked = np.stack([multi_mode_product(x, mats) for x in X])
    np.testing.assert_allclose(multi_mode_product(X, mats, modes=[1, 2, 3]), stacked, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        multi_mode_product(X, mats, modes=[1, 2, 3], skip=1),
        oracle(X, [mats[0], mats[2]], [1, 3]),
        rtol=1e-12,
        atol=1e-12,
    )
    np.testing.assert_array_equal(multi_mode_product(X, mats, modes=[1, 2, 3], skip=[0, 1, -1]), X)


def test_result_never_aliases_the_input():
    X = np.ones((2, 3))
    Y = multi_mode_product(X, [np.eye(2), np.eye(3)], skip=[0, 1])
    Y[:] = 5
    assert (X == 1).all()


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_memory_layouts(order):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(6, 8, 10))
    X = {"C": X, "F": np.asfortranarray(X), "strided": X[::2, ::-1, 1::3]}[order]
    mats = [np.asfortranarray(rng.normal(size=(4, n))) for n in X.shape]
    close(multi_mode_product(X, mats), oracle(X, mats, range(3)), np.float64, X.size)


def test_out_buffer_is_filled_and_checked():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3, 4, 5))
    mats = [rng.normal(size=(n + 1, n)) for n in X.shape]
    out = np.empty((4, 5, 6))
    assert multi_mode_product(X, mats, out=out) is out
    close(out, oracle(X, mats, range(3)), np.float64, X.size)
    with pytest.raises(ShapeError, match="C-contiguous"):
        multi_mode_product(X, mats, out=np.empty((4, 5, 7)))
    with pytest.raises(ShapeError, match="C-contiguous"):
        multi_mode_product(X, mats, out=out.astype(np.float32))
    with pytest.raises(ShapeError, match="shares memory"):
        multi_mode_product(X, [np.eye(3), np.eye(4), np.eye(5)], out=X)


def test_dtypes_promote_and_never_narrow():
    X = np.ones((2, 3), dtype=np.float32)
    assert multi_mode_product(X, [np.eye(2), np.eye(3, dtype=np.float32)]).dtype == np.float64
    assert multi_mode_product(X, [np.eye(2, dtype=np.complex64), np.eye(3, dtype=np.float32)]).dtype == np.complex64
    assert mode_product([[1, 2], [3, 4]], [[1, 1]], 0).dtype == np.float64


def test_nan_stays_in_its_own_fibres():
    X = np.ones((40, 3, 2))
    X[5, 1, 0] = np.nan
    Y = mode_product(X, np.ones((4, 3)), 1)
    assert np.isnan(Y[5, :, 0]).all()
    assert np.isnan(Y).sum() == 4


def test_shape_errors_name_the_matrix_and_the_axis():
    X = np.ones((2, 3))
    with pytest.raises(ShapeError, match=r"matrices\[1\] has shape \(4, 4\).*axis 1.*length 3"):
        multi_mode_product(X, [np.eye(2), np.eye(4)])
    with pytest.raises(ShapeError, match="expected 2, one per axis"):
        multi_mode_product(X, [np.eye(2)])
    with pytest.raises(ShapeError, match="axis twice"):
        multi_mode_product(X, [np.eye(3), np.eye(3)], modes=[1, -1])
    with pytest.raises(ShapeError, match="mode 2 does not exist"):
        mode_product(X, np.eye(2), 2)
    with pytest.raises(ShapeError, match="expected a matrix"):
        mode_product(X, np.ones(2), 0)
    with pytest.raises(ShapeError, match="no position"):
        multi_mode_product(X, [np.eye(2), np.eye(3)], skip=2)
    with pytest.raises(ShapeError, match="empty"):
        multi_mode_product(X, [])


def test_size_error_before_allocation():
    X = np.ones((2, 2, 2, 2))
    with pytest.raises(SizeError, match="GiB"):
        multi_mode_product(X, [np.ones((30000, 2))] * 4)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_products_are_linear_commute_and_compose(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X, Y = rng.normal(size=shape), rng.normal(size=shape)
    mats = [rng.normal(size=(data.draw(st.integers(1, 4)), n)) for n in shape]
    both = multi_mode_product(2 * X - Y, mats)
    np.testing.assert_allclose(both, 2 * multi_mode_product(X, mats) - multi_mode_product(Y, mats), atol=1e-10)
    order = data.draw(st.permutations(range(len(shape))))
    np.testing.assert_allclose(
        multi_mode_product(X, [mats[d] for d in order], modes=order), multi_mode_product(X, mats), atol=1e-10
    )
    Z = rng.normal(size=[len(a) for a in mats])
    inner = (multi_mode_product(X, mats) * Z).sum()
    np.testing.assert_allclose(inner, (X * multi_mode_product(Z, mats, adjoint=True)).sum(), atol=1e-9)


def test_vec_order_is_the_one_of_numpy_kron():
    rng = np.random.default_rng(6)
    A, B, X = rng.normal(size=(4, 2)), rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    np.testing.assert_allclose(np.kron(A, B) @ vec(X), vec(multi_mode_product(X, [A, B])), atol=1e-12)
    C = rng.normal(size=(3, 2))
    np.testing.assert_allclose(np.kron(C, np.eye(2)) @ vec(X.T[:2], "F"), vec(X.T[:2] @ C.T, "F"), atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (2, 0, 3)])
def test_unvec_inverts_vec(order, shape):
    X = np.random.default_rng(7).normal(size=shape)
    np.testing.assert_array_equal(unvec(vec(X, order), shape, order), X)
    np.testing.assert_array_equal(vec(X, order), X.ravel(order))


def test_vec_errors():
    with pytest.raises(ValueError, match="order must be"):
        vec(np.ones(3), "A")
    with pytest.raises(ShapeError, match=r"expected \(6,\)"):
        unvec(np.ones(5), (2, 3))


@pytest.mark.parametrize("mode", [0, 1, 2, -1])
def test_fold_inverts_unfold_in_tensorly_order(mode):
    tl = pytest.importorskip("tensorly")
    X = np.random.default_rng(8).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(unfold(X, mode), tl.unfold(X, mode % 3))
    np.testing.assert_array_equal(fold(unfold(X, mode), mode, X.shape), X)
    with pytest.raises(ShapeError, match="unfolding"):
        fold(np.ones((5, 5)), mode, X.shape)


def brute_khatri_rao(mats):
    result = mats[0]
    for a in mats[1:]:
        result = np.einsum("ir,jr->ijr", result, a).reshape(len(result) * len(a), a.shape[1])
    return result


@pytest.mark.parametrize("numba", ["0", "1"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_khatri_rao(monkeypatch, numba, dtype):
    monkeypatch.setenv("STRUCTKIT_NUMBA", numba)
    rng = np.random.default_rng(9)
    for sizes, rank in [((3,), 2), ((3, 4), 1), ((2, 1, 5), 3), ((2, 3, 2, 2), 4), ((0, 3), 2), ((2, 3), 0)]:
        mats = [random(rng, (n, rank), dtype) for n in sizes]
        expected = brute_khatri_rao(mats)
        np.testing.assert_allclose(khatri_rao(mats), expected, rtol=8 * EPS[dtype])
        out = np.empty(expected.shape, dtype)
        assert khatri_rao(mats, out=out) is out
        np.testing.assert_allclose(out, expected, rtol=8 * EPS[dtype])


def test_khatri_rao_errors():
    with pytest.raises(ShapeError, match=r"matrices\[1\].*2 columns"):
        khatri_rao([np.ones((2, 2)), np.ones((2, 3))])
    with pytest.raises(SizeError, match="GiB"):
        khatri_rao([np.ones((100000, 2))] * 3)
    with pytest.raises(ShapeError, match="C-contiguous"):
        khatri_rao([np.ones((2, 2))] * 2, out=np.ones((2, 2)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 5), (2, 1, 4, 3), (30, 3, 2), (2, 3, 40), (2, 0, 3)])
def test_mttkrp_agrees_with_unfolding_times_khatri_rao(dtype, shape):
    rng = np.random.default_rng(10)
    X = random(rng, shape, dtype)
    mats = [random(rng, (n, 3), dtype) for n in shape]
    for mode in range(len(shape)):
        others = [a for d, a in enumerate(mats) if d != mode]
        expected = unfold(X, mode) @ (brute_khatri_rao(others) if others else np.ones((1, 3), dtype))
        close(mttkrp(X, mats, mode), expected, dtype, X.size)


def test_mttkrp_errors():
    with pytest.raises(ShapeError, match="needs"):
        mttkrp(np.ones((2, 3)), [np.ones((2, 2)), np.ones((4, 2))], 0)
    with pytest.raises(ShapeError, match="does not exist"):
        mttkrp(np.ones((2, 3)), [np.ones((2, 2)), np.ones((3, 2))], 2)


def test_torch_values_and_gradients():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(11)
    for shape in [(3, 4, 2), (2, 3), (5,), (2, 3, 40)]:
        X = rng.normal(size=shape)
        mats = [rng.normal(size=(2, n)) for n in shape]
        t, tm = torch.tensor(X, requires_grad=True), [torch.tensor(a, requires_grad=True) for a in mats]
        y = multi_mode_product(t, tm)
        close(y.detach().numpy(), oracle(X, mats, range(len(shape))), np.float64, X.size)
        if X.size < 30:
            assert torch.autograd.gradcheck(lambda x, *a: multi_mode_product(x, a), (t, *tm))
            assert torch.autograd.gradgradcheck(lambda x, *a: multi_mode_product(x, a), (t, *tm))
        square = [torch.tensor(rng.normal(size=(n, 2)), requires_grad=True) for n in shape]
        assert torch.autograd.gradcheck(lambda x, *a: mttkrp(x, a, 0), (t, *square))
        np.testing.assert_allclose(
            mttkrp(t, square, -1).detach(), mttkrp(X, [a.detach().numpy() for a in square], -1), atol=1e-12
        )
        np.testing.assert_array_equal(unfold(t, -1).detach(), unfold(X, -1))
        np.testing.assert_array_equal(fold(unfold(t, 0), 0, shape).detach(), X)
        np.testing.assert_array_equal(unvec(vec(t, "F"), shape, "F").detach(), X)


def test_torch_dtype_and_mixing():
    torch = pytest.importorskip("torch")
    X = torch.ones(2, 3, dtype=torch.float32)
    assert mode_product(X, torch.eye(3, dtype=torch.float64), 1).dtype == torch.float64
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        mode_product(X, np.eye(3), 1)
    with pytest.raises(TypeError, match="out works with numpy"):
        khatri_rao([X, X], out=np.ones((4, 3)))


@pytest.mark.parametrize("chunks", [(5, 4, 6), (2, 4, 6), (2, 2, 6), (2, 2, 3), (1, 1, 1)])
def test_dask_stays_lazy_and_agrees(chunks):
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(12)
    X = rng.normal(size=(5, 4, 6))
    mats = [rng.normal(size=(m, n)) for m, n in zip((3, 4, 7), X.shape, strict=True)]
    Y = multi_mode_product(da.from_array(X, chunks=chunks), mats)
    assert isinstance(Y, da.Array)
    assert Y.shape == (3, 4, 7)
    close(Y.compute(scheduler="synchronous"), oracle(X, mats, range(3)), np.float64, X.size)
    Y = mode_product(da.from_array(X, chunks=chunks), mats[1], 1)
    close(Y.compute(scheduler="synchronous"), oracle(X, [mats[1]], [1]), np.float64, X.size)
    with pytest.raises(TypeError, match="dask"):
        mttkrp(da.from_array(X, chunks=chunks), [np.ones((n, 2)) for n in X.shape], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("modes", [(1, 2, 3), (3, 1, 2), (0, 1, 2, 3), (0, 1, 2), (1, 3)])
def test_large_tensors(modes, dtype):
    """From some size on, products along all trailing axes are planned as Kronecker products."""
    rng = np.random.default_rng(0)
    shape, rows = (2, 40, 30, 33), (3, 25, 41, 33)
    X = rng.standard_normal(shape).astype(dtype)
    mats = [rng.standard_normal((rows[d], shape[d])).astype(dtype) for d in modes]
    expected = X.astype(np.result_type(dtype, np.float64))
    for d, a in zip(modes, mats, strict=True):
        expected = np.moveaxis(np.tensordot(a, expected, axes=(1, d)), 0, d)
    tol = 200 * np.finfo(dtype).eps * np.abs(expected).max()
    found = multi_mode_product(X, mats, modes=modes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tol)
    out = np.empty_like(found)
    adjoint = [np.ascontiguousarray(a.conj().T) for a in mats]
    assert multi_mode_product(X, adjoint, modes=modes, adjoint=True, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=0, atol=tol)
