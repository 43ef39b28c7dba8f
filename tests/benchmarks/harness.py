"""Time a structkit call against its peers: interleaved rounds, minima, accuracy of everybody.

A benchmark file ``bench_<topic>.py`` defines ``rows(*, quick=False) -> list[Row]`` and builds its rows with `compare`.
Set-up (conversions, plans, compiled expressions) belongs outside of the timed callables.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

__all__ = ["OURS", "Row", "compare", "copy_bandwidth", "gemm_peak", "measure", "n_threads", "optional", "share_of_gemm"]

OURS = "structkit"
MIN_SAMPLE = 2e-3  # seconds; shorter calls are repeated inside of one sample
LONG_CALL = 2.0  # seconds; a longer first call needs no second one before it is measured
MAX_ROUNDS = 40
_QUICK = False
_MAX_BUDGET = math.inf


@dataclass(frozen=True)
class Row:
    """One callable of one case: what `compare` measured.

    Attributes
    ----------
    case, name, dtype : str
        The problem, who solved it, in which precision.
    threads : int
        Threads that every library was held to.
    seconds_min, seconds_median : float
        Wall-clock seconds of one call after the warm-up; NaN if the callable failed.
    first_call : float
        Seconds of the very first call, compilation included.
    error : float
        Largest deviation from the reference, relative to the reference's largest entry (dimensionless).
    score : float
    score_name : str
        Another measure of the result, such as the error on hidden cells, and what it measures.
    ratio : float
        Time of this row over the time of structkit: above 1, structkit is faster.
    share_gemm, share_copy : float
        Fraction of the GEMM peak and of the copy bandwidth measured in the same process; NaN where not asked.
    gate, gate_peer, gate_ratio : float, str, float
        On structkit's row: the ratio to reach, the peer it refers to, and what was reached.
    note : str
        Why there is no figure, or what to know about it.
    topic : str
        Benchmark file that the row comes from.
    """

    case: str
    name: str
    dtype: str
    threads: int
    seconds_min: float = math.nan
    seconds_median: float = math.nan
    first_call: float = math.nan
    error: float = math.nan
    score: float = math.nan
    score_name: str = ""
    ratio: float = math.nan
    share_gemm: float = math.nan
    share_copy: float = math.nan
    gate: float = math.nan
    gate_peer: str = ""
    gate_ratio: float = math.nan
    note: str = ""
    topic: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the gate is reached; None where there is no gate or no peer to hold against it."""
        if math.isnan(self.gate) or math.isnan(self.gate_ratio):
            return None
        return self.gate_ratio >= self.gate

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def n_threads() -> int:
    """Threads that the run is held to; the runner sets ``STRUCTKIT_BENCH_THREADS``."""
    return int(os.environ.get("STRUCTKIT_BENCH_THREADS", "1"))


def set_quick(quick: bool) -> None:
    """Make every later measurement as short as possible (a smoke run, not a measurement)."""
    global _QUICK
    _QUICK = quick


def set_max_budget(seconds: float) -> None:
    """Bound the seconds of measurement per callable in every later comparison."""
    global _MAX_BUDGET
    _MAX_BUDGET = seconds


def optional(factory: Callable[[], Callable[[], object]]) -> Callable[[], object] | str:
    """Build a peer's callable, or return the reason why it cannot be built.

    ``peers={"jax.jit": optional(make_jax)}`` keeps the other peers alive when jax is missing or refuses the case.
    """
    try:
        return factory()
    except Exception as err:
        return _reason(err)


def _reason(err: BaseException) -> str:
    if isinstance(err, ModuleNotFoundError):
        return f"not installed: {err.name}"
    text = " ".join(str(err).split())
    return f"{type(err).__name__}: {text[:100]}"


@contextmanager
def limit_threads(n: int) -> Iterator[None]:
    """Hold BLAS, OpenMP, torch and numba to `n` threads, as far as they are loaded."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n):
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(n)
        numba = sys.modules.get("numba")
        if numba is not None:
            numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
        yield


def _wait(result: object) -> object:
    """Finish asynchronous work (jax, CUDA) so that the clock sees it."""
    if hasattr(result, "block_until_ready"):
        return result.block_until_ready()
    if getattr(result, "is_cuda", False):
        sys.modules["torch"].cuda.synchronize()
    return result


def as_numpy(result: object) -> np.ndarray:
    """Numbers of any library, or of a tuple of them, as one flat numpy array."""
    if isinstance(result, (tuple, list)):
        return np.concatenate([as_numpy(r) for r in result]) if result else np.empty(0)
    if hasattr(result, "detach"):
        result = result.detach().cpu().numpy()
    elif hasattr(result, "compute"):
        result = result.compute()
    return np.asarray(result).ravel()


def relative_error(result: object, reference: np.ndarray) -> float:
    """Largest deviation over the largest entry of the reference; infinite if sizes differ."""
    flat = as_numpy(result)
    if flat.size != reference.size:
        return math.inf
    if flat.size == 0:
        return 0.0
    scale = float(np.max(np.abs(reference))) or 1.0
    return float(np.max(np.abs(flat - reference))) / scale


@dataclass
class _Runner:
    """A callable with its warm-up behind it and its samples."""

    name: str
    call: Callable[[], object]
    first_call: float
    error: float
    score: float
    inner: int
    samples: list[float]

    def sample(self) -> None:
        start = time.perf_counter()
        for _ in range(self.inner):
            _wait(self.call())
        self.samples.append((time.perf_counter() - start) / self.inner)


def _prepare(
    name: str, call: Callable[[], object], reference: np.ndarray | None, score: Callable[[np.ndarray], float]
) -> tuple[_Runner, np.ndarray]:
    """First call (timed on its own), accuracy, a second call if the first was short, and the calls per sample."""
    start = time.perf_counter()
    result = _wait(call())
    warm = first = time.perf_counter() - start
    flat = as_numpy(result).copy()  # the callable may reuse its output buffer
    error = math.nan if reference is None else relative_error(flat, reference)
    if first < LONG_CALL:
        start = time.perf_counter()
        _wait(call())
        warm = max(time.perf_counter() - start, 1e-7)
    return _Runner(name, call, first, error, score(flat), max(1, math.ceil(MIN_SAMPLE / warm)), []), flat


def _measure(runners: list[_Runner], budget: float, rounds: int = 5) -> None:
    """Interleave samples of everybody until the budget (seconds per callable) is used; at least `rounds` rounds."""
    least, most = (1, 1) if _QUICK else (rounds, MAX_ROUNDS)
    deadline = time.perf_counter() + budget * len(runners)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for i in range(most):
            # everybody goes first once in a while: no one always inherits the same cache
            for runner in runners[i % len(runners) :] + runners[: i % len(runners)]:
                runner.sample()
            if i + 1 >= least and time.perf_counter() > deadline:
                break
    finally:
        if was_enabled:
            gc.enable()


def measure(call: Callable[[], object], *, budget: float = 1.0) -> tuple[float, float]:
    """Minimum and median seconds of one callable, for figures without a peer."""
    with limit_threads(n_threads()):
        runner, _ = _prepare("", call, None, _no_score)
    with limit_threads(n_threads()):
        _measure([runner], budget)
    return min(runner.samples), float(np.median(runner.samples))


@lru_cache
def gemm_peak(dtype: str, threads: int) -> float:
    """Real floating-point operations per second of a large square product in this process."""
    n = 256 if _QUICK else 1024
    rng = np.random.default_rng(0)
    a = rng.standard_normal((n, n)).astype(dtype)
    out = np.empty_like(a)
    flops = (8 if a.dtype.kind == "c" else 2) * n**3
    with limit_threads(threads):
        return flops / _best_of(lambda: np.matmul(a, a, out=out))


@lru_cache
def copy_bandwidth(threads: int) -> float:
    """Bytes per second, read plus written, of a copy far larger than the caches (a copy uses one thread)."""
    a = np.ones(2**20 if _QUICK else 2**23)
    out = np.empty_like(a)
    return 2 * a.nbytes / _best_of(lambda: np.copyto(out, a))


def _best_of(call: Callable[[], object], repeats: int = 12) -> float:
    call()
    best = math.inf
    for _ in range(2 if _QUICK else repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def share_of_gemm(
    case: str, ours: Callable[[], object], flops: float, gate: float, *, dtype: str = "float64", budget: float = 1.0
) -> list[Row]:
    """Rate of `ours`, which does `flops` operations, over that of a large square product measured in turn with it."""
    n = 256 if _QUICK else 1024
    a = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    out = np.empty_like(a)
    work = {OURS: flops, "GEMM peak": (8.0 if a.dtype.kind == "c" else 2.0) * n**3}
    calls = {OURS: ours, "GEMM peak": lambda: np.matmul(a, a, out=out)}
    threads = n_threads()
    with limit_threads(threads):
        runners = [_prepare(name, call, None, _no_score)[0] for name, call in calls.items()]
        _measure(runners, 0.0 if _QUICK else min(budget, _MAX_BUDGET))
    best = {r.name: min(r.samples) for r in runners}
    rate = {name: work[name] / best[name] for name in calls}
    share = rate[OURS] / rate["GEMM peak"]
    first = Row(
        case, OURS, dtype, threads, best[OURS], float(np.median(runners[0].samples)), runners[0].first_call,
        share_gemm=share, gate=gate, gate_peer="GEMM peak", gate_ratio=share,
    )  # fmt: skip
    second = Row(case, "GEMM peak", dtype, threads, best["GEMM peak"], float(np.median(runners[1].samples)))
    return [first, second]


def _no_score(result: np.ndarray) -> float:
    return math.nan


def _gate_ratio(best: Mapping[str, float], rival: str, wrong: bool) -> float:
    """What is held against a gate: a wrong result reaches none, and without a rival there is nothing to hold."""
    if wrong:
        return 0.0
    return best[rival] / best[OURS] if rival else math.nan


def compare(
    case: str,
    ours: Callable[[], object],
    peers: Mapping[str, Callable[[], object] | str],
    *,
    reference: object | None = None,
    gate: float | None = None,
    gate_peer: str | None = None,
    flops: float | None = None,
    bytes_moved: float | None = None,
    dtype: str = "float64",
    budget: float = 1.0,
    rounds: int = 5,
    rtol: float | None = None,
    score: tuple[str, Callable[[np.ndarray], float]] | None = None,
) -> list[Row]:
    """Time structkit and its peers on one problem, interleaved, after a warm-up.

    Parameters
    ----------
    case : str
        Name of the problem with its sizes, for example ``"kron_matmul 2^20"``.
    ours : callable
        The structkit call; returns its result (array, scalar, or a tuple of them).
    peers : mapping from name to callable
        The same problem as a competent user of the peer would solve it; set-up outside. A string instead of a
        callable is the reason why the peer is not there (see `optional`).
    reference : array, optional
        The right answer; default: what `ours` returns, and then its own error is not stated.
    gate : float, optional
        Time of the gate's peer over the time of structkit that is to be reached.
    gate_peer : str, optional
        Which peer the gate refers to; default the fastest one with a right result.
    flops, bytes_moved : float, optional
        Real operations, bytes read plus written by one call; turned into shares of the GEMM peak and copy bandwidth.
    dtype : str
        Precision of the case; chooses the peak and the tolerance.
    budget : float
        Seconds of measurement per callable.
    rounds : int, default 5
        Fewest samples of each callable, whatever the budget.
    rtol : float, optional
        Error from which a result counts as wrong: a peer is then out of the race, and structkit misses its gate.
        Default ``sqrt(eps)``.
    score : (str, callable), optional
        Name of another measure of accuracy, and a function from the flat result to it.

    Returns
    -------
    list of Row
        structkit's row first (it carries the gate), then one row per peer, failed ones included.
    """
    rtol = float(np.sqrt(np.finfo(dtype).eps)) if rtol is None else rtol
    budget = 0.0 if _QUICK else min(budget, _MAX_BUDGET)
    threads = n_threads()
    failed: dict[str, str] = {}
    score_name, measure_score = score or ("", _no_score)
    with limit_threads(threads):
        ref = None if reference is None else as_numpy(reference).copy()
        mine, flat = _prepare(OURS, ours, ref, measure_score)
        ref = flat if ref is None else ref
        runners = [mine]
        for name, call in peers.items():
            if isinstance(call, str):
                failed[name] = call
                continue
            try:
                runners.append(_prepare(name, call, ref, measure_score)[0])
            except Exception as err:
                failed[name] = _reason(err)
    with limit_threads(threads):  # again: peers may have loaded further thread pools in their first call
        _measure(runners, budget, rounds)
    best = {r.name: min(r.samples) for r in runners}
    wrong = {r.name for r in runners if r.error > rtol or (math.isnan(r.error) and r is not mine)}
    rivals = {k: v for k, v in best.items() if k != OURS and k not in wrong and gate_peer in (None, k)}
    rival = min(rivals, key=rivals.__getitem__) if rivals else ""
    rows = []
    for r in runners:
        seconds = best[r.name]
        is_ours = r.name == OURS
        rows.append(
            Row(
                case=case,
                name=r.name,
                dtype=dtype,
                threads=threads,
                seconds_min=seconds,
                seconds_median=float(np.median(r.samples)),
                first_call=r.first_call,
                error=r.error,
                score=r.score,
                score_name=score_name,
                ratio=seconds / best[OURS],
                share_gemm=math.nan if flops is None else flops / seconds / gemm_peak(dtype, threads),
                share_copy=math.nan if bytes_moved is None else bytes_moved / seconds / copy_bandwidth(threads),
                gate=gate if gate is not None and is_ours else math.nan,
                gate_peer=(gate_peer or rival) if is_ours else "",
                gate_ratio=_gate_ratio(best, rival, OURS in wrong) if is_ours else math.nan,
                note=f"wrong result (error above {rtol:.0e}), not in the race" if r.name in wrong else "",
            )
        )
    rows += [Row(case=case, name=k, dtype=dtype, threads=threads, note=why) for k, why in failed.items()]
    return rows
