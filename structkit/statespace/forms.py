"""Closed forms of stationary models: system matrices, exact transitions, derivatives in the logarithms of parameters.

A form knows its parameters by name and value, in a fixed order, and is itself immutable.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.special

from structkit.statespace.series import series_transitions

__all__ = ["ConstantForm", "Form", "GeneralForm", "MaternForm", "PeriodicForm", "System", "WhiteForm", "kron_each"]

# Beyond this many units exp(-tau) is zero in double precision, and powers of tau would overflow.
_FAR = 800.0


class System(NamedTuple):
    """Matrices of ``dx = F x dt + L dw``, ``f = H x``, with diffusion `Qc` and stationary covariance `Pinf`."""

    F: np.ndarray
    L: np.ndarray
    Qc: np.ndarray
    H: np.ndarray
    Pinf: np.ndarray


class Form(ABC):
    """What a model must know about itself; `T` steps, `s` states, `p` parameters."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""

    @property
    @abstractmethod
    def values(self) -> tuple[float, ...]:
        """Values of the parameters, all positive."""

    @cached_property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.system().H)

    @abstractmethod
    def system(self) -> System:
        """Return the system matrices."""

    @abstractmethod
    def replaced(self, values: tuple[float, ...]) -> Form:
        """Return the same model with other values of the parameters."""

    @abstractmethod
    def scaled(self, factor: float) -> Form:
        """Return the model of the covariance function times `factor`."""

    @abstractmethod
    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``A``, ``Q`` of shape ``(T, s, s)``."""

    @abstractmethod
    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives ``(p, T, s, s)`` of ``A`` and ``Q`` in the logarithms of the parameters."""

    @abstractmethod
    def prior_derivatives(self) -> np.ndarray:
        """Return the derivatives ``(p, s, s)`` of the stationary covariance in the logarithms of the parameters."""

    def pulled_back(self, dt: np.ndarray, grad_a: np.ndarray, grad_q: np.ndarray) -> np.ndarray:
        """Return the derivatives ``(p,)`` of a scalar from those in the entries of ``A`` and ``Q``, ``(T, s, s)``."""
        pairs = zip(self.derivatives(dt), (grad_a, grad_q), strict=True)
        first, second = (d.reshape(len(d), grad.size) @ grad.ravel() for d, grad in pairs)
        return first + second


def kron_each(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Kronecker products of two stacks of square matrices, which broadcast."""
    product = a[..., :, None, :, None] * b[..., None, :, None, :]
    n = a.shape[-1] * b.shape[-1]
    return product.reshape(*product.shape[:-4], n, n)


class _Leaf(Form):
    """Parameters of a form are its fields, in their order; ``variance`` scales it."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(f.name for f in dataclasses.fields(self) if f.metadata.get("free", True))  # type: ignore[arg-type]

    @property
    def values(self) -> tuple[float, ...]:
        """Values of the parameters."""
        return tuple(getattr(self, name) for name in self.names)

    def replaced(self, values: tuple[float, ...]) -> Form:
        """The model with other parameters."""
        return dataclasses.replace(self, **dict(zip(self.names, values, strict=True)))  # type: ignore[type-var]

    def scaled(self, factor: float) -> Form:
        """The model times a number."""
        return dataclasses.replace(self, variance=self.variance * factor)  # type: ignore[type-var, attr-defined]


_FIXED = {"free": False}

# Per number of states: drift, spectral density, stationary covariance, of unit variance and decay rate.
_MATERN = {
    1: (np.array([[-1.0]]), 2.0, np.eye(1)),
    2: (np.array([[0.0, 1.0], [-1.0, -2.0]]), 4.0, np.eye(2)),
    3: (
        np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, -3.0, -3.0]]),
        16 / 3,
        np.array([[1.0, 0.0, -1 / 3], [0.0, 1 / 3, 0.0], [-1 / 3, 0.0, 1.0]]),
    ),
}


@dataclass(frozen=True)
class MaternForm(_Leaf):
    """Half-integer Matern model with states ``f, f' / rate, f'' / rate^2``, so that every entry is of order one."""

    order: int = dataclasses.field(metadata=_FIXED)
    lengthscale: float
    variance: float

    @property
    def _rate(self) -> float:
        return np.sqrt(2 * self.order - 1) / self.lengthscale

    def _scaled_steps(self, dt: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.minimum(self._rate * dt, _FAR)

    def system(self) -> System:
        """System matrices."""
        drift, density, prior = _MATERN[self.order]
        last = np.eye(self.order)[:, -1:]
        diffusion = np.array([[density * self._rate * self.variance]])
        return System(self._rate * drift, last, diffusion, np.eye(self.order)[0], self.variance * prior)

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        tau = self._scaled_steps(dt)
        return _matern_transition(self.order, tau), self.variance * _matern_noise(self.order, tau)

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        tau = self._scaled_steps(dt)
        drift, density, _ = _MATERN[self.order]
        transition = _matern_transition(self.order, tau)
        d_a, d_q = np.zeros((2, 2, *transition.shape))
        d_a[0] = -tau[:, None, None] * (drift @ transition)
        last = transition[:, :, -1]
        slope = -density * self.variance * tau
        d_q[0] = slope[:, None, None] * last[:, :, None] * last[:, None, :]
        d_q[1] = self.variance * _matern_noise(self.order, tau)
        return d_a, d_q

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        prior = self.variance * _MATERN[self.order][2]
        return np.stack([np.zeros_like(prior), prior])


def _matern_transition(order: int, tau: np.ndarray) -> np.ndarray:
    """Return ``expm(drift tau)``."""
    decay = np.exp(-tau)
    if order == 1:
        entries = [decay]
    elif order == 2:
        entries = [(1 + tau) * decay, tau * decay, -tau * decay, (1 - tau) * decay]
    else:
        half = tau * tau / 2
        entries = [half + tau + 1, tau * (tau + 1), half]
        entries += [-half, -2 * half + tau + 1, tau * (2 - tau) / 2]
        entries += [tau * (tau - 2) / 2, tau * (tau - 3), half - 2 * tau + 1]
        entries = [decay * e for e in entries]
    return np.stack(entries, axis=-1).reshape(*tau.shape, order, order)


def _matern_noise(order: int, tau: np.ndarray) -> np.ndarray:
    """Return the integral of the diffusion over a step, entry by entry to full relative accuracy.

    Entries on neighbouring derivatives are total differentials; the others are sums of regularised incomplete gamma
    functions, which have no cancellation at small steps.
    """
    x = 2 * tau
    decay = np.exp(-x)
    if order == 1:
        return -np.expm1(-x)[..., None, None]
    gamma = {2 * order - 1: scipy.special.gammainc(2 * order - 1, x)}
    term = decay
    terms = [term]
    for k in range(1, 2 * order - 1):
        term = term * x / k
        terms.append(term)
    for k in range(2 * order - 2, 0, -1):
        gamma[k] = gamma[k + 1] + terms[k]
    if order == 2:
        cross = 2 * tau * tau * decay
        entries = [gamma[3], cross, cross, 2 * gamma[1] - 2 * gamma[2] + gamma[3]]
    else:
        upper = 2 / 3 * tau**4 * decay
        lower = 2 / 3 * (tau * (2 - tau)) ** 2 * decay
        corner = (2 * gamma[3] - 6 * gamma[4] + 3 * gamma[5]) / 3
        middle = (4 * gamma[3] - 6 * gamma[4] + 3 * gamma[5]) / 3
        last = (8 * gamma[1] - 16 * gamma[2] + 20 * gamma[3] - 12 * gamma[4] + 3 * gamma[5]) / 3
        entries = [gamma[5], upper, corner, upper, middle, lower, corner, lower, last]
    return np.stack(entries, axis=-1).reshape(*tau.shape, order, order)


@dataclass(frozen=True)
class ConstantForm(_Leaf):
    """A random constant: one state that never changes."""

    variance: float

    def system(self) -> System:
        """System matrices."""
        zero = np.zeros((1, 1))
        return System(zero, np.ones((1, 1)), zero, np.ones(1), np.array([[self.variance]]))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        return np.ones((*dt.shape, 1, 1)), np.zeros((*dt.shape, 1, 1))

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        return np.zeros((1, *dt.shape, 1, 1)), np.zeros((1, *dt.shape, 1, 1))

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        return np.full((1, 1, 1), self.variance)


@dataclass(frozen=True)
class WhiteForm(_Leaf):
    """Independent values at different times; equal times share their value."""

    variance: float

    def system(self) -> System:
        """System matrices."""
        infinite = np.full((1, 1), np.inf)
        return System(-infinite, np.ones((1, 1)), infinite, np.ones(1), np.array([[self.variance]]))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        same = (dt == 0).astype(np.float64)[..., None, None]
        return same, self.variance * (1 - same)

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        a, q = self.transitions(dt)
        return np.zeros((1, *a.shape)), q[None]

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        return np.full((1, 1, 1), self.variance)


@dataclass(frozen=True)
class PeriodicForm(_Leaf):
    """Fourier series of the periodic covariance function: a constant and two states per harmonic, without noise."""

    n_harmonics: int = dataclasses.field(metadata=_FIXED)
    period: float
    lengthscale: float
    variance: float

    def _turns(self, dt: np.ndarray) -> np.ndarray:
        """Angles ``(T, J)`` of the harmonics; whole periods are dropped before they are multiplied."""
        cycles = np.remainder(dt, self.period) / self.period
        return 2 * np.pi * cycles[:, None] * np.arange(1, self.n_harmonics + 1)

    def _spread(self, weights: np.ndarray) -> np.ndarray:
        """Diagonal matrix with the weight of the constant once and the others twice."""
        return np.diag(np.concatenate([weights[:1], np.repeat(weights[1:], 2)]))

    def _weights(self) -> np.ndarray:
        z, j = self.lengthscale**-2, np.arange(self.n_harmonics + 1)
        return self.variance * np.where(j == 0, 1, 2) * scipy.special.ive(j, z)

    def system(self) -> System:
        """System matrices."""
        frequencies = 2 * np.pi / self.period * np.arange(1, self.n_harmonics + 1)
        rotations = [w * np.array([[0.0, -1.0], [1.0, 0.0]]) for w in frequencies]
        drift = scipy.linalg.block_diag(np.zeros((1, 1)), *rotations)
        output = np.concatenate([[1.0], np.tile([1.0, 0.0], self.n_harmonics)])
        return System(drift, np.eye(len(drift)), np.zeros_like(drift), output, self._spread(self._weights()))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        angles = self._turns(dt)
        n = 1 + 2 * self.n_harmonics
        a = np.zeros((*dt.shape, n, n))
        a[:, 0, 0] = 1
        first = np.arange(1, n, 2)
        a[:, first, first] = a[:, first + 1, first + 1] = np.cos(angles)
        a[:, first + 1, first] = np.sin(angles)
        a[:, first, first + 1] = -a[:, first + 1, first]
        return a, np.zeros_like(a)

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        a, q = self.transitions(dt)
        d_a = np.zeros((3, *a.shape))
        d_a[0] = -dt[:, None, None] * (self.system().F @ a)
        return d_a, np.zeros((3, *q.shape))

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        z, j = self.lengthscale**-2, np.arange(self.n_harmonics + 1)
        bessel = scipy.special.ive(np.arange(-1, self.n_harmonics + 2), z)
        slope = -2 * z * ((bessel[:-2] + bessel[2:]) / 2 - bessel[1:-1])
        weights = self.variance * np.where(j == 0, 1, 2)
        zero = np.zeros(self.n_harmonics + 1)
        return np.stack([self._spread(w) for w in (zero, weights * slope, self._weights())])


@dataclass(frozen=True)
class GeneralForm(Form):
    """Any stationary model, by its matrices; it has no parameters."""

    matrices: System

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return ()

    @property
    def values(self) -> tuple[float, ...]:
        """Values of the parameters."""
        return ()

    def system(self) -> System:
        """System matrices."""
        return self.matrices

    def replaced(self, values: tuple[float, ...]) -> Form:
        """The model with other parameters."""
        return self

    def scaled(self, factor: float) -> Form:
        """The model times a number."""
        return GeneralForm(self.matrices._replace(Qc=self.matrices.Qc * factor, Pinf=self.matrices.Pinf * factor))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        m = self.matrices
        return series_transitions(m.F, m.L @ m.Qc @ m.L.T, dt)

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        shape = (0, *dt.shape, *self.matrices.F.shape)
        return np.zeros(shape), np.zeros(shape)

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        return np.zeros((0, *self.matrices.F.shape))
