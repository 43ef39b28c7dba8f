"""`GridGP` as an estimator: parameters, inputs left alone, arrays in and out, seeds, interruptions, memory."""

import tracemalloc

import numpy as np
import pytest

from structkit import ConvergenceWarning, GridGP, NotFittedError
from structkit.gp import FreeCovariance, Matern, SquaredExponential
from tests.gp.grid_oracle import draw, hide

X, T = np.linspace(0.0, 3.0, 9), np.linspace(-1.0, 1.0, 7)
KERNELS = [Matern(1.5, 0.7, 1.3), SquaredExponential(0.6, 0.8)]
COMPLETE = draw(KERNELS, [X, T], 0.05, np.random.default_rng(0), mean=1.0)[1]
HOLES = hide(COMPLETE, 0.4, np.random.default_rng(1))
METHODS = {"eigen": COMPLETE, "dense": HOLES, "iterative": HOLES}


def quick(method="auto", **options):
    settings = {"noise_var": 0.05, "learn_kernels": False, "random_state": 0, "n_probes": 4, "method": method}
    return GridGP(KERNELS, **(settings | options))


# ---- parameters -----------------------------------------------------------------------------------------------------


def test_the_constructor_stores_its_arguments_unchanged():
    kernels, noise = [Matern(1.5)], np.ones(3)
    model = GridGP(kernels, noise_var=noise, method="nonsense")
    assert model.kernels is kernels
    assert model.noise_var is noise
    assert model.get_params()["method"] == "nonsense"
    assert model.set_params(method="auto", tol=0.1) is model
    assert (model.method, model.tol) == ("auto", 0.1)
    with pytest.raises(ValueError, match=r"GridGP has no parameter 'tolerance'; expected one of kernels, noise_var"):
        model.set_params(tolerance=1.0)


def test_clones_of_scikit_learn():
    sklearn_base = pytest.importorskip("sklearn.base")
    gpytorch = pytest.importorskip("gpytorch")
    free = FreeCovariance(matrix=np.eye(9))
    for first in (KERNELS[0], free, gpytorch.kernels.RBFKernel()):
        model = GridGP([first, KERNELS[1]], noise_var=np.full(7, 0.1), noise_axis=1, tol=1e-2, max_learning_iter=200)
        coords = [None if first is free else X, T]
        fitted = sklearn_base.clone(model.fit(coords, COMPLETE))
        assert not hasattr(fitted, "kernels_")
        assert repr(fitted) == repr(model)
        np.testing.assert_array_equal(fitted.fit(coords, COMPLETE).predict(), model.predict())


def test_representation_shows_what_differs_from_the_defaults():
    assert repr(GridGP([Matern(0.5)], tol=0.1)) == ("GridGP([Matern(nu=0.5, lengthscale=1.0, variance=1.0)], tol=0.1)")


def test_fit_returns_the_model_and_sets_every_documented_attribute():
    model = quick()
    assert model.fit([X, T], HOLES) is model
    documented = [
        line.split(" : ")[0].strip()
        for line in GridGP.__doc__.split("Attributes\n")[1].split("Notes\n")[0].splitlines()
        if " : " in line
    ]
    assert len(documented) > 8
    assert all(hasattr(model, name) for name in documented)
    assert isinstance(model.converged_, bool)
    assert isinstance(model.noise_var_, float)
    assert isinstance(model.mean_, float)
    assert isinstance(model.log_evidence_, float)


@pytest.mark.parametrize(
    ("y", "method", "ran"),
    [
        (COMPLETE, "auto", "eigen"),
        (HOLES, "auto", "dense"),
        (HOLES, "iterative", "iterative"),
        (COMPLETE, "dense", "dense"),
    ],
)
def test_the_method_that_ran_is_reported(y, method, ran):
    model = quick(method).fit([X, T], y)
    assert model.method_ == ran
    assert model.variance_method_ == ("samples" if ran == "iterative" else "exact")
    assert (model.n_iter_ > 0) == (ran == "iterative")
    assert (model.log_evidence_se_ > 0) == (ran == "iterative")


def test_many_observed_cells_are_solved_iteratively():
    coords = [np.linspace(0.0, 3.0, 50), np.linspace(-1.0, 1.0, 40)]
    y = hide(draw(KERNELS, coords, 0.05, np.random.default_rng(0))[1], 0.2, np.random.default_rng(1))
    assert quick().fit(coords, y).method_ == "iterative"


# ---- arrays in and out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_not_changed_and_may_change_afterwards(method):
    x, t, y, mask = X.copy(), T.copy(), METHODS[method].copy(), np.ones(COMPLETE.shape, bool)
    noise = np.full(y.shape, 0.05)
    copies = [a.copy() for a in (x, t, y, mask, noise)]
    for a in (x, t, y, mask, noise):
        a.flags.writeable = False
    model = quick(method, noise_var=noise).fit([x, t], y, mask=mask)
    for a, b in zip((x, t, y, mask, noise), copies, strict=True):
        np.testing.assert_array_equal(a, b)
        a.flags.writeable = True
    before = model.predict([[0.1], [0.2]], return_std=True), model.predict(return_std=True, include_noise=True)
    for a in (x, t, y, noise):
        a[...] = 7.0
    after = model.predict([[0.1], [0.2]], return_std=True), model.predict(return_std=True, include_noise=True)
    np.testing.assert_equal(after, before)


@pytest.mark.parametrize("method", METHODS)
def test_layout_does_not_matter(method):
    y = METHODS[method]
    expected = quick(method).fit([X, T], y).predict(return_std=True)
    wide = np.full((18, 14), np.nan)
    wide[::2, ::2] = y
    for same in (np.asfortranarray(y), wide[::2, ::2], y[::-1, ::-1].copy()[::-1, ::-1], y.tolist()):
        for a, b in zip(quick(method).fit([X, list(T)], same).predict(return_std=True), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    backwards = quick(method).fit([X[::-1], T], y[::-1])
    np.testing.assert_allclose(backwards.predict()[::-1], expected[0], atol=1e-2 if method == "iterative" else 1e-9)


def test_order_of_coordinates_does_not_matter():
    order = np.random.default_rng(0).permutation(9)
    model = quick().fit([X[order], T], HOLES[order])
    np.testing.assert_allclose(model.predict(), quick().fit([X, T], HOLES).predict()[order], atol=1e-9)


def test_a_mask_is_the_same_as_nan():
    mask = ~np.isnan(HOLES)
    masked = quick().fit([X, T], COMPLETE, mask=mask)
    np.testing.assert_array_equal(masked.predict(), quick().fit([X, T], HOLES).predict())
    infinite = np.where(mask, COMPLETE, np.inf)
    np.testing.assert_array_equal(quick().fit([X, T], infinite, mask=mask).predict(), masked.predict())
    both = quick().fit([X, T], np.where(X[:, None] > 2, np.nan, COMPLETE), mask=mask)
    np.testing.assert_array_equal(both._data.weights > 0, mask & (X[:, None] <= 2))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, ">f4"])
def test_dtypes(method, dtype):
    y = np.round(10 * COMPLETE).astype(dtype)
    mask = ~np.isnan(METHODS[method])
    out = np.float32 if np.dtype(dtype).itemsize == 4 else np.float64
    model = quick(method).fit([X.astype(np.float32), T], y, mask=mask)
    results = [*model.predict(return_std=True), model.predict([[0.1], None]), model.sample(2, random_state=0)]
    assert [r.dtype for r in results] == [out] * 4


def test_complete_grids_of_one_axis_and_one_level():
    model = GridGP([Matern(1.5)], random_state=0).fit([X], COMPLETE[:, 0])
    assert model.predict().shape == (9,)
    model = GridGP([Matern(1.5), Matern(0.5)], random_state=0).fit([X, [3.0]], COMPLETE[:, :1])
    assert model.predict(return_std=True)[1].shape == (9, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_in_torch_out(method, dtype):
    torch = pytest.importorskip("torch")
    y = torch.as_tensor(METHODS[method], dtype=getattr(torch, dtype)).requires_grad_()
    model = quick(method).fit([torch.as_tensor(X), T], y)
    plain = quick(method).fit([X, T], y.detach().numpy())
    results = [*model.predict(return_std=True), model.predict([torch.as_tensor(X[:2]), None]), model.sample(2, 0)]
    expected = [*plain.predict(return_std=True), plain.predict([X[:2], None]), plain.sample(2, 0)]
    eps = np.finfo(dtype).eps
    for ours, theirs in zip(results, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert (ours.dtype, ours.device, ours.requires_grad) == (y.dtype, y.device, False)
        # The same algorithm on other kernels: rounding, and the iterative solver stops at its tolerance.
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-2 if method == "iterative" else 1e4 * eps)
    assert isinstance(plain.log_evidence_, float)
    assert isinstance(model.score(None, y.detach()), float)


def test_torch_masks_and_integers():
    torch = pytest.importorskip("torch")
    mask = ~np.isnan(HOLES)
    expected = quick().fit([X, T], HOLES).predict()
    for m in (mask, torch.as_tensor(mask)):
        np.testing.assert_allclose(quick().fit([X, T], torch.as_tensor(COMPLETE), mask=m).predict(), expected)
        np.testing.assert_allclose(quick().fit([X, T], COMPLETE, mask=m).predict(), expected)
    assert quick().fit([X, T], torch.arange(63).reshape(9, 7)).predict().dtype == torch.float64


def test_a_device_does_the_work_and_the_answer_comes_back():
    torch = pytest.importorskip("torch")
    model = quick("iterative", device="cpu").fit([X, T], HOLES)
    assert isinstance(model._posterior.coefficients, torch.Tensor)
    for result in (*model.predict(return_std=True), model.sample(1, 0)):
        assert type(result) is np.ndarray
    np.testing.assert_allclose(model.predict(), quick("iterative").fit([X, T], HOLES).predict(), atol=1e-2)


# ---- seeds and interruptions ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_result():
    def run(seed):
        model = GridGP([Matern(1.5), SquaredExponential()], method="iterative", random_state=seed, n_probes=4)
        model.fit([X, T], HOLES)
        return [*model.predict(return_std=True), model.log_evidence_, model.noise_var_]

    np.testing.assert_equal(run(3), run(3))
    np.testing.assert_equal(run(np.random.default_rng(3)), run(3))
    assert run(3)[2] != run(4)[2]


class Stop(Exception):
    pass


def raises(error):
    def callback(record):
        raise error

    return callback


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_an_interrupted_fit_leaves_the_earlier_one(error, capsys):
    model = GridGP([Matern(1.5), SquaredExponential()]).fit([X, T], HOLES)
    before = {n: v for n, v in vars(model).items() if n.endswith("_")}
    mean, std = model.predict(return_std=True)
    model.set_params(callback=raises(error), verbose=1)
    with pytest.raises(error):
        model.fit([X[:5], T], 3.0 * COMPLETE[:5])
    assert {n: v for n, v in vars(model).items() if n.endswith("_")} == before
    np.testing.assert_equal(model.predict(return_std=True), (mean, std))
    unfitted = GridGP([Matern(1.5), SquaredExponential()], callback=raises(error))
    with pytest.raises(error):
        unfitted.fit([X, T], HOLES)
    with pytest.raises(NotFittedError):
        unfitted.predict()


def test_a_fit_that_fails_leaves_the_earlier_one():
    model = quick().fit([X, T], HOLES)
    mean = model.predict()
    with pytest.raises(ValueError, match="no observed cell"):
        model.fit([X, T], np.full((9, 7), np.nan))
    np.testing.assert_array_equal(model.predict(), mean)


def test_parameters_set_after_a_fit_wait_for_the_next():
    model = quick().fit([X, T], HOLES)
    expected = model.predict(return_std=True, include_noise=True)
    model.set_params(kernels=[Matern(0.5)], noise_var=9.0, method="eigen", mean="zero")
    np.testing.assert_equal(model.predict(return_std=True, include_noise=True), expected)


@pytest.mark.parametrize("y", [COMPLETE, HOLES], ids=["eigen", "dense"])
def test_a_callback_can_stop_learning(y):
    seen = []

    def callback(record):
        seen.append(record)
        return len(seen) == 3

    model = GridGP([Matern(1.5), SquaredExponential()], callback=callback).fit([X, T], y)
    assert model.converged_
    assert seen == model.history_
    assert model.log_evidence_ >= max(r["log_evidence"] for r in seen) - 1e-9
    full = GridGP([Matern(1.5), SquaredExponential()]).fit([X, T], y)
    assert len(full.history_) > 10
    assert full.log_evidence_ > model.log_evidence_


def test_a_callback_can_stop_expectation_maximisation():
    model = GridGP([FreeCovariance(), SquaredExponential()], callback=lambda r: True, random_state=0)
    model.fit([None, T], COMPLETE)
    assert len(model.history_) == 1


def test_progress_is_shown_and_closed(capsys):
    GridGP([Matern(1.5), SquaredExponential()], verbose=1).fit([X, T], HOLES)
    shown = capsys.readouterr()
    assert "log_evidence" in shown.err
    assert shown.out == ""


def test_warnings_point_at_the_caller():
    with pytest.warns(ConvergenceWarning) as caught:
        GridGP([Matern(1.5), SquaredExponential()], max_learning_iter=1).fit([X, T], HOLES)
    assert {w.filename for w in caught} == {__file__}
    model = quick("iterative", noise_var=1e-6, max_iter=5, tol=1e-6)
    with pytest.warns(ConvergenceWarning):
        model.fit([X, T], HOLES)
    with pytest.warns(ConvergenceWarning) as caught:
        model.predict(return_std=True)
    with pytest.warns(ConvergenceWarning) as also:
        model.sample(random_state=0)
    assert {w.filename for w in [*caught, *also]} == {__file__}


# ---- memory ---------------------------------------------------------------------------------------------------------


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", ["eigen", "iterative"])
def test_nothing_quadratic_in_the_cells_is_formed(method):
    coords = [np.linspace(0.0, 30.0, 80), np.linspace(0.0, 20.0, 70)]
    y = draw(KERNELS, coords, 0.1, np.random.default_rng(0))[1]
    y = y if method == "eigen" else hide(y, 0.5, np.random.default_rng(1))
    model = quick(method, n_samples=4)
    vectors = peak_bytes(lambda: model.fit([*coords], y).predict(return_std=True)) / y.nbytes
    # An N x N matrix would be 5600 vectors; a fit holds a few stacks of four probes or draws.
    assert vectors < 150
    vectors = peak_bytes(lambda: model.predict([coords[0] + 0.1, None], return_std=True)) / y.nbytes
    assert vectors < 50
