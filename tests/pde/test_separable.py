"""Kronecker sums of small matrices against dense solves."""

import numpy as np
import pytest

from structkit.kron import KroneckerSum
from structkit.pde.separable import KroneckerSumSolver


def _normal(rng, n):
    """A matrix with good eigenvectors."""
    A = rng.normal(size=(n, n))
    return A @ A.T + n * np.eye(n)


def _defective(rng, n):
    """A matrix without a full set of eigenvectors."""
    return np.triu(rng.normal(size=(n, n)), 1) + 2 * np.eye(n)


@pytest.mark.parametrize("sizes", [(1,), (6,), (5, 7), (1, 4), (7, 1), (3, 4, 5), (1, 4, 2), (3, 1, 4), (2, 3, 1)])
@pytest.mark.parametrize("kind", [_normal, _defective, lambda rng, n: rng.normal(size=(n, n)) + 3 * np.eye(n)])
def test_solution_is_that_of_the_dense_sum(sizes, kind):
    rng = np.random.default_rng(len(sizes) + sum(sizes))
    matrices = [kind(rng, n) for n in sizes]
    dense = KroneckerSum(*matrices).to_dense()
    b = rng.normal(size=sizes)
    wanted = np.linalg.solve(dense, b.ravel()).reshape(sizes)
    solver = KroneckerSumSolver(matrices)
    x = solver.solve(b)
    assert x.dtype == float
    tol = 1e3 * np.finfo(float).eps * np.linalg.cond(dense)
    np.testing.assert_allclose(x, wanted, atol=tol * np.abs(wanted).max())


@pytest.mark.parametrize("sizes", [(6,), (5, 7), (3, 4, 5)])
def test_eigenvalues_are_those_of_the_sum(sizes):
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(n, n)) for n in sizes]
    solver = KroneckerSumSolver(matrices)
    wanted = np.linalg.eigvals(KroneckerSum(*matrices).to_dense())
    got = np.sort_complex(np.round(solver.eigenvalues.ravel(), 9))
    np.testing.assert_allclose(np.sort(np.abs(got)), np.sort(np.abs(wanted)), atol=1e-8)
    ends = (
        np.linalg.svd(matrices[0], compute_uv=False)[[-1, 0]] if len(sizes) == 1 else np.sort(np.abs(wanted))[[0, -1]]
    )
    np.testing.assert_allclose(solver.extremes, ends, rtol=1e-8)


def test_three_defective_axes_keep_their_digits():
    """Eigenvectors of these have condition numbers without bound."""
    rng = np.random.default_rng(3)
    matrices = [_defective(rng, n) for n in (8, 9, 7)]
    assert max(np.linalg.cond(np.linalg.eig(m)[1]) for m in matrices) > 1e7
    x = rng.normal(size=(8, 9, 7))
    b = (KroneckerSum(*matrices) @ x.ravel()).reshape(x.shape)
    error = np.linalg.norm(KroneckerSumSolver(matrices).solve(b) - x) / np.linalg.norm(x)
    cond = np.linalg.cond(KroneckerSum(*matrices).to_dense())
    assert error < 100 * np.finfo(float).eps * cond
