r"""The sparse Bayesian model in the singular vectors of its factors.

With :math:`\Gamma_i = \operatorname{diag}(\gamma_i)` and the singular value decompositions
:math:`A_i \Gamma_i^{1/2} = U_i \operatorname{diag}(s_i) H_i^H`, the covariance of the data is
:math:`C = (\otimes U_i) \operatorname{diag}(D) (\otimes U_i)^H` with
:math:`D = \sigma^2 + s_1^2 \circ \dots \circ s_I^2`: everything below is sums over this tensor.
Singular values, unlike eigenvalues of :math:`A_i \Gamma_i A_i^H`, stay accurate when the noise is tiny.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from structkit._backend.namespace import get_namespace, is_torch
from structkit._backend.sbl_kernels import sbl_kernels
from structkit._core.types import Array
from structkit.kron import multi_mode_product, unfold
from structkit.kron.tensor import apply_modes

_A = TypeVar("_A", bound=Array)

__all__ = [
    "Data",
    "ModeBasis",
    "Spectral",
    "abs2",
    "compress",
    "forms",
    "is_complex",
    "mode_basis",
    "outer",
    "products",
]


def is_complex(x: Array) -> bool:
    """Whether an array is complex."""
    return x.dtype.is_complex if is_torch(x) else x.dtype.kind == "c"  # type: ignore[attr-defined]


def abs2(z: _A) -> _A:
    """Squared magnitudes, real."""
    return (z * z.conj()).real if is_complex(z) else z * z


def products(x: _A, matrices: Sequence[Array], *, skip: int | None = None, adjoint: bool = False) -> _A:
    """Products of a tensor along its leading axes with matrices that fit, one of them left out; nothing is checked."""
    if skip is None:
        return apply_modes(x, matrices, adjoint=adjoint)  # type: ignore[return-value]
    x = apply_modes(x, matrices[skip + 1 :], first=skip + 1, adjoint=adjoint)  # type: ignore[assignment]
    return apply_modes(x, matrices[:skip], adjoint=adjoint)  # type: ignore[return-value]


def outer(vectors: Sequence[_A]) -> _A:
    """Outer product of vectors, shape ``(n_1, ..., n_D)``."""
    product = vectors[0]
    for v in vectors[1:]:
        product = product[..., None] * v
    return product


class ModeBasis(NamedTuple):
    """Singular vectors and values of one ``A diag(gamma)^{1/2}``: ``(r, r)``, ``(r,)`` and ``(n, r)``."""

    left: Any
    singular: Any
    right: Any


def mode_basis(A: Array, gamma: Array) -> ModeBasis:
    """Decompose one weighted factor of full row rank or wide."""
    xp = get_namespace(A)
    U, s, Vh = xp.linalg.svd(A * xp.sqrt(gamma), full_matrices=False)
    right = Vh.conj().T
    return ModeBasis(U, s, right.resolve_conj() if is_torch(right) else right)


@dataclass(frozen=True)
class Data:
    """Measurements and factors, factors with fewer columns than rows compressed to triangular ones.

    Attributes
    ----------
    factors : list of array, shapes ``(r_i, n_i)``, ``r_i = min(m_i, n_i)``
        The factors, or the triangular factors of their QR decompositions.
    y : array, shape ``(r_1, ..., r_I, L)``
        Measurements in the bases of the ranges; snapshots last.
    lost, n_lost : float, int
        Energy and number of the measurements outside of the ranges, which only noise explains.
    """

    factors: list[Array]
    y: Array
    lost: float = 0.0
    n_lost: int = 0

    @property
    def n_snapshots(self) -> int:
        """Number of measurement tensors."""
        return self.y.shape[-1]

    @property
    def is_complex(self) -> bool:
        """Whether the measurements are complex."""
        return is_complex(self.y)

    @property
    def n_modes(self) -> int:
        """Number of factors."""
        return len(self.factors)


def compress(factors: Sequence[Array], y: Array) -> Data:
    """Replace tall factors by the triangular factors of their QR decompositions, and project `y` (..., L)."""
    xp = get_namespace(y)
    small, bases, modes = list(factors), [], []
    for i, A in enumerate(factors):
        if A.shape[1] < A.shape[0]:
            Q, small[i] = xp.linalg.qr(A)
            bases.append(Q)
            modes.append(i)
    if not modes:
        return Data(small, y)
    inside = multi_mode_product(y, bases, modes=modes, adjoint=True)
    # Not the difference of the energies: little noise would drown in its rounding.
    outside = y - multi_mode_product(inside, bases, modes=modes)
    n_lost = math.prod(y.shape) - math.prod(inside.shape)
    return Data(small, inside, float(xp.sum(abs2(outside))), n_lost)


class Spectral:
    """The model at one set of hyperparameters; modes may be changed one by one.

    Parameters
    ----------
    data : Data
        Measurements and factors.
    gammas : sequence of array, shapes ``(n_i,)``
        Prior variances, whose outer product is the variance of every coefficient.
    noise_var : float
        Noise variance.
    """

    def __init__(self, data: Data, gammas: Sequence[Array], noise_var: float) -> None:
        self.data = data
        self.gammas: list[Any] = list(gammas)
        self.noise_var = noise_var
        self.bases = [mode_basis(A, g) for A, g in zip(data.factors, gammas, strict=True)]
        self.refresh()

    def refresh(self) -> None:
        """Rotate the data afresh, without the rounding that single changes gather."""
        self.rotated = apply_modes(self.data.y, [b.left for b in self.bases], adjoint=True)

    def set_mode(self, mode: int, gamma: Array) -> None:
        """Change the prior variances of one mode."""
        basis = mode_basis(self.data.factors[mode], gamma)
        turn = basis.left.conj().T @ self.bases[mode].left
        self.rotated = apply_modes(self.rotated, [turn], first=mode)
        self.gammas[mode], self.bases[mode] = gamma, basis

    def rescale(self) -> None:
        """Bring the largest prior variance of every mode but the last to one; their product stays."""
        moved = 1.0
        for i, gamma in enumerate(self.gammas):
            c = moved if i == len(self.gammas) - 1 else 1.0 / float(gamma.max())
            moved = moved if i == len(self.gammas) - 1 else moved / c
            self.gammas[i] = gamma * c
            self.bases[i] = self.bases[i]._replace(singular=self.bases[i].singular * math.sqrt(c))

    def restore(self, gammas: Sequence[Array], noise_var: float) -> None:
        """Go back to earlier hyperparameters."""
        self.noise_var = noise_var
        for i, gamma in enumerate(gammas):
            self.set_mode(i, gamma)
        self.refresh()

    def eigenvalues(self, skip: int | None = None) -> list[Array]:
        """Squared singular values of the modes, all or all but one."""
        return [b.singular**2 for i, b in enumerate(self.bases) if i != skip]

    def denominators(self) -> Array:
        """Eigenvalues of the covariance of the data, shape ``(r_1, ..., r_I)``."""
        return outer(self.eigenvalues()) + self.noise_var

    def cost(self) -> float:
        """Logarithm of the determinant of the covariance times snapshots plus the quadratic form, no constants."""
        xp, data, noise = get_namespace(self.rotated), self.data, self.noise_var
        D = self.denominators()
        value = data.n_snapshots * float(xp.sum(xp.log(D))) + float(xp.sum(abs2(self.rotated) / D[..., None]))
        return value + (data.n_lost * math.log(noise) + data.lost / noise if data.n_lost else 0.0)

    def noise_sums(self) -> tuple[float, float]:
        """Trace of the inverse covariance times snapshots, and the squared norm of the solved data."""
        xp, data, noise = get_namespace(self.rotated), self.data, self.noise_var
        D = self.denominators()
        trace = data.n_snapshots * float(xp.sum(1 / D)) + data.n_lost / noise
        return trace, float(xp.sum(abs2(self.rotated / D[..., None]))) + data.lost / noise**2

    def mode_sums(self, mode: int) -> tuple[Array, Array]:
        """Weighted traces and quadratic forms of one mode in the basis of its singular vectors.

        Returns ``(r,)`` and ``(r, r)``: their forms in the columns of ``A^H U`` are the two parts of the gradient.
        """
        others = self.eigenvalues(mode)
        shape = self.rotated.shape
        left, right = math.prod(shape[:mode]), math.prod(shape[mode + 1 : -1])
        weights = outer(others).reshape(left, right) if others else self.bases[mode].singular[:1].reshape(1, 1) ** 0
        values = self.bases[mode].singular ** 2
        rotated = self.rotated.reshape(left, shape[mode], right, shape[-1])
        if not is_torch(rotated):
            return sbl_kernels().mode_sums(rotated, weights, values, self.noise_var)
        inverse = 1 / (weights[:, None] * values[:, None] + self.noise_var)
        traces = ((weights[:, None] * inverse).sum((0, 2))) * shape[-1]
        solved = unfold(rotated * inverse[..., None], 1)
        weighted = (solved.reshape(shape[mode], left * right, shape[-1]) * weights.reshape(-1, 1)).reshape(solved.shape)
        return traces, weighted @ solved.conj().T

    def mode_terms(self, mode: int) -> tuple[Array, Array]:
        """Prior variances times trace and quadratic part of the gradient; the cost falls where the second wins."""
        traces, gram = self.mode_sums(mode)
        basis = self.bases[mode]
        V = basis.right * basis.singular
        return abs2(V) @ traces, forms(V, gram)

    def mode_gradient(self, mode: int) -> Array:
        """Derivative of `cost` with respect to the prior variances of one mode, which may be zero."""
        traces, gram = self.mode_sums(mode)
        V = self.data.factors[mode].conj().T @ self.bases[mode].left
        return abs2(V) @ traces - forms(V, gram)

    def posterior(self) -> tuple[Array, Array]:
        """Posterior mean ``(n_1, ..., n_I, L)`` and variance ``(n_1, ..., n_I)`` of the coefficients."""
        xp = get_namespace(self.rotated)
        D = self.denominators()
        right = [b.right for b in self.bases]
        gain = outer([b.singular for b in self.bases]) / D
        gamma = outer(self.gammas)
        mean = apply_modes(self.rotated * gain[..., None], right) * xp.sqrt(gamma)[..., None]
        squares = [abs2(H) for H in right]
        # What no measurement sees; nothing, exactly, of a mode with no more columns than rows.
        seen = outer([xp.sum(s, axis=1) if s.shape[0] > s.shape[1] else xp.ones_like(s[:, 0]) for s in squares])
        left_over = xp.where(seen < 1, 1 - seen, 0 * seen)  # type: ignore[operator]
        return mean, gamma * (left_over + apply_modes(self.noise_var / D, squares))


def forms(V: Array, gram: Array) -> Array:
    """Hermitian forms ``v_j^T gram conj(v_j)`` of the rows of `V`, real."""
    xp = get_namespace(V)
    terms = (V @ gram) * V.conj()
    return xp.sum(terms.real if is_complex(V) else terms, axis=1)
