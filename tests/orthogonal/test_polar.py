"""The polar factor against the singular value decomposition, in every library, shape and condition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import NotFiniteError, ShapeError, SingularFactorError
from structkit.orthogonal import polar_factor

torch = pytest.importorskip("torch")
METHODS = ("auto", "svd", "eigh", "newton-schulz")
DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def matrix(m, n, cond, dtype, seed=0, batch=()):
    """A matrix with geometric singular values from 1 to 1 / cond, and its polar factor."""
    rng = np.random.default_rng(seed)

    def columns(rows, count):
        A = rng.standard_normal((*batch, rows, count))
        if np.dtype(dtype).kind == "c":
            A = A + 1j * rng.standard_normal(A.shape)
        return np.linalg.qr(A)[0]

    k = min(m, n)
    U, V = columns(m, k), columns(n, k)
    adjoint = V.swapaxes(-1, -2).conj()
    return ((U * np.geomspace(1.0, 1.0 / cond, k)) @ adjoint).astype(dtype), U @ adjoint


def eps(dtype):
    return float(np.finfo(dtype).eps)


def is_orthonormal(U, factor=30):
    k = min(U.shape[-2:])
    gram = U.swapaxes(-1, -2).conj() @ U if U.shape[-2] >= U.shape[-1] else U @ U.swapaxes(-1, -2).conj()
    return np.abs(gram - np.eye(k)).max(initial=0) <= factor * max(k, 1) * eps(U.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 7), (33, 33), (9, 4), (4, 9), (40, 25), (5, 1), (1, 5)])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_factor(method, shape, dtype):
    M, expected = matrix(*shape, 10.0, dtype)
    U = polar_factor(M, method=method)
    assert U.dtype == dtype
    assert U.shape == M.shape
    assert is_orthonormal(U)
    # First order: the condition of the factor is 2 / (sum of the two smallest singular values), here at most 20.
    assert np.abs(U - expected).max() <= 40 * max(shape) * 10 * eps(dtype)


@pytest.mark.parametrize("method", ["auto", "svd", "newton-schulz"])
@pytest.mark.parametrize("cond", [1e3, 1e6, 1e9])
def test_ill_conditioned_matrices_lose_no_more_than_their_condition(method, cond):
    M, expected = matrix(20, 20, cond, np.float64)
    U = polar_factor(M, method=method)
    assert is_orthonormal(U)
    assert np.abs(U - expected).max() <= 20 * 20 * cond * eps(np.float64)


def test_the_gram_matrix_squares_the_condition_and_refuses_what_it_cannot_do():
    M, expected = matrix(20, 20, 1e4, np.float64)
    U = polar_factor(M, method="eigh")
    assert is_orthonormal(U)
    assert np.abs(U - expected).max() <= 20 * 1e8 * eps(np.float64)
    with pytest.raises(SingularFactorError, match=r"too ill-conditioned for method='eigh'; use method='svd'"):
        polar_factor(matrix(20, 20, 1e9, np.float64)[0], method="eigh")


@pytest.mark.parametrize("n", [3, 24])
def test_singular_matrices_have_one_of_their_nearest_factors(n):
    M = matrix(n, n, 5.0, np.float64)[0]
    M = M - M[:, :1] @ np.linalg.pinv(M[:, :1]) @ M
    for singular in (M, np.zeros((n, n)), np.ones((n, n))):
        for method in ("auto", "svd"):
            U = polar_factor(singular, method=method)
            assert is_orthonormal(U)
            nuclear = np.linalg.svd(singular, compute_uv=False).sum()
            np.testing.assert_allclose((U * singular).sum(), nuclear, rtol=1e-12, atol=1e-12)
    with pytest.raises(SingularFactorError):
        polar_factor(np.ones((n, n)), method="newton-schulz")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e150])
def test_scale_does_not_matter(method, scale):
    M, expected = matrix(6, 6, 4.0, np.float64)
    np.testing.assert_allclose(polar_factor(scale * M, method=method), expected, atol=1e-13)


@pytest.mark.parametrize("method", ["auto", "svd", "newton-schulz"])
def test_stacks_are_taken_matrix_by_matrix(method):
    M, _ = matrix(20, 18, 5.0, np.float64, batch=(2, 3))
    M[1, 2] = matrix(20, 18, 1e5, np.float64, seed=4)[0]
    U = polar_factor(M, method=method)
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(U[i], polar_factor(M[i], method="svd"), atol=1e-9)
    assert polar_factor(np.empty((0, 4, 4))).shape == (0, 4, 4)
    assert polar_factor(np.empty((2, 0, 0))).shape == (2, 0, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_agrees_with_numpy(method, dtype):
    M, _ = matrix(21, 17, 8.0, dtype)
    U = polar_factor(torch.tensor(M), method=method)
    assert isinstance(U, torch.Tensor)
    np.testing.assert_allclose(U.numpy(), polar_factor(M, method=method), atol=2e3 * eps(dtype))


@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 3), (3, 5), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_match_finite_differences(shape, dtype):
    torch.manual_seed(0)
    M = torch.randn(shape, dtype=dtype, requires_grad=True)
    assert torch.autograd.gradcheck(polar_factor, M)


def test_gradients_exist_where_singular_values_repeat():
    M = torch.diag(torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(polar_factor, M)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))
def test_properties(m, n, seed):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((m, n))
    U = polar_factor(M)
    assert is_orthonormal(U)
    nuclear = np.linalg.svd(M, compute_uv=False).sum()
    assert abs((U * M).sum() - nuclear) <= 1e-12 * max(1.0, nuclear)
    np.testing.assert_allclose(polar_factor(M.T), U.T, atol=1e-6 if m == n else 1e-9)
    np.testing.assert_allclose(polar_factor(U), U, atol=1e-12)
    Q = np.linalg.qr(rng.standard_normal((m, m)))[0]
    if np.linalg.cond(M) < 1e3:
        np.testing.assert_allclose(polar_factor(Q @ M), Q @ U, atol=1e-9)


def test_input_is_left_alone():
    M = matrix(20, 20, 3.0, np.float64)[0]
    kept = M.copy()
    M.flags.writeable = False
    for method in METHODS:
        polar_factor(M, method=method)
    np.testing.assert_array_equal(M, kept)


def test_integers_and_lists_are_numbers():
    np.testing.assert_allclose(polar_factor([[0, -3], [2, 0]]), [[0, -1], [1, 0]], atol=1e-15)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.ones(3), ShapeError, r"M has shape \(3,\); expected a matrix"),
        (np.array([[1.0, np.nan]]), NotFiniteError, "M holds NaN or infinity"),
        (np.array([["a"]]), TypeError, "M has dtype"),
    ],
)
def test_bad_input(bad, error, message):
    with pytest.raises(error, match=message):
        polar_factor(bad)


def test_unknown_methods_and_lazy_arrays_are_refused():
    with pytest.raises(ValueError, match="method='qr' is unknown; expected one of auto, svd, eigh, newton-schulz"):
        polar_factor(np.eye(2), method="qr")
    dask = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="M is a dask array"):
        polar_factor(dask.ones((2, 2)))
