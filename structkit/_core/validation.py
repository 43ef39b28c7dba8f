"""Checks of shapes, sizes and dependencies that every public entry point shares."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from types import ModuleType

from structkit._core.errors import MissingDependencyError, ShapeError, SizeError
from structkit._core.types import Array, Shape

__all__ = [
    "ALWAYS_FITS",
    "available_bytes",
    "check_matrices",
    "check_memory",
    "check_square",
    "check_vector",
    "remedy",
    "require",
]


def check_matrices(arrays: Sequence[Array], name: str = "factors") -> None:
    """Raise unless `arrays` is a non-empty sequence of matrices ``(..., m, n)``."""
    if len(arrays) == 0:
        raise ShapeError(f"{name} is empty; expected at least one matrix.")
    for i, a in enumerate(arrays):
        if a.ndim < 2:
            raise ShapeError(
                f"{name}[{i}] has shape {tuple(a.shape)}; expected a matrix (m, n). A single one goes in a list, [A]."
            )


def check_square(arrays: Sequence[Array], operation: str, name: str = "factors") -> None:
    """Raise unless every factor is square: a square product of rectangular factors does not qualify."""
    for i, a in enumerate(arrays):
        if a.shape[-1] != a.shape[-2]:
            raise ShapeError(
                f"{name}[{i}] has shape {tuple(a.shape)}; {operation} needs every factor square.{remedy(operation)}"
            )


def remedy(operation: str) -> str:
    """What to do about a matrix that is not square."""
    solves = "solve" in operation or "inverse" in operation
    return " Use structkit.kron.lstsq for rectangular ones." if solves else ""


def check_vector(x: Array, sizes: Shape, name: str = "x") -> None:
    """Raise unless `x` has shape ``(N,)``, ``(N, k)`` or ``(..., N, k)`` with ``N = prod(sizes)``."""
    n = math.prod(sizes)
    if x.ndim == 0:
        raise ShapeError(f"{name} is a scalar; expected shape (N,), (N, k) or (..., N, k) with N = {n}.")
    got = x.shape[0] if x.ndim == 1 else x.shape[-2]
    if got != n:
        product = " * ".join(str(s) for s in sizes)
        expected = f"{product} = {n}" if len(sizes) > 1 else f"{n}"
        flatten = " A tensor of shape (n_1, ..., n_D) must be flattened first, or use multi_mode_product."
        raise ShapeError(
            f"{name} has shape {tuple(x.shape)}; expected N = {expected} rows, got {got}."
            + (flatten if x.ndim > 1 and len(sizes) > 1 else "")
        )


def available_bytes() -> int:
    """Memory this process could still get, in bytes (a very large number where it cannot be told)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            for line in f:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return 2**62


# Asking the system takes 30 to 80 microseconds: worth it only where an allocation could hurt.
ALWAYS_FITS = 2**26


_ADVICE = "Keep the structure: use the lazy operators or kron_matmul instead of the dense matrix."


def check_memory(
    n_bytes: int, what: str, available: Callable[[], int] = available_bytes, *, advice: str = _ADVICE
) -> None:
    """Raise SizeError before an allocation of `n_bytes` that cannot fit; `advice` is the way out."""
    if n_bytes <= ALWAYS_FITS:
        return
    have = available()
    if n_bytes > have:
        raise SizeError(
            f"{what} would take {n_bytes / 2**30:.3g} GiB and {have / 2**30:.3g} GiB are available. {advice}"
        )


def require(package: str, extra: str | None = None) -> ModuleType:
    """Import an optional package or say how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as err:
        how = f'pip install "structkit[{extra}]"' if extra else f"pip install {package.split('.')[0]}"
        raise MissingDependencyError(f"This needs {package}, which is not installed: {how}.") from err
