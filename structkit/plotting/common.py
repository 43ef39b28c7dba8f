"""What every picture needs: axes, colours, checks of its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from structkit._backend.namespace import to_numpy
from structkit._core.errors import NotFittedError, ShapeError
from structkit._core.types import Array
from structkit.gp import GridGP
from structkit.tucker import FunctionalCP, FunctionalTucker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

__all__ = ["BLUE", "CYCLE", "axes_or_new", "cell_image", "check_fitted", "check_std", "half_width", "vectors"]

# of Okabe and Ito, told apart with every common colour vision deficiency
BLUE = "#0072B2"
CYCLE = (BLUE, "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
HIDDEN = "0.25"  # grey of the cells that were not observed


def axes_or_new(ax: Axes | None, figsize: tuple[float, float] = (6.4, 4.0)) -> Axes:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def check_fitted(model: GridGP | FunctionalCP | FunctionalTucker) -> None:
    """Raise unless the model was fitted."""
    if not hasattr(model, "history_"):
        raise NotFittedError(f"This {type(model).__name__} is not fitted; call fit before drawing it.")


def vectors(**arrays: Array) -> list[np.ndarray]:
    """Bring named arrays to float64 vectors of one length."""
    found = {name: np.asarray(to_numpy(a), dtype=np.float64) for name, a in arrays.items()}
    shapes = {a.shape for a in found.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        given = ", ".join(f"{name} {a.shape}" for name, a in found.items())
        raise ShapeError(f"Expected vectors of one length; got {given}.")
    return list(found.values())


def check_std(std: np.ndarray) -> None:
    """Raise if a standard deviation is negative or NaN."""
    if not (std >= 0).all():
        raise ValueError(f"std holds {std.min():g}; standard deviations are >= 0 and not NaN.")


def half_width(level: float) -> float:
    """Half the width of the central interval of a standard normal with this probability."""
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}; expected a probability between 0 and 1.")
    return float(ndtri(0.5 + level / 2))


def cell_image(
    ax: Axes, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, *, cmap: str, vmin: float, vmax: float
) -> QuadMesh:
    """Draw values on a grid with any spacing; NaN is dark grey."""
    i, j = np.argsort(rows, kind="stable"), np.argsort(columns, kind="stable")
    ax.set_facecolor(HIDDEN)
    return ax.pcolormesh(
        _edges(columns[j]), _edges(rows[i]), values[np.ix_(i, j)], cmap=cmap, vmin=vmin, vmax=vmax, rasterized=True
    )


def _edges(x: np.ndarray) -> np.ndarray:
    """Borders of the cells around ascending coordinates: halfway between neighbours."""
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = (x[1:] + x[:-1]) / 2
    return np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]])
