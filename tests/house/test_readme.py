"""What the README promises exists and runs."""

import re
import subprocess
import sys

import pytest

from tests.house.imports import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def make_commands(text):
    return set(
        re.findall(
            r"\bmake ([a-z][a-z-]*)\b",
            "\n".join([*blocks("(?:bash|sh|console)", text), *re.findall(r"`([^`\n]+)`", text)]),
        )
    )


def test_make_commands_exist():
    commands = make_commands(README)
    assert {"demo", "test"} <= commands
    assert commands <= TARGETS


def test_the_checker_sees_a_command():
    assert make_commands("`make nothing-here` and\n```bash\nmake other\n```\n") == {"nothing-here", "other"}


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[0][:40])
def test_python_blocks_run(code, tmp_path):
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert missing == []
