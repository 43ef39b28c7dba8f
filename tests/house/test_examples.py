"""Examples can be copied and run: what they need comes with structkit, or they say how to get it."""

import ast
import sys

import pytest

from tests.house.imports import ROOT

EXAMPLES = sorted(ROOT.glob("examples/*/plot_*.py"))
OWN = {"structkit", "numpy", "scipy", "matplotlib", "numba", "torch", "gpytorch", "linear_operator", "tensorly", "tqdm"}


def packages(tree):
    """Top-level packages that a script imports, anywhere in it."""
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_what_an_example_needs_is_named(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    install = [line for line in ast.get_docstring(tree).splitlines() if "pip install" in line]
    for name in packages(tree) - OWN:
        assert any(name in line for line in install), f"{path.name} imports {name}"


def test_there_are_many_examples_on_every_topic():
    assert len(EXAMPLES) >= 20
    topics = {p.parent.name for p in EXAMPLES}
    assert topics >= {"kron", "gp", "statespace", "pde", "tucker", "sbl", "dictionary", "interop"}


def test_imports_inside_functions_are_seen():
    assert packages(ast.parse("import os\ndef f():\n    from sklearn.svm import SVC\n    import dask.array")) == {
        "sklearn",
        "dask",
    }
