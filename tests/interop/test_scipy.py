"""structkit operators in scipy's iterative methods."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg as sla
import torch

from structkit import BackendMismatchError, SizeError
from structkit.interop import as_scipy
from structkit.kron import Identity, Kronecker, Masked, inverse


def test_eigsh_lsqr_and_gmres() -> None:
    rng = np.random.default_rng(0)
    A, B = (M @ M.T + np.eye(len(M)) for M in (rng.standard_normal((5, 5)), rng.standard_normal((4, 4))))
    K, dense = Kronecker(A, B), np.kron(A, B)
    w = sla.eigsh(as_scipy(K), k=2, return_eigenvectors=False, v0=np.ones(20))
    assert np.allclose(np.sort(w), np.linalg.eigvalsh(dense)[-2:])
    b = rng.standard_normal(20)
    x, info = sla.gmres(as_scipy(K), b, rtol=1e-10, restart=20)
    assert info == 0
    assert np.allclose(dense @ x, b, atol=1e-7)
    R = Kronecker(rng.standard_normal((6, 2)), rng.standard_normal((4, 3)))
    b = rng.standard_normal(24)
    x = sla.lsqr(as_scipy(R), b, atol=1e-13, btol=1e-13)[0]
    assert np.allclose(x, np.linalg.lstsq(R.to_dense(), b, rcond=None)[0], atol=1e-8)


def test_structured_preconditioner_and_masked_system() -> None:
    """A masked grid process solved by scipy's conjugate gradients, with structkit's inverse as its preconditioner."""
    rng = np.random.default_rng(0)
    K = Kronecker(*(np.exp(-np.abs(np.subtract.outer(t, t))) for t in (np.arange(6.0), np.arange(7.0))))
    seen = rng.random((6, 7)) < 0.7
    op = Masked(K, seen) + 0.1 * Identity(int(seen.sum()))
    b = rng.standard_normal(op.shape[0])
    whole = inverse(K + 0.1 * Identity(42))
    preconditioner = as_scipy(Masked(whole, seen))
    x, info = sla.cg(as_scipy(op), b, rtol=1e-11, M=preconditioner)
    assert info == 0
    assert np.allclose(x, np.linalg.solve(op.to_dense(), b), rtol=1e-8, atol=1e-10)
    values = sla.svds(as_scipy(Kronecker(np.diag([3.0, 1.0]), np.ones((2, 3)))), k=1, return_singular_vectors=False)
    assert values[0] == pytest.approx(3 * np.sqrt(6))


def test_complex_adjoint() -> None:
    A = np.array([[1.0, 2j], [0.0, 1.0]])
    lo = as_scipy(Kronecker(A, A))
    assert lo.dtype == np.complex128
    assert np.allclose(lo.H @ np.ones(4), np.kron(A, A).conj().T @ np.ones(4))
    assert np.allclose(lo @ np.ones((4, 2)), np.kron(A, A) @ np.ones((4, 2)))


def test_plain_arrays_and_refusals() -> None:
    assert as_scipy(np.eye(2)).shape == (2, 2)
    with pytest.raises(BackendMismatchError, match="torch"):
        as_scipy(torch.eye(2))
    with pytest.raises(SizeError):
        as_scipy(Kronecker(*[np.eye(1000)] * 7))
