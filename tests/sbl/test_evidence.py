"""Evidence, gradients and posterior against the dense formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import NotFiniteError, ShapeError, SizeError
from structkit.sbl import sbl_evidence, sbl_posterior
from tests.sbl.dense import DenseSBL, random

EPS = np.finfo(float).eps

# Rows and columns of the factors: one to four modes; tall, wide, square; axes with one element.
SHAPES = {
    "one mode": ((5,), (9,)),
    "one tall mode": ((7,), (3,)),
    "two modes": ((4, 6), (7, 5)),
    "three modes": ((3, 4, 5), (4, 3, 5)),
    "three modes with ones": ((1, 4, 3), (3, 1, 1)),
    "four modes": ((2, 3, 2, 3), (3, 2, 4, 2)),
}


def case(shapes, is_complex, snapshots, noise_var=0.3, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = shapes
    factors = [random(rng, s, is_complex) for s in zip(rows, columns, strict=True)]
    gammas = [rng.uniform(0.2, 2.0, n) for n in columns]
    y = random(rng, rows + (() if snapshots is None else (snapshots,)), is_complex)
    return factors, gammas, y, noise_var


@pytest.mark.parametrize("snapshots", [None, 1, 3])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_everything_equals_the_dense_formulas(shapes, is_complex, snapshots):
    given_ = case(shapes, is_complex, snapshots)
    dense = DenseSBL(*given_)
    found = sbl_evidence(*given_, grad=True)
    tol = 100 * EPS * dense.condition
    assert found.value == pytest.approx(dense.evidence(), rel=tol)
    gammas, noise = dense.gradient()
    for a, b in zip(found.grad.gammas, gammas, strict=True):
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol * np.abs(b).max())
    assert found.grad.noise_var == pytest.approx(noise, rel=tol)
    mean, variance = sbl_posterior(*given_)
    wanted_mean, wanted_variance = dense.posterior()
    np.testing.assert_allclose(mean.reshape(wanted_mean.shape), wanted_mean, atol=tol * np.abs(wanted_mean).max())
    np.testing.assert_allclose(variance, wanted_variance, rtol=tol)
    assert mean.shape == (*shapes[1], *(() if snapshots is None else (snapshots,)))


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("noise_var", [1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_noise_over_twelve_decades(noise_var, is_complex):
    given_ = case(((3, 4, 5), (4, 3, 5)), is_complex, 2, noise_var)
    dense = DenseSBL(*given_)
    found = sbl_evidence(*given_, grad=True)
    # The dense matrix itself is only known to its rounding: its inverse is off by eps times its condition.
    tol = max(1e-12, 10 * EPS * dense.condition)
    assert tol < 1e-3
    assert found.value == pytest.approx(dense.evidence(), rel=tol)
    for a, b in zip(found.grad.gammas, dense.gradient()[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol * np.abs(b).max())


def mp_kron(mpmath, a, b):
    """Kronecker product without rounding."""
    rows, columns = a.rows * b.rows, a.cols * b.cols
    return mpmath.matrix(
        [[a[r // b.rows, c // b.cols] * b[r % b.rows, c % b.cols] for c in range(columns)] for r in range(rows)]
    )


def mp_case(noise_var):
    """Evidence, its gradient and the posterior of a tall two-mode model in 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    factors, gammas, y, _ = case(((4, 3), (2, 3)), False, None, noise_var)
    As = [mpmath.matrix(a.tolist()) for a in factors]
    G = mp_kron(mpmath, *(mpmath.diag([mpmath.mpf(x) for x in g]) for g in gammas))
    A, v = mp_kron(mpmath, *As), mpmath.matrix(y.reshape(-1).tolist())
    C = A * G * A.T + mpmath.mpf(noise_var) * mpmath.eye(12)
    inverse = mpmath.inverse(C)
    w = inverse * v
    value = -((v.T * w)[0] + mpmath.log(mpmath.det(C)) + 12 * mpmath.log(2 * mpmath.pi)) / 2
    gradient = []
    for i, g in enumerate(gammas):
        for j in range(len(g)):
            parts = [a * mpmath.diag([mpmath.mpf(x) for x in h]) * a.T for a, h in zip(As, gammas, strict=True)]
            parts[i] = As[i][:, j] * As[i][:, j].T
            K = mp_kron(mpmath, *parts)
            trace = mpmath.fsum((inverse * K)[a, a] for a in range(12))
            gradient.append(float(-(trace - (w.T * K * w)[0]) / 2))
    mean, covariance = G * A.T * w, G - G * A.T * inverse * A * G
    variance = [float(covariance[j, j]) for j in range(6)]
    return (factors, gammas, y, noise_var), float(value), gradient, [float(m) for m in mean], variance


@pytest.mark.parametrize("noise_var", [1e-10, 1e-4, 1e2])
def test_against_sixty_digits(noise_var):
    """Nine digits at any noise, where dense double precision has lost them."""
    given_, value, gradient, mean, variance = mp_case(noise_var)
    found = sbl_evidence(*given_, grad=True)
    assert found.value == pytest.approx(value, rel=1e-9)
    both = np.concatenate(found.grad.gammas)
    np.testing.assert_allclose(both, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())
    ours = sbl_posterior(*given_)
    np.testing.assert_allclose(ours.mean.reshape(-1), mean, rtol=1e-9)
    np.testing.assert_allclose(ours.variance.reshape(-1), variance, rtol=1e-9)


def test_gradients_equal_finite_differences_at_zero_variances_too():
    factors, gammas, y, noise = case(((3, 4), (5, 3)), True, 2)
    gammas[0][[1, 3]] = 0.0
    found = sbl_evidence(factors, gammas, y, noise, grad=True).grad
    step = 1e-6
    for i, g in enumerate(gammas):
        for j in range(len(g)):
            up = [h.copy() for h in gammas]
            up[i][j] += step
            twice = [h.copy() for h in gammas]
            twice[i][j] += 2 * step
            f0, f1, f2 = (sbl_evidence(factors, h, y, noise).value for h in (gammas, up, twice))
            assert found.gammas[i][j] == pytest.approx((-3 * f0 + 4 * f1 - f2) / (2 * step), rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.permutations([0, 1, 2]), st.floats(-6, 6))
def test_invariance_to_order_of_modes_and_to_units(seed, order, exponent):
    factors, gammas, y, noise = case(((2, 3, 4), (4, 3, 2)), False, None, seed=seed)
    base = sbl_evidence(factors, gammas, y, noise, grad=True)
    swapped = sbl_evidence(
        [factors[i] for i in order], [gammas[i] for i in order], np.transpose(y, order), noise, grad=True
    )
    assert swapped.value == pytest.approx(base.value, rel=1e-11)
    for a, i in zip(swapped.grad.gammas, order, strict=True):
        np.testing.assert_allclose(a, base.grad.gammas[i], rtol=1e-9, atol=1e-10)
    c = 10.0**exponent
    scaled = sbl_evidence(factors, [gammas[0] * c**2, *gammas[1:]], c * y, c**2 * noise)
    assert scaled.value == pytest.approx(base.value - y.size * np.log(c), rel=1e-10, abs=1e-9)


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    for is_complex in (False, True):
        factors, gammas, y, noise = case(((3, 4, 5), (4, 3, 5)), is_complex, 2)
        tensors = [torch.tensor(a) for a in factors], [torch.tensor(g) for g in gammas], torch.tensor(y), noise
        found, wanted = sbl_evidence(*tensors, grad=True), sbl_evidence(factors, gammas, y, noise, grad=True)
        assert found.value == pytest.approx(wanted.value, rel=1e-12)
        for a, b in zip(found.grad.gammas, wanted.grad.gammas, strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-10)
        for a, b in zip(sbl_posterior(*tensors), sbl_posterior(factors, gammas, y, noise), strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-12)


A, B = np.ones((2, 3)), np.eye(3)[:, :2] + 1.0
BAD = {
    "one vector too few": ([A, B], [np.ones(3)], np.ones(6), 1.0, ShapeError, "1 vectors .* for 2 factors"),
    "wrong length": ([A, B], [np.ones(3), np.ones(3)], np.ones(6), 1.0, ShapeError, r"gammas\[1\] has shape \(3,\)"),
    "negative": ([A, B], [-np.ones(3), np.ones(2)], np.ones(6), 1.0, ValueError, r"gammas\[0\] holds a negative"),
    "no noise": ([A, B], [np.ones(3), np.ones(2)], np.ones(6), 0.0, ValueError, "noise_var=0.0; expected"),
    "wrong data": ([A, B], [np.ones(3), np.ones(2)], np.ones(7), 1.0, ShapeError, r"y has shape \(7,\)"),
    "nan": ([A, B], [np.ones(3), np.ones(2)], np.full(6, np.nan), 1.0, NotFiniteError, "y holds NaN"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_input(bad):
    *arguments, error, message = bad
    with pytest.raises(error, match=message):
        sbl_evidence(*arguments)


def test_all_coefficients_of_a_huge_problem_are_refused():
    A = np.ones((1, 20000))
    with pytest.raises(SizeError, match="posterior of all coefficients"):
        sbl_posterior([A, A, A], [np.ones(20000)] * 3, np.ones(1), 1.0)
