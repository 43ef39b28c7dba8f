import math

import numpy as np
import pytest

from structkit.datasets import MeasuredTensor
from tests.paper import tucker_cases, tucker_protocol
from tests.paper.tucker_cases import CASES, Case, MissingData, cases
from tests.paper.tucker_protocol import Twin, main, run, score, summary, table

SOME_LEVELS = {
    "lat": np.array([30.0, 40.0, 50.0]),
    "lon_w": 80.0 + np.arange(20),
    "year": 1900 + np.arange(30),
}


class Oracle:
    """Predicts the mean of the new values with a given deviation."""

    noise_var_ = 4.0
    n_iter_ = 7

    def __init__(self, std):
        self.std = std

    def fit(self, X, y):
        self.mean = y.mean()

    def predict(self, X, *, return_std, include_noise):
        assert return_std
        assert include_noise
        return np.full(len(X), self.mean), np.full(len(X), self.std)


@pytest.fixture
def us_file(tmp_path, monkeypatch):
    """A file in the format of the temperatures: every cell in most of the years, and two thin years."""
    index = np.stack(np.meshgrid(np.arange(3), np.arange(20), np.arange(30), indexing="ij"), -1).reshape(-1, 3)
    index = index[~(np.isin(index[:, 2], [0, 1]) & (index[:, 1] > 2))].repeat(2, axis=0)
    rng = np.random.default_rng(0)
    arrays = {"idx": index, "value": rng.normal(50.0, 5.0, len(index)), "group_fold": rng.integers(5, size=len(index))}
    tests = {f"test{k}": rng.choice(len(index), 50, replace=False) for k in range(3)}
    np.savez(tmp_path / "us_temp.npz", **SOME_LEVELS, **arrays, **tests)
    monkeypatch.setenv("STRUCTKIT_DATA", str(tmp_path))


def known_case():
    rng = np.random.default_rng(0)
    f = np.zeros(4000)
    y = 2.0 * rng.standard_normal(4000)
    X = rng.random((4000, 2))
    return Case("known", X, np.array([1.0, -1.0] * 2000), X, y, f_new=f, noise_std=2.0, parts={"low": X[:, 0] < 0.5})


def test_scores_of_a_known_prediction():
    rows = run(known_case(), lambda: Oracle(2.0), "oracle")
    whole, low = rows
    assert (whole.part, low.part) == ("", "low")
    # statistical: 4000 normal errors of deviation 2; four standard errors
    assert whole.rmse == pytest.approx(2.0, abs=4 * 2 / math.sqrt(8000))
    assert whole.mae == pytest.approx(2 * math.sqrt(2 / math.pi), abs=4 * 1.2 / math.sqrt(4000))
    assert whole.coverage == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4000))
    assert whole.nlpd == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 4), abs=4 * math.sqrt(0.5 / 4000))
    assert (whole.f_rmse, whole.noise, whole.n_iter) == (0.0, 1.0, 7.0)
    assert low.rmse != whole.rmse


def test_intervals_that_are_too_narrow_are_seen():
    found = run(known_case(), lambda: Oracle(1.0))[0]
    assert found.coverage < 0.65
    assert found.nlpd > run(known_case(), lambda: Oracle(2.0))[0].nlpd


def test_predictions_without_deviation_have_no_coverage():
    case = known_case()
    row = score(case, "average", np.zeros(4000))[0]
    assert math.isnan(row.coverage)
    assert row.rmse == pytest.approx(np.sqrt(np.mean(case.y_new**2)))


def test_summary_averages_over_cases_by_part_and_model():
    rows = run(known_case(), lambda: Oracle(2.0), "a") + run(known_case(), lambda: Oracle(1.0), "b")
    rows += run(known_case(), lambda: Oracle(1.0), "a")
    means = {(r.part, r.name): r for r in summary(rows)}
    assert set(means) == {("", "a"), ("low", "a"), ("", "b"), ("low", "b")}
    assert means["", "a"].coverage == pytest.approx((rows[0].coverage + rows[4].coverage) / 2)
    assert "known, low" in table(rows)


@pytest.mark.parametrize("name", [n for n in CASES if not n.endswith("100000")])
def test_cases_hold_out_what_they_say(name, us_file):
    case = next(cases(name))
    assert len(case.X) == len(case.y) > 100
    assert len(case.X_new) == len(case.y_new) > 0
    for predict in case.baselines.values():
        assert np.isfinite(predict(case.X, case.y, case.X_new)).all()


@pytest.mark.parametrize(("name", "modes", "count"), [("years", [2], 8), ("cells", [0, 1], 12), ("days", [2], 150)])
def test_withheld_indexes_are_unseen_and_change_with_the_seed(name, modes, count, us_file):
    first, second = list(cases(name, [0, 1]))
    old, new, other = (np.unique(X[:, modes], axis=0) for X in (first.X, first.X_new, second.X_new))
    assert len(new) == count
    assert not set(map(tuple, old)) & set(map(tuple, new))
    assert not np.array_equal(new, other)


def test_thin_years_stay_in_the_training_entries(us_file):
    for case in cases("years", range(20)):
        assert case.X_new[:, 2].min() >= 1902


def test_a_missing_file_says_how_to_name_it(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("STRUCTKIT_DATA", raising=False)
    with pytest.raises(MissingData, match="STRUCTKIT_DATA is not set"):
        next(cases("us"))
    assert main(["--case", "us"]) == 0
    assert "us: left out. STRUCTKIT_DATA is not set" in capsys.readouterr().out
    monkeypatch.setenv("STRUCTKIT_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"us_temp.npz does not exist"):
        next(cases("us"))


def test_command_line_compares_models_and_averages(monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.integers(5, size=(300, 2)).astype(float)
    tensor = MeasuredTensor(X, X[:, 0] + X[:, 1], rng.random(300) < 0.2, ("a", "b"), ("", ""), "y", "")
    monkeypatch.setattr(tucker_cases, "beijing_pm25", lambda fold: tensor)
    monkeypatch.setattr(tucker_protocol, "make_model", lambda kind, rank, **options: Oracle(sum(rank)))
    assert main(["--case", "beijing", "--model", "cp", "twin-cp", "--rank", "2", "--fold", "0", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("Beijing fold" in line for line in lines) == 6
    assert sum("mean of 2" in line for line in lines) == 3
    assert sum("train mean" in line for line in lines) == 3


def test_twin_has_published_settings_for_the_real_data_only():
    with pytest.raises(ValueError, match=r"those of .'beijing', 'us'., not of 'bump'"):
        Twin("bump", "cp", 3, 0)
    assert Twin("us", "tucker", 2, 0).standardise
