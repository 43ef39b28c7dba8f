"""Results of iterative methods: value, status, iterations, residual, and what each status means."""

from __future__ import annotations

from dataclasses import dataclass

from structkit._core.types import Array

__all__ = ["STATUS", "Result"]

STATUS: dict[str, str] = {
    "converged": "The relative residual reached the tolerance.",
    "max_iter": (
        "The iteration limit was reached first. Likely causes, in order: the system is ill-conditioned (give a "
        "preconditioner or more noise); max_iter is small; tol is below what the dtype can reach (use float64)."
    ),
    "breakdown": (
        "The method met a direction of zero or negative curvature. Likely causes, in order: the operator is not "
        "positive definite; the operator is not symmetric; rounding in a nearly singular system."
    ),
    "stagnation": (
        "The residual stopped falling above the tolerance. Likely causes, in order: tol is below what the dtype can "
        "reach; the preconditioner is not positive definite."
    ),
    "not_finite": "NaN or infinity appeared. Likely causes, in order: NaN in the input; overflow in the operator.",
    "callback": "The callback asked to stop.",
}


@dataclass(frozen=True)
class Result:
    """Outcome of an iterative solve.

    Attributes
    ----------
    value : array
        The solution, with the shape of the right-hand side.
    status : str
        A key of `STATUS`; ``"converged"`` is the only success.
    n_iter : int
        Number of iterations.
    residual : float
        Largest relative residual over right-hand sides, recomputed from the operator at the end (dimensionless).
    """

    value: Array
    status: str
    n_iter: int
    residual: float

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached."""
        return self.status == "converged"

    @property
    def message(self) -> str:
        """What the status means: likely causes and remedies."""
        return STATUS[self.status]
