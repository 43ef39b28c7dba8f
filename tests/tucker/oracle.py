"""The model the long way: single entries, dense covariances of functions, the bound from its definition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.special import digamma, gammaln

from structkit.tucker.cores import CPCore
from structkit.tucker.fitting import observe
from structkit.tucker.functions import Moments
from structkit.tucker.inference import Posterior
from structkit.tucker.noise import Noise, StudentNoise
from structkit.tucker.packing import pack, unpack
from structkit.tucker.priors import mode_prior
from structkit.tucker.starts import start_core, start_functions
from tests.statespace.oracle import Dense, matern

LOG_2PI = np.log(2 * np.pi)


def posterior(X, y, ranks, *, cp, mean="constant", student=False, kernel="matern12", known=None, seed=0):
    """A posterior at its start, for values as they are."""
    rng = np.random.default_rng(seed)
    observed = observe(X, y, separate=student)
    functions = [
        start_functions(mode_prior(kernel, levels), levels, rank, mean == "main-effects", rng)
        for levels, rank in zip(observed.levels, ranks, strict=True)
    ]
    noise = (StudentNoise if student else Noise)(len(y), known)
    return Posterior(observed.entries, functions, start_core(ranks, cp, rng), noise)


def entries(rng, n_modes, n=40, n_levels=5):
    """Coordinates with duplicates, and values that depend on them."""
    X = rng.integers(0, n_levels, (n, n_modes)) / n_levels + np.arange(n_modes)
    return X, np.prod(1 + np.sin(3 * X), axis=1) + X.sum(axis=1) + 0.3 * rng.standard_normal(n)


# ---- functions of one mode --------------------------------------------------------------------------------------


def terms(sde):
    """Covariance functions of the terms of a constant plus a long and a short Matern process, without amplitudes."""
    parts = getattr(sde.form, "parts", (sde.form,))
    return [
        matern(p.order - 0.5, p.lengthscale, p.variance) if hasattr(p, "order") else _constant(p.variance)
        for p in parts
    ]


def _constant(variance):
    return lambda d: variance + 0 * d


def dense_prior(functions, s, t):
    """Covariances ``(S, C, T, C)`` of the functions of a mode at two lists of times."""
    d = s[:, None] - t[None, :]
    squares = np.array([term(d) for term in terms(functions.sde)])
    size = functions.rank + functions.effect
    out = np.zeros((len(s), size, len(t), size))
    for c, amplitude in enumerate(np.exp(functions.shares)):
        out[:, c, :, c] = np.tensordot(amplitude**2, squares, axes=1)
    return out


def dense_functions(functions, new=None):
    """Mean ``(S, C)`` and covariance ``(S, C, S, C)`` of the functions of a mode, at its levels or new coordinates."""
    precision, information = functions.messages
    n, copies = information.shape
    times = functions.times
    there = times if new is None else functions.prior.times(new)
    blocks = np.zeros((n, copies, n, copies))
    blocks[np.arange(n), :, np.arange(n), :] = precision
    pairs = ((times, times), (there, times), (there, there))
    prior, cross, beyond = (dense_prior(functions, s, t).reshape(len(s) * copies, -1) for s, t in pairs)
    model = Dense(prior, cross, blocks.reshape(n * copies, -1), information.ravel())
    mean, cov = model.moments(beyond)
    return mean.reshape(-1, copies), cov.reshape(len(there), copies, len(there), copies)


def dense_kl(functions):
    """Divergence of the functions of a mode from their prior."""
    mean, cov = dense_functions(functions)
    size = mean.size
    prior = dense_prior(functions, functions.times, functions.times).reshape(size, size)
    flat, joint = mean.ravel(), cov.reshape(size, size)
    inverse = np.linalg.inv(prior)
    logs = np.linalg.slogdet(prior)[1] - np.linalg.slogdet(joint)[1]
    return 0.5 * (np.sum(inverse * joint) + flat @ inverse @ flat - size + logs)


def random_moments(rng, n_levels, rank, effect):
    """Moments of correlated functions."""
    size = rank + effect
    roots = rng.normal(size=(n_levels, size, size)) / 2
    cov = roots @ roots.transpose(0, 2, 1)
    return Moments.of(rng.normal(size=(n_levels, size)), cov, rank)


# ---- sums over entries ------------------------------------------------------------------------------------------


@dataclass
class Form:
    """A core with all weights, and moments of all functions: expectations entry by entry."""

    mean: np.ndarray
    second: np.ndarray
    moments: list

    @classmethod
    def of(cls, core, moments):
        if not isinstance(core, CPCore):
            return cls(core.mean.reshape(core.ranks), core.second.reshape(core.ranks * 2), moments)
        rank, d = core.ranks[0], len(core.ranks)
        mean, second = np.zeros(core.ranks), np.zeros(core.ranks * 2)
        for r in range(rank):
            mean[(r,) * d] = core.mean[r]
            for s in range(rank):
                second[(r,) * d + (s,) * d] = core.second[r, s]
        return cls(mean, second, moments)

    def first_factors(self, row, crossed=None):
        """E[u] of every mode, or E[u g] in one of them."""
        return [
            m.cross[i] if k == crossed else m.mean[i] for k, (m, i) in enumerate(zip(self.moments, row, strict=True))
        ]

    def second_factors(self, row):
        """E[u u^T] of every mode."""
        return [unpack(m.second[i], m.mean.shape[1]) for m, i in zip(self.moments, row, strict=True)]

    def coefficient(self, row, mode, crossed=None):
        """What multiplies the functions of a mode, ``(R,)``."""
        out = self.mean
        for k, u in reversed(list(enumerate(self.first_factors(row, crossed)))):
            out = out if k == mode else np.tensordot(out, u, axes=(k, 0))
        return out

    def coefficient_second(self, row, mode):
        """Its second moment ``(R, R)``."""
        out, d = self.second, self.mean.ndim
        for k, S in reversed(list(enumerate(self.second_factors(row)))):
            if k != mode:
                out = np.tensordot(out, S, axes=((k, k + out.ndim // 2), (0, 1)))
        assert out.ndim == 2 or d == 1
        return out

    def products(self, row, crossed=None):
        """E of the products of all functions, flat."""
        return reduce(np.kron, self.first_factors(row, crossed))

    def products_second(self, row):
        """Their second moments."""
        return reduce(np.kron, self.second_factors(row))

    def value(self, row):
        """E and variance of form plus main effects at one entry."""
        flat, second = self.mean.ravel(), self.second.reshape(self.mean.size, -1)
        mean = flat @ self.products(row)
        square = np.sum(second * self.products_second(row))
        total, variance = mean, square - mean**2
        if self.moments[0].effect is not None:
            for k, (m, i) in enumerate(zip(self.moments, row, strict=True)):
                total += m.effect[i]
                variance += m.effect_second[i] - m.effect[i] ** 2
                variance += 2 * (flat @ self.products(row, crossed=k) - mean * m.effect[i])
        return total, variance


# ---- the bound --------------------------------------------------------------------------------------------------


def gamma_divergence(a, b, a0, b0):
    """Divergence of Gamma(a, b) from Gamma(a0, b0): minus entropy, minus expected log prior."""
    entropy = a - np.log(b) + gammaln(a) + (1 - a) * digamma(a)
    expected = a0 * np.log(b0) - gammaln(a0) + (a0 - 1) * (digamma(a) - np.log(b)) - b0 * a / b
    return float(np.sum(-entropy - expected))


def bound(post, X, y):
    """Lower bound of the log evidence from its definition, for values in the units of the fit."""
    levels = [np.unique(x) for x in X.T]
    index = np.stack([np.searchsorted(t, x) for t, x in zip(levels, X.T, strict=True)], axis=1)
    form, noise = Form.of(post.core, post.moments), post.noise
    mean, variance = np.array([form.value(row) for row in index]).T
    square = (y - mean) ** 2 + variance
    log_tau = np.log(noise.precision) if noise.known else digamma(noise.shape) - np.log(noise.rate)
    value = 0.0
    weight, log_weight = np.ones(len(y)), np.zeros(len(y))
    if isinstance(noise, StudentNoise):
        weight, a = post.entries.blocks[0].weight, noise._weight_shape
        log_weight = digamma(a) - np.log(a / weight)
        half = noise.degrees / 2
        value -= gamma_divergence(a, a / weight, half, half)
    value += 0.5 * np.sum(log_tau + log_weight - LOG_2PI - noise.precision * weight * square)
    if not noise.known:
        value -= gamma_divergence(noise.shape, noise.rate, *noise.prior)
    value -= _weights_divergence(post.core)
    return value + sum(f.log_prior() - dense_kl(f) for f in post.functions)


def _weights_divergence(core):
    """Divergence of the weights and of the factors of their precisions from their priors."""
    relevance = core.relevance
    expected, logs = np.ones(()), np.zeros(())
    for shape, rate in zip(relevance.shape, relevance.rate, strict=True):
        expected = np.multiply.outer(expected, shape / rate)
        logs = np.add.outer(logs, digamma(shape) - np.log(rate))
    diagonal = np.diag(core.second)
    log_prior = 0.5 * np.sum(logs.ravel() - LOG_2PI - expected.ravel() * diagonal)
    entropy = 0.5 * (np.linalg.slogdet(core.cov)[1] + len(core.mean) * (1 + LOG_2PI))
    gammas = sum(gamma_divergence(s, r, 1e-3, 1e-3) for s, r in zip(relevance.shape, relevance.rate, strict=True))
    return gammas - entropy - log_prior


__all__ = ["Form", "bound", "dense_functions", "dense_kl", "entries", "pack", "posterior", "random_moments"]
