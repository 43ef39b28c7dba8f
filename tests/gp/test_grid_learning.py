"""Learning on a grid: the optimum of the evidence, whatever the units, within the user's constraints and priors."""

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

from structkit import ConvergenceWarning
from structkit.gp import FreeCovariance, GPyTorchKernel, GridGP, Kernel, Matern, Periodic, SquaredExponential, White
from structkit.gp.grid_amplitude import prior_level, with_prior_variance
from structkit.gp.kernels import Constant, Product
from tests.gp.grid_oracle import DenseGP, draw, hide

RNG = np.random.default_rng(20)
X = np.sort(RNG.uniform(0.0, 3.0, 14))
T = np.linspace(-1.0, 1.0, 11)
TRUE = [Matern(1.5, 0.7, 1.3), SquaredExponential(0.6, 0.8)]
COMPLETE = draw(TRUE, [X, T], 0.05, RNG, mean=1.0)[1]
HOLES = hide(COMPLETE, 0.4, RNG)
START = (Matern(1.5), SquaredExponential())


def direct_optimum(y, starts):
    """Best evidence found by plain numerical optimisation of the dense density."""

    def negative(v):
        kernels = [Matern(1.5, math.exp(v[0]), math.exp(v[1])), SquaredExponential(math.exp(v[2]))]
        try:
            return -DenseGP(kernels, [X, T], y, math.exp(v[3]), v[4]).evidence()
        except np.linalg.LinAlgError:
            return 1e10

    runs = [minimize(negative, v, method="L-BFGS-B", options={"ftol": 1e-14}) for v in starts]
    return -min(r.fun for r in runs)


@pytest.mark.parametrize("y", [COMPLETE, HOLES], ids=["eigen", "dense"])
def test_learning_finds_the_optimum(y):
    model = GridGP(START).fit([X, T], y)
    at = [math.log(0.7), math.log(1.3), math.log(0.6), math.log(0.05), 1.0]
    best = direct_optimum(y, [at, np.zeros(5)])
    assert model.converged_
    assert model.log_evidence_ == pytest.approx(best, rel=1e-6)
    assert model.log_evidence_ >= DenseGP(TRUE, [X, T], y, 0.05, 1.0).evidence()
    oracle = DenseGP(model.kernels_, [X, T], y, model.noise_var_, model.mean_)
    assert model.log_evidence_ == pytest.approx(oracle.evidence(), rel=1e-10)
    assert model.history_[-1]["log_evidence"] == pytest.approx(model.log_evidence_, rel=1e-10)
    assert {"stage", "log_evidence", "noise_var"} <= set(model.history_[0])


def test_the_iterative_optimum_is_close_to_the_exact_one():
    exact = GridGP(START).fit([X, T], HOLES)
    model = GridGP(START, method="iterative", random_state=0, n_probes=64).fit([X, T], HOLES)
    # Statistical: the estimated optimum loses about as much evidence as its standard error.
    found = DenseGP(model.kernels_, [X, T], HOLES, model.noise_var_, model.mean_).evidence()
    assert exact.log_evidence_ - 1.0 < found <= exact.log_evidence_ + 1e-6


def test_noise_and_mean_per_level_are_learned():
    rng = np.random.default_rng(3)
    levels, means = np.array([0.01, 0.3, 0.03, 0.5]), np.array([1.0, -2.0, 4.0, 0.0])
    x = np.linspace(0.0, 10.0, 150)
    y = draw([Matern(1.5, 0.7, 1.0), Matern(0.5, 1.0)], [x, np.arange(4.0)], levels, rng)[1] + means
    for method, share in (("eigen", 0.0), ("dense", 0.3), ("iterative", 0.3)):
        data = hide(y, share, rng) if share else y
        model = GridGP([Matern(1.5), Matern(0.5)], noise_axis=1, mean="per-level", mean_axis=1, method=method)
        model.set_params(random_state=0, n_probes=8).fit([x, np.arange(4.0)], data)
        # Statistical: 105 to 150 values each, so a variance has a relative error of about 0.14.
        np.testing.assert_allclose(model.noise_var_, levels, rtol=0.5)
        np.testing.assert_allclose(model.mean_, means, atol=0.8)
        assert model.converged_


@pytest.mark.parametrize("kernels", [START, (Matern(1.5), FreeCovariance(rank=2))], ids=["kernels", "free"])
def test_a_noise_variance_that_wants_to_vanish_does_no_harm(kernels):
    # A handful of cells per level: the likelihood of a level's noise may have no maximum.
    y = HOLES.copy()
    y[:, 3], y[5] = np.nan, np.nan
    coords = [X, None if isinstance(kernels[1], FreeCovariance) else T]
    model = GridGP(kernels, noise_axis=1, method="iterative", random_state=0, n_probes=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(coords, y)
    found = DenseGP(model.kernels_, coords, y, model.noise_var_, model.mean_).evidence()
    single = GridGP(kernels, random_state=0).fit(coords, y)
    assert found > single.log_evidence_ - 20.0  # four probes: an estimate of the optimum, no more
    assert np.all((model.noise_var_ > 1e-8) & (model.noise_var_ < 10.0))


def test_what_is_given_stays():
    model = GridGP(TRUE, noise_var=0.07, mean=0.5, learn_kernels=False).fit([X, T], HOLES)
    assert model.kernels_ == tuple(TRUE)
    assert (model.noise_var_, model.mean_, model.history_) == (0.07, 0.5, [])
    kept = GridGP(TRUE, learn_kernels=False).fit([X, T], HOLES)
    assert kept.kernels_ == tuple(TRUE)
    assert kept.noise_var_ != 0.05
    given = GridGP(START, noise_var=0.07).fit([X, T], HOLES)
    assert given.noise_var_ == 0.07
    assert given.kernels_[0].lengthscale != 1.0


def test_noise_given_per_level_leaves_the_rest_to_gradients():
    noise = np.full(11, 0.05)
    models = [
        GridGP(START, noise_var=n, noise_axis=a, method="iterative", random_state=0, n_probes=64).fit([X, T], HOLES)
        for n, a in ((noise, 1), (0.05, None))
    ]
    for a, b in zip(models[0].kernels_, models[1].kernels_, strict=True):
        np.testing.assert_allclose(a.theta, b.theta, atol=0.1)


# ---- units ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [COMPLETE, HOLES], ids=["eigen", "dense"])
@pytest.mark.parametrize("kernels", [START, (FreeCovariance(shrinkage=2.0), SquaredExponential())], ids=["k", "free"])
def test_results_do_not_depend_on_units(kernels, y):
    def fit(unit, shift, length):
        coords = [None if isinstance(kernels[0], FreeCovariance) else length * X, length * T]
        model = GridGP(kernels, random_state=0, method="auto").fit(coords, unit * y + shift)
        mean, std = model.predict(return_std=True)
        evidence = model.log_evidence_ + math.log(unit) * np.isfinite(y).sum()
        return (mean - shift) / unit, std / unit, evidence

    reference = fit(1.0, 0.0, 1.0)
    units = [(1e-6, 0.0, 1.0), (1e6, 0.0, 1.0), (1.0, 1e6, 1.0), (1.0, 0.0, 1e-6), (1.0, 0.0, 1e6)]
    if isinstance(kernels[0], FreeCovariance):
        units = units[1:3]  # the starting lengthscale decides how far expectation maximisation goes
    for unit, shift, length in units:
        for ours, theirs in zip(fit(unit, shift, length), reference, strict=True):
            # Learning stops where the evidence is flat; where exactly depends on rounding.
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_large_offset_in_single_precision_costs_no_more_than_its_rounding():
    shift = 1e6
    y = (COMPLETE + shift).astype(np.float32)
    model = GridGP(TRUE, noise_var=0.05, learn_kernels=False).fit([X, T], y)
    exact = GridGP(TRUE, noise_var=0.05, learn_kernels=False).fit([X, T], y.astype(float))
    assert model.predict().dtype == np.float32
    np.testing.assert_allclose(model.predict(), exact.predict(), atol=0.0625)  # one unit in the last place
    assert model.mean_ == pytest.approx(exact.mean_, abs=1e-3)
    assert model.log_evidence_ == pytest.approx(exact.log_evidence_, rel=1e-3)


@pytest.mark.parametrize("method", ["eigen", "dense", "iterative"])
@pytest.mark.parametrize("noise", [1e-2, 1e-5])
def test_single_precision_agrees_with_double(method, noise):
    rng = np.random.default_rng(5)
    y = draw(TRUE, [X, T], noise, rng)[1]
    y = (y if method == "eigen" else hide(y, 0.4, rng)).astype(np.float32)
    runs = []
    for data in (y, y.astype(float)):
        model = GridGP(TRUE, noise_var=noise, mean="zero", learn_kernels=False, method=method, random_state=0)
        runs.append(model.set_params(max_iter=3000, n_probes=2, n_samples=2, tol=1e-4).fit([X, T], data))
    single, double = (m.predict() for m in runs)
    assert single.dtype == np.float32
    std = double if method == "iterative" else runs[1].predict(return_std=True)[1]
    np.testing.assert_allclose(single, double, atol=2e-3 * np.abs(std).max())
    if method != "iterative":
        np.testing.assert_allclose(runs[0].predict(return_std=True)[1], std, rtol=1e-4)
        assert runs[0].log_evidence_ == pytest.approx(runs[1].log_evidence_, rel=1e-5)


def test_single_precision_is_enough_where_noise_is_far_below_the_signal():
    rng = np.random.default_rng(0)
    kernels = [Matern(0.5, 0.7, 1.3), SquaredExponential(0.6, 0.8), Matern(2.5, 0.5)]
    coords = [rng.uniform(0.0, 3.0, 6), np.linspace(-1.0, 1.0, 5), np.linspace(0.0, 2.0, 5)]
    y = hide(draw(kernels, coords, 1e-6, rng)[1], 0.5, rng).astype(np.float32)
    oracle = DenseGP(kernels, coords, y, 1e-6)
    model = GridGP(kernels, noise_var=1e-6, mean="zero", learn_kernels=False, random_state=0)
    dense = model.fit(coords, y).predict()
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(dense, oracle.mean(), atol=2 * eps * np.abs(oracle.mean()).max())
    model.set_params(method="iterative", n_probes=2, max_iter=5000).fit(coords, y)
    # `tol` bounds the error of the coefficients; single precision alone would be off by a hundred times as much.
    error = (model.predict() - oracle.mean()) / oracle.std()
    assert math.sqrt(np.mean(error**2)) < 10 * model.tol


def test_noise_far_above_the_signal():
    y = draw(TRUE, [X, T], 1e6, np.random.default_rng(5))[1]
    model = GridGP(TRUE, noise_var=1e6, mean="zero", learn_kernels=False).fit([X, T], y)
    oracle = DenseGP(TRUE, [X, T], y, 1e6)
    np.testing.assert_allclose(model.predict(), oracle.mean(), atol=1e-6 * np.abs(oracle.mean()).max())
    np.testing.assert_allclose(model.predict(return_std=True)[1], oracle.std(), rtol=1e-6)


def test_a_kernel_that_is_not_smooth_where_the_data_repeat():
    kernels = [Periodic(1.0, 0.9) + White(0.1), Matern(0.5)]
    y = draw(kernels, [X, T], 0.05, np.random.default_rng(5))[1]
    oracle = DenseGP(kernels, [X, T], y, 0.05)
    model = GridGP(kernels, noise_var=0.05, mean="zero", learn_kernels=False).fit([X, T], y)
    new = [np.array([0.25, X[3]]), T[:2]]
    for at in (None, new):
        np.testing.assert_allclose(model.predict(at), oracle.mean(at), atol=1e-9)
        np.testing.assert_allclose(model.predict(at, return_std=True)[1], oracle.std(at), rtol=1e-7)


# ---- amplitudes, bounds, constraints, priors ------------------------------------------------------------------------


def test_learning_starts_at_the_variance_of_the_data_where_the_user_left_it_open():
    coords = [X, T]
    fixed = Matern(1.5, 0.7, 1.3).fix("variance")
    bounded = SquaredExponential().with_bounds(variance=(0.5, 2.0))
    for kernels in ([Matern(1.5), SquaredExponential()], [fixed, SquaredExponential()], [fixed, fixed + Matern(0.5)]):
        started = with_prior_variance(kernels, coords, 9.0)
        open_ = kernels[1] != fixed + Matern(0.5)
        level = prior_level(started, coords)
        assert level == pytest.approx(9.0 if open_ else prior_level(kernels, coords))
        assert not open_ or started[0] in (fixed, Matern(1.5, variance=9.0))
    assert with_prior_variance([fixed, bounded], coords, 9.0) == [fixed, bounded]
    mixed = [FreeCovariance(), Matern(0.5)]
    assert prior_level(mixed, [None, T]) == 1.0


def test_fixed_and_bounded_hyperparameters_hold():
    kernels = [Matern(1.5, 2.0, 0.25).fix("variance"), SquaredExponential().with_bounds(lengthscale=(1.5, 4.0))]
    model = GridGP(kernels).fit([X, T], COMPLETE)
    assert model.kernels_[0].variance == 0.25
    assert 1.5 <= model.kernels_[1].lengthscale <= 4.0
    assert model.kernels_[1].lengthscale == pytest.approx(1.5)  # the data want less
    free = GridGP([FreeCovariance(), Matern(1.5, 0.5, 4.0).fix()], random_state=0).fit([None, T], COMPLETE)
    assert free.kernels_[1] == Matern(1.5, 0.5, 4.0).fix()


gpytorch = pytest.importorskip("gpytorch")


def scaled(base, **options):
    return gpytorch.kernels.ScaleKernel(base, **options)


def rbf(**options):
    return gpytorch.kernels.RBFKernel(**options)


def matern(**options):
    return gpytorch.kernels.MaternKernel(nu=1.5, **options)


@pytest.mark.parametrize("y", [COMPLETE, HOLES], ids=["eigen", "dense"])
@pytest.mark.parametrize("learn", [False, True])
def test_gpytorch_kernels_are_the_same_kernels(learn, y):
    first, second = scaled(matern()).double(), rbf().double()
    first.outputscale, first.base_kernel.lengthscale, second.lengthscale = 1.04, 0.7, 0.6
    ours = [Matern(1.5, 0.7, 1.04), SquaredExponential(0.6).fix("variance")]
    options = {} if learn else {"noise_var": 0.05, "mean": 1.0, "learn_kernels": False}
    theirs, mine = (GridGP(k, **options).fit([X, T], y) for k in ([first, second], ours))
    # gpytorch's distances carry the square root of rounding, 1e-8; learned values come from two ways up a flat optimum.
    assert theirs.log_evidence_ == pytest.approx(mine.log_evidence_, rel=1e-6 if learn else 1e-7)
    for a, b in zip(theirs.predict(return_std=True), mine.predict(return_std=True), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 if learn else 1e-6)
    kernel = theirs.kernels_[0]
    assert isinstance(kernel, GPyTorchKernel)
    assert kernel.module.outputscale.item() == pytest.approx(mine.kernels_[0].variance, rel=1e-2)
    assert first.outputscale.item() == pytest.approx(1.04, rel=1e-6)  # the user's module is not touched


def test_constraints_of_gpytorch_hold():
    interval = gpytorch.constraints.Interval
    y = 10.0 * COMPLETE
    first = scaled(
        matern(lengthscale_constraint=interval(1.5, 2.5)), outputscale_constraint=interval(1.0, 2.0, initial_value=1.1)
    )
    second = scaled(rbf(lengthscale_constraint=gpytorch.constraints.GreaterThan(0.9)))
    second.outputscale = 3.0
    second.raw_outputscale.requires_grad_(False)
    model = GridGP([first, second]).fit([X, T], y)
    a, b = (k.module for k in model.kernels_)
    assert 1.5 <= a.base_kernel.lengthscale.item() <= 2.5
    assert 1.0 <= a.outputscale.item() <= 2.0
    assert b.base_kernel.lengthscale.item() >= np.float32(0.9)  # gpytorch holds limits in single precision
    assert b.outputscale.item() == pytest.approx(3.0, rel=1e-6)


def test_priors_of_gpytorch_count():
    def kernels(prior):
        k = scaled(rbf(lengthscale_prior=prior))
        k.base_kernel.lengthscale = 0.6
        return [Matern(1.5, 0.7).fix("variance"), k]

    plain, strong = (
        GridGP(kernels(prior)).fit([X, T], COMPLETE)
        for prior in (None, gpytorch.priors.LogNormalPrior(math.log(2.0), 0.01))
    )
    pulled = strong.kernels_[1].module.base_kernel.lengthscale.item()
    assert plain.kernels_[1].module.base_kernel.lengthscale.item() < 1.0
    assert pulled == pytest.approx(2.0, rel=0.1)
    # The evidence that is reported leaves the prior out.
    oracle = DenseGP(strong.kernels_, [X, T], COMPLETE, strong.noise_var_, strong.mean_)
    assert strong.log_evidence_ == pytest.approx(oracle.evidence(), rel=1e-9)


def test_gpytorch_kernels_without_an_amplitude_get_one():
    model = GridGP([matern(), rbf()]).fit([X, T], 10.0 * COMPLETE)
    kernel = model.kernels_[0]
    assert isinstance(kernel, Product)
    assert isinstance(kernel.kernels[0], Constant)
    mine = GridGP([Matern(1.5), SquaredExponential().fix("variance")]).fit([X, T], 10.0 * COMPLETE)
    assert model.log_evidence_ == pytest.approx(mine.log_evidence_, rel=1e-6)


def test_gpytorch_kernels_start_from_the_coordinates_too():
    mine = GridGP(START).fit([100.0 * X, 100.0 * T], COMPLETE)
    theirs = GridGP([scaled(matern()), rbf()]).fit([100.0 * X, 100.0 * T], COMPLETE)
    assert theirs.log_evidence_ == pytest.approx(mine.log_evidence_, rel=1e-5)
    kernel = GPyTorchKernel(scaled(rbf(lengthscale_constraint=gpytorch.constraints.Interval(0.1, 3.0)))).initialize(
        np.linspace(0.0, 500.0, 11)
    )
    assert isinstance(kernel, Kernel)
    assert kernel.module.base_kernel.lengthscale.item() == pytest.approx(3.0, rel=2e-3)


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_too_few_learning_steps_warn():
    with pytest.warns(ConvergenceWarning, match="max_learning_iter=2 steps"):
        model = GridGP(START, max_learning_iter=2).fit([X, T], COMPLETE)
    assert not model.converged_
    assert model.predict().shape == COMPLETE.shape


def test_too_few_solver_steps_warn_and_say_how_far_the_mean_is():
    model = GridGP(TRUE, noise_var=1e-4, learn_kernels=False, mean="zero", method="iterative", max_iter=8)
    with pytest.warns(ConvergenceWarning, match=r"posterior mean has an estimated error .* after 8 iterations"):
        model.set_params(random_state=0, n_probes=2).fit([X, T], HOLES)
    assert not model.converged_
    assert model.n_iter_ == 8
    assert model.solver_error_ > model.tol
    with pytest.warns(ConvergenceWarning, match="Posterior draws have an estimated error"):
        model.predict(return_std=True)
    with pytest.warns(ConvergenceWarning, match="Posterior draws have an estimated error"):
        model.sample(1, random_state=0)


def test_the_error_of_the_mean_is_what_tol_promises():
    rng = np.random.default_rng(7)
    for noise, share in ((1e-1, 0.9), (1e-3, 0.5), (1e-4, 0.9)):
        y = hide(draw(TRUE, [X, T], noise, rng)[1], share, rng)
        exact = GridGP(TRUE, noise_var=noise, learn_kernels=False, mean="zero").fit([X, T], y)
        model = GridGP(TRUE, noise_var=noise, learn_kernels=False, mean="zero", method="iterative", random_state=0)
        model.set_params(tol=1e-3, max_iter=5000, n_probes=2).fit([X, T], y)
        error = model.predict() - exact.predict()
        std = exact.predict(return_std=True)[1]
        # An estimate, so within a small factor; the norm of the coefficients and that of the cells differ by another.
        assert math.sqrt(np.mean((error / std) ** 2)) < 10 * 1e-3


def test_large_grids_learn_on_a_sub_grid_first():
    rng = np.random.default_rng(8)
    coords = [np.linspace(0.0, 12.0, 60), np.linspace(0.0, 10.0, 50)]
    y = hide(draw(TRUE, coords, 0.05, rng)[1], 0.3, rng)
    model = GridGP(START, subgrid=700, random_state=0, n_probes=8).fit(coords, y)
    stages = [r["stage"] for r in model.history_]
    assert "sub-grid" in stages[0]
    assert "sub-grid" not in stages[-1]
    # Statistical: about a hundred independent patches.
    assert model.kernels_[0].lengthscale == pytest.approx(0.7, rel=0.4)
    assert model.noise_var_ == pytest.approx(0.05, rel=0.2)
