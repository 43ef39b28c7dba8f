"""Coordinate ascent on the evidence lower bound: one mode after the other, then the weights and the noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structkit.tucker.cores import Core, Sums
from structkit.tucker.entries import Entries
from structkit.tucker.functions import ModeFunctions, Moments
from structkit.tucker.noise import Noise
from structkit.tucker.packing import unpack
from structkit.tucker.statistics import mode_sums

__all__ = ["Posterior"]


class Posterior:
    """The factorised posterior: functions of each mode (jointly over ranks and levels), weights, noise.

    Parameters
    ----------
    entries : Entries
        Standardised observations.
    functions : sequence of ModeFunctions
        One per mode, with moments to start from.
    core : Core
        Weights to start from.
    noise : Noise
        Noise to start from.
    """

    def __init__(self, entries: Entries, functions: Sequence[ModeFunctions], core: Core, noise: Noise) -> None:
        self.entries, self.functions, self.core, self.noise = entries, list(functions), core, noise
        self.n_sweeps = 0
        self.elbo = -np.inf

    @property
    def moments(self) -> list[Moments]:
        """Moments of the functions at the levels."""
        return [f.moments for f in self.functions]

    @property
    def messages(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Precisions and information that the observations sent to the functions of each mode."""
        return [f.messages for f in self.functions]

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that a sweep changes; assigning it brings that state back."""
        functions = [f.state for f in self.functions]
        return self.entries, functions, self.core.state, self.noise.state, self.elbo, self.n_sweeps

    @state.setter
    def state(self, value: tuple[object, ...]) -> None:
        self.entries, functions, self.core.state, self.noise.state, self.elbo, self.n_sweeps = value  # type: ignore[assignment]
        for f, s in zip(self.functions, functions, strict=True):  # type: ignore[call-overload]
            f.state = s

    def extrapolate(self, before: Sequence[tuple[np.ndarray, np.ndarray]], step: float) -> None:
        """Move the messages on along the line from those `before`."""
        for f, (precision0, information0) in zip(self.functions, before, strict=True):
            precision, information = f.messages
            f.solve(precision + step * (precision - precision0), information + step * (information - information0))

    def sweep(self, learn_iter: int = 0) -> float:
        """Update everything once, the kernels by `learn_iter` steps each; return the evidence lower bound."""
        self.entries = self.noise.weigh(self.entries, self.core, self.moments)
        for mode, functions in enumerate(self.functions):
            sums, extra = self._sums(mode)
            precision, information = self._messages(self.core.weigh(sums), extra, functions)
            if learn_iter:
                functions.learn(precision, information, learn_iter)
            functions.solve(precision, information)
            equations = self.core.mode_equations(sums, functions.moments)
            if equations is not None:
                self._update_weights(equations, extra, functions.moments)
        if equations is None:
            self._update_weights(self.core.equations(self.entries, self.moments), extra, functions.moments)
        self.n_sweeps += 1
        self.elbo = self.noise.log_likelihood(self._square) - self.core.kl()
        self.elbo += sum(f.log_prior() - f.kl for f in self.functions)
        return self.elbo

    def _update_weights(
        self, equations: tuple[np.ndarray, np.ndarray], extra: tuple[np.ndarray, ...], moments: Moments
    ) -> None:
        """Update the weights and the noise; `extra` and `moments` belong to the mode that was updated last."""
        first, second = equations
        self.core.learn(first, second, self.noise.precision)
        square = self.entries.square + _effect_square(extra, moments)
        self._square = square + float(np.sum(self.core.second * second) - 2 * self.core.mean @ first)
        self.noise.update(self._square)

    def _sums(self, mode: int) -> tuple[Sums, tuple[np.ndarray, ...]]:
        first, second, weighted, *extra = self.entries.reduce(mode_sums, self.core, self.moments, mode)
        return Sums(first, second, weighted), tuple(extra)

    def _messages(
        self, sums: Sums, extra: tuple[np.ndarray, ...], functions: ModeFunctions
    ) -> tuple[np.ndarray, np.ndarray]:
        """Precisions ``(I, C, C)`` and information ``(I, C)`` of the functions of one mode."""
        tau, rank = self.noise.precision, functions.rank
        size = rank + functions.effect
        precision, information = np.empty((len(sums.first), size, size)), np.empty((len(sums.first), size))
        precision[:, :rank, :rank], information[:, :rank] = unpack(sums.second, rank), sums.first
        if extra:
            rest, count, _ = extra
            precision[:, rank, :rank] = precision[:, :rank, rank] = sums.weighted
            precision[:, rank, rank], information[:, rank] = count, rest
        precision *= tau
        information *= tau
        if functions.carried is not None:
            precision += functions.carried[0]
            information += functions.carried[1]
        return precision, information


def _effect_square(extra: tuple[np.ndarray, ...], moments: Moments) -> float:
    """What the main effects add to the expected sum of squared residuals, without the multilinear part."""
    if not extra:
        return 0.0
    rest, count, constant = extra
    return float(constant[0] - 2 * rest @ moments.effect + count @ moments.effect_second)  # type: ignore[operator]
