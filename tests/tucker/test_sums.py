"""Sums over entries against loops over single entries with dense second moments."""

import numpy as np
import pytest

from structkit.tucker.cores import CPCore, Sums
from structkit.tucker.entries import Block, Entries, find_levels, keep, merge
from structkit.tucker.packing import multiplicity, pack, packed_size, unpack
from structkit.tucker.relevance import Relevance
from structkit.tucker.statistics import effect_sums, entry_moments, mode_sums
from structkit.tucker.tucker_core import TuckerCore
from tests.tucker.oracle import Form, random_moments

LEVELS = (4, 3, 5, 2)
FORMS = {
    "cp 1": ("cp", (3,)),
    "cp 2": ("cp", (3, 3)),
    "cp 3": ("cp", (2, 2, 2)),
    "cp 4": ("cp", (2, 2, 2, 2)),
    "tucker 1": ("tucker", (3,)),
    "tucker 2": ("tucker", (4, 2)),
    "tucker 3": ("tucker", (2, 3, 4)),
    "tucker 4": ("tucker", (2, 1, 3, 2)),
}
TOL = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture(params=[False, True], ids=["plain", "effects"])
def case(request, rng, form):
    kind, ranks = FORMS[form]
    size = ranks[0] if kind == "cp" else int(np.prod(ranks))
    core = (CPCore if kind == "cp" else TuckerCore)(
        ranks, rng.normal(size=size), Relevance(ranks[:1] if kind == "cp" else ranks)
    )
    roots = rng.normal(size=(size, size))
    core.cov = roots @ roots.T / size
    moments = [random_moments(rng, n, r, request.param) for n, r in zip(LEVELS, ranks, strict=False)]
    n = 25
    index = np.stack([rng.integers(0, k, n) for k in LEVELS[: len(ranks)]], axis=1)
    block = Block(index, rng.uniform(0.5, 3.0, n), rng.normal(size=n), 7.0, np.empty(0))
    return core, moments, block


each_form = pytest.mark.parametrize("form", FORMS)


@each_form
def test_sums_of_a_mode(case):
    core, moments, block = case
    form = Form.of(core, moments)
    effects = moments[0].effect is not None
    for mode, m in enumerate(moments):
        first, weighted = np.zeros((2, *m.mean.shape))
        second = np.zeros((len(m.mean), m.mean.shape[1], m.mean.shape[1]))
        for row, weight, total in zip(block.index, block.weight, block.total, strict=True):
            a, i = form.coefficient(row, mode), row[mode]
            first[i] += total * a
            second[i] += weight * form.coefficient_second(row, mode)
            weighted[i] += weight * a
            for j in range(len(moments)):
                if effects and j != mode:
                    first[i] -= weight * form.coefficient(row, mode, crossed=j)
        found = core.weigh(Sums(*mode_sums(block, core, moments, mode)[:3]))
        np.testing.assert_allclose(found.first, first, **TOL)
        np.testing.assert_allclose(unpack(found.second, m.mean.shape[1]), second, **TOL)
        if effects:
            np.testing.assert_allclose(found.weighted, weighted, **TOL)


@each_form
def test_axes_of_the_core(case):
    core, moments, block = case
    form = Form.of(core, moments)
    prediction = core.at(block.index, [m.mean for m in moments])
    np.testing.assert_allclose(prediction, [form.mean.ravel() @ form.products(row) for row in block.index], **TOL)
    single = np.eye(len(block.weight))
    for mode, m in enumerate(moments):
        # what one entry sends to a mode, times the function of the mode, is the prediction at the entry
        for k, row in enumerate(block.index):
            alone = Block(block.index, 0 * block.weight, single[k], 0.0, block.values)
            message = core.weigh(core.sums(alone, [_without_effect(f) for f in moments], mode)).first
            np.testing.assert_allclose(message[row[mode]] @ m.mean[row[mode]], prediction[k], **TOL)


def _without_effect(moments):
    return type(moments)(moments.mean, moments.second)


@each_form
def test_normal_equations_of_the_weights(case):
    core, moments, block = case
    form, is_cp = Form.of(core, moments), isinstance(core, CPCore)
    pick = _superdiagonal(core.ranks) if is_cp else np.arange(form.mean.size)
    first, second = np.zeros(len(pick)), np.zeros((len(pick), len(pick)))
    for row, weight, total in zip(block.index, block.weight, block.total, strict=True):
        first += total * form.products(row)[pick]
        second += weight * form.products_second(row)[np.ix_(pick, pick)]
        for j in range(len(moments)):
            if moments[0].effect is not None:
                first -= weight * form.products(row, crossed=j)[pick]
    if is_cp:
        for mode, m in enumerate(moments):
            check_equations(core.mode_equations(Sums(*mode_sums(block, core, moments, mode)[:3]), m), first, second)
    else:
        check_equations(core.equations(Entries((block,), 25), moments), first, second)


def _superdiagonal(ranks):
    return np.ravel_multi_index((np.arange(ranks[0]),) * len(ranks), ranks)


def check_equations(found, first, second):
    np.testing.assert_allclose(found[0], first, **TOL)
    np.testing.assert_allclose(found[1], second, **TOL)


@each_form
@pytest.mark.parametrize("case", [True], indirect=True)
def test_sums_of_main_effects(case):
    _, moments, block = case
    for mode in range(len(moments)):
        rest, count = np.zeros((2, len(moments[mode].mean)))
        constant = 0.0
        for row, weight, total in zip(block.index, block.weight, block.total, strict=True):
            others = [(moments[k], i) for k, i in enumerate(row) if k != mode]
            o = sum(m.effect[i] for m, i in others)
            variance = sum(m.effect_second[i] - m.effect[i] ** 2 for m, i in others)
            rest[row[mode]] += total - weight * o
            count[row[mode]] += weight
            constant += weight * (o**2 + variance) - 2 * total * o
        found = effect_sums(block, moments, mode)
        for got, expected in zip(found, (rest, count, [constant]), strict=True):
            np.testing.assert_allclose(got, expected, **TOL)


@each_form
def test_moments_at_entries(case):
    core, moments, block = case
    form = Form.of(core, moments)
    mean, variance = np.array([form.value(row) for row in block.index]).T
    found = entry_moments(block.index, core, moments)
    np.testing.assert_allclose(found[0], mean, **TOL)
    # a difference of second moments
    np.testing.assert_allclose(found[1], np.maximum(variance, 0), rtol=1e-9, atol=1e-9 * np.max(mean**2))


def test_the_oracle_has_the_variance_of_draws(rng):
    """The formula for the variance against a sum over all corners of two-point functions."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])
    means, roots = rng.normal(size=(2, 2)), rng.normal(size=(2, 2, 2))
    moments = []
    for k in range(2):  # (u, g) = mean + root @ sign, all four signs equally likely
        values = means[k] + signs @ roots[k].T
        m = values.mean(0)
        S = values.T @ values / 4
        moments.append(
            type(random_moments(rng, 1, 1, True))(m[None, :1], S[None, :1, 0], m[1:], S[1:, 1], S[None, :1, 1])
        )
    form = Form(np.array([[1.5]]), np.array(1.5**2 + 0.2).reshape(1, 1, 1, 1), moments)
    draws = []
    for w in (1.5 - np.sqrt(0.2), 1.5 + np.sqrt(0.2)):
        for s in signs:
            for t in signs:
                (u, g), (v, h) = means[0] + roots[0] @ s, means[1] + roots[1] @ t
                draws.append(w * u * v + g + h)
    np.testing.assert_allclose(form.value((0, 0)), (np.mean(draws), np.var(draws)), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_triangles(rng, n):
    A = rng.normal(size=(3, 4, n, n))
    A = A + A.swapaxes(-1, -2)
    assert pack(A).shape == (3, 4, packed_size(n))
    np.testing.assert_array_equal(unpack(pack(A), n), A)
    np.testing.assert_allclose(np.sum(pack(A) ** 2 * multiplicity(n), axis=-1), np.sum(A**2, axis=(-1, -2)))


@pytest.mark.parametrize("sizes", [[3, 4], [2**40, 2**40]])
def test_merged_entries_keep_counts_and_sums(rng, sizes):
    index = rng.integers(0, 3, (40, 2))
    y = rng.normal(size=40)
    block = merge(index, y, sizes)
    assert len(np.unique(block.index, axis=0)) == len(block.index)
    for row, weight, total in zip(block.index, block.weight, block.total, strict=True):
        same = (index == row).all(axis=1)
        assert weight == same.sum()
        np.testing.assert_allclose(total, y[same].sum())
    np.testing.assert_allclose(block.square, y @ y)
    assert block.weight.sum() == 40


def test_levels(rng):
    X = np.array([[0.5, -1.0], [0.25, 3.0], [0.5, -0.0], [0.25, 0.0]])
    levels, index = find_levels(X)
    assert [list(t) for t in levels] == [[0.25, 0.5], [-1.0, 0.0, 3.0]]
    np.testing.assert_array_equal(np.stack([t[i] for t, i in zip(levels, index.T, strict=True)], axis=1), X)


def test_rescaled_entries(rng):
    index, y = rng.integers(0, 3, (30, 2)), rng.normal(size=30)
    z = (y - 0.7) / 2.5
    for build in (lambda v: merge(index, v, [3, 3]), lambda v: keep(index, v)):
        moved, direct = build(y).rescaled(0.7, 2.5), build(z)
        np.testing.assert_allclose(moved.total, direct.total, atol=1e-13)
        np.testing.assert_allclose(moved.square, direct.square)
        np.testing.assert_allclose(moved.values, direct.values)


def test_blocks_add_up_and_samples_keep_their_order(rng):
    index, y = rng.integers(0, 4, (50, 2)), rng.normal(size=50)
    parts = tuple(keep(index[s], y[s]) for s in (slice(0, 20), slice(20, 21), slice(21, 50)))
    split = Entries(parts, 50)
    assert split.sizes == (20, 1, 29)
    np.testing.assert_allclose(split.square, y @ y)
    np.testing.assert_allclose(split.rescaled(1.0, 2.0).square, np.sum((y - 1) ** 2) / 4)
    some = split.sample(12, rng)
    assert some.n_observations == 12
    values = np.concatenate([b.values for b in some.blocks])
    places = [int(np.flatnonzero(y == v)[0]) for v in values]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(np.concatenate([b.index for b in some.blocks]), index[places])
    merged = Entries((merge(index, y, [4, 4]),), 50)
    few = merged.sample(5, rng)
    np.testing.assert_allclose(few.square / few.n_observations, merged.square / 50)
