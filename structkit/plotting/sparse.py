"""Pictures of sparse models: prior variances, the course of the search, errors against noise, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import NotFittedError, ShapeError
from structkit._core.types import Array
from structkit.plotting.common import BLUE, CYCLE, axes_or_new
from structkit.sbl import KroneckerSBL, SeparableSBL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_channel", "plot_error_curves", "plot_evidence_trace", "plot_prior_variances"]

_TRUE = "#D55E00"


def plot_prior_variances(
    model: KroneckerSBL | SeparableSBL,
    *,
    true_support: Sequence[np.ndarray] | None = None,
    axes: Sequence[Axes] | None = None,
    color: str = BLUE,
) -> list[Axes]:
    """Draw the prior variances of every mode as stems, in decibels below the largest.

    Parameters
    ----------
    model : KroneckerSBL or SeparableSBL
        A fitted model.
    true_support : list of array, optional
        True positions of every mode, marked by circles on the axis.
    axes : sequence of matplotlib.axes.Axes, optional
        One per mode. Default: a new figure.
    color : str
        Colour of the stems.

    Returns
    -------
    axes : list of matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If there is not one axes, or one true support, per mode.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_prior_variances
    >>> from structkit.sbl import KroneckerSBL
    >>> A = np.random.default_rng(0).standard_normal((8, 12))
    >>> model = KroneckerSBL().fit([A, A], np.outer(A[:, 3], A[:, 7]))
    >>> axes = plot_prior_variances(model, true_support=[[3], [7]])
    >>> [ax.get_xlabel() for ax in axes]
    ['column of mode 0', 'column of mode 1']
    """
    _check(model)
    n = len(model.gamma_)
    if axes is None:
        from matplotlib import pyplot as plt

        axes = plt.subplots(1, n, figsize=(3.2 * n, 2.6), layout="constrained", sharey=True, squeeze=False)[1][0]
    if len(axes) != n or (true_support is not None and len(true_support) != n):
        raise ShapeError(f"The model has {n} modes; expected one axes and one true support for each.")
    floor = -45.0
    for mode, (ax, gamma) in enumerate(zip(axes, model.gamma_, strict=True)):
        active = np.flatnonzero(gamma)
        level = 10 * np.log10(np.maximum(gamma[active] / gamma.max(initial=1e-300), 1e-300))
        level = np.maximum(level, floor + 2)
        ax.vlines(active, floor, level, color=color, lw=1.6)
        ax.plot(active, level, "o", color=color, ms=4, label="found")
        if true_support is not None:
            true = np.asarray(true_support[mode])
            ax.plot(true, np.full(len(true), floor), "o", mfc="none", mec=_TRUE, ms=8, label="true", clip_on=False)
        ax.set(xlabel=f"column of mode {mode}", xlim=(-1, len(gamma)), ylim=(floor, 4))
    axes[0].set_ylabel("prior variance (dB)")
    return list(axes)


def plot_evidence_trace(model: KroneckerSBL | SeparableSBL, *, ax: Axes | None = None, color: str = BLUE) -> Axes:
    """Draw the log evidence after every step of the fit.

    Parameters
    ----------
    model : KroneckerSBL or SeparableSBL
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    color : str
        Colour of the line.

    Returns
    -------
    ax : matplotlib.axes.Axes
        A fall in the line is a new start of the search.

    See Also
    --------
    plot_history : the trace of learning of other models.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_evidence_trace
    >>> from structkit.sbl import KroneckerSBL
    >>> A = np.random.default_rng(0).standard_normal((8, 12))
    >>> model = KroneckerSBL().fit([A, A], np.outer(A[:, 3], A[:, 7]))
    >>> plot_evidence_trace(model).get_xlabel()
    'step'
    """
    _check(model)
    key = "log_evidence" if "log_evidence" in model.history_[0] else "log_likelihood"
    values = [float(record[key]) for record in model.history_]  # type: ignore[arg-type]
    ax = axes_or_new(ax, figsize=(5.2, 3.2))
    ax.plot(np.arange(1, len(values) + 1), values, ".-", color=color, lw=1.6)
    ax.set(xlabel="step", ylabel=key.replace("_", " "))
    return ax


def plot_error_curves(
    x: Array,
    errors: Mapping[str, Array],
    *,
    xlabel: str = "SNR (dB)",
    ylabel: str = "NMSE",
    styles: Mapping[str, Mapping[str, object]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw mean errors of several methods on a logarithmic axis, with the spread between runs.

    Parameters
    ----------
    x : array, shape ``(n,)``
        What was varied.
    errors : mapping from name to array, shape ``(runs, n)``
        Errors of every run, positive; bands run from the first to the last decile.
    xlabel, ylabel : str
        Names of the axes.
    styles : mapping from name to keywords, optional
        Of the lines, for example ``{"least squares": {"color": "k", "ls": "--"}}``.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If errors and `x` disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_error_curves
    >>> ax = plot_error_curves(np.array([5, 10]), {"one": np.ones((3, 2)), "two": np.full((3, 2), 0.1)})
    >>> ax.get_yscale()
    'log'
    """
    points = np.asarray(to_numpy(x), dtype=np.float64)
    ax = axes_or_new(ax, figsize=(5.6, 4.0))
    for k, (name, values) in enumerate(errors.items()):
        runs = np.asarray(to_numpy(values), dtype=np.float64)
        if runs.ndim != 2 or runs.shape[1:] != points.shape:
            raise ShapeError(f"errors[{name!r}] has shape {runs.shape}; expected (runs, {len(points)}).")
        style: dict[str, Any] = {
            "color": CYCLE[k % len(CYCLE)],
            "marker": "o",
            "ms": 4,
            "lw": 1.8,
            **(styles or {}).get(name, {}),
        }
        low, high = np.quantile(runs, [0.1, 0.9], axis=0)
        ax.fill_between(points, low, high, color=style["color"], alpha=0.13, lw=0)
        ax.plot(points, runs.mean(axis=0), label=name, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
    ax.grid(True, which="major", color="0.9", lw=0.8)
    ax.set_axisbelow(True)
    return ax


def plot_channel(channel: Array, *, ax: Axes | None = None, vmax: float | None = None, title: str = "") -> Axes:
    """Draw the magnitudes of a channel matrix.

    Parameters
    ----------
    channel : array, shape ``(n_receive, n_transmit)``
        Real or complex.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    vmax : float, optional
        Magnitude of the brightest colour; give the same to pictures that are compared. Default: the largest.
    title : str
        Title of the picture.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If `channel` is not a matrix.

    Examples
    --------
    >>> from structkit.plotting import plot_channel
    >>> from structkit.sbl import irs_mimo
    >>> ax = plot_channel(irs_mimo(random_state=0).channels[0], title="truth")
    >>> ax.get_title()
    'truth'
    """
    size = np.abs(to_numpy(channel))
    if size.ndim != 2:
        raise ShapeError(f"channel has shape {size.shape}; expected a matrix.")
    ax = axes_or_new(ax, figsize=(3.2, 3.6))
    ax.imshow(size, cmap="viridis", vmin=0, vmax=vmax, aspect="auto", interpolation="nearest")
    ax.set(xlabel="transmit antenna", ylabel="receive antenna", title=title)
    return ax


def _check(model: KroneckerSBL | SeparableSBL) -> None:
    """Raise unless the model was fitted."""
    if not hasattr(model, "history_"):
        raise NotFittedError(f"This {type(model).__name__} is not fitted; call fit before drawing it.")
