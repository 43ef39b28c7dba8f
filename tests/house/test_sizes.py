"""Short files, short functions, no print."""

from pathlib import Path

import pytest

from tests.house.imports import ROOT, source_files
from tests.house.sizes import prints, too_long

FILES = sorted(source_files().values())


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_are_short(path):
    assert list(too_long(path.relative_to(ROOT), path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_library_does_not_print(path):
    assert list(prints(path.relative_to(ROOT), path.read_text(encoding="utf-8"))) == []


def test_the_checkers_can_fail():
    body = "\n".join("    x = 1" for _ in range(60))
    assert list(too_long(Path("f.py"), f"def f():\n{body}\n"))
    assert list(too_long(Path("f.py"), "x = 1\n" * 401))
    assert list(prints(Path("f.py"), "def f():\n    print(1)\n"))


def test_docstrings_do_not_count():
    doc = '    """Say it.\n' + "    word\n" * 80 + '    """\n'
    assert list(too_long(Path("f.py"), f"def f():\n{doc}    return 1\n")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/plot_*.py")), ids=lambda p: p.stem)
def test_examples_are_short(path):
    assert path.read_text(encoding="utf-8").count("\n") <= 120
