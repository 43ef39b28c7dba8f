"""Gaussian process solver for partial differential equations with high frequencies and several scales."""

from structkit.pde.chebyshev import ChebyshevSolution, chebyshev_solve
from structkit.pde.conditions import Dirichlet, Initial, Neumann, Periodic, Robin
from structkit.pde.curves import OnCurve
from structkit.pde.map_solver import MapSettings
from structkit.pde.nonlinearity import Nonlinearity
from structkit.pde.observations import Observations
from structkit.pde.operators import D, Operator, Parameter
from structkit.pde.posterior import Estimate
from structkit.pde.problem import PDE
from structkit.pde.solver import GPSolver

__all__ = [
    "PDE",
    "ChebyshevSolution",
    "D",
    "Dirichlet",
    "Estimate",
    "GPSolver",
    "Initial",
    "MapSettings",
    "Neumann",
    "Nonlinearity",
    "Observations",
    "OnCurve",
    "Operator",
    "Parameter",
    "Periodic",
    "Robin",
    "chebyshev_solve",
]
