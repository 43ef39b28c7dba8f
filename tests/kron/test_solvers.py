"""Solves, determinants and decompositions of Kronecker products against dense linear algebra."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit._core.errors import (
    BackendMismatchError,
    IndexRangeError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    NotTriangularError,
    ShapeError,
    SingularFactorError,
)
from structkit.kron import (
    kron,
    kron_cholesky,
    kron_diag,
    kron_eigh,
    kron_rows,
    kron_slogdet,
    kron_solve,
    kron_svd,
    kron_trace,
)

ASSUME = ["general", "sym", "pos", "lower", "upper"]
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SIZES = [(4,), (3, 5), (2, 3, 4), (1, 3, 1, 2)]


def random(rng, shape, dtype=np.float64):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def factor(rng, n, dtype, assume):
    """A well-conditioned factor of the kind that `assume` names."""
    a = random(rng, (n, n), dtype) / math.sqrt(4 * n)
    eye = np.eye(n, dtype=dtype)
    if assume == "sym":
        return (a + a.conj().T) / 2 + np.diag(np.resize([1.5, -1.5], n)).astype(dtype)
    if assume == "pos":
        return a @ a.conj().T + eye
    return {"general": lambda x: x, "lower": np.tril, "upper": np.triu}[assume](a) + eye


def dense_solve(M, b):
    return np.linalg.solve(M, b[:, None])[:, 0] if b.ndim == 1 else np.linalg.solve(M, b)


@pytest.mark.parametrize("noise_var", [0.0, 0.7])
@pytest.mark.parametrize("assume", ASSUME)
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_dense(dtype, assume, noise_var):
    rng = np.random.default_rng(0)
    for sizes in SIZES:
        mats = [factor(rng, n, dtype, assume) for n in sizes]
        N = math.prod(sizes)
        M = kron(*mats).astype(np.result_type(dtype, np.float64)) + noise_var * np.eye(N)
        tol = 50 * np.finfo(dtype).eps * np.linalg.cond(M)
        for shape in [(N,), (N, 1), (N, 3), (2, N, 3), (N, 0)]:
            b = random(rng, shape, dtype)
            x = kron_solve(mats, b, noise_var=noise_var, assume=assume)
            assert x.shape == shape
            assert x.dtype == dtype
            np.testing.assert_allclose(x, dense_solve(M, b), rtol=tol, atol=tol * max(1.0, np.abs(x).max(initial=0)))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.floats(0, 10))
@settings(max_examples=25, deadline=None)
def test_solve_inverts_the_product(seed, sizes, noise_var):
    rng = np.random.default_rng(seed)
    for assume in ASSUME:
        mats = [factor(rng, n, np.float64, assume) for n in sizes]
        M = kron(*mats) + noise_var * np.eye(math.prod(sizes))
        if np.linalg.cond(M) < 1e6:
            x = rng.normal(size=len(M))
            np.testing.assert_allclose(kron_solve(mats, M @ x, noise_var=noise_var, assume=assume), x, atol=1e-7)


def test_residual_on_a_grid_of_squared_exponentials():
    x = np.linspace(0, 1, 60)
    K = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.1**2)
    y = np.random.default_rng(1).normal(size=3600)
    solution = kron_solve([K, K], y, noise_var=1e-2, assume="pos")
    residual = (K @ solution.reshape(60, 60) @ K).ravel() + 1e-2 * solution - y
    assert np.linalg.norm(residual) <= 1e-10 * np.linalg.norm(y)


def test_unsymmetric_with_noise_and_repeated_or_defective_eigenvalues():
    jordan = np.array([[2.0, 1.0], [0.0, 2.0]])
    rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    for mats in ([jordan, rotation], [rotation, jordan, jordan]):
        M = kron(*mats) + 0.3 * np.eye(2 ** len(mats))
        b = np.arange(1.0, 1 + len(M))
        np.testing.assert_allclose(kron_solve(mats, b, noise_var=0.3), np.linalg.solve(M, b), rtol=1e-12)


def test_input_is_not_modified_and_layout_is_free():
    rng = np.random.default_rng(2)
    mats = [np.asfortranarray(factor(rng, n, np.float64, "general")) for n in (3, 4)]
    b = np.asfortranarray(rng.normal(size=(24, 5)))[::2]
    before = b.copy(), [a.copy() for a in mats]
    expected = np.linalg.solve(kron(*mats), b)
    np.testing.assert_allclose(kron_solve(mats, b), expected, rtol=1e-10)
    np.testing.assert_array_equal(b, before[0])
    for a, old in zip(mats, before[1], strict=True):
        np.testing.assert_array_equal(a, old)


@pytest.mark.parametrize("noise_var", [0.0, 0.5])
def test_batch_of_factors(noise_var):
    rng = np.random.default_rng(3)
    A = np.stack([factor(rng, 2, np.float64, "pos") for _ in range(3)])
    B = factor(rng, 4, np.float64, "pos")
    b = rng.normal(size=(8, 2))
    x = kron_solve([A, B], b, noise_var=noise_var, assume="pos")
    assert x.shape == (3, 8, 2)
    for i in range(3):
        np.testing.assert_allclose(x[i], np.linalg.solve(kron(A[i], B) + noise_var * np.eye(8), b), rtol=1e-10)
    assert kron_solve([A, B], b[:, 0], noise_var=noise_var).shape == (3, 8)


def test_zero_sizes():
    assert kron_solve([np.eye(0), np.eye(3)], np.ones(0)).shape == (0,)
    assert kron_solve([np.eye(2), np.eye(3)], np.ones((6, 0)), noise_var=1.0, assume="pos").shape == (6, 0)


@pytest.mark.parametrize("assume", ASSUME)
def test_singular_factor_is_named_with_its_condition(assume):
    singular = np.diag([1.0, 1e-18, 2.0])
    with pytest.raises(SingularFactorError, match=r"factors\[1\] of shape \(3, 3\).*reciprocal condition number is"):
        kron_solve([np.eye(2), singular], np.ones(6), assume=assume)
    if assume != "pos":
        with pytest.raises(SingularFactorError, match=r"factors\[0\].*is 0"):
            kron_solve([np.zeros((2, 2)), np.eye(3)], np.ones(6), assume=assume)
    nearly = np.diag([1.0, 1e-10])
    np.testing.assert_allclose(kron_solve([nearly, np.eye(1)], np.ones(2), assume=assume), [1.0, 1e10])
    with pytest.raises(SingularFactorError):
        kron_solve([nearly.astype(np.float32)], np.ones(2, np.float32), assume=assume)


def test_assumptions_are_checked():
    A = np.array([[2.0, 1.0], [0.0, 2.0]])
    for assume in ("sym", "pos"):
        with pytest.raises(NotSymmetricError, match=r"factors\[1\].*not symmetric"):
            kron_solve([np.eye(2), A], np.ones(4), assume=assume)
    with pytest.raises(NotTriangularError, match=r"factors\[0\].*not lower triangular"):
        kron_solve([A, np.eye(2)], np.ones(4), assume="lower")
    with pytest.raises(NotTriangularError, match=r"factors\[0\].*not upper triangular"):
        kron_solve([A.T, np.eye(2)], np.ones(4), assume="upper")
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[1\].*not positive definite"):
        kron_solve([np.eye(2), np.diag([1.0, -1.0])], np.ones(4), assume="pos")
    with pytest.raises(ValueError, match="assume must be one of"):
        kron_solve([A], np.ones(2), assume="spd")
    with pytest.raises(NotSymmetricError):
        kron_eigh([np.array([[1.0, 1j], [1j, 1.0]])])


def test_negative_eigenvalues_with_noise():
    bad = np.diag([1.0, -1e-3])
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[1\].*eigenvalue -0.001"):
        kron_solve([np.eye(2), bad], np.ones(4), noise_var=1.0, assume="pos")
    np.testing.assert_allclose(kron_solve([np.eye(1), bad], np.ones(2), noise_var=1.0, assume="sym"), [0.5, 1 / 0.999])
    rounding = np.diag([1.0, -1e-17])
    np.testing.assert_allclose(kron_solve([rounding], np.ones(2), noise_var=0.5, assume="pos"), [1 / 1.5, 2.0])
    with pytest.raises(SingularFactorError, match="singular to working precision"):
        kron_solve([np.diag([2.0, -1.0])], np.ones(2), noise_var=1.0, assume="sym")
    with pytest.raises(SingularFactorError, match="singular to working precision"):
        kron_solve([np.diag([2.0, -1.0])], np.ones(2), noise_var=1.0)
    for noise_var in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="noise_var must be"):
            kron_solve([np.eye(2)], np.ones(2), noise_var=noise_var)


@pytest.mark.parametrize("scale", [1e-80, 1e80])
def test_scales_beyond_the_range_of_the_product(scale):
    mats = [scale * np.eye(2)] * 4
    np.testing.assert_allclose(
        kron_solve(mats, np.ones(16), noise_var=1.0, assume="pos")[0], 0.0 if scale > 1 else 1.0, atol=1e-300
    )


@pytest.mark.parametrize("noise_var", [0.0, 1.0])
@pytest.mark.parametrize("assume", ["general", "pos"])
def test_nan_in_a_factor_raises_and_nan_in_b_passes_through(assume, noise_var):
    with pytest.raises(ValueError, match=r"factors\[0\].*contains NaN"):
        kron_solve([np.diag([1.0, np.nan])], np.ones(2), noise_var=noise_var, assume=assume)
    b = np.ones((4, 2))
    b[1, 0] = np.nan
    x = kron_solve([np.eye(2), np.eye(2)], b, noise_var=noise_var, assume=assume)
    assert np.isfinite(x[:, 1]).all()
    assert np.isnan(x[:, 0]).any()


def test_shape_errors():
    with pytest.raises(ShapeError, match=r"factors\[0\] has shape \(2, 3\).*every factor square"):
        kron_solve([np.ones((2, 3)), np.ones((3, 2))], np.ones(6))
    with pytest.raises(ShapeError, match=r"expected N = 2 \* 3 = 6 rows, got 5"):
        kron_solve([np.eye(2), np.eye(3)], np.ones(5))
    with pytest.raises(ShapeError, match="empty"):
        kron_solve([], np.ones(1))
    with pytest.raises(ShapeError, match="square"):
        kron_slogdet([np.ones((2, 3)), np.ones((3, 2))])


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("kind", ["triangular", "orthogonal"])
def test_logdet_is_exact_at_any_scale(scale, kind):
    rng = np.random.default_rng(4)
    sizes = (20, 30, 10)
    N = math.prod(sizes)
    mats, truth = [], []
    for n in sizes:
        d = rng.uniform(1, 2, size=n) * scale
        a = np.triu(rng.normal(size=(n, n)) * scale / n, 1) + np.diag(d)
        if kind == "orthogonal":
            # Rotating a dyadic permutation keeps the determinant exact while nothing is triangular or symmetric.
            order = rng.permutation(n)
            a, d = a[order][:, order], d
        mats.append(a)
        truth.append(N // n * math.fsum(np.log(d)))
    sign, logabsdet = kron_slogdet(mats)
    assert sign == 1
    assert abs(logabsdet - math.fsum(truth)) <= 1e-13 * len(sizes) * abs(math.fsum(truth))


def test_sign_of_odd_and_even_powers():
    odd, even = np.diag([1.0, -1.0, 1.0]), np.diag([1.0, -1.0])
    for mats in ([odd, even], [odd, odd], [even, even], [-np.eye(3)], [odd, np.eye(1)]):
        sign, logabsdet = kron_slogdet(mats)
        expected = np.linalg.slogdet(kron(*mats))
        assert sign == expected[0]
        assert logabsdet == pytest.approx(expected[1], abs=1e-14)
    rng = np.random.default_rng(5)
    for sizes in SIZES:
        mats = [random(rng, (n, n), np.complex128) for n in sizes]
        expected = np.linalg.slogdet(kron(*mats))
        result = kron_slogdet(mats)
        np.testing.assert_allclose(result.sign, expected[0], atol=1e-12)
        np.testing.assert_allclose(result.logabsdet, expected[1], rtol=1e-12)


def test_slogdet_of_singular_empty_single_precision_and_huge_products():
    assert kron_slogdet([np.zeros((2, 2)), np.eye(3)]) == (0.0, -math.inf)
    assert kron_slogdet([np.eye(0), np.zeros((2, 2))]) == (1.0, 0.0)
    assert kron_slogdet([2 * np.eye(3, dtype=np.float32)]).logabsdet == pytest.approx(3 * math.log(2), rel=1e-15)
    many = [2 * np.eye(1024)] * 7
    assert kron_slogdet(many).logabsdet == pytest.approx(float(Fraction(7 * 1024**7)) * math.log(2), rel=1e-12)
    batch = np.stack([np.eye(2), 3 * np.eye(2)])
    np.testing.assert_allclose(kron_slogdet([batch, np.eye(2)]).logabsdet, [0, 4 * math.log(3)])


def test_decompositions_rebuild_the_product():
    rng = np.random.default_rng(6)
    for dtype in (np.float64, np.complex128):
        mats = [factor(rng, n, dtype, "pos") for n in (3, 2, 4)]
        K = kron(*mats)
        w, V = kron_eigh(mats)
        np.testing.assert_allclose(kron(*V) * np.kron(np.kron(*w[:2]), w[2]) @ kron(*V).conj().T, K, atol=1e-12)
        L = kron(*kron_cholesky(mats))
        np.testing.assert_allclose(L @ L.conj().T, K, atol=1e-12)
        np.testing.assert_allclose(np.triu(L, 1), 0, atol=0)
        rectangular = [random(rng, s, dtype) for s in [(2, 3), (4, 2)]]
        U, S, Vh = kron_svd(rectangular)
        np.testing.assert_allclose(kron(*U) * np.kron(*S) @ kron(*Vh), kron(*rectangular), atol=1e-12)
        np.testing.assert_allclose(kron_diag(mats), np.diag(K), rtol=1e-12)
        np.testing.assert_allclose(kron_trace(mats), np.trace(K), rtol=1e-12)
        index = np.array([[0, 0], [1, 3], [1, 0]])
        np.testing.assert_allclose(kron_rows(rectangular, index), kron(*rectangular)[index @ [4, 1]], rtol=1e-13)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[1\]"):
        kron_cholesky([np.eye(2), -np.eye(2)])
    with pytest.raises(IndexRangeError, match=r"index\[0, 1\] is 2"):
        kron_rows([np.eye(2), np.eye(2)], [[0, 2]])
    assert kron_diag([np.eye(2)]).flags.writeable


@pytest.mark.parametrize("noise_var", [0.0, 0.4])
@pytest.mark.parametrize("assume", ASSUME)
def test_torch(assume, noise_var):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    mats = [factor(rng, n, np.float64, assume) for n in (2, 3)]
    b = rng.normal(size=(6, 2))
    tensors = [torch.tensor(a) for a in mats]
    if noise_var and assume not in ("sym", "pos"):
        with pytest.raises(ValueError, match="Schur"):
            kron_solve(tensors, torch.tensor(b), noise_var=noise_var, assume=assume)
        return
    expected = np.linalg.solve(kron(*mats) + noise_var * np.eye(6), b)
    np.testing.assert_allclose(
        kron_solve(tensors, torch.tensor(b), noise_var=noise_var, assume=assume), expected, rtol=1e-12
    )
    np.testing.assert_allclose(
        kron_solve(tensors, torch.tensor(b[:, 0]), noise_var=noise_var, assume=assume), expected[:, 0], rtol=1e-12
    )
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        kron_solve(mats, torch.tensor(b), assume=assume)
    if noise_var == 0:
        tensors[1] = tensors[1] * 0
        with pytest.raises((SingularFactorError, NotPositiveDefiniteError), match=r"factors\[1\]"):
            kron_solve(tensors, torch.tensor(b), assume=assume)


@pytest.mark.parametrize("noise_var", [None, 0.5])
def test_torch_gradients_at_repeated_eigenvalues(noise_var):
    torch = pytest.importorskip("torch")

    def solve(b, s2, *roots):
        mats = [a @ a.mT + torch.eye(len(a), dtype=torch.float64) for a in roots]
        return kron_solve(mats, b, noise_var=0.0 if noise_var is None else s2, assume="sym")

    # Roots equal to the identity make every eigenvalue repeated.
    roots = [torch.eye(n, dtype=torch.float64).requires_grad_() for n in (2, 3)]
    b = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    s2 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    if noise_var is None:
        assert torch.autograd.gradcheck(lambda b, *r: solve(b, s2, *r), (b, *roots))
    else:
        assert torch.autograd.gradcheck(solve, (b, s2, *roots))
        assert torch.autograd.gradgradcheck(solve, (b, s2, *roots))


def test_torch_slogdet_and_decompositions():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    mats = [factor(rng, n, np.float64, "pos") for n in (2, 3)]
    tensors = [torch.tensor(a, requires_grad=True) for a in mats]
    sign, logabsdet = kron_slogdet(tensors)
    np.testing.assert_allclose([float(sign.detach()), logabsdet.item()], np.linalg.slogdet(kron(*mats)), rtol=1e-13)
    assert torch.autograd.gradcheck(lambda *a: kron_slogdet(a).logabsdet, tensors)
    assert torch.autograd.gradcheck(lambda *a: (kron_trace(a), kron_diag(a), kron_rows(a, [[1, 2]])), tensors)
    L = kron(*kron_cholesky(tensors)).detach()
    np.testing.assert_allclose(L @ L.mT, kron(*mats), atol=1e-12)
    with pytest.raises(NotPositiveDefiniteError, match=r"factors\[0\]"):
        kron_cholesky([-torch.eye(2)])
