"""Sums over sparse entry lists against Tucker tensors: dense sums, both kinds of kernels, torch, parts of the table."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._backend import numba_tucker, numpy_tucker
from structkit._core.errors import BackendMismatchError, IndexRangeError, ShapeError, SizeError
from structkit.kron import (
    kron,
    mttkrp_sparse,
    ttmc_sparse,
    tucker_at,
    tucker_at_gradient,
    tucker_mttkrp_sparse,
    tucker_sparse,
    unfold,
)

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


@pytest.mark.parametrize("dtype", [np.float64, np.complex64])
@pytest.mark.parametrize(("sizes", "ranks", "count"), PROBLEMS[2:])
def test_every_route_gives_the_same(monkeypatch, dtype, sizes, ranks, count):
    index, values, core, mats = problem(sizes, ranks, count, dtype)
    expected = [dense_mttkrp(index, values, core, mats, mode) for mode in range(len(sizes))]
    chains = [dense_ttmc(index, values, mats, mode) for mode in range(len(sizes))]

    def compare():
        for mode in range(len(sizes)):
            close(tucker_mttkrp_sparse(index, values, core, mats, mode), expected[mode], count)
            close(ttmc_sparse(index, values, mats, mode), chains[mode], count)

    monkeypatch.setattr(tucker_sparse._Entries, "better_expanded", lambda *_: True)
    compare()
    monkeypatch.setattr(tucker_sparse._Entries, "better_expanded", lambda *_: False)
    monkeypatch.setattr(tucker_sparse._Entries, "better_grouped", lambda *_: False)
    for numbers in (1, 2 * core.size, 10**6):
        monkeypatch.setattr(tucker_sparse, "_TABLE_NUMBERS", numbers)
        compare()
    monkeypatch.setattr(tucker_sparse._Entries, "better_grouped", lambda *_: True)
    monkeypatch.setattr(tucker_sparse, "_GROUP", 3)
    for numbers in (1, 10**6):
        monkeypatch.setattr(tucker_sparse, "_TABLE_NUMBERS", numbers)
        compare()


def test_wide_products_are_summed_level_by_level(monkeypatch):
    index, values, core, mats = problem((3, 30, 30), (2, 40, 40), 1200)
    used = []
    groups = tucker_sparse._Entries.groups
    monkeypatch.setattr(tucker_sparse._Entries, "groups", lambda self: used.append(1) or groups(self))
    close(ttmc_sparse(index, values, mats, 0), dense_ttmc(index, values, mats, 0), 1200)
    assert used
    del used[:]
    # The core leaves two columns: an entry costs less than its row of products would.
    close(tucker_mttkrp_sparse(index, values, core, mats, 0), dense_mttkrp(index, values, core, mats, 0), 10**4)
    assert not used


def test_narrow_products_of_many_entries_are_expanded(monkeypatch):
    index, values, core, mats = problem((4, 5, 3), (2, 3, 2), 200)
    used = []
    expanded = tucker_sparse._Entries.expanded
    monkeypatch.setattr(tucker_sparse._Entries, "expanded", lambda *args: used.append(1) or expanded(*args))
    for mode in range(3):
        close(ttmc_sparse(index, values, mats, mode), dense_ttmc(index, values, mats, mode), 200)
        close(
            tucker_mttkrp_sparse(index, values, core, mats, mode), dense_mttkrp(index, values, core, mats, mode), 10**4
        )
    assert len(used) == 6


def test_table_is_made_of_the_mode_that_costs_least():
    assert tucker_sparse._order((4, 4, 4), (500, 20, 500), 10**6, 0) == (1, 2)
    assert tucker_sparse._order((4, 9, 4, 5), (50, 50, 50, 50), 10**6, 2) == (1, 3, 0)
    assert tucker_sparse._order((4,), (50,), 10, 0) == ()


def test_columns_are_those_of_unfold_and_of_cp():
    index, values, _, mats = problem((4, 3, 5), (2, 2, 2), 30)
    full = np.zeros((4, 3, 5))
    np.add.at(full, tuple(index.T), values)
    T = np.einsum("ijk,ia,kc->ajc", full, mats[0], mats[2])
    close(ttmc_sparse(index, values, mats, 1), unfold(T, 1), 30)
    close(ttmc_sparse(index, values, mats, -2)[:, [0, 3]], mttkrp_sparse(index, values, mats, 1), 30)


def test_empty_lists_ranks_and_terms():
    index, values, core, mats = problem((4, 3, 5), (2, 3, 2), 0)
    assert not tucker_mttkrp_sparse(index, values, core, mats, 1).any()
    assert ttmc_sparse(index, values, mats, 1).shape == (3, 4)
    index, values, core, mats = problem((4, 3, 5), (2, 0, 2), 6)
    assert tucker_mttkrp_sparse(index, values, core, mats, 0).tolist() == [[0.0, 0.0]] * 4
    assert tucker_mttkrp_sparse(index, values, core, mats, 1).shape == (3, 0)
    assert ttmc_sparse(index, values, mats, 2).shape == (5, 0)


def test_index_types_layouts_and_promotion():
    index, values, core, mats = problem((4, 3, 5), (2, 3, 2), 30)
    M, T = tucker_mttkrp_sparse(index, values, core, mats, 0), ttmc_sparse(index, values, mats, 0)
    frozen = values.copy()
    frozen.flags.writeable = False
    strided = [np.repeat(a, 2, axis=0)[::2] for a in mats]
    for other in (index.astype(np.int32), np.asfortranarray(index), index.tolist()):
        np.testing.assert_array_equal(tucker_mttkrp_sparse(other, frozen, np.asfortranarray(core), strided, 0), M)
        np.testing.assert_array_equal(ttmc_sparse(other, frozen, strided, 0), T)
    low = [a.astype(np.float32) for a in mats]
    assert ttmc_sparse(index, values.astype(np.float32), low, 0).dtype == np.float32
    assert ttmc_sparse(index, values, low, 0).dtype == np.float64
    assert tucker_mttkrp_sparse(index, values, core.astype(np.complex64), low, 0).dtype == np.complex128


def test_the_kept_matrix_gives_its_shape_only():
    index, values, core, mats = problem((4, 3, 5), (2, 3, 2), 30)
    empty = [np.full_like(a, np.nan) if d == 1 else a for d, a in enumerate(mats)]
    assert np.isfinite(tucker_mttkrp_sparse(index, values, core, empty, 1)).all()
    assert np.isfinite(ttmc_sparse(index, values, empty, 1)).all()


def test_compiled_and_plain_kernels_have_the_same_functions():
    assert numba_tucker.__all__ == numpy_tucker.__all__


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize(("sizes", "ranks", "count"), PROBLEMS)
def test_torch_gives_the_same(dtype, sizes, ranks, count):
    torch = pytest.importorskip("torch")
    index, values, core, mats = problem(sizes, ranks, count, dtype)
    at, v, G, *leaves = (torch.tensor(x) for x in (index, values, core, *mats))
    for mode in range(len(sizes)):
        M = tucker_mttkrp_sparse(at, v, G, leaves, mode)
        close(M.numpy(), tucker_mttkrp_sparse(index, values, core, mats, mode), count)
        close(ttmc_sparse(at, v, leaves, mode).numpy(), ttmc_sparse(index, values, mats, mode), count)


@pytest.mark.parametrize("n_modes", [1, 2, 3, 4])
def test_torch_gradients(n_modes):
    torch = pytest.importorskip("torch")
    index, *arrays = problem((3, 2, 2, 3)[:n_modes], (2, 3, 1, 2)[:n_modes], 4)
    values, core, mats = arrays
    v, G, *leaves = (torch.tensor(x, requires_grad=True) for x in (values, core, *mats))
    mode = n_modes // 2
    chosen = [a.detach() if d == mode else a for d, a in enumerate(leaves)]
    others = [a for a in chosen if a.requires_grad]

    def split(others):
        return [*others[:mode], chosen[mode], *others[mode:]]

    assert torch.autograd.gradcheck(lambda v, G, *a: tucker_mttkrp_sparse(index, v, G, split(a), mode), (v, G, *others))
    assert torch.autograd.gradcheck(lambda v, *a: ttmc_sparse(index, v, split(a), mode), (v, *others))


@pytest.mark.parametrize("value", [-1, 3, 2**40, -(2**40)])
@pytest.mark.parametrize("n_modes", [1, 2, 3, 4])
@pytest.mark.parametrize("route", ["loop", "better_expanded", "better_grouped"])
def test_bad_index_is_named_with_its_position(monkeypatch, value, n_modes, route):
    for name in ("better_expanded", "better_grouped"):
        monkeypatch.setattr(tucker_sparse._Entries, name, lambda *_, name=name: name == route)
    index, values, core, mats = problem((3,) * n_modes, (2,) * n_modes, 9)
    column = n_modes - 1
    index[5, column] = value
    message = rf"index\[5, {column}\] is {value}; mode {column} has length 3"
    for mode in range(n_modes):
        with pytest.raises(IndexRangeError, match=message):
            tucker_mttkrp_sparse(index, values, core, mats, mode)
        with pytest.raises(IndexRangeError, match=message):
            ttmc_sparse(index, values, mats, mode)
    few = slice(4, 6)
    with pytest.raises(IndexRangeError, match=r"index\[1, "):
        ttmc_sparse(index[few], values[few], mats, 0)


def test_errors_say_what_was_expected():
    torch = pytest.importorskip("torch")
    index, values, core, mats = problem((4, 3, 5), (2, 3, 2), 6)
    with pytest.raises(ShapeError, match="6 rows for 5 values"):
        tucker_mttkrp_sparse(index, values[:5], core, mats, 0)
    with pytest.raises(ShapeError, match="6 rows for 5 values"):
        ttmc_sparse(index, values[:5], mats, 0)
    with pytest.raises(ShapeError, match=r"expected \(S, 3\)"):
        ttmc_sparse(index[:, :2], values, mats, 0)
    with pytest.raises(ShapeError, match="mode 3 does not exist"):
        ttmc_sparse(index, values, mats, 3)
    with pytest.raises(ShapeError, match="mode -4 does not exist"):
        tucker_mttkrp_sparse(index, values, core, mats, -4)
    with pytest.raises(ShapeError, match=r"matrices\[1\] has shape \(3, 3\)"):
        tucker_mttkrp_sparse(index, values, core[:, :2], mats, 0)
    with pytest.raises(ShapeError, match="one number per entry"):
        ttmc_sparse(index, values[:, None], mats, 0)
    with pytest.raises(TypeError, match="expected integers"):
        ttmc_sparse(index.astype(float), values, mats, 0)
    with pytest.raises(ShapeError, match="empty"):
        ttmc_sparse(index, values, [], 0)
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        ttmc_sparse(index, torch.tensor(values), mats, 0)
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        tucker_mttkrp_sparse(index, values, torch.tensor(core), mats, 0)


def test_a_result_that_cannot_fit_is_refused():
    wide = [np.broadcast_to(np.ones(1), (10**6, 1)), *[np.ones((1, 10**4))] * 2]
    with pytest.raises(SizeError, match=r"result of shape \(1000000, 100000000\)"):
        ttmc_sparse([[0, 0, 0]], np.ones(1), wide, 0)
