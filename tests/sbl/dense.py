"""The oracle of the sparse models: every matrix formed from its definition, and problems with a known answer."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import scipy.linalg

from structkit.kron import multi_mode_product


def kron(factors):
    return reduce(np.kron, factors)


class DenseSBL:
    """Evidence, gradients and posterior from the covariance of all measurements, by Cholesky in double precision."""

    def __init__(self, factors, gammas, y, noise_var):
        self.A, self.gammas = kron(factors), gammas
        self.y = np.asarray(y).reshape(len(self.A), -1)
        self.gamma = kron(gammas)
        self.noise_var = noise_var
        self.C = (self.A * self.gamma) @ self.A.conj().T + noise_var * np.eye(len(self.A))
        self.L = scipy.linalg.cholesky(self.C, lower=True)
        self.solved = scipy.linalg.cho_solve((self.L, True), self.y)
        self.complex = np.iscomplexobj(self.y)

    @property
    def condition(self):
        return np.linalg.cond(self.C)

    def evidence(self):
        half, constant = (1.0, np.log(np.pi)) if self.complex else (0.5, np.log(2 * np.pi))
        count, snapshots = self.y.shape
        quadratic = np.vdot(self.y, self.solved).real
        logdet = 2 * np.log(np.diag(self.L).real).sum()
        return -half * (quadratic + snapshots * (logdet + count * constant))

    def gradient(self):
        """Derivative of the evidence for every prior variance of every mode, and for the noise variance."""
        half, snapshots = (1.0 if self.complex else 0.5), self.y.shape[1]
        white = scipy.linalg.solve_triangular(self.L, self.A, lower=True)
        full = snapshots * (np.abs(white) ** 2).sum(axis=0) - (np.abs(self.A.conj().T @ self.solved) ** 2).sum(axis=1)
        full = full.reshape([len(g) for g in self.gammas])
        modes = range(len(self.gammas))
        out = []
        for i in modes:
            others = [g[None, :] for k, g in enumerate(self.gammas) if k != i]
            rest = multi_mode_product(full, others, modes=[k for k in modes if k != i]) if others else full
            out.append(-half * rest.reshape(-1))
        trace = snapshots * np.trace(np.linalg.inv(self.C)).real
        return out, -half * (trace - (np.abs(self.solved) ** 2).sum())

    def posterior(self):
        """Mean and variance in the form that suits little noise: through the precision of the coefficients."""
        root = np.sqrt(self.gamma)
        B = self.A * root
        inverse = np.linalg.inv(np.eye(len(root)) + B.conj().T @ B / self.noise_var)
        mean = root[:, None] * (inverse @ (B.conj().T @ self.y)) / self.noise_var
        shape = [len(g) for g in self.gammas]
        variance = self.gamma * np.diag(inverse).real
        return mean.reshape(*shape, -1), variance.reshape(shape)

    def covariance(self):
        """Posterior covariance of all coefficients."""
        G = self.gamma[:, None] * self.A.conj().T
        return np.diag(self.gamma) - G @ np.linalg.solve(self.C, G.conj().T)


@dataclass
class Sparse:
    """Sparse coefficients on a Cartesian product, and what was measured of them."""

    factors: list
    x: np.ndarray
    support: list
    clean: np.ndarray
    y: np.ndarray
    noise_var: float

    def oracle(self):
        """Least squares on the true support."""
        inverses = [np.linalg.pinv(A[:, s]) for A, s in zip(self.factors, self.support, strict=True)]
        x = np.zeros_like(self.x)
        x[np.ix_(*self.support)] = multi_mode_product(self.y, inverses, modes=list(range(len(self.factors))))
        return x


def random(rng, shape, is_complex=False):
    """Standard normal numbers, circular if complex."""
    if not is_complex:
        return rng.standard_normal(shape)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def sparse(
    seed, rows=(8, 12, 15), columns=(15, 15, 15), k=3, snr=20.0, *, rank_one=False, is_complex=False, snapshots=None
):
    """Normal dictionaries and coefficients; `snr` in dB; rank one as in the published experiments, or generic."""
    rng = np.random.default_rng(seed)
    factors = [random(rng, s, is_complex) for s in zip(rows, columns, strict=True)]
    support = [np.sort(rng.choice(n, k, replace=False)) for n in columns]
    trailing = () if snapshots is None else (snapshots,)
    if rank_one:
        block = reduce(np.multiply.outer, [random(rng, k, is_complex) for _ in columns])
    else:
        block = random(rng, (k,) * len(columns) + trailing, is_complex)
    x = np.zeros(tuple(columns) + trailing, block.dtype)
    x[np.ix_(*support)] = block
    clean = multi_mode_product(x, factors, modes=list(range(len(factors))))
    noise_var = np.mean(np.abs(clean) ** 2) / 10 ** (snr / 10)
    noise = np.sqrt(noise_var) * random(rng, clean.shape, is_complex)
    return Sparse(factors, x, support, clean, clean + noise, noise_var)


def error(estimate, truth):
    """Normalised mean squared error."""
    return float(np.sum(np.abs(estimate - truth) ** 2) / np.sum(np.abs(truth) ** 2))


def same_support(found, true):
    return all(np.array_equal(a, b) for a, b in zip(found, true, strict=True))
