"""Sparse Bayesian learning behind Kronecker products against dense algebra, published methods and scikit-learn."""

from __future__ import annotations

import math
import warnings

import numpy as np

from structkit import ConvergenceWarning
from structkit._backend import numba_sbl, numpy_sbl
from structkit.kron import multi_mode_product
from structkit.sbl import SBL, KroneckerOMP, KroneckerSBL, SeparableSBL, irs_mimo, sbl_posterior
from tests.benchmarks import sbl_peers as peers
from tests.benchmarks.harness import Row, compare, optional


class Problem:
    """Normal dictionaries, a Kronecker support, noise; the published stock problem by default."""

    def __init__(
        self, rows: tuple[int, ...], columns: tuple[int, ...], k: int, snr: float, *, rank_one: bool = False
    ) -> None:
        rng = np.random.default_rng(0)
        self.factors = [rng.standard_normal(s) for s in zip(rows, columns, strict=True)]
        self.support = [np.sort(rng.choice(n, k, replace=False)) for n in columns]
        vectors = [rng.standard_normal(k) for _ in columns]
        shape = (k,) * len(columns)
        self.block = np.einsum("i,j,k->ijk", *vectors) if rank_one else rng.standard_normal(shape)
        self.chosen = [A[:, s] for A, s in zip(self.factors, self.support, strict=True)]
        clean = multi_mode_product(self.block, self.chosen)
        self.noise_var = float(np.mean(clean**2)) / 10 ** (snr / 10)
        self.y = clean + math.sqrt(self.noise_var) * rng.standard_normal(clean.shape)
        self.columns = columns

    def coef(self) -> np.ndarray:
        """All true coefficients."""
        x = np.zeros(self.columns)
        x[np.ix_(*self.support)] = self.block
        return x

    def nmse(self, result: np.ndarray) -> float:
        """Normalised error of all coefficients."""
        x = self.coef().ravel()
        return float(np.sum((result - x) ** 2) / np.sum(x**2))

    def on_support(self, model: KroneckerSBL) -> np.ndarray:
        """Coefficients that a model found at the true positions."""
        out = np.zeros_like(self.block)
        both = [
            np.intersect1d(s, t, return_indices=True)[1:] for s, t in zip(self.support, model.support_, strict=True)
        ]
        out[np.ix_(*(ours for ours, _ in both))] = model.coef_active_[np.ix_(*(theirs for _, theirs in both))]
        return out

    def fit(self, method: str = "fb", **options: object) -> KroneckerSBL:
        """Fit by one method."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return KroneckerSBL(method, **options).fit(self.factors, self.y)


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    if quick:
        stock = Problem((4, 5, 6), (7, 7, 7), 2, 20.0, rank_one=True)
        generic, large = Problem((4, 5, 6), (7, 7, 7), 2, 20.0), {"20^3": Problem((8,) * 3, (20,) * 3, 2, 20.0)}
    else:
        stock = Problem((8, 12, 15), (15, 15, 15), 3, 20.0, rank_one=True)
        generic = Problem((8, 12, 15), (15, 15, 15), 3, 20.0)
        large = {
            "104^3 from 48^3": Problem((48,) * 3, (104,) * 3, 5, 10.0),
            "36^4 from 18^4": Problem((18,) * 4, (36,) * 4, 3, 10.0),
            "2048^3 from 48^3": Problem((48,) * 3, (2048,) * 3, 5, 10.0),
        }
    found = _posterior(stock)
    for m in (4,) if quick else (8, 48):
        found += _fused(m)
    found += _recovery(stock, "rank one", published=True)
    found += _recovery(generic, "generic", published=False)
    for name, problem in large.items():
        found += _large(name, problem)
    return found + _channel()


def _name(p: Problem) -> str:
    return f"{'x'.join(str(n) for n in p.columns)} from {'x'.join(str(n) for n in p.y.shape)}"


def _posterior(p: Problem) -> list[Row]:
    """Posterior mean and variances of all coefficients at given hyperparameters."""
    rng = np.random.default_rng(1)
    gammas = [rng.uniform(0.1, 1.0, n) for n in p.columns]
    arguments = (p.factors, gammas, p.y, p.noise_var)
    dense = peers.dense_cholesky_step(*arguments)
    return compare(
        f"SBL {_name(p)}: posterior mean and variances",
        lambda: tuple(sbl_posterior(*arguments)),
        {"as published, dense covariance": peers.dense_step(*arguments), "dense Cholesky": dense},
        reference=dense(),
        gate=1000.0,
        gate_peer="as published, dense covariance",
        rtol=1e-6,
        rounds=1,
    )


def _fused(m: int) -> list[Row]:
    """Weighted traces and Gram matrix of one mode: one compiled pass over the tensor, or passes with numpy."""
    rng = np.random.default_rng(2)
    arguments = rng.standard_normal((m, m, m, 1)), rng.uniform(size=(m, m)), rng.uniform(size=m), 0.3
    return compare(
        f"SBL {m}^3: sums of one mode",
        lambda: numba_sbl.mode_sums(*arguments),
        {"numpy": lambda: numpy_sbl.mode_sums(*arguments)},
        reference=numpy_sbl.mode_sums(*arguments),
        gate=1.0,
    )


def _recovery(p: Problem, kind: str, *, published: bool) -> list[Row]:
    """All of one trial; the score is the error of the coefficients."""
    known = {"noise_var": p.noise_var, "initial_variance": 1.0}
    if published:
        found = {f"published {m}, factorised": lambda m=m: p.fit(m, **known).coef_ for m in ("am", "svd", "ksbl")}
        gate, peer = 5.0, "published am, factorised"
    else:
        k = p.block.size
        found = {"scikit-learn OMP, true count": optional(lambda: peers.sklearn_pursuit(p.factors, p.y, k))}
        found["KroneckerOMP"] = lambda: KroneckerOMP(noise_var=1.05 * p.noise_var).fit(p.factors, p.y).coef_
        found["classic SBL, dense"] = lambda: SBL(max_iter=8, tol=1e-2, noise_var=p.noise_var).fit(p.factors, p.y).coef_
        gate, peer = None, None
    return compare(
        f"SBL {_name(p)}, {kind}: recover",
        lambda: p.fit().coef_,
        {**found, "KroneckerSBL mm": lambda: p.fit("mm").coef_},
        reference=p.coef(),
        gate=gate,
        gate_peer=peer,
        rtol=math.inf,
        rounds=1 if not published else 5,
        score=("NMSE", p.nmse),
    )


def _large(name: str, p: Problem) -> list[Row]:
    """Problems that no dense method can hold; the score is the error on the true support relative to least squares."""
    least = multi_mode_product(p.y, [np.linalg.pinv(A) for A in p.chosen])
    base = float(np.sum((least - p.block) ** 2))

    def score(result: np.ndarray) -> float:
        return float(np.sum((result.reshape(p.block.shape) - p.block) ** 2)) / base

    return compare(
        f"SBL {name}: recover, noise learned",
        lambda: p.on_support(p.fit()),
        {"KroneckerSBL, one start": lambda: p.on_support(p.fit(n_starts=1))},
        reference=p.block,
        rtol=math.inf,
        rounds=1,
        score=("error over least squares", score),
    )


def _channel() -> list[Row]:
    """One channel through a reflecting surface at 12 dB."""
    channel = irs_mimo(12.0, random_state=0)

    def ours(model: object) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return channel.estimate(model.fit(channel.factors, channel.y))

    known = {"noise_var": channel.noise_var, "initial_variance": 1.0}
    block = {"coupling": (0.8, 0.0, 0.8), "prune_tol": (1e-2, 1e-1, 1e-2)}
    return compare(
        "SBL channel through a reflecting surface, 12 dB",
        lambda: ours(KroneckerSBL()),
        {
            "SeparableSBL": lambda: ours(SeparableSBL()),
            "published block, factorised": lambda: ours(KroneckerSBL("block", **known, **block)),
            "published svd, factorised": lambda: ours(KroneckerSBL("svd", **known)),
        },
        reference=channel.channels,
        dtype="complex128",
        rtol=math.inf,
        rounds=1,
        score=("NMSE", lambda result: channel.nmse(result.reshape(channel.channels.shape))),
    )
