"""The spectral method with polynomials, for comparison: no carriers, no length-scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import legendre

from structkit._core.validation import check_memory
from structkit.pde.arrays import grid_axes
from structkit.pde.basis import clenshaw_curtis
from structkit.pde.constraints import Constraints, select_rows
from structkit.pde.expansion import Expansion
from structkit.pde.linear import FreeSystem
from structkit.pde.newton import solve_nonlinear
from structkit.pde.problem import PDE
from structkit.pde.sampled import with_callable_source
from structkit.pde.system import System, project
from structkit.pde.trials import CHECK_POINTS, between

__all__ = ["ChebyshevSolution", "chebyshev_solve"]

_NEWTON_STEPS = 30


@dataclass
class PolynomialBasis:
    """Orthonormal polynomials of one axis on Chebyshev points; the interface of `AxisBasis`."""

    lower: float
    upper: float
    n: int
    x: np.ndarray = field(init=False)
    weights: np.ndarray = field(init=False)
    test: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        points, weights = clenshaw_curtis(self.n)
        half = (self.upper - self.lower) / 2
        self.x, self.weights = self.lower + half * (points + 1), half * weights
        # Interpolation: values at n points determine a polynomial of degree n - 1.
        self.test = np.linalg.inv(self.values()).T

    @property
    def rank(self) -> int:
        """Number of polynomials."""
        return self.n

    def values(self, order: int = 0) -> np.ndarray:
        """The `order`-th derivative at the points, shape ``(n, n)``."""
        return self.at(self.x, order)

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """The `order`-th derivative at any points, shape ``(len(x), n)``."""
        scale = 2 / (self.upper - self.lower)
        t = scale * (np.asarray(x, dtype=float) - self.lower) - 1
        series = np.diag(np.sqrt((np.arange(self.n) + 0.5) * scale))
        if order:
            series = legendre.legder(series, order, axis=0)
        return np.asarray(scale**order * legendre.legvander(t, len(series) - 1) @ series)

    def matrix(self, order: int, coefficient: np.ndarray | None = None) -> np.ndarray:
        """Derivative, times a coefficient given at the points, as a matrix ``(n, n)`` of coefficients."""
        values = self.values(order)
        return self.test.T @ (values if coefficient is None else coefficient[:, None] * values)


@dataclass(frozen=True)
class ChebyshevSolution:
    """Result of `chebyshev_solve`.

    Attributes
    ----------
    domain : tuple of (float, float)
        Interval of each axis.
    residual : float
        Root mean square of the equation's residual off the points, over that of its largest term.
    converged : bool
        Whether a nonlinear equation was solved; True for linear ones.
    n_iter : int
        Newton steps.
    """

    expansion: Expansion
    domain: tuple[tuple[float, float], ...]
    residual: float
    converged: bool
    n_iter: int

    def predict(self, coords: Sequence[np.ndarray]) -> np.ndarray:
        """Return the solution on a tensor grid.

        Parameters
        ----------
        coords : sequence of array, shapes ``(n_d,)``
            Coordinates of each axis.

        Returns
        -------
        numpy.ndarray, shape ``(n_1, ..., n_D)``

        Raises
        ------
        TypeError, ShapeError, NotFiniteError
            If coordinates are not one one-dimensional array of finite real numbers per axis.
        ValueError
            If they leave the domain.
        """
        return self.expansion.on(grid_axes(coords, self.domain))


def chebyshev_solve(problem: PDE, n_points: int | Sequence[int]) -> ChebyshevSolution:
    """Solve a problem with polynomials on Chebyshev points, the classical spectral method.

    Parameters
    ----------
    problem : PDE
        Equation, domain and conditions.
    n_points : int or sequence of int
        Points of each axis, at least 8. Smooth solutions need more than pi per wavelength.

    Returns
    -------
    ChebyshevSolution

    Raises
    ------
    ValueError
        If conditions are missing, there are too few points, or the problem has a mask.
    SizeError
        If the matrices of an axis or the coefficients do not fit into memory.

    See Also
    --------
    GPSolver : chooses points, finds carriers and estimates its error.

    Notes
    -----
    The same conditions and solvers as in `GPSolver`, with polynomials in place of its features: for smooth solutions
    and a source that can be evaluated anywhere it is as accurate once there are enough points.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.pde import D, Dirichlet, PDE, chebyshev_solve
    >>> problem = PDE(D(0, 2), domain=[(0, 1)], source=np.exp, conditions=Dirichlet(np.exp))
    >>> x = np.linspace(0, 1, 50)
    >>> bool(np.abs(chebyshev_solve(problem, 20).predict([x]) - np.exp(x)).max() < 1e-12)
    True
    """
    counts = (n_points,) * problem.n_axes if isinstance(n_points, (int, np.integer)) else tuple(n_points)
    if len(counts) != problem.n_axes or not all(isinstance(n, (int, np.integer)) and n >= 8 for n in counts):
        raise ValueError(f"n_points = {n_points!r}; expected whole numbers from 8 on, one or {problem.n_axes}.")
    if problem.mask is not None:
        raise ValueError("chebyshev_solve needs the whole box; a problem with a mask is for GPSolver.")
    matrices = 8 * (math.prod(counts) + sum(n**2 for n in counts))
    check_memory(matrices, f"A problem of {counts} polynomials", advice="Give fewer n_points.")
    problem, _ = with_callable_source(problem)
    bases = [PolynomialBasis(a, b, int(n)) for (a, b), n in zip(problem.domain, counts, strict=True)]
    constraints = Constraints(problem, bases, *select_rows(problem))  # type: ignore[arg-type]
    system = System(problem, bases)  # type: ignore[arg-type]
    f = project(problem.source_on([b.x for b in bases]), bases)  # type: ignore[arg-type]
    free = FreeSystem(system, constraints)
    C = constraints.lift + free.expand(free.solve(free.restrict(f - system.apply(constraints.lift))))
    converged, n_iter = True, 0
    if problem.nonlinearity is not None:
        found = solve_nonlinear(system, constraints, f, problem.nonlinearity, C, _NEWTON_STEPS, patient=True)
        C, converged, n_iter = found.coefficients, found.converged, found.n_iter
    u = Expansion(bases, C)  # type: ignore[arg-type]
    middle = [between(a, b, CHECK_POINTS[problem.n_axes]) for a, b in problem.domain]
    return ChebyshevSolution(u, tuple(problem.domain), u.residual(problem, middle), converged, n_iter)
