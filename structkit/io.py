"""Loading of fitted objects from files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from structkit._core.serialize import read_archive
from structkit.dictionary import OrthogonalDictionary
from structkit.dictionary.archive import unpack as unpack_dictionary
from structkit.gp import GridGP
from structkit.gp.grid_archive import unpack
from structkit.pde import GPSolver
from structkit.pde.archive import unpack as unpack_solver
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL
from structkit.sbl import archive as sbl_archive
from structkit.sbl.pursuit import unpack as unpack_pursuit
from structkit.tucker import FunctionalCP, FunctionalTucker
from structkit.tucker.archive import unpack as unpack_tensor

__all__ = ["load"]

_KINDS: dict[str, Callable[..., object]] = {"GridGP": partial(unpack, GridGP)}
_KINDS["OrthogonalDictionary"] = partial(unpack_dictionary, OrthogonalDictionary)
_KINDS |= {cls.__name__: partial(sbl_archive.unpack, cls) for cls in (KroneckerSBL, SeparableSBL, SBL, KroneckerOMP)}
_KINDS["GPSolver"] = partial(unpack_solver, GPSolver)
_KINDS["OMP"] = partial(unpack_pursuit, OMP)
_KINDS |= {cls.__name__: partial(unpack_tensor, cls) for cls in (FunctionalCP, FunctionalTucker)}


def load(path: str | os.PathLike[str], *, device: str | None = None) -> Any:
    """Load a fitted object that was written by its ``save`` method.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str, optional
        Torch device, such as ``"cpu"``, for an object that was fitted on another. Default: the same one.

    Returns
    -------
    model : estimator of the kind that was saved
        The fitted object; its predictions are those it gave before it was saved.

    Raises
    ------
    StructKitError
        If the file is damaged, incomplete, of another kind, or written by a newer version.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import structkit
    >>> from structkit.gp import GridGP, Matern
    >>> x = np.linspace(0.0, 1.0, 20)
    >>> model = GridGP([Matern(1.5)], random_state=0).fit([x], np.sin(6 * x))
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> model.save(path)
    >>> bool(np.all(structkit.load(path).predict() == model.predict()))
    True
    """
    kind, values = read_archive(path, list(_KINDS))
    return _KINDS[kind](values, device)
