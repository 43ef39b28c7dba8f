"""Parameters of atoms between the points of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from structkit._backend.namespace import to_numpy
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit.sbl.base import SparseModel
from structkit.sbl.problem import check_input
from structkit.sbl.spectral import abs2, is_complex, products

__all__ = ["OffGridFit", "refine_offgrid"]

_STEP = 1e-6  # of the finite differences, relative to the distance between points of the grid


@dataclass(frozen=True)
class OffGridFit:
    """Atoms off the grid.

    Attributes
    ----------
    parameters : list of numpy.ndarray, shapes ``(k_i,)``
        Parameters of the atoms of every mode, sorted.
    coef : numpy.ndarray, shape ``(k_1, ..., k_I)``, with snapshots ``(k_1, ..., k_I, L)``
        Least-squares coefficients.
    noise_var : float
        Residual variance, in squared units of the measurements.
    bic : float
        Minus twice the log likelihood plus the penalty of all numbers that were fitted; smaller is better.
    """

    parameters: list[np.ndarray]
    coef: np.ndarray
    noise_var: float
    bic: float


Atoms = Callable[[np.ndarray], np.ndarray]


def refine_offgrid(
    model: SparseModel,
    y: Array,
    atoms: Sequence[Atoms],
    grids: Sequence[np.ndarray],
    *,
    max_iter: int = 50,
) -> OffGridFit:
    r"""Move the atoms that a model found off their grid.

    Neighbouring active columns merge into their local peaks; the parameters of all peaks are fitted by variable
    projection, that is least squares in which the coefficients are eliminated; atoms are deleted as long as the
    Bayesian information criterion falls.

    Parameters
    ----------
    model : KroneckerSBL or SeparableSBL
        Fitted with dictionaries whose columns are ``atoms[i](grids[i])``.
    y : array
        The measurements it was fitted to.
    atoms : sequence of callable
        For every mode a function from parameters ``(k,)`` to columns ``(m_i, k)``, smooth in the parameters.
    grids : sequence of array, shapes ``(n_i,)``
        Parameters of the columns of every dictionary, increasing.
    max_iter : int, default 50
        Most evaluations of the residual per fit.

    Returns
    -------
    fit : OffGridFit
        Parameters, coefficients, noise.

    Raises
    ------
    ShapeError
        If grids, atoms and model disagree, or the model found nothing.

    Notes
    -----
    With orthonormal bases :math:`Q_i` of the atoms, the residual is :math:`y - y \times_i Q_i Q_i^H`, which depends on
    the parameters alone [1]_. Nothing of the size of the product of the grids is formed.

    References
    ----------
    .. [1] Golub, Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
       separate", SIAM Journal on Numerical Analysis 10, 1973.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import KroneckerSBL, refine_offgrid, steering_matrix
    >>> grid = np.linspace(-1, 1, 48, endpoint=False)
    >>> respond = lambda u: steering_matrix(24, u)
    >>> y = respond(np.array([0.123])) @ respond(np.array([-0.456])).T
    >>> y = y + 1e-5 * np.random.default_rng(0).standard_normal((24, 24))
    >>> model = KroneckerSBL().fit([respond(grid)] * 2, y)
    >>> fit = refine_offgrid(model, y, [respond] * 2, [grid] * 2)
    >>> [p.round(4).tolist() for p in fit.parameters]
    [[0.123], [-0.456]]
    """
    model._check_fitted("support_")
    points = [np.asarray(to_numpy(g), dtype=np.float64) for g in grids]
    if not len(points) == len(atoms) == len(model.support_):
        raise ShapeError(f"{len(points)} grids and {len(atoms)} atoms for a model of {len(model.support_)} modes.")
    for i, (g, n) in enumerate(zip(points, model._sizes, strict=True)):
        if g.shape != (n,):
            raise ShapeError(f"grids[{i}] has shape {g.shape}; the model was fitted with {n} columns.")
    if any(len(s) == 0 for s in model.support_):
        raise ShapeError("The model found no coefficients, so there is nothing to refine.")
    given = check_input([f(g[:1]) for f, g in zip(atoms, points, strict=True)], to_numpy(y))
    data = np.asarray(given.y)
    peaks = [_peaks(model, i) for i in range(len(points))]
    spacing = [float(np.median(np.diff(g))) if len(g) > 1 else 1.0 for g in points]
    start = [g[p] for g, p in zip(points, peaks, strict=True)]
    fit = _Refinement(data, atoms, spacing, max_iter).search(start)
    return fit if given.snapshots else OffGridFit(fit.parameters, fit.coef[..., 0], fit.noise_var, fit.bic)


def _peaks(model: SparseModel, mode: int) -> np.ndarray:
    """Columns of a mode whose energy is not below that of an active neighbour."""
    columns = model.support_[mode]
    energy = np.abs(np.moveaxis(model._block.mean, mode, 0).reshape(len(columns), -1)) ** 2
    height = dict(zip(columns.tolist(), energy.sum(axis=1).tolist(), strict=True))
    n = model._sizes[mode]
    kept = [j for j, h in height.items() if h >= height.get((j - 1) % n, 0.0) and h > height.get((j + 1) % n, -1.0)]
    return np.array(kept or [max(height, key=height.__getitem__)])


class _Refinement:
    """Measurements, atoms, and the fits of their parameters."""

    def __init__(self, y: np.ndarray, atoms: Sequence[Atoms], spacing: Sequence[float], max_iter: int) -> None:
        self.y, self.atoms, self.spacing, self.max_iter = y, atoms, spacing, max_iter

    def residual(self, parameters: Sequence[np.ndarray]) -> np.ndarray:
        """What the best coefficients leave of the measurements."""
        bases = [np.linalg.qr(f(p))[0] for f, p in zip(self.atoms, parameters, strict=True)]
        return self.y - products(products(self.y, bases, adjoint=True), bases)

    def settle(self, parameters: Sequence[np.ndarray]) -> OffGridFit:
        """Fit the parameters of a given number of atoms."""
        sizes = np.cumsum([len(p) for p in parameters])[:-1]
        steps = np.concatenate([np.full(len(p), h) for p, h in zip(parameters, self.spacing, strict=True)])
        centre = np.concatenate(list(parameters))

        def objective(moves: np.ndarray) -> np.ndarray:
            rest = self.residual(np.split(centre + moves * steps, sizes)).reshape(-1)
            return np.concatenate([rest.real, rest.imag]) if is_complex(rest) else rest

        found = least_squares(objective, np.zeros(len(centre)), max_nfev=self.max_iter, diff_step=_STEP, x_scale=1.0)
        return self.describe([np.sort(p) for p in np.split(centre + found.x * steps, sizes)])

    def describe(self, parameters: list[np.ndarray]) -> OffGridFit:
        """Coefficients, noise and criterion at given parameters."""
        inverses = [np.linalg.pinv(f(p)) for f, p in zip(self.atoms, parameters, strict=True)]
        coef = products(self.y, inverses)
        energy = float(abs2(self.residual(parameters)).sum())
        unit = 2 if is_complex(self.y) else 1
        count = unit * self.y.size
        fitted = unit * coef.size + sum(len(p) for p in parameters)
        noise = max(energy / max(self.y.size - coef.size, 1), np.finfo(float).tiny)
        return OffGridFit(parameters, coef, noise, count * math.log(max(energy, 1e-300)) + fitted * math.log(count))

    def search(self, start: list[np.ndarray]) -> OffGridFit:
        """Fit, then delete atoms while the criterion falls."""
        best = self.settle(start)
        while True:
            trials = [
                [np.delete(p, j) if k == i else p for k, p in enumerate(best.parameters)]
                for i, parameters in enumerate(best.parameters)
                if len(parameters) > 1
                for j in range(len(parameters))
            ]
            if not trials:
                return best
            quick = min((self.describe(t) for t in trials), key=lambda fit: fit.bic)
            fit = self.settle(quick.parameters)
            if fit.bic >= best.bic:
                return best
            best = fit
