"""Limits on the length of files and functions, and no print in the library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

MAX_FILE = 400
MAX_FUNCTION = 60
MAX_CLASS = 300


def _docstring_lines(node: ast.AST) -> int:
    match getattr(node, "body", []):
        case [ast.Expr(value=ast.Constant(value=str())) as doc, *_]:
            return doc.end_lineno - doc.lineno + 1
    return 0


def _length(node: ast.AST) -> int:
    """Lines of a definition without the docstrings in it."""
    lines = node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]
    return lines - sum(
        _docstring_lines(n)
        for n in ast.walk(node)
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    )


def too_long(path: Path, source: str) -> Iterator[str]:
    """Violations of the limits in one file."""
    lines = source.count("\n")
    if lines > MAX_FILE:
        yield f"{path}: {lines} lines, at most {MAX_FILE}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _length(node) > MAX_FUNCTION:
            yield f"{path}:{node.lineno}: {node.name} has {_length(node)} lines, at most {MAX_FUNCTION}"
        if isinstance(node, ast.ClassDef) and _length(node) > MAX_CLASS:
            yield f"{path}:{node.lineno}: class {node.name} has {_length(node)} lines, at most {MAX_CLASS}"


def prints(path: Path, source: str) -> Iterator[str]:
    """Calls of print."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{path}:{node.lineno}: print"
