"""kron_matmul on dask arrays: lazy, correct in any chunks, and with as few exchanges as promised."""

from functools import reduce

import numpy as np
import pytest

from structkit._core.errors import ShapeError
from structkit.kron import kron_matmul, multi_mode_product

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")


@pytest.fixture(autouse=True)
def _synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


def make(shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal(s).astype(dtype) for s in shapes]
    if np.dtype(dtype).kind == "c":
        factors = [f + 1j * rng.standard_normal(f.shape) for f in factors]
    return factors, reduce(np.kron, factors)


def exchanges(y):
    """Number of rechunk steps in the graph."""
    return sum("rechunk-merge" in name or name.startswith("rechunk") for name in y.dask.layers)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize(
    "shapes", [[(4, 4), (3, 5), (2, 2)], [(6, 4)], [(3, 4), (2, 2)], [(1, 1), (5, 5), (2, 3)]], ids=str
)
def test_equals_dense_product_in_any_chunks(shapes, dtype):
    factors, matrix = make(shapes, dtype)
    for adjoint in (False, True):
        op = matrix.conj().T if adjoint else matrix
        n = op.shape[1]
        for shape, chunks in [
            ((n,), 7), ((n,), -1), ((n, 1), (5, 1)), ((n, 8), (10, 4)), ((n, 8), (-1, 4)), ((3, n, 2), (1, 4, 1)),
            ((2, n, 1), (1, 3, 1)),
        ]:  # fmt: skip
            x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
            y = kron_matmul(factors, da.from_array(x, chunks=chunks), adjoint=adjoint)
            assert isinstance(y, da.Array)
            got = y.compute()
            assert y.shape == got.shape == (op @ x).shape
            assert y.dtype == got.dtype == np.dtype(dtype)
            np.testing.assert_allclose(got, op @ x, atol=1e-4 if dtype == np.float32 else 1e-12)


def test_whole_rows_need_no_exchange():
    factors, _ = make([(4, 4), (5, 5)])
    assert exchanges(kron_matmul(factors, da.ones((20, 12), chunks=(20, 3)))) == 0


def test_many_columns_need_one_exchange():
    factors, _ = make([(4, 4), (5, 5)])
    x = da.ones((20, 12), chunks=(5, 12))
    with dask.config.set({"array.chunk-size": "1KiB"}):
        y = kron_matmul(factors, x)
    assert exchanges(y) == 1
    assert y.numblocks[0] == 1


def test_slabs_of_a_tensor_need_one_exchange():
    factors, matrix = make([(12, 12), (6, 6), (5, 5)])
    X = np.random.default_rng(3).standard_normal((12, 6, 5))
    with dask.config.set({"array.chunk-size": "1KiB"}):
        Y = multi_mode_product(da.from_array(X, chunks=(4, -1, -1)), factors)
    assert exchanges(Y) == 1
    assert Y.npartitions > 1
    np.testing.assert_allclose(Y.compute().ravel(), matrix @ X.ravel(), atol=1e-12)


def test_slabs_of_a_vector_need_one_exchange_and_one_back():
    factors, _ = make([(12, 12), (6, 6), (5, 5)])
    assert exchanges(kron_matmul(factors, da.ones(360, chunks=120))) == 2


def test_blocks_of_a_flat_vector_stay_slabs():
    """No task of the plan sees the whole vector."""
    factors, matrix = make([(8, 8), (6, 6)])
    seen = []
    x = da.from_array(np.arange(48.0), chunks=12)
    y = kron_matmul(factors, x.map_blocks(lambda b: (seen.append(b.size), b)[1], dtype=float, meta=np.empty(0)))
    np.testing.assert_allclose(y.compute(), matrix @ np.arange(48.0))
    assert set(seen) == {12}
    assert max(max(c) for c in y.chunks) <= 24


def test_wrong_inputs():
    with pytest.raises(ShapeError, match="expected N = 6"):
        kron_matmul([np.eye(6)], da.ones(5, chunks=2))
    with pytest.raises(TypeError, match=r"factors\[0\] is a dask array"):
        kron_matmul([da.ones((2, 2))], da.ones(2))
    with pytest.raises(ShapeError, match="batch"):
        kron_matmul([np.ones((3, 2, 2))], da.ones((2, 1)))
    with pytest.raises(ValueError, match="lazy"):
        kron_matmul([np.eye(2)], da.ones(2), out=np.empty(2))
    x = da.ones(6, chunks=3)
    with pytest.raises(ShapeError, match="unknown chunk sizes"):
        kron_matmul([np.eye(6)], x[x > 0])
