"""What is known of a solution as rows on product features: blocks of equations that share a noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from structkit.pde.features import AxisFeatures, axis_features, lengthscale_slope

__all__ = ["Block", "Design", "RowTerm"]


@dataclass(frozen=True)
class RowTerm:
    """A derivative at points, times a coefficient and parameters.

    Attributes
    ----------
    points : array, shape ``(n, D)``
        Where it is taken.
    orders : tuple of (int, int)
        Axis and order of each derivative.
    coefficient : float or array, shape ``(n,)``
        What multiplies it.
    parameters : tuple of str
        Names of the parameters that multiply it.
    """

    points: np.ndarray
    orders: tuple[tuple[int, int], ...] = ()
    coefficient: float | np.ndarray = 1.0
    parameters: tuple[str, ...] = ()

    def factor(self, values: Mapping[str, float]) -> float | np.ndarray:
        """Coefficient with values for the parameters."""
        return self.coefficient * math.prod(values[name] for name in self.parameters)

    def slope(self, values: Mapping[str, float], name: str) -> float | np.ndarray | None:
        """Derivative of the factor with respect to one parameter; None if it does not depend on it."""
        count = self.parameters.count(name)
        if not count:
            return None
        rest = [n for n in self.parameters if n != name]
        power = count * values[name] ** (count - 1)
        return self.coefficient * power * math.prod(values[n] for n in rest)


@dataclass(frozen=True)
class Block:
    """Equations ``sum of terms = values + noise``.

    Attributes
    ----------
    terms : sequence of RowTerm
        Left-hand side.
    values : array, shape ``(n,)``
        Right-hand side.
    scale : array, shape ``(n,)``
        Standard deviation of the noise; relative to a common one where `noise` has a name.
    noise : str, optional
        Name of the noise that is learned. Default: the standard deviations are `scale`.
    exact : bool
        Whether the equations hold but for rounding; the evidence is then of the other data given these.
    """

    terms: Sequence[RowTerm]
    values: np.ndarray
    scale: np.ndarray
    noise: str | None = None
    exact: bool = False


@dataclass(frozen=True)
class Design:
    """Products of the features of the axes whose prior variance is not negligible.

    Attributes
    ----------
    features : tuple of AxisFeatures
        Features of each axis, with weights of one.
    columns : tuple of array, shapes ``(p,)``
        Feature of each axis in each product.
    """

    features: tuple[AxisFeatures, ...]
    columns: tuple[np.ndarray, ...]
    _cache: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        domain: Sequence[tuple[float, float]],
        frequencies: Sequence[np.ndarray],
        ratios: Sequence[float],
        cutoff: float,
    ) -> Design:
        """Products above `cutoff` times the largest prior variance, for length-scales over the lengths of the axes."""
        features = tuple(
            axis_features(a, b, r * (b - a), f, cutoff=cutoff)
            for (a, b), f, r in zip(domain, frequencies, ratios, strict=True)
        )
        sizes = np.ones(())
        for f in features:
            variance = np.sum(f.modes**2 / (np.arange(len(f.modes)) + 0.5)[:, None], axis=0)
            copies = f.n_features // f.modes.shape[1]
            sizes = np.multiply.outer(sizes, np.tile(variance / variance[0], copies))
        return cls(features, tuple(np.nonzero(sizes > cutoff)))

    @property
    def size(self) -> int:
        """Number of products."""
        return len(self.columns[0])

    @property
    def groups(self) -> tuple[np.ndarray, ...]:
        """Carrier of each axis in each product, shapes ``(p,)``."""
        return tuple(f.groups[c] for f, c in zip(self.features, self.columns, strict=True))

    def products(self, points: np.ndarray, orders: Mapping[int, int], slope: int | None = None) -> np.ndarray:
        """A derivative of the products at points, shape ``(n, p)``.

        With `slope`, the derivative with respect to the logarithm of the length-scale of that axis.
        """
        return self._kept(
            points, (slope, *sorted(orders.items())), lambda: self._multiplied(points, orders, slope), slope is None
        )

    def rows(self, block: Block, values: Mapping[str, float], slope: int | None = None) -> np.ndarray:
        """Left-hand side of a block on the products, shape ``(n, p)``."""
        return self._sum(block, [t.factor(values) for t in block.terms], slope)

    def parameter_rows(self, block: Block, values: Mapping[str, float], name: str) -> np.ndarray | None:
        """Derivative of the rows with respect to a parameter; None if they do not depend on it."""
        factors = [t.slope(values, name) for t in block.terms]
        return None if all(f is None for f in factors) else self._sum(block, factors, None)

    def _sum(self, block: Block, factors: Sequence[float | np.ndarray | None], slope: int | None) -> np.ndarray:
        out = np.zeros((len(block.values), self.size))
        for term, factor in zip(block.terms, factors, strict=True):
            if factor is not None:
                out += np.reshape(factor, (-1, 1)) * self.products(term.points, dict(term.orders), slope)
        return out

    def _multiplied(self, points: np.ndarray, orders: Mapping[int, int], slope: int | None) -> np.ndarray:
        out = np.ones((1, 1))
        for axis in range(len(self.features)):
            out = out * self._axis(points, axis, orders.get(axis, 0), axis == slope)[:, self.columns[axis]]
        return out

    def _axis(self, points: np.ndarray, axis: int, order: int, slope: bool) -> np.ndarray:
        f = lengthscale_slope(self.features[axis]) if slope else self.features[axis]
        return self._kept(points, ("axis", axis, order, slope), lambda: f(points[:, axis], order))

    def _kept(
        self, points: np.ndarray, key: tuple[object, ...], make: Callable[[], np.ndarray], keep: bool = True
    ) -> np.ndarray:
        """What was made for these points before, or is made now; the points are kept so that their id stays theirs."""
        whole = (id(points), *key)
        if whole in self._cache:
            return self._cache[whole][1]
        made = make()
        if keep:
            self._cache[whole] = points, made
        return made
