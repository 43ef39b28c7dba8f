"""Distances of dictionaries, and sparsity."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import NotFiniteError, ShapeError
from structkit.dictionary import code_sparsity, dictionary_distance, match_atoms


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_the_distance_is_the_smallest_over_signs_and_orders(n, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, n, n + 1))
    unit = [M / np.linalg.norm(M, axis=1, keepdims=True) for M in (A, B)]
    best = min(
        sum(min(((s * unit[0][i] - b) ** 2).sum() for s in (-1, 1)) for i, b in zip(order, unit[1], strict=True))
        for order in itertools.permutations(range(n))
    )
    assert dictionary_distance(A, B) == pytest.approx(np.sqrt(best / n), rel=1e-10, abs=1e-12)
    assert dictionary_distance(B, A) == pytest.approx(dictionary_distance(A, B), rel=1e-10)
    match = match_atoms(A, B)
    assert sorted(match.order) == list(range(n))
    np.testing.assert_allclose(np.sqrt(2 * (1 - match.cosines).sum() / n), dictionary_distance(A, B), atol=1e-7)


def test_signs_order_and_lengths_do_not_matter():
    rng = np.random.default_rng(0)
    D = rng.standard_normal((6, 6))
    other = (D * rng.choice([-1, 1], (6, 1)) * rng.uniform(0.5, 2, (6, 1)))[rng.permutation(6)]
    assert dictionary_distance(other, D) < 1e-15
    assert dictionary_distance(torch.tensor(other), torch.tensor(D)) < 1e-15


def test_tiny_distances_keep_their_digits():
    angle = 1e-11
    D = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert dictionary_distance(D, np.eye(2)) == pytest.approx(angle, rel=1e-4)


def test_sparsity_counts_zeros():
    assert code_sparsity(np.array([[0.0, 1e-300], [0.0, -1.0]])) == 0.5
    assert code_sparsity(torch.zeros(3)) == 1.0


def test_bad_input():
    with pytest.raises(ShapeError, match=r"D has shape \(2, 2\) and D_true \(3, 3\)"):
        dictionary_distance(np.eye(2), np.eye(3))
    with pytest.raises(ShapeError, match="expected a matrix with one atom per row"):
        dictionary_distance(np.ones(3), np.eye(3))
    with pytest.raises(ValueError, match=r"D_true\[1\] is zero; an atom needs a direction"):
        dictionary_distance(np.eye(2), np.diag([1.0, 0.0]))
    with pytest.raises(NotFiniteError, match="D holds NaN"):
        dictionary_distance(np.full((2, 2), np.nan), np.eye(2))
    with pytest.raises(ValueError, match=r"codes has shape \(0,\)"):
        code_sparsity([])
