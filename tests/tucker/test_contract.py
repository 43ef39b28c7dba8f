"""Functional tensors as estimators: parameters, inputs left alone, seeds, interruptions, invariances, odd data."""

import numpy as np
import pytest

from structkit import ConvergenceWarning, NotFittedError
from structkit.statespace import matern_sde, periodic_sde
from structkit.tucker import FunctionalCP, FunctionalTucker
from tests.tucker.problems import MODELS, draw, quick, truth

X, Y = draw()
each_model = pytest.mark.parametrize("form", MODELS)


# ---- parameters -----------------------------------------------------------------------------------------------------


def test_the_constructor_stores_its_arguments_unchanged():
    rank, kernel = [1, 2, 3], ["matern12", "nonsense"]
    model = FunctionalTucker(rank, kernel=kernel, tol="small")
    assert model.rank is rank
    assert model.kernel is kernel
    assert model.get_params()["tol"] == "small"
    assert model.set_params(tol=0.1, mean="zero") is model
    assert (model.tol, model.mean) == (0.1, "zero")
    with pytest.raises(ValueError, match=r"FunctionalTucker has no parameter 'ranks'; expected one of rank, kernel"):
        model.set_params(ranks=3)


@each_model
def test_clones_of_scikit_learn(form):
    base = pytest.importorskip("sklearn.base")
    model = quick(form, kernel=["matern12", "discrete", "matern32"]).fit(X, Y)
    copy = base.clone(model)
    assert not hasattr(copy, "core_")
    assert repr(copy) == repr(model)
    np.testing.assert_array_equal(copy.fit(X, Y).predict(X), model.predict(X))


def test_representation_shows_what_differs_from_the_defaults():
    assert repr(FunctionalCP(3)) == "FunctionalCP(3)"
    assert repr(FunctionalTucker((1, 2), mean="zero")) == "FunctionalTucker((1, 2), mean='zero')"


@each_model
def test_fit_returns_the_model_and_sets_every_documented_attribute(form):
    model = quick(form)
    assert model.fit(X, Y) is model
    text = type(model).__doc__.partition("Attributes")[2].partition("See Also")[0]
    lines = [line for line in text.splitlines() if line.startswith("    ") and " : " in line and line[4] != " "]
    documented = [name.strip() for line in lines for name in line.partition(" : ")[0].split(",")]
    assert len(documented) >= 13
    for name in documented:
        assert hasattr(model, name), name
    assert model.core_.shape == ((2,) if form == "cp" else (2, 2, 2))
    assert len(model.lengthscales_) == len(model.kernels_) == model.n_features_in_ == 3
    assert model.history_[-1]["elbo"] == model.elbo_


def test_nothing_is_told_before_fit():
    for call in (
        lambda m: m.predict(X),
        lambda m: m.factor(0, X[:, 0]),
        lambda m: m.effect(0, X[:, 0]),
        lambda m: m.score(X, Y),
        lambda m: m.sample(X),
    ):
        with pytest.raises(NotFittedError, match="FunctionalCP is not fitted; call fit first"):
            call(FunctionalCP(2))


# ---- inputs, seeds, interruptions -----------------------------------------------------------------------------------


@each_model
def test_inputs_stay_as_they_are(form):
    x, y = X.copy(), Y.copy()
    y[::7] = np.nan
    x.flags.writeable = y.flags.writeable = False
    kept = y.copy()
    model = quick(form, likelihood="student-t").fit(x, y)
    model.predict(x, return_std=True)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, kept)


def test_same_seed_same_result():
    first, second, other = (quick(random_state=s).fit(X, Y) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert first.elbo_ == second.elbo_
    assert not np.array_equal(first.predict(X), other.predict(X))
    generator = quick(random_state=np.random.default_rng(1)).fit(X, Y)
    np.testing.assert_array_equal(generator.predict(X), first.predict(X))


def test_missing_values_are_left_out():
    y = Y.copy()
    y[::3] = np.nan
    kept = ~np.isnan(y)
    ours, direct = quick().fit(X, y), quick().fit(X[kept], Y[kept])
    np.testing.assert_array_equal(ours.predict(X), direct.predict(X))
    assert ours.score(X, y) == direct.score(X[kept], Y[kept])


def test_lists_and_integers_are_taken():
    model = quick().fit((8 * X).astype(int).tolist(), Y.tolist())
    np.testing.assert_allclose(model.predict(8 * X), quick().fit(X, Y).predict(X), atol=1e-6)


def test_a_callback_ends_the_fit():
    seen = []

    def stop(record):
        seen.append(record)
        return record["stage"] == "fit" and record["sweep"] == 22

    model = quick(tol=1e-12, callback=stop).fit(X, Y)
    assert seen == model.history_
    assert not model.converged_
    assert model.predict(X).shape == Y.shape
    early = quick(callback=lambda record: True).fit(X, Y)
    assert len(early.history_) == 1
    assert np.isfinite(early.predict(X)).all()


def test_too_few_sweeps_warn():
    with pytest.warns(ConvergenceWarning, match="FunctionalCP stopped after max_iter = 3 sweeps"):
        model = quick(max_iter=3, tol=1e-9, n_starts=1).fit(X, Y)
    assert not model.converged_
    assert model.n_iter_ == 3


def test_a_warm_start_goes_on():
    with pytest.warns(ConvergenceWarning):
        model = quick(max_iter=10, tol=1e-5, n_starts=1, warm_start=True).fit(X, Y)
    before = model.elbo_
    with pytest.warns(ConvergenceWarning):
        model.fit(X, Y)
    assert model.elbo_ > before
    more = np.concatenate([X, [[0.55, 0.2, 0.31]]])
    model.set_params(max_iter=300, tol=3e-2).fit(more, np.append(Y, truth(more[-1:])))
    assert model.converged_
    fewer = model.fit(X[:, :2], Y)  # another number of modes starts anew
    assert fewer.n_features_in_ == 2


# ---- invariances ----------------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("mean", ["constant", "main-effects"])
def test_units_of_the_values(form, mean):
    plain, doubled = (quick(form, mean=mean).fit(X, y) for y in (Y, 1000 + 250 * Y))
    expected, std = plain.predict(X, return_std=True, include_noise=True)
    mean_, std_ = doubled.predict(X, return_std=True, include_noise=True)
    np.testing.assert_allclose(mean_, 1000 + 250 * expected, rtol=1e-7)
    np.testing.assert_allclose(std_, 250 * std, rtol=1e-6)
    np.testing.assert_allclose(doubled.noise_var_, 250**2 * plain.noise_var_, rtol=1e-6)
    np.testing.assert_allclose(doubled.elbo_, plain.elbo_ - len(Y) * np.log(250), atol=1e-4)


@each_model
def test_units_of_the_coordinates(form):
    plain = quick(form).fit(X, Y)
    moved = quick(form).fit(X * [1e-3, 50.0, 1.0] + [7.0, -3.0, 0.0], Y)
    new = np.array([[0.3, 0.2, 0.9], [0.01, 0.5, 1.2]])
    np.testing.assert_allclose(
        moved.predict(new * [1e-3, 50.0, 1.0] + [7.0, -3.0, 0.0]), plain.predict(new), rtol=1e-5, atol=1e-6
    )
    for factor, ours, theirs in zip([1e-3, 50.0, 1.0], moved.lengthscales_, plain.lengthscales_, strict=True):
        np.testing.assert_allclose(ours, factor * theirs, rtol=1e-4)


@each_model
@pytest.mark.parametrize("likelihood", ["gaussian", "student-t"])
def test_order_of_the_rows(form, likelihood):
    order = np.random.default_rng(3).permutation(len(Y))
    plain, mixed = (
        quick(form, likelihood=likelihood).fit(X, Y),
        quick(form, likelihood=likelihood).fit(X[order], Y[order]),
    )
    np.testing.assert_allclose(mixed.predict(X), plain.predict(X), atol=1e-7)


def test_duplicates_are_merged_without_loss(monkeypatch):
    from structkit.tucker import fitting
    from structkit.tucker.entries import keep

    merged = quick().fit(X, Y)
    assert sum(merged._fitted.posterior.entries.sizes) < len(Y)
    monkeypatch.setattr(fitting, "merge", lambda index, y, sizes: keep(index, y))
    apart = quick().fit(X, Y)
    np.testing.assert_allclose(apart.predict(X), merged.predict(X), atol=1e-9)
    np.testing.assert_allclose(apart.elbo_, merged.elbo_)


def test_order_of_the_modes():
    """Starts differ, so only errors are of the same size."""
    new = np.random.default_rng(5).uniform(0, 1, (200, 3))
    errors = [
        np.sqrt(np.mean((quick(tol=1e-3).fit(X[:, p], Y).predict(new[:, p]) - truth(new)) ** 2))
        for p in ([0, 1, 2], [2, 0, 1])
    ]
    assert max(errors) < 2 * min(errors) < 0.3


# ---- odd data -------------------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("likelihood", ["gaussian", "student-t"])
@pytest.mark.parametrize("mean", ["auto", "main-effects", "zero"])
def test_a_single_entry(form, likelihood, mean):
    model = quick(form, mean=mean, likelihood=likelihood, n_starts=3).fit([[1.0, 2.0, 3.0]], [5.0])
    near, far = model.predict([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    assert np.isfinite([near, far]).all()
    # about zero, one value may as well be noise
    assert (0 if mean == "zero" else 1) <= near < 10
    assert np.isfinite(model.predict([[1.0, 2.0, 3.0]], return_std=True)[1]).all()


@each_model
@pytest.mark.parametrize("value", [0.0, 3.0, -1e6])
def test_constant_values(form, value):
    model = quick(form, mean="auto", n_starts=3).fit(X, np.full(len(X), value))
    mean, std = model.predict([[0.5, 0.5, 0.5], [2.0, 2.0, 2.0]], return_std=True)
    np.testing.assert_allclose(mean, value, atol=1e-2 * max(1.0, abs(value)))
    assert np.isfinite(std).all()
    assert model.score(X, np.full(len(X), value)) in (0.0, 1.0) or value != 0


@each_model
def test_a_mode_with_one_level(form):
    flat = X.copy()
    flat[:, 1] = 4.0
    y = Y - X[:, 1] + np.sin(3 * X[:, 0]) * (1 - np.exp(X[:, 1])) * (1 + X[:, 2])
    model = quick(form).fit(flat, y)
    assert model.score(flat, y) > 0.9
    assert np.isfinite(model.predict([[0.5, 5.0, 0.5]])).all()


@each_model
def test_rank_above_the_number_of_levels(form):
    few = np.round(X)
    model = quick(form, rank=4, tol=1e-3).fit(few, Y)
    assert np.isfinite(model.predict(X)).all()
    cells, index = np.unique(few, axis=0, return_inverse=True)
    averages = np.bincount(index.ravel(), Y) / np.bincount(index.ravel())
    assert np.corrcoef(model.predict(cells), averages)[0, 1] > 0.98


@each_model
def test_unordered_levels_and_unseen_categories(form):
    rng = np.random.default_rng(0)
    level = np.array([1.0, -2.0, 1.5, -0.5])
    Z = np.column_stack([rng.integers(0, 4, 300), rng.uniform(0, 1, 300)])
    y = level[Z[:, 0].astype(int)] * (1 + Z[:, 1]) + 0.05 * rng.standard_normal(300)
    model = quick(form, kernel=["discrete", "matern32"], tol=1e-3).fit(Z, y)
    grid = np.column_stack([np.arange(4.0), np.full(4, 0.5)])
    np.testing.assert_allclose(model.predict(grid), 1.5 * level, atol=0.15)
    mean, std = model.predict([[2.5, 0.5], [17.0, 0.5]], return_std=True)
    # two unseen categories are alike, and less certain than seen ones
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-8)
    np.testing.assert_allclose(std[0], std[1], atol=1e-8)
    assert std[0] > 3 * model.predict(grid, return_std=True)[1].max()
    assert model.lengthscales_[0].size == 0


def test_a_periodic_mode():
    rng = np.random.default_rng(0)
    Z = np.column_stack([rng.uniform(0, 3, 400), rng.uniform(0, 1, 400)])
    y = np.cos(2 * np.pi * Z[:, 0]) * (1 + Z[:, 1]) + 0.05 * rng.standard_normal(400)
    kernel = [periodic_sde(1.0, 1.0, 1.0, 4), matern_sde(1.5, 0.5)]
    model = quick(kernel=kernel, learn_kernels=False, tol=1e-3).fit(Z, y)
    assert [k is g for k, g in zip(model.kernels_, kernel, strict=True)] == [True, True]
    late = np.array([[10.0, 0.5], [10.25, 0.5], [10.5, 0.5]])
    np.testing.assert_allclose(model.predict(late), [1.5, 0.0, -1.5], atol=0.1)


def test_ranks_and_kernels_of_their_own():
    model = quick("tucker", (1, 2, 3), kernel=("matern12", "matern52", "discrete")).fit(X, Y)
    assert model.core_.shape == (1, 2, 3)
    assert [k.n_states for k in model.kernels_] == [4, 7, 2]
    assert model.factor(2, [0.0, 0.5]).shape == (2, 3)
    mean, std = model.factor(-0, np.array([0.1]), return_std=True)
    assert mean.shape == std.shape == (1, 1)


def test_one_mode_is_regression():
    x = np.linspace(0, 1, 80)[:, None]
    y = np.sin(6 * x[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(80)
    for form in MODELS:
        mean, std = quick(form, 1, mean="auto", tol=1e-3, kernel="matern32").fit(x, y).predict(x, return_std=True)
        assert np.mean(np.abs(mean - np.sin(6 * x[:, 0])) < 3 * std) > 0.9
        assert np.abs(mean - np.sin(6 * x[:, 0])).max() < 0.2


def test_a_known_noise_variance_stays():
    model = quick(noise_var=0.04).fit(X, Y)
    assert model.noise_var_ == pytest.approx(0.04)


def test_outliers_weigh_less_under_student_noise():
    y = Y.copy()
    y[::15] += 4.0
    plain, robust = (quick(likelihood=k, tol=3e-3).fit(X, y) for k in ("gaussian", "student-t"))
    errors = [np.sqrt(np.mean((m.predict(X) - truth(X)) ** 2)) for m in (plain, robust)]
    assert errors[1] < 0.5 * errors[0]
    assert robust.degrees_of_freedom_ < 10 < plain.degrees_of_freedom_
