"""Sums over samples: compiled, by arrays, in torch, each against loops over samples and codes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit.dictionary.statistics import Rule, Statistics, accumulate, project, select
from structkit.kron import kron

RULES = {
    "cubic": Rule(cubic=True),
    "cut": Rule(levels=0.4),
    "shrink": Rule(levels=0.3, soft=True),
    "largest": Rule(n_nonzero=2),
}
SHAPES = [(5,), (1,), (3, 4), (2, 3, 2), (1, 3), (3, 1, 2)]


def rule_for(name, n, dtype):
    """The rule with a level per atom, different ones."""
    rule = RULES[name]
    if rule.levels is None:
        return Rule(rule.cubic, None, rule.soft, min(rule.n_nonzero, n))
    return Rule(levels=(rule.levels * np.linspace(0.5, 1.5, n)).astype(dtype), soft=rule.soft)


def problem(shape, count, dtype, seed=0):
    rng = np.random.default_rng(seed)
    factors = [np.linalg.qr(rng.standard_normal((n, n)))[0].astype(dtype) for n in shape]
    return factors, rng.standard_normal((count, *shape)).astype(dtype)


def entering(z, rule):
    """One code vector as it enters the sums, one number at a time."""
    order = sorted(abs(v) for v in z)
    out = []
    for j, v in enumerate(z):
        if rule.cubic:
            out.append(v * abs(v))
        elif rule.n_nonzero:
            out.append(v if abs(v) >= order[-rule.n_nonzero] else 0.0)
        else:
            kept = abs(v) > rule.levels[j]
            out.append((v - np.sign(v) * rule.levels[j] if rule.soft else v) if kept else 0.0)
    return np.array(out)


def by_loops(Y, factors, rule, median):
    """The sums from their definition, with dense Kronecker products."""
    shape = Y.shape[1:]
    D = np.asarray(kron(*[W.astype(float) for W in factors]))
    gradients = [np.zeros((n, n)) for n in shape]
    square, fourth, below = np.zeros(D.shape[1]), np.zeros(D.shape[1]), 0
    for y in Y.astype(float):
        z = D.T @ y.ravel()
        f = entering(z, rule).reshape(shape)
        square, fourth, below = square + z**2, fourth + z**4, below + (np.abs(z) < median).sum()
        for d in range(len(shape)):
            others = [
                np.eye(n) if k == d else W.astype(float) for k, (n, W) in enumerate(zip(shape, factors, strict=True))
            ]
            P = (np.asarray(kron(*others)).T @ y.ravel()).reshape(shape)
            for index in itertools.product(*map(range, shape)):
                for k in range(shape[d]):
                    gradients[d][index[d], k] += f[index] * P[(*index[:d], k, *index[d + 1 :])]
    return gradients, square, fourth, below


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("backend", ["numba", "numpy", "torch"])
def test_sums_match_their_definition(name, shape, dtype, backend, monkeypatch):
    monkeypatch.setenv("STRUCTKIT_NUMBA", "1" if backend == "numba" else "0")
    factors, Y = problem(shape, 7, dtype)
    rule = rule_for(name, int(np.prod(shape)), dtype)
    expected = by_loops(Y, factors, rule, 0.5)
    if backend == "torch":
        factors, Y = [torch.tensor(W) for W in factors], torch.tensor(Y)
        rule = Rule(rule.cubic, None if rule.levels is None else torch.tensor(rule.levels), rule.soft, rule.n_nonzero)
    sums = Statistics.empty(factors)
    accumulate(sums, Y, factors, rule, 0.5)
    tol = 200 * np.finfo(dtype).eps
    for G, truth in zip(sums.gradients, expected[0], strict=True):
        np.testing.assert_allclose(np.asarray(G), truth, rtol=tol, atol=20 * tol)
    np.testing.assert_allclose(np.asarray(sums.square), expected[1], rtol=tol)
    np.testing.assert_allclose(np.asarray(sums.fourth), expected[2], rtol=4 * tol)
    assert (sums.below, sums.count) == (expected[3], 7)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.sampled_from(sorted(RULES)), st.integers(0, 99))
def test_portions_do_not_matter(sizes, name, seed):
    factors, Y = problem((3, 2), sum(sizes), np.float64, seed)
    rule = rule_for(name, 6, np.float64)
    whole, parts, added = (Statistics.empty(factors) for _ in range(3))
    accumulate(whole, Y, factors, rule, 0.5)
    for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
        accumulate(parts, Y[stop - size : stop], factors, rule, 0.5)
        one = Statistics.empty(factors)
        accumulate(one, Y[stop - size : stop], factors, rule, 0.5)
        added.add(one)
    for other in (parts, added):
        for a, b in zip(whole.gradients, other.gradients, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        np.testing.assert_allclose(whole.fourth, other.fourth, rtol=1e-12)
        assert (whole.below, whole.count) == (other.below, other.count)


def test_layout_and_read_only_samples_do_not_matter():
    factors, Y = problem((4,), 50, np.float64)
    expected, other = Statistics.empty(factors), Statistics.empty(factors)
    accumulate(expected, Y, factors, RULES["largest"])
    strided = np.asfortranarray(Y)
    strided.flags.writeable = False
    accumulate(other, strided, factors, RULES["largest"])
    np.testing.assert_allclose(other.gradients[0], expected.gradients[0], rtol=1e-12)


def test_codes_are_inner_products_with_atoms():
    factors, Y = problem((2, 3), 4, np.float64)
    D = kron(*factors)
    np.testing.assert_allclose(project(Y, factors).reshape(4, 6), Y.reshape(4, 6) @ D, atol=1e-14)


def test_the_update_never_worsens_the_objective_of_its_thresholds():
    """Half of |y - W x|^2 + level^2 |x|_0, minimised over x and then over orthogonal W."""
    from structkit.dictionary.search import turned

    rng = np.random.default_rng(0)
    factors, Y = problem((8,), 300, np.float64)
    Y = Y * (rng.random(Y.shape) < 0.3)

    def objective(W):
        z = Y @ W
        return 0.5 * np.minimum(z**2, 0.25).sum()

    values = [objective(factors[0])]
    for _ in range(20):
        sums = Statistics.empty(factors)
        accumulate(sums, Y, factors, Rule(levels=np.full(8, 0.5)))
        factors, _, gap = turned(factors, sums.gradients)
        values.append(objective(factors[0]))
        assert gap >= -1e-12
    assert (np.diff(values) <= 1e-9 * values[0]).all()
    assert values[-1] < 0.9 * values[0]


def test_selected_codes_are_as_many_as_asked_for():
    import array_api_compat.numpy as xp

    Z = np.random.default_rng(0).standard_normal((20, 9))
    for k in range(1, 10):
        assert ((select(Z, Rule(n_nonzero=k), xp) != 0).sum(axis=1) == k).all()
