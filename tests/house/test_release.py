"""The checks of archives, coverage and commits find what is wrong, and pass what is right."""

import io
import json
import re
import tarfile
import zipfile

import pytest
import yaml

from tests.house import coverage, release
from tests.house.imports import ROOT


@pytest.fixture
def archives(tmp_path):
    def make(*, leave_out=(), add=(), sources=("pyproject.toml", "README.md")):
        files = {f"structkit/{p.relative_to(ROOT / 'structkit')}" for p in (ROOT / "structkit").rglob("*.py")}
        files |= {"structkit/py.typed", "structkit/datasets/data/a.npz", "structkit.dist-info/licenses/LICENSE"}
        wheel, sdist = tmp_path / "structkit.whl", tmp_path / "structkit.tar.gz"
        with zipfile.ZipFile(wheel, "w") as z:
            for name in sorted((files - set(leave_out)) | set(add)):
                z.writestr(name, "")
        with tarfile.open(sdist, "w:gz") as t:
            for name in sources:
                t.addfile(tarfile.TarInfo(f"structkit-1.0/{name}"), io.BytesIO())
        return wheel, sdist

    return make


def test_complete_archives_have_no_problems(archives):
    assert release.problems(*archives()) == []


@pytest.mark.parametrize("name", ["structkit/py.typed", "structkit/datasets/data/a.npz", "structkit/kron/tensor.py"])
def test_a_file_missing_in_the_wheel_is_found(archives, name):
    (message,) = release.problems(*archives(leave_out=[name]))
    assert name.removesuffix("a.npz") in message


@pytest.mark.parametrize("name", ["tests/house/imports.py", "structkit/__pycache__/io.cpython-311.pyc"])
def test_a_file_that_does_not_belong_in_the_wheel_is_found(archives, name):
    (message,) = release.problems(*archives(add=[name]))
    assert message.endswith(f"holds {name}")


def test_an_incomplete_sdist_is_found(archives):
    (message,) = release.problems(*archives(sources=["pyproject.toml"]))
    assert message.endswith("has no README.md")


def test_every_demo_has_a_quick_mode():
    assert len(release.DEMOS) >= 5
    assert [p.name for p in release.DEMOS if '"--quick"' not in p.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(("ran", "status"), [(92, 0), (91, 1)])
def test_coverage_below_the_goal_fails(tmp_path, ran, status):
    summary = {"num_statements": 50, "covered_lines": 50}
    rest = {"num_statements": 50, "covered_lines": ran - 50}
    files = {"structkit/kron/tensor.py": {"summary": summary}, "structkit/io.py": {"summary": rest}}
    (tmp_path / "report.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    assert coverage.main([str(tmp_path / "report.json"), str(tmp_path / "page.rst")]) == status
    page = (tmp_path / "page.rst").read_text(encoding="utf-8")
    assert f"{ran:.1f} %" in page
    assert "   * - structkit.kron\n     - 50\n     - 100.0 %\n" in page


def test_commits_are_checked_by_all_that_make_lint_runs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}  # works without network
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    commands = [re.sub(r"\t(?:\$\(VENV\)/bin/|\$\(PY\) -m )", "", line) for line in recipe.splitlines()]
    tools = {" ".join(c.replace("--check ", "").split()[:2]).removesuffix(" .") for c in commands}
    assert len(tools) == 6
    assert [t for t in tools if not any(t in entry for entry in entries)] == []
