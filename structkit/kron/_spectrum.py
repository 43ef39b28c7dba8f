"""Spectra of Kronecker products plus noise: positive semi-definite factors, products kept in range by scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from structkit._backend.namespace import cast, get_namespace, is_torch, result_dtype
from structkit._core.errors import BackendMismatchError, NotPositiveDefiniteError, SingularFactorError
from structkit._core.types import Array
from structkit.kron._symmetric import check_symmetric, eigh_each, machine_eps

__all__ = ["LOG_MAX", "Spectrum", "check_noise", "check_shifted", "outer", "spectrum"]

# Largest argument whose exponential is finite in double precision.
LOG_MAX = 709.0


@dataclass(frozen=True)
class Spectrum:
    """Eigenvectors, eigenvalues over their largest, and that largest value (one if all are zero) of every factor."""

    vectors: list[Array]
    values: list[Array]
    scales: list[float]

    @property
    def log_scale(self) -> float:
        """Logarithm of the product of the scales."""
        return math.fsum(math.log(c) for c in self.scales)

    def shifted(self, noise_var: float) -> tuple[Array, float]:
        """Eigenvalues with noise, as a tensor of order one and the logarithm of its unit: neither is out of range."""
        log_noise = math.log(noise_var) if noise_var > 0 else -math.inf
        log_unit = max(self.log_scale, log_noise)
        tensor = outer(self.values) * math.exp(self.log_scale - log_unit)
        return tensor + math.exp(log_noise - log_unit), log_unit


def check_noise(noise_var: object, like: Array) -> float:
    """Return the noise variance as a float that is not negative; a torch scalar belongs beside torch arrays only."""
    if is_torch(noise_var) and not is_torch(like):
        raise BackendMismatchError(
            "noise_var is a torch scalar and the arrays are numpy arrays. Use noise_var.item(), or torch arrays."
        )
    value = float(noise_var.detach() if is_torch(noise_var) else noise_var)  # type: ignore[arg-type, attr-defined]
    if not 0 <= value < math.inf:
        raise ValueError(f"noise_var must be a finite number >= 0, a variance; got {value}.")
    return value


def spectrum(factors: Sequence[Array], operation: str, *, semidefinite: bool = True) -> Spectrum:
    """Decompose symmetric factors; with `semidefinite`, set eigenvalues in ``[-n eps max, 0]`` to 0, refuse others."""
    check_symmetric(factors, operation)
    vectors, values, scales = [], [], []
    for i, (a, (w, V)) in enumerate(zip(factors, eigh_each(factors), strict=True)):
        xp = get_namespace(a)
        largest = float(abs(w).max()) if w.shape[0] else 0.0  # type: ignore[arg-type]
        if semidefinite and w.shape[0]:
            smallest = float(w[0])
            if smallest < -w.shape[0] * machine_eps(a) * largest:
                raise NotPositiveDefiniteError(
                    f"factors[{i}] of shape {tuple(a.shape)} has the eigenvalue {smallest:.6g} (largest {largest:.6g});"
                    f" {operation} needs positive semi-definite factors. "
                    "Check the covariance function, or add a small multiple of the identity to this factor."
                )
            if smallest < 0:
                w = xp.where(w < 0, w * 0, w)  # type: ignore[operator]
        scale = largest if largest > 0 else 1.0
        vectors.append(V)
        values.append(w / scale)
        scales.append(scale)
    return Spectrum(vectors, values, scales)


def outer(values: Sequence[Array]) -> Array:
    """Outer product of vectors, shape ``(n_1, ..., n_D)``."""
    dtype = result_dtype(*values)
    result = cast(values[0], dtype)
    for v in values[1:]:
        result = result[..., None] * v
    return result


def check_shifted(shifted: Array, arrays: Sequence[Array], noise: float) -> None:
    """Raise if the smallest shifted eigenvalue is lost in rounding."""
    size = abs(shifted)  # type: ignore[var-annotated, arg-type]
    ratio = float(size.min() / size.max())
    limit = max(a.shape[-1] for a in arrays) * machine_eps(arrays[0])
    if not ratio >= limit:
        kind = NotPositiveDefiniteError if float(shifted.min()) < 0 else SingularFactorError  # type: ignore[attr-defined]
        raise kind(
            f"The sum of the Kronecker product and noise_var = {noise:.3g} is singular to working precision: "
            f"its reciprocal condition number is {ratio:.3g}, below n * eps = {limit:.3g}. Use more noise or float64."
        )
