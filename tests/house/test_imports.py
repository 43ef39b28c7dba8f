"""The house keeps its direction: layers, cycles, and what an import may load and cost."""

import subprocess
import sys

import pytest

from tests.house.imports import Import, cycles, import_graph, imports_of, misplaced, source_files, wrong_edges

HEAVY = ("torch", "numba", "tensorly", "sklearn", "matplotlib", "gpytorch", "dask", "pandas")


@pytest.fixture(scope="module")
def edges():
    return import_graph()


def test_no_import_against_the_layers(edges):
    assert wrong_edges(edges) == []


def test_heavy_packages_and_function_imports_are_in_place(edges):
    assert misplaced(edges) == []


def test_no_cycles_even_inside_functions(edges):
    assert cycles(edges) == []


# ---- the checkers themselves can fail ---------------------------------------------------------------------------


def sample(module, source, *, is_package=False):
    return imports_of(module, source, is_package, {**source_files(), module: None})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("structkit._core.x", "from structkit.kron import kron"),
        ("structkit._core.x", "from structkit._backend.namespace import as_array"),
        ("structkit.kron.x", "def f():\n    from structkit.gp import GridGP"),
        ("structkit.kron.x", "from ..interop import anything"),
        ("structkit.sbl.x", "import structkit.tucker"),
        ("structkit.kron.x", "import structkit"),
        ("structkit.attic.x", "from structkit.kron import kron"),
        ("structkit.kron.x", "import importlib\nimportlib.import_module('structkit.gp')"),
    ],
)
def test_a_wrong_edge_is_seen(module, source):
    assert wrong_edges(sample(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("structkit.kron.x", "import torch"),
        ("structkit.kron.x", "def f():\n    import numba"),
        ("structkit.plotting", "import matplotlib.pyplot as plt"),
        ("structkit.kron.x", "def f():\n    from structkit.kron import products"),
        ("structkit.kron.x", "def f():\n    import somepackage"),
    ],
)
def test_a_misplaced_import_is_seen(module, source):
    assert misplaced(sample(module, source))


def test_what_is_allowed_passes():
    source = (
        "from typing import TYPE_CHECKING\nimport numpy as np\nfrom structkit._core.errors import ShapeError\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    from structkit._backend import namespace\n    import sklearn\n"
    )
    found = sample("structkit.kron.x", source)
    assert misplaced(found) == []
    assert wrong_edges(found) == []


def test_a_cycle_is_seen():
    a, b, c = "structkit.kron.a", "structkit.kron.b", "structkit.kron.c"
    ring = [Import(a, b, 1, False), Import(b, c, 1, True), Import(c, a, 1, False)]
    assert cycles(ring) == [[a, b, c]]
    assert cycles(ring[:2]) == []


def test_relative_imports_are_resolved():
    assert sample("structkit.kron.x", "from .operators import y")[0].target == "structkit.kron.operators"
    assert sample("structkit.kron", "from .operators import y", is_package=True)[0].target == "structkit.kron.operators"


# ---- what an import loads and costs -----------------------------------------------------------------------------


def run_python(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_structkit_loads_nothing_heavy():
    loaded = run_python(f"import sys, structkit; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_import_kron_loads_nothing_heavy():
    loaded = run_python(f"import sys, structkit.kron; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_import_structkit_costs_little_over_numpy():
    code = "import numpy, time; t = time.process_time(); import structkit; print(time.process_time() - t)"
    assert min(float(run_python(code)) for _ in range(5)) <= 0.3


def test_nothing_is_printed_on_import():
    assert run_python("import structkit, structkit.kron, structkit.gp") == ""
