"""Exception and warning types; every one names what was expected, what came and what to do."""

import numpy as np

__all__ = [
    "BackendMismatchError",
    "ConvergenceWarning",
    "DensificationWarning",
    "IndexRangeError",
    "MissingDependencyError",
    "NotFiniteError",
    "NotFittedError",
    "NotPositiveDefiniteError",
    "NotSymmetricError",
    "NotTriangularError",
    "ShapeError",
    "SingularFactorError",
    "SizeError",
    "StructKitError",
]


class StructKitError(Exception):
    """Base class of structkit's own errors; arguments of wrong types and values raise TypeError and ValueError."""


class ShapeError(StructKitError, ValueError):
    """Shapes disagree; the message states the expected and the given shape."""


class SizeError(StructKitError, MemoryError):
    """The request would not fit in memory; raised before anything is allocated."""


class IndexRangeError(StructKitError, IndexError):
    """An index of an entry lies outside its axis; the message names its position."""


class BackendMismatchError(StructKitError, TypeError):
    """Arrays of different libraries or devices were mixed in one call."""


class NotFiniteError(StructKitError, ValueError):
    """NaN or infinity stands where a factorisation needs numbers; the message names the array."""


class NotSymmetricError(StructKitError, ValueError):
    """A symmetric (Hermitian) matrix was required and something else came."""


class NotTriangularError(StructKitError, ValueError):
    """A triangular matrix was required and something else came."""


class NotPositiveDefiniteError(StructKitError, np.linalg.LinAlgError):
    """A positive definite matrix was required and something else came."""


class SingularFactorError(StructKitError, np.linalg.LinAlgError):
    """A linear system has a singular factor; the message names it and its condition."""


class MissingDependencyError(StructKitError, ImportError):
    """An optional package is missing; the message says which extra installs it."""


class NotFittedError(StructKitError, ValueError, AttributeError):
    """An estimator was used before ``fit``."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped at its limit before reaching its tolerance."""


class DensificationWarning(UserWarning):
    """A structured operator was turned into a dense matrix because no rule keeps the structure."""
