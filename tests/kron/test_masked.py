"""Rows and columns of observed cells."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
import torch

from structkit import ShapeError
from structkit.kron import Dense, Kronecker, Masked
from tests.kron.market import kron, normal, spd, square


def masked(dtype: object = np.float64) -> tuple[Masked, np.ndarray, np.ndarray]:
    mask = np.random.default_rng(0).random((3, 4)) < 0.6
    A, B = square(0, 3, dtype), square(1, 4, dtype)
    flat = mask.ravel()
    return Masked(Kronecker(A, B), mask), kron(A, B)[np.ix_(flat, flat)], mask


def test_mask_as_tensor_or_flat_or_torch() -> None:
    op, dense, mask = masked()
    for m in (mask, mask.ravel(), torch.from_numpy(mask)):
        assert np.array_equal(Masked(op.op, m).to_dense(), op.to_dense())
    assert np.allclose(op.to_dense(), dense)


def test_hidden_cells_stay_hidden_between_calls() -> None:
    """The buffer is reused: what one product wrote must not reach the next."""
    op, dense, _ = masked()
    first, second = normal(0, op.shape[0]), normal(1, op.shape[0])
    y = op @ first
    keep = y.copy()
    assert np.allclose(op @ second, dense @ second)
    assert np.array_equal(y, keep)
    assert np.allclose(op @ normal(2, op.shape[0], 3), dense @ normal(2, op.shape[0], 3))
    assert np.allclose(op @ first, keep)


def test_nan_does_not_survive_in_the_buffer() -> None:
    op, dense, _ = masked()
    bad = np.full(op.shape[0], np.nan)
    assert np.isnan(op @ bad).all()
    x = normal(0, op.shape[0])
    assert np.allclose(op @ x, dense @ x)


def test_adjoint_of_a_rectangular_block() -> None:
    rows, columns = np.array([1, 0, 1, 1, 0, 0], bool), np.array([0, 1, 0, 0, 1, 1], bool)
    A, B = square(0, 2, np.complex128), square(1, 3, np.complex128)
    op = Masked(Kronecker(A, B), rows, columns)
    want = kron(A, B)[np.ix_(rows, columns)]
    assert np.allclose(op.to_dense(), want)
    assert np.allclose(op.H.to_dense(), want.conj().T)
    assert not op.is_principal


def test_threads_do_not_share_the_buffer() -> None:
    op, dense, _ = masked()
    xs = [normal(i, op.shape[0]) for i in range(8)]
    out: list[np.ndarray | None] = [None] * 8

    def work(i: int) -> None:
        for _ in range(50):
            out[i] = op @ xs[i]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.allclose(o, dense @ x) for o, x in zip(out, xs, strict=True))


def test_memory_of_a_product() -> None:
    n = 512
    op = Masked(Kronecker(spd(0, n), spd(1, n)), np.random.default_rng(0).random(n * n) < 0.5)
    x = normal(0, op.shape[0])
    op @ x  # makes the buffer and the plan
    tracemalloc.start()
    op @ x
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 3.2 * n * n * 8  # output, workspace and the gathered half


def test_gradient_through_a_masked_product() -> None:
    mask = np.array([1, 0, 1, 1, 0, 1], bool)
    A, B = (torch.from_numpy(square(i, 2 + i)).requires_grad_() for i in range(2))
    x = torch.from_numpy(normal(0, 4)).requires_grad_()
    torch.autograd.gradcheck(lambda a, b, v: Masked(Kronecker(a, b), mask) @ v, (A, B, x))


def test_bad_masks() -> None:
    K = Kronecker(square(0, 2), square(1, 3))
    with pytest.raises(TypeError, match="isnan"):
        Masked(K, np.ones(6))
    with pytest.raises(ShapeError, match=r"expected \(6,\) or \(2, 3\)"):
        Masked(K, np.ones(5, bool))
    with pytest.raises(ShapeError, match="column_mask"):
        Masked(Dense(normal(0, 2, 3)), np.ones(2, bool))
    with pytest.raises(ShapeError, match="the masks fit"):
        Masked(K, np.ones(6, bool)).with_operator(Dense(np.eye(5)))
