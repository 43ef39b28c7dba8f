"""Write the page on coverage: ``python -m tests.house.coverage REPORT.json docs/coverage.rst``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

GOAL = 92.0  # percent of the statements of the package

HEADER = """\
.. Written by ``make coverage``; edits are lost.

Coverage
========

Share of the statements of the package that ``make test`` runs: **{total:.1f} %**, of {count:,}. Loops that Numba
compiles (``structkit._backend``) run outside of the interpreter, where nothing can see them, and count as not run; the
tests compare each with its twin in numpy. Without these files the share is {seen:.1f} %. Code for CUDA devices runs on
machines that have one.

.. list-table::
   :header-rows: 1
   :class: benchmark

   * - package
     - statements
     - run
"""


def by_package(report: dict, *, compiled: bool = True) -> dict[str, tuple[int, int]]:
    """Statements, and those that ran, of each package, with or without files of compiled loops."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, entry in report["files"].items():
        parts = Path(path).parts
        if not compiled and parts[-1].startswith("numba_"):
            continue
        start = parts.index("structkit")
        name = ".".join(parts[start : start + 2]) if len(parts) > start + 2 else "structkit"
        summary = entry["summary"]
        sums[name][0] += summary["num_statements"]
        sums[name][1] += summary["covered_lines"]
    return {name: (n, ran) for name, (n, ran) in sorted(sums.items())}


def _share(packages: dict[str, tuple[int, int]]) -> float:
    """Percent of the statements that ran."""
    count, ran = (sum(values) for values in zip(*packages.values(), strict=True))
    return 100 * ran / count


def main(argv: list[str]) -> int:
    """Write the page; the exit status says whether the goal is met."""
    source, target = map(Path, argv)
    report = json.loads(source.read_text(encoding="utf-8"))
    packages = by_package(report)
    total, seen = _share(packages), _share(by_package(report, compiled=False))
    count = sum(n for n, _ in packages.values())
    lines = [f"   * - {name}\n     - {n:,}\n     - {100 * r / n:.1f} %\n" for name, (n, r) in packages.items() if n]
    target.write_text(HEADER.format(total=total, seen=seen, count=count) + "".join(lines), encoding="utf-8")
    print(f"{total:.1f} % of {count:,} statements; wrote {target}")
    return 0 if total >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
