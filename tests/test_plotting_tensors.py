"""What the pictures of functional tensors show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm

from structkit import NotFittedError, ShapeError
from structkit.plotting import plot_core, plot_factors, plot_predicted, plot_surface
from structkit.tucker import FunctionalCP, FunctionalTucker

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.uniform(10, 20, 300), RNG.uniform(0, 1, 300), RNG.integers(0, 3, 300)])
Y = np.sin(X[:, 0]) * X[:, 1] + X[:, 2] + 0.05 * RNG.standard_normal(300)
OPTIONS = {
    "kernel": ("matern12", "matern12", "discrete"),
    "n_starts": 2,
    "max_iter": 40,
    "tol": 1e-2,
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


@pytest.fixture(scope="module")
def cp():
    return FunctionalCP(2, mean="main-effects", **OPTIONS).fit(X, Y)


@pytest.fixture(scope="module")
def tucker():
    return FunctionalTucker((2, 3, 2), mean="constant", **OPTIONS).fit(X, Y)


def bounds(band):
    """Lower and upper edge of a filled band, by coordinate."""
    corners = band.get_paths()[0].vertices
    x = np.unique(corners[:, 0])
    return x, *(np.array([edge(corners[corners[:, 0] == t, 1]) for t in x]) for edge in (np.min, np.max))


# ---- latent functions ------------------------------------------------------------------------------------------------


def test_functions_are_drawn_with_their_bands(cp, ax):
    t = np.linspace(9, 21, 50)
    assert plot_factors(cp, 0, t[::-1], functions=[1], level=0.8, ax=ax) is ax
    mean, std = cp.factor(0, t, return_std=True)
    curve = next(line for line in ax.lines if line.get_label() == "function 1")
    np.testing.assert_allclose(curve.get_xydata(), np.column_stack([t, mean[:, 1]]))
    x, low, high = bounds(ax.collections[0])
    np.testing.assert_allclose(x, t)
    np.testing.assert_allclose(high - low, 2 * norm.ppf(0.9) * std[:, 1], atol=1e-12)


def test_default_is_the_functions_in_use_over_the_range_of_the_levels(cp, ax):
    plot_factors(cp, 1, ax=ax)
    strongest = np.argsort(-np.abs(cp.core_))[: cp.rank_]
    assert ax.get_legend_handles_labels()[1] == [f"function {k}" for k in strongest]
    curve = next(line for line in ax.lines if line.get_label() == f"function {strongest[0]}")
    assert np.ptp(curve.get_xdata()) == pytest.approx(np.ptp(X[:, 1]))
    assert len(curve.get_xdata()) == 400


def test_main_effect_is_in_units_of_the_data(cp, ax):
    t = np.linspace(10, 20, 9)
    plot_factors(cp, 0, t, effect=True, ax=ax)
    curve = next(line for line in ax.lines if line.get_label() == "main effect")
    np.testing.assert_allclose(curve.get_ydata(), cp.effect(0, t))


def test_discrete_levels_are_dots_with_bars(tucker, ax):
    plot_factors(tucker, 2, functions=[0], level=0.9, ax=ax)
    mean, std = tucker.factor(2, [0, 1, 2], return_std=True)
    (dots,) = ax.containers
    np.testing.assert_allclose(dots.lines[0].get_xydata(), np.column_stack([[0, 1, 2], mean[:, 0]]))
    lengths = [np.ptp(bar[:, 1]) for bar in dots.lines[2][0].get_segments()]
    np.testing.assert_allclose(lengths, 2 * norm.ppf(0.95) * std[:, 0])


def test_levels_are_marked_where_they_are_few(cp):
    marks = [line for line in plot_factors(cp, 2).lines if line.get_marker() == "|"]
    np.testing.assert_allclose(marks[0].get_xdata(), [0, 1, 2])
    assert not [line for line in plot_factors(cp, 0).lines if line.get_marker() == "|"]


def test_a_process_of_the_user_keeps_its_units():
    from structkit.statespace import matern_sde

    model = FunctionalCP(1, kernel=matern_sde(0.5, 2.0), mean="zero", n_starts=1, max_iter=40, tol=1e-2, random_state=0)
    curve = plot_factors(model.fit(X[:, :1], Y), 0).lines[1]
    assert np.ptp(curve.get_xdata()) == pytest.approx(np.ptp(X[:, 0]))
    assert curve.get_xdata()[0] == pytest.approx(X[:, 0].min())


@pytest.mark.parametrize("arguments", [{"mode": 3}, {"mode": -1}, {"mode": 0, "functions": [2]}])
def test_functions_that_do_not_exist(cp, arguments):
    with pytest.raises(IndexError, match="counted from 0"):
        plot_factors(cp, **arguments)


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_weights_of_components_are_bars(cp, ax):
    assert plot_core(cp, ax=ax) is ax
    np.testing.assert_array_equal([bar.get_height() for bar in ax.patches], cp.core_)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_core_is_unfolded(tucker, mode, ax):
    plot_core(tucker, mode=mode, ax=ax)
    core = tucker.core_
    expected = np.moveaxis(core, mode, 0).reshape(core.shape[mode], -1)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    low, high = ax.images[0].get_clim()
    assert -low == high == np.abs(core).max()
    first, last = [core.shape[d] for d in range(3) if d != mode]
    assert [line.get_xdata()[0] for line in ax.lines] == [last * k - 0.5 for k in range(1, first)]
    assert ax.get_xticklabels()[-1].get_text() == f"{first - 1},{last - 1}"


# ---- predictions -----------------------------------------------------------------------------------------------------


def test_few_points_have_an_interval_each(ax):
    y, mean, std = np.array([0.0, 1.0, np.nan, 5.0]), np.array([0.1, 1.0, 2.0, 3.0]), np.array([0.1, 0.0, 1.0, 1.0])
    assert plot_predicted(y, mean, std, level=0.9, ax=ax) is ax
    assert ax.get_legend_handles_labels()[1] == ["covered: 2", "not covered: 1"]
    assert "cover 66.7 %" in ax.get_title()
    assert f"RMSE {np.sqrt((0.01 + 4) / 3):.3g}" in ax.get_title()
    (missed,) = ax.containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose(missed, [[3 - norm.ppf(0.95), 5], [3 + norm.ppf(0.95), 5]])


def test_many_points_are_counted_and_the_band_has_the_average_width(ax):
    rng = np.random.default_rng(0)
    mean, std = rng.standard_normal(2000), np.full(2000, 0.5)
    plot_predicted(mean + std * rng.standard_normal(2000), mean, std, level=0.9, ax=ax)
    assert ax.collections[0].get_array().sum() == 2000
    low, high = (line.get_ydata() for line in ax.lines[1:])
    np.testing.assert_allclose(high - low, 2 * norm.ppf(0.95) * 0.5)
    # statistical: about four standard errors of a share of 0.9 among 2000
    assert abs(float(ax.get_title().split()[-2]) - 90) < 2.7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], [1.0, 2.0], [1.0]), ShapeError, "vectors of one length"),
        (([1.0], [1.0], [-1.0]), ValueError, "standard deviations are >= 0"),
        (([np.nan], [1.0], [1.0]), ValueError, "nothing to compare"),
        (([1.0], [1.0], [1.0], 1.0), ValueError, "probability between 0 and 1"),
    ],
)
def test_bad_predictions(arguments, error, message):
    with pytest.raises(error, match=message):
        plot_predicted(*arguments[:3], level=(*arguments, 0.9)[3])


# ---- surfaces --------------------------------------------------------------------------------------------------------


def test_a_surface_is_the_prediction_over_two_modes(cp):
    coords = [np.linspace(10, 20, 5), np.linspace(0, 1, 4)]
    panels = plot_surface(cp, modes=(0, 1), at=[2.0], coords=coords)
    entries = np.array([[s, t, 2.0] for t in coords[1] for s in coords[0]])
    for panel, expected in zip(panels, cp.predict(entries, return_std=True), strict=True):
        np.testing.assert_allclose(panel.collections[0].get_array(), expected.reshape(4, 5))
    assert (panels[0].get_xlabel(), panels[0].get_ylabel()) == ("mode 0", "mode 1")


def test_modes_may_be_swapped_and_the_rest_is_at_its_median(tucker):
    panels = plt.subplots(1, 2)[1]
    found = plot_surface(tucker, modes=(2, 1), ax=panels, X=X)
    assert found[0] is panels[0]
    values = panels[0].collections[0].get_array()
    assert values.shape == (80, 3)
    corner = [np.median(X[:, 0]), X[:, 1].min(), 0.0]
    assert values[0, 0] == pytest.approx(tucker.predict([corner])[0])
    assert len(panels[1].lines[0].get_xdata()) == len(X)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"modes": (0, 0)}, ValueError, "names one mode twice"),
        ({"modes": (0, 3)}, IndexError, "mode 3 does not exist"),
        ({"at": [1.0, 2.0]}, ShapeError, r"expected one for each of the modes \[2\]"),
        ({"coords": [[1.0]]}, ShapeError, "coords holds 1 arrays"),
        ({"ax": [None]}, ShapeError, "ax holds 1 axes"),
        ({"X": np.zeros(3)}, ShapeError, r"X has shape \(3,\)"),
    ],
)
def test_bad_surfaces(cp, arguments, error, message):
    with pytest.raises(error, match=message):
        plot_surface(cp, **arguments)


# ---- manners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [lambda m: plot_factors(m, 0), plot_core, plot_surface])
def test_unfitted_models_are_not_drawn(draw):
    with pytest.raises(NotFittedError, match="This FunctionalCP is not fitted"):
        draw(FunctionalCP(2))


def test_settings_of_matplotlib_stay_and_no_other_figure_is_opened(cp, tucker, ax):
    before = dict(plt.rcParams)
    for draw in (
        lambda: plot_factors(cp, 0, ax=ax),
        lambda: plot_core(tucker, ax=ax),
        lambda: plot_predicted([0.0], [0.0], [1.0], ax=ax),
        lambda: plot_surface(cp, ax=[ax, ax]),
    ):
        draw()
    assert dict(plt.rcParams) == before
    assert plt.get_fignums() == [ax.figure.number]
