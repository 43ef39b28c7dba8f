r"""Log density of Gaussian data whose covariance is a Kronecker product plus noise, with its exact gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from structkit._backend.namespace import as_array, backend_name, cast, device_of, get_namespace, is_torch, result_dtype
from structkit._core.errors import NotFiniteError, NotPositiveDefiniteError, ShapeError
from structkit._core.types import Array
from structkit.kron._spectrum import Spectrum, check_noise, check_shifted, outer, spectrum
from structkit.kron._symmetric import is_complex, machine_eps, square_factors
from structkit.kron.solvers import eigen_solve
from structkit.kron.tensor import apply_modes

__all__ = ["Evidence", "EvidenceGradient", "gaussian_evidence"]


@dataclass(frozen=True)
class EvidenceGradient:
    """Gradient of a log evidence.

    Attributes
    ----------
    factors : list of array, shapes ``(n_d, n_d)``
        Derivative with respect to each factor, symmetric (Hermitian): a change ``dA`` of factor ``d`` that keeps it
        symmetric changes the value by ``sum(factors[d] * dA)`` (by the real part of it, conjugated, if complex).
    noise_var : float (torch: scalar tensor)
        Derivative with respect to the noise variance.
    y : array, shape of `y`
        Derivative with respect to the data.
    """

    factors: list[Array]
    noise_var: float
    y: Array


@dataclass(frozen=True)
class Evidence:
    """Result of `gaussian_evidence`.

    Attributes
    ----------
    value : float (torch: scalar tensor that carries gradients)
        Log density, natural logarithm, constants included.
    grad : EvidenceGradient or None
        Gradient, if it was asked for.
    """

    value: float
    grad: EvidenceGradient | None


def gaussian_evidence(factors: Sequence[Array], y: Array, noise_var: float, *, grad: bool = False) -> Evidence:
    r"""Compute the log density of Gaussian data with Kronecker covariance plus noise.

    With :math:`C = K_1 \otimes \dots \otimes K_D + \sigma^2 I` it is
    :math:`\log \mathcal{N}(y; 0, C) = -\tfrac12 (y^T C^{-1} y + \log|C| + N \log 2\pi)`, in
    :math:`O(\sum_d n_d^3 + N \sum_d n_d)` time. Nothing of size :math:`N \times N` is formed.

    Parameters
    ----------
    factors : sequence of array, shapes ``(n_d, n_d)``
        Symmetric positive semi-definite covariance of each axis, first axis slowest; numpy or torch.
    y : array, shape ``(N,)`` or ``(n_1, ..., n_D)``
        Data without their mean, complete (no NaN). Complex data count as circularly symmetric:
        :math:`-(y^H C^{-1} y + \log|C| + N \log \pi)`.
    noise_var : float, >= 0
        Noise variance :math:`\sigma^2`, in squared units of `y`. A torch scalar carries gradients.
    grad : bool, default False
        Also return the gradient with respect to every factor, the noise variance and the data, for about twice the
        time.

    Returns
    -------
    Evidence
        `value` and `grad`. With torch, `value` is twice differentiable whether or not `grad` is set.

    Raises
    ------
    ShapeError
        If a factor is not square or `y` does not fit.
    NotSymmetricError
        If a factor is not symmetric; names it.
    NotPositiveDefiniteError
        If a factor has an eigenvalue below ``-n_d eps`` times its largest (those between that and 0 count as 0), or if
        :math:`C` is singular to working precision.

    See Also
    --------
    kron_solve : the solve alone.

    Notes
    -----
    With :math:`K_d = V_d \operatorname{diag}(w_d) V_d^T`, :math:`\Lambda = w_1 \otimes \dots \otimes w_D + \sigma^2`,
    :math:`q = \Lambda^{-1} V^T y` and :math:`P_d = \bigotimes_{e \ne d} w_e`, the gradient is

    .. math::

        \partial / \partial K_d = -\tfrac12 V_d \left[ \operatorname{diag}(\operatorname{rowsum}(P_d / \Lambda)_{(d)})
        - (P_d \circ q_{(d)}) q_{(d)}^T \right] V_d^T, \qquad
        \partial / \partial \sigma^2 = -\tfrac12 \left( \sum 1 / \Lambda - \sum q^2 \right), \qquad
        \partial / \partial y = -V q.

    Eigenvectors are never differentiated, so repeated eigenvalues do no harm. Products of eigenvalues are kept in range
    by scaling every factor.

    Examples
    --------
    >>> import numpy as np
    >>> result = gaussian_evidence([np.eye(2), np.eye(3)], np.zeros(6), 1.0, grad=True)
    >>> round(result.value, 4)
    -7.5931
    >>> result.grad.noise_var
    -1.5
    """
    arrays = square_factors(factors, "gaussian_evidence")
    data = as_array(y, "y")
    backend_name(data, *arrays)
    _check_shapes(arrays, data)
    noise = check_noise(noise_var, data)
    dtype = result_dtype(data, *arrays)
    arrays, data = [cast(a, dtype) for a in arrays], cast(data, dtype)
    if is_torch(data):
        from structkit._backend import torch_evidence

        return torch_evidence.evidence(_compute, _solve, arrays, data, noise_var, grad)
    return _compute(arrays, data, noise, grad)


def _solve(arrays: Sequence[Array], y: Array, noise: float) -> Array:
    """Solve with the covariance."""
    return eigen_solve(arrays, y, noise, "pos")


def _check_shapes(arrays: Sequence[Array], y: Array) -> None:
    """Raise unless the factors are matrices and `y` is flat or a tensor of their sizes."""
    for i, a in enumerate(arrays):
        if a.ndim != 2:
            raise ShapeError(f"factors[{i}] has shape {tuple(a.shape)}; gaussian_evidence takes one matrix per axis.")
    sizes = tuple(a.shape[-1] for a in arrays)
    if tuple(y.shape) not in (sizes, (math.prod(sizes),)):
        raise ShapeError(f"y has shape {tuple(y.shape)}; expected {sizes} or ({math.prod(sizes)},).")


def _compute(arrays: Sequence[Array], y: Array, noise: float, grad: bool) -> Evidence:
    """Value and gradient for checked arrays of one dtype."""
    spec = spectrum(arrays, "gaussian_evidence")
    sizes = [a.shape[0] for a in arrays]
    count = math.prod(sizes)
    complex_data = is_complex(y)
    half, log_two_pi = (1.0, math.log(math.pi)) if complex_data else (0.5, math.log(2 * math.pi))
    tensor, log_unit = spec.shifted(noise)
    if count:
        _check_definite(spec, tensor, arrays, noise)
    xp = get_namespace(y)
    z = apply_modes(y.reshape(*sizes), spec.vectors, adjoint=True)
    unit = math.exp(min(max(log_unit, -700.0), 700.0))
    q = z / (tensor * unit)
    quadratic = float(xp.sum((z.conj() * q).real if complex_data else z * q, dtype=xp.float64))
    value = -half * (quadratic + _logdet(spec, tensor, log_unit, noise, xp) + count * log_two_pi)
    if not math.isfinite(quadratic):
        raise NotFiniteError(
            "y contains NaN or infinity, or its scale over noise_var overflows. Mask missing data first."
        )
    if not grad:
        return Evidence(value, None)
    inverse = 1 / tensor
    power = float(xp.sum((q * q.conj()).real if complex_data else q * q, dtype=xp.float64))
    noise_bar = -half * (float(xp.sum(inverse, dtype=xp.float64)) / unit - power)
    y_bar = (-2 * half) * apply_modes(q, spec.vectors)
    factor_bars = [_factor_gradient(spec, d, inverse, q, log_unit, half) for d in range(len(sizes))]
    return Evidence(value, EvidenceGradient(factor_bars, noise_bar, y_bar.reshape(tuple(y.shape))))


def _check_definite(spec: Spectrum, tensor: Array, arrays: Sequence[Array], noise: float) -> None:
    """Raise unless the covariance is positive definite to working precision."""
    if noise > 0:
        check_shifted(tensor, arrays, noise)
        return
    for i, (w, a) in enumerate(zip(spec.values, arrays, strict=True)):
        if not float(w.min()) >= a.shape[0] * machine_eps(a):  # type: ignore[attr-defined]
            raise NotPositiveDefiniteError(
                f"factors[{i}] of shape {tuple(a.shape)} is singular to working precision and noise_var is 0, so the "
                "data have no density. Give a positive noise_var."
            )


def _logdet(spec: Spectrum, tensor: Array, log_unit: float, noise: float, xp: ModuleType) -> float:
    """Logarithm of the determinant of the covariance."""
    count = math.prod(tensor.shape)
    if noise > 0:
        return float(xp.sum(xp.log(tensor), dtype=xp.float64)) + count * log_unit
    terms = [count * spec.log_scale]
    terms += [count / w.shape[0] * float(xp.sum(xp.log(w), dtype=xp.float64)) for w in spec.values if w.shape[0]]  # type: ignore[attr-defined]
    return math.fsum(terms) if count else 0.0


def _factor_gradient(spec: Spectrum, d: int, inverse: Array, q: Array, log_unit: float, half: float) -> Array:
    """Gradient with respect to factor `d`; `inverse` is in units of ``exp(-log_unit)``."""
    others = [w for e, w in enumerate(spec.values) if e != d]
    log_others = spec.log_scale - math.log(spec.scales[d])
    n = inverse.shape[d]
    xp = get_namespace(q)
    rest = math.prod(inverse.shape[:d]) * math.prod(inverse.shape[d + 1 :])
    rows = xp.moveaxis(inverse, d, 0).reshape(n, rest)
    columns = xp.moveaxis(q, d, 0).reshape(n, rest)
    weights = outer(others).reshape(-1) if others else xp.ones_like(inverse[:1])
    trace = (rows @ weights) * math.exp(log_others - log_unit)
    fit = (columns * weights) @ columns.conj().T * math.exp(min(log_others, 700.0))
    V = spec.vectors[d]
    return -half * (V @ (xp.eye(n, dtype=V.dtype, device=device_of(V)) * trace - fit) @ V.conj().T)
