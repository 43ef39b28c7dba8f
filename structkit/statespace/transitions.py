"""From differential equations to steps: exact transitions, their noise, and derivatives in the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import as_array, is_torch
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array
from structkit.statespace.sde import LinearSDE, known_form

__all__ = ["Transitions", "discretize", "parameter_gradient"]

# Steps whose derivatives are formed at once: a few hundred kilobytes per parameter of a small model.
_CHUNK = 2**14


@dataclass(frozen=True)
class Transitions:
    """Exact transitions ``x(t + dt) = A x(t) + N(0, Q)`` of a model.

    Attributes
    ----------
    A, Q : array, shape ``(..., s, s)``
        Transition and covariance of its noise, per step.
    Pinf : array, shape ``(s, s)``
        Stationary covariance.
    H : array, shape ``(s,)``
        Output.
    dA, dQ : array, shape ``(p, ..., s, s)``, or None
        Derivatives in the logarithms of the parameters, with ``grad=True``.
    dPinf : array, shape ``(p, s, s)``, or None
        The same of the stationary covariance.
    """

    A: Array
    Q: Array
    Pinf: Array
    H: Array
    dA: Array | None = None
    dQ: Array | None = None
    dPinf: Array | None = None


def check_model(sde: object) -> LinearSDE:
    """Return a model or raise TypeError."""
    if not isinstance(sde, LinearSDE):
        raise TypeError(f"sde is {type(sde).__name__}; expected a LinearSDE such as matern_sde(1.5, lengthscale=1.0).")
    return sde


def discretize(sde: LinearSDE, dt: Array, *, grad: bool = False) -> Transitions:
    r"""Return the exact transition and its noise for each step.

    .. math:: A = e^{F \, dt}, \qquad Q = \int_0^{dt} e^{F u} L Q_c L^T e^{F^T u} du = P_\infty - A P_\infty A^T

    to full relative accuracy for steps from far below to far above the time scale of the model: never by the
    difference, which for a Matern process of order 5/2 has no correct digit once a step is below a thousandth of the
    length-scale.

    Parameters
    ----------
    sde : LinearSDE
        The model.
    dt : array, any shape, >= 0
        Steps, in units of time. A step of zero gives ``A = I``, ``Q = 0``.
    grad : bool
        Also return derivatives in the logarithms of the parameters. Default False.

    Returns
    -------
    transitions : Transitions
        Arrays of shape ``dt.shape + (s, s)`` in the dtype of `dt` (float64 for integers and lists).

    Raises
    ------
    TypeError
        If `sde` is not a model, or `dt` is a torch tensor.
    ValueError
        If a step is negative.
    NotFiniteError
        If a step is NaN or infinite.

    See Also
    --------
    parameter_gradient : the derivative of a scalar, without storing those of every step.

    References
    ----------
    .. [1] Sarkka and Solin, "Applied Stochastic Differential Equations", Cambridge 2019, section 6.3.

    Examples
    --------
    >>> from structkit.statespace import matern_sde
    >>> discretize(matern_sde(0.5), [0.0, 1e-9]).Q.ravel()
    array([0.e+00, 2.e-09])
    """
    form = known_form(check_model(sde))
    steps = _check_steps(dt)
    flat = steps.astype(np.float64).reshape(-1)
    parts = list(form.transitions(flat))
    if grad:
        parts += form.derivatives(flat)
    s = sde.n_states
    shaped = [x.reshape(*x.shape[:-3], *steps.shape, s, s).astype(steps.dtype, copy=False) for x in parts]
    prior, output = sde.Pinf.astype(steps.dtype), sde.H.astype(steps.dtype)
    if not grad:
        return Transitions(shaped[0], shaped[1], prior, output)
    d_prior = form.prior_derivatives().astype(steps.dtype, copy=False)
    return Transitions(shaped[0], shaped[1], prior, output, shaped[2], shaped[3], d_prior)


def _check_steps(dt: Array) -> np.ndarray:
    """Return checked steps as a floating-point array."""
    if is_torch(dt):
        raise TypeError(
            "dt is a torch tensor; transitions are formed in numpy. Pass dt.numpy(), and convert the result."
        )
    steps = np.asarray(as_array(dt, "dt"))
    if steps.dtype.kind == "c":
        raise TypeError(f"dt has dtype {steps.dtype}; expected real numbers.")
    if not np.isfinite(steps).all():
        raise NotFiniteError("dt holds NaN or infinity.")
    if (steps < 0).any():
        raise ValueError(f"dt has the negative entry {steps.min()}; sort the times first.")
    return steps


def parameter_gradient(
    sde: LinearSDE, dt: Array, grad_a: np.ndarray, grad_q: np.ndarray, grad_prior: np.ndarray
) -> np.ndarray:
    """Return the derivative of a scalar in the logarithms of the parameters of a model.

    Parameters
    ----------
    sde : LinearSDE
        The model.
    dt : array, shape ``(T,)``
        Steps, in units of time.
    grad_a, grad_q : array, shape ``(T, s, s)``
        Derivatives of the scalar in the entries of ``A`` and ``Q`` of each step, all entries counted as free.
    grad_prior : array, shape ``(s, s)``
        Derivative in the stationary covariance where it stands by itself, as the prior of the first state.

    Returns
    -------
    gradient : array, shape ``(p,)``
        In the order of ``sde.parameter_names``.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.statespace import matern_sde
    >>> one, zero = np.ones((1, 1, 1)), np.zeros((1, 1))
    >>> parameter_gradient(matern_sde(0.5), [1.0], one, 0 * one, zero).round(4)  # A = exp(-dt / lengthscale)
    array([0.3679, 0.    ])
    """
    form, steps, s = known_form(check_model(sde)), _check_steps(dt), sde.n_states
    for name, x, shape in (
        ("grad_a", grad_a, (*steps.shape, s, s)),
        ("grad_q", grad_q, (*steps.shape, s, s)),
        ("grad_prior", grad_prior, (s, s)),
    ):
        if steps.ndim != 1 or x.shape != shape:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}; expected {shape} for dt of shape {steps.shape}.")
    total = np.einsum("pkl,kl->p", form.prior_derivatives(), grad_prior)
    for start in range(0, len(steps), _CHUNK):
        part = slice(start, start + _CHUNK)
        total += form.pulled_back(steps[part].astype(np.float64), grad_a[part], grad_q[part])
    return total
