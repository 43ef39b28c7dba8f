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
compiles run outside of the interpreter, where nothing can count them; they are left out, and each is compared with its
twin in numpy. Code for CUDA devices runs on machines that have one.

.. list-table::
   :header-rows: 1
   :class: benchmark

   * - package
     - statements
     - run
"""


def by_package(report: dict) -> dict[str, tuple[int, int]]:
    """Statements, and those that ran, of each package."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, entry in report["files"].items():
        parts = Path(path).parts
        start = parts.index("structkit")
        name = ".".join(parts[start : start + 2]) if len(parts) > start + 2 else "structkit"
        summary = entry["summary"]
        sums[name][0] += summary["num_statements"]
        sums[name][1] += summary["covered_lines"]
    return {name: (n, ran) for name, (n, ran) in sorted(sums.items())}


def main(argv: list[str]) -> int:
    """Write the page; the exit status says whether the goal is met."""
    source, target = map(Path, argv)
    packages = by_package(json.loads(source.read_text(encoding="utf-8")))
    count, ran = (sum(values) for values in zip(*packages.values(), strict=True))
    total = 100 * ran / count
    lines = [f"   * - {name}\n     - {n:,}\n     - {100 * r / n:.1f} %\n" for name, (n, r) in packages.items() if n]
    target.write_text(HEADER.format(total=total, count=count) + "".join(lines), encoding="utf-8")
    print(f"{total:.1f} % of {count:,} statements; wrote {target}")
    return 0 if total >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
