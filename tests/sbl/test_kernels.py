"""The compiled loops against their numpy twins and against the dense evidence."""

import numpy as np
import pytest

from structkit._backend import numba_sbl, numpy_sbl
from structkit.sbl.forward_backward import Active, Workspace
from structkit.sbl.gains import mode_gains
from structkit.sbl.problem import prepare
from tests.sbl.dense import DenseSBL, random


@pytest.mark.parametrize("is_complex", [False, True])
def test_mode_sums_are_the_same(is_complex):
    rng = np.random.default_rng(0)
    rotated = random(rng, (3, 5, 4, 2), is_complex)
    arguments = rotated, rng.uniform(size=(3, 4)), rng.uniform(size=5), 0.3
    for a, b in zip(numba_sbl.mode_sums(*arguments), numpy_sbl.mode_sums(*arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("n_steps", [0, 5])
def test_gains_are_the_same(n_steps):
    rng = np.random.default_rng(1)
    n, width = 9, 6
    s, q, weights = rng.uniform(0.1, 1, (n, width)), rng.uniform(0, 9, (n, width)), rng.uniform(0.1, 1, width)
    own = np.where(rng.random(n) < 0.4, 0.5, 0.0)
    grid = np.exp(rng.standard_normal((n, 4)))
    results = []
    for module in (numba_sbl, numpy_sbl):
        gains, best = np.empty(n), np.empty(n)
        module.column_gains(s, q, weights, own, 2, grid, n_steps, gains, best)
        results.append((gains, best))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-10)


@pytest.mark.parametrize("is_complex", [False, True])
def test_gains_are_differences_of_the_dense_evidence(is_complex):
    """Of inactive columns by what they add, of active ones by what they have added."""
    rng = np.random.default_rng(2)
    shapes = ((5, 7), (4, 6), (3, 4))
    problem = prepare([random(rng, s, is_complex) for s in shapes], random(rng, (5, 4, 3, 2), is_complex))
    active = Active([np.array([2, 5]), np.array([1, 4, 0]), np.array([3])], [np.ones(2), np.ones(3), np.ones(1)], 0.4)
    space = Workspace(problem, active)
    unit = 1.0 if is_complex else 2.0

    def cost(mode, gamma):
        gammas = [np.zeros(n) for _, n in shapes]
        for g, c in zip(gammas, active.columns, strict=True):
            g[c] = 1.0
        gammas[mode] = gamma
        return -unit * DenseSBL(problem.factors, gammas, problem.y, 0.4).evidence()

    for mode, (A, columns) in enumerate(zip(problem.host, active.columns, strict=True)):
        slices = problem.project(space.ranges, skip=mode)
        found = mode_gains(space.model(), mode, slices, A, space.ranges[mode], columns)
        base = np.zeros(A.shape[1])
        base[columns] = 1.0
        for j in range(A.shape[1]):
            if len(columns) == 1 and j in columns:
                continue
            without, with_it = base.copy(), base.copy()
            without[j], with_it[j] = 0.0, found.gamma[j]
            wanted = cost(mode, without) - (cost(mode, with_it) if found.gamma[j] else cost(mode, without))
            assert found.gain[j] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_without_a_compiler_everything_is_the_same(monkeypatch):
    from structkit.sbl import KroneckerSBL
    from tests.sbl.dense import sparse

    p = sparse(1, (6, 7), (9, 10), 2, 20.0)
    wanted = KroneckerSBL().fit(p.factors, p.y)
    monkeypatch.setenv("STRUCTKIT_NUMBA", "0")
    model = KroneckerSBL().fit(p.factors, p.y)
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-7, atol=1e-10)
