"""The published way of solving: Adam on the negative log joint density of values and kernel parameters."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from structkit._core.errors import NotPositiveDefiniteError, ShapeError
from structkit._core.progress import Progress
from structkit.gp import SpectralMixture
from structkit.pde.expansion import Expansion
from structkit.pde.map_objective import ENVELOPES, AxisKernel, MapObjective, MapState
from structkit.pde.problem import PDE
from structkit.pde.sampled import with_callable_source
from structkit.pde.trials import Attempt

__all__ = ["KernelBasis", "MapSettings", "cause_of_map_failure", "solve_map"]

# Points per axis as in the published scripts, by the number of axes.
_POINTS = {1: 400, 2: 200, 3: 40}
_DECAY, _SQUARE_DECAY, _FLOOR = 0.9, 0.999, 1e-8  # of Adam
_MOST_RECORDS = 1000
_SECOND = "matern52"  # envelope of what the second stage adds


@dataclass(frozen=True)
class MapSettings:
    r"""How ``GPSolver(method="map")`` runs; the defaults are those of the published experiments.

    Parameters
    ----------
    envelope : {"matern52", "gaussian"}, default "matern52"
        Envelope of the spectral mixture: bands of frequency are Student-t densities or Gaussians.
    n_components : int, default 30
        Components of the mixture of each axis.
    frequency_scale : float, default 20
        The components start at even frequencies from 0 to this one, in cycles per unit. The published experiments set
        it for each problem, from 20 to 100.
    n_iter : int, default 100000
        Steps of Adam. The published runs take 1e5 to 3e6.
    learning_rate : float, default 0.01
        Of Adam.
    boundary_weight : float, default 200
        Factor of the log likelihood of the conditions.
    jitter : float, default 1e-6
        Added to the diagonal of the covariances.
    relative_jitter : bool, default False
        Whether the jitter is a share of the variance of the kernel; published is an absolute one.
    second_stage : float, in (0, 1), optional
        Share of the steps after which the solution is frozen and a second process is added to it, with one Matern-5/2
        component without a carrier: the published remedy where slow parts are not found, with 0.5 and 0.01 for the two
        problems that it was used for. Default: none.

    Notes
    -----
    The weights have Jeffreys' prior, :math:`p(w) \propto 1 / w`: their logarithms are optimised without a Jacobian.

    Examples
    --------
    >>> from structkit.pde import MapSettings
    >>> MapSettings(frequency_scale=50, n_iter=2000)
    MapSettings(frequency_scale=50, n_iter=2000)
    """

    envelope: str = "matern52"
    n_components: int = 30
    frequency_scale: float = 20.0
    n_iter: int = 100_000
    learning_rate: float = 0.01
    boundary_weight: float = 200.0
    jitter: float = 1e-6
    relative_jitter: bool = False
    second_stage: float | None = None

    def __post_init__(self) -> None:
        if self.envelope not in ENVELOPES:
            raise ValueError(f"envelope = {self.envelope!r}; expected one of {tuple(ENVELOPES)}.")
        for name in ("n_components", "n_iter"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or int(value) < 1:
                raise ValueError(f"{name} = {value!r}; expected a positive whole number.")
        for name in ("frequency_scale", "learning_rate", "boundary_weight", "jitter"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
                raise ValueError(f"{name} = {value!r}; expected a positive number.")
        share = self.second_stage
        if share is not None and not (isinstance(share, numbers.Real) and 0 < float(share) < 1):
            raise ValueError(f"second_stage = {share!r}; expected None or a share between 0 and 1.")

    def __repr__(self) -> str:
        changed = [n for n in self.__dataclass_fields__ if getattr(self, n) != getattr(type(self), n)]
        return f"MapSettings({', '.join(f'{n}={getattr(self, n)!r}' for n in changed)})"


@dataclass(frozen=True)
class _Interval:
    """What is known of an axis besides its basis."""

    lower: float
    upper: float
    lengthscale: float
    frequencies: np.ndarray


@dataclass
class KernelBasis:
    """Covariances with the points of a grid, as the basis functions of one axis.

    Parameters
    ----------
    kernels : sequence of SpectralMixture
        One for each part of the solution.
    x : array, shape ``(n,)``
        The grid.
    """

    kernels: Sequence[SpectralMixture]
    x: np.ndarray
    features: _Interval = field(init=False)

    def __post_init__(self) -> None:
        first = self.kernels[0]
        strongest = int(np.argmax(first.weights))
        frequencies = np.unique(np.abs(first.frequencies))
        self.features = _Interval(
            float(self.x[0]), float(self.x[-1]), float(first.lengthscales[strongest]), frequencies
        )

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.x)

    @property
    def rank(self) -> int:
        """Number of basis functions."""
        return len(self.kernels) * len(self.x)

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """The `order`-th derivative of the functions at any points, shape ``(len(x), rank)``."""
        return np.hstack([np.asarray(k(x, self.x, d1=order)) for k in self.kernels])

    @property
    def parameters(self) -> list[np.ndarray]:
        """Weights, frequencies and lengthscales of each kernel as the rows of arrays ``(3, Q)``."""
        return [np.stack([k.weights, k.frequencies, k.lengthscales]) for k in self.kernels]

    @classmethod
    def of(cls, parameters: Sequence[np.ndarray], envelope: str, x: np.ndarray) -> KernelBasis:
        """The basis for `parameters`; `envelope` is that of the first kernel."""
        envelopes = [envelope, _SECOND][: len(parameters)]
        kernels = [SpectralMixture(*p, envelope=e) for p, e in zip(parameters, envelopes, strict=True)]
        return cls(kernels, x)


class _Adam:
    """Adam's steps on arrays, in place."""

    def __init__(self, arrays: Sequence[np.ndarray], rate: float) -> None:
        self.arrays, self.rate, self.n = arrays, rate, 0
        self.mean = [np.zeros_like(a) for a in arrays]
        self.square = [np.zeros_like(a) for a in arrays]

    def step(self, gradients: Sequence[np.ndarray]) -> None:
        self.n += 1
        first, second = 1 - _DECAY**self.n, 1 - _SQUARE_DECAY**self.n
        for a, g, m, s in zip(self.arrays, gradients, self.mean, self.square, strict=True):
            m += (1 - _DECAY) * (g - m)
            s += (1 - _SQUARE_DECAY) * (g**2 - s)
            a -= self.rate * (m / first) / (np.sqrt(s / second) + _FLOOR)


def solve_map(problem: PDE, settings: MapSettings, n_points: Sequence[int] | None, progress: Progress) -> Attempt:
    """Return the solution after the last step."""
    grid = _grid(problem, n_points)
    source = problem.source if isinstance(problem.source, np.ndarray) else problem.source_on(grid)
    objective = MapObjective(
        problem,
        grid,
        source,
        envelope=settings.envelope,
        boundary_weight=settings.boundary_weight,
        jitter=settings.jitter,
        relative=settings.relative_jitter,
    )
    total, share = settings.n_iter, settings.second_stage
    first = total if share is None else min(max(round(share * total), 1), total - 1)
    run = _Run(objective, _start(grid, settings), settings, first, progress)
    parts = [run]
    if share is not None and run.solved and not progress.stopped:
        added = objective.on_top_of(run.axes, run.state.values, _SECOND)
        start = _start(grid, replace(settings, n_components=1))
        start.log_precisions[0] = run.state.log_precisions[0]
        parts.append(_Run(added, start, settings, total - first, progress))
    u = _summed(grid, parts)
    smooth, _ = with_callable_source(problem)
    coords = [(x[1:] + x[:-1]) / 2 for x in grid]
    last = parts[-1]
    residual, mismatch = u.residual(smooth, coords), last.objective.violation(last.state)
    n_iter, error = sum(p.n_iter for p in parts), max(residual, mismatch)
    return Attempt(u, math.nan, residual, mismatch, last.solved, n_iter, math.inf, u.on(coords), error)


def _summed(grid: Sequence[np.ndarray], parts: Sequence[_Run]) -> Expansion:
    """The sum of the parts, each with kernels of its own."""
    coefficients = np.zeros([len(parts) * len(x) for x in grid])
    for i, part in enumerate(parts):
        own = part.state.values
        for a, axis in enumerate(part.axes):
            own = axis.solve(own, a)
        coefficients[tuple(slice(i * len(x), (i + 1) * len(x)) for x in grid)] = own
    bases = [KernelBasis([part.axes[a].kernel for part in parts], x) for a, x in enumerate(grid)]
    return Expansion(bases, coefficients)  # type: ignore[arg-type]


def _start(grid: Sequence[np.ndarray], settings: MapSettings) -> MapState:
    q = settings.n_components
    kernel = np.stack([np.full(q, -math.log(q)), np.zeros(q), settings.frequency_scale * np.linspace(0, 1, q)])
    return MapState(np.zeros([len(x) for x in grid]), np.zeros(2), [kernel.copy() for _ in grid])


class _Run:
    """Adam on the objective, up to the last step or to the last state with regular covariances."""

    def __init__(
        self, objective: MapObjective, state: MapState, settings: MapSettings, n_iter: int, progress: Progress
    ) -> None:
        self.objective, self.state, self.solved = objective, state, True
        self.axes: list[AxisKernel] = objective.axes(state)
        adam = _Adam(state.arrays, settings.learning_rate)
        every = max(1, settings.n_iter // _MOST_RECORDS)
        progress.stage("Adam", -(-n_iter // every))
        while adam.n < n_iter:
            value, gradient = objective(state, self.axes)
            record = {"stage": "Adam", "iteration": adam.n, "objective": value}
            if adam.n % every == 0 and progress.step(record):
                break
            before = [a.copy() for a in state.arrays]
            adam.step(gradient.arrays)
            try:
                self.axes = objective.axes(state)
            except NotPositiveDefiniteError:
                for a, old in zip(state.arrays, before, strict=True):
                    a[...] = old
                self.axes, self.solved = objective.axes(state), False
                break
        progress.close()
        self.n_iter = adam.n


def _grid(problem: PDE, n_points: Sequence[int] | None) -> list[np.ndarray]:
    """Even grid of every axis; that of the samples of the source where there are any."""
    if problem.grid is not None:
        counts = tuple(len(g) for g in problem.grid)
        if n_points is not None and tuple(n_points) != counts:
            raise ShapeError(
                f'n_points = {tuple(n_points)}; the source has samples on {counts}, which method="map" uses.'
            )
        return [np.linspace(a, b, n) for (a, b), n in zip(problem.domain, counts, strict=True)]
    counts = tuple(n_points or (_POINTS[problem.n_axes],) * problem.n_axes)
    return [np.linspace(a, b, n) for (a, b), n in zip(problem.domain, counts, strict=True)]


def cause_of_map_failure(attempt: Attempt) -> str:
    """Why a solution of the published method is not accurate, and the remedy."""
    if not attempt.solved:
        return (
            f"after {attempt.n_iter} steps a covariance was singular to rounding. Use a larger jitter, fewer points or "
            'fewer steps in MapSettings, or method="galerkin"'
        )
    return (
        f"Adam took {attempt.n_iter} steps, and more would help slowly: the published runs take 1e5 to 3e6, with a "
        'frequency_scale that suits the problem. method="galerkin" needs neither'
    )
