"""Run every ``bench_*.py``: ``python -m tests.benchmarks [--quick] [--threads 1 2] [--only products] [--write PATH]``.

One process per topic and number of threads, restricted to that many cores: some peers (XLA) size their thread pool when
they are imported and can be held to one core in no other way, others (botorch) change the settings of their neighbours.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.harness import OURS, Row, copy_bandwidth, gemm_peak, set_max_budget, set_quick
from tests.benchmarks.report import console_table, summary, write_rst

HERE = Path(__file__).parent
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def topics() -> list[str]:
    """Names of the benchmark files, without prefix and suffix."""
    return sorted(p.stem.removeprefix("bench_") for p in HERE.glob("bench_*.py"))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small and once: does everything still run?")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="one run per number (default 1)")
    parser.add_argument("--only", nargs="+", choices=topics(), metavar="TOPIC", help=f"of {', '.join(topics())}")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="at most this much measurement per callable")
    parser.add_argument("--write", type=Path, metavar="PATH", help="write the page, for example docs/benchmarks.rst")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def worker(args: argparse.Namespace) -> int:
    """Run one file in this process and leave its rows and the machine's limits as JSON."""
    if args.quick:
        set_quick(True)
    if args.budget is not None:
        set_max_budget(args.budget)
    topic, threads = args.only[0], args.threads[0]
    start = time.perf_counter()
    rows = importlib.import_module(f"tests.benchmarks.bench_{topic}").rows(quick=args.quick)
    seconds = time.perf_counter() - start
    print(console_table(f"{topic}, {threads} thread(s), {seconds:.0f} s", rows), flush=True)
    limits = {"gemm": gemm_peak("float64", threads), "copy": copy_bandwidth(threads)}
    result = {"rows": [{**r.to_dict(), "topic": topic} for r in rows], "limits": limits}
    args.worker.write_text(json.dumps(result), encoding="utf-8")
    return 0


def run_worker(topic: str, threads: int, args: argparse.Namespace, folder: Path) -> dict | None:
    """One process held to `threads` cores; returns what it left, or None if it failed (the console says why)."""
    target = folder / f"{topic}{threads}.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--threads", str(threads), "--worker", str(target)]
    command += ["--only", topic]
    command += ["--quick"] if args.quick else []
    command += ["--budget", str(args.budget)] if args.budget is not None else []
    env = {**os.environ, **{name: str(threads) for name in POOLS}, "STRUCTKIT_BENCH_THREADS": str(threads)}
    env |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}  # double precision for everybody
    if hasattr(os, "sched_getaffinity"):
        cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[-threads:])
        env["STRUCTKIT_BENCH_CORES"] = cores
    done = subprocess.run(command, check=False, env=env)
    return json.loads(target.read_text(encoding="utf-8")) if done.returncode == 0 else None


def main(argv: list[str] | None = None) -> int:
    """Run, print, write."""
    args = parse(argv)
    if args.worker is not None:
        return worker(args)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = [n for n in args.threads if n <= cores] or [1]
    if counts != args.threads:
        print(f"{cores} core(s) here: running with {counts} thread(s) instead of {args.threads}")
    rows: dict[int, list[Row]] = {n: [] for n in counts}
    limits: dict[int, dict[str, float]] = {n: {"gemm": 0.0, "copy": 0.0} for n in counts}
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        alone = {"gpu"} if args.quick else {"gpu", "scaling"}  # which have pages of their own
        for topic in args.only or [t for t in topics() if t not in alone]:
            for n in counts:  # side by side in time, so that a busy spell of the machine meets both
                run = run_worker(topic, n, args, Path(folder))
                if run is None:
                    failures.append(f"{topic} ({n} thread{'s' if n > 1 else ''})")
                    continue
                rows[n] += [Row(**r) for r in run["rows"]]
                limits[n] = {k: max(v, run["limits"][k]) for k, v in limits[n].items()}
    print("\na quick run judges no gates" if args.quick else summary(rows, OURS))
    if failures:
        print("files that failed:", ", ".join(failures))
    if args.write:
        write_rst(args.write, rows, limits, quick=args.quick)
        print(f"wrote {args.write}")
    return 1 if failures else 0


if __name__ == "__main__":
    if "STRUCTKIT_BENCH_CORES" in os.environ:  # before any library starts its threads
        os.sched_setaffinity(0, {int(c) for c in os.environ["STRUCTKIT_BENCH_CORES"].split(",")})
    sys.exit(main())
