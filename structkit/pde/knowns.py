"""Equation, conditions and observations of a problem as blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from structkit.pde.basis import clenshaw_curtis
from structkit.pde.conditions import Periodic, values_on
from structkit.pde.observations import Observations
from structkit.pde.problem import PDE
from structkit.pde.rows import Block, RowTerm

__all__ = ["EXACT", "SOURCE", "Knowns", "knowns_of"]

# Name of the noise of the source.
SOURCE = "source"
# Standard deviation of what holds exactly, over its size: well above rounding, well below any noise.
EXACT = 1e-6


@dataclass(frozen=True)
class Knowns:
    """Rows and sizes of the data.

    Attributes
    ----------
    blocks : list of Block
        The rows.
    size : float
        Largest value of the solution that the data tell of; 0 if they tell of none.
    source_size : float
        Root mean square of the source.
    starts : dict of str to float
        Standard deviation of each noise that is learned to start from.
    sizes : dict of str to float
        Root mean square of the data that each of these noises is part of.
    """

    blocks: list[Block]
    size: float
    source_size: float
    starts: dict[str, float]
    sizes: dict[str, float]


def knowns_of(
    problem: PDE, observations: Sequence[Observations], noise_var: float | str, counts: Sequence[int]
) -> Knowns:
    """Rows of everything that is known; the equation at `counts` points of each axis where the source is a callable."""
    size = max([_largest(o) for o in observations if not o.derivative] + [_condition_size(problem, counts)])
    source = _equation(problem, noise_var, counts)
    source_size = float(np.sqrt(np.mean(source.values**2)))
    if source.exact:
        source = Block(
            source.terms, source.values, source.scale * _source_scale(problem, size, source_size), None, True
        )
    blocks = [source, *_condition_blocks(problem, counts, size or 1.0)]
    sizes = {} if source.noise is None else {SOURCE: source_size or size * problem.operator_size or 1.0}
    for i, o in enumerate(observations):
        term = RowTerm(np.asarray(o.points), tuple(sorted((a, k) for a, k in o.derivative.items() if k)))
        learned = isinstance(o.noise_var, str)
        name = f"observations {i}" if learned else None
        values = np.asarray(o.values)
        scale = np.ones(len(values)) if learned else np.sqrt(np.asarray(o.noise_var))
        blocks.append(Block([term], values, scale, name))
        if name is not None:
            sizes[name] = float(np.sqrt(np.mean(values**2))) or size or 1.0
    return Knowns(blocks, size, source_size, {name: 0.1 * s for name, s in sizes.items()}, sizes)


def tensor_points(coords: Sequence[np.ndarray]) -> np.ndarray:
    """Points of a tensor grid, shape ``(n, D)``."""
    return np.stack([g.ravel() for g in np.meshgrid(*coords, indexing="ij")], axis=1)


def _equation(problem: PDE, noise_var: float | str, counts: Sequence[int]) -> Block:
    coords: Sequence[np.ndarray]
    if problem.grid is not None:
        coords, values = problem.grid, np.asarray(problem.source).ravel()
    else:
        coords = [
            a + 0.5 * (b - a) * (clenshaw_curtis(n)[0] + 1) for (a, b), n in zip(problem.domain, counts, strict=True)
        ]
        values = problem.source_on(coords).ravel()
    points = tensor_points(coords)
    terms = []
    numbers = {p.name: 1.0 for p in problem.parameters}
    for t, c in zip(problem.operator.terms, problem.coefficients_on(coords, numbers), strict=True):
        names = tuple(p.name for p in t.coefficient.parameters)
        terms.append(RowTerm(points, t.orders, c if np.ndim(c) == 0 else np.ravel(c), names))
    if isinstance(noise_var, str):
        return Block(terms, values, np.ones(len(values)), SOURCE)
    if noise_var == 0:
        return Block(terms, values, np.full(len(values), EXACT), None, True)
    return Block(terms, values, np.sqrt(np.broadcast_to(noise_var, values.shape)))


def _source_scale(problem: PDE, size: float, source_size: float) -> float:
    """Size of the terms of the equation."""
    return max(source_size, size * problem.operator_size) or 1.0


def _condition_blocks(problem: PDE, counts: Sequence[int], size: float) -> list[Block]:
    blocks = []
    for c in problem.conditions:
        for axis, side in c.faces(problem.n_axes)[: 1 if isinstance(c, Periodic) else None]:
            length = problem.domain[axis][1] - problem.domain[axis][0]
            coords = _face(problem, counts, axis, side)
            points = tensor_points(coords)
            if isinstance(c, Periodic):
                across = points + length * (np.arange(problem.n_axes) == axis)
                for k in range(problem.order(axis)):
                    terms = [RowTerm(points, _orders(axis, k), -1.0), RowTerm(across, _orders(axis, k))]
                    blocks.append(_exact(terms, np.zeros(len(points)), size / length**k))
                continue
            weights = {k: w for k, w in c.weights(side).items() if w}
            terms = [RowTerm(points, _orders(axis, k), w) for k, w in weights.items()]
            values = values_on(c.value, coords, f"The value of {type(c).__name__}").ravel()  # type: ignore[attr-defined]
            typical = max(abs(w) / length**k for k, w in weights.items())
            blocks.append(_exact(terms, values, size * typical))
    return blocks


def _orders(axis: int, order: int) -> tuple[tuple[int, int], ...]:
    return ((axis, order),) if order else ()


def _exact(terms: list[RowTerm], values: np.ndarray, size: float) -> Block:
    return Block(terms, values, np.full(len(values), EXACT * size), None, True)


def _face(problem: PDE, counts: Sequence[int], axis: int, side: str) -> list[np.ndarray]:
    """Coordinates of a grid on a face, without its edges: there two faces meet, and their data may disagree."""
    coords = []
    for a, ((low, high), n) in enumerate(zip(problem.domain, counts, strict=True)):
        if a == axis:
            coords.append(np.array([low if side == "lower" else high]))
        else:
            coords.append(low + 0.5 * (high - low) * (clenshaw_curtis(n + 2)[0][1:-1] + 1))
    return coords


def _largest(o: Observations) -> float:
    return float(np.abs(np.asarray(o.values)).max())


def _condition_size(problem: PDE, counts: Sequence[int]) -> float:
    """Largest size of the solution that a condition tells of."""
    size = 0.0
    for c in problem.conditions:
        if isinstance(c, Periodic):
            continue
        for axis, side in c.faces(problem.n_axes):
            found = values_on(c.value, _face(problem, counts, axis, side), "condition")  # type: ignore[attr-defined]
            length = problem.domain[axis][1] - problem.domain[axis][0]
            typical = max((abs(w) / length**k for k, w in c.weights(side).items()), default=1.0)
            size = max(size, float(np.abs(found).max()) / (typical or 1.0))
    return size
