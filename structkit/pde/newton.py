"""Newton's method for nonlinear equations: GMRES steps, line search, and two detours where it fails from afar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from structkit.pde.constraints import Constraints
from structkit.pde.linear import FreeSystem
from structkit.pde.nonlinearity import Nonlinearity
from structkit.pde.system import System, evaluate, project

__all__ = ["NewtonResult", "solve_nonlinear"]

_SHORTEST = 2.0**-12
# Most problems on the way from the linear to the nonlinear one, and Newton steps for each of them but the last.
_CONTINUATION = 24
_FOLLOWING_STEPS = 12
# Steps in pseudo-time; the residual, relative to the terms, from which on Newton's method takes over.
_PSEUDO_STEPS = 80
_NEAR = 1e-3
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
        slopes = self.slopes(C)
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

    def step(self, C: np.ndarray, r: np.ndarray, tol: float, rate: float = 0.0) -> np.ndarray:
        """Newton step for a residual, with `rate` times the identity added to the derivative."""
        product, shift = self.derivative(C)
        free = FreeSystem(self.system, self.constraints, shift + rate)
        extra = (lambda d: product(d) + rate * d) if rate else product
        return free.expand(free.solve(r, extra, tol=tol))

    def steepest(self, C: np.ndarray) -> float:
        """Largest slope of the nonlinearity."""
        return max(float(np.abs(s).max()) for s in self.slopes(C))

    def slopes(self, C: np.ndarray) -> list[np.ndarray]:
        """Derivatives of the nonlinearity with respect to its arguments on the grid."""
        with np.errstate(all="ignore"):
            return self.nonlinearity.slopes(self.values(C))


def solve_nonlinear(
    system: System,
    constraints: Constraints,
    f: np.ndarray,
    nonlinearity: Nonlinearity,
    start: np.ndarray,
    max_iter: int,
    *,
    patient: bool,
) -> NewtonResult:
    """Solve from a start that obeys the conditions.

    Where Newton's method fails, it starts again from where pseudo-time leads [1]_, and failing this, if it is to be
    patient, follows the solution as the nonlinearity grows from nothing to its strength.

    References
    ----------
    .. [1] Kelley, Keyes, "Convergence analysis of pseudo-transient continuation", SIAM J. Numer. Anal. 35, 1998.
    """
    equation = _Equation(system, constraints, f, nonlinearity)
    result = _newton(equation, start, max_iter)
    if result.converged:
        return result
    later = _pseudo_time(equation, start)
    if later is not None:
        again = _newton(equation, later, max_iter)
        if again.converged:
            return NewtonResult(again.coefficients, True, result.n_iter + again.n_iter)
    if not patient:
        return result
    return _continuation(equation, start, result, max_iter)


def _pseudo_time(equation: _Equation, C: np.ndarray) -> np.ndarray | None:
    """Follow ``u' = -(L u + N(u) - f)``, or its reverse, by implicit steps that grow as the residual falls.

    Only where the linear part is stable in one of the directions. Returns None if no solution comes near.
    """
    values = FreeSystem(equation.system, equation.constraints).solver.eigenvalues.real
    sign = np.sign(values.sum())
    if np.any(sign * values < -1e-9 * np.abs(values).max()):
        return None
    r, size = equation.residual(C)
    norm, rate = float(np.linalg.norm(r)), equation.steepest(C)
    for _ in range(_PSEUDO_STEPS):
        if not (math.isfinite(norm) and math.isfinite(rate)):
            return None
        if norm <= _NEAR * size:
            return C
        trial = C - equation.step(C, r, 1e-4, sign * rate)
        r_new, size_new = equation.residual(trial)
        new = float(np.linalg.norm(r_new))
        if not new < 2 * norm:
            rate *= 4
            continue
        rate *= min(max(new / norm, 0.2), 2.0)
        C, r, norm, size = trial, r_new, new, size_new
    return None


def _continuation(equation: _Equation, start: np.ndarray, result: NewtonResult, max_iter: int) -> NewtonResult:
    """Follow the solution from the linear to the nonlinear equation."""
    C, done, step, n_iter = start, 0.0, 0.25, result.n_iter
    for _ in range(_CONTINUATION):
        equation.strength = min(done + step, 1.0)
        last = equation.strength == 1.0
        trial = _newton(equation, C, max_iter if last else min(max_iter, _FOLLOWING_STEPS))
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


def _newton(equation: _Equation, C: np.ndarray, max_iter: int) -> NewtonResult:
    r, size = equation.residual(C)
    norm = float(np.linalg.norm(r))
    for n in range(max_iter):
        if norm == 0:
            return NewtonResult(C, True, n)
        if not math.isfinite(norm):
            return NewtonResult(C, False, n)
        if norm <= _SETTLED * size and n:  # one step at least: starts come from other bases, with their errors
            return NewtonResult(C, True, n)
        step = equation.step(C, r, max(1e-12, min(1e-4, 0.1 * norm / size)))
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
    return NewtonResult(C, norm <= 1e-8 * size, max_iter)
