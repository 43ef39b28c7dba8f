"""Functional tensors: latent functions, weights, surfaces, predictions against what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.kron import unfold
from structkit.plotting.common import BLUE, CYCLE, axes_or_new, cell_image, check_fitted, check_std, half_width, vectors
from structkit.plotting.curves import plot_band
from structkit.tucker import FunctionalCP, FunctionalTucker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_core", "plot_factors", "plot_predicted", "plot_surface"]

ORANGE = CYCLE[3]
MANY = 300  # points beyond which intervals one by one would hide each other
BINS = 40  # hexagons across


def plot_factors(
    model: FunctionalCP | FunctionalTucker,
    mode: int,
    t: Array | None = None,
    *,
    functions: Sequence[int] | None = None,
    effect: bool = False,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the latent functions of one mode, or its main effect, with uncertainty bands.

    Parameters
    ----------
    model : FunctionalCP or FunctionalTucker
        A fitted model.
    mode : int
        Column of `X`, from 0.
    t : array, shape ``(n,)``, optional
        Coordinates. Default: 400 evenly spaced over the levels of the mode; of a discrete mode, the levels.
    functions : sequence of int, optional
        Which functions. Default: the ``rank_`` that have the largest weights.
    effect : bool, default False
        Draw the main effect, in units of `y`, instead of the functions, which have no unit.
    level : float, default 0.95
        Probability inside of the bands.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Levels of a discrete mode are dots with error bars.

    Raises
    ------
    NotFittedError
        Before `fit`.
    IndexError
        If the mode or a function does not exist.

    Notes
    -----
    Signs of the functions are arbitrary, and those of a Tucker model may be mixed among each other: only the products
    with the weights are determined.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_factors
    >>> from structkit.tucker import FunctionalCP
    >>> X = np.random.default_rng(0).uniform(0, 1, (400, 2))
    >>> model = FunctionalCP(1, mean="zero", n_starts=1, tol=0.01, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> plot_factors(model, 0).get_legend_handles_labels()[1]
    ['function 0']
    """
    check_fitted(model)
    levels = _levels(model, mode)
    points = _between(model, mode, 400) if t is None else vectors(t=t)[0]
    if effect:
        mean, std = (v[:, None] for v in model.effect(mode, points, return_std=True))
        chosen, names = [0], ["main effect"]
    else:
        mean, std = model.factor(mode, points, return_std=True)
        chosen = _strongest(model, mode) if functions is None else list(functions)
        names = [f"function {k}" for k in chosen]
    if any(not 0 <= k < mean.shape[1] for k in chosen):
        raise IndexError(f"functions={functions!r}; mode {mode} has {mean.shape[1]} functions, counted from 0.")
    ax = axes_or_new(ax)
    ax.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    for n, (k, name) in enumerate(zip(chosen, names, strict=True)):
        color = CYCLE[n % len(CYCLE)]
        if _is_discrete(model, mode):
            bars = half_width(level) * std[:, k]
            ax.errorbar(points, mean[:, k], bars, fmt="o", ms=4, lw=1.2, color=color, label=name)
        else:
            plot_band(points, mean[:, k], std[:, k], level=level, ax=ax, color=color, label=name)
    if len(levels) <= 100:
        ax.plot(levels, np.zeros(len(levels)), "|", color="0.5", ms=6, transform=ax.get_xaxis_transform())
    ax.set(xlabel=f"mode {mode}", ylabel="main effect" if effect else "latent function")
    return ax


def plot_core(model: FunctionalCP | FunctionalTucker, *, mode: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the weights: bars for a CP model, an unfolded core as a heat map for a Tucker model.

    Parameters
    ----------
    model : FunctionalCP or FunctionalTucker
        A fitted model.
    mode : int, default 0
        Mode whose functions are the rows of the heat map. Columns run over the functions of the other modes, the last
        one fastest; lines separate the blocks of the first of them.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    NotFittedError
        Before `fit`.
    IndexError
        If the mode does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_core
    >>> from structkit.tucker import FunctionalTucker
    >>> X = np.random.default_rng(0).uniform(0, 1, (400, 2))
    >>> model = FunctionalTucker((2, 3), n_starts=1, tol=0.01, random_state=0).fit(X, np.cos(2 * X[:, 0] + X[:, 1]))
    >>> plot_core(model).images[0].get_array().shape
    (2, 3)
    """
    check_fitted(model)
    _levels(model, mode)
    core = model.core_
    if isinstance(model, FunctionalCP):
        ax = axes_or_new(ax, (4.8, 3.6))
        ax.bar(range(len(core)), core, color=[ORANGE if w < 0 else BLUE for w in core], width=0.7)
        ax.axhline(0.0, color="0.3", lw=0.8)
        ax.set(xlabel="component", ylabel="weight (units of y)", xticks=range(len(core)))
        return ax
    matrix = np.asarray(unfold(core, mode))
    others = [d for d in range(core.ndim) if d != mode]
    ax = axes_or_new(ax, (min(3.4 + 0.35 * matrix.shape[1], 11.0), 1.8 + 0.4 * len(matrix)))
    largest = float(np.abs(matrix).max())
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto")
    if len(others) > 1:
        width = matrix.shape[1] // core.shape[others[0]]
        for edge in range(width, matrix.shape[1], width):
            ax.axvline(edge - 0.5, color="0.3", lw=1.0)
    if matrix.shape[1] <= 30:
        combinations = np.ndindex(*(core.shape[d] for d in others))
        ax.set_xticks(range(matrix.shape[1]), [",".join(map(str, c)) for c in combinations], fontsize="small")
    ax.set_yticks(range(len(matrix)))
    plural = f"modes {', '.join(map(str, others))}" if len(others) > 1 else f"mode {others[0]}" if others else ""
    ax.set(xlabel=f"functions of {plural}" if others else "", ylabel=f"functions of mode {mode}")
    ax.figure.colorbar(image, ax=ax, label="weight (units of y)")
    return ax


def plot_predicted(y_true: Array, mean: Array, std: Array, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw observed values against predictions, with intervals and the share of values that they cover.

    Parameters
    ----------
    y_true : array, shape ``(n,)``
        Values that the model has not seen; NaN is left out.
    mean : array, shape ``(n,)``
        Predicted means.
    std : array, shape ``(n,)``
        Predicted standard deviations, noise included if `y_true` has noise.
    level : float, default 0.95
        Nominal probability of the intervals.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Root mean square error and observed coverage in the title. Up to 300 points have an interval each, along the
        axis of predictions: it reaches the diagonal if it covers the value, and is orange if it does not. More points
        are counted in hexagons, with a band that holds the intervals of neighbouring predictions on average.

    Raises
    ------
    ShapeError
        If the three arrays are not vectors of one length.
    ValueError
        If a standard deviation is negative, `level` is not between 0 and 1, or nothing is left to compare.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_predicted
    >>> mean = np.linspace(0.0, 1.0, 10)
    >>> plot_predicted(mean + 0.1, mean, np.full(10, 0.2)).get_title()
    'RMSE 0.1, 95 % intervals cover 100.0 %'
    """
    y, m, s = vectors(y_true=y_true, mean=mean, std=std)
    seen = ~np.isnan(y)
    if not seen.any():
        raise ValueError("y_true holds no value that is not NaN; nothing to compare.")
    y, m, s = y[seen], m[seen], s[seen]
    check_std(s)
    half = half_width(level) * s
    covered = np.abs(y - m) <= half
    ax = axes_or_new(ax, (5.4, 4.8))
    low, high = min(y.min(), m.min()), max(y.max(), m.max())
    ax.plot([low, high], [low, high], color="0.3", lw=1, ls="--", zorder=3)
    if len(y) > MANY:
        _crowd(ax, y, m, half, f"{100 * level:g} % intervals, average")
    else:
        for rows, color, name in ((covered, BLUE, "covered"), (~covered, ORANGE, "not covered")):
            if rows.any():
                name = f"{name}: {rows.sum()}"
                ax.errorbar(
                    m[rows], y[rows], xerr=half[rows], fmt="o", ms=3.5, lw=1, alpha=0.75, color=color, label=name
                )
    rmse = float(np.sqrt(np.mean((y - m) ** 2)))
    title = f"RMSE {rmse:.3g}, {100 * level:g} % intervals cover {100 * covered.mean():.1f} %"
    ax.set(xlabel="predicted", ylabel="observed", title=title)
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_surface(
    model: FunctionalCP | FunctionalTucker,
    *,
    modes: tuple[int, int] = (0, 1),
    at: Array | None = None,
    coords: Sequence[Array] | None = None,
    X: Array | None = None,
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw the posterior mean over two modes, the others held fixed, beside its standard deviation.

    Parameters
    ----------
    model : FunctionalCP or FunctionalTucker
        A fitted model of at least two modes.
    modes : tuple of two int, default (0, 1)
        The mode to the right, and the mode upwards.
    at : array, shape ``(D - 2,)``, optional
        Coordinate of each remaining mode, in order. Default: the median of its levels.
    coords : pair of arrays, optional
        Coordinates of the two modes. Default: 80 evenly spaced over the levels of each; of a discrete mode, the levels.
    X : array, shape ``(n, D)``, optional
        Entries whose coordinates in the two modes are drawn as dots on the standard deviation.
    ax : sequence of two matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : tuple of two matplotlib.axes.Axes
        Posterior mean, and standard deviation without the noise.

    Raises
    ------
    NotFittedError
        Before `fit`.
    IndexError
        If a mode does not exist.
    ValueError
        If a mode is named twice.
    ShapeError
        If `ax`, `at` or `coords` has another length.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.plotting import plot_surface
    >>> from structkit.tucker import FunctionalCP
    >>> X = np.random.default_rng(0).uniform(0, 1, (400, 2))
    >>> model = FunctionalCP(1, mean="zero", n_starts=1, tol=0.01, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> [a.get_title() for a in plot_surface(model, X=X)]
    ['posterior mean', 'standard deviation']
    """
    check_fitted(model)
    first, second = modes
    if first == second:
        raise ValueError(f"modes={modes!r} names one mode twice.")
    fixed = _fixed(model, (first, second), at)
    if coords is None:
        coords = [_between(model, d, 80) for d in (first, second)]
    if len(coords) != 2:
        raise ShapeError(f"coords holds {len(coords)} arrays; expected two, one for each of modes={modes!r}.")
    right, up = (vectors(coords=c)[0] for c in coords)
    points = np.empty((len(up), len(right), model.n_features_in_))
    points[:] = fixed
    points[..., first], points[..., second] = right, up[:, None]
    mean, std = (v.reshape(len(up), -1) for v in model.predict(points.reshape(-1, points.shape[2]), return_std=True))
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(1, 2, figsize=(10.0, 4.0), sharex=True, sharey=True, layout="constrained")[1]
    if len(ax) != 2:
        raise ShapeError(f"ax holds {len(ax)} axes; expected two.")
    for panel, values, title, cmap, low in (
        (ax[0], mean, "posterior mean", "viridis", mean.min()),
        (ax[1], std, "standard deviation", "cividis", 0.0),
    ):
        image = cell_image(panel, up, right, values, cmap=cmap, vmin=low, vmax=values.max())
        panel.set(title=title, xlabel=f"mode {first}")
        panel.figure.colorbar(image, ax=panel)
    if X is not None:
        _dots(ax[1], X, (first, second), (right, up))
    ax[0].set_ylabel(f"mode {second}")
    return ax[0], ax[1]


def _levels(model: FunctionalCP | FunctionalTucker, mode: int) -> np.ndarray:
    """Coordinates of one mode that occur in the entries, ascending."""
    if not 0 <= mode < model.n_features_in_:
        raise IndexError(f"mode {mode} does not exist; the tensor has {model.n_features_in_} modes, counted from 0.")
    functions = model._fitted.posterior.functions[mode]
    return np.asarray(functions.prior.origin + functions.prior.unit * functions.times)


def _is_discrete(model: FunctionalCP | FunctionalTucker, mode: int) -> bool:
    kernel = (
        model.kernel if isinstance(model.kernel, str) or not isinstance(model.kernel, Sequence) else model.kernel[mode]
    )
    return isinstance(kernel, str) and kernel == "discrete"


def _between(model: FunctionalCP | FunctionalTucker, mode: int, n: int) -> np.ndarray:
    """Coordinates at which one mode is drawn."""
    levels = _levels(model, mode)
    return levels if _is_discrete(model, mode) else np.linspace(levels[0], levels[-1], n)


def _strongest(model: FunctionalCP | FunctionalTucker, mode: int) -> list[int]:
    """Functions of one mode that are not switched off, the one with the largest weights first."""
    axis = 0 if isinstance(model, FunctionalCP) else mode
    energy = np.square(np.moveaxis(model.core_, axis, 0)).reshape(model.core_.shape[axis], -1).sum(axis=1)
    count = model.rank_ if isinstance(model.rank_, int) else model.rank_[mode]
    return [int(k) for k in np.argsort(-energy, kind="stable")[:count]]


def _fixed(model: FunctionalCP | FunctionalTucker, kept: tuple[int, int], at: Array | None) -> np.ndarray:
    """Coordinates of all modes; those of the modes that are drawn are placeholders."""
    values = np.array([np.median(_levels(model, d)) for d in range(model.n_features_in_)])
    for d in kept:
        _levels(model, d)
    rest = [d for d in range(model.n_features_in_) if d not in kept]
    if at is not None:
        given = vectors(at=at)[0]
        if len(given) != len(rest):
            raise ShapeError(f"at has {len(given)} coordinates; expected one for each of the modes {rest}.")
        values[rest] = given
    return values


def _crowd(ax: Axes, y: np.ndarray, mean: np.ndarray, half: np.ndarray, label: str) -> None:
    """Count points in hexagons and draw the average interval of predictions of about the same size."""
    from matplotlib.colors import LogNorm

    # from below one, so that single entries are not white
    counts = ax.hexbin(mean, y, gridsize=BINS, norm=LogNorm(vmin=0.4), mincnt=1, cmap="Blues", linewidths=0.2)
    ax.figure.colorbar(counts, ax=ax, label="entries per hexagon")
    order = np.argsort(mean, kind="stable")
    parts = np.array_split(order, min(BINS, max(2, len(y) // 50)))
    centre = np.array([mean[p].mean() for p in parts])
    centre[0], centre[-1] = mean.min(), mean.max()
    width = np.array([half[p].mean() for p in parts])
    ax.plot(centre, centre - width, color=ORANGE, lw=1.5, label=label)
    ax.plot(centre, centre + width, color=ORANGE, lw=1.5)


def _dots(ax: Axes, X: Array, modes: tuple[int, int], window: tuple[np.ndarray, np.ndarray]) -> None:
    """Draw where the entries are, without moving the limits of the axes."""
    entries = np.asarray(to_numpy(X), dtype=np.float64)
    if entries.ndim != 2 or entries.shape[1] <= max(modes):
        raise ShapeError(f"X has shape {entries.shape}; expected (n, D), one column per mode.")
    columns = [entries[:, d] for d in modes]
    inside = np.logical_and.reduce([(c >= w.min()) & (c <= w.max()) for c, w in zip(columns, window, strict=True)])
    x, y = (c[inside] for c in columns)
    ax.plot(x, y, ".", color="white", ms=2 if len(x) > 500 else 4, alpha=0.3 if len(x) > 500 else 0.8, mew=0)
