"""Sums and products of models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structkit.statespace.forms import Form, System, kron_each

__all__ = ["ProductForm", "SumForm"]


class _Pair(Form):
    """Parameters of a combined form: those of its parts, named by position and name."""

    parts: tuple[Form, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(f"{i}.{name}" for i, part in enumerate(self.parts) for name in part.names)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Values of the parameters."""
        return tuple(value for part in self.parts for value in part.values)

    def replaced(self, values: tuple[float, ...]) -> Form:
        """The model with other parameters."""
        parts, start = [], 0
        for part in self.parts:
            parts.append(part.replaced(values[start : start + len(part.names)]))
            start += len(part.names)
        return type(self)(tuple(parts))  # type: ignore[call-arg, return-value]


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Return stacks of block-diagonal matrices; blocks may be rectangular."""
    heights, widths = zip(*(b.shape[-2:] for b in blocks), strict=True)
    out = np.zeros((*blocks[0].shape[:-2], sum(heights), sum(widths)))
    row = column = 0
    for block, height, width in zip(blocks, heights, widths, strict=True):
        out[..., row : row + height, column : column + width] = block
        row, column = row + height, column + width
    return out


def _spread(parts: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Put the derivatives of each part into its own diagonal block and its own parameters."""
    sizes = [p.shape[-1] for p in parts]
    out = np.zeros((sum(p.shape[0] for p in parts), *shape, sum(sizes), sum(sizes)))
    row = start = 0
    for part, size in zip(parts, sizes, strict=True):
        out[row : row + part.shape[0], ..., start : start + size, start : start + size] = part
        row, start = row + part.shape[0], start + size
    return out


@dataclass(frozen=True)
class SumForm(_Pair):
    """Sum of independent models: stacked states."""

    parts: tuple[Form, ...]

    def system(self) -> System:
        """System matrices."""
        F, L, Qc, H, Pinf = zip(*(part.system() for part in self.parts), strict=True)
        drift, noise, diffusion, prior = (_block_diagonal(list(blocks)) for blocks in (F, L, Qc, Pinf))
        return System(drift, noise, diffusion, np.concatenate(H), prior)

    def scaled(self, factor: float) -> Form:
        """The model times a number."""
        return SumForm(tuple(part.scaled(factor) for part in self.parts))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        a, q = zip(*(part.transitions(dt) for part in self.parts), strict=True)
        return _block_diagonal(list(a)), _block_diagonal(list(q))

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        d_a, d_q = zip(*(part.derivatives(dt) for part in self.parts), strict=True)
        return _spread(list(d_a), dt.shape), _spread(list(d_q), dt.shape)

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        return _spread([part.prior_derivatives() for part in self.parts], ())

    def pulled_back(self, dt: np.ndarray, grad_a: np.ndarray, grad_q: np.ndarray) -> np.ndarray:
        """Derivatives of a scalar: each part reads its own diagonal block, all else does not depend on it."""
        out, start = [], 0
        for part in self.parts:
            block = slice(start, start + part.n_states)
            out.append(part.pulled_back(dt, grad_a[:, block, block], grad_q[:, block, block]))
            start = block.stop
        return np.concatenate(out)


@dataclass(frozen=True)
class ProductForm(_Pair):
    """Product of the covariance functions of two models: Kronecker products of their states."""

    parts: tuple[Form, ...]

    def system(self) -> System:
        """System matrices."""
        one, two = (part.system() for part in self.parts)
        eye = np.eye(len(one.F)), np.eye(len(two.F))
        drift = np.kron(one.F, eye[1]) + np.kron(eye[0], two.F)
        diffusion = np.kron(one.L @ one.Qc @ one.L.T, two.Pinf) + np.kron(one.Pinf, two.L @ two.Qc @ two.L.T)
        return System(drift, np.eye(len(drift)), diffusion, np.kron(one.H, two.H), np.kron(one.Pinf, two.Pinf))

    def scaled(self, factor: float) -> Form:
        """The model times a number."""
        return ProductForm((self.parts[0].scaled(factor), self.parts[1]))

    def transitions(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact steps."""
        one, two = self.parts
        (a1, q1), (a2, q2) = one.transitions(dt), two.transitions(dt)
        p1, p2 = one.system().Pinf, two.system().Pinf
        # P - A P A^T without its cancellation: both terms are positive semi-definite
        return kron_each(a1, a2), kron_each(q1, p2) + kron_each(a1 @ p1 @ a1.transpose(0, 2, 1), q2)

    def derivatives(self, dt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the steps."""
        one, two = self.parts
        (a1, q1), (a2, q2) = one.transitions(dt), two.transitions(dt)
        (da1, dq1), (da2, dq2) = one.derivatives(dt), two.derivatives(dt)
        dp1, dp2 = one.prior_derivatives()[:, None], two.prior_derivatives()[:, None]
        p1, p2 = one.system().Pinf, two.system().Pinf
        d_a = np.concatenate([kron_each(da1, a2), kron_each(a1, da2)])
        carried = a1 @ p1 @ a1.transpose(0, 2, 1)
        first = kron_each(dq1, p2) + kron_each(dp1 - dq1, q2)
        return d_a, np.concatenate([first, kron_each(q1, dp2) + kron_each(carried, dq2)])

    def prior_derivatives(self) -> np.ndarray:
        """Derivatives of the stationary covariance."""
        one, two = self.parts
        first = kron_each(one.prior_derivatives(), two.system().Pinf)
        return np.concatenate([first, kron_each(one.system().Pinf, two.prior_derivatives())])
