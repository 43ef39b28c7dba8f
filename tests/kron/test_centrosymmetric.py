"""Covariances on regular grids split into an even and an odd half; the decomposition is that of the whole."""

import numpy as np
import pytest

from structkit.gp import Matern, SquaredExponential
from structkit.kron import _symmetric, kron_eigh
from structkit.kron._centrosymmetric import centrosymmetric_eigh, is_centrosymmetric


def covariance(n, dtype=np.float64):
    return Matern(1.5, 0.1)(np.linspace(0.0, 1.0, n)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 75])
def test_halves_give_the_decomposition_of_the_whole(n, dtype):
    A = covariance(n, dtype)
    w, V = centrosymmetric_eigh(A, np.linalg.eigh)
    assert w.dtype == V.dtype == dtype
    tol = 4 * n * np.finfo(dtype).eps * max(np.linalg.norm(A, 2), 1.0)
    assert (np.diff(w) >= 0).all()
    np.testing.assert_allclose(w, np.linalg.eigvalsh(A.astype(np.float64)), rtol=0, atol=tol)
    np.testing.assert_allclose(V.T @ V, np.eye(n), rtol=0, atol=tol)
    np.testing.assert_allclose((V * w) @ V.T, A, rtol=0, atol=tol)


def test_repeated_eigenvalues():
    A = np.eye(60) + np.ones((60, 60))
    w, V = centrosymmetric_eigh(A, np.linalg.eigh)
    np.testing.assert_allclose((V * w) @ V.T, A, rtol=0, atol=60 * 61 * np.finfo(float).eps)


def test_what_is_split_and_what_is_not():
    A = covariance(80)
    assert is_centrosymmetric(A)
    assert is_centrosymmetric(A * (1 + 2 * np.finfo(float).eps * np.random.default_rng(0).random(A.shape)))
    changed = A.copy()
    changed[30, 40] += 1e-12
    assert not is_centrosymmetric(changed)
    assert not is_centrosymmetric(A.astype(complex))
    assert not is_centrosymmetric(covariance(20))
    assert not is_centrosymmetric(SquaredExponential(0.1)(np.linspace(0.0, 1.0, 80) ** 2))
    assert not is_centrosymmetric(np.full((80, 80), np.nan))


def test_decompositions_of_grid_covariances_are_split(monkeypatch):
    sizes = []
    plain = _symmetric._eigh
    monkeypatch.setattr(_symmetric, "_eigh", lambda a: (sizes.append(len(a)), plain(a))[1])
    A, B = covariance(81), np.diag(np.arange(1.0, 61.0))
    values, vectors = kron_eigh([A, B])
    assert sizes == [41, 40, 60]
    np.testing.assert_allclose((vectors[0] * values[0]) @ vectors[0].T, A, rtol=0, atol=81 * np.finfo(float).eps * 81)
