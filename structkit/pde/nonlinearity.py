"""Terms that are functions of the solution and its derivatives at the same point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structkit.pde.operators import D, Operator

__all__ = ["Nonlinearity", "checked_nonlinearity"]

_STEP = 1e-30  # of complex-step derivatives, which have no cancellation


@dataclass(frozen=True)
class Nonlinearity:
    """A function of the solution and its derivatives at the same point, such as ``u * u_x``.

    Parameters
    ----------
    function : callable
        ``N(v_1, ..., v_k)``, pointwise.
    operators : sequence of Operator
        What its arguments are: ``D(0, 0)`` for the solution, ``D(0, 1)`` for its derivative along the first axis, ...
    gradient : sequence of callable, optional
        Its derivatives with respect to each argument. Default: complex steps, exact to rounding for functions that
        take complex numbers (sums, products, powers, exponentials, but not ``abs``).

    Examples
    --------
    >>> burgers = Nonlinearity(lambda u, u_x: u * u_x, [D(0, 0), D(0, 1)])
    >>> burgers.value([np.array([2.0]), np.array([3.0])])
    array([6.])
    >>> burgers.slopes([np.array([2.0]), np.array([3.0])])
    [array([3.]), array([2.])]
    """

    function: Callable[..., Any]
    operators: Sequence[Operator] = (D(0, 0),)
    gradient: Sequence[Callable[..., Any]] | None = None

    def value(self, v: Sequence[np.ndarray]) -> np.ndarray:
        """The function at values of its arguments.

        Parameters
        ----------
        v : sequence of array
            Values of the arguments, in the order of `operators`.

        Returns
        -------
        numpy.ndarray
        """
        return np.asarray(self.function(*v))

    def slopes(self, v: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Its derivatives with respect to each argument.

        Parameters
        ----------
        v : sequence of array
            Values of the arguments, in the order of `operators`.

        Returns
        -------
        list of numpy.ndarray
        """
        if self.gradient is not None:
            return [np.broadcast_to(np.asarray(g(*v), dtype=float), v[0].shape) for g in self.gradient]
        found: list[np.ndarray] = []
        for j in range(len(v)):
            moved: list[np.ndarray] = [a + _STEP * 1j if i == j else a for i, a in enumerate(v)]
            found.append(np.broadcast_to(np.imag(self.function(*moved)) / _STEP, v[0].shape))
        return found


def checked_nonlinearity(given: Any) -> Nonlinearity | None:
    """A nonlinearity from what a user gave."""
    if given is None or isinstance(given, Nonlinearity):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2 and all(map(callable, given)):
        return Nonlinearity(given[0], (D(0, 0),), (given[1],))
    raise TypeError(f"nonlinearity = {given!r}; expected a pair (N, dN) of callables or a Nonlinearity.")
