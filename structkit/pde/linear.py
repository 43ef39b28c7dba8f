"""Linear solves on the free coefficients: directly for Kronecker sums, else by preconditioned GMRES."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import scipy.sparse.linalg

from structkit.kron import multi_mode_product
from structkit.pde.constraints import Constraints
from structkit.pde.separable import KroneckerSumSolver
from structkit.pde.system import System

__all__ = ["FreeSystem"]

# Up to this many unknowns a dense matrix is the fastest and safest way.
_DENSE = 1500
_GMRES = {"restart": 80, "maxiter": 6}


class FreeSystem:
    """The equation restricted to coefficients that obey the homogeneous conditions.

    Parameters
    ----------
    system : System
        The operator.
    constraints : Constraints
        The conditions.
    shift : float
        Added to the operator in the preconditioner: the average slope of a nonlinear term.
    """

    def __init__(self, system: System, constraints: Constraints, shift: float = 0.0) -> None:
        self.system, self.constraints = system, constraints
        self.free, self.tests = constraints.free, constraints.tests
        self.shape = tuple(Z.shape[1] for Z in self.free)
        sums, self.exact = self._kronecker_sum(shift)
        self.solver = KroneckerSumSolver(sums)
        self.n_products = 0

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return int(np.prod(self.shape))

    def resonance(self) -> float:
        """Smallest eigenvalue over the size of the operator on slow functions; 0 where it is rounding."""
        smallest, largest = self.solver.extremes
        noise = 10 * np.finfo(float).eps * largest
        return smallest / self.constraints.problem.operator_size if smallest > noise else 0.0

    def expand(self, c: np.ndarray) -> np.ndarray:
        """Coefficients from free ones."""
        return np.asarray(multi_mode_product(c, self.free))

    def restrict(self, C: np.ndarray) -> np.ndarray:
        """Projection of coefficients on the free ones, along what the tests do not see."""
        return np.asarray(multi_mode_product(C, self.tests, adjoint=True))

    def _kronecker_sum(self, shift: float) -> tuple[list[np.ndarray], bool]:
        """Matrices of the Kronecker sum nearest to the operator, and whether it is the operator."""
        system = self.system
        sums = [np.zeros((n, n)) for n in self.shape]
        exact = not system.grid
        constant = shift
        for term in system.kron:
            modes = [a for a, f in enumerate(term.factors) if f is not None]
            if not modes:
                constant += term.scale
                continue
            reduced = [
                None if f is None else T.T @ f @ Z for T, Z, f in zip(self.tests, self.free, term.factors, strict=True)
            ]
            exact = exact and len(modes) == 1
            strongest = max(modes, key=lambda a: np.linalg.norm(reduced[a]))  # type: ignore[arg-type]
            scale = term.scale
            for a in modes:
                if a != strongest:
                    scale *= float(np.trace(reduced[a])) / self.shape[a]  # type: ignore[arg-type]
            sums[strongest] += scale * reduced[strongest]  # type: ignore[operator]
        for g in system.grid:
            # The weighted mean of the coefficient stands for it.
            orders = dict(g.term.orders)
            if len(orders) > 1:
                continue
            weights = functools.reduce(np.multiply.outer, [b.weights for b in system.bases])
            mean = float(np.sum(weights * g.coefficient) / weights.sum())
            if not orders:
                constant += mean
            else:
                ((axis, order),) = orders.items()
                sums[axis] += mean * (self.tests[axis].T @ system.bases[axis].matrix(order) @ self.free[axis])
        sums[0] = sums[0] + constant * np.eye(self.shape[0])
        return sums, exact

    def solve(
        self, b: np.ndarray, extra: Callable[[np.ndarray], np.ndarray] | None = None, tol: float = 1e-13
    ) -> np.ndarray:
        """Solve for free coefficients; `extra` adds a linear map of the coefficients to the operator."""
        if self.exact and extra is None:
            x = self.solver.solve(b)
            return x + self.solver.solve(b - self._product(x, None))  # type: ignore[no-any-return]
        if self.size <= _DENSE:
            return self._dense(b, extra)
        return self._gmres(b, extra, tol)

    def _product(self, c: np.ndarray, extra: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
        self.n_products += 1
        C = self.expand(c)
        out = self.system.apply(C)
        return self.restrict(out if extra is None else out + extra(C))

    def _dense(self, b: np.ndarray, extra: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
        n = self.size
        A = np.empty((n, n))
        unit = np.zeros(self.shape)
        flat = unit.reshape(-1)
        for j in range(n):
            flat[j] = 1.0
            A[:, j] = self._product(unit, extra).ravel()
            flat[j] = 0.0
        return np.linalg.lstsq(A, b.ravel(), rcond=1e-15)[0].reshape(self.shape)

    def _gmres(self, b: np.ndarray, extra: Callable[[np.ndarray], np.ndarray] | None, tol: float) -> np.ndarray:
        """Right-preconditioned GMRES with restarts that recompute the residual."""
        n, size = self.size, float(np.linalg.norm(b))
        if size == 0:
            return np.zeros(self.shape)

        def product(v: np.ndarray) -> np.ndarray:
            return self._product(self.solver.solve(v.reshape(self.shape)), extra).ravel()

        op = scipy.sparse.linalg.LinearOperator((n, n), matvec=product, dtype=float)
        x, r = np.zeros(self.shape), b
        for _ in range(_GMRES["maxiter"]):
            left = float(np.linalg.norm(r))
            if left <= tol * size:
                break
            v, _ = scipy.sparse.linalg.gmres(
                op, r.ravel(), rtol=max(tol * size / left, 1e-10), restart=_GMRES["restart"], maxiter=1
            )
            x = x + self.solver.solve(v.reshape(self.shape))
            new = b - self._product(x, extra)
            if np.linalg.norm(new) > 0.9 * left:
                break
            r = new
        return x
