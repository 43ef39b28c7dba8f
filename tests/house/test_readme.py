"""What the README promises exists and runs."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
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


def test_landing_page_shows_every_model_of_the_readme(tmp_path):
    spec = importlib.util.spec_from_file_location("_site", ROOT / "docs" / "_site.py")
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    site.write_models(ROOT / "README.md", tmp_path / "models.inc")
    page = (tmp_path / "models.inc").read_text(encoding="utf-8")
    assert page.count(".. tab-item:: ") == page.count(".. code-block:: python") == len(blocks("python"))
    assert page.count(".. image:: _static/") == README.count("<img src=") - 1  # the first stands above all models
    for code in blocks("python"):
        for line in code.splitlines():
            assert line in page


def test_code_of_the_landing_page_runs():
    text = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    (code,) = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", text)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((6, 5, 3)) + 100.0
    names = {"np": np, "image": image.copy(), "rows": np.arange(6.0), "columns": np.arange(5.0)}
    names["observed"] = rng.random(image.shape) < 0.7
    exec("\n".join(line[3:] for line in code.splitlines()), names)
    assert names["filled"].shape == names["std"].shape == image.shape
