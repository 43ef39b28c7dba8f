"""Functional CP and Tucker decompositions."""

from __future__ import annotations

from structkit.tucker.base import FunctionalTensor

__all__ = ["FunctionalCP", "FunctionalTucker"]


class FunctionalCP(FunctionalTensor):
    r"""Bayesian CP decomposition of a tensor whose indexes are real numbers.

    The value at coordinates :math:`x_1, \dots, x_D` is

    .. math:: y = \mu + \sum_d g_d(x_d) + \sum_r w_r \prod_d u_{dr}(x_d) + \varepsilon

    with Gaussian processes :math:`u_{dr}`, weights :math:`w_r`, and, where they pay, main effects
    :math:`g_d`. Entries are a list; the tensor is never formed, and time and memory grow with the number of entries.

    Parameters
    ----------
    rank : int, >= 1
        Number of components. Components that the data do not support are switched off; `rank_` tells how many are left.
    kernel : str or LinearSDE, or one per mode, default "matern12"
        Prior of the functions. ``"matern12"``, ``"matern32"``, ``"matern52"``: a constant, a long Matern process one
        order smoother (5/2 at most), and a short one of that order, whose shares in each function and length-scales are
        learned: the constant keeps predictions at unseen coordinates close to the average. ``"discrete"``: unordered
        levels that share a constant. Any `structkit.statespace.LinearSDE`, in units of the coordinate, such as a
        `periodic_sde`.
    noise_var : "learn" or float, default "learn"
        Variance of the noise in squared units of `y`.
    learn_kernels : bool, default True
        Learn length-scales and amplitudes; False keeps them.
    mean : {"auto", "main-effects", "constant", "zero"}, default "auto"
        ``"main-effects"``: the constant :math:`\mu` and :math:`g_d`; ``"constant"``: the average of `y`; ``"zero"``:
        neither. ``"auto"`` tries all of them among the starts and keeps the one with the best bound.
    likelihood : {"gaussian", "student-t"}, default "gaussian"
        ``"student-t"`` resists outliers; its degrees of freedom are learned.
    max_iter : int, default 300
        Most sweeps of the final run.
    tol : float, default 1e-4
        The run ends when three sweeps in a row gain less than this per observation (in nats).
    n_starts : int, default 8
        Random starts, of which all but the best are given up in rounds of 8 sweeps and more.
    warm_start : bool, default False
        Let `fit` go on from the last posterior, with new entries and new levels.
    random_state : None, int or numpy.random.Generator
        Source of the starts.
    callback : callable, optional
        Called with a dict after each sweep; returning True ends the fit with what is there.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    core_ : array, shape ``(R,)``
        Posterior mean of the weights, in units of `y`.
    noise_var_ : float
        Variance of the noise, in squared units of `y`.
    degrees_of_freedom_ : float
        Of the noise; infinite for Gaussian noise.
    kernels_ : tuple of LinearSDE
        Learned priors, of named kernels with the range of the coordinate as the unit of time.
    lengthscales_ : list of array
        Their length-scales in units of each coordinate.
    mean_ : str
        Model of the mean.
    offset_ : float
        :math:`\mu`, in units of `y`.
    rank_ : int
        Number of components that carry more than a thousandth of the sum of squares.
    elbo_ : float
        Lower bound of the log evidence, in nats, up to constants of the priors of the kernels.
    n_iter_, converged_ : int, bool
        Sweeps of the final run, and whether they reached `tol`.
    history_ : list of dict
        Bound and noise after each sweep, with the starts.
    n_features_in_ : int
        Number of modes.

    See Also
    --------
    FunctionalTucker : weights for all combinations of functions.
    structkit.statespace : the processes behind the functions.

    Notes
    -----
    The model is that of [1]_ with main effects, learned kernels and relevance priors. Inference is variational: all
    functions of one mode are jointly Gaussian over ranks and coordinates, given by one Kalman filter and smoother;
    modes, weights and noise are independent of each other. Conditional expectation propagation of the paper has the
    same fixed points for fixed weights; here the bound is known and never falls. Sweeps are extrapolated where that
    gains more; in the end, functions that the bound can do without are switched off. Standard deviations leave out the
    dependence between modes and are somewhat too small where data are few.

    References
    ----------
    .. [1] Fang, Yu, Wang, Li, Kirby and Zhe, "Functional Bayesian Tucker decomposition for continuous-indexed tensor
       data", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.tucker import FunctionalCP
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 1, (2000, 3))
    >>> y = np.sin(6 * X[:, 0]) * np.exp(X[:, 1]) * (1 + X[:, 2]) + 0.1 * rng.standard_normal(2000)
    >>> model = FunctionalCP(2, kernel="matern32", random_state=0).fit(X, y)
    >>> mean, std = model.predict([[0.25, 0.5, 0.5]], return_std=True)
    >>> bool(abs(mean[0] - np.sin(1.5) * np.exp(0.5) * 1.5) < 3 * std[0])
    True
    """

    _superdiagonal = True


class FunctionalTucker(FunctionalTensor):
    r"""Bayesian Tucker decomposition of a tensor whose indexes are real numbers.

    The value at coordinates :math:`x_1, \dots, x_D` is

    .. math:: y = \mu + \sum_d g_d(x_d) + \sum_{a_1, \dots, a_D} w_{a_1 \dots a_D} \prod_d u_{d a_d}(x_d) + \varepsilon

    with Gaussian processes :math:`u_{da}`, a core of weights :math:`w`, and, where they pay, main
    effects :math:`g_d`. Entries are a list; the tensor is never formed.

    Parameters
    ----------
    rank : int or sequence of int, >= 1
        Number of functions of each mode. Time grows with the product of their squares.
    kernel : str or LinearSDE, or one per mode, default "matern12"
        Prior of the functions, as for `FunctionalCP`.
    noise_var : "learn" or float, default "learn"
        Variance of the noise in squared units of `y`.
    learn_kernels : bool, default True
        Learn length-scales and amplitudes; False keeps them.
    mean : {"auto", "main-effects", "constant", "zero"}, default "auto"
        Model of the mean, as for `FunctionalCP`.
    likelihood : {"gaussian", "student-t"}, default "gaussian"
        ``"student-t"`` resists outliers; its degrees of freedom are learned.
    max_iter : int, default 300
        Most sweeps of the final run.
    tol : float, default 1e-4
        The run ends when three sweeps in a row gain less than this per observation (in nats).
    n_starts : int, default 8
        Random starts, of which all but the best are given up in rounds of 8 sweeps and more.
    warm_start : bool, default False
        Let `fit` go on from the last posterior, with new entries and new levels.
    random_state : None, int or numpy.random.Generator
        Source of the starts.
    callback : callable, optional
        Called with a dict after each sweep; returning True ends the fit with what is there.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    core_ : array, shape ``(R_1, ..., R_D)``
        Posterior mean of the weights, in units of `y`.
    noise_var_ : float
        Variance of the noise, in squared units of `y`.
    degrees_of_freedom_ : float
        Of the noise; infinite for Gaussian noise.
    kernels_ : tuple of LinearSDE
        Learned priors, of named kernels with the range of the coordinate as the unit of time.
    lengthscales_ : list of array
        Their length-scales in units of each coordinate.
    mean_ : str
        Model of the mean.
    offset_ : float
        :math:`\mu`, in units of `y`.
    rank_ : tuple of int
        Number of functions of each mode that carry more than a thousandth of the sum of squares.
    elbo_ : float
        Lower bound of the log evidence, in nats, up to constants of the priors of the kernels.
    n_iter_, converged_ : int, bool
        Sweeps of the final run, and whether they reached `tol`.
    history_ : list of dict
        Bound and noise after each sweep, with the starts.
    n_features_in_ : int
        Number of modes.

    See Also
    --------
    FunctionalCP : one weight per component; cheaper, and the same for a superdiagonal core.

    Notes
    -----
    As for `FunctionalCP`; the core is updated once per sweep, exactly, from statistics of size
    :math:`\prod_d R_d (R_d + 1) / 2`. The precision of each weight is a product of one factor per mode [1]_.

    References
    ----------
    .. [1] Fang, Yu, Wang, Li, Kirby and Zhe, "Functional Bayesian Tucker decomposition for continuous-indexed tensor
       data", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.tucker import FunctionalTucker
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 1, (1000, 2))
    >>> y = np.sin(3 * (X[:, 0] + X[:, 1])) + 0.1 * rng.standard_normal(1000)
    >>> model = FunctionalTucker(2, kernel="matern32", random_state=0).fit(X, y)
    >>> bool(abs(model.predict([[0.3, 0.2]])[0] - np.sin(1.5)) < 0.1)
    True
    """

    _superdiagonal = False
