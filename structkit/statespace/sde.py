"""Linear stochastic differential equations, their sums and products."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field

import numpy as np

from structkit._core.errors import NotFiniteError, NotPositiveDefiniteError, ShapeError
from structkit.statespace.combine import ProductForm, SumForm
from structkit.statespace.forms import Form, GeneralForm, System

__all__ = ["LinearSDE", "from_form"]


@dataclass(frozen=True, eq=False)
class LinearSDE:
    r"""A stationary Gaussian process as the output of a linear stochastic differential equation.

    .. math:: dx = F x \, dt + L \, d\beta, \qquad f(t) = H x(t), \qquad x(t) \sim N(0, P_\infty)

    with covariance function :math:`\kappa(d) = H e^{F d} P_\infty H^T`. ``a + b`` is the sum of two independent
    processes, ``a * b`` the process whose covariance function is the product, and ``c * a`` scales the covariance
    function by a positive number.

    Parameters
    ----------
    F : array, shape ``(s, s)``
        Drift, per unit of time.
    L : array, shape ``(s, w)``
        How the `w` noises enter.
    Qc : array, shape ``(w, w)``
        Spectral density of the noises, symmetric positive semi-definite.
    H : array, shape ``(s,)``
        Output.
    Pinf : array, shape ``(s, s)``
        Stationary covariance, symmetric positive semi-definite, with ``F Pinf + Pinf F^T + L Qc L^T = 0``.

    Attributes
    ----------
    n_states : int
        Number of states `s`.
    parameter_names : tuple of str
        Names of the parameters, for instance ``("0.variance", "1.lengthscale", "1.variance")`` for a constant plus a
        Matern process; empty for a model given by its matrices.
    parameters : array, shape ``(p,)``
        Their values, all positive.

    Raises
    ------
    ShapeError
        If shapes disagree.
    NotFiniteError
        If a matrix holds NaN or infinity.
    NotPositiveDefiniteError
        If `Pinf` or `Qc` is not symmetric positive semi-definite.
    ValueError
        If `Pinf` is not stationary.

    See Also
    --------
    matern_sde, constant_sde, periodic_sde, white_sde : models with exact transitions and known derivatives.

    Notes
    -----
    Models made by the functions above and by sums and products of them carry their closed forms. For others,
    transitions are power series with doubling.

    References
    ----------
    .. [1] Hartikainen and Sarkka, "Kalman filtering and smoothing solutions to temporal Gaussian process regression
       models", MLSP 2010.
    .. [2] Solin and Sarkka, "Explicit link between periodic covariance functions and state space models", AISTATS 2014.

    Examples
    --------
    >>> from structkit.statespace import constant_sde, matern_sde
    >>> sde = constant_sde(0.5) + matern_sde(1.5, lengthscale=2.0, variance=1.0)
    >>> sde.n_states, sde.parameter_names
    (3, ('0.variance', '1.lengthscale', '1.variance'))
    >>> (2.0 * sde).parameters
    array([1., 2., 2.])
    """

    F: np.ndarray
    L: np.ndarray
    Qc: np.ndarray
    H: np.ndarray
    Pinf: np.ndarray
    form: Form | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("F", "L", "Qc", "H", "Pinf"):
            value = np.array(getattr(self, name), dtype=np.float64)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.form is None:
            _check(System(self.F, self.L, self.Qc, self.H, self.Pinf))
            object.__setattr__(self, "form", GeneralForm(System(self.F, self.L, self.Qc, self.H, self.Pinf)))

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.H)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return known_form(self).names

    @property
    def parameters(self) -> np.ndarray:
        """Values of the parameters, in the order of their names."""
        return np.array(known_form(self).values, dtype=np.float64)

    def with_parameters(self, values: np.ndarray) -> LinearSDE:
        """Return the same model with other values of its parameters.

        Parameters
        ----------
        values : array, shape ``(p,)``
            Positive values in the order of `parameter_names`.

        Returns
        -------
        sde : LinearSDE

        Raises
        ------
        ShapeError
            If the number of values is wrong.
        ValueError
            If a value is not positive and finite.

        Examples
        --------
        >>> from structkit.statespace import matern_sde
        >>> matern_sde(0.5, 1.0, 1.0).with_parameters([3.0, 2.0]).parameters
        array([3., 2.])
        """
        form = known_form(self)
        flat = np.asarray(values, dtype=np.float64)
        if flat.shape != (len(form.names),):
            raise ShapeError(
                f"values has shape {flat.shape}; expected ({len(form.names)},), one for each of {form.names}."
            )
        checked = tuple(positive(name, value) for name, value in zip(form.names, flat.tolist(), strict=True))
        return from_form(form.replaced(checked))

    def __add__(self, other: LinearSDE) -> LinearSDE:
        if not isinstance(other, LinearSDE):
            return NotImplemented
        return from_form(SumForm(_terms(self) + _terms(other)))

    def __mul__(self, other: LinearSDE | float) -> LinearSDE:
        if isinstance(other, numbers.Real):
            return from_form(known_form(self).scaled(positive("factor", float(other))))
        if not isinstance(other, LinearSDE):
            return NotImplemented
        forms = known_form(self), known_form(other)
        if not all(np.isfinite(sde.F).all() for sde in (self, other)):
            raise ValueError(
                "A product with a white process has no differential equation; it is white itself: "
                "use white_sde with the product of the variances."
            )
        return from_form(ProductForm(forms))

    def __rmul__(self, other: float) -> LinearSDE:
        return self * other


def known_form(sde: LinearSDE) -> Form:
    """Return the closed form of a model."""
    assert sde.form is not None
    return sde.form


def _terms(sde: LinearSDE) -> tuple[Form, ...]:
    """Return the terms of a sum, so that sums of sums stay flat."""
    form = known_form(sde)
    return form.parts if isinstance(form, SumForm) else (form,)


def from_form(form: Form) -> LinearSDE:
    """Return the model of a closed form."""
    return LinearSDE(*form.system(), form=form)


def positive(name: str, value: float) -> float:
    """Return a positive finite number or raise."""
    if not (isinstance(value, numbers.Real) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} = {value!r}; expected a positive finite number.")
    return float(value)


def _check(m: System) -> None:
    """Raise unless the matrices describe a stationary process."""
    s = m.H.shape[0] if m.H.ndim == 1 else 0
    if s == 0:
        raise ShapeError(f"H has shape {m.H.shape}; expected (s,) with at least one state.")
    width = m.L.shape[-1] if m.L.ndim == 2 else 0
    for name, expected in (("F", (s, s)), ("L", (s, width)), ("Qc", (width, width)), ("Pinf", (s, s))):
        if getattr(m, name).shape != expected:
            raise ShapeError(
                f"{name} has shape {getattr(m, name).shape}; expected {expected} beside H of shape ({s},)."
            )
    for name, value in m._asdict().items():
        if not np.isfinite(value).all():
            raise NotFiniteError(f"{name} holds NaN or infinity.")
    for name in ("Qc", "Pinf"):
        value = getattr(m, name)
        low = np.linalg.eigvalsh((value + value.T) / 2).min(initial=0.0)
        size = np.abs(value).max(initial=0.0)
        if np.abs(value - value.T).max(initial=0.0) > 1e-12 * size or low < -1e-12 * size:
            raise NotPositiveDefiniteError(
                f"{name} is not symmetric positive semi-definite: its smallest eigenvalue is {low:.3g}."
            )
    drift = m.F @ m.Pinf
    defect = np.abs(drift + drift.T + m.L @ m.Qc @ m.L.T).max()
    if defect > 1e-8 * max(np.abs(drift).max(), np.abs(m.L @ m.Qc @ m.L.T).max()):
        raise ValueError(
            f"F Pinf + Pinf F^T + L Qc L^T differs from zero by {defect:.3g}; Pinf must be the stationary covariance "
            "(scipy.linalg.solve_continuous_lyapunov(F, -L @ Qc @ L.T) finds it where F is stable)."
        )
