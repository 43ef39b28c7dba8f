"""The online Frank-Wolfe method over the ball of matrices with spectral norm one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from structkit.dictionary.levels import magnitude_median
from structkit.dictionary.statistics import Rule, accumulate, project
from structkit.dictionary.stream import BlockStream, Pace
from structkit.orthogonal.polar import fast_polar

__all__ = ["FrankWolfeStream"]


class FrankWolfeStream(BlockStream):
    r"""Steps towards polar factors of averaged gradients of the mean of ``|z|^3``.

    Step `t` averages gradients with weight :math:`t^{-1/2}` and moves by :math:`t^{-3/4}`; the dictionary is the polar
    factor of where it is.
    """

    def __init__(self, factors: Sequence[Any], pace: Pace) -> None:
        super().__init__(factors, pace)
        self.memory = [0 * W for W in factors]
        self.n_steps = 0

    @property
    def atoms(self) -> list[Any]:
        """Matrices that turn codes into samples, atoms as columns."""
        return [fast_polar(W) for W in self.factors]

    def rule(self) -> Rule:
        """How codes of the next samples count."""
        return Rule(cubic=True)

    def collect(self, Y: Any) -> None:
        """Add samples to the pending sums; the gradient is that at the present point, orthogonal or not."""
        if math.isinf(self.median):
            self.median = magnitude_median(project(Y[:1], self.factors))
        accumulate(self.pending, Y, self.factors, self.rule(), self.median, moments=True)

    def update(self) -> None:
        """Take one step."""
        sums = self.pending
        self.n_steps += 1
        self.n_seen += sums.count
        rho, gamma = self.n_steps**-0.5, self.n_steps**-0.75
        self.gap = self.moved = 0.0
        for d, (W, M, G) in enumerate(zip(self.factors, self.memory, sums.gradients, strict=True)):
            M = (1 - rho) * M + (rho / sums.count) * G
            S = fast_polar(M.T)
            norm = float((S * M.T).sum())
            self.gap = max(self.gap, 1.0 - float((W * M.T).sum()) / norm if norm > 0 else 0.0)
            self.moved = max(self.moved, gamma * math.sqrt(float(((S - W) ** 2).sum()) / W.shape[0]))
            self.memory[d], self.factors[d] = M, W + gamma * (S - W)
        self.learn_scales()
