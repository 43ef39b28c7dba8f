"""Files that other programs read are well formed."""

import re
import tomllib

import yaml

from tests.house.imports import ROOT


def test_citation_file_is_valid_and_names_the_papers():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cff["cff-version"].startswith("1.")
    assert {"title", "message", "authors", "references"} <= set(cff)
    assert len(cff["references"]) == 4
    assert all({"type", "title", "authors", "year"} <= set(ref) for ref in cff["references"])


def test_constraints_pin_every_runtime_dependency():
    with (ROOT / "pyproject.toml").open("rb") as f:
        project = tomllib.load(f)["project"]
    pins = dict(
        re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    pins = {name.lower().replace("_", "-"): pin for name, pin in pins.items()}
    names = [re.match(r"[A-Za-z0-9._-]+", d).group().lower() for d in project["dependencies"]]
    assert set(names) <= set(pins)
    assert pins["torch"] == "2.13.0"


def test_extras_that_error_messages_name_exist():
    with (ROOT / "pyproject.toml").open("rb") as f:
        extras = tomllib.load(f)["project"]["optional-dependencies"]
    for path in (ROOT / "structkit").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for extra in re.findall(r'require\("[\w.]+", (?:extra=)?"(\w+)"\)', source):
            assert extra in extras, f"{path.name} names the extra {extra}"


def test_page_on_installation_lists_every_extra():
    with (ROOT / "pyproject.toml").open("rb") as f:
        extras = tomllib.load(f)["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "install.rst").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^   \* - (``.*)$", page, re.MULTILINE))
    assert set(re.findall(r"``(\w+)``", rows)) == set(extras)


def test_setup_cfg_holds_no_metadata():
    assert "[metadata]" not in (ROOT / "setup.cfg").read_text(encoding="utf-8")
