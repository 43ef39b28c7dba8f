import dataclasses
from importlib.resources import files

import numpy as np
import pytest

from structkit.datasets import beijing_pm25, us_temperature


@pytest.fixture(scope="module")
def beijing():
    return beijing_pm25()


def test_sizes_and_levels(beijing):
    assert beijing.X.shape == (16965, 3)
    assert [len(np.unique(x)) for x in beijing.X.T] == [399, 480, 1461]
    assert beijing.X.dtype == beijing.y.dtype == np.float64
    assert beijing.test.dtype == bool


def test_coordinates_lie_in_the_ranges_of_their_units(beijing):
    assert beijing.X.min(0).tolist() == [-15.65, 985.65, 0.0]
    assert beijing.X.max(0).tolist() == [36.95, 1040.95, 1460.0]
    # warm days have low pressure, and the summers of 2013 to 2016 are warm
    assert np.corrcoef(beijing.X[:, 0], beijing.X[:, 1])[0, 1] < -0.7
    season = np.cos(2 * np.pi * (beijing.X[:, 2] - 137) / 365.25)  # day 137: the middle of July 2013
    assert np.corrcoef(beijing.X[:, 0], season)[0, 1] > 0.9


def test_values_are_standardised(beijing):
    # single precision in the file
    assert abs(beijing.y.mean()) < 1e-5
    assert abs(beijing.y.std(ddof=1) - 1) < 1e-6


def test_replicates_differ_by_the_documented_noise(beijing):
    _, group = np.unique(beijing.X, axis=0, return_inverse=True)
    count = np.bincount(group)
    squares = np.bincount(group, beijing.y**2) - np.bincount(group, beijing.y) ** 2 / count
    assert np.sqrt(squares.sum() / (count - 1).sum()) == pytest.approx(0.13, abs=0.005)


def test_splits_hold_out_a_fifth_and_differ():
    tests = [beijing_pm25(fold).test for fold in range(3)]
    assert [t.sum() for t in tests] == [3393] * 3
    # independent random fifths share a fifth of their entries: 679, standard deviation 21
    assert 600 < (tests[0] & tests[1]).sum() < 760


def test_training_and_test_entries_are_all_entries(beijing):
    assert len(beijing.X_train) + len(beijing.X_test) == len(beijing.X)
    assert np.array_equal(beijing.X[beijing.test], beijing.X_test)
    assert np.array_equal(beijing.y[~beijing.test], beijing.y_train)
    assert len(beijing.y_test) == len(beijing.X_test)


def test_source_and_licence_are_named(beijing):
    assert "10.24432/C5RK5G" in beijing.attribution
    assert "CC BY 4.0" in beijing.attribution
    assert len(beijing.names) == len(beijing.units) == 3


def test_file_is_small():
    path = files("structkit.datasets") / "data" / "beijing_pm25.npz"
    assert len(path.read_bytes()) < 200_000


def test_record_is_frozen_and_every_call_has_arrays_of_its_own(beijing):
    with pytest.raises(dataclasses.FrozenInstanceError):
        beijing.X = None
    other = beijing_pm25()
    other.y[:] = 0
    assert beijing.y.std() > 0


@pytest.mark.parametrize("fold", [-1, 3, 1.5, True, "0"])
def test_unknown_fold(fold):
    with pytest.raises(ValueError, match="expected an integer from 0 to 2"):
        beijing_pm25(fold)


ARRAYS = {
    "lat": np.array([30.0, 40.0]),
    "lon_w": np.array([80.0, 90.0, 100.0]),
    "year": np.array([1900, 1950], np.int16),
    "idx": np.array([[0, 2, 1], [1, 0, 0], [1, 1, 1]], np.int16),
    "value": np.array([70.0, 50.0, 52.0], np.float32),
    "group_fold": np.array([0, 1, 1], np.int8),
    "test0": np.array([2], np.uint16),
}


def write(path, without=()):
    np.savez(path, **{k: v for k, v in ARRAYS.items() if k not in without})
    return path


def test_file_of_temperatures(tmp_path):
    tensor = us_temperature(write(tmp_path / "us.npz"), fold=1)
    assert tensor.X.tolist() == [[30, 100, 1950], [40, 80, 1900], [40, 90, 1950]]
    assert tensor.y.tolist() == [70, 50, 52]
    assert tensor.test.tolist() == [False, True, True]
    assert us_temperature(str(tmp_path / "us.npz"), split="random").test.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "other"}, 'expected "grouped" or "random"'),
        ({"fold": 2}, "expected an integer from 0 to 1"),
        ({"fold": 1, "split": "random"}, "expected an integer from 0 to 0"),
    ],
)
def test_unknown_split(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        us_temperature(write(tmp_path / "us.npz"), **options)


def test_incomplete_or_missing_file(tmp_path):
    with pytest.raises(ValueError, match="no array 'year'; it holds group_fold"):
        us_temperature(write(tmp_path / "us.npz", without=("year",)))
    with pytest.raises(FileNotFoundError):
        us_temperature(tmp_path / "nowhere.npz")
