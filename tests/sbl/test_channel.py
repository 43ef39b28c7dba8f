"""The reflecting surface: dictionaries that reproduce the channels, metrics, comparisons."""

import numpy as np
import pytest

from structkit import ShapeError
from structkit.kron import multi_mode_product
from structkit.sbl import (
    KroneckerSBL,
    SeparableSBL,
    compare_channel_estimators,
    irs_mimo,
    nmse,
    support_recovery_rate,
    symbol_error_rate,
)


def test_coefficients_and_dictionaries_reproduce_the_channels():
    channel = irs_mimo(200.0, random_state=3)
    outputs = multi_mode_product(channel.coef, channel.outputs).swapaxes(1, 2)
    np.testing.assert_allclose(outputs, channel.channels, atol=1e-12 * np.abs(outputs).max())
    assert channel.y.shape == (6, 3, 16)
    assert [A.shape for A in channel.factors] == [(6, 18), (3, 18), (16, 18)]
    np.testing.assert_allclose(multi_mode_product(channel.coef, channel.factors), channel.y, rtol=1e-6)
    for mode, s in enumerate(channel.support):
        assert set(np.unique(np.nonzero(channel.coef)[mode])) == set(s)


def test_noise_has_the_power_that_is_asked_for():
    errors = []
    for seed in range(20):
        channel = irs_mimo(8.0, random_state=seed)
        noise = channel.y - multi_mode_product(channel.coef, channel.factors)
        errors.append(np.mean(np.abs(noise) ** 2) / channel.noise_var)
        clean = np.mean(np.abs(multi_mode_product(channel.coef, channel.factors)) ** 2)
        assert clean / channel.noise_var == pytest.approx(10**0.8)
    assert np.mean(errors) == pytest.approx(1.0, abs=4 / np.sqrt(20 * 288))


def test_same_seed_same_channel_and_sizes_are_free():
    np.testing.assert_array_equal(irs_mimo(random_state=1).y, irs_mimo(random_state=1).y)
    small = irs_mimo(n_ms=2, n_bs=4, n_irs=16, grid=8, n_pilots=2, n_patterns=5, n_paths=1, random_state=0)
    assert small.channels.shape == (5, 4, 2)
    with pytest.raises(ValueError, match="n_paths=9; there are only grid=8"):
        irs_mimo(grid=8, n_paths=9)
    with pytest.raises(ValueError, match="n_bs=0; expected an integer >= 1"):
        irs_mimo(n_bs=0)


def test_estimators_are_compared_in_one_call():
    channel = irs_mimo(16.0, random_state=0)
    reports = compare_channel_estimators(
        channel, {"fb": KroneckerSBL(n_starts=1), "separable": SeparableSBL()}, n_symbols=2000, random_state=0
    )
    assert list(reports) == ["fb", "separable"]
    assert all(r.nmse < 0.05 and r.ser < 0.05 and r.seconds > 0 for r in reports.values())


def test_error_and_support_rates():
    assert nmse(np.zeros(3), np.ones(3)) == 1.0
    x = np.array([0.0, 1.0, 1e-5, -2.0])
    assert support_recovery_rate(x, np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(1 / 3)
    assert support_recovery_rate([np.array([1, 2]), np.array([0, 3])], [np.array([2, 5]), np.array([0, 3])]) == 1 / 3
    with pytest.raises(ShapeError):
        nmse(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="zero everywhere"):
        nmse(np.ones(2), np.zeros(2))


def test_symbol_errors_follow_the_theory():
    """One antenna each: the error rate of QPSK is 2 Q - Q^2 with Q the tail beyond the root of the SNR."""
    from scipy.special import ndtr

    H = np.array([[1.0 + 0j]])
    for noise in (0.1, 0.3):
        tail = 1 - ndtr(np.sqrt(1 / noise))
        wanted = 2 * tail - tail**2
        assert symbol_error_rate(H, H, noise, n_symbols=200_000, random_state=0) == pytest.approx(wanted, rel=0.1)
    assert symbol_error_rate(-H, H, 1e-6, random_state=0) == 1.0
