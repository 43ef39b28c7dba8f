"""Dictionaries: atoms as tiles, errors against samples, sparsity of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.plotting.common import BLUE, CYCLE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_atoms", "plot_code_sparsity", "plot_recovery"]


def plot_atoms(
    components: Array,
    shape: tuple[int, int] | None = None,
    *,
    n_columns: int | None = None,
    ax: Axes | None = None,
    cmap: str = "gray",
) -> Axes:
    """Draw atoms as tiles, each stretched to its own range, symmetric about zero.

    Parameters
    ----------
    components : array, shape ``(n_atoms, n_features)``
        Atoms as rows, such as ``components_``.
    shape : tuple of int, optional
        Rows and columns of an atom. Default: square, where the number of features is a square.
    n_columns : int, optional
        Tiles side by side. Default: as many as make the picture about square.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    cmap : str
        Colour map.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If the atoms do not have the size of `shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_atoms
    >>> ax = plot_atoms(np.eye(16))
    >>> ax.images[0].get_array().shape
    (21, 21)
    """
    atoms = np.asarray(to_numpy(as_array(components, "components")), dtype=np.float64)
    if atoms.ndim != 2:
        raise ShapeError(f"components has shape {atoms.shape}; expected a matrix with one atom per row.")
    side = math.isqrt(atoms.shape[1])
    height, width = (side, side) if shape is None else shape
    if height * width != atoms.shape[1]:
        raise ShapeError(f"components has atoms of {atoms.shape[1]} numbers; shape {(height, width)} does not fit.")
    across = n_columns or max(1, round(math.sqrt(len(atoms) * height / width)))
    down = math.ceil(len(atoms) / across)
    # One cell of background between the tiles and around them.
    canvas = np.full((down * (height + 1) + 1, across * (width + 1) + 1), np.nan)
    for k, atom in enumerate(atoms):
        top, left = (k // across) * (height + 1) + 1, (k % across) * (width + 1) + 1
        largest = np.abs(atom).max()
        tile = atom / largest if largest > 0 else atom
        canvas[top : top + height, left : left + width] = tile.reshape(height, width)
    ax = axes_or_new(ax, (5.0, 5.0 * canvas.shape[0] / canvas.shape[1]))
    ax.imshow(canvas, cmap=cmap, vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax


def plot_recovery(
    n_samples: Array,
    errors: Mapping[str, Array],
    *,
    ax: Axes | None = None,
    ylabel: str = "distance to the true dictionary",
) -> Axes:
    """Draw how the error of dictionaries falls with the samples seen, or follows a drift.

    Parameters
    ----------
    n_samples : array, shape ``(k,)``
        Samples seen.
    errors : mapping from name to array, shapes ``(k,)`` or ``(n_runs, k)``
        Errors of each method; of several runs, the median is drawn with the range of the runs as a band.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    ylabel : str
        What the errors are.

    Returns
    -------
    ax : matplotlib.axes.Axes
        With a logarithmic axis of errors.

    Raises
    ------
    ShapeError
        If a curve does not have one value per entry of `n_samples`.

    Examples
    --------
    >>> from structkit.plotting import plot_recovery
    >>> ax = plot_recovery([100, 1000], {"ours": [[0.1, 0.01], [0.2, 0.03]]})
    >>> ax.get_yscale()
    'log'
    """
    x = np.asarray(to_numpy(as_array(n_samples, "n_samples")), dtype=np.float64)
    ax = axes_or_new(ax)
    for k, (name, values) in enumerate(errors.items()):
        runs = np.atleast_2d(np.asarray(to_numpy(as_array(values, name)), dtype=np.float64))
        if x.ndim != 1 or runs.ndim != 2 or runs.shape[1] != x.size:
            raise ShapeError(f"errors[{name!r}] has shape {np.shape(values)}; expected {x.size} values per run.")
        color = CYCLE[k % len(CYCLE)]
        if len(runs) > 1:
            ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.2, lw=0)
        ax.plot(x, np.median(runs, axis=0), color=color, lw=1.8, label=name)
    ax.set_yscale("log")
    ax.set(xlabel="samples seen", ylabel=ylabel)
    return ax


def plot_code_sparsity(
    codes: Array | Sequence[Array], *, ax: Axes | None = None, color: str = BLUE, label: str | None = None
) -> Axes:
    """Draw which share of the energy of samples their largest codes hold.

    Parameters
    ----------
    codes : array, shape ``(n_samples, n_atoms)`` or ``(n_samples, n_1, ..., n_m)``
        Codes of samples, all of them: ``X @ components_.T`` rather than thresholded ones.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of the curve.
    label : str, optional
        Name of the curve in a legend.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Share of the energy, 0 to 1, against the number of codes kept per sample.

    Raises
    ------
    ShapeError
        If `codes` is not a matrix or a stack of tensors.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_code_sparsity
    >>> ax = plot_code_sparsity(np.array([[3.0, 0.0, -4.0]]))
    >>> ax.lines[0].get_ydata().round(2).tolist()
    [0.0, 0.64, 1.0, 1.0]
    """
    values = np.asarray(to_numpy(as_array(codes, "codes")), dtype=np.float64)
    if values.ndim < 2 or values.size == 0:
        raise ShapeError(f"codes has shape {values.shape}; expected the codes of one sample per row.")
    per_rank = np.sort(values.reshape(len(values), -1) ** 2, axis=1)[:, ::-1].sum(axis=0)
    share = np.concatenate([[0.0], np.cumsum(per_rank) / max(per_rank.sum(), np.finfo(float).tiny)])
    ax = axes_or_new(ax)
    ax.plot(np.arange(share.size), share, color=color, lw=1.8, label=label)
    ax.set(xlabel="codes kept per sample", ylabel="share of the energy", ylim=(0, 1.02))
    return ax
