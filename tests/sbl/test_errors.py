"""Bad input of the sparse models: the right error, before any work, saying what was expected and what came."""

import numpy as np
import pytest

from structkit import BackendMismatchError, NotFiniteError, ShapeError
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL, model

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((4, 6)), RNG.standard_normal((3, 5))
Y = RNG.standard_normal((4, 3))
MODELS = [KroneckerSBL, SeparableSBL, KroneckerOMP, OMP]


def changed(values, position, value):
    out = values.copy()
    out[position] = value
    return out


GIVEN = {
    "shapes that do not multiply up": (
        [A, B],
        np.ones((3, 4)),
        ShapeError,
        r"y has shape \(3, 4\); factors with \(4, 3\)",
    ),
    "flat of the wrong length": ([A, B], np.ones(13), ShapeError, r"y has shape \(13,\)"),
    "no factor": ([], Y, ShapeError, "factors is empty"),
    "a vector as factor": ([A, B[:, 0]], Y, ShapeError, r"factors\[1\] has shape \(3,\)"),
    "a stack as factor": ([A, B[None]], Y, ShapeError, r"factors\[1\] has shape \(1, 3, 5\)"),
    "no columns": ([A, B[:, :0]], Y, ShapeError, r"factors\[1\] has shape \(3, 0\)"),
    "zero column": ([changed(A, (slice(None), 2), 0.0), B], Y, ValueError, r"factors\[0\], column 2 is zero"),
    "nan in a factor": ([A, changed(B, (1, 1), np.nan)], Y, NotFiniteError, r"factors\[1\] holds NaN"),
    "nan in y": ([A, B], changed(Y, (0, 0), np.nan), NotFiniteError, "y holds NaN or infinity; .* complete"),
    "infinite y": ([A, B], changed(Y, (0, 0), np.inf), NotFiniteError, "y holds NaN or infinity"),
    "zero y": ([A, B], np.zeros((4, 3)), ValueError, "y is zero everywhere"),
    "no snapshot": ([A, B], np.ones((4, 3, 0)), ShapeError, "no snapshot"),
    "text": ([A, B], np.full((4, 3), "a"), TypeError, "y has dtype <U1"),
}


@pytest.mark.parametrize("case", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("estimator", MODELS)
def test_factors_and_measurements(estimator, case):
    factors, y, error, message = case
    with pytest.raises(error, match=message):
        estimator().fit(factors, y)


def test_more_snapshots_than_told():
    with pytest.raises(ShapeError, match=r"y of shape \(4, 3, 7\) holds 7 snapshots; n_snapshots=2"):
        KroneckerSBL().fit([A, B], np.ones((4, 3, 7)), n_snapshots=2)


def test_libraries_do_not_mix():
    torch = pytest.importorskip("torch")
    with pytest.raises(BackendMismatchError):
        KroneckerSBL().fit([A, torch.tensor(B)], Y)


OPTIONS = {
    "method": ({"method": "em"}, "method='em'; expected one of 'fb', 'mm'"),
    "noise text": ({"noise_var": "auto"}, "noise_var='auto'; expected 'learn' or"),
    "noise zero": ({"noise_var": 0.0}, "noise_var=0.0; expected 'learn' or"),
    "penalty": ({"penalty": "aic"}, "penalty='aic'; expected 'ebic', 'bic'"),
    "negative penalty": ({"penalty": -1.0}, "penalty=-1.0; expected"),
    "starts": ({"n_starts": 3}, "n_starts=3; expected an integer between 1 and 2"),
    "steps": ({"max_iter": 0}, "max_iter=0; expected an integer >= 1"),
    "tolerance": ({"tol": 0.0}, "tol=0.0; expected a finite number > 0"),
    "threshold": ({"prune_tol": 1.0}, "prune_tol=1.0; expected a number with 0 <= prune_tol < 1"),
    "coupling": ({"coupling": (0.5,)}, "coupling has 1 entries for 2 factors"),
    "start": ({"initial_variance": -1.0}, "initial_variance=-1.0; expected a finite number > 0"),
}


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_options_are_checked_before_any_work(case, monkeypatch):
    def never(*arguments):
        raise AssertionError("work began before the input was checked")

    monkeypatch.setattr(model, "solve", never)
    options, message = case
    with pytest.raises(ValueError, match=message):
        KroneckerSBL(**options).fit([A, B], Y)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (SeparableSBL(0), "rank=0; expected an integer >= 1"),
        (SeparableSBL("many"), "rank='many'; expected an integer >= 1"),
        (KroneckerOMP([1, 2, 3]), "n_nonzero has 3 entries for 2 factors"),
        (KroneckerOMP(9), "n_nonzero=9; expected an integer between 1 and 4"),
        (OMP(13), "n_nonzero=13; expected an integer between 1 and 12"),
        (OMP(noise_var=-1.0), "noise_var=-1.0; expected a finite number > 0"),
    ],
    ids=repr,
)
def test_options_of_the_other_models(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit([A, B], Y)


def test_options_of_the_classic_model():
    with pytest.raises(ValueError, match="method='newton'; expected one of 'mackay', 'em'"):
        SBL("newton").fit(A, Y[:, 0])
    with pytest.raises(ShapeError, match=r"y has shape \(5,\)"):
        SBL().fit(A, np.ones(5))


def test_predictions_through_wrong_dictionaries():
    fitted = KroneckerSBL().fit([A, B], Y)
    with pytest.raises(ShapeError, match=r"factors\[1\] has shape \(3, 4\); the fitted one has 5 columns"):
        fitted.predict([A, B[:, :4]])
    with pytest.raises(ShapeError, match="1 factors; the model was fitted with 2"):
        fitted.predict([A])
    with pytest.raises(ShapeError, match=r"y has shape \(4,\)"):
        fitted.score([A, B], np.ones(4))
