"""Bad input of `GridGP`: the right error, before any work, saying what was expected, what came and what to do."""

import numpy as np
import pytest

from structkit import NotFittedError, NotPositiveDefiniteError, ShapeError, SizeError
from structkit.gp import FreeCovariance, GridGP, Matern, SquaredExponential, gridgp
from structkit.gp.grid_data import check_coordinates

X, T = np.linspace(0.0, 1.0, 5), np.arange(4.0)
Y = np.random.default_rng(0).normal(size=(5, 4))
KERNELS = [Matern(1.5), SquaredExponential()]


def changed(values, position, value):
    out = np.array(values, dtype=np.result_type(values, type(value)))
    out[position] = value
    return out


@pytest.fixture
def no_work(monkeypatch):
    """Learning and the posterior must not begin."""

    def never(*args, **kwargs):
        raise AssertionError("work began before the input was checked")

    monkeypatch.setattr(gridgp, "learn", never)
    monkeypatch.setattr(gridgp, "GridPosterior", never)


# What fit is given: coordinates, observations, mask.
GIVEN = {
    "too few coordinate arrays": ({"coords": [X]}, ShapeError, "y has 2 axes, coords 1 entries and kernels 2"),
    "too many axes of y": ({"y": Y[None]}, ShapeError, "y has 3 axes, coords 2 entries"),
    "scattered points": (
        {"coords": np.ones((9, 2)), "y": np.ones(9)},
        ShapeError,
        "y has 1 axes, coords 9 entries .* no grid: FunctionalCP",
    ),
    "one array for coordinates": ({"coords": X}, ShapeError, "coords 5 entries"),
    "wrong length": ({"coords": [X, T[:3]]}, ShapeError, r"coords\[1\] has 3 coordinates and axis 1 of y has 4 levels"),
    "two-dimensional coordinates": ({"coords": [X[:, None], T]}, ShapeError, r"coords\[0\] has shape \(5, 1\)"),
    "nan coordinate": ({"coords": [changed(X, 2, np.nan), T]}, ValueError, r"coords\[0\]\[2\] is nan"),
    "infinite coordinate": ({"coords": [X, changed(T, 3, -np.inf)]}, ValueError, r"coords\[1\]\[3\] is -inf"),
    "repeated coordinate": (
        {"coords": [changed(X, 4, X[1]), T]},
        ValueError,
        r"coords\[0\] holds 0.25 twice, at positions 1 and 4; merge",
    ),
    "complex coordinates": ({"coords": [X + 0j, T]}, TypeError, r"coords\[0\] is complex"),
    "text coordinates": ({"coords": [list("abcde"), T]}, TypeError, r"coords\[0\] has dtype <U1"),
    "missing coordinates": ({"coords": [None, T]}, ValueError, r"coords\[0\] is None; only an axis with a Free"),
    "infinite y": ({"y": changed(Y, (1, 2), np.inf)}, ValueError, "infinity at an observed cell; mark .* with NaN"),
    "nothing observed": ({"y": np.full((5, 4), np.nan)}, ValueError, "no observed cell"),
    "nothing observed by mask": ({"mask": np.zeros((5, 4), bool)}, ValueError, "no observed cell"),
    "complex y": ({"y": Y + 1j}, TypeError, "y is complex; .* real and imaginary parts separately"),
    "text y": ({"y": np.full((5, 4), "a")}, TypeError, "y has dtype <U1"),
    "half precision y": ({"y": Y.astype(np.float16)}, TypeError, "y has dtype float16"),
    "masked array": ({"y": np.ma.masked_array(Y, Y > 0)}, TypeError, r"masked array; .*NaN"),
    "no cells": ({"coords": [X[:0], T], "y": Y[:0]}, ShapeError, r"shape \(0, 4\), no cells"),
    "scalar y": ({"coords": [], "y": np.float64(1.0)}, ShapeError, "y has 0 axes"),
    "constant y": (
        {"y": np.full((5, 4), 0.1)},
        ValueError,
        "do not vary about their mean.*Give noise_var and learn_ke",
    ),
    "integer mask": ({"mask": np.ones((5, 4), int)}, TypeError, "mask has dtype int64; expected bool"),
    "wrong mask": (
        {"mask": np.ones((4, 5), bool)},
        ShapeError,
        r"mask has shape \(4, 5\); expected that of y, \(5, 4\)",
    ),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("case", GIVEN)
def test_bad_data(case):
    arguments, error, match = GIVEN[case]
    arguments = {"coords": [X, T], "y": Y} | arguments
    with pytest.raises(error, match=match):
        GridGP(KERNELS).fit(arguments.pop("coords"), arguments.pop("y"), **arguments)


FREE = FreeCovariance()
OPTIONS = {
    "too few kernels": ({"kernels": KERNELS[:1]}, ShapeError, "kernels 1; expected one of each"),
    "a single kernel": (
        {"kernels": Matern(1.5)},
        TypeError,
        r"kernels must be a list .* got Matern.*GridGP\(\[kernel\]",
    ),
    "no kernel": ({"kernels": [Matern, Matern(0.5)]}, TypeError, r"kernels\[0\]: .*Matern\(\), not Matern.*FreeCova"),
    "a number": ({"kernels": [Matern(0.5), 1.0]}, TypeError, r"kernels\[1\]: .*got float"),
    "None": ({"kernels": None}, TypeError, "kernels must be a list .* got NoneType"),
    "two free axes": ({"kernels": [FREE, FREE]}, ValueError, "More than one axis has a FreeCovariance"),
    "matrix of another size": (
        {"kernels": [FreeCovariance(matrix=np.eye(3)), Matern(0.5)]},
        ShapeError,
        r"kernels\[0\].matrix has 3 rows; axis 0 of y has 5 levels",
    ),
    "no matrix": (
        {"kernels": [FREE, Matern(0.5)], "learn_kernels": False},
        ValueError,
        "learn_kernels=False needs a matrix",
    ),
    "unknown method": ({"method": "svd"}, ValueError, "method='svd' is unknown; expected one of auto, eigen, dense"),
    "no method": ({"method": None}, ValueError, "method=None is unknown"),
    "noise zero": ({"noise_var": 0.0}, ValueError, "noise_var holds 0; it must be positive"),
    "noise negative": ({"noise_var": -1.0}, ValueError, "noise_var holds -1; .* give a small variance"),
    "noise nan": ({"noise_var": np.nan}, ValueError, "noise_var holds nan"),
    "noise infinite": ({"noise_var": np.inf}, ValueError, "noise_var holds inf"),
    "noise text": ({"noise_var": "auto"}, ValueError, "noise_var='auto'; expected 'learn'"),
    "noise None": ({"noise_var": None}, TypeError, "noise_var=None; expected 'learn', a number"),
    "noise of wrong shape": ({"noise_var": np.ones(3)}, ShapeError, r"noise_var has shape \(3,\); .* \(5, 4\)"),
    "noise without its axis": ({"noise_var": np.ones(4)}, ShapeError, r"noise_var has shape \(4,\); .*noise_axis"),
    "noise for another axis": ({"noise_var": np.ones(4), "noise_axis": 0}, ShapeError, r"has shape \(4,\)"),
    "noise of a cell": ({"noise_var": changed(np.ones((5, 4)), (0, 1), 0.0)}, ValueError, "noise_var holds 0"),
    "mean text": ({"mean": "linear"}, ValueError, "mean='linear'; expected 'constant', 'zero', 'per-level' or"),
    "mean array": ({"mean": np.zeros(4)}, ValueError, "expected 'constant', 'zero', 'per-level' or"),
    "mean nan": ({"mean": np.nan}, ValueError, "mean=nan; expected .* a finite number"),
    "mean without its axis": ({"mean": "per-level"}, ValueError, "mean='per-level' needs mean_axis"),
    "axis without its mean": ({"mean_axis": 1}, ValueError, "mean_axis=1 belongs to mean='per-level'"),
    "mean axis": (
        {"mean": "per-level", "mean_axis": 2},
        ShapeError,
        "mean_axis=2 is no axis of y, whose axes are 0 to 1",
    ),
    "noise axis": ({"noise_axis": -1}, ShapeError, "noise_axis=-1 is no axis of y"),
    "noise axis text": ({"noise_axis": "x"}, TypeError, "noise_axis='x'; expected the number of an axis"),
    "tol": ({"tol": 0.0}, ValueError, "tol=0.0; expected a positive number"),
    "tol nan": ({"tol": np.nan}, ValueError, "tol=nan; expected a positive number"),
    "learning_tol": ({"learning_tol": "x"}, ValueError, "learning_tol='x'; expected a positive number"),
    "max_iter": ({"max_iter": 0}, ValueError, "max_iter=0; expected an integer of at least 1"),
    "max_iter fraction": ({"max_iter": 10.5}, ValueError, "max_iter=10.5; expected an integer"),
    "max_learning_iter": ({"max_learning_iter": True}, ValueError, "max_learning_iter=True; expected an integer"),
    "n_samples": ({"n_samples": 0}, ValueError, "n_samples=0; expected an integer of at least 1"),
    "n_probes": ({"n_probes": 1}, ValueError, "n_probes=1; expected an integer of at least 2"),
    "subgrid": ({"subgrid": 0}, ValueError, "subgrid=0; expected an integer of at least 1"),
    "random_state": ({"random_state": "x"}, TypeError, "random_state must be None, an int or a numpy.random.Generator"),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options(case):
    options, error, match = OPTIONS[case]
    model = GridGP(**({"kernels": KERNELS} | options))
    first = model.kernels[0] if isinstance(model.kernels, list) else None
    coords = [None if isinstance(first, FreeCovariance) else X, T]
    with pytest.raises(error, match=match):
        model.fit(coords, Y)
    assert not hasattr(model, "kernels_")


@pytest.mark.usefixtures("no_work")
def test_eigendecompositions_need_a_complete_grid():
    missing = changed(Y, (1, 1), np.nan)
    with pytest.raises(ValueError, match=r"method='eigen' needs a complete grid.* 1 cells are missing.*'iterative'"):
        GridGP(KERNELS, method="eigen").fit([X, T], missing)
    weighted = np.ones((5, 4))
    weighted[0, 0] = 2.0
    with pytest.raises(ValueError, match=r"method='eigen' needs a complete grid"):
        GridGP(KERNELS, method="eigen", noise_var=weighted).fit([X, T], Y)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("size", [1.0, 1e8, 1e-8])
def test_constant_data_up_to_rounding(size):
    y = size * (1.0 + 1e-16 * np.random.default_rng(0).normal(size=(5, 4)))
    for options in ({}, {"noise_var": 0.1}, {"learn_kernels": False}):
        with pytest.raises(ValueError, match="do not vary about their mean"):
            GridGP(KERNELS, **options).fit([X, T], y)
    with pytest.raises(ValueError, match="do not vary about their mean"):
        GridGP(KERNELS, mean="zero").fit([X, T], np.zeros((5, 4)))


@pytest.mark.usefixtures("no_work")
def test_levels_that_do_not_vary_about_their_own_means():
    y = np.tile(np.arange(4.0), (5, 1))
    with pytest.raises(ValueError, match="do not vary about their mean"):
        GridGP(KERNELS, mean="per-level", mean_axis=1).fit([X, T], y)


def test_constant_data_and_single_cells_with_given_hyperparameters():
    model = GridGP(KERNELS, noise_var=0.1, learn_kernels=False).fit([X, T], np.full((5, 4), 3.0))
    np.testing.assert_allclose(model.predict(), 3.0)
    assert np.all(model.predict(return_std=True)[1] > 0)
    single = GridGP(KERNELS, noise_var=0.1, learn_kernels=False).fit([[0.0], [1.0]], [[3.0]])
    np.testing.assert_allclose(single.predict(), [[3.0]])
    np.testing.assert_allclose(single.predict(return_std=True)[1], np.sqrt(1 - 1 / 1.1))
    with pytest.raises(ValueError, match="The 1 observed cells do not vary"):
        GridGP(KERNELS).fit([[0.0], [1.0]], [[3.0]])


@pytest.mark.usefixtures("no_work")
def test_sizes_beyond_memory_are_refused_before_anything_is_allocated():
    side = 2000
    coords = [np.arange(float(side))] * 2
    y = np.random.default_rng(0).normal(size=(side, side))
    with pytest.raises(SizeError, match=r"method='dense' for 4000000 observed cells would take .* GiB .*'iterative'"):
        GridGP(KERNELS, method="dense").fit(coords, y)
    with pytest.raises(SizeError, match=r"covariance of axis 0 with its 3000000 levels would take .* Use fewer levels"):
        GridGP(KERNELS).fit([np.arange(3e6), T[:1]], np.random.default_rng(0).normal(size=(3_000_000, 1)))


def test_samples_beyond_memory_are_refused():
    model = fitted()
    with pytest.raises(SizeError, match="Samples at the 3000000 new coordinates of axis 0 would take"):
        model.sample(coords=[np.linspace(0.0, 1.0, 3_000_000), [0.5]])


# ---- a fitted model, and one that is not ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.predict(),
        lambda m: m.predict([X, T], return_std=True),
        lambda m: m.sample(),
        lambda m: m.score(None, Y),
        lambda m: m.save("never.npz"),
    ],
)
def test_an_unfitted_model_says_so(call):
    with pytest.raises(NotFittedError, match=r"GridGP is not fitted; call fit first"):
        call(GridGP(KERNELS))


def fitted(kernels=KERNELS, **options):
    coords = [None if isinstance(kernels[0], FreeCovariance) else X, T]
    return GridGP(kernels, noise_var=0.1, learn_kernels=False, **options).fit(coords, Y)


@pytest.mark.parametrize(
    ("coords", "error", "match"),
    [
        ([X], ShapeError, "coords has 1 entries; expected 2, one per axis"),
        ([X, T, T], ShapeError, "coords has 3 entries; expected 2"),
        ([X, [np.nan]], ValueError, r"coords\[1\]\[0\] is nan"),
        ([X, [[1.0]]], ShapeError, r"coords\[1\] has shape \(1, 1\)"),
        ([X, ["a"]], TypeError, r"coords\[1\] has dtype"),
    ],
)
def test_bad_new_coordinates(coords, error, match):
    model = fitted()
    for call in (model.predict, lambda c: model.sample(coords=c), lambda c: model.score(c, Y)):
        with pytest.raises(error, match=match):
            call(coords)


def test_new_coordinates_that_cannot_be():
    free = fitted([FreeCovariance(matrix=np.eye(5)), Matern(0.5)])
    with pytest.raises(ValueError, match=r"coords\[0\] must be None: axis 0 has a FreeCovariance"):
        free.predict([X, T])
    assert free.predict([None, [0.5]]).shape == (5, 1)


def test_new_coordinates_may_repeat_and_be_empty():
    model = fitted()
    mean = model.predict([[0.3, 0.3], None])
    np.testing.assert_array_equal(mean[0], mean[1])
    empty, std = model.predict([X[:0], None], return_std=True)
    assert empty.shape == std.shape == (0, 4)
    assert model.sample(2, random_state=0, coords=[X[:0], None]).shape == (2, 0, 4)


def test_the_score_needs_matching_truth():
    model = fitted()
    assert model.score(None, model.predict()) == 1.0
    truth = changed(Y, (0, 0), np.nan)
    guess = model.predict()
    seen = np.isfinite(truth)
    expected = 1 - ((truth - guess)[seen] ** 2).sum() / ((truth[seen] - truth[seen].mean()) ** 2).sum()
    assert model.score(None, truth) == pytest.approx(expected)
    assert model.score(None, np.ones((5, 4))) == 0.0
    with pytest.raises(ShapeError, match=r"y has shape \(4, 5\); the prediction has shape \(5, 4\)"):
        model.score(None, Y.T)
    with pytest.raises(ValueError, match="no observed cell"):
        model.score(None, np.full((5, 4), np.nan))


def test_a_kernel_without_positive_eigenvalues_is_refused():
    zero = FreeCovariance(matrix=np.zeros((5, 5)))
    with pytest.raises(NotPositiveDefiniteError, match="axis 0 has no positive eigenvalue"):
        fitted([zero, Matern(0.5)])


def test_coordinates_are_copied():
    c = np.arange(3.0)
    assert not np.shares_memory(check_coordinates(c, 0, 3), c)
