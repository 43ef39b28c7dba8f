"""Blocked products equal plain ones, whatever the strides, the remainder and the number of threads."""

import itertools

import numpy as np
import pytest

from structkit.kron import _blocks, kron_matmul, kron_plan
from structkit.kron._blocks import axis_product, row_product

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def values(rng, shape, dtype):
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def close(found, expected, n):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * n * np.finfo(found.dtype).eps * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(1, 3), (8, 8), (64, 64), (10, 90), (90, 10), (120, 120)])
@pytest.mark.parametrize("threads", [1, 3])
def test_row_products(m, n, dtype, threads):
    rng = np.random.default_rng(0)
    a = values(rng, (m, n), dtype)
    for count in (1, 63, 5000):
        contiguous = values(rng, (count, n), dtype)
        turned = np.asfortranarray(contiguous)
        for rows in (contiguous, turned):
            out = np.full((count, m), np.nan, dtype)
            row_product(rows, a, out, threads)
            close(out, contiguous.astype(np.result_type(dtype, np.float64)) @ a.T, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(1, 3), (8, 8), (30, 20), (64, 64), (10, 90)])
@pytest.mark.parametrize("threads", [1, 3])
def test_axis_products(m, n, dtype, threads):
    rng = np.random.default_rng(0)
    a = values(rng, (m, n), dtype)
    for left, right in ((1, 5000), (1, 7), (9, 3), (9, 1500)):
        contiguous = values(rng, (left, n, right), dtype)
        turned = np.ascontiguousarray(contiguous.swapaxes(1, 2)).swapaxes(1, 2)
        for y in (contiguous, turned):
            out = np.full((left, m, right), np.nan, dtype)
            axis_product(a, y, out, threads)
            close(out, a.astype(np.result_type(dtype, np.float64)) @ contiguous, n)


def test_blocks_are_used_where_they_pay(monkeypatch):
    """Large real products are cut; complex ones, small ones and those with a large matrix are not."""
    lengths = []
    plain = _blocks._shared_matmul
    monkeypatch.setattr(
        _blocks, "_shared_matmul", lambda x, y, out, threads: (lengths.append(x.shape), plain(x, y, out, threads))
    )
    for dtype, n, count in itertools.product((np.float64, np.complex128), (16, 400), (100, 10_000)):
        row_product(np.ones((count, n), dtype), np.eye(n, dtype=dtype), np.empty((count, n), dtype), 1)
    assert lengths == [(39, 256, 16)]


def test_stacks_on_several_threads_are_cut_so_that_blas_starts_none_of_its_own(monkeypatch):
    sizes = []
    plain = _blocks._shared_matmul
    monkeypatch.setattr(
        _blocks, "_shared_matmul", lambda x, y, out, threads: (sizes.append(y.shape), plain(x, y, out, threads))
    )
    a, y = np.eye(64), np.ones((20, 64, 1000))
    for threads in (1, 2):
        axis_product(a, y, np.empty_like(y), threads)
    assert sizes == [(20, 64, 1000), (20, 15, 64, 64)]
    assert _blocks.SERIAL >= 64 * 64 * 64


@pytest.mark.parametrize("kernel", ["rot", "leftrot", "batched"])
def test_a_product_does_not_depend_on_the_number_of_threads(kernel):
    rng = np.random.default_rng(0)
    factors, x = [rng.standard_normal((30, 30)) for _ in range(4)], rng.standard_normal(30**4)
    one, three = (
        kron_matmul(factors, x, plan=kron_plan([(30, 30)] * 4, "float64", kernel=kernel, n_threads=t)) for t in (1, 3)
    )
    close(three, one, 4 * 30)
