"""Error bars of differential equations over many seeds: coverage, error beside integration, an unknown wavenumber.

``python -m tests.paper.pde_uncertainty --seeds 100`` prints one line per problem.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_trapezoid

from structkit import ConvergenceWarning
from structkit.pde import PDE, D, GPSolver, Parameter

N_SOURCE, N_SENSORS, SENSOR_STD, SOURCE_NOISE = 200, 12, 0.05, 0.05
TRUE_K = 33.0


@dataclass(frozen=True)
class Wave:
    """A sum of sine waves ``sum of a sin(w x + p)``: amplitudes, angular frequencies, phases, and the domain."""

    waves: tuple[tuple[float, float, float], ...]
    domain: tuple[float, float] = (0.0, 1.0)

    def __call__(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """A derivative of the sum."""
        return sum(a * w**order * np.sin(w * x + p + order * np.pi / 2) for a, w, p in self.waves)  # type: ignore[return-value]


PROBLEMS = {
    "three scales": Wave(((1.0, 1.0, 0.0), (0.1, 20.0, 0.0), (0.05, 100.0, 0.0))),
    "two scales": Wave(((1.0, 3.0, 0.0), (0.4, 11.0, np.pi / 2)), (0.0, 2.0)),
    "one wave": Wave(((1.0, 25.0, 0.3),)),
    "beats": Wave(((0.5, 94.0, 0.0), (0.5, 106.0, 0.0)), (0.0, 2.0)),
}
SOURCES = {
    "two scales": Wave(((1.0, 20.0, 0.0), (0.5, 52.0, 1.0))),
    "one wave": Wave(((1.0, 9.0, 0.4),)),
}


@dataclass(frozen=True)
class Outcome:
    """One fit: share of the band that holds the truth, relative errors, seconds.

    The peer integrates the source twice and fits two constants to the sensors. The oracle knows the frequencies of the
    solution and both noise levels, which nobody does, and fits amplitudes and constants to all data.
    """

    coverage: float
    error: float
    peer: float
    oracle: float
    seconds: float


def sensors_of(u: Wave, seed: int, n: int, std: float) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Places and readings of sensors, and the generator they came from."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(*u.domain, n)
    return places, u(places) + std * rng.standard_normal(n), rng


def integrate_and_fit(x: np.ndarray, f: np.ndarray, places: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """Integrate the source twice and fit the two constants to the sensors."""
    twice = cumulative_trapezoid(cumulative_trapezoid(f, x, initial=0.0), x, initial=0.0)
    left = readings - np.interp(places, x, twice)
    slope, level = np.polyfit(places, left, 1)
    return np.asarray(twice + level + slope * x)


def known_frequencies(
    u: Wave, source: tuple[np.ndarray, np.ndarray, float], sensors: tuple[np.ndarray, np.ndarray], at: np.ndarray
) -> np.ndarray:
    """Weighted least squares for the amplitudes of waves of the true frequencies, and two constants."""

    def columns(t: np.ndarray, order: int) -> np.ndarray:
        waves = [Wave(((1.0, w, k * np.pi / 2),))(t, order) for _, w, _ in u.waves for k in (0, 1)]
        return np.stack([*waves, np.full_like(t, order == 0), t * (order == 0)], axis=1)

    (x, f, source_std), (places, readings) = source, sensors
    rows = np.concatenate([columns(x, 2) / source_std, columns(places, 0) / SENSOR_STD])
    data = np.concatenate([f / source_std, readings / SENSOR_STD])
    return columns(at, 0) @ np.linalg.lstsq(rows, data, rcond=None)[0]


def noisy(u: Wave, seed: int) -> Outcome:
    """A noisy source, twelve noisy sensors, nothing known at the ends."""
    places, readings, rng = sensors_of(u, seed, N_SENSORS, SENSOR_STD)
    x = np.linspace(*u.domain, N_SOURCE)
    f = u(x, 2)
    source_std = SOURCE_NOISE * np.sqrt(np.mean(f**2))
    f = f + source_std * rng.standard_normal(N_SOURCE)
    start = time.perf_counter()
    problem = PDE(D(0, 2), domain=[u.domain], source=f, grid=[x])
    model = GPSolver(noise_var="learn").fit(problem, (places, readings, "learn"))
    seconds = time.perf_counter() - start
    fine = np.linspace(*u.domain, 401)
    mean, std = model.predict([fine], return_std=True)
    truth = u(fine)
    peer = np.interp(fine, x, integrate_and_fit(x, f, places, readings))
    known = known_frequencies(u, (x, f, source_std), (places, readings), fine)
    size = np.linalg.norm(truth)
    return Outcome(
        float(np.mean(np.abs(mean - truth) <= 1.96 * std)),
        float(np.linalg.norm(mean - truth) / size),
        float(np.linalg.norm(peer - truth) / size),
        float(np.linalg.norm(known - truth) / size),
        seconds,
    )


def wavenumber(f: Wave, seed: int) -> tuple[float, float, float]:
    """Estimate and standard error of ``k`` in ``u'' + k^2 u = f`` from 25 sensors at one percent, and seconds."""
    u = Wave(tuple((a / (TRUE_K**2 - w**2), w, p) for a, w, p in f.waves), f.domain)
    size = float(np.sqrt(np.mean(u(np.linspace(*u.domain, 401)) ** 2)))
    places, readings, _ = sensors_of(u, seed, 25, 0.01 * size)
    k2 = Parameter("k2", 900.0, bounds=(100.0, 3600.0))
    start = time.perf_counter()
    model = GPSolver().fit(PDE(D(0, 2) + k2 * D(0, 0), domain=[u.domain], source=f), (places, readings, "learn"))
    seconds = time.perf_counter() - start
    found = model.parameters_["k2"]
    return found.value, found.standard_error, seconds


def report_noisy(name: str, seeds: range) -> dict[str, float]:
    """Coverage, errors and seconds over seeds; printed."""
    outcomes = [noisy(PROBLEMS[name], seed) for seed in seeds]
    coverage = float(np.mean([o.coverage for o in outcomes]))
    error, peer, oracle = (float(np.median([getattr(o, k) for o in outcomes])) for k in ("error", "peer", "oracle"))
    seconds = [o.seconds for o in outcomes]
    print(
        f"noisy source, {name}: coverage {coverage:.3f}, median error {error:.4f}, {error / peer:.2f} of integration, "
        f"{error / oracle:.2f} of the oracle, seconds {np.median(seconds):.2f}, at most {max(seconds):.2f}",
        flush=True,
    )
    return {"coverage": coverage, "error": error, "oracle": oracle, "ratio": error / peer}


def report_wavenumber(name: str, seeds: range) -> float:
    """Share of seeds whose estimate is within 1.96 standard errors; printed."""
    found = [wavenumber(SOURCES[name], seed) for seed in seeds]
    off = np.array([(value - TRUE_K**2) / error for value, error, _ in found])
    seconds = [s for *_, s in found]
    share = float(np.mean(np.abs(off) <= 1.96))
    width = float(np.median([e for _, e, _ in found])) / (2 * TRUE_K)
    print(
        f"unknown wavenumber, {name}: {share:.2f} within 1.96 standard errors, "
        f"root mean square {np.sqrt(np.mean(off**2)):.2f}, farthest {np.abs(off).max():.1f}, "
        f"standard error of k {width:.4f}, seconds {np.median(seconds):.2f}, at most {max(seconds):.2f}",
        flush=True,
    )
    return share


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="number of seeds of each problem (default 100)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--only", choices=["noisy", "wavenumber"], help="one kind only")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if args.only != "wavenumber":
            for name in PROBLEMS:
                report_noisy(name, seeds)
        if args.only != "noisy":
            for name in SOURCES:
                report_wavenumber(name, seeds)


if __name__ == "__main__":
    main()
