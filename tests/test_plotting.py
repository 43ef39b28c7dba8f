"""What the pictures show: the numbers in lines, bands and images."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.stats import norm

from structkit import NotFittedError, ShapeError, load
from structkit.gp import FreeCovariance, GridGP, Matern, SquaredExponential
from structkit.plotting import (
    plot_band,
    plot_calibration,
    plot_correlation,
    plot_grid_posterior,
    plot_history,
    plot_kernel,
    plot_posterior_line,
)

X = np.array([0.0, 2.0, 1.0, 4.0])
MEAN = np.array([1.0, 3.0, 2.0, 0.0])
STD = np.array([0.1, 0.2, 0.3, 0.0])
ORDER = np.argsort(X)


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


@pytest.fixture(scope="module")
def model():
    """A fitted grid: first axis uneven and unsorted, last axis without coordinates, some cells hidden."""
    rng = np.random.default_rng(0)
    coords = [np.array([0.0, 2.0, 1.0, 3.5, 5.0]), np.linspace(0, 1, 6), None]
    y = np.sin(coords[0])[:, None, None] + coords[1][:, None] * np.array([1.0, -1.0, 2.0])
    y = y + 0.05 * rng.standard_normal(y.shape)
    y[1:3, 2:4, 1] = np.nan
    kernels = [SquaredExponential(1.5), SquaredExponential(0.5), FreeCovariance(matrix=np.eye(3) + 0.3)]
    return GridGP(kernels, noise_var=0.01, learn_kernels=False, random_state=0).fit(coords, y)


def mesh(ax):
    """Corners and values of the only image in some axes."""
    (found,) = ax.collections
    corners = found.get_coordinates()
    return corners[0, :, 0], corners[:, 0, 1], found.get_array()


# ---- bands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_band_has_mean_and_quantiles_in_order_of_x(ax, level):
    plot_band(X, MEAN, STD, level=level, ax=ax)
    assert np.array_equal(ax.lines[0].get_xydata(), np.column_stack([X, MEAN])[ORDER])
    corners = ax.collections[0].get_paths()[0].vertices
    for x, m, s in zip(X, MEAN, STD, strict=True):
        at = corners[corners[:, 0] == x, 1]
        assert np.allclose([at.min(), at.max()], norm.interval(level, m, s) if s else (m, m), rtol=1e-12)


def test_band_takes_torch(ax):
    plot_band(*(torch.tensor(a) for a in (X, MEAN, STD)), ax=ax)
    assert np.array_equal(ax.lines[0].get_ydata(), MEAN[ORDER])


def test_band_is_named_and_coloured(ax):
    plot_band(X, MEAN, STD, ax=ax, color="#009E73", label="mine")
    assert ax.get_legend_handles_labels()[1] == ["mine"]
    assert mpl.colors.same_color(ax.lines[0].get_color(), "#009E73")
    assert mpl.colors.same_color(ax.collections[0].get_facecolor()[0][:3], "#009E73")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X, MEAN[:3], STD), {}, ShapeError, r"mean \(3,\)"),
        ((X[:, None], MEAN[:, None], STD[:, None]), {}, ShapeError, "vectors of one length"),
        ((X, MEAN, -STD), {}, ValueError, "-0.3; standard deviations"),
        ((X, MEAN, STD * np.nan), {}, ValueError, "not NaN"),
        ((X, MEAN, STD), {"level": 1.0}, ValueError, "between 0 and 1"),
        ((X, MEAN, STD), {"level": 95}, ValueError, "level=95"),
    ],
)
def test_bad_input_of_bands(arguments, options, error, message):
    with pytest.raises(error, match=message):
        plot_band(*arguments, **options)


# ---- calibration --------------------------------------------------------------------------------------------------


def coverage(ax):
    return next(line for line in ax.lines if line.get_label() == "model").get_xydata()


def test_calibration_counts_the_values_inside(ax):
    y = np.array([[0.0, 1.0], [-2.0, 3.0]])
    std = np.array([[1.0, 1.0], [2.0, 1.0]])
    plot_calibration(y, np.zeros((2, 2)), std, ax=ax)
    for level, share in coverage(ax):
        inside = np.abs(y) <= norm.ppf(0.5 + level / 2) * std
        assert share == inside.mean()


def test_calibration_of_the_true_model_follows_the_diagonal(ax):
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 3.0, 20_000)
    plot_calibration(std * rng.standard_normal(20_000), np.zeros(20_000), std, ax=ax)
    level, share = coverage(ax).T
    assert np.abs(level - share).max() < 2 / np.sqrt(20_000)  # statistical: about the 99.9 % point of Kolmogorov's


def test_narrow_bands_lie_under_the_diagonal(ax):
    y = np.random.default_rng(0).standard_normal(1000)
    plot_calibration(y, np.zeros(1000), np.full(1000, 0.5), ax=ax)
    level, share = coverage(ax).T
    assert (share < level).all()


def test_calibration_leaves_nan_out(ax):
    y = np.array([0.0, np.nan, 5.0])
    plot_calibration(y, np.zeros(3), np.array([1.0, np.nan, 1.0]), ax=ax)
    assert np.allclose(coverage(ax)[:, 1], 0.5)


def test_a_certain_and_wrong_prediction_counts_as_outside(ax):
    plot_calibration(np.array([1.0, 0.0]), np.zeros(2), np.zeros(2), ax=ax)
    assert np.allclose(coverage(ax)[:, 1], 0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, MEAN, STD[:3]), ShapeError, "expected one shape"),
        ((X * np.nan, MEAN, STD), ValueError, "nothing to compare"),
        ((X, MEAN, -STD), ValueError, "standard deviations"),
    ],
)
def test_bad_input_of_calibration(arguments, error, message):
    with pytest.raises(error, match=message):
        plot_calibration(*arguments)


# ---- kernels and correlations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "fixed"), [(None, 0.0), (1.5, 1.5)])
def test_kernel_curve_is_the_covariance_with_one_coordinate(ax, at, fixed):
    kernel = Matern(2.5, lengthscale=0.8, variance=3.0)
    plot_kernel(kernel, X, at=at, ax=ax)
    x, values = ax.lines[-1].get_xydata().T
    assert np.array_equal(x, X[ORDER])
    assert np.array_equal(values, kernel([fixed], X[ORDER])[0])
    assert f"{fixed:g}" in ax.get_ylabel()


def test_kernel_of_gpytorch(ax):
    import gpytorch

    plot_kernel(gpytorch.kernels.RBFKernel(), X, ax=ax)
    ell = np.log(2)  # gpytorch's initial lengthscale
    assert np.allclose(ax.lines[-1].get_ydata(), np.exp(-0.5 * (X[ORDER] / ell) ** 2), atol=1e-6)


def test_kernel_needs_coordinates():
    with pytest.raises(ShapeError, match="x is empty"):
        plot_kernel(Matern(), np.zeros(0))
    with pytest.raises(ShapeError, match="vectors"):
        plot_kernel(Matern(), np.zeros((2, 2)))


def test_correlations_are_drawn_on_the_full_scale(ax):
    B = np.array([[4.0, -1.0], [-1.0, 1.0]])
    plot_correlation(FreeCovariance(matrix=B), ax=ax)
    assert np.allclose(ax.images[0].get_array(), [[1.0, -0.5], [-0.5, 1.0]])
    assert ax.images[0].get_clim() == (-1, 1)
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["correlation"]


def test_correlations_refuse_wrong_labels_and_missing_matrices():
    with pytest.raises(ShapeError, match="labels has 1 names; the covariance has 2 levels"):
        plot_correlation(FreeCovariance(matrix=np.eye(2)), labels=["a"])
    with pytest.raises(ValueError, match="no matrix yet"):
        plot_correlation(FreeCovariance())


# ---- learning ------------------------------------------------------------------------------------------------------


def fitted_with(*records):
    return SimpleNamespace(history_=list(records))


def test_history_has_a_line_per_stage_with_gaps(ax):
    model = fitted_with(
        {"stage": "a", "log_evidence": -3.0, "noise_var": 1.0},
        {"stage": "b", "noise_var": 0.5, "change": 0.1},
        {"stage": "a", "log_evidence": -1.0, "noise_var": 0.4},
    )
    plot_history(model, ax=ax)
    (line,) = ax.lines
    assert line.get_label() == "a"
    assert np.array_equal(line.get_xdata(), [1, 2, 3])
    assert np.array_equal(line.get_ydata(), [-3.0, np.nan, -1.0], equal_nan=True)


def test_history_breaks_where_the_optimiser_starts_anew(ax):
    records = [{"stage": "a", "log_evidence": v, "noise_var": 1.0} for v in (-3.0, -2.0, -9.0, -1.0)]
    plot_history(fitted_with(*records), ax=ax)
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1, -3], [2, -2]], [[3, -9], [4, -1]]]
    assert ax.get_legend_handles_labels()[1] == ["a"]


@pytest.mark.parametrize(("quantity", "label"), [("noise_var", "noise variance"), ("change", "change")])
def test_history_of_other_quantities(ax, quantity, label):
    plot_history(fitted_with({"stage": "b", "noise_var": 0.5, "change": 0.1}), quantity=quantity, ax=ax)
    assert ax.get_ylabel() == label
    assert ax.get_yscale() == "log"


def test_history_without_evidence_shows_the_noise(ax):
    assert plot_history(fitted_with({"stage": "b", "noise_var": 0.5}), ax=ax).get_ylabel() == "noise variance"


def test_history_of_a_real_fit(ax):
    x = np.linspace(0, 1, 20)
    model = GridGP([Matern(1.5)], random_state=0).fit([x], np.sin(9 * x))
    plot_history(model, ax=ax)
    drawn = np.concatenate([line.get_ydata() for line in ax.lines])
    assert np.nanmax(drawn) == max(r["log_evidence"] for r in model.history_)


def test_history_refuses_what_was_not_recorded():
    with pytest.raises(ValueError, match="history_ has no 'change'; it records log_evidence"):
        plot_history(fitted_with({"stage": "a", "log_evidence": -3.0}), quantity="change")
    with pytest.raises(ValueError, match="nothing was learned"):
        plot_history(fitted_with())


# ---- grids ---------------------------------------------------------------------------------------------------------


def test_slice_shows_observations_mean_and_deviation(model):
    panels = plot_grid_posterior(model, axes=(0, 1), index=[1])
    mean, std = model.predict(return_std=True)
    rows = np.argsort(model._data.coords[0])
    expected = (np.where(model._data.weights > 0, model._data.y, np.nan), mean, std)
    for panel, values in zip(panels, expected, strict=True):
        _, _, drawn = mesh(panel)
        assert np.array_equal(np.ma.filled(drawn, np.nan), values[rows][:, :, 1], equal_nan=True)


def test_cells_reach_halfway_to_their_neighbours(model):
    columns, rows, _ = mesh(plot_grid_posterior(model)[1])
    assert np.allclose(rows, [-0.5, 0.5, 1.5, 2.75, 4.25, 5.75])
    assert np.allclose(columns, np.linspace(-0.1, 1.1, 7))


def test_axes_may_be_swapped_and_have_no_coordinates(model):
    panel = plot_grid_posterior(model, axes=(2, 0), index=[3])[1]
    _, rows, drawn = mesh(panel)
    assert np.allclose(rows, [-0.5, 0.5, 1.5, 2.5])
    assert np.array_equal(drawn, model.predict()[np.argsort(model._data.coords[0]), 3].T)
    assert (panel.get_xlabel(), panel.figure.axes[0].get_ylabel()) == ("axis 0", "axis 2")


def test_middle_levels_are_the_default(model):
    assert np.array_equal(mesh(plot_grid_posterior(model)[1])[2], mesh(plot_grid_posterior(model, index=[1])[1])[2])


def test_observed_and_mean_share_their_colours(model):
    first, second, third = plot_grid_posterior(model)
    assert first.collections[0].get_clim() == second.collections[0].get_clim()
    assert third.collections[0].get_clim()[0] == 0.0


@pytest.mark.parametrize(("origin", "inverted"), [("upper", True), ("lower", False)])
def test_origin(model, origin, inverted):
    assert [a.yaxis_inverted() for a in plot_grid_posterior(model, origin=origin)] == [inverted] * 3


def test_a_slice_without_observations_is_drawn():
    y = np.full((4, 5, 2), np.nan)
    y[..., 0] = np.arange(20.0).reshape(4, 5)
    coords = [np.arange(4.0), np.arange(5.0), np.arange(2.0)]
    kernels = [SquaredExponential(2.0), SquaredExponential(2.0), SquaredExponential(1.0)]
    model = GridGP(kernels, noise_var=0.1, learn_kernels=False).fit(coords, y)
    first, second, _ = plot_grid_posterior(model, index=[1])
    assert np.ma.getmaskarray(mesh(first)[2]).all()
    assert np.array_equal(mesh(second)[2], model.predict()[..., 1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axes": (0, 3)}, ShapeError, "axis 3 is no axis of the grid, which has 3"),
        ({"axes": (0, -3)}, ValueError, "names one axis twice"),
        ({"index": [3]}, ShapeError, "axis 2 has 3"),
        ({"index": [0, 0]}, ShapeError, "one level for each remaining axis"),
        ({"ax": []}, ShapeError, "ax holds 0 axes; expected three"),
        ({"origin": "left"}, ValueError, "origin='left'"),
    ],
)
def test_bad_input_of_slices(model, options, error, message):
    with pytest.raises(error, match=message):
        plot_grid_posterior(model, **options)


def test_torch_models_and_loaded_models_are_drawn(tmp_path):
    x = np.linspace(0, 1, 6)
    y = torch.tensor(np.where(np.eye(6) > 0, np.nan, x[:, None] + x))
    kernels = [SquaredExponential(0.5), SquaredExponential(0.5)]
    model = GridGP(kernels, noise_var=0.01, learn_kernels=False, random_state=0).fit([x, x], y)
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    for drawn in (model, loaded):
        first, second, third = plot_grid_posterior(drawn)
        assert np.array_equal(np.ma.getmaskarray(mesh(first)[2]), np.eye(6, dtype=bool))
        mean, std = model.predict(return_std=True)
        assert np.array_equal(mesh(second)[2], mean.numpy())
        assert np.array_equal(mesh(third)[2], std.numpy())


def test_line_shows_band_and_observations(model, ax):
    plot_posterior_line(model, axis=0, index=[2, 1], ax=ax)
    mean, std = model.predict(return_std=True)
    x = model._data.coords[0]
    line, dots = ax.lines
    assert np.array_equal(line.get_xydata(), np.column_stack([x, mean[:, 2, 1]])[np.argsort(x)])
    assert np.array_equal(dots.get_xdata(), x)
    assert np.array_equal(np.isnan(dots.get_ydata()), [False, True, True, False, False])
    corners = ax.collections[0].get_paths()[0].vertices
    top = corners[corners[:, 0] == 5.0, 1].max()
    assert np.isclose(top, mean[4, 2, 1] + norm.ppf(0.975) * std[4, 2, 1], rtol=1e-12)


def test_pictures_of_grids_need_a_fitted_model():
    for draw in (plot_grid_posterior, plot_posterior_line, plot_history):
        with pytest.raises(NotFittedError, match="call fit"):
            draw(GridGP([Matern()]))


def test_a_slice_needs_two_axes():
    x = np.linspace(0, 1, 5)
    model = GridGP([Matern()], noise_var=0.1, learn_kernels=False).fit([x], x)
    with pytest.raises(ShapeError, match="plot_posterior_line"):
        plot_grid_posterior(model)


# ---- manners -------------------------------------------------------------------------------------------------------

DRAW = {
    "band": lambda ax: plot_band(X, MEAN, STD, ax=ax),
    "calibration": lambda ax: plot_calibration(X, MEAN, STD + 1, ax=ax),
    "kernel": lambda ax: plot_kernel(Matern(), X, ax=ax),
    "correlation": lambda ax: plot_correlation(FreeCovariance(matrix=np.eye(2)), ax=ax),
    "history": lambda ax: plot_history(fitted_with({"stage": "a", "noise_var": 0.5}), ax=ax),
}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_given_axes_are_used_and_no_figure_is_opened(draw, ax):
    before = plt.get_fignums()
    assert draw(ax) is ax
    assert plt.get_fignums() == before


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_without_axes_one_figure_is_opened(draw):
    assert draw(None).figure.number in plt.get_fignums()
    assert len(plt.get_fignums()) == 1


def test_given_axes_of_a_slice_are_used(model):
    panels = plt.subplots(1, 3)[1]
    before = plt.get_fignums()
    assert all(a is b for a, b in zip(plot_grid_posterior(model, ax=panels), panels, strict=True))
    assert plt.get_fignums() == before


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_settings_of_matplotlib_stay(draw, ax):
    before = dict(mpl.rcParams)
    draw(ax)
    assert dict(mpl.rcParams) == before


def test_axes_are_labelled(ax, model):
    for name in ("calibration", "kernel", "history"):
        drawn = DRAW[name](plt.figure().subplots())
        assert drawn.get_xlabel(), name
        assert drawn.get_ylabel(), name
    plot_posterior_line(model, ax=ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("axis 2", "value")


def test_matplotlib_is_loaded_by_the_first_picture_only():
    code = "import sys, structkit.plotting; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
