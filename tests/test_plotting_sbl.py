"""Pictures of sparse models show the numbers of the models."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from structkit import NotFittedError, ShapeError
from structkit.plotting import plot_channel, plot_error_curves, plot_evidence_trace, plot_prior_variances
from structkit.sbl import KroneckerSBL, SeparableSBL, irs_mimo

mpl.use("Agg")
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((10, 14)), RNG.standard_normal((9, 12))
Y = np.outer(A[:, [3, 5]] @ [1.0, 0.5], B[:, 7]) + 0.01 * RNG.standard_normal((10, 9))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("model", [KroneckerSBL(), SeparableSBL()], ids=repr)
def test_stems_stand_at_the_support(model):
    model.fit([A, B], Y)
    axes = plot_prior_variances(model, true_support=[[3, 5], [7]])
    for ax, s in zip(axes, model.support_, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), s)
        assert ax.lines[0].get_ydata().max() == pytest.approx(0.0)
    np.testing.assert_array_equal(axes[0].lines[1].get_xdata(), [3, 5])
    given = plt.subplots(1, 2)[1]
    assert plot_prior_variances(model, axes=given) == list(given)
    trace = plot_evidence_trace(model)
    key = "log_evidence" if "log_evidence" in model.history_[0] else "log_likelihood"
    np.testing.assert_allclose(trace.lines[0].get_ydata(), [r[key] for r in model.history_])


def test_error_curves_are_means_with_deciles():
    runs = RNG.uniform(0.1, 1.0, (11, 3))
    ax = plot_error_curves([1, 2, 3], {"a": runs}, styles={"a": {"color": "k"}}, xlabel="size")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), runs.mean(axis=0))
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(np.quantile(runs, 0.1, axis=0).min())
    assert (ax.get_yscale(), ax.get_xlabel(), ax.lines[0].get_color()) == ("log", "size", "k")


def test_channel_magnitudes():
    H = irs_mimo(random_state=0).channels[0]
    np.testing.assert_allclose(plot_channel(H).images[0].get_array(), np.abs(H))


def test_bad_input():
    model = KroneckerSBL().fit([A, B], Y)
    with pytest.raises(ShapeError, match="The model has 2 modes"):
        plot_prior_variances(model, true_support=[[1]])
    with pytest.raises(ShapeError, match=r"errors\['a'\] has shape \(3,\); expected \(runs, 3\)"):
        plot_error_curves([1, 2, 3], {"a": np.ones(3)})
    with pytest.raises(ShapeError, match="expected a matrix"):
        plot_channel(np.ones(3))
    for draw in (plot_prior_variances, plot_evidence_trace):
        with pytest.raises(NotFittedError):
            draw(KroneckerSBL())
