"""Gradients of solutions by the implicit function theorem: neither iterations nor eigenvectors are differentiated.

With ``A x = b``, a gradient ``g`` of ``x`` gives ``A^-H g`` for ``b``, and for whatever `A` is made of the gradient of
the product ``A x`` in the direction ``-A^-H g``: one more solve, and one product of the operator.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

from structkit._backend.namespace import is_torch
from structkit._core.types import Array
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.inverses import FactorizedInverse, Inverse, PseudoInverse

__all__ = ["detached", "implicit_inverse", "parameters", "records_gradient", "solution"]

Solver = Callable[[Array], Array]
Part = TypeVar("Part")


class ImplicitSolve:
    """Solves with an operator whose gradients follow from further solves.

    Parameters
    ----------
    op : LinearOperator
        The operator, with its gradients.
    inverse : LinearOperator
        Its inverse or pseudo-inverse; need not be differentiable.
    exact : bool
        Whether `inverse` is the inverse. Default True.
    """

    def __init__(self, op: LinearOperator, inverse: LinearOperator, *, exact: bool = True) -> None:
        self.op, self.inverse, self.exact = op, inverse, exact

    def _solve(self, B: Array, adjoint: bool) -> Array:
        run = (self.inverse._matmat, self.inverse._adjoint_matmat)
        return solution(self.op, B, *run, adjoint=adjoint, exact=self.exact)

    def solve(self, B: Array) -> Array:
        """Solve for ``(..., N, k)``."""
        return self._solve(B, False)

    def solve_adjoint(self, B: Array) -> Array:
        """Solve with the conjugate transpose."""
        return self._solve(B, True)


def implicit_inverse(
    op: LinearOperator, invert: Callable[[LinearOperator], LinearOperator], *, exact: bool = True
) -> LinearOperator:
    """Invert an operator by a function that is not to be differentiated; gradients, where recorded, are implicit."""
    if not records_gradient(op) or _is_opaque(op):
        return invert(op)
    kind = Inverse if exact else PseudoInverse
    return kind(op, ImplicitSolve(op, invert(detached(op)), exact=exact))


def solution(
    op: LinearOperator,
    B: Array,
    solve: Solver,
    solve_adjoint: Solver | None = None,
    *,
    adjoint: bool = False,
    exact: bool = True,
) -> Array:
    """Solve ``op x = B`` (or its conjugate transpose) by the given solvers, with implicit gradients where recorded.

    Without `solve_adjoint` the operator is Hermitian. An operator that contains an inverse hides its parameters; its
    solution is left to the gradients of the solvers themselves.
    """
    solvers = (solve, solve_adjoint or solve)
    if not records_gradient(op, B) or _is_opaque(op):
        return solvers[adjoint](B)
    from structkit._backend import torch_solve

    tensors = parameters(op)

    def product(values: tuple[Array, ...], x: Array, conjugated: bool) -> Array:
        new = _replaced(op, {id(old): value for old, value in zip(tensors, values, strict=True)})
        return new._adjoint_matmat(x) if conjugated else new._matmat(x)

    return torch_solve.implicit(torch_solve.LinearSystem(solvers, product, exact), adjoint, B, tensors)


def records_gradient(op: LinearOperator, *arrays: Array) -> bool:
    """Whether torch records gradients for the operator or one of the arrays."""
    tensors = [t for t in (*parameters(op), *arrays) if is_torch(t)]
    if not any(t.requires_grad for t in tensors):  # type: ignore[attr-defined]
        return False
    from structkit._backend import torch_solve

    return torch_solve.grad_enabled()


def detached(op: LinearOperator) -> LinearOperator:
    """Return the operator with the same numbers outside of any graph."""
    tensors = parameters(op)
    return op if not tensors else _replaced(op, {id(t): t.detach() for t in tensors})  # type: ignore[attr-defined]


def parameters(op: LinearOperator) -> tuple[Array, ...]:
    """Return every tensor an operator is made of, numbers in front of it included, each once."""
    found: dict[int, Array] = {}
    _collect(op, found)
    return tuple(found.values())


def _collect(part: object, found: dict[int, Array]) -> None:
    if is_torch(part):
        found[id(part)] = part  # type: ignore[assignment]
    elif isinstance(part, LinearOperator):
        for value in vars(part).values():
            _collect(value, found)
    elif isinstance(part, (tuple, list)):
        for value in part:
            _collect(value, found)


def _replaced(part: Part, values: Mapping[int, Array]) -> Part:
    """Copy an operator with other tensors in place of its own."""
    if is_torch(part):
        return values.get(id(part), part)  # type: ignore[call-overload, return-value]
    if isinstance(part, LinearOperator):
        new = copy.copy(part)
        vars(new).update({name: _replaced(value, values) for name, value in vars(new).items()})
        return new
    if isinstance(part, (tuple, list)):
        return type(part)(_replaced(value, values) for value in part)  # type: ignore[return-value, call-arg]
    return part


def _is_opaque(part: object) -> bool:
    """Whether an inverse, whose factorisation holds what it was made of, is part of an operator."""
    if isinstance(part, (tuple, list)):
        return any(map(_is_opaque, part))
    return isinstance(part, LinearOperator) and (
        isinstance(part, FactorizedInverse) or any(_is_opaque(value) for value in vars(part).values())
    )
