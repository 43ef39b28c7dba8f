"""What the pictures of dictionaries show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from structkit import ShapeError
from structkit.plotting import plot_atoms, plot_code_sparsity, plot_recovery


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def test_tiles_hold_the_atoms_in_reading_order():
    atoms = np.random.default_rng(0).standard_normal((5, 6))
    ax = plot_atoms(atoms, (2, 3), n_columns=2)
    canvas = np.ma.getdata(ax.images[0].get_array())
    assert canvas.shape == (3 * 3 + 1, 2 * 4 + 1)
    for k, (top, left) in enumerate([(1, 1), (1, 5), (4, 1), (4, 5), (7, 1)]):
        expected = atoms[k].reshape(2, 3) / np.abs(atoms[k]).max()
        np.testing.assert_allclose(canvas[top : top + 2, left : left + 3], expected)
    assert np.isnan(canvas[7:9, 5:8]).all()
    assert ax.images[0].get_clim() == (-1, 1)


def test_given_axes_are_used_and_a_zero_atom_is_grey():
    first, second, third = plt.subplots(1, 3)[1]
    assert plot_atoms(np.zeros((1, 4)), ax=first) is first
    assert np.nanmax(np.abs(np.ma.getdata(first.images[0].get_array()))) == 0
    assert plot_recovery([1], {"a": [1.0]}, ax=second) is second
    assert plot_code_sparsity([[1.0]], ax=third) is third


def test_recovery_draws_medians_with_the_range_of_the_runs():
    runs = np.array([[1.0, 0.1], [2.0, 0.3], [4.0, 0.2]])
    ax = plot_recovery([10, 100], {"several": runs, "one": [1.0, 0.5]})
    several, one = ax.lines
    assert several.get_ydata().tolist() == [2.0, 0.2]
    assert one.get_ydata().tolist() == [1.0, 0.5]
    (band,) = ax.collections
    assert band.get_paths()[0].get_extents().extents.tolist() == [10.0, 0.1, 100.0, 4.0]
    assert ax.get_legend_handles_labels()[1] == ["several", "one"]


def test_sparsity_counts_the_energy_of_the_largest_codes():
    codes = np.array([[3.0, 0.0, 4.0], [0.0, 5.0, 0.0]])
    expected = [0.0, 41 / 50, 1.0, 1.0]
    np.testing.assert_allclose(plot_code_sparsity(codes).lines[0].get_ydata(), expected)
    np.testing.assert_allclose(plot_code_sparsity(codes[:, :, None], label="x").lines[0].get_ydata(), expected)
    assert plot_code_sparsity(np.zeros((2, 2))).lines[0].get_ydata().tolist() == [0.0, 0.0, 0.0]


def test_bad_input():
    with pytest.raises(ShapeError, match=r"atoms of 5 numbers; shape \(2, 2\) does not fit"):
        plot_atoms(np.ones((2, 5)))
    with pytest.raises(ShapeError, match=r"components has shape \(4,\)"):
        plot_atoms(np.ones(4))
    with pytest.raises(ShapeError, match=r"errors\['a'\] has shape \(3,\); expected 2 values per run"):
        plot_recovery([1, 2], {"a": [1.0, 2.0, 3.0]})
    with pytest.raises(ShapeError, match=r"codes has shape \(3,\)"):
        plot_code_sparsity(np.ones(3))
