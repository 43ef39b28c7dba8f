"""Slices and lines of a fitted grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ShapeError
from structkit.gp import GridGP
from structkit.plotting.common import BLUE, cell_image, check_fitted
from structkit.plotting.curves import plot_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_grid_posterior", "plot_posterior_line"]


def plot_grid_posterior(
    model: GridGP,
    *,
    axes: tuple[int, int] = (0, 1),
    index: Sequence[int] | None = None,
    origin: str = "upper",
    aspect: str | float = "auto",
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes, Axes]:
    """Draw two axes of a fitted grid: what was observed, the posterior mean, and its standard deviation.

    Parameters
    ----------
    model : GridGP
        A fitted model of at least two axes.
    axes : tuple of two int, default (0, 1)
        The axes of the grid that are drawn, first downwards, second to the right.
    index : sequence of int, optional
        Level of each remaining axis, in order. Default: the middle of each.
    origin : {"upper", "lower"}, default "upper"
        Where the first axis starts: at the top, as in an image, or at the bottom, as in a map.
    aspect : {"auto", "equal"} or float, default "auto"
        Ratio of the units of the two axes.
    ax : sequence of three matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : tuple of three matplotlib.axes.Axes
        Observed cells, mean, standard deviation. Hidden cells are dark grey.

    Raises
    ------
    ShapeError
        If `ax` holds another number of axes, or `axes` and `index` do not fit the grid.
    ValueError
        If an axis is named twice or `origin` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import GridGP, SquaredExponential
    >>> from structkit.plotting import plot_grid_posterior
    >>> s, t = np.linspace(0, 1, 16), np.linspace(0, 1, 12)
    >>> y = np.sin(5 * s)[:, None] + t
    >>> y[4:8, 3:6] = np.nan
    >>> model = GridGP([SquaredExponential(), SquaredExponential()], random_state=0).fit([s, t], y)
    >>> [a.get_title() for a in plot_grid_posterior(model)]
    ['observed', 'posterior mean', 'standard deviation']
    """
    check_fitted(model)
    shape = model._data.shape
    if len(shape) < 2:
        raise ShapeError("The model has one axis; plot_posterior_line draws it.")
    first, second = (_axis_number(a, len(shape)) for a in axes)
    if first == second:
        raise ValueError(f"axes={axes!r} names one axis twice.")
    if origin not in ("upper", "lower"):
        raise ValueError(f"origin={origin!r}; expected 'upper' or 'lower'.")
    levels = _levels(shape, (first, second), index)
    observed, mean, std = _slice(model, (first, second), levels)
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(1, 3, figsize=(11.5, 3.8), sharex=True, sharey=True, layout="constrained")[1]
    if len(ax) != 3:
        raise ShapeError(f"ax holds {len(ax)} axes; expected three.")
    limits = (
        min(np.nanmin(observed, initial=np.inf), mean.min()),
        max(np.nanmax(observed, initial=-np.inf), mean.max()),
    )
    rows, columns = (_coordinates(model, d) for d in (first, second))
    images = []
    for panel, values, title, cmap, (low, high) in (
        (ax[0], observed, "observed", "viridis", limits),
        (ax[1], mean, "posterior mean", "viridis", limits),
        (ax[2], std, "standard deviation", "cividis", (0.0, std.max())),
    ):
        images.append(cell_image(panel, rows, columns, values, cmap=cmap, vmin=low, vmax=high))
        panel.set(title=title, aspect=aspect, xlabel=f"axis {second}")
        if origin == "upper" and not panel.yaxis_inverted():
            panel.invert_yaxis()
    ax[0].set_ylabel(f"axis {first}")
    ax[0].figure.colorbar(images[1], ax=list(ax[:2]), label="value")
    ax[0].figure.colorbar(images[2], ax=ax[2], label="standard deviation")
    return ax[0], ax[1], ax[2]


def plot_posterior_line(
    model: GridGP,
    *,
    axis: int = -1,
    index: Sequence[int] | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
    color: str = BLUE,
) -> Axes:
    """Draw one line of cells of a fitted grid: observations, posterior mean and band.

    Parameters
    ----------
    model : GridGP
        A fitted model.
    axis : int, default -1
        Axis of the grid along which the line runs.
    index : sequence of int, optional
        Level of each remaining axis, in order. Default: the middle of each.
    level : float, default 0.95
        Probability inside of the band, which is that of the noise-free function.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of line and band.

    Returns
    -------
    ax : matplotlib.axes.Axes

    See Also
    --------
    plot_band : a mean and its band from arrays.
    plot_grid_posterior : two axes at once.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import GridGP, SquaredExponential
    >>> from structkit.plotting import plot_posterior_line
    >>> x = np.linspace(0.0, 1.0, 30)
    >>> y = np.where((x > 0.4) & (x < 0.6), np.nan, np.sin(9 * x))
    >>> model = GridGP([SquaredExponential()], random_state=0).fit([x], y)
    >>> ax = plot_posterior_line(model)
    >>> ax.get_legend_handles_labels()[1]
    ['posterior mean', 'observed']
    """
    check_fitted(model)
    shape = model._data.shape
    kept = (_axis_number(axis, len(shape)),)
    observed, mean, std = _slice(model, kept, _levels(shape, kept, index))
    x = _coordinates(model, kept[0])
    ax = plot_band(x, mean, std, level=level, ax=ax, color=color, label="posterior mean")
    ax.plot(x, observed, "o", ms=3.5, color="0.15", label="observed")
    ax.set(xlabel=f"axis {kept[0]}", ylabel="value")
    return ax


def _axis_number(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} is no axis of the grid, which has {ndim}.")
    return axis % ndim


def _coordinates(model: GridGP, axis: int) -> np.ndarray:
    """Coordinates of an axis, or the numbers of its levels."""
    x = model._data.coords[axis]
    return np.arange(model._data.shape[axis], dtype=np.float64) if x is None else x


def _levels(shape: Sequence[int], kept: Sequence[int], index: Sequence[int] | None) -> dict[int, int]:
    """Return the level of every axis that is not drawn, its middle by default."""
    rest = [d for d in range(len(shape)) if d not in kept]
    chosen = [shape[d] // 2 for d in rest] if index is None else list(index)
    if len(chosen) != len(rest) or any(not -shape[d] <= i < shape[d] for d, i in zip(rest, chosen, strict=False)):
        sizes = ", ".join(f"axis {d} has {shape[d]}" for d in rest) or "there is none"
        raise ShapeError(f"index={index!r}; expected one level for each remaining axis: {sizes}.")
    return {d: i % shape[d] for d, i in zip(rest, chosen, strict=True)}


def _slice(model: GridGP, kept: Sequence[int], levels: dict[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations (NaN where hidden), mean and standard deviation of a slice, in the order of `kept`."""
    data = model._data
    window = [levels.get(d, slice(None)) for d in range(len(data.shape))]
    mean, std = model.predict(return_std=True)
    observed = np.where(data.weights > 0, data.y, np.nan)
    found = [to_numpy(a)[tuple(window)].astype(np.float64) for a in (observed, mean, std)]
    return tuple(a.T if list(kept) != sorted(kept) else a for a in found)  # type: ignore[return-value]
