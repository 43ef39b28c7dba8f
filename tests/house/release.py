"""Build an sdist and a wheel from it, install the wheel into an empty environment, run the demos' quick mode there.

``python -m tests.house.release`` with ``build`` installed; options of pip as arguments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMOS = sorted(ROOT.glob("examples/*/demo_*.py"))
NEEDED = ("structkit/py.typed", "structkit/datasets/data/", "structkit/kron/__init__.py", "LICENSE")
UNWANTED = ("tests/", "examples/", "docs/", "__pycache__", ".npz.tmp")


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command with nothing of this checkout in its path; its output."""
    # One thread: the quick modes are small, and threads that wait for each other on a busy machine cost minutes.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | threads | {"MPLBACKEND": "Agg"}
    done = subprocess.run([str(c) for c in command], cwd=folder, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def problems(wheel: Path, sdist: Path) -> list[str]:
    """What is missing in the archives, and what does not belong there."""
    with zipfile.ZipFile(wheel) as z:
        files = z.namelist()
    with tarfile.open(sdist) as t:
        sources = t.getnames()
    found = [f"{wheel.name} has no {n}" for n in NEEDED if not any(n in f for f in files)]
    found += [f"{wheel.name} holds {f}" for f in files if any(u in f for u in UNWANTED)]
    expected = {f"structkit/{p.relative_to(ROOT / 'structkit')}" for p in (ROOT / "structkit").rglob("*.py")}
    found += [f"{wheel.name} has no {f}" for f in sorted(expected - set(files))]
    found += [
        f"{sdist.name} has no {n}" for n in ("pyproject.toml", "README.md") if not any(s.endswith(n) for s in sources)
    ]
    return found


def main() -> int:
    """Build, look inside, install, run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT], folder)
        (wheel,), (sdist,) = folder.glob("dist/*.whl"), folder.glob("dist/*.tar.gz")
        found = problems(wheel, sdist)
        if found:
            print("\n".join(found))
            return 1
        venv.create(folder / "empty", with_pip=True)
        python = folder / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
        # Bytecode of all of torch takes longer than the demos, which import a part of it.
        install = ["install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", *sys.argv[1:], wheel]
        run([python, "-m", "pip", *install], folder)
        place = run([python, "-c", "import structkit; print(structkit.__file__)"], folder).strip()
        if not Path(place).resolve().is_relative_to((folder / "empty").resolve()):
            print(f"structkit was imported from {place}, not from the wheel")
            return 1
        for demo in DEMOS:
            copy = shutil.copy(demo, folder)
            run([python, copy, "--quick", "--output", folder / "figures"], folder)
        figures = sorted(p.name for p in folder.glob("figures/*.png"))
        print(f"{wheel.name} and {sdist.name}: {len(DEMOS)} demos run from the wheel, figures {', '.join(figures)}")
        return 0 if len(figures) >= len(DEMOS) else 1


if __name__ == "__main__":
    sys.exit(main())
