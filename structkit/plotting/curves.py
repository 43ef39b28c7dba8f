"""Curves: bands, calibration, kernels, correlations, the course of learning."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.gp import FreeCovariance, GridGP, Kernel, as_kernel
from structkit.plotting.common import BLUE, CYCLE, axes_or_new, check_fitted, check_std, half_width, vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_band", "plot_calibration", "plot_correlation", "plot_history", "plot_kernel"]


def plot_band(
    x: Array,
    mean: Array,
    std: Array,
    *,
    level: float = 0.95,
    ax: Axes | None = None,
    color: str = BLUE,
    label: str | None = None,
) -> Axes:
    """Draw a mean with its uncertainty band.

    Parameters
    ----------
    x : array, shape ``(n,)``
        Coordinates, in any order.
    mean : array, shape ``(n,)``
        Mean at each coordinate.
    std : array, shape ``(n,)``
        Standard deviation, >= 0, in units of `mean`.
    level : float, default 0.95
        Probability inside of the band, between 0 and 1, for a normal distribution.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of line and band.
    label : str, optional
        Name of the line in a legend.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If the three arrays are not vectors of one length.
    ValueError
        If a standard deviation is negative or `level` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_band
    >>> x = np.linspace(0.0, 1.0, 50)
    >>> ax = plot_band(x, np.sin(6 * x), 0.1 + 0.2 * x, label="sine")
    >>> ax.get_legend_handles_labels()[1]
    ['sine']
    """
    t, m, s = vectors(x=x, mean=mean, std=std)
    check_std(s)
    width = half_width(level) * s
    order = np.argsort(t, kind="stable")
    ax = axes_or_new(ax)
    ax.fill_between(t[order], (m - width)[order], (m + width)[order], color=color, alpha=0.22, lw=0)
    ax.plot(t[order], m[order], color=color, lw=1.8, label=label)
    return ax


def plot_calibration(y_true: Array, mean: Array, std: Array, *, ax: Axes | None = None, color: str = BLUE) -> Axes:
    """Compare the nominal probability of central intervals with the share of true values inside.

    Parameters
    ----------
    y_true : array, any shape
        True values that the model has not seen; NaN is left out.
    mean : array, same shape
        Predicted means.
    std : array, same shape
        Predicted standard deviations; with the noise if `y_true` has noise.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of the curve.

    Returns
    -------
    ax : matplotlib.axes.Axes
        A curve under the diagonal means bands that are too narrow, above it too wide.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If a standard deviation is negative or nothing is left to compare.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_calibration
    >>> y = np.random.default_rng(0).standard_normal(1000)
    >>> ax = plot_calibration(y, np.zeros(1000), np.ones(1000))
    >>> ax.get_ylabel()
    'observed coverage'
    """
    y, m, s = (np.asarray(to_numpy(a), dtype=np.float64) for a in (y_true, mean, std))
    if not y.shape == m.shape == s.shape:
        raise ShapeError(f"y_true, mean and std have shapes {y.shape}, {m.shape} and {s.shape}; expected one shape.")
    seen = ~np.isnan(y)
    if not seen.any():
        raise ValueError("y_true holds no value that is not NaN; nothing to compare.")
    check_std(s[seen])
    levels = np.linspace(0.01, 0.99, 99)
    distance = np.abs(y - m)[seen]
    inside = [float((distance <= half_width(p) * s[seen]).mean()) for p in levels]
    ax = axes_or_new(ax, figsize=(4.6, 4.4))
    ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="ideal")
    ax.plot(levels, inside, color=color, lw=2, label="model")
    ax.set(xlabel="nominal probability", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return ax


def plot_kernel(
    kernel: Kernel | object, x: Array, *, at: float | None = None, ax: Axes | None = None, color: str = BLUE
) -> Axes:
    """Draw the covariance of the process at one coordinate with the process at others.

    Parameters
    ----------
    kernel : Kernel or gpytorch kernel
        The kernel.
    x : array, shape ``(n,)``
        Coordinates.
    at : float, optional
        The fixed coordinate. Default: the smallest of `x`.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of the line.

    Returns
    -------
    ax : matplotlib.axes.Axes

    See Also
    --------
    plot_correlation : a covariance without coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import Matern, Periodic
    >>> from structkit.plotting import plot_kernel
    >>> ax = plot_kernel(Matern(nu=2.5) * Periodic(period=0.7), np.linspace(0, 3, 200))
    >>> float(ax.lines[-1].get_ydata()[0])
    1.0
    """
    points = np.sort(vectors(x=x)[0])
    if points.size == 0:
        raise ShapeError("x is empty; expected at least one coordinate.")
    fixed = float(points[0]) if at is None else float(at)
    values = np.asarray(to_numpy(as_kernel(kernel)(np.array([fixed]), points)), dtype=np.float64)[0]
    ax = axes_or_new(ax)
    ax.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    ax.plot(points, values, color=color, lw=2)
    ax.set(xlabel="coordinate", ylabel=f"covariance with coordinate {fixed:g}")
    return ax


def plot_correlation(
    covariance: FreeCovariance, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the correlations that a free covariance has learned.

    Parameters
    ----------
    covariance : FreeCovariance
        With a matrix: given, or from `GridGP.kernels_`.
    labels : sequence of str, optional
        Names of the levels. Default: their numbers.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If there is not one label per level.
    ValueError
        If the covariance has no matrix yet.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import FreeCovariance
    >>> from structkit.plotting import plot_correlation
    >>> ax = plot_correlation(FreeCovariance(matrix=np.array([[1.0, 0.6], [0.6, 2.0]])), labels=["north", "south"])
    >>> [t.get_text() for t in ax.get_xticklabels()]
    ['north', 'south']
    """
    R = covariance.correlation()
    if labels is not None and len(labels) != len(R):
        raise ShapeError(f"labels has {len(labels)} names; the covariance has {len(R)} levels.")
    ax = axes_or_new(ax, figsize=(5.2, 4.4))
    image = ax.imshow(R, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    if labels is not None:
        turned = max(map(len, labels)) > 2
        ax.set_xticks(range(len(R)), labels, rotation=45 if turned else 0, ha="right" if turned else "center")
        ax.set_yticks(range(len(R)), labels)
    else:
        ax.set(xlabel="level", ylabel="level")
    ax.figure.colorbar(image, ax=ax, label="correlation")
    return ax


def plot_history(model: GridGP, *, quantity: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how learning went: a line per stage, and a new one where the optimiser starts anew.

    Parameters
    ----------
    model : GridGP
        A fitted model.
    quantity : {"log_evidence", "noise_var", "change"}, optional
        What to draw. Default: the log evidence if learning recorded it, else the noise variance. Log evidences of a
        sub-grid and of the whole grid are not comparable.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If nothing was learned, or learning did not record the quantity.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import GridGP, Matern
    >>> from structkit.plotting import plot_history
    >>> x = np.linspace(0.0, 1.0, 30)
    >>> model = GridGP([Matern(1.5)], random_state=0).fit([x], np.sin(9 * x))
    >>> plot_history(model).get_ylabel()
    'log evidence'
    """
    check_fitted(model)
    recorded = {key for record in model.history_ for key in record}
    if quantity is None:
        quantity = "log_evidence" if "log_evidence" in recorded else "noise_var"
    if quantity not in recorded - {"stage"}:
        known = ", ".join(sorted(recorded - {"stage"})) or "nothing, for nothing was learned"
        raise ValueError(f"history_ has no {quantity!r}; it records {known}.")
    ax = axes_or_new(ax)
    stages = list(dict.fromkeys(record["stage"] for record in model.history_))
    for stage, color in zip(stages, itertools.cycle(CYCLE)):
        # a stage that comes back is one line with gaps
        records = [r.get(quantity) if r["stage"] == stage else None for r in model.history_]
        values = np.array([np.nan if r is None else r for r in records], dtype=np.float64)
        if np.isnan(values).all():
            continue
        # the record is the best so far: where it falls, the optimiser has started anew
        falls = (np.diff(values) < 0) & (quantity == "log_evidence")
        for k, part in enumerate(np.split(np.arange(len(values)), np.flatnonzero(falls) + 1)):
            ax.plot(part + 1, values[part], "o-", ms=3.5, color=color, label=None if k else stage)
    if quantity != "log_evidence":
        ax.set_yscale("log")
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="iteration", ylabel=quantity.replace("_", " ").replace("noise var", "noise variance"))
    ax.legend(frameon=False)
    return ax
