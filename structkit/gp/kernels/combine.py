"""Sums and products of kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Self

import numpy as np

from structkit._backend.namespace import get_namespace
from structkit._core.types import Array
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.parameters import Bounds, Parameter
from structkit.gp.kernels.spectra import Component, product
from structkit.gp.kernels.stationary import Stationary, leibniz

__all__ = ["Product", "Sum"]


class _Combination(Stationary):
    """Base of `Sum` and `Product`: hyperparameters of the terms side by side, named ``k1__...``, ``k2__...``."""

    kernels: tuple[Kernel, ...]

    def __init__(self, *kernels: Kernel) -> None:
        for k in kernels:
            if not isinstance(k, Kernel):
                raise TypeError(f"{type(self).__name__} combines kernels; got {type(k).__name__}. Use as_kernel first.")
        if len(kernels) < 1:
            raise ValueError(f"{type(self).__name__} needs at least one kernel.")
        flat = [t for k in kernels for t in (k.kernels if type(k) is type(self) else (k,))]  # type: ignore[attr-defined]
        object.__setattr__(self, "kernels", tuple(flat))

    def _children(self) -> tuple[Kernel, ...]:
        return self.kernels

    @property
    def max_order(self) -> float:
        """Highest total order of derivative blocks: that of the roughest term."""
        return min(k.max_order for k in self.kernels)

    @property
    def is_stationary(self) -> bool:
        """Whether every term is stationary."""
        return all(k.is_stationary for k in self.kernels)

    @property
    def _has_profile(self) -> bool:
        return all(k._has_profile for k in self.kernels)

    @property
    def _needs_exact_lags(self) -> bool:
        return any(getattr(k, "_needs_exact_lags", False) for k in self.kernels)

    def _with_kernels(self, kernels: Sequence[Kernel]) -> Self:
        return self._copy(kernels=tuple(kernels))

    def _entries(self) -> list[tuple[str, Parameter, float]]:
        return [(f"k{i}__{n}", s, v) for i, k in enumerate(self.kernels, 1) for n, s, v in k._entries()]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the free hyperparameters, in the order of `theta`."""
        return tuple(f"k{i}__{n}" for i, k in enumerate(self.kernels, 1) for n in k.parameter_names)

    @property
    def theta(self) -> np.ndarray:
        """Free hyperparameters of all terms, float64, shape ``(p,)``."""
        return np.concatenate([k.theta for k in self.kernels])

    @property
    def bounds(self) -> np.ndarray:
        """Lower and upper limits of `theta`, shape ``(p, 2)``."""
        return np.concatenate([k.bounds for k in self.kernels])

    def _pieces(self) -> Iterator[tuple[Kernel, slice]]:
        start = 0
        for k in self.kernels:
            stop = start + len(k.parameter_names)
            yield k, slice(start, stop)
            start = stop

    def _with_theta(self, theta: Array) -> Self:
        return self._with_kernels([k._with_theta(theta[part]) for k, part in self._pieces()])

    def log_prior(self) -> tuple[float, np.ndarray]:
        """Sum of the terms' log priors and its gradient in `theta`."""
        parts = [k.log_prior() for k in self.kernels]
        return sum(v for v, _ in parts), np.concatenate([g for _, g in parts])

    def _split(self, names: Sequence[str]) -> list[list[str] | None]:
        """Names for each term; None leaves a term alone, an empty list means all of it."""
        out: list[list[str] | None] = [None] * len(self.kernels)
        for name in names:
            head, _, rest = name.partition("__")
            index = int(head[1:]) - 1 if head[:1] == "k" and head[1:].isdigit() else -1
            if not 0 <= index < len(self.kernels):
                raise ValueError(
                    f"{type(self).__name__} has no hyperparameter {name!r}; it has k1 to k{len(self.kernels)}."
                )
            if not rest:
                out[index] = []
            elif out[index] != []:
                out[index] = [*(out[index] or []), rest]
        return out

    def _toggled(self, method: str, names: Sequence[str]) -> Self:
        parts = self._split(names) if names else [[] for _ in self.kernels]
        return self._with_kernels(
            [k if part is None else getattr(k, method)(*part) for k, part in zip(self.kernels, parts, strict=True)]
        )

    def fix(self, *names: str) -> Self:
        """Return the kernel with some hyperparameters held constant.

        Parameters
        ----------
        *names : str
            ``"k1__lengthscale"``, or ``"k1"`` for a whole term. Without names, all.

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.
        """
        return self._toggled("fix", names)

    def free(self, *names: str) -> Self:
        """Return the kernel with some hyperparameters free to be learned again.

        Parameters
        ----------
        *names : str
            Names as in `fix`. Without names, all.

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.
        """
        return self._toggled("free", names)

    def with_bounds(self, **limits: Bounds) -> Self:
        """Return the kernel with limits on hyperparameters.

        Parameters
        ----------
        **limits : tuple of two float
            ``k1__name=(low, high)``, in natural units (not logarithms).

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.
        """
        kernels = list(self.kernels)
        for name, limit in limits.items():
            part = next(i for i, p in enumerate(self._split([name])) if p is not None)
            kernels[part] = kernels[part].with_bounds(**{name.partition("__")[2]: limit})
        return self._with_kernels(kernels)

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        share = variance if variance is None else self._share(variance)
        return self._with_kernels([k._initialize(span, spacing, share) for k in self.kernels])

    def _share(self, variance: float) -> float:
        raise NotImplementedError

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the terms as ``k1``, ``k2``, ...

        Parameters
        ----------
        deep : bool, default True
            Add their parameters as ``k1__variance``.

        Returns
        -------
        params : dict
            Terms and parameters by name.
        """
        out: dict[str, object] = {f"k{i}": k for i, k in enumerate(self.kernels, 1)}
        if deep:
            for i, k in enumerate(self.kernels, 1):
                out |= {f"k{i}__{name}": value for name, value in k.get_params(deep=True).items()}
        return out

    def set_params(self, **params: object) -> Self:
        """Change terms or their hyperparameters in place and return the kernel.

        Parameters
        ----------
        **params : object
            Terms (``k1=...``) or hyperparameters (``k1__variance=...``).

        Returns
        -------
        self : Kernel
            The same kernel, changed.
        """
        kernels = [k._copy() for k in self.kernels]
        for name, value in params.items():
            part = next(i for i, p in enumerate(self._split([name])) if p is not None)
            rest = name.partition("__")[2]
            if rest:
                kernels[part].set_params(**{rest: value})
            elif isinstance(value, Kernel):
                kernels[part] = value
            else:
                raise TypeError(f"{name} must be a kernel; got {type(value).__name__}.")
        object.__setattr__(self, "kernels", tuple(kernels))
        return self

    def to_dict(self) -> dict[str, object]:
        """Return plain Python data (JSON-able) from which `from_dict` rebuilds the kernel exactly."""
        return {"kernel": type(self).__name__, "kernels": [k.to_dict() for k in self.kernels]}

    @classmethod
    def _from_dict(cls, data: Mapping[str, object]) -> Self:
        return cls(*(Kernel.from_dict(d) for d in data["kernels"]))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.kernels))})"

    def _mixed_blocks(self, x1: Array, x2: Array | None, d1: int, d2: int) -> list[list[list[Array]]]:
        """Blocks of all terms up to the orders, for terms that are not all stationary."""
        return [[[k._evaluate(x1, x2, a, b) for b in range(d2 + 1)] for a in range(d1 + 1)] for k in self.kernels]


class Sum(_Combination):
    """Sum of kernels: independent processes added.

    Parameters
    ----------
    *kernels : Kernel
        Terms; sums among them are flattened. ``k1 + k2`` is the same.

    Examples
    --------
    >>> from structkit.gp import Periodic, SquaredExponential
    >>> k = SquaredExponential(lengthscale=5.0) + 0.5 * Periodic()
    >>> k.parameter_names
    ('k1__lengthscale', 'k1__variance', 'k2__lengthscale', 'k2__period', 'k2__variance')
    """

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        parts = [k._derivatives(tau, order) for k in self.kernels]  # type: ignore[attr-defined]
        return [reduce(lambda a, b: a + b, terms) for terms in zip(*parts, strict=True)]

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        return [g for k in self.kernels for g in k._gradients(tau, order)]  # type: ignore[attr-defined]

    def _evaluate(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        if self._has_profile:
            return super()._evaluate(x1, x2, d1, d2)
        return reduce(lambda a, b: a + b, [k._evaluate(x1, x2, d1, d2) for k in self.kernels])

    def _diagonal(self, x: Array, order: int) -> Array:
        return reduce(lambda a, b: a + b, [k._diagonal(x, order) for k in self.kernels])

    def _jacobian(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        if self._has_profile:
            return super()._jacobian(x1, x2, d1, d2)
        return get_namespace(x1).concat([k._jacobian(x1, x2, d1, d2) for k in self.kernels])

    def _contract(self, x1: Array, x2: Array | None, G: Array, d1: int, d2: int) -> Array:
        return get_namespace(x1).concat([k._contract(x1, x2, G, d1, d2) for k in self.kernels])

    def _components(self) -> list[Component]:
        return [c for k in self.kernels for c in k._components()]

    def _scaled_by(self, factor: float) -> Kernel:
        return self._with_kernels([k._scaled_by(factor) for k in self.kernels])

    def _share(self, variance: float) -> float:
        return variance / len(self.kernels)


class Product(_Combination):
    """Product of kernels: a signal modulated by another.

    Parameters
    ----------
    *kernels : Kernel
        Factors; products among them are flattened. ``k1 * k2`` is the same.

    Notes
    -----
    The variances of the factors only matter as a product; fix all but one of them before learning.

    Examples
    --------
    >>> from structkit.gp import Periodic, SquaredExponential
    >>> k = SquaredExponential(lengthscale=5.0) * Periodic().fix("variance")
    >>> k([0.0], [0.5, 1.0]).round(4)
    array([[0.1347, 0.9802]])
    """

    def _derivatives(self, tau: Array, order: int) -> list[Array]:
        parts = [k._derivatives(tau, order) for k in self.kernels]  # type: ignore[attr-defined]
        return reduce(lambda f, g: [leibniz(f, g, m) for m in range(order + 1)], parts)

    def _gradients(self, tau: Array, order: int) -> list[list[Array]]:
        parts = [k._derivatives(tau, order) for k in self.kernels]  # type: ignore[attr-defined]
        out = []
        for i, k in enumerate(self.kernels):
            rest = [p for j, p in enumerate(parts) if j != i]
            for g in k._gradients(tau, order):  # type: ignore[attr-defined]
                out.append(reduce(lambda f, h: [leibniz(f, h, m) for m in range(order + 1)], rest, g))
        return out

    def _evaluate(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        if self._has_profile:
            return super()._evaluate(x1, x2, d1, d2)
        return reduce(_product_blocks, self._mixed_blocks(x1, x2, d1, d2))[d1][d2]

    def _diagonal(self, x: Array, order: int) -> Array:
        if self._has_profile:
            return super()._diagonal(x, order)
        if order:
            raise ValueError(
                "The variance of derivatives of a product with a kernel that is not stationary is not available."
            )
        return reduce(lambda a, b: a * b, [k._diagonal(x, 0) for k in self.kernels])

    def _jacobian(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        if self._has_profile:
            return super()._jacobian(x1, x2, d1, d2)
        if d1 or d2:
            raise ValueError(
                "Gradients of derivative blocks of a product with a kernel that is not stationary are not available."
            )
        K = [k._evaluate(x1, x2, 0, 0) for k in self.kernels]
        parts = []
        for i, k in enumerate(self.kernels):
            parts.append(reduce(lambda a, b: a * b, [m for j, m in enumerate(K) if j != i], k._jacobian(x1, x2, 0, 0)))
        return get_namespace(x1).concat(parts)

    def _contract(self, x1: Array, x2: Array | None, G: Array, d1: int, d2: int) -> Array:
        if self._has_profile:
            return super()._contract(x1, x2, G, d1, d2)
        if d1 or d2:
            raise ValueError(
                "Gradients of derivative blocks of a product with a kernel that is not stationary are not available."
            )
        K = [k._evaluate(x1, x2, 0, 0) for k in self.kernels]
        parts = []
        for i, k in enumerate(self.kernels):
            weights = reduce(lambda a, b: a * b, [m for j, m in enumerate(K) if j != i], G)
            parts.append(k._contract(x1, x2, weights, 0, 0))
        return get_namespace(x1).concat(parts)

    def _components(self) -> list[Component]:
        return reduce(lambda a, b: product(a, b, repr(self)), [k._components() for k in self.kernels])

    def _scaled_by(self, factor: float) -> Kernel:
        return self._with_kernels([self.kernels[0]._scaled_by(factor), *self.kernels[1:]])

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        first, *rest = self.kernels
        return self._with_kernels(
            [first._initialize(span, spacing, variance), *(k._initialize(span, spacing, None) for k in rest)]
        )

    def _share(self, variance: float) -> float:
        return variance


def _product_blocks(F: list[list[Array]], H: list[list[Array]]) -> list[list[Array]]:
    """All blocks of a product from those of its factors: Leibniz in both arguments."""

    def block(a: int, b: int) -> Array:
        terms = [
            math.comb(a, i) * math.comb(b, j) * (F[i][j] * H[a - i][b - j]) for i in range(a + 1) for j in range(b + 1)
        ]
        return reduce(lambda p, q: p + q, terms)

    return [[block(a, b) for b in range(len(F[0]))] for a in range(len(F))]
