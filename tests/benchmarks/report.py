"""Turn benchmark rows into an aligned table on the console and into the page of the documentation."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from tests.benchmarks.harness import OURS, Row

TITLES = {
    "dictionary": "Dictionaries",
    "gpu": "On a GPU",
    "gridgp": "Gaussian processes on grids",
    "kernels": "Covariance kernels",
    "operators": "Operators",
    "pde": "Differential equations",
    "products": "Kronecker products",
    "sbl": "Kronecker sparse Bayesian learning",
    "scaling": "Time against size",
    "solvers": "Solves, determinants and evidence",
    "statespace": "State-space models",
    "tensor": "Tensors",
    "tucker": "Functional tensors",
}
PACKAGES = (
    "structkit",
    "numpy",
    "scipy",
    "numba",
    "torch",
    "jax",
    "opt_einsum",
    "tensorly",
    "pykronecker",
    "linear_operator",
    "gpytorch",
    "botorch",
    "scikit-learn",
    "dask",
)
SLOW_FIRST_CALL = 0.2  # seconds over a warm call from which a first call is worth its own line

HEADER = """\
.. Written by ``make bench``; edits are lost.

{title}

Every number compares libraries in one process and one run: calls are interleaved, warmed up, and the minimum over the
rounds is shown (wall clock, with the median beside it). *Ratio* is the peer's time over structkit's: above 1, structkit
is faster. *Error* is the largest deviation from the reference (a dense or independent computation where there is
one, otherwise structkit's own result) over the reference's largest entry, *score* another measure of the result where
the methods differ, such as the error on hidden cells. A peer with a wrong result is shown and left out of the race;
structkit with a wrong result misses its target. *Of GEMM / copy* is the share of the speed of a large matrix product
and of the bandwidth of a large copy in the same process. Set-up (plans, compiled expressions, conversions) is not timed
for anybody; first calls that compile something are listed on their own.

Reproduce with ``make bench``, or for one topic ``python -m tests.benchmarks --only products --threads 1 2``.{more}
"""


def seconds(value: float) -> str:
    """Human-readable duration."""
    if math.isnan(value):
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def number(value: float, form: str) -> str:
    """Formatted value, or a dash for NaN."""
    return "-" if math.isnan(value) else format(value, form)


def score(row: Row) -> str:
    """The other measure of accuracy with its name."""
    return "" if math.isnan(row.score) else f"{row.score_name} {row.score:.3g}"


def gate(row: Row) -> str:
    """What was asked and whether it was reached."""
    if math.isnan(row.gate):
        return ""
    if row.met is None:
        return f">= {row.gate:g}x: no peer ran"
    return f">= {row.gate:g}x {row.gate_peer}: {row.gate_ratio:.2f}x, {'met' if row.met else 'MISSED'}"


COLUMNS = ("case", "who", "dtype", "min", "median", "ratio", "error", "score", "GEMM", "copy", "gate, note")


def cells(row: Row, previous: str = "") -> tuple[str, ...]:
    """One printed line."""
    return (
        "" if row.case == previous else row.case,
        row.name,
        row.dtype,
        seconds(row.seconds_min),
        seconds(row.seconds_median),
        number(row.ratio, ".2f"),
        number(row.error, ".0e"),
        score(row),
        number(row.share_gemm, ".0%"),
        number(row.share_copy, ".0%"),
        "; ".join(t for t in (gate(row), row.note) if t),
    )


def console_table(title: str, rows: Sequence[Row]) -> str:
    """Aligned text table."""
    lines = [COLUMNS]
    previous = ""
    for row in rows:
        lines.append(cells(row, previous))
        previous = row.case
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    body = ["  ".join([*(c.ljust(w) for c, w in zip(line[:-1], widths, strict=True)), line[-1]]) for line in lines]
    first = [f"    {r.case}, {r.name}: {seconds(r.first_call)}" for r in slow_first_calls(rows)]
    return "\n".join(["", title, "-" * len(title), *body, *(["  first calls:", *first] if first else [])])


def slow_first_calls(rows: Sequence[Row]) -> list[Row]:
    """Rows whose first call compiled or loaded something."""
    return [r for r in rows if r.first_call - r.seconds_median > SLOW_FIRST_CALL]


def summary(runs: Mapping[int, Sequence[Row]], ours: str = OURS) -> str:
    """How many gates were met per thread count, and which were not."""
    lines = [""]
    for threads, rows in runs.items():
        gated = [r for r in rows if r.name == ours and r.met is not None]
        lines.append(f"{threads} thread(s): {sum(bool(r.met) for r in gated)} of {len(gated)} gates met")
        lines += [f"  missed: {r.case} ({r.dtype}): {gate(r)}" for r in gated if not r.met]
    return "\n".join(lines)


def cpu_name() -> str:
    """Model of the processor, as far as the system says."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _rst_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    out = [".. list-table::", "   :header-rows: 1", "   :class: benchmark", ""]
    for line in (header, *lines):
        out += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(line)]
    return [*out, ""]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("`", "\\`").replace("_", "\\_")


def _case_section(case: str, runs: Mapping[int, Sequence[Row]]) -> list[str]:
    """One problem: everybody's times at every thread count side by side."""
    by_name: dict[tuple[str, str], dict[int, Row]] = {}
    for threads, rows in runs.items():
        for row in rows:
            if row.case == case:
                by_name.setdefault((row.name, row.dtype), {})[threads] = row
    header = ["who", "dtype"]
    for t in runs:
        header += [f"{t} thread{'s' if t > 1 else ''}: min (median)", "ratio", "of GEMM / copy"]
    header += ["error", "score", "note"]
    lines = []
    for (name, dtype), rows in by_name.items():
        line = [f"**{_escape(name)}**" if name == OURS else _escape(name), dtype]
        for t in runs:
            row = rows.get(t, Row(case, name, dtype, t))
            shares = f"{number(row.share_gemm, '.0%')} / {number(row.share_copy, '.0%')}"
            time = f"{seconds(row.seconds_min)} ({seconds(row.seconds_median)})"
            line += [time, number(row.ratio, ".2f"), "" if shares == "- / -" else shares]
        any_row = next(iter(rows.values()))
        line += [number(any_row.error, ".0e"), score(any_row), _escape(any_row.note)]
        lines.append(line)
    # A column that says nothing for anybody is left out.
    used = [i for i in range(len(header)) if i < 3 or any(line[i] not in ("", "-") for line in lines)]
    table = _rst_table([header[i] for i in used], [[line[i] for i in used] for line in lines])
    return [_escape(case), "~" * max(len(_escape(case)), 4), "", *table]


def _gate_section(runs: Mapping[int, Sequence[Row]]) -> list[str]:
    header = ["case", "dtype", "gate", *(f"{t} thread{'s' if t > 1 else ''}" for t in runs)]
    gated: dict[tuple[str, str], dict[int, Row]] = {}
    for threads, rows in runs.items():
        for row in rows:
            if row.name == OURS and not math.isnan(row.gate):
                gated.setdefault((row.case, row.dtype), {})[threads] = row
    lines = []
    for (case, dtype), found in gated.items():
        row = next(iter(found.values()))
        line = [_escape(case), dtype, f"≥ {row.gate:g}x {_escape(row.gate_peer)}"]
        for t in runs:
            r = found.get(t)
            line.append("" if r is None or r.met is None else f"{r.gate_ratio:.2f}x {'met' if r.met else '**missed**'}")
        lines.append(line)
    if not lines:
        return []
    counts = ", ".join(
        f"{sum(r[t].met is True for r in gated.values() if t in r)} of "
        f"{sum(r[t].met is not None for r in gated.values() if t in r)} with {t} thread{'s' if t > 1 else ''}"
        for t in runs
    )
    return ["Targets", "-------", "", f"Met: {counts}.", "", *_rst_table(header, lines)]


def _picture(path: Path, runs: Mapping[int, Sequence[Row]]) -> list[str]:
    """Draw time against size, for the smallest number of threads, and show it."""
    from tests.benchmarks.scaling_plot import plot_scaling

    plot_scaling(runs[min(runs)], path.parent / "_static" / "scaling.png")
    alt = "For each model, seconds against the size of the problem on logarithmic axes, with the expected slope"
    return [".. image:: _static/scaling.png", f"   :alt: {alt}", "   :width: 100%", ""]


def write_rst(
    path: Path, runs: Mapping[int, Sequence[Row]], limits: Mapping[int, Mapping[str, float]], *, quick: bool = False
) -> None:
    """Write the page of the documentation."""
    peaks = "; ".join(
        f"{t} thread{'s' if t > 1 else ''}: "
        f"float64 GEMM {lim['gemm'] / 1e9:.0f} GF/s, copy {lim['copy'] / 1e9:.0f} GB/s"
        for t, lim in limits.items()
    )
    topics = dict.fromkeys(row.topic for rows in runs.values() for row in rows)
    title = "Scaling" if list(topics) == ["scaling"] else "Benchmarks"
    more = "" if "scaling" in topics else "\nHow the time of each model grows with the size is drawn on :doc:`scaling`."
    page = [HEADER.format(title=f"{title}\n{'=' * len(title)}", more=more)]
    if quick:
        page += [
            ".. warning:: A quick run: one round on small problems. It shows that everything runs, nothing more.",
            "",
        ]
    page += [
        f"- Date: {datetime.datetime.now(tz=datetime.UTC).date().isoformat()}",
        f"- Machine: {cpu_name()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        f"- Limits in the same run: {peaks}",
        f"- Versions: {_escape(_versions())}",
        "",
        *(_picture(path, runs) if "scaling" in topics else _gate_section(runs)),
    ]
    for topic in topics:
        title = TITLES.get(topic, topic or "Results")
        page += [title, "-" * len(title), ""]
        for case in dict.fromkeys(row.case for rows in runs.values() for row in rows if row.topic == topic):
            page += _case_section(case, runs)
    first = [r for rows in runs.values() for r in slow_first_calls(rows)]
    page += ["First calls", "-----------", "", "Seconds of the first call where it compiled or loaded something.", ""]
    for case, group in groupby(first, key=lambda r: (r.case, r.threads)):
        names = ", ".join(f"{_escape(r.name)} {seconds(r.first_call)}" for r in group)
        page.append(f"- {_escape(case[0])}, {case[1]} thread{'s' if case[1] > 1 else ''}: {names}")
    if not first:
        page.append("None took noticeably longer than a warm call.")
    path.write_text("\n".join(page) + "\n", encoding="utf-8")
