"""Wrong arguments raise before any work, and say what was expected."""

import numpy as np
import pytest

from structkit import NotFiniteError, NotPositiveDefiniteError, NotSymmetricError, ShapeError
from structkit.statespace import interpolate, kalman_filter, likelihood_gradient, matern_sde, rts_smoother

SDE, TIMES, Y = matern_sde(0.5), [0.0, 1.0], [0.5, 1.0]
EYE, ONES = np.ones((2, 1, 1)), np.ones((2, 1))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("sde", TIMES, Y), {"noise_var": 1.0}, TypeError, "LinearSDE"),
        ((SDE, [1.0, 0.0], Y), {"noise_var": 1.0}, ValueError, "argsort"),
        ((SDE, [0.0, np.nan], Y), {"noise_var": 1.0}, NotFiniteError, "times"),
        ((SDE, [], []), {"noise_var": 1.0}, ShapeError, "T >= 1"),
        ((SDE, [[0.0, 1.0]], Y), {"noise_var": 1.0}, ShapeError, "times has shape (1, 2)"),
        ((SDE, TIMES, [1.0]), {"noise_var": 1.0}, ShapeError, "T = 2"),
        ((SDE, TIMES, 1.0), {"noise_var": 1.0}, ShapeError, "y has shape ()"),
        ((SDE, TIMES, Y), {}, ValueError, "y and noise_var"),
        ((SDE, TIMES), {"noise_var": 1.0}, ValueError, "y and noise_var"),
        ((SDE, TIMES, Y), {"noise_var": 0.0}, ValueError, "positive"),
        ((SDE, TIMES, Y), {"noise_var": [1.0, np.inf]}, ValueError, "finite"),
        ((SDE, TIMES, Y), {"noise_var": np.ones(3)}, ShapeError, "broadcasts"),
        ((SDE, TIMES, [1.0, np.inf]), {"noise_var": 1.0}, NotFiniteError, "NaN"),
        ((SDE, TIMES, [1.0, 1j]), {"noise_var": 1.0}, TypeError, "real"),
        ((SDE, TIMES, ["a", "b"]), {"noise_var": 1.0}, TypeError, "y has dtype"),
        ((SDE, TIMES, Y), {"noise_var": 1.0, "precision": EYE, "information": ONES}, ValueError, "either"),
        ((SDE, TIMES), {"precision": EYE}, ValueError, "belong together"),
        ((SDE, TIMES), {"precision": EYE, "information": np.ones((3, 1))}, ShapeError, "T = 2"),
        ((SDE, TIMES), {"precision": EYE, "information": np.ones((2, 2))}, ShapeError, "precision has shape"),
        ((SDE, TIMES), {"precision": -EYE, "information": ONES}, NotPositiveDefiniteError, "-1"),
        ((SDE, TIMES), {"precision": EYE, "information": np.nan * ONES}, NotFiniteError, "information"),
        (
            (SDE, TIMES),
            {"precision": np.tile([[1.0, 2.0], [2.0, 1.0]], (2, 1, 1)), "information": np.ones((2, 2))},
            NotPositiveDefiniteError,
            "precision[0]",
        ),
        (
            (SDE, TIMES),
            {"precision": np.tile([[1.0, 0.5], [0.0, 1.0]], (2, 1, 1)), "information": np.ones((2, 2))},
            NotSymmetricError,
            "symmetric",
        ),
        (
            (SDE, TIMES),
            {"precision": np.ones((3, 2, 1, 1)), "information": np.ones((4, 2, 1))},
            ShapeError,
            "do not broadcast",
        ),
    ],
)
def test_filter(arguments, options, error, words):
    with pytest.raises(error) as caught:
        kalman_filter(*arguments, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(("excess", "accepted"), [(1e-15, True), (1e-10, False)])
@pytest.mark.parametrize("where", [0, 2])
def test_precisions_are_symmetric_up_to_rounding(excess, accepted, where):
    precision, options = np.tile(np.eye(2), (3, 1, 1)), {"information": np.ones((3, 2))}
    precision[where, 0, 1] = excess
    if accepted:
        assert np.isfinite(kalman_filter(SDE, [0.0, 1.0, 2.0], precision=precision, **options).log_z)
        return
    precision[1] *= 1e9  # the slack of one block is not that of another
    with pytest.raises(NotSymmetricError, match="symmetric"):
        kalman_filter(SDE, [0.0, 1.0, 2.0], precision=precision, **options)


def test_smoother_and_interpolation():
    filtered = kalman_filter(SDE, TIMES, Y, noise_var=1.0)
    with pytest.raises(TypeError, match="kalman_filter"):
        rts_smoother(Y)
    with pytest.raises(TypeError, match="rts_smoother"):
        interpolate(filtered, [0.5])
    with pytest.raises(TypeError, match="rts_smoother"):
        likelihood_gradient(filtered)
    smoothed = rts_smoother(filtered)
    with pytest.raises(NotFiniteError, match="times"):
        interpolate(smoothed, [np.inf])
    with pytest.raises(ShapeError, match="times"):
        interpolate(smoothed, 0.5)
    assert interpolate(smoothed, []).mean.shape == (0,)


def test_inputs_are_not_changed(rng):
    y, times = rng.normal(size=5), np.arange(5.0)
    copies = y.copy(), times.copy()
    rts_smoother(kalman_filter(SDE, times, y, noise_var=0.1))
    assert np.array_equal(y, copies[0])
    assert np.array_equal(times, copies[1])


def test_overflow_is_reported():
    with pytest.raises(NotFiniteError, match="overflows in float32"):
        kalman_filter(SDE, TIMES, np.array([1e38, 1e38], np.float32), noise_var=1e-10)
    with pytest.raises(NotPositiveDefiniteError, match="overflowed"):
        kalman_filter(SDE, TIMES, precision=0 * EYE, information=1e200 * ONES)
