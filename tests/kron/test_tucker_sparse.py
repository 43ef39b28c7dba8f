"""Sums over sparse entry lists against Tucker tensors: dense sums, both kinds of kernels, torch, parts of the table."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit.kron import kron, ttmc_sparse, tucker_at, tucker_at_gradient, tucker_mttkrp_sparse, unfold

LETTERS = string.ascii_lowercase
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
PROBLEMS = [((5,), (3,), 7), ((4, 6), (2, 3), 9), ((5, 4, 3), (4, 2, 3), 50), ((3, 1, 2, 4), (3, 2, 1, 2), 40),
            ((2, 3, 2, 2, 3), (2, 1, 3, 2, 2), 30), ((900, 5, 800), (2, 3, 2), 20)]  # fmt: skip


@pytest.fixture(params=["0", "1"], ids=["numpy", "numba"], autouse=True)
def kernels_in_use(request, monkeypatch):
    monkeypatch.setenv("STRUCTKIT_NUMBA", request.param)


def random(rng, shape, dtype=np.float64):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def problem(sizes, ranks, count, dtype=np.float64, seed=0):
    """Index, values, core and matrices."""
    rng = np.random.default_rng(seed)
    index = np.stack([rng.integers(0, n, size=count) for n in sizes], axis=1)
    mats = [random(rng, shape, dtype) for shape in zip(sizes, ranks, strict=True)]
    return index, random(rng, count, dtype), random(rng, ranks, dtype), mats


def dense_ttmc(index, values, mats, mode):
    """The definition, entry by entry."""
    others = [d for d in range(len(mats)) if d != mode]
    out = np.zeros((len(mats[mode]), int(np.prod([mats[d].shape[1] for d in others]))), np.result_type(values, *mats))
    for row, v in zip(index, values, strict=True):
        out[row[mode]] += v * kron(*(mats[d][row[d]][None] for d in others))[0] if others else v
    return out


def dense_mttkrp(index, values, core, mats, mode):
    """One einsum over a dense tensor."""
    n = core.ndim
    full = np.zeros([len(a) for a in mats], values.dtype)
    np.add.at(full, tuple(index.T), values)
    terms = [LETTERS[n : 2 * n], LETTERS[:n], *(LETTERS[n + d] + LETTERS[d] for d in range(n) if d != mode)]
    others = [a for d, a in enumerate(mats) if d != mode]
    return np.einsum(",".join(terms) + f"->{LETTERS[n + mode]}{LETTERS[mode]}", full, core, *others, optimize=True)


def close(actual, desired, n_terms=1):
    """Agreement to rounding: every number is a sum of products, here of order one."""
    scale = max(1.0, float(np.abs(desired).max())) if desired.size else 1.0
    assert actual.shape == desired.shape
    assert actual.dtype == desired.dtype
    tol = 16 * (n_terms + 8) * np.finfo(desired.dtype).eps
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tol * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "ranks", "count"), PROBLEMS)
def test_sums_equal_their_definitions(dtype, sizes, ranks, count):
    index, values, core, mats = problem(sizes, ranks, count, dtype)
    for mode in range(len(sizes)):
        close(ttmc_sparse(index, values, mats, mode), dense_ttmc(index, values, mats, mode), count)
        M = tucker_mttkrp_sparse(index, values, core, mats, mode)
        close(M, dense_mttkrp(index, values, core, mats, mode), count)
        close(M, ttmc_sparse(index, values, mats, mode) @ unfold(core, mode).T, count * core.size)


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5)), min_size=1, max_size=5),
       st.integers(0, 40), st.booleans())  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_adjoint_of_values_for_any_shape(seed, shapes, count, is_sorted):
    sizes, ranks = zip(*shapes, strict=True)
    index, values, core, mats = problem(sizes, ranks, count, seed=seed)
    if is_sorted:
        index = index[np.lexsort(index.T[::-1])]
    gradient = tucker_at_gradient(index, core, mats, values)
    core_terms = np.abs(values) @ tucker_at(index, np.abs(core), [np.abs(a) for a in mats])
    for mode in range(len(sizes)):
        M = tucker_mttkrp_sparse(index, values, core, mats, mode)
        close(M, gradient.matrices[mode], count * core.size)
        T = ttmc_sparse(index, values, mats, mode)
        close(T, dense_ttmc(index, values, mats, mode), count)
        left = values @ tucker_at(index, core, mats)
        assert abs((M * mats[mode]).sum() - left) <= 1e-13 * (1 + core_terms)
        assert abs(unfold(gradient.core, mode) - mats[mode].T @ T).max() <= 1e-12 * (1 + np.abs(T).sum())
