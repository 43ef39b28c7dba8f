"""Learning of hyperparameters by evidence: starts, ascent, curvature, and draws that carry their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.optimize

from structkit.pde.evidence import Evidence, Hyperparameters, row_posterior
from structkit.pde.knowns import Knowns

__all__ = ["Objective", "Optimum", "climb", "curvature_root", "draws", "exact_misfit", "start_weights"]

# Prior standard deviations of the logarithms of weights, length-scales and noises around where they start: wide, so
# that what the data leave open stays finite.
_WIDTH_WEIGHT, _WIDTH_RATIO, _WIDTH_NOISE = 3.0, 1.0, 5.0
_RATIO = math.log(0.35)
# All carriers share the length-scale: without an upper limit a strong carrier of constant amplitude would forbid slow
# components to bend, and bands would be too narrow.
_RATIO_LIMITS = (math.log(0.06), math.log(0.6))
_NOISE_LIMITS = (1e-7, 3.0)  # of the size of the data


class Objective:
    """Penalised log evidence in scaled free variables, to be minimised.

    Parameters
    ----------
    evidence : Evidence
        The evidence.
    start : Hyperparameters
        Centre of the priors, and values of what is fixed.
    knowns : Knowns
        Sizes of the data.
    bounds : sequence of (float, float)
        Limits of each physical parameter.
    steps : sequence of float
        Unit in which each physical parameter is counted.
    fixed_ratios : bool
        Whether the length-scales stay.
    """

    def __init__(
        self,
        evidence: Evidence,
        start: Hyperparameters,
        knowns: Knowns,
        bounds: Sequence[tuple[float, float]],
        steps: Sequence[float],
        fixed_ratios: bool,
    ) -> None:
        self.evidence, self.start = evidence, start
        n_weights, d = sum(map(len, start.log_weights)), len(start.log_ratios)
        n_noise = len(start.log_noise)
        self.theta = start.pack()
        self.center = self.theta.copy()
        self.center[n_weights : n_weights + d] = _RATIO
        widths = [_WIDTH_WEIGHT] * n_weights + [_WIDTH_RATIO] * d + [_WIDTH_NOISE] * n_noise
        self.precision = np.array([w**-2 for w in widths] + [0.0] * len(steps))
        self.scale = np.array([1.0] * (n_weights + d + n_noise) + list(steps))
        self.free = np.ones(len(self.theta), bool)
        self.free[n_weights : n_weights + d] = not fixed_ratios
        noise = [(math.log(_NOISE_LIMITS[0] * s), math.log(_NOISE_LIMITS[1] * s)) for s in knowns.sizes.values()]
        reach = [(t - 12.0, t + 12.0) for t in self.theta[:n_weights]]
        self.limits = np.array(reach + [_RATIO_LIMITS] * d + noise + list(bounds))

    def hyperparameters(self, x: np.ndarray) -> Hyperparameters:
        """Hyperparameters for free variables."""
        theta = self.theta.copy()
        theta[self.free] = x * self.scale[self.free]
        return self.start.unpack(theta)

    def variables(self, h: Hyperparameters) -> np.ndarray:
        """Free variables of hyperparameters."""
        return (h.pack() / self.scale)[self.free]

    @property
    def box(self) -> np.ndarray:
        """Limits of the free variables, shape ``(n, 2)``."""
        return (self.limits / self.scale[:, None])[self.free]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative penalised log evidence and gradient."""
        h = self.hyperparameters(x)
        value, gradient = self.evidence.value_and_gradient(h)
        off = h.pack() - self.center
        value -= 0.5 * float(np.sum(self.precision * off**2))
        return -value, (-(gradient - self.precision * off) * self.scale)[self.free]


@dataclass(frozen=True)
class Optimum:
    """Where the ascent ended.

    Attributes
    ----------
    x : array
        Free variables.
    value : float
        Negative penalised log evidence.
    converged : bool
        Whether the gradient vanished, or progress was down to rounding.
    n_iter : int
        Steps.
    """

    x: np.ndarray
    value: float
    converged: bool
    n_iter: int


def climb(objective: Objective, x: np.ndarray, max_iter: int, report: Callable[[float], bool]) -> Optimum:
    """Maximise the evidence by L-BFGS from `x`."""
    box = objective.box
    last = {"value": math.inf}

    def evaluate(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(v)
        last["value"] = value
        return value, gradient

    def each(_: np.ndarray) -> None:
        if report(-last["value"]):
            raise StopIteration

    found = scipy.optimize.minimize(
        evaluate,
        np.clip(x, box[:, 0], box[:, 1]),
        jac=True,
        method="L-BFGS-B",
        bounds=box,
        callback=each,
        options={"maxiter": max_iter, "ftol": 1e-8, "gtol": 1e-3, "maxcor": 20},
    )
    return Optimum(found.x, float(found.fun), found.status != 1, int(found.nit))


def curvature_root(objective: Objective, x: np.ndarray) -> np.ndarray:
    """Square root of the covariance of the free variables in Laplace's approximation, shape ``(n, n)``.

    The Hessian comes from differences of gradients over a third of a standard deviation of each variable.
    """
    n, box = len(x), objective.box
    steps = np.full(n, 1e-3)
    root = np.eye(n)
    for _ in range(2):
        H = np.empty((n, n))
        for i in range(n):
            up, down = x.copy(), x.copy()
            up[i], down[i] = min(x[i] + steps[i], box[i, 1]), max(x[i] - steps[i], box[i, 0])
            H[i] = (objective(up)[1] - objective(down)[1]) / (up[i] - down[i])
        values, vectors = scipy.linalg.eigh(0.5 * (H + H.T))
        root = vectors / np.sqrt(np.maximum(values, _WIDTH_NOISE**-2))
        steps = np.clip(np.linalg.norm(root, axis=1) / 3, 1e-8, 0.3)
    return root


def draws(
    objective: Objective, optimum: Optimum, root: np.ndarray, n: int, rng: np.random.Generator
) -> list[tuple[float, Hyperparameters]]:
    """Weights and hyperparameters that stand for their posterior: the mode and `n` pairs around it.

    Drawn from Laplace's approximation and weighted by how the evidence differs from it; weights are truncated [1]_ so
    that no single draw takes over.

    References
    ----------
    .. [1] Ionides, "Truncated importance sampling", J. Comput. Graph. Stat. 17, 2008.
    """
    box = objective.box
    points, logs = [optimum.x], [0.0]
    for z in rng.standard_normal((n, root.shape[1])):
        for signed in (z, -z):
            x = np.clip(optimum.x + root @ signed, box[:, 0], box[:, 1])
            points.append(x)
            logs.append(optimum.value - objective(x)[0] + 0.5 * float(z @ z))
    weights = np.exp(np.minimum(np.array(logs), 50.0))
    weights = np.minimum(weights, weights.mean() * math.sqrt(len(weights)))
    weights /= weights.sum()
    return [(float(w), objective.hyperparameters(x)) for w, x in zip(weights, points, strict=True)]


def start_weights(evidence: Evidence, knowns: Knowns, h: Hyperparameters) -> Hyperparameters:
    """Let every carrier make up the source, but be no larger than what was seen of the solution."""
    design = evidence.design(h)
    rows = design.rows(knowns.blocks[0], h.parameters) ** 2
    limit = (2 * knowns.size) ** 2
    weights = []
    for groups, logs in zip(design.groups, h.log_weights, strict=True):
        strength = np.array([np.sum(rows[:, groups == q], axis=1).mean() for q in range(len(logs))])
        # Per carrier, the variance of the solution that has the source's size.
        wanted = (
            np.full(len(logs), limit)
            if knowns.source_size == 0
            else knowns.source_size**2 / np.maximum(strength, 1e-300)
        )
        if limit:
            wanted = np.minimum(wanted, limit)
        wanted = np.maximum(wanted, 1e-8 * wanted.max())
        weights.append(np.log(wanted) / len(h.log_weights))
    return replace(h, log_weights=tuple(weights))


def exact_misfit(evidence: Evidence, h: Hyperparameters) -> float:
    """Relative residual of the exact rows that the features leave."""
    design = evidence.design(h)
    A, b, _ = evidence.whitened(h, design)
    n = evidence.n_exact
    residual = row_posterior(A[:n], b[:n]).residual
    return float(np.linalg.norm(residual) / (np.linalg.norm(b[:n]) or 1.0))
