"""Dictionaries from one pass over a stream against FastICA, MSP, SPAMS and scikit-learn's online learning."""

from __future__ import annotations

from functools import partial

import numpy as np

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from tests.benchmarks import dictionary_peers as peers
from tests.benchmarks.harness import Row, compare, optional
from tests.dictionary.problems import draw, draw_kronecker

# features, share of nonzero codes, noise, samples; what to reach, against whom
CASES = (
    (32, 0.1, 0.0, 16384, 1.5, "FastICA"),
    (32, 0.1, 0.1, 16384, 1.5, "FastICA"),
    (32, 0.3, 0.05, 16384, None, None),
    (128, 0.05, 0.03, 16384, 2.0, "FastICA"),
)
QUICK = ((8, 0.2, 0.05, 600, None, None),)


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found: list[Row] = []
    for n, theta, noise, count, gate, peer in QUICK if quick else CASES:
        found += _stream(n, theta, noise, count, gate, peer)
    found += _scikit_learn(*(QUICK[0][:4] if quick else CASES[0][:4]))
    found += _kronecker((4, 4) if quick else (8, 8), 200 if quick else 4096)
    return found


def _stream(n: int, theta: float, noise: float, count: int, gate: float | None, peer: str | None) -> list[Row]:
    """One pass against peers that may take as many as they like."""
    D, Y = draw(n, theta, noise, count, seed=0)

    def ours(start: int = 0) -> np.ndarray:
        return OrthogonalDictionary(random_state=start).partial_fit(Y).components_

    return compare(
        f"dictionary n={n}, {count} samples, {theta:g} nonzero, noise {noise:g}",
        ours,
        {
            "structkit, all samples at once": lambda: OrthogonalDictionary(random_state=0).fit(Y).components_,
            "FastICA": optional(lambda: partial(peers.fast_ica, Y)),
            "MSP": partial(peers.msp, Y),
            "SPAMS, 10 passes": _available("spams", lambda: partial(peers.spams_batches, Y)),
        },
        gate=gate,
        gate_peer=peer,
        rounds=3,
        rtol=np.inf,
        score=("distance", lambda flat: dictionary_distance(flat.reshape(n, n), D)),
    )


def _available(package: str, factory: object) -> object:
    """The callable of a peer, or why it is not there."""

    def build() -> object:
        __import__(package)
        return factory()

    return optional(build)


def _scikit_learn(n: int, theta: float, noise: float, count: int) -> list[Row]:
    """One pass each; on its own because the peer takes seconds."""
    D, Y = draw(n, theta, noise, count, seed=0)
    return compare(
        f"dictionary n={n}, {count} samples, one pass",
        lambda: OrthogonalDictionary(random_state=0).partial_fit(Y).components_,
        {"MiniBatchDictionaryLearning": optional(lambda: partial(peers.mini_batch, Y))},
        gate=10.0,
        rounds=1,
        rtol=np.inf,
        score=("distance", lambda flat: dictionary_distance(flat.reshape(n, n), D)),
    )


def _kronecker(shape: tuple[int, int], count: int) -> list[Row]:
    """A Kronecker dictionary against a dense one of the same samples."""
    factors, Y = draw_kronecker(shape, 0.1, 0.05, count, seed=0)
    n = int(np.prod(shape))
    D = np.kron(factors[0], factors[1]).T
    flat = Y.reshape(count, n)
    return compare(
        f"dictionary {shape[0]}x{shape[1]}, {count} samples",
        lambda: OrthogonalDictionary(shape=shape, random_state=0).fit(Y).components_,
        {
            "structkit, dense": lambda: OrthogonalDictionary(random_state=0).fit(flat).components_,
            "FastICA": optional(lambda: partial(peers.fast_ica, flat)),
            "MSP": partial(peers.msp, flat),
        },
        rounds=3,
        rtol=np.inf,
        score=("distance", lambda values: dictionary_distance(values.reshape(n, n), D)),
    )
