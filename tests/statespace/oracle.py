"""Gaussian processes the long way: covariance functions in closed form, dense conditioning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit.statespace import constant_sde, matern_sde, periodic_sde, quasi_periodic_sde, white_sde


def matern(nu, lengthscale=1.0, variance=1.0):
    def kappa(d):
        u = np.sqrt(2 * nu) * np.abs(d) / lengthscale
        return variance * {0.5: 1.0, 1.5: 1 + u, 2.5: 1 + u + u * u / 3}[nu] * np.exp(-u)

    return kappa


def periodic(period, lengthscale, variance):
    return lambda d: variance * np.exp(-2 * np.sin(np.pi * d / period) ** 2 / lengthscale**2)


CASES = {
    "matern12": (matern_sde(0.5, 0.7, 1.3), matern(0.5, 0.7, 1.3)),
    "matern32": (matern_sde(1.5, 0.7, 1.3), matern(1.5, 0.7, 1.3)),
    "matern52": (matern_sde(2.5, 0.7, 1.3), matern(2.5, 0.7, 1.3)),
    "constant": (constant_sde(2.0), lambda d: 2.0 + 0 * d),
    "white": (white_sde(1.5), lambda d: 1.5 * (d == 0)),
    "periodic": (periodic_sde(1.1, 2.3, 1.5, 12), periodic(2.3, 1.1, 1.5)),
    "sum": (
        constant_sde(0.5) + matern_sde(1.5, 3.0, 2.0) + matern_sde(0.5, 0.2, 0.7),
        lambda d: 0.5 + matern(1.5, 3.0, 2.0)(d) + matern(0.5, 0.2, 0.7)(d),
    ),
    "scaled": (
        2.0 * (white_sde(0.5) + matern_sde(2.5, 3.0)),
        lambda d: 1.0 * (d == 0) + 2.0 * matern(2.5, 3.0)(d),
    ),
    "product": (
        matern_sde(0.5, 2.0, 1.5) * matern_sde(1.5, 1.0, 0.8),
        lambda d: matern(0.5, 2.0, 1.5)(d) * matern(1.5, 1.0, 0.8)(d),
    ),
    "quasi-periodic": (
        quasi_periodic_sde(1.2, 1.3, 2.0, decay=5.0, nu=0.5, n_harmonics=10),
        lambda d: periodic(1.3, 1.2, 2.0)(d) * matern(0.5, 5.0)(d),
    ),
}


def irregular(rng, n=30):
    """Times with two ties, a step of 1e-7 and a gap of a thousand length-scales."""
    times = np.sort(rng.uniform(0, 6, n))
    times[5] = times[4]
    times[9] = times[8] + 1e-7
    times[n - 8 :] += 1e3
    times[n - 3 :] = times[n - 3]
    return times


@dataclass
class Dense:
    """Posterior of independent copies given block observations, by dense algebra over all times and outputs."""

    prior: np.ndarray
    cross: np.ndarray
    precision: np.ndarray
    information: np.ndarray

    @property
    def _inner(self):
        n = len(self.prior)
        return np.linalg.solve(
            np.eye(n) + self.precision @ self.prior, np.column_stack([self.information, self.precision])
        )

    def moments(self, prior_new):
        """Mean and covariance at the rows of `cross`."""
        inner = self._inner
        return self.cross @ inner[:, 0], prior_new - self.cross @ inner[:, 1:] @ self.cross.T

    @property
    def log_z(self):
        n = len(self.prior)
        logdet = np.linalg.slogdet(np.eye(n) + self.precision @ self.prior)[1]
        return (self.information @ self.prior @ self._inner[:, 0] - logdet) / 2


def dense(kappa, times, precision, information, new=None):
    """Return mean ``(S, R)``, covariance ``(S, R, S, R)`` and log Z."""
    n, copies = information.shape
    new = times if new is None else np.asarray(new)
    eye = np.eye(copies)
    blocks = np.zeros((n, copies, n, copies))
    blocks[np.arange(n), :, np.arange(n), :] = precision
    prior, cross, there = (
        np.kron(kappa(s[:, None] - t[None, :]), eye) for s, t in ((times, times), (new, times), (new, new))
    )
    model = Dense(prior, cross, blocks.reshape(n * copies, -1), information.ravel())
    mean, cov = model.moments(there)
    return mean.reshape(-1, copies), cov.reshape(len(new), copies, len(new), copies), model.log_z


def diagonal(cov):
    """Blocks ``(S, R, R)`` at one time."""
    index = np.arange(len(cov))
    return cov[index, :, index, :]


def block_observations(rng, n, copies, scale=3.0):
    """Random singular precisions, one missing, and consistent information vectors."""
    roots = rng.normal(size=(n, copies, max(1, copies - 1))) * 10 ** rng.uniform(-scale / 2, scale / 2, (n, 1, 1))
    precision = roots @ roots.transpose(0, 2, 1)
    information = np.einsum("nrc,nc->nr", precision, rng.normal(size=(n, copies)))
    precision[n // 2], information[n // 2] = 0, 0
    return precision, information
