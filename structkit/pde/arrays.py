"""Numbers that users give."""

from __future__ import annotations

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import NotFiniteError

__all__ = ["real_array"]


def real_array(given: object, name: str) -> np.ndarray:
    """Return finite real numbers of any library as a float64 array of numpy.

    Raises
    ------
    TypeError
        If they are no real numbers, or a masked array.
    NotFiniteError
        If one is NaN or infinite.
    """
    array = to_numpy(as_array(given, name))
    if array.dtype.kind == "c":
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers.")
    if not np.isfinite(array).all():
        raise NotFiniteError(f"{name} holds NaN or infinity; expected finite numbers.")
    return array.astype(np.float64)
