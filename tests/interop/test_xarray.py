"""xarray and pandas as input: coordinates become axes, NaN becomes missing, answers keep the labels."""

import numpy as np
import pytest

import structkit
from structkit import ShapeError
from structkit.dictionary import OrthogonalDictionary
from structkit.gp import FreeCovariance, GridGP, Matern, SquaredExponential
from structkit.statespace import kalman_filter, matern_sde
from structkit.tucker import FunctionalCP

xr = pytest.importorskip("xarray")
pd = pytest.importorskip("pandas")

DAYS = np.datetime64("2024-03-01") + np.arange(12).astype("timedelta64[D]")
DEPTH = np.array([0.0, 1.0, 2.5, 4.0, 8.0])


def temperatures(n_missing=10, seed=0):
    """Days by depths, some of them missing."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(12) / 3)[:, None] * np.exp(-DEPTH / 5) + 0.05 * rng.standard_normal((12, 5))
    values.flat[rng.permutation(60)[:n_missing]] = np.nan
    return xr.DataArray(values, coords={"day": DAYS, "depth": DEPTH}, dims=["day", "depth"], name="temperature")


DATA = temperatures()
KERNELS = [SquaredExponential(4.0), Matern(1.5, 5.0)]
FIXED = {"noise_var": 0.01, "learn_kernels": False, "mean": "zero", "random_state": 0}


def grid_process(data=DATA):
    return GridGP(KERNELS, **FIXED).fit(data)


# ---- grids ----------------------------------------------------------------------------------------------------------


def test_a_labelled_grid_is_its_coordinates_and_values():
    plain = GridGP(KERNELS, **FIXED).fit([DAYS, DEPTH], DATA.values)
    since_1970 = (DAYS - np.datetime64("1970-01-01")).astype(float)
    numbers = GridGP(KERNELS, **FIXED).fit([since_1970, DEPTH], DATA.values)
    mean, std = grid_process().predict(return_std=True)
    for other in (plain, numbers):
        assert isinstance(other.predict(), np.ndarray)
        np.testing.assert_array_equal(mean.values, other.predict())
        np.testing.assert_array_equal(std.values, other.predict(return_std=True)[1])
    assert mean.dims == ("day", "depth")
    assert (mean.name, std.name) == ("temperature", "temperature_std")
    xr.testing.assert_equal(mean.coords.to_dataset(), DATA.coords.to_dataset())
    assert not np.isnan(mean).any()


def test_labels_lead_to_new_coordinates():
    model = grid_process()
    new_days = np.datetime64("2024-03-01T12") + np.arange(3).astype("timedelta64[D]")
    target = xr.DataArray(coords={"depth": [0.5, 8.0], "day": new_days}, dims=["depth", "day"])
    mean, _ = model.predict(target, return_std=True)
    assert mean.sizes == {"day": 3, "depth": 2}
    np.testing.assert_array_equal(mean.values, model.predict([new_days, [0.5, 8.0]]).values)
    np.testing.assert_array_equal(mean["day"].values, new_days)
    kept = model.predict([new_days, None])
    np.testing.assert_array_equal(kept["depth"].values, DEPTH)
    np.testing.assert_array_equal(model.predict(DATA).values, model.predict().values)
    draws = model.sample(4, random_state=0, coords=target)
    assert draws.dims == ("sample", "day", "depth")
    assert model.score(DATA) == model.score(None, DATA) > 0.95
    assert model.score([DAYS, DEPTH], DATA.values) == pytest.approx(model.score(DATA), rel=1e-12)
    assert model.score(DATA.transpose("depth", "day")) == model.score(DATA)


def test_arrays_in_a_different_order_and_masks():
    seen = DATA.notnull()
    full = DATA.fillna(0.0)
    masked = GridGP(KERNELS, **FIXED).fit(full, mask=seen.transpose("depth", "day"))
    np.testing.assert_array_equal(masked.predict().values, grid_process().predict().values)
    with pytest.raises(ShapeError, match="coords has the axes day; expected day, depth"):
        masked.predict(DATA[:, 0].drop_vars("depth"))
    unlabelled = GridGP(KERNELS, **FIXED).fit([DAYS, DEPTH], DATA.values)
    mean = unlabelled.predict(DATA)
    assert mean.dims == DATA.dims
    np.testing.assert_array_equal(mean.values, unlabelled.predict([DAYS, DEPTH]))


def test_axes_without_coordinates_or_with_text():
    rng = np.random.default_rng(0)
    bands = np.array(["red", "green", "blue"])
    mix = rng.standard_normal((3, 3))
    y = xr.DataArray(np.sin(np.arange(20) / 3)[:, None] * mix[0] + np.cos(np.arange(20) / 2)[:, None] * mix[1])
    y = y.rename(dim_0="pixel", dim_1="band").assign_coords(band=bands.astype(object))
    y[3:6, 1] = np.nan
    model = GridGP([SquaredExponential(3.0), FreeCovariance()], noise_var=1e-3, random_state=0).fit(y)
    mean = model.predict()
    assert "pixel" not in mean.coords
    assert mean.sel(band="green").shape == (20,)
    np.testing.assert_allclose(model.predict(y).values, mean.values, rtol=1e-10)
    with pytest.raises(ValueError, match=r"coords\[1\] must be None"):
        model.predict(y[:, :2])
    with pytest.raises(TypeError, match=r"coords\[1\] has dtype"):
        GridGP(KERNELS, **FIXED).fit(y)


def test_observations_are_needed_and_missing_dates_refused():
    with pytest.raises(TypeError, match=r"fit needs observations: fit\(coords, y\), or fit\(data\)"):
        GridGP(KERNELS).fit([DAYS, DEPTH])
    with pytest.raises(TypeError, match="which brings its values: give it alone"):
        GridGP(KERNELS).fit(DATA, DATA)
    holes = DAYS.copy()
    holes[2] = np.datetime64("NaT")
    with pytest.raises(ValueError, match=r"coords\[0\]\[2\] is nan"):
        GridGP(KERNELS).fit([holes, DEPTH], DATA.values)
    with pytest.raises(ShapeError, match="coords 1 entries"):
        GridGP(KERNELS).fit([DAYS], DATA)


def test_labels_survive_a_file(tmp_path):
    model = grid_process()
    model.save(tmp_path / "grid.npz")
    again = structkit.load(tmp_path / "grid.npz")
    xr.testing.assert_identical(again.predict(), model.predict())
    model.fit([np.arange(12.0), DEPTH], DATA.values)
    assert isinstance(model.predict(), np.ndarray)


def test_dates_are_days_everywhere():
    since = (DAYS - DAYS[0]).astype(float)
    k = Matern(1.5, lengthscale=3.0)
    np.testing.assert_allclose(k(DAYS), k(since), rtol=1e-12)
    np.testing.assert_allclose(k(DAYS - DAYS[0]), k(since), rtol=1e-15)
    hours = pd.DatetimeIndex(DAYS).as_unit("ns") + pd.Timedelta(hours=6)
    np.testing.assert_allclose(k(hours, DAYS[:1])[0, 0], k([0.25], [0.0])[0, 0], rtol=1e-12)
    y = np.sin(since)
    by_date, by_number = (kalman_filter(matern_sde(0.5, 2.0), t, y, noise_var=0.1) for t in (DAYS, since))
    assert float(by_date.log_likelihood) == pytest.approx(float(by_number.log_likelihood), rel=1e-12)
    with pytest.raises(TypeError, match="time zone"):
        k(hours.tz_localize("UTC"))


# ---- entries --------------------------------------------------------------------------------------------------------


def tensor(**options):
    return FunctionalCP(1, kernel="matern32", n_starts=1, tol=1e-2, mean="zero", random_state=0, **options)


def test_observed_cells_are_entries_of_a_functional_tensor(tmp_path):
    model = tensor().fit(DATA)
    assert list(model.feature_names_in_) == ["day", "depth"]
    frame = DATA.to_dataframe().dropna().reset_index()
    same = tensor().fit(frame[["day", "depth"]], frame["temperature"])
    mean, std = model.predict(DATA, return_std=True)
    assert mean.dims == DATA.dims
    assert (mean.name, std.name) == ("temperature", "temperature_std")
    flat = same.predict(DATA.to_dataframe().reset_index()[["day", "depth"]])
    np.testing.assert_array_equal(mean.values.reshape(-1), flat)
    np.testing.assert_array_equal(model.predict(DATA.transpose("depth", "day")).values, mean.values)
    assert model.score(DATA) == same.score(frame[["day", "depth"]], frame["temperature"]) > 0.9
    assert model.factor(0, DAYS[:3]).shape == (3, 1)
    model.save(tmp_path / "tensor.npz")
    again = structkit.load(tmp_path / "tensor.npz")
    xr.testing.assert_identical(again.predict(DATA), mean)
    with pytest.raises(ShapeError, match="X has the axes day, height; expected day, depth"):
        again.predict(DATA.rename(depth="height"))


def test_streams_of_labelled_arrays():
    model = tensor().partial_fit(DATA[:8]).partial_fit(DATA[8:])
    assert model.score(DATA) > 0.8
    with pytest.raises(ValueError, match="FunctionalCP was fitted with day, depth"):
        model.partial_fit(DATA.rename(depth="height"))


def test_columns_that_are_no_numbers_are_named():
    frame = pd.DataFrame({"day": DAYS, "place": ["a", "b"] * 6})
    with pytest.raises(TypeError, match=r"X\['place'\] must hold real numbers"):
        tensor().fit(frame, np.ones(12))
    zoned = pd.DataFrame({"day": pd.DatetimeIndex(DAYS).tz_localize("UTC"), "x": np.arange(12)})
    with pytest.raises(TypeError, match=r"X\['day'\] must hold real numbers; .*time zone"):
        tensor().fit(zoned, np.ones(12))


# ---- samples --------------------------------------------------------------------------------------------------------


def test_samples_of_a_dictionary_keep_their_axes(tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((300, 6)) * (rng.random((300, 6)) < 0.2)
    D = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    X = xr.DataArray((codes @ D.T).reshape(300, 2, 3), dims=["shot", "row", "column"], name="pixels")
    X = X.assign_coords(shot=np.arange(10, 310), column=["a", "b", "c"])
    model = OrthogonalDictionary(shape=(2, 3), threshold=0.0, random_state=0).fit(X)
    found = model.transform(X)
    assert found.dims == ("shot", "row_atom", "column_atom")
    np.testing.assert_array_equal(found.values, model.transform(X.values))
    back = model.inverse_transform(found)
    xr.testing.assert_allclose(back, X)
    assert back.name == "pixels"
    model.save(tmp_path / "atoms.npz")
    xr.testing.assert_identical(structkit.load(tmp_path / "atoms.npz").inverse_transform(found), back)
    rows = OrthogonalDictionary(threshold=0.0, random_state=0).fit(X.values.reshape(300, 6))
    flat = xr.DataArray(X.values.reshape(300, 6), dims=["shot", "feature"])
    assert rows.transform(flat).dims == ("shot", "atom")
