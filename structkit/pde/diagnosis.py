"""Whether an attempt counts as a solution, and the likely cause if it does not."""

from __future__ import annotations

from structkit.pde.trials import VIOLATED, Attempt

__all__ = ["cause_of_failure", "is_solved"]

# Estimated errors beyond this are reported as failures, resonances below this as such.
_FAILED = 1e-5
_RESONANCE = 1e-7


def is_solved(attempt: Attempt) -> bool:
    """Whether the solution is unique, found, and accurate."""
    return attempt.solved and attempt.error < _FAILED and attempt.resonance > _RESONANCE


def cause_of_failure(attempt: Attempt, max_iter: int) -> str:
    """Likely cause of a failure and its remedy."""
    if attempt.mismatch > VIOLATED:
        return (
            f"a condition is violated by {attempt.mismatch:.1g} of its size. Usual causes are conditions that "
            "contradict each other, at a corner for example, jumps in their data, and on curves corners that point "
            "inwards and narrow bays"
        )
    if attempt.resonance <= _RESONANCE:
        return (
            "with these conditions the operator is singular, a resonance, so that the solution does not exist or "
            "is not unique. Prescribe a value somewhere, or move the coefficient"
        )
    if not attempt.solved:
        return (
            f"Newton's method did not converge in max_iter = {max_iter} steps, nor by continuation. Perhaps "
            "no solution exists, or it has sharp layers: try more n_points or a smaller lengthscale"
        )
    if attempt.misfit > _FAILED:
        return (
            f"smooth functions match the samples of the source to {attempt.misfit:.1g} of their size only: they are "
            "too few for its frequencies, or noisy"
        )
    return (
        "no length-scale that was tried resolves it. Usual causes are sources or coefficients that are not smooth, "
        "where more n_points with a smaller lengthscale help, and conditions at an end that cannot have them, such "
        "as that where a flow leaves"
    )
