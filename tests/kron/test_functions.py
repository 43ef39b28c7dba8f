"""Functions on operators: every rule against the dense answer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import (
    DensificationWarning,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
    SingularFactorError,
)
from structkit.kron import (
    BlockTridiagonal,
    Congruence,
    Dense,
    Diagonal,
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    Sparse,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    cholesky,
    diagonal,
    eigh,
    inverse,
    logdet,
    lstsq,
    slogdet,
    solve,
    sqrtm,
    svd,
    trace,
)
from tests.kron.market import CASES, TORCH_SAFE, Case, kron, kronsum, normal, spd, square
from tests.kron.test_operators import assert_same, operand, to_torch, tolerance

# Fallbacks are part of the contract; that they warn is tested once, by name, below.
pytestmark = pytest.mark.filterwarnings("ignore::structkit.DensificationWarning")

SQUARE = [c for c in CASES if c.build()[0].is_square]
HERMITIAN = [c for c in CASES if c.hermitian]
POSITIVE = [c for c in CASES if c.positive]


def condition(dense: np.ndarray) -> float:
    return float(np.linalg.cond(dense)) if dense.size else 1.0


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_solve(case: Case) -> None:
    op, dense = case.build()
    if case.singular:
        with pytest.raises(ShapeError, match="every factor square"):
            solve(op, np.ones(op.shape[0]))
        return
    n = op.shape[0]
    iterative = "masked" in case.name or "arbitrary" in case.name
    tol = 1e-8 if iterative else tolerance(op) * condition(dense)
    for shape in [(n,), (n, 2), (2, n, 3), (n, 0)]:
        x = operand(op, 3, *shape)
        got = solve(op, dense @ x)
        assert_same(got, x, tol)
    if not iterative:
        P = inverse(op)
        assert_same(P.H @ (dense.conj().T @ x), x, tol) if x.size else None
        assert_same(P.H @ (dense.conj().T @ operand(op, 1, n)), operand(op, 1, n), tol)


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_slogdet(case: Case) -> None:
    op, dense = case.build()
    if case.singular:
        with pytest.raises(ShapeError, match="every factor square"):
            slogdet(op)
        return
    sign, value = slogdet(op)
    want_sign, want = np.linalg.slogdet(dense) if dense.size else (1.0, 0.0)
    assert abs(value - want) <= 10 * tolerance(op) * max(1.0, abs(want), op.shape[0])
    assert abs(sign - want_sign) <= 10 * tolerance(op)
    if case.positive:
        assert abs(logdet(op) - want) <= 10 * tolerance(op) * max(1.0, abs(want), op.shape[0])


@pytest.mark.parametrize("case", HERMITIAN, ids=str)
def test_eigh(case: Case) -> None:
    op, dense = case.build()
    values, vectors = eigh(op)
    tol = 5 * tolerance(op)
    w = values.diagonal()
    assert_same(np.sort(np.asarray(w)), np.linalg.eigvalsh(dense) if dense.size else np.zeros(0), tol)
    V = vectors.to_dense()
    assert_same(V.conj().T @ V, np.eye(op.shape[0]), tol)
    assert_same((vectors @ values @ vectors.H).to_dense(), dense, tol)


@pytest.mark.parametrize("case", [c for c in SQUARE if not c.hermitian and c.name != "toeplitz-one"], ids=str)
def test_eigh_refuses_what_is_not_hermitian(case: Case) -> None:
    op, _ = case.build()
    with pytest.raises((NotSymmetricError, ShapeError)):
        eigh(op)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_svd(case: Case) -> None:
    op, dense = case.build()
    U, S, Vh = svd(op)
    tol = 5 * tolerance(op)
    assert_same((U @ S @ Vh).to_dense(), dense, tol)
    s = np.sort(np.asarray(S.diagonal()))[::-1]
    want = np.linalg.svd(dense, compute_uv=False) if dense.size else np.zeros(0)
    # the economy size of a Kronecker product drops further zeros
    assert_same(s, want[: len(s)], tol)
    assert np.all(want[len(s) :] <= tol * 10)


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_cholesky(case: Case) -> None:
    op, dense = case.build()
    L = cholesky(op)
    assert_same((L @ L.H).to_dense(), dense, 5 * tolerance(op))
    assert_same(L.to_dense(), np.linalg.cholesky(dense) if dense.size else dense, 5 * tolerance(op))
    assert_same(
        inverse(op, method="cholesky") @ (dense @ operand(op, 1, op.shape[0])),
        operand(op, 1, op.shape[0]),
        1e-3 if op.dtype == np.float32 else 1e-11,
    )


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_sqrtm(case: Case) -> None:
    op, dense = case.build()
    S = sqrtm(op)
    assert_same((S @ S).to_dense(), dense, 5 * tolerance(op))
    assert_same(S.H.to_dense(), S.to_dense(), 5 * tolerance(op))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_lstsq(case: Case) -> None:
    op, dense = case.build()
    if op.shape[0] == 0:
        return
    b = operand(op, 4, op.shape[0], 2)
    if case.name.startswith("kron-sum") and not case.hermitian:
        with pytest.raises(NotSymmetricError):
            lstsq(op, b)
        return
    want = np.linalg.lstsq(dense, b, rcond=None)[0]
    assert_same(lstsq(op, b), want, tolerance(op) * 100)


@pytest.mark.parametrize("case", [c for c in TORCH_SAFE if c.build()[0].is_square and not c.singular], ids=str)
def test_torch_twin(case: Case) -> None:
    op, dense = case.build()
    twin = to_torch(op)
    if not twin._arrays or not dense.size:
        return
    x = operand(op, 1, op.shape[0], 2)
    if (case.name.startswith("kron-sum") and not case.hermitian) or "unsymmetric" in case.name:
        # these take Schur forms, which torch does not have
        with pytest.raises((TypeError, ValueError), match="numpy"):
            solve(twin, torch.from_numpy(x))
        return
    tol = 1e-8 if "masked" in case.name or "arbitrary" in case.name else tolerance(op) * condition(dense)
    got = solve(twin, torch.from_numpy(dense @ x))
    assert isinstance(got, torch.Tensor)
    assert_same(got, x, tol)
    sign, value = slogdet(twin)
    want_sign, want = np.linalg.slogdet(dense)
    assert abs(complex(sign) - want_sign) < 10 * tolerance(op)
    assert abs(float(value) - want) <= 10 * tolerance(op) * max(1.0, abs(want), op.shape[0])
    if case.positive:
        values, vectors = eigh(twin)
        assert_same((vectors @ values @ vectors.H).to_dense(), dense, 5 * tolerance(op))
        assert_same((cholesky(twin) @ cholesky(twin).H).to_dense(), dense, 5 * tolerance(op))
        assert_same((sqrtm(twin) @ sqrtm(twin)).to_dense(), dense, 5 * tolerance(op))
    U, S, Vh = svd(twin)
    assert_same((U @ S @ Vh).to_dense(), dense, 5 * tolerance(op))


def test_inverse_of_structure_keeps_it() -> None:
    K = Kronecker(square(0, 2), square(1, 3))
    assert isinstance(inverse(K), Kronecker)
    assert isinstance(inverse(Kronecker(spd(0, 2), spd(1, 2)) + Identity(4)), Congruence)
    assert isinstance(inverse(Diagonal(np.ones(2))), Diagonal)
    assert inverse(inverse(Dense(square(0, 3)))).shape == (3, 3)


def test_structured_results_of_kronecker() -> None:
    K = Kronecker(spd(0, 3), spd(1, 4))
    assert isinstance(eigh(K).eigenvectors, Kronecker)
    assert isinstance(eigh(K).eigenvalues, Kronecker)
    assert isinstance(svd(K).U, Kronecker)
    assert isinstance(cholesky(K), Kronecker)
    assert isinstance(cholesky(K).factors[0], Triangular)
    assert isinstance(sqrtm(K), Kronecker)


def test_cholesky_of_blocks_keeps_blocks() -> None:
    op = BlockTridiagonal(4 * np.ones((3, 1, 1)), np.ones((2, 1, 1)))
    assert isinstance(cholesky(op), BlockTridiagonal)


@pytest.mark.parametrize("function", [lambda op: solve(op, np.ones(6)), slogdet, svd])
def test_fallback_warns(function: object) -> None:
    op = Dense(square(0, 6)) + Kronecker(square(1, 2), square(2, 3))
    with pytest.warns(DensificationWarning, match="dense"):
        function(op)


def test_plain_arrays_and_sparse_matrices_are_operators() -> None:
    import scipy.sparse as sp

    A = square(0, 4)
    assert_same(solve(A, A @ np.ones(4)), np.ones(4), 1e-12)
    assert_same(solve(sp.csr_array(A), A @ np.ones(4)), np.ones(4), 1e-12)
    assert float(trace(A)) == pytest.approx(np.trace(A))
    assert_same(diagonal(A), np.diagonal(A), 1e-15)


def test_unknown_method_and_wrong_rows() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        solve(np.eye(2), np.ones(2), method="magic")
    with pytest.raises(ShapeError, match="4 rows"):
        solve(Kronecker(np.eye(2), np.eye(2)), np.ones(5))


@pytest.mark.parametrize("method", ["cholesky", "cg", "dense", "pinv"])
def test_methods_agree(method: str) -> None:
    K = Kronecker(spd(0, 3), spd(1, 4))
    b = normal(2, 12, 2)
    assert_same(solve(K, b, method=method), solve(K, b), 1e-9)


def test_single_precision_factor_with_double_right_hand_side() -> None:
    A = square(0, 5).astype(np.float32)
    x = normal(1, 5)
    got = solve(Dense(A), A.astype(float) @ x)
    assert got.dtype == np.float64
    assert_same(got, x, 1e-13)


# ---- honest errors --------------------------------------------------------------------------------------
def test_singular_blocks_and_sparse_and_low_rank() -> None:
    import scipy.sparse as sp

    with pytest.raises(SingularFactorError, match="reciprocal condition"):
        solve(BlockTridiagonal(np.zeros((2, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))), np.ones(2))
    with pytest.raises(SingularFactorError, match="reciprocal condition"):
        solve(Sparse(sp.csr_array(np.diag([1.0, 0.0]))), np.ones(2))
    with pytest.raises(SingularFactorError, match="zeros"):
        solve(LowRankPlusDiagonal(np.ones((2, 1)), np.array([0.0, 1.0])), np.ones(2))
    with pytest.raises(SingularFactorError, match="reciprocal condition 0"):
        solve(Diagonal(np.array([1.0, 0.0])), np.ones(2))
    with pytest.raises(SingularFactorError, match=r"factors\[1\]"):
        solve(Kronecker(np.eye(2), Triangular(np.diag([1.0, 0.0]))), np.ones(4))


def test_singular_kronecker_sum_of_periodic_laplacians() -> None:
    lap = scipy.linalg.circulant([2.0, -1.0, 0.0, -1.0])
    with pytest.raises(SingularFactorError, match="Shift it"):
        solve(KroneckerSum(lap, lap), np.ones(16))
    b = normal(0, 16)
    b -= b.mean()
    x = solve(KroneckerSum(lap, lap), b, method="pinv")
    assert_same(kronsum(lap, lap) @ x, b, 1e-12)
    assert abs(x.mean()) < 1e-13
    shifted = KroneckerSum(lap, lap) + 0.5 * Identity(16)
    assert isinstance(shifted, KroneckerSum)
    assert_same(shifted @ solve(shifted, b), b, 1e-12)


def test_singular_schur_sum() -> None:
    A = np.array([[1.0, 1.0], [0.0, 1.0]])
    with pytest.raises(SingularFactorError, match="sum to"):
        solve(KroneckerSum(A, -A), np.ones(4))


def test_nonnormal_kronecker_sum_with_complex_eigenvalues() -> None:
    A, B, C = square(0, 3) @ np.diag([1, 5, 9]), square(1, 2) + np.array([[0, 3], [-3, 0]]), square(2, 3)
    x = normal(3, 18, 2)
    assert_same(solve(KroneckerSum(A, B, C), kronsum(A, B, C) @ x), x, 1e-12)


def test_indefinite_covariance_is_refused() -> None:
    K = Kronecker(np.diag([1.0, -1.0]), np.eye(2))
    with pytest.raises(NotPositiveDefiniteError, match="eigenvalues from"):
        solve(K + 0.5 * Identity(4), np.ones(4))
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[0\].*eigenvalue -1"):
        cholesky(K)
    with pytest.raises(NotPositiveDefiniteError, match="negative eigenvalue"):
        sqrtm(Dense(np.diag([1.0, -1.0])))
    with pytest.raises(NotPositiveDefiniteError, match="scaled by -1"):
        cholesky(-Kronecker(np.eye(2), np.eye(2)))
    with pytest.raises(NotPositiveDefiniteError, match=r"second\.factors\[0\]"):
        solve(SumOfKroneckers(Kronecker(np.eye(2)), K.__class__(np.diag([1.0, -1.0]))), np.ones(2))
    with pytest.raises(NotPositiveDefiniteError, match="non-negative"):
        solve(KroneckerPlusDiagonal([np.eye(2)], np.array([1.0, -1.0])), np.ones(2))
    with pytest.raises(NotPositiveDefiniteError, match="sign -1"):
        logdet(np.diag([1.0, -1.0]))


def test_indefinite_toeplitz_with_zero_minor_falls_back_and_says_so() -> None:
    T = Toeplitz(np.array([0.0, 1.0, 2.0]))
    x = normal(0, 3)
    with pytest.warns(DensificationWarning, match="Levinson"):
        got = solve(T, T.to_dense() @ x)
    assert_same(got, x, 1e-12)


def test_masked_solve_is_the_dense_solve() -> None:
    K, mask = Kronecker(spd(0, 4), spd(1, 5)), np.random.default_rng(0).random(20) < 0.5
    op = Masked(K, mask) + 0.3 * Identity(int(mask.sum()))
    dense = kron(spd(0, 4), spd(1, 5))[np.ix_(mask, mask)] + 0.3 * np.eye(int(mask.sum()))
    b = normal(3, int(mask.sum()), 2)
    assert_same(solve(op, b), np.linalg.solve(dense, b), 1e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 99))
def test_logdet_adds_and_permutes(sizes: list[int], seed: int) -> None:
    factors = [square(seed + i, n) for i, n in enumerate(sizes)]
    value = slogdet(Kronecker(*factors)).logabsdet
    want = np.linalg.slogdet(kron(*factors))[1]
    assert value == pytest.approx(want, abs=1e-11)
    assert slogdet(Kronecker(*factors[::-1])).logabsdet == pytest.approx(value, abs=1e-11)
    product = Kronecker(*factors) @ Kronecker(*factors)
    assert slogdet(product).logabsdet == pytest.approx(2 * value, abs=1e-11)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_block_tridiagonal_of_any_size(s: int, steps: int, seed: int) -> None:
    lower = 0.3 * normal(seed, steps - 1, s, s)
    diag = np.stack([3 * spd(seed + t, s) for t in range(steps)])
    op = BlockTridiagonal(diag, lower)
    x = normal(seed, steps * s)
    assert_same(solve(op, op @ x), x, 1e-10)
    assert logdet(op) == pytest.approx(np.linalg.slogdet(op.to_dense())[1], abs=1e-10)


def test_singular_value_zero_scale() -> None:
    zero = 0.0 * Kronecker(square(0, 2), square(1, 2))
    with pytest.raises(SingularFactorError, match="scaled by 0"):
        solve(zero, np.ones(4))
    assert slogdet(zero) == (0.0, -np.inf)
    assert_same(lstsq(zero, np.ones(4)), np.zeros(4), 0.0)


def test_operators_never_densify_where_a_rule_exists() -> None:
    n = 40
    K: LinearOperator = Kronecker(Toeplitz(np.r_[2.0, 0.5, np.zeros(n - 2)]), Identity(n), spd(0, n))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        b = normal(0, n**3)
        assert_same(K @ solve(K, b), b, 1e-9)
        logdet(K)
        eigh(K + Identity(n**3))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_determinant_of_sums_of_unsymmetric_factors(backend: str) -> None:
    """Eigenvalues of the factors are enough, real and complex, in every library."""
    A, B = square(0, 3), square(1, 2) + np.array([[0, 3], [-3, 0]])
    wrap = torch.from_numpy if backend == "torch" else np.asarray
    for op, dense in [
        (KroneckerSum(wrap(A), wrap(B)), kronsum(A, B)),
        (KroneckerPlusDiagonal([wrap(A), wrap(B)], -1.5), kron(A, B) - 1.5 * np.eye(6)),
        ((1 + 2j) * (Kronecker(wrap(A), wrap(B)) + 2j * Identity(6)), (1 + 2j) * (kron(A, B) + 2j * np.eye(6))),
    ]:
        want = np.linalg.slogdet(dense)
        sign, value = slogdet(op)
        assert complex(sign) == pytest.approx(want[0], abs=1e-13)
        assert float(value) == pytest.approx(want[1], rel=1e-13)


def test_complex_and_negative_shifts_of_unsymmetric_factors() -> None:
    A, B = square(0, 3), square(1, 2)
    for scale, shift in [(1, 2j), (1 + 2j, 1j), (-2, -0.25)]:
        op = scale * Kronecker(A, B) + shift * Identity(6)
        dense = scale * kron(A, B) + shift * np.eye(6)
        x = normal(2, 6, 2)
        assert_same(solve(op, dense @ x), x, 1e-12)
        assert_same(inverse(op).H @ (dense.conj().T @ x), x, 1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_identity_factors_follow_the_library(backend: str) -> None:
    wrap = torch.from_numpy if backend == "torch" else np.asarray
    K = Kronecker(Identity(3), wrap(square(0, 2)))
    assert float(trace(K)) == pytest.approx(3 * np.trace(square(0, 2)))
    assert float(trace(KroneckerSum(Identity(3), wrap(square(0, 2))))) == pytest.approx(
        6 + 3 * np.trace(square(0, 2)), rel=1e-14
    )
