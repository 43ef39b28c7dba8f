"""What a functional tensor refuses, before any work, and how it says so."""

import numpy as np
import pytest

from structkit._core.errors import NotFiniteError, ShapeError
from tests.tucker.problems import draw, quick

X, Y = draw(30)


def _with(array, value):
    out = np.array(array)
    out[3] = value
    return out


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:, 0], ShapeError, r"X has shape \(30,\); expected \(n, D\)"),
        (X[None], ShapeError, r"X has shape \(1, 30, 3\)"),
        (X[:, :0], ShapeError, r"X has 0 feature\(s\) \(shape=\(30, 0\)\)"),
        (np.full((30, 3), "a"), TypeError, "X must hold real numbers"),
        (X.astype(str), TypeError, "X must hold real numbers"),
        (X + 1j, ValueError, "Complex data not supported: X must hold real numbers"),
        (np.ma.masked_array(X, X > 0.5), TypeError, "X must hold real numbers.*masked array"),
        (_with(X, np.nan), NotFiniteError, r"X\[3, 0\] is nan"),
        (_with(X, np.inf), NotFiniteError, r"X\[3, 0\] is inf"),
    ],
)
def test_coordinates(x, error, message):
    with pytest.raises(error, match=message):
        quick().fit(x, Y)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (Y[:-1], ShapeError, r"y has shape \(29,\); expected \(30,\)"),
        (Y[:, None], ShapeError, r"y has shape \(30, 1\)"),
        (np.full(30, np.nan), ValueError, "y holds no value"),
        (_with(Y, np.inf), NotFiniteError, r"y\[3\] is infinite"),
        (np.full(30, object()), TypeError, "y must hold real numbers"),
        (Y + 1j, ValueError, "Complex data not supported: y must hold real numbers"),
        (np.ma.masked_array(Y, Y > 0), TypeError, "y must hold real numbers.*masked array"),
        (None, ValueError, "fit requires y to be passed, but the target y is None"),
    ],
)
def test_values(y, error, message):
    with pytest.raises(error, match=message):
        quick().fit(X, y)


def test_no_entries():
    with pytest.raises(ValueError, match="y holds no value"):
        quick().fit(X[:0], Y[:0])


@pytest.mark.parametrize("form", ["cp", "tucker"])
@pytest.mark.parametrize(
    ("rank", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, ValueError), ("2", TypeError), ([1, 2], ShapeError)],
)
def test_ranks(form, rank, error):
    with pytest.raises(error, match=r"rank = .*expected"):
        quick(form, rank).fit(X, Y)


def test_a_superdiagonal_core_has_one_rank():
    with pytest.raises(ShapeError, match="one integer for all modes"):
        quick("cp", [2, 2, 2]).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel": "rbf"}, ValueError, "kernel 'rbf' is unknown"),
        ({"kernel": ["matern12"]}, ShapeError, "expected one for all modes or 3"),
        ({"mean": "linear"}, ValueError, "mean = 'linear'"),
        ({"likelihood": "poisson"}, ValueError, "likelihood = 'poisson'"),
        *(({"noise_var": v}, ValueError, "noise_var = ") for v in (0, -1.0, np.nan, "auto")),
        ({"max_iter": 0}, ValueError, "max_iter = 0"),
        ({"max_iter": 2.5}, TypeError, "max_iter = 2.5"),
        ({"n_starts": True}, TypeError, "n_starts = True"),
        ({"tol": float("nan")}, ValueError, "tol = nan"),
        ({"tol": -1.0}, ValueError, "tol = -1.0"),
        ({"tol": "a"}, TypeError, "tol = 'a'"),
        ({"noise_var": True}, ValueError, "noise_var = True"),
        ({"n_starts": 0}, ValueError, "n_starts = 0"),
    ],
)
def test_settings(options, error, message):
    with pytest.raises(error, match=message):
        quick(**options).fit(X, Y)


def test_questions_to_a_fitted_model():
    model = quick().fit(X, Y)
    with pytest.raises(ShapeError, match="X has 2 features, but FunctionalCP is expecting 3 features"):
        model.predict(X[:, :2])
    for mode in (-1, 3):
        with pytest.raises(IndexError, match=f"mode = {mode}; the tensor has 3 modes"):
            model.factor(mode, X[:, 0])
    with pytest.raises(ShapeError, match=r"expected \(S,\)"):
        model.effect(0, X)
    with pytest.raises(ShapeError, match="coords has 2 arrays; expected 3"):
        model.to_tensorly([X[:, 0], X[:, 1]])
