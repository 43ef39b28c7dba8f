"""The weights between the functions, with their posterior: what CP and Tucker forms have in common, and the CP form."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg

from structkit.kron import cp_at, mttkrp_sparse
from structkit.tucker.entries import Block, Entries
from structkit.tucker.functions import Moments
from structkit.tucker.packing import multiplicity, pack, unpack
from structkit.tucker.relevance import Relevance

__all__ = ["CPCore", "Core", "Sums", "crossed_means"]


# A function that carries less than this share of the sum of squares counts as switched off.
_TRACE = 1e-3


class Sums(NamedTuple):
    """Sums over entries for one mode with `I` levels.

    Attributes
    ----------
    first : array, shape ``(I, R)``
        Totals times the form without that mode.
    second : array, shape ``(I, R (R + 1) / 2)``
        Weights times its second moments.
    weighted : array, shape ``(I, R)``
        Weights times the form without that mode.
    """

    first: np.ndarray
    second: np.ndarray
    weighted: np.ndarray


def crossed_means(moments: Sequence[Moments], mode: int) -> list[np.ndarray]:
    """Means of the functions, in one mode those of their product with its main effect."""
    return [m.cross if k == mode else m.mean for k, m in enumerate(moments)]  # type: ignore[misc]


class Core(ABC):
    """Posterior of the weights of a multilinear form of the functions, and sums of entries against the form.

    Attributes
    ----------
    ranks : tuple of int
        Number of functions of each mode.
    mean : array
        Posterior mean of the weights, flat in row-major order.
    cov : array
        Their covariance.
    relevance : Relevance
        Posterior of their precisions.
    normal : tuple of array
        Matrix and vector of all observations in the equations of the weights.
    carried : tuple of array
        The part of them that comes from earlier observations and stays as it is.
    shared : bool
        Whether one axis of the weights belongs to the functions of all modes.
    energy : array
        Sum of squares that each weight carries, in units of the noise.
    """

    shared = False

    def __init__(self, ranks: Sequence[int], mean: np.ndarray, relevance: Relevance) -> None:
        n = mean.size
        self.ranks, self.relevance = tuple(ranks), relevance
        self.mean, self.cov = mean, np.zeros((n, n))
        self.carried = self.normal = np.zeros((n, n)), np.zeros(n)
        self.energy = np.ones(n)

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that `learn` changes; assigning it brings that state back."""
        return self.mean, self.cov, list(self.relevance.rate), self.normal, self.energy

    @state.setter
    def state(self, value: tuple[object, ...]) -> None:
        self.mean, self.cov, rate, self.normal, self.energy = value  # type: ignore[assignment]
        self.relevance.rate = list(rate)  # type: ignore[call-overload]

    @abstractmethod
    def at(self, index: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Mean of the form at entries."""

    @abstractmethod
    def second_at(self, index: np.ndarray, triangles: Sequence[np.ndarray]) -> np.ndarray:
        """Second moment of the form at entries."""

    @abstractmethod
    def sums(self, block: Block, moments: Sequence[Moments], mode: int) -> Sums:
        """Sums over a block for one mode; the main effects of the other modes are taken off `first`."""

    @abstractmethod
    def weigh(self, sums: Sums) -> Sums:
        """Bring in what `sums` leaves to be done once after all blocks."""

    def mode_equations(self, sums: Sums, moments: Moments) -> tuple[np.ndarray, np.ndarray] | None:
        """Normal equations of the weights where they follow from the sums of one mode, with its new moments."""
        return None

    def equations(self, entries: Entries, moments: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
        """Right-hand side and matrix of the normal equations of the weights from a pass over the entries."""
        raise NotImplementedError

    def learn(self, first: np.ndarray, second: np.ndarray, tau: float) -> None:
        """Set the posterior of weights and precisions from the normal equations ``tau second``, ``tau first``."""
        matrix, vector = tau * second + self.carried[0], tau * first + self.carried[1]
        precision = matrix + np.diag(self.relevance.precision())
        factor = scipy.linalg.cho_factor(precision, lower=True)
        self.cov = scipy.linalg.cho_solve(factor, np.eye(len(precision)))
        self.mean = scipy.linalg.cho_solve(factor, vector)
        self.relevance.update(self._diagonal)
        self.normal, self.energy = (matrix, vector), self._diagonal * np.diag(matrix)

    @property
    def tensor(self) -> np.ndarray:
        """Posterior mean of the weights in their shape."""
        return self.mean.reshape(self.relevance.ranks)

    def shares(self, axis: int) -> np.ndarray:
        """Share of the sum of squares that each slice of the weights along one of their axes carries."""
        energy = self.energy.reshape(self.relevance.ranks)
        return energy.sum(axis=tuple(a for a in range(energy.ndim) if a != axis)) / energy.sum()

    def effective_rank(self) -> tuple[int, ...]:
        """Number of slices of the weights that carry more than a trace of the signal, along each of their axes."""
        return tuple(int(np.sum(self.shares(axis) > _TRACE)) for axis in range(len(self.relevance.ranks)))

    @property
    def _diagonal(self) -> np.ndarray:
        """Second moments of the single weights."""
        return self.mean**2 + np.diag(self.cov)

    @property
    def second(self) -> np.ndarray:
        """Second moments of the weights."""
        return self.cov + np.outer(self.mean, self.mean)

    def kl(self) -> float:
        """Divergence of weights and precisions from the prior, less the expected logarithm of what is carried."""
        matrix, vector = self.carried
        carried = float(vector @ self.mean - np.sum(matrix * self.second) / 2)
        return self.relevance.kl(self._diagonal, np.linalg.slogdet(self.cov)[1]) - carried

    def copied(self, *, carry: bool) -> Core:
        """Return the same posterior, with everything observed so far carried or not."""
        out = copy.copy(self)
        out.relevance = copy.deepcopy(self.relevance)
        out.carried = self.normal if carry else (np.zeros_like(self.cov), np.zeros_like(self.mean))
        return out


class CPCore(Core):
    """Weights of components: ``sum_r w_r prod_d u_dr``."""

    shared = True

    def at(self, index: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Mean of the form at entries."""
        return cp_at(index, matrices, self.mean)  # type: ignore[return-value]

    def second_at(self, index: np.ndarray, triangles: Sequence[np.ndarray]) -> np.ndarray:
        """Second moment of the form at entries."""
        return cp_at(index, triangles, pack(self.second) * multiplicity(self.ranks[0]))  # type: ignore[return-value]

    def sums(self, block: Block, moments: Sequence[Moments], mode: int) -> Sums:
        """Sums without the weights of the components, which are brought in by `weigh`."""
        means = [m.mean for m in moments]
        first = np.asarray(mttkrp_sparse(block.index, block.total, means, mode))
        columns = [[m.second for m in moments]]
        if moments[mode].effect is not None:
            # one pass for everything that has the same values
            columns += [means, *(crossed_means(moments, j) for j in range(len(moments)) if j != mode)]
        stacked = [np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True)]
        together = np.asarray(mttkrp_sparse(block.index, block.weight, stacked, mode))
        rank, size = self.ranks[0], columns[0][0].shape[1]
        parts = np.split(together, range(size, together.shape[1], rank), axis=1)
        second, weighted = parts[0], parts[1] if len(parts) > 1 else np.zeros_like(first)
        return Sums(first - sum(parts[2:]), second, weighted)

    def weigh(self, sums: Sums) -> Sums:
        """Multiply by the moments of the weights."""
        return Sums(sums.first * self.mean, sums.second * pack(self.second), sums.weighted * self.mean)

    def mode_equations(self, sums: Sums, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
        """Right-hand side and matrix of the normal equations: one component has one row in the sums of a mode."""
        first = np.sum(sums.first * moments.mean, axis=0)
        if moments.cross is not None:
            first -= np.sum(sums.weighted * moments.cross, axis=0)
        return first, unpack(np.sum(sums.second * moments.second, axis=0), self.ranks[0])
