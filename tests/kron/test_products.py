"""kron_matmul on numpy arrays against the dense product."""

import math
import threading
import tracemalloc
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._core.errors import BackendMismatchError, ShapeError, SizeError
from structkit.kron import kron_matmul, kron_plan, kron_rmatmul

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]

SHAPES = [
    [(5, 5)],
    [(1, 1)],
    [(1, 1), (3, 2), (1, 1)],
    [(2, 2)] * 9,
    [(3, 3)] * 5,
    [(2, 2), (3, 3), (4, 4), (2, 2), (2, 2)],
    [(1, 4), (3, 1), (2, 5)],
    [(12, 2), (2, 12), (3, 3)],
    [(2, 12), (12, 2), (5, 3)],
    [(20, 20), (7, 7)],
    [(2, 2), (2, 2), (30, 25), (2, 2)],
]


def random(rng, shape, dtype=np.float64):
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    return a.astype(dtype)


def dense(factors):
    return reduce(np.kron, factors)


def assert_close(got, want, scale=None):
    """Rounding of a sum of products, relative to the largest entry the terms could reach."""
    scale = np.abs(want).max(initial=0.0) if scale is None else scale
    eps = np.finfo(got.dtype).eps
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=200 * eps * max(scale, np.finfo(got.dtype).tiny))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_equals_dense_product(shapes, dtype):
    rng = np.random.default_rng(0)
    factors = [random(rng, s, dtype) for s in shapes]
    matrix = dense(factors)
    for shape in [(matrix.shape[1],), (matrix.shape[1], 1), (matrix.shape[1], 3), (2, matrix.shape[1], 2)]:
        x = random(rng, shape, dtype)
        assert_close(kron_matmul(factors, x), matrix @ x)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_adjoint_and_transpose(shapes):
    rng = np.random.default_rng(1)
    factors = [random(rng, s, np.complex128) for s in shapes]
    matrix = dense(factors)
    x = random(rng, (matrix.shape[0], 2), np.complex128)
    assert_close(kron_matmul(factors, x, adjoint=True), matrix.conj().T @ x)
    assert_close(kron_matmul(factors, x, transpose=True), matrix.T @ x)
    row = random(rng, (3, matrix.shape[0]), np.complex128)
    assert_close(kron_rmatmul(factors, row), row @ matrix)
    assert_close(kron_rmatmul(factors, row[0]), row[0] @ matrix)


@pytest.mark.parametrize("kernel", ["rot", "leftrot", "batched"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_every_kernel_gives_the_product(shapes, kernel):
    rng = np.random.default_rng(2)
    factors = [random(rng, s) for s in shapes]
    matrix = dense(factors)
    for k in (1, 5):
        for max_bytes in (2**30, 64):
            plan = kron_plan(shapes, float, n_columns=k, kernel=kernel, max_bytes=max_bytes)
            for shape in [(matrix.shape[1], k), (3, matrix.shape[1], k)]:
                x = random(rng, shape)
                assert_close(kron_matmul(factors, x, plan=plan), matrix @ x)


CHAINS = [(2,), (3,), (4, 3), (2,) * 9, (3,) * 6, (4,) * 5, (2, 3, 4, 2, 2, 3), (2, 2, 3, 2, 2, 2, 4), (1, 4, 1, 2, 3)]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("sizes", CHAINS, ids=str)
def test_compiled_chain_equals_gemm_for_every_thread_count(sizes, dtype, monkeypatch):
    from structkit.kron import _chain

    monkeypatch.setenv("STRUCTKIT_NUMBA", "1")
    rng = np.random.default_rng(3)
    shapes = [(n, n) for n in sizes]
    factors = [random(rng, s, dtype) for s in shapes]
    n = math.prod(sizes)
    monkeypatch.setattr(_chain, "THREADS_FROM", 1)
    for outer, inner in [(2**18, 2**14), (2**9, 2**7)]:  # the second pair forces every kind of phase on small data
        monkeypatch.setattr(_chain, "OUTER_BYTES", outer)
        monkeypatch.setattr(_chain, "INNER_BYTES", inner)
        _chain.layout.cache_clear()
        for shape in [(n,), (n, 3), (n, 17), (3, n, 2)]:
            x = random(rng, shape, dtype)
            gemm = kron_plan(shapes, dtype, kernel="batched")
            one, three = (kron_plan(shapes, dtype, kernel="chain", n_threads=t) for t in (1, 3))
            y = kron_matmul(factors, x, plan=one)
            assert_close(y, kron_matmul(factors, x, plan=gemm))
            np.testing.assert_array_equal(y, kron_matmul(factors, x, plan=three))
    _chain.layout.cache_clear()


def test_without_numba_the_plan_uses_blas(monkeypatch):
    shapes = [(2, 2)] * 10
    rng = np.random.default_rng(4)
    factors, x = [random(rng, s) for s in shapes], random(rng, (1024,))
    monkeypatch.setenv("STRUCTKIT_NUMBA", "1")
    compiled = kron_plan(shapes, float)
    y = kron_matmul(factors, x)
    monkeypatch.setenv("STRUCTKIT_NUMBA", "0")
    plain = kron_plan(shapes, float)
    assert (compiled.kernel, plain.kernel) == ("chain", "rot")
    assert_close(kron_matmul(factors, x), y)
    assert_close(kron_matmul(factors, x, plan=compiled), y)
    with pytest.raises(ValueError, match="STRUCTKIT_NUMBA"):
        kron_plan(shapes, float, kernel="chain")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_linear_and_adjoint_identity(data):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4))
    dtype = data.draw(st.sampled_from([np.float64, np.complex128]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    factors = [random(rng, s, dtype) for s in shapes]
    m, n = (math.prod(s[i] for s in shapes) for i in (0, 1))
    u, v, w = random(rng, (n, 2), dtype), random(rng, (n, 2), dtype), random(rng, (m, 2), dtype)
    scale = np.prod([np.abs(f).sum() for f in factors]) * 10
    assert_close(kron_matmul(factors, 2 * u - v), 2 * kron_matmul(factors, u) - kron_matmul(factors, v), scale)
    left = np.vdot(w, kron_matmul(factors, u))
    right = np.vdot(kron_matmul(factors, w, adjoint=True), u)
    assert abs(left - right) <= 1e-13 * scale * m * n
    assert_close(kron_matmul(factors, u), dense(factors) @ u, scale)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_row_major_vec_identity(m, n, p, q):
    rng = np.random.default_rng(m + 10 * n + 100 * p + 1000 * q)
    a, b, x = rng.standard_normal((m, n)), rng.standard_normal((p, q)), rng.standard_normal((n, q))
    assert_close(kron_matmul([a, b], x.ravel()), (a @ x @ b.T).ravel())


@pytest.mark.parametrize("shape", [(0,), (6, 0), (0, 6, 2)])
def test_empty_inputs_give_empty_results(shape):
    factors = [np.ones((2, 2)), np.ones((4, 3))]
    if shape == (0,):
        factors[0] = np.ones((2, 0))
        np.testing.assert_array_equal(kron_matmul(factors, np.ones(0)), np.zeros(8))
        return
    y = kron_matmul(factors, np.ones(shape))
    assert y.shape == (*shape[:-2], 8, shape[-1])


def test_factor_without_rows_gives_no_rows():
    assert kron_matmul([np.ones((0, 3)), np.ones((2, 2))], np.ones((6, 4))).shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.int64, bool, np.uint8])
def test_integers_become_float64(dtype):
    factors = [np.eye(2, dtype=dtype), np.ones((3, 3), dtype=dtype)]
    y = kron_matmul(factors, np.arange(6))
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [3, 3, 3, 12, 12, 12])


def test_dtypes_are_promoted_and_never_narrowed():
    a, b, x = np.eye(2, dtype=np.float32), np.eye(3, dtype=np.complex64), np.ones(6, dtype=np.float64)
    assert kron_matmul([a, b], x).dtype == np.complex128
    assert kron_matmul([a, a], np.ones(4, np.float32)).dtype == np.float32
    assert kron_matmul([a, a], np.ones(4, np.float64)).dtype == np.float64
    with pytest.raises(TypeError, match="float16"):
        kron_matmul([a, a], np.ones(4, np.float16))


def test_non_contiguous_read_only_and_big_endian_inputs():
    rng = np.random.default_rng(5)
    big = rng.standard_normal((6, 8))
    factors = [big[::2, ::-1][:, :3], np.asfortranarray(rng.standard_normal((4, 4)))]
    x = rng.standard_normal((5, 24))[:, ::2].T
    want = dense(factors) @ x
    assert_close(kron_matmul(factors, x), want)
    frozen = np.ascontiguousarray(x)
    frozen.flags.writeable = False
    assert_close(kron_matmul(factors, frozen), want)
    assert_close(kron_matmul(factors, x.astype(">f8")), want)
    tiny = [rng.standard_normal((2, 2)) for _ in range(9)]
    v = rng.standard_normal(1024)[::2]
    frozen = v.copy()
    frozen.flags.writeable = False
    assert_close(kron_matmul(tiny, v), dense(tiny) @ v)
    assert_close(kron_matmul(tiny, frozen), dense(tiny) @ v)


def test_inputs_are_not_modified():
    rng = np.random.default_rng(6)
    factors, x = [rng.standard_normal((2, 2)) for _ in range(10)], rng.standard_normal(1024)
    before = [f.copy() for f in factors], x.copy()
    kron_matmul(factors, x)
    np.testing.assert_array_equal(x, before[1])
    np.testing.assert_array_equal(factors, before[0])


@pytest.mark.parametrize("n", [2, 6])
def test_nan_and_infinity_spread_as_in_the_dense_product(n):
    factors = [np.eye(n)] * (10 if n == 2 else 2)
    x = np.ones(n ** len(factors))
    x[3] = np.nan
    y = kron_matmul(factors, x)
    assert np.isnan(y).all()  # zeros of the factors are multiplied, not skipped


def test_out_is_filled_and_returned():
    rng = np.random.default_rng(7)
    factors, x = [random(rng, (4, 3)), random(rng, (5, 2))], random(rng, (6, 3))
    want = dense(factors) @ x
    out = np.empty((20, 3))
    assert kron_matmul(factors, x, out=out) is out
    assert_close(out, want)
    strided = np.zeros((20, 6))[:, ::2]
    assert_close(kron_matmul(factors, x, out=strided), want)


def test_out_must_fit_and_stay_apart():
    factors, x = [np.eye(2), np.eye(3)], np.ones((6, 2))
    with pytest.raises(ShapeError, match=r"out has shape \(6,\).*expected \(6, 2\)"):
        kron_matmul(factors, x, out=np.empty(6))
    with pytest.raises(ShapeError, match="float32"):
        kron_matmul(factors, x, out=np.empty((6, 2), np.float32))
    with pytest.raises(ValueError, match="shares memory with x"):
        kron_matmul(factors, x, out=x)
    with pytest.raises(ValueError, match=r"shares memory with factors\[1\]"):
        kron_matmul([np.eye(2), f := np.eye(3)], np.ones((6, 1)), out=f.reshape(-1)[:6].reshape(6, 1))
    buffer = np.ones((6, 4))
    y = kron_matmul(factors, buffer[:, ::2], out=buffer[:, 1::2])  # interleaved, but apart
    assert y.base is buffer
    with pytest.raises(ValueError, match="read-only"):
        kron_matmul(factors, x, out=np.broadcast_to(np.zeros(2), (6, 2)))
    with pytest.raises(TypeError, match="out must be a numpy array"):
        kron_matmul(factors, x, out=[0.0] * 6)


def test_batches_of_factors_broadcast():
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((4, 1, 3, 2)), rng.standard_normal((5, 2, 2))
    x = rng.standard_normal((4, 3))
    want = np.stack([[dense([a[i, 0], b[j]]) @ x for j in range(5)] for i in range(4)])
    assert_close(kron_matmul([a, b], x), want)
    xs = rng.standard_normal((4, 5, 6, 3))
    want = np.stack([[dense([a[i, 0], b[j]]).T @ xs[i, j] for j in range(5)] for i in range(4)])
    assert_close(kron_matmul([a, b], xs, adjoint=True), want)
    out = np.empty(want.shape)
    assert kron_matmul([a, b], xs, adjoint=True, out=out) is out
    with pytest.raises(ShapeError, match=r"factors\[1\] has shape \(3, 5, 2, 2\).*\(4, 1\) of x"):
        kron_matmul([a, rng.standard_normal((3, 5, 2, 2))], x)
    with pytest.raises(ShapeError, match=r"x\[:, None\]"):
        kron_matmul([a, b], x[:, 0])


@pytest.mark.parametrize(
    ("factors", "x", "message"),
    [
        ([], np.ones(3), "empty"),
        ([np.ones(3)], np.ones(3), r"factors\[0\] has shape \(3,\)"),
        ([np.eye(2), np.eye(3)], np.ones(5), r"expected N = 2 \* 3 = 6 rows, got 5"),
        ([np.eye(2), np.eye(3)], np.ones((2, 3)), "got 2"),
        ([np.eye(2)], np.float64(1.0), "scalar"),
    ],
)
def test_wrong_shapes_say_what_was_expected(factors, x, message):
    with pytest.raises(ShapeError, match=message):
        kron_matmul(factors, x)


def test_sizes_beyond_64_bits_are_python_integers():
    factors = [np.ones((1024, 1024))] * 7
    with pytest.raises(ShapeError, match=str(1024**7)):
        kron_matmul(factors, np.ones(10))


def test_result_that_cannot_fit_is_refused_before_allocation():
    with pytest.raises(SizeError, match="GiB"):
        kron_matmul([np.ones((10**5, 1))] * 3, np.ones(1))


def test_contradictory_and_mixed_arguments():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="both"):
        kron_matmul([np.eye(2)], np.ones(2), adjoint=True, transpose=True)
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        kron_matmul([np.eye(2)], torch.ones(2))


def test_plan_of_other_factors_is_refused():
    plan = kron_plan([(2, 2), (3, 3)], float)
    with pytest.raises(ShapeError, match="plan was made for"):
        kron_matmul([np.eye(3), np.eye(2)], np.ones(6), plan=plan)
    with pytest.raises(ShapeError, match="expected N = 2"):
        kron_matmul([np.eye(2), np.eye(3)], np.ones(5), plan=plan)
    with pytest.raises(TypeError, match="float32"):
        kron_matmul([np.eye(2, dtype="f4"), np.eye(3, dtype="f4")], np.ones(6, "f4"), plan=plan)


def test_one_plan_serves_many_threads():
    rng = np.random.default_rng(9)
    for shapes in ([(2, 2)] * 12, [(16, 16)] * 3):
        factors = [random(rng, s) for s in shapes]
        plan = kron_plan(shapes, float, n_threads=1)
        xs = [random(rng, (4096,)) for _ in range(4)]
        want = [kron_matmul(factors, x, plan=plan) for x in xs]
        wrong = []

        def work(i, factors=factors, plan=plan, xs=xs, want=want, wrong=wrong):
            for _ in range(20):
                if not np.array_equal(kron_matmul(factors, xs[i], plan=plan), want[i]):
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong


@pytest.mark.parametrize("shapes", [[(2, 2)] * 22, [(64, 64), (64, 64), (1024, 1024)], [(4, 4)] * 5 + [(4096, 4096)]])
def test_memory_stays_under_two_vectors_beside_the_input(shapes):
    """Output and workspace together, as the allocator of numpy reports them."""
    n = math.prod(s[0] for s in shapes)
    factors = [np.ones(s, np.float32) for s in shapes]
    x = np.ones(n, np.float32)
    small = [np.ones(s, np.float32) for s in shapes if s[0] <= 4]
    kron_matmul(small or factors[:1], x[: math.prod(len(f) for f in (small or factors[:1]))])  # imports, compilation
    tracemalloc.start()
    try:
        y = kron_matmul(factors, x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert y.nbytes == 4 * n
    assert peak <= 2 * y.nbytes + 2**20


def test_memory_of_2_to_the_24_unknowns():
    for shapes in ([(2, 2)] * 24, [(256, 256)] * 3):
        test_memory_stays_under_two_vectors_beside_the_input(shapes)


@pytest.mark.parametrize(("shapes", "k"), [([(64, 64)] * 2, 200), ([(20, 20)] * 3, 100), ([(4, 4)] * 6, 100)])
def test_memory_of_columns_stays_under_two_outputs(shapes, k):
    n = math.prod(s[0] for s in shapes)
    factors, x = [np.ones(s) for s in shapes], np.ones((n, k))
    for kernel in ("auto", "rot", "batched"):
        kron_matmul(factors, x, plan=kron_plan(shapes, float, n_columns=k, kernel=kernel))  # imports, compilation
        plan = kron_plan(shapes, float, n_columns=k, kernel=kernel)
        tracemalloc.start()
        try:
            y = kron_matmul(factors, x, plan=plan)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= plan.bytes + 2**19
        assert plan.bytes <= 2 * y.nbytes
