"""Plans: what they decide, what they report, and that they can be shared and stored."""

import dataclasses
import itertools
import math
import pickle
import threading

import numpy as np
import pytest

from structkit._core.errors import ShapeError
from structkit.kron import KronPlan, kron_matmul, kron_plan, plan
from structkit.kron._costs import cost_order
from structkit.kron.plan import cached_plan, walk


def flops_of(shapes, order):
    return sum(2 * m * n * outer for m, n, outer in walk(shapes, order, 1))


def test_reports_operations_and_bytes():
    plan = kron_plan([(40, 40), (30, 30)], "float64")
    assert plan.flops == 2 * 1200 * (40 + 30)
    assert plan.bytes == 2 * 1200 * 8
    assert kron_plan([(40, 40), (30, 30)], "complex128").flops == 4 * plan.flops
    assert kron_plan([(40, 40), (30, 30)], "float64", n_columns=3).flops == 3 * plan.flops
    assert kron_plan([(40, 40)], "float32").bytes == 160


def test_groups_cover_every_factor_once_in_order():
    for shapes in ([(2, 2)] * 11, [(3, 2), (1, 1), (2, 9), (50, 50), (2, 2)], [(1, 1), (7, 7)]):
        for kernel in ("auto", "rot", "batched"):
            plan = kron_plan(shapes, float, kernel=kernel)
            kept = [i for i, s in enumerate(shapes) if s != (1, 1)]
            assert list(itertools.chain(*plan.merges)) == kept
            assert sorted(plan.order) == list(range(len(plan.merges)))
            assert (plan.n_out, plan.n_in) == tuple(math.prod(s[i] for s in shapes) for i in (0, 1))


def test_tiny_neighbours_are_merged_and_large_ones_are_not():
    plan = kron_plan([(2, 2)] * 4 + [(300, 300)], float, kernel="rot")
    assert len(plan.merges) < 5
    assert plan.merges[-1] == (4,)
    assert kron_plan([(64, 64)] * 3, float).merges == ((0,), (1,), (2,))


def test_cost_order_is_optimal():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shapes = [tuple(map(int, rng.integers(1, 30, 2))) for _ in range(4)]
        best = min(flops_of(shapes, p) for p in itertools.permutations(range(4)))
        assert flops_of(shapes, cost_order(shapes)) == best


def test_bad_order_of_rectangular_factors_is_avoided():
    shapes = [(80, 20), (20, 80), (40, 40)]
    plan = kron_plan(shapes, float)
    assert plan.flops <= flops_of(shapes, (1, 2, 0))
    assert plan.flops < flops_of(shapes, (0, 1, 2)) / 2


def test_same_shapes_same_plan():
    shapes = [(3, 3)] * 8
    assert kron_plan(shapes, float) == kron_plan(shapes, float)
    assert hash(kron_plan(shapes, float)) == hash(kron_plan(shapes, float))


def test_plan_is_frozen_and_survives_pickling():
    plan = kron_plan([(4, 4)] * 6, np.float32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.kernel = "rot"
    factors, x = [np.eye(4, dtype=np.float32)] * 6, np.arange(4096, dtype=np.float32)
    kron_matmul(factors, x, plan=plan)
    copy = pickle.loads(pickle.dumps(plan))
    assert isinstance(copy, KronPlan)
    assert copy == plan
    np.testing.assert_array_equal(kron_matmul(factors, x, plan=copy), x)


def test_columns_are_blocked_to_keep_the_workspace():
    shapes = [(32, 32), (32, 32)]
    plan = kron_plan(shapes, float, n_columns=100, max_bytes=10 * 1024 * 8)
    assert 1 <= plan.column_block <= 10
    assert kron_plan(shapes, float, n_columns=100).column_block == 100
    rng = np.random.default_rng(1)
    factors, x = [rng.standard_normal((32, 32)) for _ in shapes], rng.standard_normal((1024, 100))
    want = np.kron(*factors) @ x
    np.testing.assert_allclose(kron_matmul(factors, x, plan=plan), want, atol=1e-11)
    np.testing.assert_allclose(kron_matmul(factors, x, max_bytes=1), want, atol=1e-11)


def test_workspace_is_reused_between_calls():
    plan = kron_plan([(30, 30), (30, 30)], float)
    first = plan.workspace(0, 900)
    assert plan.workspace(0, 900) is first


@pytest.mark.parametrize(("name", "want"), [("float32", "f4"), (np.complex64, "c8"), (int, "f8"), (float, "f8")])
def test_dtype_names(name, want):
    assert kron_plan([(2, 2)], name).dtype == np.dtype(want)


def test_torch_dtypes_and_kernels():
    torch = pytest.importorskip("torch")
    plan = kron_plan([(2, 2)] * 10, torch.float32, namespace="torch")
    assert plan.dtype == np.float32
    assert plan.kernel == "leftrot"
    assert plan.group_shapes == ((32, 32), (32, 32))
    assert kron_plan([(2, 2)] * 10, torch.float32, namespace="torch", n_columns=64).kernel == "batched"
    with pytest.raises(ValueError, match="numpy arrays only"):
        kron_plan([(2, 2)] * 10, torch.float32, namespace="torch", kernel="chain")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kron_plan([], float), ShapeError, "empty"),
        (lambda: kron_plan([(2, 2, 2)], float), ShapeError, r"shapes\[0\] is \(2, 2, 2\)"),
        (lambda: kron_plan([(2, 2), (3, -1)], float), ShapeError, r"shapes\[1\]"),
        (lambda: kron_plan([(2, 2)], float, namespace="jax"), ValueError, "jax"),
        (lambda: kron_plan([(2, 2)], float, kernel="fast"), ValueError, "fast"),
        (lambda: kron_plan([(2, 2)], float, max_bytes=0), ValueError, "max_bytes"),
        (lambda: kron_plan([(2, 2)], float, n_threads=0), ValueError, "n_threads"),
        (lambda: kron_plan([(2, 2)], np.float16), TypeError, "float16"),
        (lambda: kron_plan([(2, 2)], "spam"), TypeError, "spam"),
        (lambda: kron_plan([(9, 9)], float, kernel="chain"), ValueError, "sizes"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_number_of_threads_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert kron_plan([(2, 2)], float).n_threads == 3
    monkeypatch.setenv("STRUCTKIT_NUM_THREADS", "5")
    assert kron_plan([(2, 2)], float).n_threads == 5
    assert kron_plan([(2, 2)], float, n_threads=1).n_threads == 1


def test_calls_without_a_plan_share_their_workspace(monkeypatch):
    store = threading.local()
    monkeypatch.setattr(plan, "_SHARED", store)
    cached_plan.cache_clear()
    rng = np.random.default_rng(0)
    try:
        for n, dtype in ((16, "float64"), (12, "float64"), (16, "float32"), (16, "complex128")):
            factors = [rng.standard_normal((n, n)).astype(dtype) for _ in range(3)]
            x = rng.standard_normal(n**3).astype(dtype)
            expected = kron_matmul(factors, x, plan=kron_plan([(n, n)] * 3, dtype))
            np.testing.assert_array_equal(kron_matmul(factors, x), expected)
        assert set(store.__dict__) == {"second float64", "second float32", "second complex128"}
        kept = {name: buffer.nbytes for name, buffer in store.__dict__.items()}
        assert kept["second float64"] == 8 * 16**3
        monkeypatch.setattr(plan, "SHARED_KEEP_BYTES", 2**20)
        large = [rng.standard_normal((60, 60)) for _ in range(3)]
        kron_matmul(large, rng.standard_normal(60**3))
        assert {name: buffer.nbytes for name, buffer in store.__dict__.items()} == kept
    finally:
        cached_plan.cache_clear()
