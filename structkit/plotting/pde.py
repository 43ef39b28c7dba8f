"""Pictures of solved differential equations: the solution, its error, the carriers that were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from structkit._core.errors import NotFiniteError, NotFittedError, ShapeError
from structkit.pde import GPSolver
from structkit.plotting.common import BLUE, CYCLE, axes_or_new, cell_image
from structkit.plotting.curves import plot_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_carriers", "plot_field", "plot_solution"]


def plot_field(
    coords: Sequence[np.ndarray], values: np.ndarray, *, ax: Axes | None = None, symmetric: bool = True, label: str = ""
) -> Axes:
    """Draw values on a grid of one or two axes: a line, or an image with a colour bar.

    Parameters
    ----------
    coords : sequence of array
        Coordinates of one or two axes.
    values : array, shape ``(n_1,)`` or ``(n_1, n_2)``
        Values on the grid; NaN stays blank.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    symmetric : bool, default True
        Whether the colours of an image run from minus to plus the largest modulus.
    label : str
        What the values are.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If there are more than two axes or the shape does not fit.
    TypeError, NotFiniteError
        If the values are no real numbers, or none of them is finite.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 20)
    >>> ax = plot_field([x, x], np.outer(x, x), label="u")
    """
    values, shape = np.asarray(values), tuple(len(c) for c in coords)
    if len(coords) not in (1, 2) or values.shape != shape:
        raise ShapeError(f"values has shape {values.shape}; expected {shape}, from coordinates of one or two axes.")
    if values.dtype.kind not in "fiub":
        raise TypeError(
            f"values has dtype {values.dtype}; expected real numbers. Draw parts of complex ones one by one."
        )
    if not np.isfinite(values).any():
        raise NotFiniteError("values holds no finite number to draw.")
    ax = axes_or_new(ax)
    if len(coords) == 1:
        ax.plot(coords[0], values, color=BLUE, lw=1)
        ax.set(xlabel="x", ylabel=label or "u")
        return ax
    top = float(np.nanmax(np.abs(values))) or 1.0
    low, high = (-top, top) if symmetric else (float(np.nanmin(values)), float(np.nanmax(values)))
    image = cell_image(
        ax, coords[1], coords[0], values.T, cmap="RdBu_r" if symmetric else "viridis", vmin=low, vmax=high
    )
    ax.figure.colorbar(image, ax=ax, label=label or "u")  # type: ignore[union-attr]
    ax.set(xlabel="first axis", ylabel="second axis")
    return ax


def plot_solution(
    model: GPSolver,
    *,
    exact: Callable[..., Any] | None = None,
    at: Sequence[float | None] | None = None,
    n: int = 301,
    derivative: dict[int, int] | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw a solution, or its error where the exact one is known; of three axes a slice; a line with its band.

    Parameters
    ----------
    model : GPSolver
        A solved problem.
    exact : callable, optional
        Exact solution of all coordinates; the difference from it is drawn.
    at : sequence of float or None, optional
        Coordinate of each axis at which to cut, None for the axes that are drawn. Default: nothing is cut, and of three
        axes the last one in its middle.
    n : int, default 301
        Points per axis.
    derivative : dict, optional
        Order of the derivative to draw, by axis.
    level : float, default 0.95
        Probability inside of the band around a line, where the solution is a posterior of noisy data.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    NotFittedError
        If the solver has no solution yet.
    ShapeError
        If `at` leaves none of the axes, or three.

    See Also
    --------
    plot_field : values that were computed elsewhere, or are cut off by a mask.

    Examples
    --------
    >>> from structkit.pde import D, Dirichlet, GPSolver, PDE
    >>> model = GPSolver().fit(PDE(D(0, 2), domain=[(0, 1)], source=-1.0, conditions=Dirichlet(0.0)))
    >>> ax = plot_solution(model)
    """
    domain = _domain(model)
    cuts = [None] * len(domain) if at is None else list(at)
    if at is None and len(domain) == 3:
        cuts[2] = sum(domain[2]) / 2  # type: ignore[call-overload]
    if len(cuts) != len(domain) or not 1 <= sum(c is None for c in cuts) <= 2:
        raise ShapeError(f"at = {at!r}; expected {len(domain)} entries, one or two of them None.")
    coords = [
        np.linspace(*ends, n) if c is None else np.array([float(c)]) for c, ends in zip(cuts, domain, strict=True)
    ]
    values = np.asarray(model.predict(coords, derivative=derivative))
    label = "u" if not derivative else "derivative of u"
    if exact is not None:
        values, label = values - exact(*np.meshgrid(*coords, indexing="ij")), "error"
    drawn = [a for a, cut in enumerate(cuts) if cut is None]
    if len(drawn) == 1 and model._root is not None:
        _, std = model.predict(coords, derivative=derivative, return_std=True)
        ax = plot_band(coords[drawn[0]], values.ravel(), std.ravel(), level=level, ax=ax)
        ax.set(xlabel="x", ylabel=label)
    else:
        ax = plot_field([coords[a] for a in drawn], values.reshape([n] * len(drawn)), ax=ax, label=label)
    if len(drawn) < len(cuts):
        ax.set_title(", ".join(f"x{a + 1} = {c:.3g}" for a, c in enumerate(cuts) if c is not None))
        names = [f"x{a + 1}" for a in drawn]
        ax.set(xlabel=names[0], ylabel=label if len(drawn) == 1 else names[1])
    return ax


def plot_carriers(model: GPSolver, *, axis: int = 0, n: int = 4096, ax: Axes | None = None) -> Axes:
    """Draw the spectrum of a solution along one axis, and the carriers that were found.

    Parameters
    ----------
    model : GPSolver
        A solved problem.
    axis : int, default 0
        The axis.
    n : int, default 4096
        Points of the line along which the spectrum is formed.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    NotFittedError
        If the solver has no solution yet.
    ShapeError
        If the problem has no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.pde import D, Dirichlet, GPSolver, PDE
    >>> wave = lambda x: np.sin(100 * x)
    >>> problem = PDE(D(0, 2), domain=[(0, 6)], source=lambda x: -1e4 * wave(x), conditions=Dirichlet(wave))
    >>> ax = plot_carriers(GPSolver().fit(problem))
    """
    domain = _domain(model)
    if axis not in range(len(domain)):
        raise ShapeError(f"axis = {axis!r}; the problem has {len(domain)} axes.")
    rng = np.random.default_rng(0)
    coords = [np.linspace(*e, n) if a == axis else np.sort(rng.uniform(*e, 5)) for a, e in enumerate(domain)]
    lines = np.moveaxis(np.asarray(model.predict(coords)), axis, 0).reshape(n, -1)
    power = np.sqrt(np.mean(np.abs(np.fft.rfft(lines * np.blackman(n)[:, None], axis=0)) ** 2, axis=1))
    low, high = domain[axis]
    f = np.arange(len(power)) * (n - 1) / (n * (high - low))
    ax = axes_or_new(ax)
    ax.semilogy(f, power / power.max(), color=BLUE, lw=1.2, label="spectrum of the solution")
    for i, c in enumerate(model.frequencies_[axis]):
        ax.axvline(c, color=CYCLE[3], ls="--", lw=1, label="carriers" if i == 0 else None)
    top = 1.5 * max(float(np.max(model.frequencies_[axis])), 6 / (high - low))
    ax.set(xlim=(-0.02 * top, top), ylim=(1e-12, 3), xlabel="cycles per unit", ylabel="relative amplitude")
    ax.legend(loc="lower right", frameon=False)
    return ax


def _domain(model: GPSolver) -> list[tuple[float, float]]:
    if not hasattr(model, "residual_"):
        raise NotFittedError("This GPSolver is not fitted; call fit before drawing it.")
    return model.domain_
