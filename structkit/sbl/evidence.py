r"""Evidence and posterior of a Kronecker-structured sparse Bayesian model at given hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from structkit._backend.namespace import as_array, backend_name, cast, get_namespace
from structkit._core.errors import ShapeError
from structkit._core.types import Array
from structkit._core.validation import check_memory
from structkit.sbl.problem import check_input
from structkit.sbl.spectral import Spectral, compress

__all__ = ["SBLEvidence", "SBLGradient", "SBLPosterior", "sbl_evidence", "sbl_posterior"]


@dataclass(frozen=True)
class SBLGradient:
    """Gradient of the log evidence of a sparse Bayesian model.

    Attributes
    ----------
    gammas : list of array, shapes ``(n_i,)``
        Derivative with respect to the prior variances of each mode.
    noise_var : float
        Derivative with respect to the noise variance.
    """

    gammas: list[Array]
    noise_var: float


@dataclass(frozen=True)
class SBLEvidence:
    """Result of `sbl_evidence`.

    Attributes
    ----------
    value : float
        Log density of the measurements, natural logarithm, constants included.
    grad : SBLGradient or None
        Gradient, if it was asked for.
    """

    value: float
    grad: SBLGradient | None


class SBLPosterior(NamedTuple):
    """Posterior of all coefficients.

    Attributes
    ----------
    mean : array, shape ``(n_1, ..., n_I)``, with snapshots ``(n_1, ..., n_I, L)``
        Posterior mean.
    variance : array, shape ``(n_1, ..., n_I)``
        Posterior variance, the same for every snapshot.
    """

    mean: Array
    variance: Array


def sbl_evidence(
    factors: Sequence[Array], gammas: Sequence[Array], y: Array, noise_var: float, *, grad: bool = False
) -> SBLEvidence:
    r"""Compute the log evidence of a Kronecker-structured sparse Bayesian model.

    The model is :math:`y = (A_1 \otimes \dots \otimes A_I) x + n` with :math:`x \sim N(0, \operatorname{diag}(\gamma_1
    \otimes \dots \otimes \gamma_I))` and :math:`n \sim N(0, \sigma^2 I)`, so that
    :math:`y \sim N(0, C)`, :math:`C = \bigotimes_i A_i \Gamma_i A_i^H + \sigma^2 I`. It takes
    :math:`O(\sum_i n_i m_i^2 + M \sum_i m_i)` time for :math:`M = \prod_i m_i` measurements; nothing of the size of the
    coefficients is formed.

    Parameters
    ----------
    factors : sequence of array, shapes ``(m_i, n_i)``
        Dictionaries, real or complex; numpy or torch.
    gammas : sequence of array, shapes ``(n_i,)``
        Prior variances of each mode, >= 0.
    y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
        Measurements; snapshots are independent and share the prior. Complex ones are circularly symmetric.
    noise_var : float, > 0
        Noise variance, in squared units of `y`.
    grad : bool, default False
        Also return the gradient.

    Returns
    -------
    SBLEvidence
        `value` and `grad`; computed in double precision.

    Raises
    ------
    ShapeError
        If shapes disagree.
    ValueError
        If a prior variance is negative, the noise variance is not positive, or something is not finite.

    See Also
    --------
    sbl_posterior : the coefficients.
    structkit.kron.gaussian_evidence : the same for given covariance matrices of the modes.

    Notes
    -----
    With :math:`D = \sigma^2 + s_1^2 \circ \dots \circ s_I^2` from the singular values of
    :math:`A_i \Gamma_i^{1/2} = U_i \operatorname{diag}(s_i) H_i^H` and :math:`W = (\otimes U_i^H y) / D`, the gradient
    with respect to :math:`\gamma_i[j]` is :math:`-\tfrac12 (\mathrm{tr}_i[j] - \mathrm{quad}_i[j])`, weighted sums over
    the slices of :math:`1 / D` and of :math:`|W|^2` along mode `i`.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import sbl_evidence
    >>> result = sbl_evidence([np.eye(2), np.eye(3)], [np.ones(2), np.ones(3)], np.zeros(6), 1.0, grad=True)
    >>> round(result.value, 4), result.grad.noise_var
    (-7.5931, -1.5)
    """
    model = _model(factors, gammas, y, noise_var)[0]
    data = model.data
    half, constant = (1.0, math.log(math.pi)) if data.is_complex else (0.5, math.log(2 * math.pi))
    count = math.prod(data.y.shape) + data.n_lost
    value = -half * (model.cost() + count * constant)
    if not grad:
        return SBLEvidence(value, None)
    trace, power = model.noise_sums()
    bars = [-half * model.mode_gradient(i) for i in range(data.n_modes)]
    return SBLEvidence(value, SBLGradient(bars, -half * (trace - power)))


def sbl_posterior(factors: Sequence[Array], gammas: Sequence[Array], y: Array, noise_var: float) -> SBLPosterior:
    r"""Compute posterior mean and variance of all coefficients of a Kronecker-structured sparse Bayesian model.

    Parameters
    ----------
    factors : sequence of array, shapes ``(m_i, n_i)``
        Dictionaries, real or complex; numpy or torch.
    gammas : sequence of array, shapes ``(n_i,)``
        Prior variances of each mode, >= 0.
    y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
        Measurements.
    noise_var : float, > 0
        Noise variance, in squared units of `y`.

    Returns
    -------
    mean : array, shape ``(n_1, ..., n_I)``, with snapshots ``(n_1, ..., n_I, L)``
        Posterior mean.
    variance : array, shape ``(n_1, ..., n_I)``
        Posterior variance, the same for every snapshot.

    Raises
    ------
    SizeError
        If the coefficients do not fit in memory. `KroneckerSBL` forms those of the support alone.
    ShapeError
        If shapes disagree.
    ValueError
        If a prior variance is negative, the noise variance is not positive, or something is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import sbl_posterior
    >>> mean, variance = sbl_posterior([np.eye(2)], [np.array([1.0, 0.0])], np.array([2.0, 2.0]), 1.0)
    >>> mean, variance
    (array([1., 0.]), array([0.5, 0. ]))
    """
    model, snapshots = _model(factors, gammas, y, noise_var)
    count = math.prod(a.shape[1] for a in model.data.factors) * (model.data.n_snapshots + 2)
    check_memory(count * 16, "The posterior of all coefficients")
    mean, variance = model.posterior()
    return SBLPosterior(mean if snapshots else mean[..., 0], variance)


def _model(factors: Sequence[Array], gammas: Sequence[Array], y: Array, noise_var: float) -> tuple[Spectral, bool]:
    """Check everything and decompose; also whether `y` has snapshots."""
    given = check_input(factors, y)
    if not 0 < noise_var < math.inf:
        raise ValueError(f"noise_var={noise_var!r}; expected a finite number > 0, a variance.")
    if len(gammas) != len(given.factors):
        raise ShapeError(
            f"{len(gammas)} vectors of prior variances for {len(given.factors)} factors; expected one each."
        )
    variances = []
    for i, (g, A) in enumerate(zip(gammas, given.factors, strict=True)):
        gamma = as_array(g, f"gammas[{i}]")
        if tuple(gamma.shape) != (A.shape[1],):
            raise ShapeError(f"gammas[{i}] has shape {tuple(gamma.shape)}; factors[{i}] has {A.shape[1]} columns.")
        if not bool(((gamma >= 0) & (gamma < math.inf)).all()):  # type: ignore[operator, attr-defined]
            raise ValueError(f"gammas[{i}] holds a negative or infinite number; prior variances are finite and >= 0.")
        variances.append(cast(gamma, get_namespace(A).float64))
    backend_name(given.y, *variances)
    return Spectral(compress(given.factors, given.y), variances, float(noise_var)), given.snapshots
