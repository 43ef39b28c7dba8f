r"""Evidence of noisy rows on features with a standard normal prior, with its exact gradient.

Rows :math:`A`, whitened by their noise, and data :math:`b` have
:math:`\log p = -\tfrac12 \|b - A m\|^2 - \tfrac12 \|m\|^2 - \sum_i \log R_{ii} - \sum \log \sigma` with the posterior
mean :math:`m` and the triangular factor of :math:`[A; I]`. No normal equations are formed: with rows that are known to
six digits they would have none left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from structkit.pde.rows import Block, Design

__all__ = ["Evidence", "Hyperparameters", "RowPosterior", "Settings", "row_posterior"]

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class RowPosterior:
    """Posterior of coefficients with a standard normal prior.

    Attributes
    ----------
    mean : array, shape ``(p,)``
        Mean.
    root : array, shape ``(p, p)``
        ``root @ root.T`` is the covariance.
    log_evidence : float
        Logarithm of the density of the whitened data.
    residual : array, shape ``(n,)``
        Whitened data less what the mean makes of them.
    """

    mean: np.ndarray
    root: np.ndarray
    log_evidence: float
    residual: np.ndarray

    def residual_of(self, A: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Other data less what the mean makes of them."""
        return b - A @ self.mean


def row_posterior(A: np.ndarray, b: np.ndarray) -> RowPosterior:
    """Condition a standard normal prior on ``A a = b + N(0, I)``."""
    n, p = A.shape
    stacked = np.zeros((n + p, p + 1), order="F")
    stacked[:n, :p], stacked[:n, p] = A, b
    stacked[n:, :p] = np.eye(p)
    (R,) = scipy.linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)
    R = R[: p + 1]
    root = scipy.linalg.solve_triangular(R[:p, :p], np.eye(p), check_finite=False)
    mean = root @ R[:p, p]
    log_det = float(np.sum(np.log(np.abs(np.diag(R)[:p]))))
    return RowPosterior(mean, root, -0.5 * float(R[p, p]) ** 2 - log_det - 0.5 * n * _LOG_2PI, b - A @ mean)


@dataclass(frozen=True)
class Hyperparameters:
    """What the evidence depends on.

    Attributes
    ----------
    log_weights : tuple of array
        Logarithms of the variances of the carriers of each axis.
    log_ratios : array, shape ``(D,)``
        Logarithms of length-scale over length of each axis.
    log_noise : dict of str to float
        Logarithms of the standard deviations that are learned.
    parameters : dict of str to float
        Physical parameters.
    """

    log_weights: tuple[np.ndarray, ...]
    log_ratios: np.ndarray
    log_noise: Mapping[str, float]
    parameters: Mapping[str, float]

    def pack(self) -> np.ndarray:
        """As one vector."""
        return np.concatenate(
            [*self.log_weights, self.log_ratios, [*self.log_noise.values()], [*self.parameters.values()]]
        ).astype(float)

    def unpack(self, theta: np.ndarray) -> Hyperparameters:
        """Hyperparameters of the same layout from a vector."""
        rest, weights = theta, []
        for w in self.log_weights:
            weights.append(rest[: len(w)])
            rest = rest[len(w) :]
        d, s = len(self.log_ratios), len(self.log_noise)
        noise = dict(zip(self.log_noise, map(float, rest[d : d + s]), strict=True))
        values = dict(zip(self.parameters, map(float, rest[d + s :]), strict=True))
        return Hyperparameters(tuple(weights), rest[:d], noise, values)


@dataclass(frozen=True)
class Settings:
    """Features that the evidence is taken with.

    Attributes
    ----------
    domain : sequence of (float, float)
        The box.
    frequencies : sequence of array
        Carriers of each axis.
    cutoff : float
        Share of the largest prior variance below which products of features are dropped.
    fixed_ratios : bool
        Whether the gradient leaves the length-scales out (zeros).
    """

    domain: Sequence[tuple[float, float]]
    frequencies: Sequence[np.ndarray]
    cutoff: float
    fixed_ratios: bool = False


@dataclass(frozen=True)
class _Conditioned:
    """Posterior given the exact rows, the first `n`, and given all of them; the log evidence is that of the others."""

    n: int
    exact: RowPosterior | None
    rest: RowPosterior | None
    joint: RowPosterior

    def slope(self, A: np.ndarray) -> np.ndarray:
        """Derivative of the log evidence with respect to all rows.

        For the exact ones it is the small difference of two large matrices, formed here without cancellation.
        """
        joint, n = self.joint, self.n
        G = np.outer(joint.residual, joint.mean) - (A @ joint.root) @ joint.root.T
        if self.exact is None or self.rest is None:
            return G
        first, rest = self.exact, self.rest
        learned = np.eye(len(rest.mean)) - rest.root @ rest.root.T
        move = first.root @ rest.mean
        G[:n] = (A[:n] @ first.root) @ learned @ first.root.T
        G[:n] += np.outer(first.residual, move) - np.outer(A[:n] @ move, joint.mean)
        return G


class Evidence:
    """Log evidence of the blocks that are not exact, given those that are, as a function of the hyperparameters.

    Parameters
    ----------
    blocks : sequence of Block
        What is known.
    settings : Settings
        The features.
    """

    def __init__(self, blocks: Sequence[Block], settings: Settings) -> None:
        self.blocks = sorted(blocks, key=lambda b: not b.exact)  # rows with small noise first: stable elimination
        self.settings = settings
        self.n_exact = sum(len(b.values) for b in self.blocks if b.exact)
        self._last: tuple[tuple[float, ...], Design] | None = None

    def design(self, h: Hyperparameters) -> Design:
        """Features for the hyperparameters; the last ones are kept."""
        s, ratios = self.settings, tuple(np.exp(h.log_ratios).tolist())
        if self._last is None or self._last[0] != ratios:
            self._last = ratios, Design.of(s.domain, s.frequencies, ratios, s.cutoff)
        return self._last[1]

    def whitened(self, h: Hyperparameters, design: Design) -> tuple[np.ndarray, np.ndarray, float]:
        """Rows and data divided by their noise, and the sum of the logarithms of the noises that are not exact."""
        roots = prior_roots(h, design)
        rows, data, logs = [], [], 0.0
        for b in self.blocks:
            sigma = _sigma(b, h)
            rows.append(design.rows(b, h.parameters) * roots / sigma[:, None])
            data.append(b.values / sigma)
            logs += 0.0 if b.exact else float(np.sum(np.log(sigma)))
        return np.vstack(rows), np.concatenate(data), logs

    def posterior(self, h: Hyperparameters) -> tuple[Design, RowPosterior]:
        """Features, and the posterior of their whitened coefficients given everything."""
        design = self.design(h)
        A, b, _ = self.whitened(h, design)
        return design, self._condition(A, b).joint

    def value(self, h: Hyperparameters) -> float:
        """Log evidence."""
        A, b, logs = self.whitened(h, self.design(h))
        return self._condition(A, b).joint.log_evidence - logs

    def value_and_gradient(self, h: Hyperparameters) -> tuple[float, np.ndarray]:
        """Log evidence and its gradient, in the layout of `Hyperparameters.pack`."""
        design = self.design(h)
        A, b, logs = self.whitened(h, design)
        found = self._condition(A, b)
        return found.joint.log_evidence - logs, self._gradient(h, design, A, b, found.slope(A), found.joint.residual)

    def _condition(self, A: np.ndarray, b: np.ndarray) -> _Conditioned:
        n = self.n_exact
        if not n:
            return _Conditioned(0, None, None, row_posterior(A, b))
        first = row_posterior(A[:n], b[:n])
        rest = row_posterior(A[n:] @ first.root, first.residual_of(A[n:], b[n:]))
        mean = first.mean + first.root @ rest.mean
        joint = RowPosterior(mean, first.root @ rest.root, rest.log_evidence, b - A @ mean)
        return _Conditioned(n, first, rest, joint)

    def _gradient(
        self, h: Hyperparameters, design: Design, A: np.ndarray, b: np.ndarray, G: np.ndarray, pull: np.ndarray
    ) -> np.ndarray:
        shares = np.sum(G * A, axis=0)
        weights = [
            0.5 * np.bincount(g, shares, minlength=len(w)) for g, w in zip(design.groups, h.log_weights, strict=True)
        ]
        roots = prior_roots(h, design)
        ratios = np.zeros(len(h.log_ratios))
        noise = dict.fromkeys(h.log_noise, 0.0)
        values = dict.fromkeys(h.parameters, 0.0)
        start = 0
        for block in self.blocks:
            part = slice(start, start + len(block.values))
            start = part.stop
            g = G[part] * roots / _sigma(block, h)[:, None]
            for axis in range(0 if self.settings.fixed_ratios else len(ratios)):
                ratios[axis] += float(np.vdot(g, design.rows(block, h.parameters, axis)))
            if block.noise is not None:
                noise[block.noise] += float(pull[part] @ b[part] - np.vdot(G[part], A[part])) - len(block.values)
            for name in values:
                rows = design.parameter_rows(block, h.parameters, name)
                values[name] += 0.0 if rows is None else float(np.vdot(g, rows))
        return replace(h, log_weights=tuple(weights), log_ratios=ratios, log_noise=noise, parameters=values).pack()


def prior_roots(h: Hyperparameters, design: Design) -> np.ndarray:
    """Prior standard deviation of each product over that with weights of one, shape ``(p,)``."""
    total = sum((w[g] for w, g in zip(h.log_weights, design.groups, strict=True)), np.zeros(design.size))
    return np.exp(0.5 * total)


def _sigma(block: Block, h: Hyperparameters) -> np.ndarray:
    return block.scale if block.noise is None else block.scale * math.exp(h.log_noise[block.noise])
