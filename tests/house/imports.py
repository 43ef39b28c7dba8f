"""Read the import graph from the source and check it against the layers: ``python -m tests.house.imports``.

Every import statement counts, those inside of functions included, and so do ``importlib.import_module("structkit...")``
and ``require("package")``; what stands under ``if TYPE_CHECKING:`` does not run and does not count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "structkit"

# left to right; a module imports from its own room and from layers to its left
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"_core"}),
    frozenset({"_backend"}),
    frozenset({"kron"}),
    frozenset({"orthogonal", "statespace"}),
    frozenset({"gp"}),
    frozenset({"pde", "tucker", "sbl", "dictionary"}),
    frozenset({"interop", "plotting", "datasets", "io"}),
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
ONLY_IN_BACKEND = frozenset({"numba", "torch"})
# heavy or optional: never at import time of a module outside of _backend, allowed inside of functions
LAZY = frozenset(
    {"dask", "gpytorch", "linear_operator", "matplotlib", "pandas", "sklearn", "tensorly", "tqdm", "xarray"}
)
# light to name but not to load: inside of functions where the caller may never need them
MAY_BE_LAZY = LAZY | ONLY_IN_BACKEND | {"array_api_compat", "scipy"}


@dataclass(frozen=True)
class Import:
    """One edge of the graph, with the place where it stands."""

    source: str
    target: str
    line: int
    in_function: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def source_files(root: Path = ROOT / PACKAGE) -> dict[str, Path]:
    """Module name -> file, for the whole package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if _type_checking(child):
            yield from _walk_many(child.orelse, in_function)
            continue
        yield child, in_function
        inside = in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _walk(child, inside)


def _walk_many(nodes: list[ast.stmt], in_function: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in nodes:
        yield node, in_function
        yield from _walk(node, in_function)


def _from_targets(node: ast.ImportFrom, module: str, is_package: bool, modules: Mapping[str, object]) -> list[str]:
    """Modules that ``from x import a, b`` loads: x.a where that is a module, else x."""
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, base] if base else parts)
    return [f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names]


def _call_target(node: ast.Call) -> str | None:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in {"import_module", "__import__", "require"} and node.args and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return None


def imports_of(module: str, source: str, is_package: bool, modules: Mapping[str, object]) -> list[Import]:
    """Every import of one module."""
    found = []
    for node, in_function in _walk(ast.parse(source)):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = _from_targets(node, module, is_package, modules)
        elif isinstance(node, ast.Call) and (target := _call_target(node)):
            targets = [target]
        found += [Import(module, t, node.lineno, in_function) for t in targets]  # type: ignore[attr-defined]
    return found


def import_graph(files: Mapping[str, Path] | None = None) -> list[Import]:
    """Every import of the package."""
    files = source_files() if files is None else files
    found = []
    for module, path in files.items():
        found += imports_of(module, path.read_text(encoding="utf-8"), path.name == "__init__.py", files)
    return found


def room(module: str) -> str:
    """Second part of a module's name; empty for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def wrong_edges(edges: list[Import]) -> list[str]:
    """Imports against the direction of the layers, or from a neighbour in the same layer."""
    wrong = []
    for edge in edges:
        if edge.target.split(".")[0] != PACKAGE:
            continue
        source, target = room(edge.source), room(edge.target)
        if not source or source == target:
            continue  # the top file only re-exports, lazily
        for name in (source, target):
            if name and name not in RANK:
                wrong.append(f"{edge}: {name} is in no layer; give it a place in tests/house/imports.py")
        if not target:
            wrong.append(f"{edge}: the top file re-exports; import from where the name lives")
        elif source in RANK and target in RANK and RANK[target] >= RANK[source]:
            wrong.append(f"{edge}: against the direction of the layers")
    return wrong


def misplaced(edges: list[Import]) -> list[str]:
    """Heavy packages in the wrong room or at import time, and internal imports hidden in functions."""
    wrong = []
    for edge in edges:
        top = edge.target.split(".")[0]
        at_home = room(edge.source) == "_backend"
        if top in ONLY_IN_BACKEND and not at_home:
            wrong.append(f"{edge}: {top} belongs in structkit._backend")
        elif top in LAZY and not edge.in_function and not at_home:
            wrong.append(f"{edge}: only inside of functions")
        elif edge.in_function and not _may_hide(edge):
            wrong.append(f"{edge}: import it at the top of the file")
    return wrong


def _may_hide(edge: Import) -> bool:
    """Whether an import inside of a function has a reason to be there."""
    top = edge.target.split(".")[0]
    if top == PACKAGE:  # the top file is lazy; _backend modules load numba or torch
        return edge.source == PACKAGE or room(edge.target) == "_backend"
    return top in MAY_BE_LAZY or top in sys.stdlib_module_names


def cycles(edges: list[Import]) -> list[list[str]]:
    """Sets of modules that import each other, functions included (Tarjan's strongly connected components)."""
    graph: dict[str, set[str]] = {}
    for edge in edges:
        if edge.target.split(".")[0] == PACKAGE and edge.source != PACKAGE:
            graph.setdefault(edge.source, set()).add(edge.target)
            graph.setdefault(edge.target, set())
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for following in sorted(graph[node]):
            if following not in order:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], order[following])
        if low[node] == order[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1 or node in graph[node]:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def main() -> int:
    """Print every violation; the exit status says whether there is one."""
    edges = import_graph()
    problems = [*wrong_edges(edges), *misplaced(edges), *(f"import cycle: {' <-> '.join(c)}" for c in cycles(edges))]
    print("\n".join(problems) or f"import graph: {len(edges)} imports, all in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
