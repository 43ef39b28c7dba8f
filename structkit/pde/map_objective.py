r"""The paper's objective: the negative log joint density of values on an even grid and of all kernel parameters.

With :math:`K_d` the covariance of axis :math:`d` on the grid and :math:`K_d^{(m)}` its derivatives, the solution has
the derivatives :math:`K_d^{(m)} K_d^{-1} U` along that axis. Everything is Toeplitz on an even grid, so kernels are
evaluated at one lag each. Gradients are written out: the reverse of each step, and the kernels' own gradients.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

from structkit._core.errors import NotPositiveDefiniteError
from structkit.gp import SpectralMixture
from structkit.kron import mode_product, multi_mode_product, unfold
from structkit.pde.constraints import Row, select_rows
from structkit.pde.nonlinearity import Nonlinearity
from structkit.pde.operators import Operator
from structkit.pde.problem import PDE

__all__ = ["ENVELOPES", "AxisKernel", "MapObjective", "MapState"]

# How the lengthscale of an envelope follows from the published parameter: log ell = slope log s + shift.
ENVELOPES: Mapping[str, tuple[float, float]] = {"gaussian": (-0.5, -0.5 * math.log(2.0)), "matern52": (-1.0, 0.0)}
Orders = tuple[tuple[int, int], ...]


@dataclass
class AxisKernel:
    """A spectral mixture on the grid of one axis.

    Parameters
    ----------
    x : array, shape ``(n,)``
        Even grid.
    envelope : str
        A key of `ENVELOPES`.
    parameters : array, shape ``(3, Q)``
        Logarithms of the weights, logarithms of the scales, frequencies in cycles per unit.
    jitter : float
        Added to the diagonal.

    Raises
    ------
    NotPositiveDefiniteError
        If the covariance is singular to rounding.
    """

    x: np.ndarray
    envelope: str
    parameters: np.ndarray
    jitter: float
    kernel: SpectralMixture = field(init=False)
    logdet: float = field(init=False)

    def __post_init__(self) -> None:
        slope, shift = ENVELOPES[self.envelope]
        log_w, log_s, f = self.parameters
        self.kernel = SpectralMixture(np.exp(log_w), f, np.exp(slope * log_s + shift), envelope=self.envelope)
        K = np.array(self.block(0))
        K.flat[:: len(K) + 1] += self.jitter
        try:
            self._factor = scipy.linalg.cho_factor(K, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError as err:
            raise NotPositiveDefiniteError(
                f"The covariance of an axis of {len(K)} points is singular to rounding with a jitter of "
                f"{self.jitter:g}. Use a larger jitter, fewer points or fewer steps."
            ) from err
        self.logdet = 2.0 * float(np.log(np.diag(self._factor[0])).sum())
        self.back: dict[int, np.ndarray] = {}

    def block(self, order: int) -> np.ndarray:
        """The `order`-th derivative of the covariance in its first argument, on the grid."""
        return np.asarray(self.kernel(self.x, d1=order))

    def solve(self, tensor: np.ndarray, axis: int) -> np.ndarray:
        """The inverse covariance times a tensor along one of its axes."""
        moved = np.moveaxis(tensor, axis, 0)
        solved = scipy.linalg.cho_solve(self._factor, moved.reshape(len(self.x), -1))
        return np.moveaxis(solved.reshape(moved.shape), 0, axis)

    def inverse(self) -> np.ndarray:
        """The inverse covariance."""
        half, _ = scipy.linalg.lapack.dpotri(self._factor[0], lower=True)
        return np.tril(half) + np.tril(half, -1).T

    def pull(self, order: int, weights: np.ndarray) -> None:
        """Add to the gradient in a derivative of the covariance."""
        self.back[order] = self.back[order] + weights if order in self.back else weights

    def gradient(self) -> np.ndarray:
        """Gradient in the parameters, shape ``(3, Q)``, from what was pulled."""
        total = sum(np.asarray(self.kernel.contract_gradient(self.x, G, d1=m)) for m, G in self.back.items())
        weights, frequencies, lengths = np.reshape(total, (3, -1))
        return np.stack([weights, ENVELOPES[self.envelope][0] * lengths, frequencies])


class _Fields:
    """Derivatives of the values on the grid, and the reverse of taking them; on top of those of a frozen part."""

    def __init__(self, axes: Sequence[AxisKernel], U: np.ndarray, frozen: _Fields | None = None) -> None:
        self.axes, self.frozen = axes, frozen
        self.known: dict[Orders, np.ndarray] = {}
        self.blocks: dict[tuple[int, int], np.ndarray] = {}
        self.solved: dict[tuple[int, ...], np.ndarray] = {(): U}
        self.back: dict[tuple[int, ...], np.ndarray] = {(): np.zeros_like(U)}

    def solution(self, modes: tuple[int, ...]) -> np.ndarray:
        """Inverse covariances of some axes times the values."""
        if modes not in self.solved:
            self.solved[modes] = self.axes[modes[-1]].solve(self.solution(modes[:-1]), modes[-1])
        return self.solved[modes]

    def derivative(self, orders: Orders) -> np.ndarray:
        """A derivative on the grid."""
        if orders not in self.known:
            own = self._applied(orders, self.solution(tuple(a for a, _ in orders)))
            self.known[orders] = own if self.frozen is None else own + self.frozen.derivative(orders)
        return self.known[orders]

    def pull(self, orders: Orders, weights: np.ndarray) -> None:
        """Reverse of `derivative`: add the gradient in a derivative to that in what it is made of."""
        modes = tuple(a for a, _ in orders)
        for axis, order in orders:
            other = self._applied(tuple(o for o in orders if o[0] != axis), self.solution(modes))
            self.axes[axis].pull(order, np.asarray(unfold(weights, axis)) @ np.asarray(unfold(other, axis)).T)
        self.add(modes, self._applied(orders, weights, adjoint=True))

    def add(self, modes: tuple[int, ...], weights: np.ndarray) -> None:
        """Add to the gradient in a solution."""
        self.back[modes] = self.back[modes] + weights if modes in self.back else weights

    def finish(self) -> np.ndarray:
        """Gradient in the values; the part in the covariances goes to the axes."""
        for size in range(len(self.axes), 0, -1):
            for modes in [m for m in self.back if len(m) == size]:
                axis = modes[-1]
                G = self.axes[axis].solve(self.back[modes], axis)
                self.axes[axis].pull(0, -np.asarray(unfold(G, axis)) @ np.asarray(unfold(self.solved[modes], axis)).T)
                self.add(modes[:-1], G)
        return self.back[()]

    def _applied(self, orders: Orders, tensor: np.ndarray, adjoint: bool = False) -> np.ndarray:
        for key in orders:
            if key not in self.blocks:
                self.blocks[key] = self.axes[key[0]].block(key[1])
        if not orders:
            return tensor
        matrices, modes = [self.blocks[key] for key in orders], [a for a, _ in orders]
        if len(modes) == 1:
            return np.asarray(mode_product(tensor, matrices[0].T if adjoint else matrices[0], modes[0]))
        return np.asarray(multi_mode_product(tensor, matrices, modes=modes, adjoint=adjoint))


@dataclass(frozen=True)
class _Linear:
    """A linear operator on the grid: coefficients and orders of its terms."""

    terms: Sequence[tuple[np.ndarray | float, Orders]]

    def value(self, fields: _Fields) -> np.ndarray:
        return sum((c * fields.derivative(orders) for c, orders in self.terms), np.zeros_like(fields.solved[()]))

    def pull(self, fields: _Fields, weights: np.ndarray) -> None:
        for c, orders in self.terms:
            fields.pull(orders, c * weights)


@dataclass(frozen=True)
class _Face:
    """A condition on one face: what is given there, and the orders and weights of the derivatives it is given of."""

    index: tuple[slice, ...]
    parts: Sequence[tuple[Orders, float]]
    data: np.ndarray

    def gap(self, fields: _Fields) -> np.ndarray:
        return sum((w * fields.derivative(orders)[self.index] for orders, w in self.parts), -self.data)

    def pull(self, fields: _Fields, weights: np.ndarray) -> None:
        for orders, w in self.parts:
            G = np.zeros_like(fields.solved[()])
            G[self.index] = w * weights
            fields.pull(orders, G)


@dataclass
class MapState:
    """Everything that is optimised.

    Attributes
    ----------
    values : array, shape ``(n_1, ..., n_D)``
        The solution on the grid.
    log_precisions : array, shape ``(2,)``
        Logarithms of the precisions of conditions and equation.
    kernels : list of array, shapes ``(3, Q)``
        Parameters of each `AxisKernel`.
    """

    values: np.ndarray
    log_precisions: np.ndarray
    kernels: list[np.ndarray]

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays."""
        return [self.values, self.log_precisions, *self.kernels]


class MapObjective:
    """Negative log joint density of a problem and its gradient.

    Parameters
    ----------
    problem : PDE
        The problem, without periodicity.
    grid : sequence of array, shapes ``(n_d,)``
        Even grid of each axis, ends included.
    source : array, shape ``(n_1, ..., n_D)``
        The source on the grid.
    envelope : str
        A key of `ENVELOPES`.
    boundary_weight : float
        Factor of the log likelihood of the conditions.
    jitter : float
        Added to the diagonal of the covariances.
    relative : bool
        Whether the jitter is a share of the variance.
    """

    def __init__(
        self,
        problem: PDE,
        grid: Sequence[np.ndarray],
        source: np.ndarray,
        *,
        envelope: str = "matern52",
        boundary_weight: float = 200.0,
        jitter: float = 1e-6,
        relative: bool = False,
    ) -> None:
        self.grid, self.source, self.envelope = grid, source, envelope
        self._frozen: _Fields | None = None
        self.boundary_weight, self.jitter, self.relative = boundary_weight, jitter, relative
        coefficients = problem.coefficients_on(grid, {})
        self.linear = _Linear([(c, t.orders) for t, c in zip(problem.operator.terms, coefficients, strict=True)])
        self.nonlinearity: Nonlinearity | None = problem.nonlinearity
        self.arguments = [self._on_grid(o) for o in (self.nonlinearity.operators if self.nonlinearity else ())]
        kept, extra = select_rows(problem)
        self.faces = [self._face(problem, row) for row in [r for rows in kept for r in rows] + extra]

    def _on_grid(self, operator: Operator) -> _Linear:
        grids = np.meshgrid(*self.grid, indexing="ij", sparse=True)
        return _Linear([(t.coefficient.at(grids, {}), t.orders) for t in operator.terms])

    def _face(self, problem: PDE, row: Row) -> _Face:
        if row.side == "both":
            raise ValueError('method="map" knows no Periodic conditions. Use method="galerkin".')
        end = slice(0, 1) if row.side == "lower" else slice(-1, None)
        index = tuple(end if a == row.axis else slice(None) for a in range(problem.n_axes))
        parts = [(((row.axis, k),) if k else (), w) for k, w in row.weights]
        return _Face(index, parts, row.data(problem, self.grid))

    def on_top_of(self, axes: Sequence[AxisKernel], values: np.ndarray, envelope: str) -> MapObjective:
        """The objective of what is added to a frozen solution."""
        added = copy.copy(self)
        added.envelope, added._frozen = envelope, _Fields(axes, values)
        return added

    def axes(self, state: MapState) -> list[AxisKernel]:
        """Covariances of all axes."""
        return [
            AxisKernel(x, self.envelope, p, self.jitter * (np.exp(p[0]).sum() if self.relative else 1.0))
            for x, p in zip(self.grid, state.kernels, strict=True)
        ]

    def violation(self, state: MapState) -> float:
        """Largest violation of a condition on the grid over the largest of all values and of what is given."""
        fields = _Fields(self.axes(state), state.values, self._frozen)
        sizes = [float(np.abs(v).max()) for v in (state.values, *(face.data for face in self.faces))]
        return max(float(np.abs(face.gap(fields)).max()) for face in self.faces) / (max(sizes) or 1.0)

    def __call__(self, state: MapState, axes: Sequence[AxisKernel] | None = None) -> tuple[float, MapState]:
        """Value and gradient; `axes` are the covariances of the state where these are known."""
        axes = self.axes(state) if axes is None else axes
        fields = _Fields(axes, state.values, self._frozen)
        tau, v = map(float, np.exp(state.log_precisions))
        every = tuple(range(len(axes)))
        alpha = fields.solution(every)
        value = 0.5 * float(np.vdot(state.values, alpha))
        fields.add(every, 0.5 * state.values)
        fields.add((), 0.5 * alpha)
        for axis in axes:
            repeats = state.values.size // len(axis.x)
            value += 0.5 * repeats * axis.logdet
            axis.pull(0, 0.5 * repeats * axis.inverse())
        squares, count = self._conditions(fields, tau)
        equation = self._equation(fields, v)
        n_values = state.values.size
        weight = 0.5 * self.boundary_weight
        value += weight * (tau * squares - count * float(state.log_precisions[0]))
        value += 0.5 * (v * equation - n_values * float(state.log_precisions[1]))
        slopes = [weight * (tau * squares - count), 0.5 * (v * equation - n_values)]
        back = fields.finish()
        return value, MapState(back, np.array(slopes), [self._kernel_gradient(a) for a in axes])

    def _kernel_gradient(self, axis: AxisKernel) -> np.ndarray:
        gradient = axis.gradient()
        if self.relative:  # the jitter grows with the weights
            gradient[0] += np.trace(axis.back[0]) * self.jitter * np.exp(axis.parameters[0])
        return gradient

    def _conditions(self, fields: _Fields, tau: float) -> tuple[float, int]:
        """Sum and number of the squared violations of conditions."""
        squares, count = 0.0, 0
        for face in self.faces:
            gap = face.gap(fields)
            squares, count = squares + float(np.sum(gap**2)), count + gap.size
            face.pull(fields, self.boundary_weight * tau * gap)
        return squares, count

    def _equation(self, fields: _Fields, v: float) -> float:
        """Sum of the squared residuals of the equation."""
        residual = self.linear.value(fields) - self.source
        values = [a.value(fields) for a in self.arguments]
        if self.nonlinearity is not None:
            residual = residual + self.nonlinearity.value(values)
        weights = v * residual
        self.linear.pull(fields, weights)
        if self.nonlinearity is not None:
            for slope, argument in zip(self.nonlinearity.slopes(values), self.arguments, strict=True):
                argument.pull(fields, slope * weights)
        return float(np.sum(residual**2))
