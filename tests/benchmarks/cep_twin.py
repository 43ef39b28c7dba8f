"""Conditional expectation propagation for functional CP and Tucker models, as published with the model.

A twin of the inference of Fang, Yu, Wang, Li, Kirby, Zhe, "Functional Bayesian Tucker Decomposition for
Continuous-indexed Tensor Data", ICLR 2024 (arXiv 2311.04829), and of the authors' torch program: messages per
observation, damping, a state-space filter with a pseudo-inverse and a matrix exponential in every step, fixed numbers
of epochs. It serves as the peer in benchmarks of accuracy and seconds per pass, so nothing in it is made faster than
there: whole-array torch operations over the observations, Python loops over the indexes.

By default it is the method. The authors' program departs from it in two places, which ``as_coded=True`` repeats: the
Tucker factor messages use the core with its axes reversed, and factors at unseen coordinates come from a merge of two
smoothed neighbours, or beyond the first coordinate from the inverse of a transition. Neither touches the time of an
epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch

__all__ = ["STOCK", "ConditionalEP"]

# The authors' settings per data set and model: coordinates scaled to [0, span], all factors Matern-1/2. Their
# temperatures are in Fahrenheit for CP and standardised for Tucker.
STOCK: dict[tuple[str, str], dict[str, float]] = {
    ("beijing", "cp"): {
        "n_epochs": 150, "span": 10.0, "lengthscale": 0.1, "variance": 5.0, "damping": 0.3, "damping_tau": 0.8,
    },
    ("beijing", "tucker"): {
        "n_epochs": 100, "span": 10.0, "lengthscale": 0.1, "variance": 1.0, "damping": 0.5, "damping_tau": 0.6,
        "damping_core": 0.9,
    },
    ("us", "cp"): {
        "n_epochs": 150, "span": 1.0, "lengthscale": 0.1, "variance": 5.0, "damping": 0.3, "damping_tau": 0.8,
    },
    ("us", "tucker"): {
        "n_epochs": 200, "span": 1.0, "lengthscale": 0.5, "variance": 1.0, "damping": 0.9, "damping_tau": 0.9,
        "damping_core": 0.95,
    },
}  # fmt: skip


def kron_vectors(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Kronecker products of the columns ``(N, p, 1)`` and ``(N, q, 1)``, first one slowest."""
    return (a[:, :, None] * b[:, None]).reshape(len(a), -1, 1)


def kron_matrices(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Kronecker products of the matrices ``(N, p, p)`` and ``(N, q, q)``, first one slowest."""
    n = A.shape[1] * B.shape[1]
    return (A[:, :, None, :, None] * B[:, None, :, None, :]).reshape(len(A), n, n)


class StateSpace:
    """Independent Matern-1/2 or 3/2 processes along one mode: forward filter and backward smoother.

    Parameters
    ----------
    t : tensor, shape ``(n,)``
        Distinct coordinates, increasing.
    rank : int
        Number of processes.
    nu : float, 0.5 or 1.5
        Smoothness.
    lengthscale, variance : float, > 0
        Of each process, in units of the coordinates and squared units of the function.
    """

    def __init__(self, t: torch.Tensor, rank: int, nu: float, lengthscale: float, variance: float) -> None:
        if nu == 0.5:
            F, P, H = [[-1.0 / lengthscale]], [[variance]], [[1.0]]
        elif nu == 1.5:
            lam = math.sqrt(3.0) / lengthscale
            F, P, H = [[0.0, 1.0], [-(lam**2), -2.0 * lam]], [[variance, 0.0], [0.0, variance * lam**2]], [[1.0, 0.0]]
        else:
            raise ValueError(f"nu={nu}; expected 0.5 or 1.5.")
        eye = torch.eye(rank, dtype=torch.float64)
        self.F, self.P_inf, self.H = (torch.kron(eye, torch.tensor(a, dtype=torch.float64)) for a in (F, P, H))
        self.t = t
        self.gaps = torch.diff(t, prepend=t[:1])
        # The start is drawn from N(0, I) and kept in all epochs.
        self.start = torch.randn(len(self.F), 1, dtype=torch.float64)

    def transition(self, gap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Transition matrix and covariance of its noise."""
        A = torch.matrix_exp(self.F * gap)
        return A, self.P_inf - A @ self.P_inf @ A.T

    def run(self, y: Sequence[torch.Tensor], R: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Smoothed functions ``(n, rank, 1)`` and covariances from one pseudo-observation per coordinate."""
        m, P = self.start, self.P_inf
        self.filtered, self.predicted = [], []
        for gap, y_i, R_i in zip(self.gaps, y, R, strict=True):
            A, Q = self.transition(gap)
            m, P = A @ m, A @ P @ A.T + Q
            self.predicted.append((m, P))
            K = P @ self.H.T @ torch.linalg.pinv(self.H @ P @ self.H.T + R_i)
            m, P = m + K @ (y_i - self.H @ m), P - K @ self.H @ P
            self.filtered.append((m, P))
        self.smoothed = [(m, P)]
        for i in reversed(range(len(self.t) - 1)):
            A = torch.matrix_exp(self.F * self.gaps[i + 1])
            m, P = self._step_back(self.filtered[i], A, self.predicted[i + 1], (m, P))
            self.smoothed.append((m, P))
        self.smoothed.reverse()
        means, covariances = zip(*self.smoothed, strict=True)
        return self.H @ torch.stack(means), self.H @ torch.stack(covariances) @ self.H.T

    @staticmethod
    def _step_back(
        here: tuple[torch.Tensor, torch.Tensor],
        A: torch.Tensor,
        ahead: tuple[torch.Tensor, torch.Tensor],
        smoothed: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Smooth one state, given the prediction of the next one and its smoothed moments."""
        G = here[1] @ A.T @ torch.linalg.pinv(ahead[1])
        return here[0] + G @ (smoothed[0] - ahead[0]), here[1] + G @ (smoothed[1] - ahead[1]) @ G.T

    def at(self, t: torch.Tensor, as_coded: bool) -> torch.Tensor:
        """Posterior mean ``(rank, 1)`` at one coordinate that has no state."""
        i = int(torch.searchsorted(self.t, t))
        if i == len(self.t):
            return self.H @ self.transition(t - self.t[-1])[0] @ self.smoothed[-1][0]
        A2, Q2 = self.transition(self.t[i] - t)
        m_next, P_next = self.smoothed[i]
        if i == 0:
            back = torch.linalg.inv(A2) if as_coded else self.P_inf @ A2.T @ torch.linalg.inv(self.P_inf)
            return self.H @ back @ m_next
        A1, Q1 = self.transition(t - self.t[i - 1])
        if as_coded:
            m, P = self.smoothed[i - 1]
            left = torch.linalg.inv(A1 @ P @ A1.T + Q1)
            right = torch.linalg.inv(A2 @ P_next @ A2.T + Q2)
            merged = torch.linalg.inv(left + A2.T @ right @ A2)
            return self.H @ merged @ (left @ A1 @ m + right @ A2 @ m_next)
        m, P = self.filtered[i - 1]
        m, P = A1 @ m, A1 @ P @ A1.T + Q1
        return self.H @ self._step_back((m, P), A2, (A2 @ m, A2 @ P @ A2.T + Q2), (m_next, P_next))[0]


@dataclass
class ConditionalEP:
    """Functional CP or Tucker model fitted by conditional expectation propagation.

    Parameters
    ----------
    rank : int
        Number of functions per mode, the same for all modes.
    model : {"cp", "tucker"}
        With or without a core that is inferred.
    n_epochs : int
        Passes over the data; the method has no stopping rule.
    span : float
        Coordinates are scaled to ``[0, span]`` per mode, by the training range.
    nu, lengthscale, variance : float or one per mode
        Covariance of the factor functions; fixed.
    damping, damping_tau, damping_core : float, in [0, 1)
        Share of the old message that is kept, for factors, noise and core.
    inner : bool
        Whether a mode is smoothed right after its messages, or all modes after all messages.
    as_coded : bool
        Repeat the departures of the authors' program from the method; see the module.
    seed : int
        Of the random start.
    """

    rank: int
    model: str = "cp"
    n_epochs: int = 150
    span: float = 1.0
    nu: float | Sequence[float] = 0.5
    lengthscale: float | Sequence[float] = 0.1
    variance: float | Sequence[float] = 1.0
    damping: float = 0.3
    damping_tau: float = 0.8
    damping_core: float = 0.9
    inner: bool = True
    as_coded: bool = False
    seed: int = 0
    tau: float = field(default=1.0, init=False)

    def fit(self, X: np.ndarray, y: np.ndarray) -> ConditionalEP:
        """Run all epochs on the entries with coordinates ``(n, K)`` and values ``(n,)``."""
        self.start(X, y)
        for _ in range(self.n_epochs):
            self.epoch()
        return self

    def start(self, X: np.ndarray, y: np.ndarray) -> None:
        """Set up states and first messages."""
        torch.manual_seed(self.seed)
        X = np.asarray(X, dtype=np.float64)
        n, self.n_modes = X.shape
        R, D = self.rank, self.rank**self.n_modes
        self.low, self.width = X.min(0), np.where(np.ptp(X, axis=0) > 0, np.ptp(X, axis=0), 1.0)
        self.y = torch.as_tensor(np.asarray(y, dtype=np.float64)).reshape(-1, 1, 1)
        levels, index = zip(*(np.unique(x, return_inverse=True) for x in self._scaled(X).T), strict=True)
        self.index = [torch.as_tensor(i) for i in index]
        self.groups = [torch.split(torch.argsort(i, stable=True), np.bincount(i).tolist()) for i in self.index]
        options = (
            np.broadcast_to(np.asarray(o, float), self.n_modes) for o in (self.nu, self.lengthscale, self.variance)
        )
        self.chains = [
            StateSpace(torch.as_tensor(t), R, *map(float, o))
            for t, *o in zip(levels, *options, strict=True)
        ]  # fmt: skip
        eye = torch.eye(R, dtype=torch.float64)
        self.mean = [torch.rand(len(t), R, 1, dtype=torch.float64) for t in levels]
        self.cov = [eye.repeat(len(t), 1, 1) for t in levels]
        self.lam = [1e-3 * eye.repeat(n, 1, 1) for _ in levels]
        self.eta = [1e-3 * torch.rand(n, R, 1, dtype=torch.float64) for _ in levels]
        self.msg_b = torch.ones(n, dtype=torch.float64)
        self.tau = 1.0
        if self.model == "tucker":
            self.core = torch.rand(D, 1, dtype=torch.float64)
            self.core_lam = 1e-3 * torch.eye(D, dtype=torch.float64).repeat(n, 1, 1)
            self.core_eta = 1e-3 * torch.rand(n, D, 1, dtype=torch.float64)
        elif self.model == "cp":
            self.core = torch.ones(R, 1, dtype=torch.float64)
        else:
            raise ValueError(f'model={self.model!r}; expected "cp" or "tucker".')

    def epoch(self) -> None:
        """One pass: messages to the factors and smoothing, core, noise."""
        for k in range(self.n_modes):
            self._factor_messages(k)
            if self.inner:
                self._smooth(k)
        if not self.inner:
            for k in range(self.n_modes):
                self._smooth(k)
        z, Z = self._products(range(self.n_modes))
        if self.model == "tucker":
            self._update_core(z, Z)
        self._update_noise(z, Z)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Plug-in mean at coordinates ``(m, K)``: the method has no other prediction."""
        columns = self._scaled(np.asarray(X, dtype=np.float64)).T
        factors = [self.factor(k, x) for k, x in enumerate(columns)]
        combine = kron_vectors if self.model == "tucker" else torch.mul
        return (reduce(combine, factors).mT @ self.core).flatten().numpy()

    def factor(self, mode: int, t: np.ndarray) -> torch.Tensor:
        """Posterior means ``(m, rank, 1)`` at scaled coordinates."""
        chain = self.chains[mode]
        points, where = torch.unique(torch.as_tensor(t), return_inverse=True)
        place = torch.searchsorted(chain.t, points).clamp(max=len(chain.t) - 1)
        means = self.mean[mode][place].clone()
        for i in torch.nonzero(chain.t[place] != points).flatten():
            means[i] = chain.at(points[i], self.as_coded)
        return means[where]

    @property
    def noise_var(self) -> float:
        """Variance of the noise that the method infers."""
        return 1.0 / float(self.tau)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return (X - self.low) / self.width * self.span

    def _products(self, modes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """First and second moments of the product of factors at every observation."""
        first, second = [], []
        for j in modes:
            m = self.mean[j][self.index[j]]
            first.append(m)
            second.append(self.cov[j][self.index[j]] + m @ m.mT)
        if self.model == "tucker":
            return reduce(kron_vectors, first), reduce(kron_matrices, second)
        return reduce(torch.mul, first), reduce(torch.mul, second)

    def _factor_messages(self, k: int) -> None:
        """Damped messages of every observation to one mode, from the mean of the core."""
        others = [j for j in range(self.n_modes) if j != k]
        if not others:  # nothing to condition on: the coefficients are those of the core
            a = self.core.T.repeat(len(self.y), 1)[..., None]
            A = a @ a.mT
        elif self.model == "tucker":
            core = self.core.reshape([self.rank] * self.n_modes)
            if self.as_coded:
                core, others = core.permute(*reversed(range(self.n_modes))), others[::-1]
            W = core.movedim(k, 0).reshape(self.rank, -1)
            z, Z = self._products(others)
            a, A = W @ z, W @ Z @ W.T
        else:
            a, A = self._products(others)
        keep = self.damping
        self.lam[k] = keep * self.lam[k] + (1.0 - keep) * (self.tau * A)
        self.eta[k] = keep * self.eta[k] + (1.0 - keep) * (self.tau * a * self.y)

    def _smooth(self, k: int) -> None:
        """Merge the messages of each index with N(0, I) to one pseudo-observation and smooth along the mode."""
        eye = torch.eye(self.rank, dtype=torch.float64)
        R = [torch.linalg.inv(self.lam[k][rows].sum(0) + eye) for rows in self.groups[k]]
        y = [R_i @ self.eta[k][rows].sum(0) for R_i, rows in zip(R, self.groups[k], strict=True)]
        self.mean[k], self.cov[k] = self.chains[k].run(y, R)

    def _update_core(self, z: torch.Tensor, Z: torch.Tensor) -> None:
        """Damped messages to the core, which has no prior."""
        keep = self.damping_core
        self.core_lam = keep * self.core_lam + (1.0 - keep) * (self.tau * Z)
        self.core_eta = keep * self.core_eta + (1.0 - keep) * (self.tau * z * self.y)
        self.core = torch.linalg.inv(self.core_lam.sum(0)) @ self.core_eta.sum(0)

    def _update_noise(self, z: torch.Tensor, Z: torch.Tensor) -> None:
        """Precision from damped expected squared errors, the core without its covariance; the prior is Gamma(1, 1)."""
        error = 0.5 * self.y**2 - self.y * (z.mT @ self.core) + 0.5 * ((Z @ self.core).mT @ self.core)
        self.msg_b = self.damping_tau * self.msg_b + (1.0 - self.damping_tau) * error.flatten()
        self.tau = (1.0 + 0.5 * len(self.msg_b)) / (1.0 + self.msg_b.sum())
