"""Structured Gaussian processes and tensors on a fast Kronecker algebra core.

Subpackages and public classes load on first use, so that ``import structkit`` costs little more than numpy.
"""

import importlib
import os
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version

try:
    __version__ = _version("structkit")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.1.0.dev0"

_SUBMODULES = (
    "datasets",
    "dictionary",
    "gp",
    "interop",
    "io",
    "kron",
    "orthogonal",
    "pde",
    "plotting",
    "sbl",
    "statespace",
    "tucker",
)
_NAMES = {
    "ConvergenceWarning": "structkit._core.errors",
    "DensificationWarning": "structkit._core.errors",
    "BackendMismatchError": "structkit._core.errors",
    "IndexRangeError": "structkit._core.errors",
    "MissingDependencyError": "structkit._core.errors",
    "NotFiniteError": "structkit._core.errors",
    "NotFittedError": "structkit._core.errors",
    "NotPositiveDefiniteError": "structkit._core.errors",
    "NotSymmetricError": "structkit._core.errors",
    "NotTriangularError": "structkit._core.errors",
    "ShapeError": "structkit._core.errors",
    "SingularFactorError": "structkit._core.errors",
    "SizeError": "structkit._core.errors",
    "StructKitError": "structkit._core.errors",
    "GridGP": "structkit.gp",
    "GPSolver": "structkit.pde",
    "OrthogonalDictionary": "structkit.dictionary",
    "KroneckerSBL": "structkit.sbl",
    "SeparableSBL": "structkit.sbl",
    "FunctionalCP": "structkit.tucker",
    "FunctionalTucker": "structkit.tucker",
    "load": "structkit.io",
}

__all__ = ["__version__", *_SUBMODULES, *_NAMES]  # noqa: PLE0604 (a dictionary of strings)


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return importlib.import_module(f"structkit.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'structkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if os.environ.get("EAGER_IMPORT"):
    for _name in __all__:
        globals()[_name] = globals().get(_name) or __getattr__(_name)
