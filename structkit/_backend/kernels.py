"""Choice between the compiled kernels and their numpy twins, made at each call and loaded only when needed."""

from __future__ import annotations

import os
from types import ModuleType

import numpy as np

__all__ = ["kalman", "kernels", "packed", "tucker", "use_numba"]


def use_numba() -> bool:
    """Whether compiled kernels may be used: yes, unless the environment says ``STRUCTKIT_NUMBA=0``."""
    return os.environ.get("STRUCTKIT_NUMBA", "1").strip().lower() not in {"0", "false", "no", "off"}


def kernels() -> ModuleType:
    """Return the module of kernels to use; both modules have the same functions."""
    if use_numba():
        from structkit._backend import numba_kernels

        return numba_kernels
    from structkit._backend import numpy_kernels

    return numpy_kernels


def kalman() -> ModuleType:
    """Return the module of state-space kernels to use; both modules have the same functions."""
    if use_numba():
        from structkit._backend import numba_kalman

        return numba_kalman
    from structkit._backend import numpy_kalman

    return numpy_kalman


def tucker() -> ModuleType:
    """Return the module of kernels for Tucker tensors; both modules have the same functions."""
    if use_numba():
        from structkit._backend import numba_tucker

        return numba_tucker
    from structkit._backend import numpy_tucker

    return numpy_tucker


def packed(a: object, dtype: object = None) -> np.ndarray:
    """Return an array as compiled kernels take it: row-major and aligned, a copy only where it is not."""
    return np.require(a, dtype, ["C", "A"])  # type: ignore[call-overload]
