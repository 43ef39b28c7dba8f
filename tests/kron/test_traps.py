"""Every trap that other Kronecker libraries have fallen into, as a named test of the operators and functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from structkit import (
    BackendMismatchError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
    SingularFactorError,
    SizeError,
)
from structkit.kron import (
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    eigh,
    gaussian_evidence,
    inverse,
    kron_matmul,
    kron_plan,
    logdet,
    lstsq,
    slogdet,
    solve,
    unvec,
    vec,
)
from tests.kron.market import kron, normal, spd, square


def test_vec_order_is_row_major() -> None:
    A, B, X = normal(0, 2, 3), normal(1, 4, 5), normal(2, 3, 5)
    K = Kronecker(A, B)
    assert np.allclose(K @ X.ravel(), (A @ X @ B.T).ravel())
    assert np.allclose(K @ vec(X), vec(A @ X @ B.T))
    assert np.allclose(K.apply_tensor(X), A @ X @ B.T)
    # the column-major rule of papers: the factors trade places
    assert np.allclose(Kronecker(B, A) @ vec(X, order="F"), vec(A @ X @ B.T, order="F"))
    assert np.array_equal(unvec(vec(X, order="F"), X.shape, order="F"), X)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 4), (20, 30)])
def test_logdet_is_exact_at_any_scale(scale: float, sizes: tuple[int, ...]) -> None:
    factors = [scale * spd(i, n) for i, n in enumerate(sizes)]
    total = math.prod(sizes)
    # the reference: determinants of the unscaled factors, and the scale's logarithm exactly once per row
    want = sum(total // n * np.linalg.slogdet(spd(i, n))[1] for i, n in enumerate(sizes))
    want += len(sizes) * total * math.log(scale)
    assert float(logdet(Kronecker(*factors))) == pytest.approx(want, rel=1e-13 * len(sizes))


def integer_determinant(A: np.ndarray) -> int:
    """Exact determinant of an integer matrix, by fraction-free elimination in Python integers."""
    M = [[int(v) for v in row] for row in A]
    previous, sign = 1, 1
    for k in range(len(M) - 1):
        pivot = next(i for i in range(k, len(M)) if M[i][k])
        if pivot != k:
            M[k], M[pivot], sign = M[pivot], M[k], -sign
        for i in range(k + 1, len(M)):
            for j in range(k + 1, len(M)):
                M[i][j] = (M[i][j] * M[k][k] - M[i][k] * M[k][j]) // previous
        previous = M[k][k]
    return sign * M[-1][-1]


@pytest.mark.parametrize("seed", range(8))
def test_logdet_of_unsymmetric_factors_against_exact_arithmetic(seed: int) -> None:
    """Every factor at a scale of its own between 1e-6 and 1e6 (powers of two, so that scaling rounds nothing)."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(2, 9, size=rng.integers(2, 5))]
    integers = [rng.integers(-9, 10, size=(n, n)) + 12 * np.eye(n, dtype=int) for n in sizes]
    powers = [int(p) for p in rng.integers(-20, 21, size=len(sizes))]
    total = math.prod(sizes)
    terms, want_sign = [], 1
    for A, p in zip(integers, powers, strict=True):
        det = integer_determinant(A)
        terms += [total // len(A) * math.log(abs(det)), total * p * math.log(2)]
        want_sign *= (1 if det > 0 else -1) ** (total // len(A))
    want = math.fsum(terms)
    sign, value = slogdet(Kronecker(*(A * 2.0**p for A, p in zip(integers, powers, strict=True))))
    assert sign == want_sign
    # the terms may cancel: the error is relative to their sum in modulus
    assert abs(float(value) - want) <= 1e-13 * len(sizes) * math.fsum(map(abs, terms))


def test_logdet_of_tiny_factors_is_not_clamped() -> None:
    """A popular library clamps eigenvalue products at 1e-7 and returns -193.4 for a case like this."""
    K = Kronecker(1e-6 * spd(0, 3), spd(1, 7))
    want = np.linalg.slogdet(np.kron(1e-6 * spd(0, 3), spd(1, 7)))[1]
    assert float(logdet(K)) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("seed", range(6))
def test_determinant_of_nonsymmetric_factors_with_sign(seed: int) -> None:
    A, B = normal(seed, 3, 3), normal(seed + 10, 2, 2)
    sign, value = slogdet(Kronecker(A, B))
    want = np.linalg.slogdet(np.kron(A, B))
    assert sign == want[0]
    assert float(value) == pytest.approx(want[1], rel=1e-12, abs=1e-12)


def test_sign_with_even_and_odd_powers() -> None:
    flip = np.diag([-1.0, 1.0])
    assert slogdet(Kronecker(flip, np.eye(3))).sign == -1
    assert slogdet(Kronecker(flip, np.eye(4))).sign == 1
    assert slogdet(-Kronecker(np.eye(3), np.eye(1))).sign == -1
    with pytest.raises(NotPositiveDefiniteError, match="sign -1"):
        logdet(Kronecker(flip, np.eye(3)))


def test_complex_sign_of_a_huge_product() -> None:
    phase = np.exp(2j * np.pi / 8)
    K = Kronecker(np.diag([phase, 1.0]), *[np.eye(2)] * 20)
    assert slogdet(K).sign == pytest.approx(1.0, abs=1e-8)  # the phase to the power 2^20, a multiple of 8


def test_symmetry_is_checked_where_it_is_assumed() -> None:
    K = Kronecker(square(0, 2), spd(1, 3))
    with pytest.raises(NotSymmetricError, match=r"factors\[0\].*symmetr"):
        eigh(K)
    with pytest.raises(NotSymmetricError, match=r"factors\[0\]"):
        inverse(K, method="cholesky")


def test_kronecker_plus_kronecker_diagonal_has_a_logdet() -> None:
    d = [np.array([0.1, 0.2]), np.array([1.0, 2.0, 3.0])]
    C = KroneckerPlusDiagonal([spd(0, 2), spd(1, 3)], d)
    dense = kron(spd(0, 2), spd(1, 3)) + np.diag(np.kron(*d))
    assert float(logdet(C)) == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-13)
    assert np.allclose(solve(C, np.ones(6)), np.linalg.solve(dense, np.ones(6)), rtol=1e-12)


def test_singular_factor_is_named_with_its_condition() -> None:
    singular = np.ones((3, 3))
    with pytest.raises(SingularFactorError, match=r"factors\[1\].*reciprocal condition"):
        solve(Kronecker(np.eye(2), singular), np.ones(6))
    with pytest.raises(np.linalg.LinAlgError):
        solve(Kronecker(singular), np.ones(3))


def test_singular_factor_with_pinv_on_request() -> None:
    A, B = np.outer([1.0, 2.0], [1.0, 1.0]), spd(0, 3)
    b = normal(1, 6)
    want = np.linalg.pinv(np.kron(A, B)) @ b
    assert np.allclose(solve(Kronecker(A, B), b, method="pinv"), want, atol=1e-13)
    assert np.allclose(lstsq(Kronecker(A, B), b), want, atol=1e-13)
    tiny = Kronecker(np.diag([1.0, 1e-5]))
    assert solve(tiny, np.ones(2), method="pinv", rcond=1e-3).tolist() == [1.0, 0.0]


def test_zero_noise_is_the_plain_solve() -> None:
    A, B = square(0, 2), square(1, 3)
    C = KroneckerPlusDiagonal([A, B], 0.0)
    assert np.allclose(solve(C, np.ones(6)), np.linalg.solve(np.kron(A, B), np.ones(6)), rtol=1e-12)
    assert float(slogdet(C).logabsdet) == pytest.approx(np.linalg.slogdet(np.kron(A, B))[1], rel=1e-12)


def test_negative_shifted_spectrum_is_refused() -> None:
    K = Kronecker(np.diag([1.0, -2.0]), np.eye(2))
    with pytest.raises(NotPositiveDefiniteError, match="not positive definite"):
        solve(K + 1.0 * Identity(4), np.ones(4))


def test_rounding_below_zero_counts_as_zero_and_real_negatives_do_not() -> None:
    v = np.array([1.0, 2.0, 3.0])
    semidefinite = np.outer(v, v)  # its zero eigenvalues come out as some -1e-16
    C = Kronecker(semidefinite, np.eye(2)) + 1e-3 * Identity(6)
    dense = np.kron(semidefinite, np.eye(2)) + 1e-3 * np.eye(6)
    assert np.allclose(solve(C, np.ones(6)), np.linalg.solve(dense, np.ones(6)), rtol=1e-9)
    value = gaussian_evidence([semidefinite, np.eye(2)], np.ones(6), 1e-3).value
    want = -0.5 * (np.linalg.solve(dense, np.ones(6)).sum() + np.linalg.slogdet(dense)[1] + 6 * math.log(2 * math.pi))
    assert value == pytest.approx(want, rel=1e-10)
    indefinite = semidefinite - 1e-6 * np.eye(3)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[0\].*eigenvalue"):
        gaussian_evidence([indefinite, np.eye(2)], np.ones(6), 1e-3)
    with pytest.raises(NotPositiveDefiniteError, match="not positive definite"):
        solve(Kronecker(indefinite, np.eye(2)) + 1e-7 * Identity(6), np.ones(6))


def test_sizes_beyond_64_bits() -> None:
    K = Kronecker(*[2 * np.eye(1024)] * 7)
    assert K.shape == (1024**7, 1024**7)
    assert float(logdet(K)) == pytest.approx(1024**7 * 7 * math.log(2), rel=1e-13)
    assert float(K.trace()) == pytest.approx(2048.0**7, rel=1e-14)
    assert (K.T @ K).shape == K.shape
    assert (K + Identity(1024**7)).shape == K.shape
    for operation in (K.to_dense, K.diagonal, K.as_scipy):
        with pytest.raises(SizeError, match="GiB"):
            operation()
    with pytest.raises(MemoryError):
        K.to_dense()


def test_number_of_axes_in_is_number_of_axes_out() -> None:
    K = Kronecker(square(0, 3), square(1, 4))
    for shape in [(12,), (12, 1), (12, 5), (2, 12, 1), (1, 2, 12, 3)]:
        assert (K @ np.ones(shape)).shape == shape
    assert (np.ones((1, 12)) @ K).shape == (1, 12)
    assert (np.ones(12) @ K).shape == (12,)


def test_a_tensor_is_never_guessed_from_its_shape() -> None:
    K = Kronecker(square(0, 3), square(1, 4))
    with pytest.raises(ShapeError, match="12 rows"):
        K @ np.ones((3, 4))
    assert K.apply_tensor(np.ones((3, 4))).shape == (3, 4)


def test_batches_take_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from structkit.kron.operators import kronecker

    calls = []
    monkeypatch.setattr(kronecker, "kron_matmul", lambda *a, **k: calls.append(1) or kron_matmul(*a, **k))
    Kronecker(square(0, 3), square(1, 4)) @ np.ones((5, 12, 7))
    assert len(calls) == 1


def test_rectangular_factors_and_the_square_product_of_them() -> None:
    A, B = normal(0, 2, 3), normal(1, 3, 2)
    K = Kronecker(A, B)
    assert np.allclose(K @ np.eye(6), np.kron(A, B))
    assert np.allclose(K.diagonal(), np.diagonal(np.kron(A, B)))
    assert float(K.trace()) == pytest.approx(np.trace(np.kron(A, B)))
    for operation in (lambda: solve(K, np.ones(6)), lambda: slogdet(K), lambda: inverse(K), lambda: eigh(K)):
        with pytest.raises(ShapeError, match=r"factors\[0\] has shape \(2, 3\).*every factor square"):
            operation()


def test_noncontiguous_factors_and_operands() -> None:
    A, B = square(0, 6)[::2, ::2], square(1, 4).T
    x = normal(0, 24, 4)[::2, ::2]
    assert np.allclose(Kronecker(A, B) @ x, np.kron(A, B) @ x)


@pytest.mark.parametrize(
    ("a", "b", "x", "want"),
    [
        ("float32", "float32", "float32", "float32"),
        ("float32", "float32", "float64", "float64"),
        ("float32", "float64", "float32", "float64"),
        ("float32", "float32", "complex64", "complex64"),
        ("float64", "float32", "complex64", "complex128"),
        ("int64", "float32", "float32", "float64"),
        ("int32", "int64", "int8", "float64"),
        ("complex64", "float64", "float32", "complex128"),
    ],
)
def test_dtypes_promote_and_never_narrow(a: str, b: str, x: str, want: str) -> None:
    A, B, v = np.ones((2, 2), a), np.ones((3, 3), b), np.ones(6, x)
    assert (Kronecker(A, B) @ v).dtype == want
    ta, tb, tv = (torch.from_numpy(t) for t in (A, B, v))
    assert (Kronecker(ta, tb) @ tv).dtype == getattr(torch, want)


def test_transpose_adjoint_and_conjugate_differ() -> None:
    A, B = normal(0, 2, 3, dtype=complex), normal(1, 2, 2, dtype=complex)
    K, dense = Kronecker(A, B), np.kron(A, B)
    assert np.allclose(K.T.to_dense(), dense.T)
    assert np.allclose(K.H.to_dense(), dense.conj().T)
    assert np.allclose(K.conj().to_dense(), dense.conj())
    assert np.allclose(K.as_scipy().rmatvec(np.ones(4)), dense.conj().T @ np.ones(4))


def test_hermitian_eigendecomposition_of_complex_factors() -> None:
    A, B = spd(0, 3, complex), spd(1, 2, complex)
    values, vectors = eigh(Kronecker(A, B))
    assert np.isrealobj(values.diagonal())
    assert np.allclose((vectors @ values @ vectors.H).to_dense(), np.kron(A, B))


def test_no_factors() -> None:
    with pytest.raises(ShapeError, match="at least one factor"):
        Kronecker()


def test_zero_sized_axes() -> None:
    K = Kronecker(np.zeros((0, 2)), np.ones((3, 3)))
    assert (K @ np.ones(6)).shape == (0,)
    assert np.array_equal(K.H @ np.ones((0, 2)), np.zeros((6, 2)))
    assert K.to_dense().shape == (0, 6)


def test_one_by_one_factors_fold_into_a_number() -> None:
    K = Kronecker(np.array([[3.0]]), square(0, 2), np.array([[-2.0]]))
    assert np.allclose(K @ np.ones(2), -6 * square(0, 2) @ np.ones(2))
    assert slogdet(K).sign == np.linalg.slogdet(K.to_dense())[0]


def test_wrong_length_states_the_product_of_sizes() -> None:
    with pytest.raises(ShapeError, match=r"N = 3 \* 4 = 12 rows, got 11"):
        Kronecker(square(0, 3), square(1, 4)) @ np.ones(11)


def test_factors_are_matrices_and_batches_belong_to_kron_matmul() -> None:
    with pytest.raises(ShapeError, match="expected 2 dimensions"):
        Kronecker(np.ones((5, 2, 2)))
    stacked = kron_matmul([np.ones((5, 2, 2)), np.ones((1, 3, 3))], np.ones((6, 1)))
    assert stacked.shape == (5, 6, 1)


def test_batches_that_do_not_broadcast_name_both_shapes() -> None:
    with pytest.raises(ShapeError, match=r"factors\[1\] has shape \(2, 3, 3\).*\(2,\).*\(5,\).*x \(shape \(6, 1\)\)"):
        kron_matmul([np.ones((5, 2, 2)), np.ones((2, 3, 3))], np.ones((6, 1)))


def test_output_in_place_of_an_input_is_refused() -> None:
    x, A = np.ones(9), square(0, 3)
    for out in (x, A.reshape(-1), x[::-1]):
        with pytest.raises(ValueError, match="shares memory"):
            kron_matmul([A, A], x, out=out)


def test_a_plan_remembers_no_numbers() -> None:
    A, B = square(0, 2), square(1, 3)
    plan = kron_plan([(2, 2), (3, 3)], float)
    kron_matmul([A, B], np.ones(6), plan=plan)
    A *= 3.0
    assert np.allclose(kron_matmul([A, B], np.ones(6), plan=plan), np.kron(A, B) @ np.ones(6))


def test_nan_is_never_skipped() -> None:
    x = np.ones(6)
    x[0] = np.nan
    assert np.isnan(Kronecker(np.zeros((2, 2)), np.zeros((3, 3))) @ x).all()


def test_result_never_aliases_its_input() -> None:
    x = np.ones(6)
    for K in (Kronecker(Identity(2), Identity(3)), Kronecker(np.eye(1), np.eye(6)), Identity(6)):
        y = K @ x
        assert not np.shares_memory(x, y)


def test_factors_are_read_only_inside() -> None:
    A = square(0, 2)
    K = Kronecker(A, np.eye(2))
    with pytest.raises(ValueError, match="read-only"):
        K.factors[0].matrix[0, 0] = 7.0
    A[0, 0] = 7.0  # the caller may: the operator looks at the same numbers and caches nothing of them
    assert np.allclose(K.to_dense(), np.kron(A, np.eye(2)))


def test_mixed_backends_name_both() -> None:
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        Kronecker(np.eye(2), torch.eye(2))
    with pytest.raises(BackendMismatchError, match="torch arrays and x is a numpy"):
        Kronecker(torch.eye(2), torch.eye(2)) @ np.ones(4)
    with pytest.raises(BackendMismatchError):
        Kronecker(np.eye(2)) + Kronecker(torch.eye(2))


def test_object_and_masked_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="masked"):
        Kronecker(np.ma.masked_array(np.eye(2), mask=np.eye(2)))
    with pytest.raises(TypeError, match="dtype object"):
        Kronecker(np.array([[1, None], [2, 3]], dtype=object))
