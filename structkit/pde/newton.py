"""Newton's method for nonlinear equations: GMRES steps, line search, and continuation where it fails from afar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from structkit.pde.constraints import Constraints
from structkit.pde.linear import FreeSystem
from structkit.pde.problem import Nonlinearity
from structkit.pde.system import System, evaluate, project

__all__ = ["NewtonResult", "solve_nonlinear"]

_SHORTEST = 2.0**-12
_CONTINUATION = 24  # most problems on the way from the linear to the nonlinear one
# A residual of this size, relative to the terms, is rounding.
_SETTLED = 1e-12


@dataclass(frozen=True)
class NewtonResult:
    """Coefficients, whether the equation on them is solved, and the Newton steps it took."""

    coefficients: np.ndarray
    converged: bool
    n_iter: int


class _Equation:
    """Residual of ``L u + strength N(u) = f`` on the free coefficients, and its derivative."""

    def __init__(self, system: System, constraints: Constraints, f: np.ndarray, nonlinearity: Nonlinearity) -> None:
        self.system, self.constraints, self.f, self.nonlinearity = system, constraints, f, nonlinearity
        self.strength = 1.0
        coords = [b.x for b in system.bases]
        grids = np.meshgrid(*coords, indexing="ij", sparse=True)
        self.arguments = [
            [(t.coefficient.at(grids, {}), dict(t.orders)) for t in o.terms] for o in nonlinearity.operators
        ]

    def values(self, C: np.ndarray) -> list[np.ndarray]:
        """Arguments of the nonlinearity on the grid."""
        return [sum(c * evaluate(C, self.system.bases, orders) for c, orders in terms) for terms in self.arguments]  # type: ignore[misc]

    def residual(self, C: np.ndarray) -> tuple[np.ndarray, float]:
        """Residual, restricted, and the size of its largest term."""
        with np.errstate(all="ignore"):
            linear = self.system.apply(C)
            extra = self.strength * project(self.nonlinearity.value(self.values(C)), self.system.bases)
            size = max(float(np.linalg.norm(v)) for v in (linear, extra, self.f))
            return self.restrict(linear + extra - self.f), size

    def restrict(self, C: np.ndarray) -> np.ndarray:
        """Projection on the free coefficients."""
        return FreeSystem.restrict(self, C)  # type: ignore[arg-type]

    @property
    def tests(self) -> list[np.ndarray]:
        """What the equation is tested with."""
        return self.constraints.tests

    def derivative(self, C: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
        """Derivative of the nonlinear part as a map of coefficients, and its average slope in the solution itself."""
        slopes = self.nonlinearity.slopes(self.values(C))
        shift = sum(
            float(np.mean(s))
            for s, o in zip(slopes, self.nonlinearity.operators, strict=True)
            if o.terms[0].orders == ()
        )

        def product(direction: np.ndarray) -> np.ndarray:
            parts = self.values(direction)
            total = sum((s * v for s, v in zip(slopes, parts, strict=True)), np.zeros_like(parts[0]))
            return self.strength * project(total, self.system.bases)

        return product, self.strength * shift


def solve_nonlinear(
    system: System,
    constraints: Constraints,
    f: np.ndarray,
    nonlinearity: Nonlinearity,
    start: np.ndarray,
    max_iter: int,
    report: Callable[[float], bool],
) -> NewtonResult:
    """Solve from a start that obeys the conditions; by continuation in the strength of the nonlinearity if need be."""
    equation = _Equation(system, constraints, f, nonlinearity)
    result = _newton(equation, start, max_iter, report)
    if result.converged:
        return result
    C, done, step, n_iter = start, 0.0, 0.25, result.n_iter
    for _ in range(_CONTINUATION):
        equation.strength = min(done + step, 1.0)
        trial = _newton(equation, C, max_iter, report)
        n_iter += trial.n_iter
        if trial.converged:
            C, done, step = trial.coefficients, equation.strength, 2 * step
            if done == 1.0:
                return NewtonResult(C, True, n_iter)
        else:
            step /= 2
            if step < 1e-3:
                break
    return NewtonResult(result.coefficients, False, n_iter)


def _newton(equation: _Equation, C: np.ndarray, max_iter: int, report: Callable[[float], bool]) -> NewtonResult:
    r, size = equation.residual(C)
    norm = float(np.linalg.norm(r))
    for n in range(max_iter):
        if norm == 0:
            return NewtonResult(C, True, n)
        if not math.isfinite(norm):
            return NewtonResult(C, False, n)
        if norm <= _SETTLED * size and n:  # one step at least: starts come from other bases, with their errors
            return NewtonResult(C, True, n)
        product, shift = equation.derivative(C)
        free = FreeSystem(equation.system, equation.constraints, shift)
        step = free.expand(free.solve(r, product, tol=max(1e-12, min(1e-4, 0.1 * norm / size))))
        length = 1.0
        while True:
            trial = C - length * step
            r_new, size_new = equation.residual(trial)
            new = float(np.linalg.norm(r_new))
            if math.isfinite(new) and new < (1 - 1e-4 * length) * norm:
                break
            length /= 2
            if length < _SHORTEST:
                # No descent: solved to rounding of an ill-conditioned basis, or stuck.
                return NewtonResult(C, norm <= 1e-8 * size, n)
        C, r, size, norm = trial, r_new, size_new, new
        if report(norm / size):
            break
    return NewtonResult(C, norm <= 1e-8 * size, max_iter)
