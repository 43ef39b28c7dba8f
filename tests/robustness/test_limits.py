"""Memory that fits and predictions may take, sizes that are refused, and random small problems."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from structkit import SizeError, StructKitError
from structkit.dictionary import OrthogonalDictionary
from structkit.gp import GridGP, Matern, SquaredExponential
from structkit.kron import Kronecker, kron, kron_matmul, kron_solve, ttmc_sparse, tucker_at
from structkit.pde import PDE, D, Dirichlet, GPSolver, chebyshev_solve
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL
from structkit.statespace import kalman_filter, matern_sde, rts_smoother
from structkit.tucker import FunctionalCP, FunctionalTucker

MB = 2**20


def peak(call):
    """Result of a call and the most memory that was allocated during it, in bytes; compiled code is warm."""
    call()
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- memory -------------------------------------------------------------------------------------------------------


def test_kronecker_products_take_two_vectors():
    factors = [np.eye(64)] * 3
    x = np.ones(64**3)
    _, used = peak(lambda: kron_matmul(factors, x))
    assert used < 2.5 * x.nbytes
    _, used = peak(lambda: kron_solve(factors, x, noise_var=0.1, assume="sym"))
    assert used < 6 * x.nbytes


def test_incomplete_grids_take_a_few_grids():
    rng = np.random.default_rng(0)
    t, s = np.linspace(0, 1, 120), np.linspace(0, 1, 100)
    y = np.sin(9 * t)[:, None] * np.cos(7 * s) + 0.1 * rng.standard_normal((120, 100))
    y[rng.random(y.shape) < 0.5] = np.nan
    model = GridGP([SquaredExponential(0.2), SquaredExponential(0.2)], noise_var=0.01, learn_kernels=False)
    _, used = peak(lambda: model.set_params(random_state=0).fit([t, s], y).predict())
    # axis matrices and, for the evidence, some tens of random vectors; one matrix of observed cells would be 280 MB
    assert used < 60 * MB


def test_functional_tensors_never_form_the_tensor():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2000, (3000, 3)) / 2000
    y = np.sin(6 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(3000)
    model = FunctionalCP(1, n_starts=1, max_iter=3, mean="constant", random_state=0)
    with pytest.warns(UserWarning, match="stopped after max_iter"):
        _, used = peak(lambda: model.fit(X, y))
    assert used < 30 * MB  # the tensor would have 64 GB, a covariance of one mode 18 MB


def test_streams_take_constant_memory():
    rng = np.random.default_rng(0)
    D = np.linalg.qr(rng.standard_normal((16, 16)))[0]

    def batches(n):
        for _ in range(n):
            codes = rng.standard_normal((256, 16)) * (rng.random((256, 16)) < 0.1)
            yield codes @ D.T

    used = [
        peak(lambda n=n: OrthogonalDictionary(random_state=0, warmup=512).fit_stream(batches(n)))[1] for n in (20, 80)
    ]
    assert used[1] < 1.2 * used[0]


def test_sparse_recovery_never_forms_the_coefficients():
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((10, 400)) for _ in range(3)]
    y = np.einsum("i,j,k->ijk", *(A[:, 7] for A in factors)) + 0.1 * rng.standard_normal((10, 10, 10))
    model, used = peak(lambda: KroneckerSBL().fit(factors, y))
    assert [s.tolist() for s in model.support_] == [[7], [7], [7]]
    assert used < 8 * MB  # the coefficients would take 512 MB


def test_smoothing_is_linear_in_the_number_of_times():
    sde = matern_sde(1.5, 0.3)

    def smooth(n):
        return rts_smoother(kalman_filter(sde, np.arange(float(n)), np.ones(n), noise_var=0.1))

    used = [peak(lambda n=n: smooth(n))[1] for n in (1000, 4000)]
    assert used[1] < 5 * used[0]


def test_equations_in_space_take_a_few_grids():
    wave = [1.0, 20.0, 7.0]

    def u(x, y, z):
        return np.sin(wave[0] * x) * np.sin(wave[1] * y) * np.cos(wave[2] * z)

    laplace = D(0, 2) + D(1, 2) + D(2, 2)
    size = -sum(w**2 for w in wave)
    problem = PDE(laplace, domain=[(0, 1)] * 3, source=lambda *x: size * u(*x), conditions=Dirichlet(u))
    model, used = peak(lambda: GPSolver(n_points=64, lengthscale=0.35).fit(problem))
    assert model.residual_ < 1e-8
    assert used < 20 * 8 * 64**3  # a sparse matrix of second differences has seven entries a point


HUGE = {
    "equation": lambda: GPSolver(n_points=20_000, lengthscale=0.35).fit(_space()),
    "polynomials": lambda: chebyshev_solve(_space(), 10**7),
    "kron": lambda: kron(*[np.eye(1000)] * 4),
    "dense": lambda: Kronecker(*[np.eye(1000)] * 4).to_dense(),
    "tucker": lambda: ttmc_sparse(np.zeros((1, 9), int), np.ones(1), [np.ones((2, 200))] * 9, 0),
    "coefficients": lambda: _sparse_huge().coef_,
    "axis": lambda: GridGP([Matern()], learn_kernels=False, noise_var=1.0).fit([np.arange(2e6)], np.ones(2_000_000)),
    "classic": lambda: SBL().fit([np.ones((1000, 1000))] * 4, np.ones(10)),
}


def _space():
    return PDE(D(0, 2) + D(1, 2) + D(2, 2), domain=[(0, 1)] * 3, source=1.0, conditions=Dirichlet(0.0))


def _sparse_huge():
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((4, 2000)) for _ in range(4)]
    return KroneckerOMP(n_nonzero=1).fit(factors, np.einsum("i,j,k,l->ijkl", *(A[:, 3] for A in factors)))


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_fit_is_refused_before_it_is_allocated(name):
    tracemalloc.start()
    try:
        with pytest.raises(SizeError, match="GiB"):
            HUGE[name]()
        assert tracemalloc.get_traced_memory()[1] < 200 * MB
    finally:
        tracemalloc.stop()


# ---- random small problems ----------------------------------------------------------------------------------------

SMALL = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
NUMBERS = st.one_of(st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(allow_nan=False, allow_infinity=False))
CELLS = st.one_of(NUMBERS, st.just(float("nan")), st.just(0.0), st.just(1e-12))


def answers_or_refuses(fit, answers):
    """Either a finite answer, or an error of the documented kinds; never one from deep inside, never NaN."""
    try:
        model = fit()
    except StructKitError:
        event("refused")
        return
    except ValueError as err:
        if isinstance(err, np.linalg.LinAlgError):
            raise
        event("refused")
        return
    event("answered")
    for part in answers(model):
        assert np.isfinite(part).all()


@SMALL
@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=CELLS))
@example(np.array([[1.5e-153, 0.0]]))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_grid(y):
    axes = [np.arange(float(n)) for n in y.shape]
    model = GridGP([SquaredExponential(1.0), Matern(1.5)], max_learning_iter=5, random_state=0)
    answers_or_refuses(lambda: model.fit(axes, y), lambda m: m.predict(return_std=True))


@SMALL
@given(
    arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=NUMBERS),
    st.lists(CELLS, min_size=12, max_size=12),
)
@example(np.array([[1.5e308], [0.0]]), [0.0] * 12)
@example(np.array([[0.0], [0.0]]), [1e200, 1.0] + [0.0] * 10)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_entries(X, values):
    y = np.array(values[: len(X)])
    for kind in (FunctionalCP, FunctionalTucker):
        model = kind(1, n_starts=1, max_iter=5, random_state=0)
        answers_or_refuses(lambda model=model: model.fit(X, y), lambda m: m.predict(X, return_std=True))


@SMALL
@given(
    arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=NUMBERS),
    st.lists(NUMBERS, min_size=6, max_size=6),
)
@example(np.array([[1.0], [0.0], [0.0]]), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
@example(np.array([[1.2e-154]]), [2.0] + [0.0] * 5)
@example(np.array([[1.0]]), [4.5e-246] + [0.0] * 5)
@example(np.array([[1.2e308], [1.0]]), [1.0] * 6)
@example(np.array([[1.0], [0.0], [0.0]]), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_dictionary(A, values):
    y = np.array(values[: len(A)])
    answers_or_refuses(lambda: KroneckerSBL().fit([A], y), lambda m: [m.coef_, m.predict([A])])
    answers_or_refuses(lambda: SBL(max_iter=20).fit(A, y), lambda m: [m.coef_, m.predict(A)])
    answers_or_refuses(lambda: OMP(n_nonzero=1).fit(A, y), lambda m: [m.coef_, m.predict(A)])
    for model in (SeparableSBL(), KroneckerOMP(n_nonzero=1)):
        answers_or_refuses(lambda model=model: model.fit([A], y), lambda m: [m.coef_, m.predict([A])])


@SMALL
@given(arrays(float, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=NUMBERS))
@example(np.array([[2e-120]]))
@example(np.full((1, 3), 5.4e-71))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_samples(X):
    model = OrthogonalDictionary(random_state=0)
    answers_or_refuses(lambda: model.fit(X), lambda m: [m.components_, m.transform(X)])


@SMALL
@given(
    st.tuples(NUMBERS, NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS), st.floats(1e-6, 1e6), st.tuples(NUMBERS, NUMBERS)
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_any_equation(coefficients, ends, length, source):
    def solve():
        operator = coefficients[0] * D(0, 2) + coefficients[1] * D(0) + coefficients[2] * D(0, 0)
        sides = [Dirichlet(v, side=s) for v, s in zip(ends, ("lower", "upper"), strict=True)]
        domain = [(source[1], source[1] + length)]
        return GPSolver(lengthscale=0.35).fit(PDE(operator, domain=domain, source=source[0], conditions=sides))

    answers_or_refuses(solve, lambda m: [m.predict([np.linspace(*m.domain_[0], 5)])])


@SMALL
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.lists(NUMBERS, min_size=6, max_size=6),
    st.one_of(st.just("learn"), st.floats(1e-12, 1e12)),
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_any_sensors(places, values, noise_var):
    problem = PDE(D(0, 2), domain=[(0, 1)], source=1.0)
    observations = (np.array(places)[:, None], np.array(values[: len(places)]), noise_var)
    model = GPSolver(max_iter=3, lengthscale=0.5)
    answers_or_refuses(
        lambda: model.fit(problem, observations), lambda m: m.predict([np.linspace(0, 1, 5)], return_std=True)
    )


@SMALL
@given(
    arrays(np.int64, st.tuples(st.integers(0, 5), st.just(2)), elements=st.integers(-2, 4)),
    arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)),
)
def test_any_index(index, core):
    matrices = [np.ones((3, r)) for r in core.shape]
    good = index.size == 0 or (index.min() >= 0 and index.max() < 3)
    if not good:
        with pytest.raises(IndexError, match="valid"):
            tucker_at(index, core, matrices)
        return
    np.testing.assert_allclose(tucker_at(index, core, matrices), np.full(len(index), core.sum()), rtol=1e-9, atol=1e-3)
