"""Models with exact transitions: Matern, constant, periodic, white, quasi-periodic."""

from __future__ import annotations

import numbers

from structkit.statespace.forms import ConstantForm, MaternForm, PeriodicForm, WhiteForm
from structkit.statespace.sde import LinearSDE, from_form, positive

__all__ = ["constant_sde", "matern_sde", "periodic_sde", "quasi_periodic_sde", "white_sde"]


def matern_sde(nu: float, lengthscale: float = 1.0, variance: float = 1.0) -> LinearSDE:
    r"""Return the Matern process of order 1/2, 3/2 or 5/2.

    Parameters
    ----------
    nu : {0.5, 1.5, 2.5}
        Order: the process has ``nu - 1/2`` derivatives. The model has ``nu + 1/2`` states.
    lengthscale : float, > 0
        :math:`\ell`, in units of time. Default 1.
    variance : float, > 0
        :math:`\kappa(0)`, in squared units of the process. Default 1.

    Returns
    -------
    sde : LinearSDE
        With parameters ``("lengthscale", "variance")``.

    Raises
    ------
    ValueError
        If the order is another one, or a parameter is not positive and finite.

    Notes
    -----
    With :math:`\lambda = \sqrt{2 \nu} / \ell` the states are :math:`f, f' / \lambda, f'' / \lambda^2`: scaled so that
    all entries of the transitions are of order one for any length-scale, and depend on :math:`\lambda \, dt` alone.

    References
    ----------
    .. [1] Hartikainen and Sarkka, MLSP 2010, section 3.1.

    Examples
    --------
    >>> matern_sde(1.5, lengthscale=2.0).Pinf
    array([[1., 0.],
           [0., 1.]])
    """
    orders = {0.5: 1, 1.5: 2, 2.5: 3}
    if nu not in orders:
        raise ValueError(f"nu = {nu!r}; expected 0.5, 1.5 or 2.5.")
    return from_form(MaternForm(orders[nu], positive("lengthscale", lengthscale), positive("variance", variance)))


def constant_sde(variance: float = 1.0) -> LinearSDE:
    """Return a random constant: one state that never changes.

    Parameters
    ----------
    variance : float, > 0
        Variance of the constant, in squared units of the process. Default 1.

    Returns
    -------
    sde : LinearSDE
        With the parameter ``("variance",)``.

    Raises
    ------
    ValueError
        If the variance is not positive and finite.

    Examples
    --------
    >>> from structkit.statespace import discretize
    >>> discretize(constant_sde(2.0), [0.0, 10.0]).Q.ravel()
    array([0., 0.])
    """
    return from_form(ConstantForm(positive("variance", variance)))


def white_sde(variance: float = 1.0) -> LinearSDE:
    """Return a process without memory: independent at different times, equal at equal times.

    It models levels that are not ordered (categories), and variation from one time to the next that is not noise of
    single observations.

    Parameters
    ----------
    variance : float, > 0
        Variance at each time, in squared units of the process. Default 1.

    Returns
    -------
    sde : LinearSDE
        With the parameter ``("variance",)``. It is the limit of a Matern process of vanishing length-scale: `F` is
        minus infinity and `Qc` infinity, while its transitions are ``A = 0``, ``Q = variance``.

    Raises
    ------
    ValueError
        If the variance is not positive and finite.

    Examples
    --------
    >>> from structkit.statespace import discretize
    >>> discretize(white_sde(2.0), [0.0, 0.1]).Q.ravel()
    array([0., 2.])
    """
    return from_form(WhiteForm(positive("variance", variance)))


def periodic_sde(
    lengthscale: float = 1.0, period: float = 1.0, variance: float = 1.0, n_harmonics: int = 7
) -> LinearSDE:
    r"""Return a periodic process: the Fourier series of the periodic kernel, without noise.

    .. math:: \kappa(d) = \sigma^2 \exp\left(-\frac{2 \sin^2(\pi d / T)}{\ell^2}\right)
              = \sigma^2 e^{-z} \Big( I_0(z) + 2 \sum_{j \ge 1} I_j(z) \cos(2 \pi j d / T) \Big), \quad z = \ell^{-2}

    Parameters
    ----------
    lengthscale : float, > 0
        :math:`\ell`, dimensionless: about the length on a circle of radius one. Default 1.
    period : float, > 0
        :math:`T`, in units of time. Default 1.
    variance : float, > 0
        :math:`\sigma^2`, in squared units of the process. Default 1.
    n_harmonics : int, >= 1
        Where the series stops. The model has ``1 + 2 n_harmonics`` states. Default 7, which leaves out less than 1e-7
        of the variance for length-scales of one and more.

    Returns
    -------
    sde : LinearSDE
        With parameters ``("period", "lengthscale", "variance")``. Its variance is that of the harmonics it keeps.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite or `n_harmonics` is not a positive integer.

    See Also
    --------
    structkit.gp.Periodic : the same kernel, complete, on grids.

    References
    ----------
    .. [1] Solin and Sarkka, "Explicit link between periodic covariance functions and state space models", AISTATS 2014.

    Examples
    --------
    >>> sde = periodic_sde(period=24.0)
    >>> sde.n_states, float(sde.H @ sde.Pinf @ sde.H.T).__round__(6)
    (15, 1.0)
    """
    if not isinstance(n_harmonics, numbers.Integral) or n_harmonics < 1:
        raise ValueError(f"n_harmonics = {n_harmonics!r}; expected a positive integer.")
    values = {"period": period, "lengthscale": lengthscale, "variance": variance}
    return from_form(PeriodicForm(int(n_harmonics), **{name: positive(name, v) for name, v in values.items()}))


def quasi_periodic_sde(
    lengthscale: float = 1.0,
    period: float = 1.0,
    variance: float = 1.0,
    *,
    decay: float = 10.0,
    nu: float = 1.5,
    n_harmonics: int = 7,
) -> LinearSDE:
    """Return a periodic process whose shape changes slowly: a periodic times a Matern process of unit variance.

    Parameters
    ----------
    lengthscale : float, > 0
        As for `periodic_sde`.
    period : float, > 0
        As for `periodic_sde`.
    variance : float, > 0
        As for `periodic_sde`.
    decay : float, > 0
        Length-scale of the Matern process, in units of time: how long a shape lasts. Default 10.
    nu : {0.5, 1.5, 2.5}
        Order of the Matern process. Default 1.5.
    n_harmonics : int, >= 1
        As for `periodic_sde`.

    Returns
    -------
    sde : LinearSDE
        With ``(1 + 2 n_harmonics) (nu + 1/2)`` states, and the parameters of both processes.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> quasi_periodic_sde(period=1.0, decay=20.0, n_harmonics=3).n_states
    14
    """
    return periodic_sde(lengthscale, period, variance, n_harmonics) * matern_sde(nu, decay)
