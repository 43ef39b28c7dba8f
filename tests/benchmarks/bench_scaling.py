"""Time against size: each model with its defaults and a peer that solves the same problem, over some orders of size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from structkit.datasets import SolvedPDE
from structkit.dictionary import OrthogonalDictionary
from structkit.gp import GridGP, SquaredExponential
from structkit.pde import PDE, D, Dirichlet, GPSolver
from structkit.sbl import KroneckerOMP, KroneckerSBL
from structkit.statespace import kalman_filter, matern_sde, rts_smoother
from structkit.tucker import FunctionalCP
from tests.benchmarks import dictionary_peers, pde_peers, statespace_peers
from tests.benchmarks.harness import Row, compare

Call = Callable[[], object]
NOISE = 0.01


@dataclass(frozen=True)
class Series:
    """One model over growing problems.

    Attributes
    ----------
    title, unit : str
        The panel, and what its sizes count.
    slope : float
        Expected power of the size that the time grows with.
    sizes : sequence of int
        Sizes.
    make : callable
        Takes a size; returns the call of structkit and the peer's name and call, or None where it would take too long.
    """

    title: str
    unit: str
    slope: float
    sizes: Sequence[int]
    make: Callable[[int], tuple[Call, tuple[str, Call] | None]]


def grid_process(cells: int) -> tuple[Call, tuple[str, Call] | None]:
    """Posterior mean on a complete grid with known kernels."""
    n = round(cells**0.5)
    t = np.linspace(0, 1, n)
    y = np.sin(9 * t)[:, None] * np.cos(7 * t) + 0.1 * np.random.default_rng(0).standard_normal((n, n))
    model = GridGP([SquaredExponential(0.2), SquaredExponential(0.2)], noise_var=NOISE, learn_kernels=False, mean=0.0)

    def dense() -> np.ndarray:
        k = np.exp(-0.5 * ((t[:, None] - t) / 0.2) ** 2)
        K = np.kron(k, k)
        return K @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(K + NOISE * np.eye(n * n)), y.ravel())

    return lambda: model.fit([t, t], y).predict().ravel(), ("dense Cholesky", dense) if cells <= 5000 else None


def state_space(n: int) -> tuple[Call, tuple[str, Call] | None]:
    """Posterior mean of a Matern-3/2 process at uneven times."""
    rng = np.random.default_rng(0)
    times, y = np.cumsum(rng.uniform(0.01, 0.1, n)), rng.standard_normal(n)
    sde = matern_sde(1.5, 1.0)

    def ours() -> np.ndarray:
        return rts_smoother(kalman_filter(sde, times, y, noise_var=NOISE)).mean

    dense = ("dense Cholesky", lambda: statespace_peers.dense_posterior(times, y, NOISE)[0])
    return ours, dense if n <= 5000 else None


def equation(points: int) -> tuple[Call, tuple[str, Call] | None]:
    """Poisson's equation in two dimensions, a wave that needs all points."""
    n = round(points**0.5)
    k = 0.8 * n

    def u(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.sin(k * x) * np.cos(k * y)

    problem = PDE(
        D(0, 2) + D(1, 2), domain=[(0, 1)] * 2, source=lambda x, y: -2 * k**2 * u(x, y), conditions=Dirichlet(u)
    )
    at = [np.linspace(0, 1, 50)] * 2
    peer = ("finite differences", lambda: pde_peers.finite_differences(SolvedPDE(problem, u), n, at))
    return lambda: GPSolver(n_points=n, lengthscale=0.35).fit(problem).predict(at), peer if points <= 200_000 else None


def functional_tensor(entries: int) -> tuple[Call, tuple[str, Call] | None]:
    """Ten sweeps of a decomposition of rank 2 with three modes of 100 levels."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 100, (entries, 3)) / 99
    y = np.sin(6 * X[:, 0]) * np.exp(X[:, 1]) * (1 + X[:, 2]) + 0.1 * rng.standard_normal(entries)
    model = FunctionalCP(2, n_starts=1, max_iter=10, tol=1e-12, mean="constant", learn_kernels=False, random_state=0)
    return lambda: model.fit(X, y).predict(X[:500]), None


def sparse_recovery(unknowns: int) -> tuple[Call, tuple[str, Call] | None]:
    """Eight coefficients behind three random dictionaries, measured at 24^3 places."""
    n = round(unknowns ** (1 / 3))
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((24, n)) for _ in range(3)]
    support = [rng.choice(n, 2, replace=False) for _ in range(3)]
    chosen = [A[:, s] for A, s in zip(factors, support, strict=True)]
    y = np.einsum("ia,jb,kc,abc->ijk", *chosen, rng.standard_normal((2, 2, 2)))
    y = y + 0.1 * y.std() * rng.standard_normal(y.shape)
    peer = ("Kronecker OMP, 8 given", lambda: KroneckerOMP(n_nonzero=8).fit(factors, y).predict(factors))
    return lambda: KroneckerSBL().fit(factors, y).predict(factors), peer


def dictionary(samples: int) -> tuple[Call, tuple[str, Call] | None]:
    """An orthogonal dictionary of 32 atoms in one pass."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((samples, 32)) * (rng.random((samples, 32)) < 0.1)
    Y = codes @ np.linalg.qr(rng.standard_normal((32, 32)))[0].T
    peer = ("FastICA", lambda: dictionary_peers.fast_ica(Y))
    return lambda: OrthogonalDictionary(random_state=0).partial_fit(Y).components_, peer


SERIES = (
    Series("GridGP, complete grid", "cells", 1.5, [2**k for k in (8, 10, 12, 14, 16, 18, 20)], grid_process),
    Series("state space, filter and smoother", "times", 1.0, [10**k for k in (2, 3, 4, 5, 6)] + [4000], state_space),
    Series("GPSolver, two dimensions", "points", 1.0, [2**k for k in (10, 12, 14, 16, 18)], equation),
    Series("FunctionalCP, ten sweeps", "entries", 1.0, [10**k for k in (3, 4, 5, 6)], functional_tensor),
    Series("KroneckerSBL, eight coefficients", "unknowns", 1 / 3, [8**k for k in (5, 6, 7, 8, 9, 10)], sparse_recovery),
    Series("OrthogonalDictionary, one pass", "samples", 1.0, [10**k for k in (3, 4, 5, 6)], dictionary),
)


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all series."""
    found: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten sweeps are few, and say so
        for series in SERIES:
            for size in sorted(series.sizes)[:1] if quick else sorted(series.sizes):
                ours, peer = series.make(size)
                found += compare(
                    f"{series.title}: {size} {series.unit}", ours, dict([peer] if peer else []), rounds=2, rtol=np.inf
                )
    return found
