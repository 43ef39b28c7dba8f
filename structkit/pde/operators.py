"""Linear differential operators as sums of terms: a coefficient times a derivative along each axis."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Coefficient", "D", "Operator", "Parameter", "Term"]

MAX_ORDER = 4


@dataclass(frozen=True)
class Parameter:
    """An unknown number in an operator or a condition, to be learned from observations.

    Parameters
    ----------
    name : str
        What it is called in results.
    initial : float
        Where the search starts.
    bounds : tuple of float, optional
        Smallest and largest value. Default: no limits. Finite ones also tell the solver where else to start.

    Raises
    ------
    ValueError
        If the bounds are not ascending or do not enclose the initial value.

    Examples
    --------
    >>> k2 = Parameter("k2", 30.0, bounds=(1.0, 100.0))
    >>> D(0, 2) + k2 * D(0, 0)
    D(0, 2) + k2 * D(0, 0)
    """

    name: str
    initial: float
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low < high:
            raise ValueError(
                f"Parameter {self.name!r} has bounds {self.bounds}; expected a smaller and a larger number."
            )
        if not low <= self.initial <= high:
            raise ValueError(f"Parameter {self.name!r} starts at {self.initial}, outside of its bounds {self.bounds}.")

    def __mul__(self, other: object) -> Coefficient | Operator:
        return Coefficient() * self * other

    __rmul__ = __mul__

    def __neg__(self) -> Coefficient | Operator:
        return self * -1.0


@dataclass(frozen=True)
class Coefficient:
    """Product of a number, functions of the coordinates and parameters.

    Attributes
    ----------
    scale : float
        The number.
    functions : tuple of callable
        Functions of all coordinates, broadcast.
    parameters : tuple of Parameter
        Unknown factors.
    """

    scale: float = 1.0
    functions: tuple[Callable[..., Any], ...] = ()
    parameters: tuple[Parameter, ...] = ()

    __array_ufunc__ = None  # numpy numbers leave products to us

    def __mul__(self, other: object) -> Any:
        if isinstance(other, Operator):
            return Operator(tuple(Term(self * t.coefficient, t.orders) for t in other.terms))
        if isinstance(other, Coefficient):
            return Coefficient(
                self.scale * other.scale, self.functions + other.functions, self.parameters + other.parameters
            )
        if isinstance(other, Parameter):
            return Coefficient(self.scale, self.functions, (*self.parameters, other))
        if isinstance(other, numbers.Real):
            return Coefficient(self.scale * float(other), self.functions, self.parameters)
        if callable(other):
            return Coefficient(self.scale, (*self.functions, other), self.parameters)
        return NotImplemented

    __rmul__ = __mul__

    @property
    def is_constant(self) -> bool:
        """Whether it is the same everywhere."""
        return not self.functions

    def number(self, values: Mapping[str, float]) -> float:
        """Product of the number and the parameters, which take `values` or else their initial ones."""
        return self.scale * math.prod(values.get(p.name, p.initial) for p in self.parameters)

    def at(self, coords: Sequence[np.ndarray], values: Mapping[str, float]) -> Any:
        """Values at broadcast coordinates; a float where it is constant."""
        out: Any = self.number(values)
        for f in self.functions:
            out = out * np.asarray(f(*coords), dtype=float)
        return out

    def __repr__(self) -> str:
        names = [getattr(f, "__name__", "f") for f in self.functions]
        parts = [p.name for p in self.parameters] + ["f" if n == "<lambda>" else n for n in names]
        if self.scale == -1 and parts:
            return "-" + " * ".join(parts)
        if self.scale != 1 or not parts:
            parts.insert(0, f"{self.scale:g}")
        return " * ".join(parts)


@dataclass(frozen=True)
class Term:
    """A coefficient times one derivative.

    Attributes
    ----------
    coefficient : Coefficient
        What multiplies the derivative.
    orders : tuple of (int, int)
        Axis and order of each derivative that is taken, ascending; empty for the function itself.
    """

    coefficient: Coefficient
    orders: tuple[tuple[int, int], ...]

    def order(self, axis: int) -> int:
        """Order of the derivative along an axis."""
        return dict(self.orders).get(axis, 0)

    def __repr__(self) -> str:
        factors = " * ".join(f"D({axis}, {order})" for axis, order in self.orders) or "D(0, 0)"
        return factors if self.coefficient == Coefficient() else f"{self.coefficient!r} * {factors}"


@dataclass(frozen=True)
class Operator:
    """A linear differential operator; made by `D`, sums and products.

    Attributes
    ----------
    terms : tuple of Term
        Its terms.
    """

    terms: tuple[Term, ...] = field(default=())

    __array_ufunc__ = None

    def __add__(self, other: object) -> Operator:
        if not isinstance(other, Operator):
            return NotImplemented
        return Operator(self.terms + other.terms)

    def __sub__(self, other: object) -> Operator:
        if not isinstance(other, Operator):
            return NotImplemented
        return self + -1.0 * other

    def __neg__(self) -> Operator:
        return -1.0 * self  # type: ignore[no-any-return]

    def __mul__(self, other: object) -> Operator:
        """Multiply by a coefficient, or apply after another operator with constant coefficients."""
        if isinstance(other, Operator):
            return Operator(tuple(_composed(a, b) for a in self.terms for b in other.terms))
        return self.__rmul__(other)

    def __rmul__(self, other: object) -> Operator:
        if isinstance(other, (numbers.Real, Parameter, Coefficient)) or callable(other):
            factor = Coefficient() * other
            return Operator(tuple(Term(factor * t.coefficient, t.orders) for t in self.terms))
        return NotImplemented

    def order(self, axis: int) -> int:
        """Highest derivative along an axis.

        Parameters
        ----------
        axis : int
            The axis.

        Returns
        -------
        int
        """
        return max((t.order(axis) for t in self.terms), default=0)

    @property
    def n_axes(self) -> int:
        """One more than the last axis that a derivative is taken along."""
        return 1 + max((axis for t in self.terms for axis, _ in t.orders), default=0)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The unknown numbers, each once."""
        return tuple(dict.fromkeys(p for t in self.terms for p in t.coefficient.parameters))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms)).replace("+ -1 * ", "- ").replace("+ -", "- ")


def _composed(a: Term, b: Term) -> Term:
    if not b.coefficient.is_constant:
        raise ValueError(
            f"The product of {a!r} and {b!r} differentiates a coefficient that varies. Write the product rule out."
        )
    orders = dict(a.orders)
    for axis, order in b.orders:
        orders[axis] = orders.get(axis, 0) + order
    return Term(a.coefficient * b.coefficient, _checked(orders))


def D(axis: int, order: int = 1) -> Operator:
    """Return the derivative of some order along one axis.

    Parameters
    ----------
    axis : int
        Axis of the coordinate, from 0; time is an axis like any other.
    order : int, default 1
        Order of the derivative, 0 (the function itself) to 4.

    Returns
    -------
    Operator
        Add operators, multiply them by numbers, by functions of all coordinates, by a `Parameter`, and by each other
        for mixed derivatives.

    Raises
    ------
    ValueError
        If the axis is negative or the order is not from 0 to 4.

    Examples
    --------
    >>> D(0, 2) + D(1, 2)
    D(0, 2) + D(1, 2)
    >>> D(1, 1) - 0.1 * D(0, 2)
    D(1, 1) - 0.1 * D(0, 2)
    >>> D(0, 1) * D(1, 1)
    D(0, 1) * D(1, 1)
    """
    if not isinstance(axis, numbers.Integral) or axis < 0:
        raise ValueError(f"axis = {axis!r}; expected 0 for the first coordinate, 1 for the second, ...")
    return Operator((Term(Coefficient(), _checked({int(axis): order})),))


def _checked(orders: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    for axis, order in orders.items():
        if not isinstance(order, numbers.Integral) or not 0 <= order <= MAX_ORDER:
            raise ValueError(f"order = {order!r} along axis {axis}; expected a whole number from 0 to {MAX_ORDER}.")
    return tuple(sorted((axis, int(order)) for axis, order in orders.items() if order))
