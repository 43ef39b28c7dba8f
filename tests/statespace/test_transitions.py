"""Models and their transitions against high-precision arithmetic, closed forms and finite differences."""

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import NotFiniteError, NotPositiveDefiniteError, ShapeError
from structkit.statespace import (
    LinearSDE,
    constant_sde,
    discretize,
    matern_sde,
    parameter_gradient,
    periodic_sde,
    quasi_periodic_sde,
    white_sde,
)
from tests.statespace.oracle import CASES

EPS = np.finfo(float).eps
FINITE = [name for name in CASES if np.isfinite(CASES[name][0].F).all()]
DRIFT = {0.5: [[-1]], 1.5: [[0, 1], [-1, -2]], 2.5: [[0, 1, 0], [0, 0, 1], [-1, -3, -3]]}


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("power", range(-7, 8))
def test_matern_transitions_against_high_precision(nu, power):
    """Steps from 1e-7 to 1e7 length-scales: A to eps, Q to a few eps of the scale of each entry."""
    sde = matern_sde(nu, lengthscale=3.0, variance=0.7)
    step = discretize(sde, [3.0 * 10.0**power])
    with mp.workdps(80):
        tau = mp.sqrt(mp.mpf(2 * nu)) * mp.mpf(3.0 * 10.0**power) / 3
        decay, s = mp.exp(-tau), len(DRIFT[nu])
        nilpotent = mp.matrix(DRIFT[nu]) + mp.eye(s)
        a = decay * (mp.eye(s) + nilpotent * tau + nilpotent * nilpotent * tau**2 / 2)
        prior = mp.matrix([[round(x * 3 / 0.7) / mp.mpf(3) for x in row] for row in sde.Pinf.tolist()])
        q = 0.7 * np.array((prior - a * prior * a.T).tolist(), dtype=float)
        a = np.array(a.tolist(), dtype=float)
    scale = np.sqrt(np.outer(np.diag(q), np.diag(q)))
    assert np.abs(step.A[0] - a).max() <= 8 * EPS
    assert (np.abs(step.Q[0] - q) / scale).max() <= 100 * EPS


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_short_steps_follow_the_leading_power(nu):
    """Q[0, 0] of order tau^(2 nu): where the difference P - A P A^T is all rounding."""
    tau = 1e-6
    q = discretize(matern_sde(nu, np.sqrt(2 * nu)), [tau]).Q[0, 0, 0]
    leading = {0.5: 2 * tau, 1.5: 4 * tau**3 / 3, 2.5: 16 / 3 * tau**5 / 20}[nu]
    assert q == pytest.approx(leading, rel=3e-6)


@pytest.mark.parametrize("name", CASES)
def test_prior_covariance_function(name):
    """H A(d) Pinf H^T is the kernel, and the stationary covariance stays itself."""
    sde, kappa = CASES[name]
    d = np.concatenate([[0.0], np.geomspace(1e-7, 1e3, 30)])
    step = discretize(sde, d)
    assert np.allclose(np.einsum("k,tkl,lm,m->t", sde.H, step.A, sde.Pinf, sde.H), kappa(d), rtol=0, atol=1e-12)
    after = step.A @ sde.Pinf @ step.A.transpose(0, 2, 1) + step.Q
    assert np.abs(after - sde.Pinf).max() <= 200 * EPS
    assert np.linalg.eigvalsh(step.Q).min() >= -50 * EPS
    assert np.array_equal(step.A[0], np.eye(sde.n_states))
    assert not step.Q[0].any()


@pytest.mark.parametrize("name", FINITE)
def test_models_by_their_matrices_have_the_same_transitions(name):
    sde = CASES[name][0]
    general = LinearSDE(sde.F, sde.L, sde.Qc, sde.H, sde.Pinf)
    d = np.array([0.0, 1e-7, 1e-3, 0.3, 4.0, 60.0])
    one, two = discretize(sde, d), discretize(general, d)
    assert np.allclose(one.A, two.A, rtol=0, atol=1e-12)
    scale = np.sqrt(np.einsum("tkk,tll->tkl", one.Q, one.Q))
    assert (np.abs(one.Q - two.Q) <= 1e-11 * scale + 1e-300).all()
    assert general.parameters.size == 0
    assert np.array_equal((2 * general).Pinf, 2 * sde.Pinf)


def test_series_equals_matrix_fractions():
    """The exponential of the block matrix of Van Loan, at a step where it is accurate."""
    rng = np.random.default_rng(0)
    drift = rng.normal(size=(4, 4)) - 3 * np.eye(4)
    root = rng.normal(size=(4, 2))
    prior = scipy.linalg.solve_continuous_lyapunov(drift, -root @ root.T)
    step = discretize(LinearSDE(drift, root, np.eye(2), np.eye(4)[0], prior), [0.7])
    block = scipy.linalg.expm(0.7 * np.block([[drift, root @ root.T], [np.zeros((4, 4)), -drift.T]]))
    assert np.allclose(step.A[0], block[:4, :4], rtol=0, atol=1e-13)
    assert np.allclose(step.Q[0], block[:4, 4:] @ block[:4, :4].T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", [*FINITE, "white"])
def test_derivatives_against_finite_differences(name):
    sde, _ = CASES[name]
    d = np.array([0.0, 1e-4, 0.02, 0.5, 3.0])
    step, h = discretize(sde, d, grad=True), 1e-5
    for i in range(len(sde.parameters)):
        shift = np.where(np.arange(len(sde.parameters)) == i, h, 0.0)
        up, down = (sde.with_parameters(sde.parameters * np.exp(s * shift)) for s in (1, -1))
        after, before = discretize(up, d), discretize(down, d)
        assert np.allclose((after.A - before.A) / (2 * h), step.dA[i], rtol=1e-5, atol=1e-6)
        assert np.allclose((after.Q - before.Q) / (2 * h), step.dQ[i], rtol=1e-6, atol=1e-8)
        assert np.allclose((up.Pinf - down.Pinf) / (2 * h), step.dPinf[i], rtol=1e-6, atol=1e-8)


def test_parameter_gradient_is_the_contraction(rng):
    sde, d = CASES["sum"][0], rng.exponential(size=40_000)
    s, step = sde.n_states, discretize(CASES["sum"][0], d[:7], grad=True)
    grad_a, grad_q = np.zeros((2, len(d), s, s))
    grad_a[:7], grad_q[:7] = rng.normal(size=(2, 7, s, s))
    prior = rng.normal(size=(s, s))
    expected = np.einsum("ptkl,tkl->p", step.dA, grad_a[:7]) + np.einsum("ptkl,tkl->p", step.dQ, grad_q[:7])
    expected += np.einsum("pkl,kl->p", step.dPinf, prior)
    got = parameter_gradient(sde, d, grad_a, grad_q, prior)
    assert np.allclose(got, expected, rtol=1e-12)
    # the same numbers in the last block of steps
    assert np.allclose(parameter_gradient(sde, d[::-1], grad_a[::-1], grad_q[::-1], prior), expected, rtol=1e-12)


MATRICES = matern_sde(1.5, 0.7)
GENERAL = LinearSDE(MATRICES.F, MATRICES.L, MATRICES.Qc, MATRICES.H, MATRICES.Pinf)


@pytest.mark.parametrize(
    "sde",
    [
        CASES["sum"][0],
        GENERAL,
        GENERAL + matern_sde(2.5) + GENERAL,
        constant_sde() + matern_sde(0.5) * periodic_sde(period=2.0),
    ],
)
def test_parameter_gradient_reads_any_block_of_a_sum(sde, rng):
    d, s = rng.exponential(size=5), sde.n_states
    step = discretize(sde, d, grad=True)
    grad_a, grad_q = rng.normal(size=(2, 5, s, s))
    each = np.einsum("ptkl,tkl->ptkl", step.dA, grad_a), np.einsum("ptkl,tkl->ptkl", step.dQ, grad_q)
    size = sum(np.abs(x).sum(axis=(1, 2, 3)) for x in each)
    got = parameter_gradient(sde, d, grad_a, grad_q, np.zeros((s, s)))
    assert got.shape == (len(sde.parameter_names),)
    error = np.abs(got - sum(x.sum(axis=(1, 2, 3)) for x in each))
    # two sums of the same terms in different orders
    assert (error <= 2 * 10 * s * s * EPS * size).all()


def test_noises_of_a_sum_enter_their_own_states():
    sde = GENERAL + matern_sde(2.5)
    assert np.array_equal(sde.L, scipy.linalg.block_diag(GENERAL.L, matern_sde(2.5).L))
    assert sde.Qc.shape == (2, 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2), st.sampled_from(list(CASES)))
def test_two_steps_are_one(steps, name):
    """A(d1 + d2) = A(d2) A(d1), Q(d1 + d2) = A(d2) Q(d1) A(d2)^T + Q(d2)."""
    sde, (d1, d2) = CASES[name][0], steps
    step = discretize(sde, [d1, d2, d1 + d2])
    # the sum d1 + d2 itself is rounded: a phase of size w d moves by w d eps
    rounding = 1e3 * EPS * (1 + (d1 + d2) * (np.abs(sde.F[np.isfinite(sde.F)]).max(initial=0) if "er" in name else 0))
    assert np.abs(step.A[1] @ step.A[0] - step.A[2]).max() <= rounding
    q = step.A[1] @ step.Q[0] @ step.A[1].T + step.Q[1]
    assert np.abs(q - step.Q[2]).max() <= rounding * np.abs(sde.Pinf).max()


def test_dtype_and_shape_follow_the_steps():
    step = discretize(matern_sde(1.5), np.ones((3, 4), np.float32))
    assert step.A.shape == (3, 4, 2, 2)
    assert step.A.dtype == step.Q.dtype == step.Pinf.dtype == np.float32
    assert discretize(matern_sde(0.5), 1).A.shape == (1, 1)
    assert discretize(matern_sde(1.5), np.zeros(0), grad=True).dQ.shape == (2, 0, 2, 2)


def test_far_steps_do_not_overflow():
    step = discretize(matern_sde(2.5), [1e200, 1e308], grad=True)
    assert not step.A.any()
    assert np.array_equal(step.Q[1], step.Pinf)
    assert np.isfinite(step.dQ).all()


def test_algebra_of_models():
    a, b, c = constant_sde(1.0), matern_sde(0.5), matern_sde(1.5)
    total = a + b + c
    assert total.parameter_names == ("0.variance", "1.lengthscale", "1.variance", "2.lengthscale", "2.variance")
    assert (a + (b + c)).parameter_names == total.parameter_names
    assert (b * c).n_states == 2
    assert (3.0 * total).H @ (3.0 * total).Pinf @ (3.0 * total).H == pytest.approx(9.0)
    assert np.array_equal(total.with_parameters(total.parameters).Pinf, total.Pinf)
    assert not total.Pinf.flags.writeable
    assert quasi_periodic_sde(period=2.0, decay=3.0, nu=0.5, n_harmonics=2).n_states == 5


def test_series_of_the_periodic_kernel_leaves_out_what_it_says():
    sde = periodic_sde(1.0, 1.0, 1.0)
    assert 0 < 1 - sde.H @ sde.Pinf @ sde.H < 1e-7


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: matern_sde(2.0), ValueError, "nu = 2.0"),
        (lambda: matern_sde(0.5, -1.0), ValueError, "lengthscale = -1.0"),
        (lambda: matern_sde(0.5, 1.0, np.nan), ValueError, "variance = nan"),
        (lambda: periodic_sde(n_harmonics=0), ValueError, "n_harmonics = 0"),
        (lambda: constant_sde("a"), ValueError, "variance = 'a'"),
        (lambda: 0.0 * matern_sde(0.5), ValueError, "factor = 0.0"),
        (lambda: matern_sde(0.5) * white_sde(), ValueError, "white"),
        (lambda: matern_sde(0.5) + 1, TypeError, "unsupported"),
        (lambda: matern_sde(0.5) * "a", TypeError, ""),
        (lambda: matern_sde(0.5).with_parameters([1.0]), ShapeError, "expected (2,)"),
        (lambda: matern_sde(0.5).with_parameters([1.0, -1.0]), ValueError, "variance = -1.0"),
        (lambda: discretize(matern_sde(0.5), [-1.0]), ValueError, "negative entry -1.0"),
        (lambda: discretize(matern_sde(0.5), [np.nan]), NotFiniteError, "dt"),
        (lambda: discretize(matern_sde(0.5), [1j]), TypeError, "real"),
        (lambda: discretize("matern", [1.0]), TypeError, "LinearSDE"),
        (lambda: LinearSDE([[0.0]], [[1.0]], [[1.0]], [1.0], [[1.0]]), ValueError, "stationary"),
        (lambda: LinearSDE([[-1.0]], [[1.0]], [[2.0]], [1.0, 0.0], [[1.0]]), ShapeError, "F has shape (1, 1)"),
        (lambda: LinearSDE([[-1.0]], [[1.0]], [[2.0]], 1.0, [[1.0]]), ShapeError, "H has shape ()"),
        (lambda: LinearSDE([[-1.0]], [[1.0]], [[-2.0]], [1.0], [[-1.0]]), NotPositiveDefiniteError, "Qc"),
        (lambda: LinearSDE([[np.nan]], [[1.0]], [[2.0]], [1.0], [[1.0]]), NotFiniteError, "F holds"),
        (
            lambda: parameter_gradient(matern_sde(0.5), [1.0], np.ones((1, 2, 2)), np.ones((1, 1, 1)), np.ones((1, 1))),
            ShapeError,
            "grad_a",
        ),
    ],
)
def test_bad_models_and_steps(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
