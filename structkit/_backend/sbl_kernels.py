"""Choice between the compiled loops of sparse Bayesian learning and their numpy twins."""

from __future__ import annotations

from types import ModuleType

from structkit._backend.kernels import use_numba

__all__ = ["sbl_kernels"]


def sbl_kernels() -> ModuleType:
    """Return the module of kernels to use; both modules have the same functions."""
    if use_numba():
        from structkit._backend import numba_sbl

        return numba_sbl
    from structkit._backend import numpy_sbl

    return numpy_sbl
