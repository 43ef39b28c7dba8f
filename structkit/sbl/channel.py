"""Channels through an intelligent reflecting surface, and estimators of them compared."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ConvergenceWarning
from structkit._core.random import check_random_state
from structkit._core.types import Array, RandomState
from structkit.kron import multi_mode_product
from structkit.sbl.base import SparseModel
from structkit.sbl.metrics import nmse, symbol_error_rate
from structkit.sbl.model import KroneckerSBL
from structkit.sbl.options import count
from structkit.sbl.separable import SeparableSBL

__all__ = ["ChannelReport", "IRSChannel", "compare_channel_estimators", "irs_mimo", "steering_matrix"]


def steering_matrix(n_sensors: int, positions: np.ndarray) -> np.ndarray:
    r"""Compute the responses of a uniform linear array with half a wavelength between sensors.

    Parameters
    ----------
    n_sensors : int
        Number of sensors.
    positions : array, shape ``(k,)``
        Sines of the angles, between -1 and 1 (dimensionless).

    Returns
    -------
    A : numpy.ndarray, shape ``(n_sensors, k)``, complex
        Columns :math:`e^{j \pi u (0, 1, \dots)^T} / \sqrt{n}` of unit norm.

    See Also
    --------
    irs_mimo : channels made of such responses.
    refine_offgrid : directions between those of a grid.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import steering_matrix
    >>> steering_matrix(2, np.array([0.0])).real.round(4)
    array([[0.7071],
           [0.7071]])
    """
    phases = np.multiply.outer(np.arange(n_sensors), np.asarray(positions, dtype=np.float64))
    return np.exp(1j * np.pi * phases) / np.sqrt(n_sensors)


@dataclass(frozen=True)
class IRSChannel:
    """Pilots received through a reflecting surface, dictionaries, and the truth.

    Attributes
    ----------
    factors : list of numpy.ndarray
        Dictionaries: of the surface seen through its patterns, of the mobile station seen through the pilots, of the
        base station.
    y : numpy.ndarray, shape ``(n_patterns, n_pilots, n_bs)``
        Noisy measurements.
    noise_var : float
        Variance of the complex noise.
    coef : numpy.ndarray, shape ``(grid, grid, grid)``
        True coefficients.
    support : list of numpy.ndarray
        Their positions per mode.
    outputs : list of numpy.ndarray
        Dictionaries of the channel itself, for ``model.predict(outputs)`` of shape ``(n_patterns, n_ms, n_bs)``.
    channels : numpy.ndarray, shape ``(n_patterns, n_bs, n_ms)``
        True channels from mobile to base station, one for every pattern of the surface.
    """

    factors: list[np.ndarray]
    y: np.ndarray
    noise_var: float
    coef: np.ndarray
    support: list[np.ndarray]
    outputs: list[np.ndarray]
    channels: np.ndarray

    def estimate(self, model: SparseModel) -> np.ndarray:
        """Return the channels that a fitted model predicts.

        Parameters
        ----------
        model : SparseModel
            Fitted to `factors` and `y`.

        Returns
        -------
        channels : numpy.ndarray, shape ``(n_patterns, n_bs, n_ms)``
            Complex gains.
        """
        return np.asarray(to_numpy(model.predict(self.outputs))).swapaxes(1, 2)  # type: ignore[arg-type]

    def nmse(self, estimate: Array) -> float:
        """Compute the normalised mean squared error of channels.

        Parameters
        ----------
        estimate : array, shape ``(n_patterns, n_bs, n_ms)``
            Estimated channels.

        Returns
        -------
        error : float
            Mean over patterns, dimensionless.
        """
        guesses = np.asarray(to_numpy(estimate))
        return float(np.mean([nmse(g, h) for g, h in zip(guesses, self.channels, strict=True)]))


def irs_mimo(
    snr_db: float = 12.0,
    *,
    n_ms: int = 6,
    n_bs: int = 16,
    n_irs: int = 256,
    grid: int = 18,
    n_pilots: int = 3,
    n_patterns: int = 6,
    n_paths: int = 3,
    random_state: RandomState = None,
) -> IRSChannel:
    r"""Simulate channel estimation through an intelligent reflecting surface.

    A mobile station sends QPSK pilots; a surface reflects them with one pattern of signs after another; a base station
    receives. Angles lie on a grid, `n_paths` neighbouring ones at the surface and at the base station, so that the
    cascaded channel is sparse behind a Kronecker product of three dictionaries. The defaults are those of [1]_.

    Parameters
    ----------
    snr_db : float, default 12
        Mean power of the measurements over noise variance, in dB.
    n_ms, n_bs, n_irs : int
        Antennas of mobile and base station, elements of the surface.
    grid : int, default 18
        Angles in every dictionary.
    n_pilots : int, default 3
        Pilots that are sent with every pattern.
    n_patterns : int, default 6
        Patterns of the surface.
    n_paths : int, default 3
        Neighbouring angles at the surface and at the base station.
    random_state : None, int or numpy.random.Generator
        Source of angles, gains, pilots, patterns and noise.

    Returns
    -------
    channel : IRSChannel
        Measurements, dictionaries and truth.

    Raises
    ------
    ValueError
        If a number is not positive or there are more paths than angles.

    References
    ----------
    .. [1] He, Joseph, "Bayesian algorithms for Kronecker-structured sparse vector recovery with application to
       IRS-MIMO channel estimation", IEEE Trans. Signal Process. 73, 2025.

    Examples
    --------
    >>> from structkit.sbl import SeparableSBL, irs_mimo
    >>> channel = irs_mimo(20.0, random_state=0)
    >>> model = SeparableSBL().fit(channel.factors, channel.y)
    >>> channel.nmse(channel.estimate(model)) < 0.01
    True
    """
    numbers = {"n_ms": n_ms, "n_bs": n_bs, "n_irs": n_irs, "grid": grid, "n_pilots": n_pilots}
    for name, value in {**numbers, "n_patterns": n_patterns, "n_paths": n_paths}.items():
        count(name, value)
    if n_paths > grid:
        raise ValueError(f"n_paths={n_paths}; there are only grid={grid} angles.")
    rng = check_random_state(random_state)
    angles = 2 * np.arange(grid) / grid - 1
    A_ms, A_bs, A_irs = (steering_matrix(n, angles) for n in (n_ms, n_bs, n_irs))
    pilots = np.exp(0.5j * np.pi * rng.integers(0, 4, (n_ms, n_pilots)) + 0.25j * np.pi) / np.sqrt(n_ms)
    patterns = rng.choice([-1.0, 1.0], (n_irs, n_patterns)) / np.sqrt(n_irs)
    arrive, reach = (np.arange(n_paths) + rng.integers(0, grid - n_paths + 1) for _ in range(2))
    depart_ms, depart_irs = rng.integers(0, grid, 2)
    gains, more = (rng.standard_normal((2, n_paths, 2)) @ [1, 1j]) / np.sqrt(2)
    first = np.sqrt(n_ms * n_irs / n_paths) * np.outer(A_irs[:, arrive] @ gains, A_ms[:, depart_ms].conj())
    second = np.sqrt(n_bs * n_irs / n_paths) * np.outer(A_bs[:, reach] @ more, A_irs[:, depart_irs].conj())
    channels = np.stack([(second * p) @ first for p in patterns.T])
    # Only the difference of the angles at the surface counts, so that its squared grid folds into one.
    surface = patterns.T @ (A_irs[:, :1] * A_irs.conj())
    factors = [surface, pilots.T @ A_ms.conj(), A_bs]
    folded = (depart_irs - arrive) % grid
    coef = np.zeros((grid,) * 3, complex)
    scale = np.sqrt(n_ms * n_irs / n_paths) * np.sqrt(n_bs * n_irs / n_paths)
    coef[np.ix_(folded, [depart_ms], reach)] = scale * gains[:, None, None] * more
    clean = np.asarray(multi_mode_product(coef, factors))
    noise_var = float(np.mean(np.abs(clean) ** 2)) / 10 ** (snr_db / 10)
    noise = rng.standard_normal((*clean.shape, 2)) @ [1, 1j] * np.sqrt(noise_var / 2)
    support = [np.sort(folded), np.array([depart_ms]), reach]
    return IRSChannel(factors, clean + noise, noise_var, coef, support, [surface, A_ms.conj(), A_bs], channels)


@dataclass(frozen=True)
class ChannelReport:
    """What one estimator made of a channel.

    Attributes
    ----------
    nmse : float
        Normalised mean squared error of the channels, mean over patterns.
    ser : float
        Symbol error rate of QPSK that uses the estimate.
    seconds : float
        Processor time of the fit.
    converged : bool
        Whether the fit came to its end before its limit of steps; stands for the warning, which is not raised.
    """

    nmse: float
    ser: float
    seconds: float
    converged: bool


def compare_channel_estimators(
    channel: IRSChannel,
    estimators: Mapping[str, SparseModel] | None = None,
    *,
    n_symbols: int = 100_000,
    random_state: RandomState = None,
) -> dict[str, ChannelReport]:
    """Fit several estimators to one channel and report errors of the channel, of symbols, and times.

    Parameters
    ----------
    channel : IRSChannel
        From `irs_mimo`.
    estimators : mapping from name to estimator, optional
        Estimators, which are fitted. Default: `KroneckerSBL` with ``"fb"`` and with the published ``"block"``, ``"am"``
        and ``"svd"``, and `SeparableSBL`.
    n_symbols : int, default 100000
        Symbols for the symbol error rate, per pattern.
    random_state : None, int or numpy.random.Generator
        Source of the symbols, the same for every estimator.

    Returns
    -------
    reports : dict from name to ChannelReport
        In the order of `estimators`.

    See Also
    --------
    irs_mimo : draw a channel.
    symbol_error_rate : one of the measures.

    Examples
    --------
    >>> from structkit.sbl import KroneckerSBL, compare_channel_estimators, irs_mimo
    >>> channel = irs_mimo(20.0, random_state=0)
    >>> reports = compare_channel_estimators(channel, {"fb": KroneckerSBL()}, n_symbols=1000, random_state=0)
    >>> reports["fb"].nmse < 0.05
    True
    """
    if estimators is None:
        estimators = {"fb": KroneckerSBL(), "separable": SeparableSBL()}
        known = channel.noise_var
        # Noise known, start and thresholds as published.
        published = {
            "block": {"coupling": (0.8, 0.0, 0.8), "prune_tol": (1e-2, 1e-1, 1e-2)},
            "am": {"prune_tol": (1e-2, 1e-1, 1e-3)},
            "svd": {},
        }
        for name, options in published.items():
            estimators[name] = KroneckerSBL(name, noise_var=known, initial_variance=1.0, **options)  # type: ignore[arg-type]
    seed = int(check_random_state(random_state).integers(2**63))
    reports = {}
    for name, model in estimators.items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(channel.factors, channel.y)  # type: ignore[attr-defined]
        seconds = time.process_time() - start
        guess = channel.estimate(model)
        rate = symbol_error_rate(guess, channel.channels, channel.noise_var, n_symbols=n_symbols, random_state=seed)
        reports[name] = ChannelReport(channel.nmse(guess), rate, seconds, model.converged_)
    return reports
