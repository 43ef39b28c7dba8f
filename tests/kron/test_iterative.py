"""Conjugate gradients and the stochastic log-determinant."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import BackendMismatchError, ConvergenceWarning, NotPositiveDefiniteError, ShapeError
from structkit._core.results import STATUS
from structkit.kron import (
    CGState,
    Dense,
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    Masked,
    cg,
    inverse,
    kronecker_preconditioner,
    solve,
    stochastic_logdet,
)
from tests.kron.market import normal, spd


def system(n: int = 30, dtype: object = np.float64) -> np.ndarray:
    return spd(0, n, dtype) + np.eye(n, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(30,), (30, 3), (2, 30, 3), (30, 0), (0, 30, 2)])
def test_solves_any_dtype_and_shape(dtype: object, shape: tuple[int, ...]) -> None:
    A, b = system(dtype=dtype), normal(1, *shape, dtype=dtype)
    tol = 1e-5 if np.finfo(dtype).eps > 1e-10 else 1e-11
    result = cg(A, b, tol=tol)
    assert result.converged
    assert result.residual <= tol
    assert result.value.shape == b.shape
    assert result.value.dtype == dtype
    assert np.allclose(
        result.value, np.linalg.solve(A, b if b.ndim > 1 else b[:, None]).reshape(shape), rtol=0, atol=100 * tol
    )


@pytest.mark.parametrize(
    "wrap",
    [lambda A: A, Dense, sp.csr_array, lambda A: lambda x: A @ x],
    ids=["array", "operator", "sparse", "callable"],
)
def test_accepts_operators_matrices_and_callables(wrap: object) -> None:
    A, b = system(), normal(1, 30)
    assert np.allclose(cg(wrap(A), b).value, np.linalg.solve(A, b), rtol=1e-9)


def test_complex_callable_on_a_real_right_hand_side() -> None:
    A, b = system(dtype=np.complex128), normal(1, 30)
    assert np.allclose(cg(lambda x: A @ x, b).value, np.linalg.solve(A, b), rtol=1e-9)


def test_torch_in_torch_out() -> None:
    A, b = torch.from_numpy(system(dtype=np.complex128)), torch.from_numpy(normal(1, 30, 2, dtype=np.complex128))
    result = cg(A, b)
    assert isinstance(result.value, torch.Tensor)
    assert torch.allclose(A @ result.value, b, rtol=0, atol=1e-8)
    with pytest.raises(BackendMismatchError):
        cg(A, b.numpy())


def test_columns_converge_separately() -> None:
    A = np.diag(np.r_[np.ones(20), np.linspace(1, 100, 20)])
    b = np.zeros((40, 3))
    b[0, 0] = 1.0  # an eigenvector: one iteration
    b[20:, 1] = 1.0
    seen = []

    def count(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape[1])
        return A @ x

    result = cg(count, b)
    assert result.converged
    assert seen[0] == 2  # the zero column never starts
    assert seen[1] == 1  # the eigenvector is frozen after one step
    assert np.allclose(A @ result.value, b, atol=1e-9)
    assert (result.value[:, 2] == 0).all()


def test_starting_point_and_exact_start() -> None:
    A, x = system(), normal(1, 30)
    assert cg(A, A @ x, x0=x).n_iter == 0
    assert cg(A, A @ x, x0=x + 1e-6).n_iter < cg(A, A @ x).n_iter
    with pytest.raises(ShapeError, match="x0 has shape"):
        cg(A, A @ x, x0=np.ones(3))


def test_inputs_are_not_changed() -> None:
    A, b, x0 = system(), normal(1, 30, 2), normal(2, 30, 2)
    copies = b.copy(), x0.copy()
    cg(A, b, x0=x0)
    assert (b == copies[0]).all()
    assert (x0 == copies[1]).all()


def test_stops_on_max_iter_with_causes_and_remedies() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter is small"):
        result = cg(system(), normal(1, 30), max_iter=2)
    assert (result.status, result.n_iter) == ("max_iter", 2)
    assert result.message == STATUS["max_iter"]


def test_residual_is_the_true_one() -> None:
    A, b = system(), normal(1, 30, 2)
    with pytest.warns(ConvergenceWarning):
        result = cg(A, b, max_iter=3)
    want = (np.linalg.norm(b - A @ result.value, axis=0) / np.linalg.norm(b, axis=0)).max()
    assert result.residual == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize(
    ("A", "status"),
    [(-system(), "breakdown"), (np.diag([1.0] * 29 + [-5.0]), "breakdown"), (system() * np.nan, "not_finite")],
)
def test_breakdown_is_detected(A: np.ndarray, status: str) -> None:
    with pytest.warns(ConvergenceWarning):
        assert cg(A, np.ones(30)).status == status


def test_stagnation_below_what_the_dtype_can_reach() -> None:
    with pytest.warns(ConvergenceWarning, match="below what the dtype can reach"):
        result = cg(system(dtype=np.float32), normal(1, 30, dtype=np.float32), tol=1e-12)
    assert result.status == "stagnation"
    assert result.residual < 1e-6


def test_callback_sees_the_state_and_can_stop() -> None:
    states: list[CGState] = []

    def stop(state: CGState) -> bool:
        states.append(state)
        return state.n_iter == 3

    result = cg(system(), normal(1, 30), callback=stop)
    assert result.status == "callback"
    assert [s.n_iter for s in states] == [1, 2, 3]
    assert states[-1].residual == pytest.approx(result.residual, rel=1e-6)


def test_preconditioner_cuts_the_iterations() -> None:
    A = system() * np.geomspace(1, 1e3, 30)[:, None] * np.geomspace(1, 1e3, 30)
    b = normal(1, 30)
    plain = cg(A, b, tol=1e-9)
    scaled = cg(A, b, tol=1e-9, preconditioner=np.diag(1 / np.diag(A)))
    assert scaled.n_iter < plain.n_iter / 2
    assert cg(A, b, preconditioner=inverse(A)).n_iter <= 2


def test_kronecker_preconditioner_is_exact_for_a_product_diagonal() -> None:
    d = np.kron([1.0, 10.0], [0.1, 1.0, 5.0])
    op = KroneckerPlusDiagonal([spd(0, 2), spd(1, 3)], d)
    assert cg(op, normal(0, 6), preconditioner=kronecker_preconditioner(op)).n_iter <= 2


def test_kronecker_preconditioner_helps_with_missing_cells() -> None:
    t = np.linspace(0, 1, 20)
    K = Kronecker(*[np.exp(-np.abs(t[:, None] - t) / 0.5)] * 2)
    mask = np.random.default_rng(0).random(400) < 0.9
    op = Masked(K, mask) + 1e-2 * Identity(int(mask.sum()))
    b = normal(1, int(mask.sum()))
    plain = cg(op, b, tol=1e-8)
    with_full_grid = cg(op, b, tol=1e-8, preconditioner=kronecker_preconditioner(op))
    assert with_full_grid.n_iter < plain.n_iter
    dense = K.to_dense()[np.ix_(mask, mask)] + 1e-2 * np.eye(int(mask.sum()))
    assert np.allclose(with_full_grid.value, np.linalg.solve(dense, b), rtol=0, atol=1e-5)


def test_no_kronecker_preconditioner_for_other_operators() -> None:
    with pytest.raises(TypeError, match="Masked or KroneckerPlusDiagonal"):
        kronecker_preconditioner(Dense(np.eye(2)))


def test_arbitrary_diagonal_warns_when_it_stops_early() -> None:
    op = KroneckerPlusDiagonal(
        [spd(0, 6), spd(1, 6)], np.geomspace(1e-4, 1e4, 36)[np.random.default_rng(0).permutation(36)]
    )
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        solve(op, np.ones(36), max_iter=2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: cg(np.eye(3), np.ones(4)), r"\(4, 4\)"),
        (lambda: cg(np.eye(3), np.float64(1)), "scalar"),
        (lambda: cg(np.eye(3), np.ones(3), tol=0), "positive"),
        (lambda: cg(np.eye(3), np.ones(3), preconditioner=np.eye(2)), "preconditioner has shape"),
    ],
)
def test_bad_input(call: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 99))
def test_solution_of_any_positive_system(n: int, k: int, seed: int) -> None:
    A, x = spd(seed, n), normal(seed, n, k)
    assert np.allclose(cg(A, A @ x, tol=1e-12).value, x, rtol=0, atol=1e-9)


# ---- stochastic log-determinant -------------------------------------------------------------------------
def test_logdet_within_its_standard_error() -> None:
    K = Kronecker(spd(0, 8), spd(1, 9)) + 0.1 * Identity(72)
    want = np.linalg.slogdet(K.to_dense())[1]
    result = stochastic_logdet(K, n_probes=64, random_state=0)
    assert result.converged
    assert abs(result.value - want) < 4 * result.standard_error
    assert result.quadrature_error < 0.01 * result.standard_error
    assert result.samples.shape == (64,)


def test_same_seed_same_estimate() -> None:
    A = system()
    assert stochastic_logdet(A, random_state=1).value == stochastic_logdet(A, random_state=1).value
    assert stochastic_logdet(A, random_state=1).value != stochastic_logdet(A, random_state=2).value


def test_given_probes_and_full_recursion_are_exact_quadratic_forms() -> None:
    A = system(6)
    w, V = np.linalg.eigh(A)
    Z = np.sign(normal(0, 6, 4))
    want = np.einsum("np,n->p", (V.T @ Z) ** 2, np.log(w))
    result = stochastic_logdet(A, probes=Z, tol=1e-14)
    assert np.allclose(result.samples, want, rtol=1e-10)
    assert stochastic_logdet(A, probes=np.sqrt(6) * np.eye(6)[:, :1], tol=1e-12).n_steps <= 6


def test_exact_preconditioner_leaves_no_variance() -> None:
    K = Kronecker(spd(0, 4), spd(1, 5)) + 0.1 * Identity(20)
    want = np.linalg.slogdet(K.to_dense())[1]
    result = stochastic_logdet(K, n_probes=4, random_state=0, preconditioner=inverse(K))
    assert result.value == pytest.approx(want, rel=1e-11)
    assert result.standard_error < 1e-9


def test_near_preconditioner_cuts_the_variance() -> None:
    op = KroneckerPlusDiagonal([spd(0, 8), spd(1, 9)], np.exp(normal(2, 72)))
    want = np.linalg.slogdet(op.to_dense())[1]
    plain = stochastic_logdet(op, random_state=0)
    better = stochastic_logdet(op, random_state=0, preconditioner=kronecker_preconditioner(op))
    assert better.standard_error < plain.standard_error
    assert abs(better.value - want) < 5 * better.standard_error


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_logdet_other_dtypes(dtype: object) -> None:
    A = system(12, dtype)
    result = stochastic_logdet(A, n_probes=200, random_state=0)
    assert abs(result.value - np.linalg.slogdet(A)[1]) < 4 * result.standard_error


def test_logdet_torch_matches_numpy() -> None:
    A = system(10)
    got = stochastic_logdet(torch.from_numpy(A), random_state=0)
    assert got.value == pytest.approx(stochastic_logdet(A, random_state=0).value, rel=1e-12)


def test_identity_and_empty() -> None:
    assert stochastic_logdet(np.eye(5), random_state=0).value == pytest.approx(0.0, abs=1e-14)
    assert stochastic_logdet(np.zeros((0, 0))).value == 0.0


def test_indefinite_is_refused() -> None:
    with pytest.raises(NotPositiveDefiniteError, match="eigenvalue"):
        stochastic_logdet(np.diag([1.0, -1.0, 2.0]), random_state=0)


def test_unsettled_quadrature_warns() -> None:
    with pytest.warns(ConvergenceWarning, match="Lanczos"):
        result = stochastic_logdet(np.diag(np.geomspace(1e-8, 1, 200)), random_state=0, max_iter=4)
    assert not result.converged


def test_bad_probes() -> None:
    with pytest.raises(ShapeError, match="probes has shape"):
        stochastic_logdet(np.eye(3), probes=np.ones((2, 1)))
    with pytest.raises(ValueError, match="n_probes"):
        stochastic_logdet(np.eye(3), n_probes=0)
    with pytest.raises(ShapeError, match="square"):
        stochastic_logdet(np.ones((2, 3)))
