"""Values at entries, their gradients and the sparse MTTKRP against dense tensors, with and without compilation."""

import itertools
import os
import string
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._core.errors import BackendMismatchError, IndexRangeError, ShapeError
from structkit.kron import (
    cp_at,
    cp_at_gradient,
    khatri_rao,
    kron,
    mttkrp,
    mttkrp_sparse,
    tucker_at,
    tucker_at_gradient,
    tucker_entries,
)
from structkit.kron.tucker_entries import _choose

LETTERS = string.ascii_lowercase
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
TOL = {np.float32: 2e-5, np.complex64: 2e-5, np.float64: 2e-14, np.complex128: 2e-14}


@pytest.fixture(params=["0", "1"], ids=["numpy", "numba"], autouse=True)
def kernels_in_use(request, monkeypatch):
    monkeypatch.setenv("STRUCTKIT_NUMBA", request.param)


def random(rng, shape, dtype=np.float64):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def entries(rng, sizes, count):
    return np.stack([rng.integers(0, n, size=count) for n in sizes], axis=1)


def dense_cp(mats, weights):
    terms = ",".join(LETTERS[d] + "z" for d in range(len(mats)))
    return np.einsum(f"{terms},z->{LETTERS[: len(mats)]}", *mats, weights)


def dense_tucker(core, mats):
    n = core.ndim
    terms = "".join(f",{LETTERS[n + d]}{LETTERS[d]}" for d in range(n))
    return np.einsum(f"{LETTERS[:n]}{terms}->{LETTERS[n : 2 * n]}", core, *mats)


def close(actual, desired, dtype):
    scale = max(1.0, float(np.abs(desired).max())) if desired.size else 1.0
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=TOL[dtype] * scale)


PROBLEMS = [((5,), 3, 7), ((4, 6), 2, 9), ((5, 4, 3), 4, 50), ((3, 1, 2, 4), 3, 40), ((2, 3, 2, 2, 3), 1, 30)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "rank", "count"), PROBLEMS)
def test_cp_values_and_mttkrp(dtype, sizes, rank, count):
    rng = np.random.default_rng(0)
    mats, w, idx = [random(rng, (n, rank), dtype) for n in sizes], random(rng, rank, dtype), entries(rng, sizes, count)
    values = cp_at(idx, mats, w)
    assert values.dtype == dtype
    close(values, dense_cp(mats, w)[tuple(idx.T)], dtype)
    close(cp_at(idx, mats), dense_cp(mats, np.ones(rank, dtype))[tuple(idx.T)], dtype)
    full = np.zeros(sizes, dtype)
    np.add.at(full, tuple(idx.T), values)
    for mode in range(len(sizes)):
        close(mttkrp_sparse(idx, values, mats, mode), mttkrp(full, mats, mode), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "rank", "count"), PROBLEMS)
def test_tucker_values(dtype, sizes, rank, count):
    rng = np.random.default_rng(1)
    ranks = [1 + (rank + d) % 4 for d in range(len(sizes))]
    core, idx = random(rng, ranks, dtype), entries(rng, sizes, count)
    mats = [random(rng, (n, r), dtype) for n, r in zip(sizes, ranks, strict=True)]
    values = tucker_at(idx, core, mats)
    assert values.dtype == dtype
    close(values, dense_tucker(core, mats)[tuple(idx.T)], dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize(("sizes", "rank", "count"), PROBLEMS)
def test_gradients_agree_with_torch(dtype, sizes, rank, count):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    idx, g = entries(rng, sizes, count), random(rng, count, dtype)
    mats, w = [random(rng, (n, rank), dtype) for n in sizes], random(rng, rank, dtype)
    leaves = [torch.tensor(a, requires_grad=True) for a in (*mats, w)]
    y = cp_at(torch.tensor(idx), leaves[:-1], leaves[-1])
    close(y.detach().numpy(), cp_at(idx, mats, w), dtype)
    expected = [t.numpy() for t in torch.autograd.grad(y, leaves, torch.tensor(g))]
    ours = cp_at_gradient(idx, mats, g, w)
    for a, b in zip([*ours.matrices, ours.weights], expected, strict=True):
        close(a, b, dtype)
    in_torch = cp_at_gradient(idx, leaves[:-1], torch.tensor(g), leaves[-1])
    close(in_torch.weights.detach().numpy(), expected[-1], dtype)

    ranks = [1 + (rank + d) % 3 for d in range(len(sizes))]
    core, mats = random(rng, ranks, dtype), [random(rng, (n, r), dtype) for n, r in zip(sizes, ranks, strict=True)]
    leaves = [torch.tensor(a, requires_grad=True) for a in (core, *mats)]
    y = tucker_at(idx, leaves[0], leaves[1:])
    close(y.detach().numpy(), tucker_at(idx, core, mats), dtype)
    expected = [t.numpy() for t in torch.autograd.grad(y, leaves, torch.tensor(g))]
    ours = tucker_at_gradient(idx, core, mats, g)
    in_torch = tucker_at_gradient(idx, leaves[0], leaves[1:], torch.tensor(g))
    close(in_torch.core.detach().numpy(), expected[0], dtype)
    for a, b in zip([ours.core, *ours.matrices], expected, strict=True):
        close(a, b, dtype)


def test_every_choice_of_table_gives_the_same(monkeypatch):
    rng = np.random.default_rng(3)
    sizes, ranks, idx = (4, 5, 3), (2, 3, 2), entries(rng, (4, 5, 3), 60)
    core, g = rng.normal(size=ranks), rng.normal(size=60)
    mats = [rng.normal(size=s) for s in zip(sizes, ranks, strict=True)]
    values, grad = tucker_at(idx, core, mats), tucker_at_gradient(idx, core, mats, g)
    close(values, dense_tucker(core, mats)[tuple(idx.T)], np.float64)
    choices = [(m, True) for k in range(4) for m in itertools.combinations(range(3), k)] + [
        ((d,), False) for d in range(3)
    ]
    for choice in choices:
        monkeypatch.setattr(tucker_entries, "_choose", lambda *_, c=choice: c)
        close(tucker_at(idx, core, mats), values, np.float64)
        again = tucker_at_gradient(idx, core, mats, g)
        for a, b in zip([again.core, *again.matrices], [grad.core, *grad.matrices], strict=True):
            close(a, b, np.float64)


def test_table_is_chosen_by_cost():
    assert _choose((8, 8, 8), (300, 300, 300), 200_000) != ((), True)
    modes, whole = _choose((8, 8, 8), (10**7, 10**7, 10**7), 1000)
    assert not whole or modes == ()
    assert _choose((2, 2, 2), (10, 10, 10), 10**6) == ((0, 1, 2), True)


def test_double_backward():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    idx = entries(rng, (2, 3, 2), 4)
    mats = [torch.tensor(rng.normal(size=(n, 2)), requires_grad=True) for n in (2, 3, 2)]
    core = torch.tensor(rng.normal(size=(2, 2, 2)), requires_grad=True)
    for function in (lambda g, *a: cp_at(idx, a, g[0, 0]), lambda g, *a: tucker_at(idx, g, a)):
        assert torch.autograd.gradcheck(function, (core, *mats))
        assert torch.autograd.gradgradcheck(function, (core, *mats))
    values = torch.tensor(rng.normal(size=4), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, *a: mttkrp_sparse(idx, v, a, 1), (values, *mats))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_mttkrp_is_the_adjoint_of_values_in_one_matrix(seed, n_modes, rank, count):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, size=n_modes)
    idx, mats, v = entries(rng, sizes, count), [rng.normal(size=(n, rank)) for n in sizes], rng.normal(size=count)
    mode = int(rng.integers(n_modes))
    left = v @ cp_at(idx, mats)
    np.testing.assert_allclose(left, (mttkrp_sparse(idx, v, mats, mode) * mats[mode]).sum(), atol=1e-10)
    grad = cp_at_gradient(idx, mats, v)
    np.testing.assert_allclose(grad.weights.sum(), left, atol=1e-10)


def test_fewer_entries_than_rows_use_only_the_rows_in_use():
    rng = np.random.default_rng(5)
    mats = [rng.normal(size=(5000, 3)) for _ in range(3)]
    idx = np.array([[4999, 0, 17], [0, 4999, 17]])
    expected = np.prod([a[i] for a, i in zip(mats, idx.T, strict=True)], axis=0)
    close(cp_at(idx, mats), expected.sum(1), np.float64)
    close(mttkrp_sparse(idx, np.ones(2), mats, 0)[[4999, 0]], mats[1][idx[:, 1]] * mats[2][idx[:, 2]], np.float64)


def test_index_types_and_layouts():
    rng = np.random.default_rng(6)
    mats, idx = [rng.normal(size=(4, 2)) for _ in range(3)], entries(rng, (4, 4, 4), 6)
    expected = cp_at(idx, mats)
    for other in (idx.astype(np.int32), idx.astype(np.uint8), np.asfortranarray(idx), idx.tolist(), idx[::-1][::-1]):
        np.testing.assert_array_equal(cp_at(other, mats), expected)
    assert cp_at(np.empty((0, 3)), mats).shape == (0,)
    assert cp_at(idx, [a[:, :0] for a in mats]).tolist() == [0.0] * 6
    strided = [np.asfortranarray(a) for a in mats]
    np.testing.assert_array_equal(cp_at(idx, strided), expected)


def test_dtypes_promote():
    idx, mats = [[0, 0]], [np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)]
    assert cp_at(idx, mats, np.ones(2)).dtype == np.float64
    assert mttkrp_sparse(idx, np.ones(1), mats, 0).dtype == np.float64
    assert cp_at_gradient(idx, mats, np.ones(1, np.float32)).weights.dtype == np.float32
    assert tucker_at(idx, np.ones((2, 2), np.complex64), mats).dtype == np.complex64
    assert tucker_at(idx, [[1, 2], [3, 4]], [[[1, 1]], [[1, 1]]]).dtype == np.float64


def test_nan_reaches_exactly_the_entries_that_use_it():
    mats = [np.ones((3, 2)), np.ones((3, 2))]
    mats[0][1, 0] = np.nan
    assert np.isnan(cp_at([[0, 0], [1, 0], [2, 2]], mats)).tolist() == [False, True, False]
    assert np.isnan(tucker_at([[0, 0], [1, 0], [2, 2]], np.ones((2, 2)), mats)).tolist() == [False, True, False]


@pytest.mark.parametrize("value", [-1, 3, 2**40, -(2**40)])
def test_bad_index_is_named_with_its_position(value):
    mats = [np.ones((5, 2)), np.ones((3, 2))]
    idx = np.array([[0, 0], [4, 2], [1, value], [9, 9]])
    for call in (
        lambda: cp_at(idx, mats),
        lambda: mttkrp_sparse(idx, np.ones(4), mats, 0),
        lambda: cp_at_gradient(idx, mats, np.ones(4)),
        lambda: tucker_at(idx, np.ones((2, 2)), mats),
        lambda: tucker_at_gradient(idx, np.ones((2, 2)), mats, np.ones(4)),
    ):
        with pytest.raises(IndexRangeError, match=rf"index\[2, 1\] is {value}; mode 1 has length 3"):
            call()
    torch = pytest.importorskip("torch")
    with pytest.raises(IndexRangeError, match=r"index\[2, 1\]"):
        cp_at(torch.tensor(idx), [torch.ones(5, 2), torch.ones(3, 2)])


def test_errors_say_what_was_expected():
    torch = pytest.importorskip("torch")
    mats, idx = [np.ones((5, 2)), np.ones((3, 2))], np.zeros((4, 2), int)
    with pytest.raises(ShapeError, match=r"expected \(S, 2\)"):
        cp_at(idx[:, :1], mats)
    with pytest.raises(TypeError, match="expected integers"):
        cp_at(idx.astype(float), mats)
    with pytest.raises(TypeError, match="expected integers"):
        cp_at(idx.astype(bool), mats)
    with pytest.raises(TypeError, match="expected integers"):
        cp_at(torch.zeros(4, 2), [torch.ones(5, 2), torch.ones(3, 2)])
    with pytest.raises(ShapeError, match=r"matrices\[1\]"):
        cp_at(idx, [np.ones((5, 2)), np.ones((3, 4))])
    with pytest.raises(ShapeError, match=r"weights has shape \(3,\); expected \(2,\)"):
        cp_at(idx, mats, np.ones(3))
    with pytest.raises(ShapeError, match="4 rows for 3 values"):
        mttkrp_sparse(idx, np.ones(3), mats, 0)
    with pytest.raises(ShapeError, match="one number per entry"):
        cp_at_gradient(idx, mats, np.ones((4, 1)))
    with pytest.raises(ShapeError, match="core of shape"):
        tucker_at(idx, np.ones((2, 3)), mats)
    with pytest.raises(ShapeError, match="expected 3, one per axis"):
        tucker_at(idx, np.ones((2, 2, 2)), mats)
    with pytest.raises(ShapeError, match="empty"):
        cp_at(idx, [])
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        cp_at(idx, [np.ones((5, 2)), torch.ones(3, 2)])
    with pytest.raises(BackendMismatchError, match="index is a torch tensor"):
        cp_at(torch.zeros(4, 2, dtype=torch.int64), mats)


def test_numba_is_loaded_on_first_use_only():
    code = (
        "import sys, numpy as np, structkit.kron as k\n"
        "assert not {'numba', 'torch'} & set(sys.modules)\n"
        "print(k.cp_at([[0, 0]], [np.ones((1, 2))] * 2)[0], 'numba' in sys.modules)\n"
    )
    used = os.environ["STRUCTKIT_NUMBA"] == "1"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert out.stdout.split() == ["2.0", str(used)]


def test_kernels_are_compiled_for_stated_types_and_kept_on_disk(monkeypatch):
    """No process compiles behind the user's back: a call with other types is an error, not another compilation."""
    monkeypatch.setenv("STRUCTKIT_NUMBA", "1")
    numba_kernels = pytest.importorskip("structkit._backend.numba_kernels")
    used = []
    compile_kernel = numba_kernels._compile
    monkeypatch.setattr(numba_kernels, "_compile", lambda *args: used.append(compile_kernel(*args)) or used[-1])
    rng = np.random.default_rng(0)
    mats, idx, g = [random(rng, (3, 2)) for _ in range(3)], entries(rng, (3, 3, 3), 4), random(rng, 4)
    core = random(rng, (2, 2, 2))
    for call in (
        lambda: cp_at(idx, mats),
        lambda: cp_at_gradient(idx, mats, g),
        lambda: mttkrp_sparse(idx, g, mats, 0),
        lambda: khatri_rao(mats),
        lambda: kron(*mats),
        lambda: tucker_at(idx, core, mats),
        lambda: tucker_at_gradient(idx, core, mats, g),
        lambda: numba_kernels.scatter_rows(idx[:, 0].copy(), random(rng, (4, 2)), mats[0]),
    ):
        call()
    assert {k.__name__.lstrip("_") for k in used} == set(numba_kernels.__all__)
    for kernel in used:
        assert len(kernel.nopython_signatures) == 1
        assert kernel.stats.cache_path
        with pytest.raises(TypeError, match="No matching definition"):
            kernel(*[np.zeros((1, 1), np.float16)] * len(kernel.nopython_signatures[0].args))


def unaligned(x):
    """Copy whose memory starts at an odd address."""
    raw = np.empty(x.nbytes + 1, np.uint8)[1:]
    y = raw.view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def frozen(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "layout", [frozen, unaligned, np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2]],
    ids=["read-only", "unaligned", "column-major", "strided"],
)  # fmt: skip
def test_any_memory_layout(layout):
    """Memory maps, arrays of other libraries and slices: compiled code gets what its signatures promise."""
    rng = np.random.default_rng(3)
    sizes, rank = (4, 3, 5), 2
    mats, core, w = [random(rng, (n, rank)) for n in sizes], random(rng, (rank,) * 3), random(rng, rank)
    idx, g = entries(rng, sizes, 20), random(rng, 20)

    def results(change):
        m, i, v, c = [change(a) for a in mats], change(idx), change(g), change(core)
        cp, tucker = cp_at_gradient(i, m, v, change(w)), tucker_at_gradient(i, c, m, v)
        gradients = [*cp.matrices, cp.weights, tucker.core, *tucker.matrices]
        single = tucker_at_gradient(change(idx[:, :1]), change(core[:, 0, 0]), m[:1], v)
        return [cp_at(i, m), mttkrp_sparse(i, v, m, 1), tucker_at(i, c, m), khatri_rao(m), kron(*m), *gradients,
                single.core, *single.matrices]  # fmt: skip

    for ours, want in zip(results(layout), results(lambda x: x), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-14, atol=1e-14)


def test_torch_computes_mixed_precisions_in_the_wider_one():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    mats = [random(rng, (n, 2), np.float32) for n in (4, 3)] + [random(rng, (5, 2))]
    idx, g = entries(rng, (4, 3, 5), 20), random(rng, 20)
    tensors, index = [torch.tensor(m) for m in mats], torch.tensor(idx)
    close(cp_at(index, tensors).numpy(), cp_at(idx, mats), np.float64)
    close(mttkrp_sparse(index, torch.tensor(g), tensors, 2).numpy(), mttkrp_sparse(idx, g, mats, 2), np.float64)
    ours, want = (cp_at_gradient(i, m, v) for i, m, v in ((index, tensors, torch.tensor(g)), (idx, mats, g)))
    for a, b in zip([*ours.matrices, ours.weights], [*want.matrices, want.weights], strict=True):
        close(a.numpy(), b, np.float64)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_empty_ranks_give_zeros(library):
    torch = pytest.importorskip("torch")
    wrap = torch.tensor if library == "torch" else np.asarray
    idx, core, mats = (
        wrap(np.zeros((2, 2), int)),
        wrap(np.zeros((0, 2))),
        [wrap(np.zeros((3, 0))), wrap(np.ones((3, 2)))],
    )
    assert np.array_equal(np.asarray(tucker_at(idx, core, mats)), np.zeros(2))
    grad = tucker_at_gradient(idx, core, mats, wrap(np.ones(2)))
    assert [tuple(a.shape) for a in (grad.core, *grad.matrices)] == [(0, 2), (3, 0), (3, 2)]
