"""Functional tensors: a sweep against a pass of conditional expectation propagation, large lists of entries, accuracy.

A pass of the peer and a sweep of structkit update everything once: all functions, the weights, the noise.
"""

from __future__ import annotations

import math
import time
import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np

from structkit import ConvergenceWarning
from structkit.datasets import beijing_pm25, sample_functional_tensor
from structkit.statespace import matern_sde
from structkit.tucker import FunctionalCP, FunctionalTucker
from structkit.tucker.ascent import Ascent
from structkit.tucker.fitting import observe
from structkit.tucker.inference import Posterior
from structkit.tucker.noise import Noise
from structkit.tucker.priors import mode_prior
from structkit.tucker.starts import start_core, start_functions
from tests.benchmarks import tucker_peers as peers
from tests.benchmarks.cep_twin import ConditionalEP
from tests.benchmarks.harness import OURS, Row, compare, measure, n_threads, optional

Data = tuple[str, np.ndarray, np.ndarray]
MODELS = {"cp": FunctionalCP, "tucker": FunctionalTucker}
NAMES = {"cp": "CP", "tucker": "Tucker"}
TWIN = "conditional EP, torch"
SPAN, LENGTH = 10.0, 0.1  # of the peer: coordinates from 0 to 10
PASSES = 6  # kernels are learned in every third sweep


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found = [row for data in (_beijing(), _us_sizes()) for row in _against_twin(*data, quick)]
    found += _accuracy(100 if quick else 300)
    n = 100_000 if quick else 1_000_000
    found += [row for form, seconds in (("cp", 0.1), ("tucker", 0.5)) for row in _large(form, n, n / 1e6 * seconds)]
    found += _levels(1_000 if quick else 1_000_000)
    found += _memory(n)
    return found if quick else found + _more_entries(n)


# ---- data and models --------------------------------------------------------------------------------------------


def _beijing() -> Data:
    tensor = beijing_pm25(0)
    return "Beijing PM2.5", tensor.X[~tensor.test], tensor.y[~tensor.test]


def _us_sizes() -> Data:
    """As many levels and entries as the temperatures of the United States, on a map and in years."""
    X, y = _entries(44_755, (15, 95, 267))
    return "15 x 95 x 267 levels", X, y


def _entries(n: int, levels: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random entries of a smooth function with noise."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, k, n) for k in levels]).astype(float)
    t = X / np.array(levels)
    y = np.sin(3 * t[:, 0] + 5 * t[:, 1]) * np.cos(4 * t[:, -1]) + t.sum(axis=1)
    return X, (y - y.mean()) / y.std() + 0.1 * rng.standard_normal(n)


def _start(X: np.ndarray, y: np.ndarray, form: str, rank: int = 3) -> Posterior:
    """A posterior with the default kernel, ready to sweep."""
    rng = np.random.default_rng(0)
    observed = observe(X, y, separate=False)
    functions = [start_functions(mode_prior("matern12", t), t, rank, False, rng) for t in observed.levels]
    core = start_core((rank,) * len(functions), form == "cp", rng)
    return Posterior(observed.entries, functions, core, Noise(observed.entries.n_observations, None))


def _fitted(X: np.ndarray, y: np.ndarray, form: str, **options: object) -> Posterior:
    """The posterior of an estimator after a few sweeps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MODELS[form](3, n_starts=1, max_iter=6, random_state=0, **options).fit(X, y)
    return model._fitted.posterior


# ---- against the published inference ----------------------------------------------------------------------------


def _against_twin(name: str, X: np.ndarray, y: np.ndarray, quick: bool) -> list[Row]:
    found = []
    spread = np.ptp(X, axis=0)
    for form in MODELS:
        twin = ConditionalEP(3, model=form, span=SPAN, lengthscale=LENGTH, damping=0.5)
        twin.start(X, y)
        kernels = [matern_sde(0.5, LENGTH * s / SPAN) for s in spread]
        same = _fitted(X, y, form, kernel=kernels, mean="constant", learn_kernels=False)
        peer = {TWIN: _call(twin.epoch)}
        options = {"gate_peer": TWIN, "rtol": math.inf, "budget": 0.0, "rounds": 1 if quick else 5}
        case = f"{NAMES[form]} R=3, {name}, {len(y)} entries"
        found += compare(f"a pass, {case}", _call(same.sweep), peer, gate=60.0, **options)
        ascent = Ascent(_fitted(X, y, form, mean="main-effects"), 0.0, True)
        title = f"{PASSES} passes against one, kernels learned, main effects, {case}"
        found += compare(title, _call(ascent.sweep, PASSES), peer, gate=60.0 / PASSES, **options)
    return found


def _call(update: Callable[[], object], n: int = 1) -> Callable[[], np.ndarray]:
    """Update `n` times; the methods have no number in common that could be compared."""

    def call() -> np.ndarray:
        for _ in range(n):
            update()
        return np.zeros(1)

    return call


# ---- against decompositions of dense grids ----------------------------------------------------------------------


def _accuracy(n_iter: int) -> list[Row]:
    """Fits until they stop, on a grid that tensorly can hold; nothing is unseen, or it could not predict."""
    tensor = sample_functional_tensor(20_000, n_levels=(15, 95, 267), unseen=0.0, random_state=0, n_test=4000)
    X, y, new = tensor.X_train, tensor.y_train, tensor.X_test

    def error(prediction: np.ndarray) -> float:
        return float(np.sqrt(np.mean((prediction - tensor.f_test) ** 2)) / tensor.noise_std)

    return compare(
        "fit and predict, R=3, 15 x 95 x 267 levels, 20000 entries",
        lambda: FunctionalCP(3, random_state=0).fit(X, y).predict(new),
        {
            "tensorly parafac, masked": optional(lambda: peers.masked_cp(X, y, new, 3, n_iter=n_iter)),
            "tensorly tucker, masked": optional(lambda: peers.masked_tucker(X, y, new, (3, 3, 3), n_iter=n_iter)),
        },
        reference=tensor.f_test,
        rtol=math.inf,
        budget=0.0,
        rounds=1,
        score=("error over noise", error),
    )


# ---- sizes ------------------------------------------------------------------------------------------------------


def _limit(case: str, reached: float, limit: float, what: str, **more: object) -> Row:
    """A row that is held against a number instead of a peer."""
    gate = {"gate": 1.0, "gate_peer": f"{limit:.3g} {what}", "gate_ratio": limit / reached}
    return Row(case, OURS, "float64", n_threads(), **gate, **more)


def _sweep_seconds(post: Posterior) -> float:
    return measure(_call(post.sweep), budget=1.0)[0]


def _large(form: str, n: int, limit: float) -> list[Row]:
    seconds = _sweep_seconds(_start(*_entries(n, (500, 500, 500)), form))
    case = f"a sweep, {NAMES[form]} R=3, {n} entries, 500 levels per mode"
    return [_limit(case, seconds, limit, "s", seconds_min=seconds)]


def _more_entries(n: int) -> list[Row]:
    found = []
    for form in MODELS:
        few, many = (_sweep_seconds(_start(*_entries(k, (500, 500, 500)), form)) for k in (n, 10 * n))
        case = f"a sweep, {NAMES[form]} R=3, {10 * n} entries over {n}"
        found.append(_limit(case, many / few, 12.0, "times the time", seconds_min=many))
    return found


def _levels(most: int) -> list[Row]:
    """A thousand times as many levels in one mode, up to one per entry: the time per level must not rise."""
    few, some, many = (_sweep_seconds(_start(*_entries(most, (most // f, 100, 100)), "cp")) for f in (1000, 10, 1))
    case = f"a sweep, CP R=3, {most} entries and levels of one mode"
    slope = (many - some) / (0.9 * most)
    expected = few + slope * most / 10  # of a straight line through the first and the last size
    found = _limit(f"{case} over {most // 10}", (many - few) / (some - few), 12.0, "times the time", seconds_min=many)
    return [
        found,
        Row(f"{case}, straight line", OURS, "float64", n_threads(), score=some / expected, score_name="of it"),
    ]


def _memory(n: int) -> list[Row]:
    """Largest allocation of reading entries and sweeping, the coordinates and values themselves left out."""
    X, y = _entries(n, (500, 500, 500))
    _start(X[:1000], y[:1000], "cp").sweep()
    start = time.perf_counter()
    tracemalloc.start()
    _start(X, y, "cp").sweep()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    seconds = time.perf_counter() - start
    case = f"memory, CP R=3, {n} entries, 500 levels per mode"
    return [_limit(case, peak / n, 200.0, "B per entry", score=peak / n, score_name="B per entry", seconds_min=seconds)]
