"""The kernels of `numba_kalman` on torch tensors, over a batch of series at once and differentiable in every argument.

Arrays are returned instead of written; series share the transitions. See `numba_kalman` for the formulas.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["filter_steps", "interpolate", "marginals", "smooth_steps", "smoothed_states"]


def _sym(x: Tensor) -> Tensor:
    """Return the symmetric parts of a stack of matrices."""
    return (x + x.mT) / 2


def _blocks(a: Tensor, copies: int) -> Tensor:
    """Return ``kron(I, a)`` for a stack of matrices."""
    s = a.shape[-1]
    eye = torch.eye(copies, dtype=a.dtype, device=a.device)
    product = eye[:, None, :, None] * a[..., None, :, None, :]
    return product.reshape(*a.shape[:-2], copies * s, copies * s)


def _scaled(q: Tensor, scale: Tensor) -> Tensor:
    """Return ``kron(I, q)`` with the scale of each copy on both sides."""
    flat = scale.reshape(-1)
    return _blocks(q, len(scale)) * (flat[:, None] * flat)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return products of a stack of matrices with a stack of vectors."""
    return (matrix @ vector[..., None])[..., 0]


class _Model:
    """Transitions of all copies, in the dtype and on the device of the observations."""

    def __init__(self, a: object, q: object, p0: object, h: object, scale: object, information: Tensor) -> None:
        copies = information.shape[-1]
        a, q, p0, h, scale = (torch.as_tensor(x).to(information) for x in (a, q, p0, h, scale))
        self.a, self.q, self.p0 = _blocks(a, copies), _scaled(q, scale), _scaled(p0, scale)
        eye = torch.eye(copies, dtype=h.dtype, device=h.device)
        self.output, self.lift = torch.kron(eye, h), torch.kron(eye, h / (h @ h)).mT

    def before(
        self, i: int, mean: list[Tensor] | Tensor, cov: list[Tensor] | Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the moments of step `i` before its observation; `like` has the shape of a batch of vectors."""
        m = len(self.p0)
        if i == 0:
            return like.new_zeros(*like.shape[:-1], m), self.p0.expand(*like.shape[:-1], m, m)
        return _times(self.a[i], mean[i - 1]), _sym(self.a[i] @ cov[i - 1] @ self.a[i].mT) + self.q[i]


class _Observation:
    """One observation of every series, in coordinates that split the outputs from what is orthogonal to them."""

    def __init__(self, model: _Model, precision: Tensor, information: Tensor, mean: Tensor, cov: Tensor) -> None:
        self.model, self.mean, self.cov = model, mean, cov
        self.spread = _sym(model.output @ cov @ model.output.mT)
        self.cross = cov @ model.output.mT - model.lift @ self.spread
        eye = torch.eye(information.shape[-1], dtype=cov.dtype, device=cov.device)
        scaled = eye + precision @ self.spread
        self.inverse = torch.linalg.inv(scaled)
        self.gain = _sym(self.inverse @ precision)
        f = _times(model.output, mean)
        self.residual = information - _times(precision, f)
        self.after = _sym(self.spread @ self.inverse)
        quadratic = (f * (information + self.residual)).sum(-1) + (
            self.residual * _times(self.after, self.residual)
        ).sum(-1)
        self.log_z = (quadratic - torch.logdet(scaled)) / 2

    def filtered(self) -> tuple[Tensor, Tensor]:
        """Return the moments after the observation."""
        lift = self.model.lift
        lifted = self.cross @ self.inverse
        mean = self.mean + _times(lifted + lift @ self.after, self.residual)
        before, after = self.cross @ lift.mT, lifted @ lift.mT
        before = before + before.mT + lift @ self.spread @ lift.mT
        after = after + after.mT + lift @ self.after @ lift.mT
        return mean, (self.cov - before) - _sym(self.cross @ self.gain @ self.cross.mT) + after

    def adjoint(self, score: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adjoints before the observation from those after it."""
        output, lift = self.model.output, self.model.lift
        slopes = lift @ self.inverse.mT - self.cross @ self.gain
        kept = torch.eye(len(lift), dtype=score.dtype, device=score.device) - lift @ output
        jacobian = kept + slopes @ output
        information = _times(self.inverse, self.residual) + _times(slopes.mT, score)
        pulled = _sym(jacobian.mT @ curvature @ jacobian)
        return _times(kept.mT, score) + _times(output.mT, information), pulled + output.mT @ self.gain @ output


def filter_steps(
    a: object, q: object, p0: object, h: object, scale: object, precision: Tensor, information: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return filtered moments ``(..., T, m)``, ``(..., T, m, m)`` and log Z ``(...)``."""
    model = _Model(a, q, p0, h, scale, information)
    means: list[Tensor] = []
    covs: list[Tensor] = []
    log_z = information.new_zeros(information.shape[:-2])
    for i in range(information.shape[-2]):
        here = information[..., i, :]
        step = _Observation(model, precision[..., i, :, :], here, *model.before(i, means, covs, here))
        mean, cov = step.filtered()
        means.append(mean)
        covs.append(cov)
        log_z = log_z + step.log_z
    return torch.stack(means, -2), torch.stack(covs, -3), log_z


def smooth_steps(
    a: object,
    q: object,
    p0: object,
    h: object,
    scale: object,
    precision: Tensor,
    information: Tensor,
    mean: Tensor,
    cov: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the adjoints ``(..., T, m)``, ``(..., T, m, m)`` of the predicted states."""
    model = _Model(a, q, p0, h, scale, information)
    means, covs = mean.unbind(-2), cov.unbind(-3)
    score, curvature = torch.zeros_like(means[0]), torch.zeros_like(covs[0])
    scores, curvatures = [], []
    for i in reversed(range(len(means))):
        here = information[..., i, :]
        step = _Observation(model, precision[..., i, :, :], here, *model.before(i, means, covs, here))  # type: ignore[arg-type]
        score, curvature = step.adjoint(score, curvature)
        scores.append(score)
        curvatures.append(curvature)
        score, curvature = _times(model.a[i].mT, score), _sym(model.a[i].mT @ curvature @ model.a[i])
    return torch.stack(scores[::-1], -2), torch.stack(curvatures[::-1], -3)


def _with_future(
    a: Tensor, rows: Tensor, score: Tensor, curvature: Tensor, mean: Tensor, cov: Tensor
) -> tuple[Tensor, Tensor]:
    """Add what later observations say to a stack of moments; `rows` is their covariance with the states."""
    carried = rows @ a.mT
    return mean + _times(carried, score), cov - carried @ curvature @ carried.mT


def marginals(
    h: object, a: object, mean: Tensor, cov: Tensor, score: Tensor, curvature: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the smoothed moments ``(..., T, R)``, ``(..., T, R, R)`` of the outputs."""
    output = _output(h, mean)
    full_mean, full_cov = smoothed_states(a, mean, cov, score, curvature)
    return full_mean @ output.mT, output @ full_cov @ output.mT


def _output(h: object, mean: Tensor) -> Tensor:
    """Return ``kron(I, h)``."""
    row = torch.as_tensor(h).to(mean)
    return torch.kron(torch.eye(mean.shape[-1] // len(row), dtype=mean.dtype, device=mean.device), row)


def smoothed_states(a: object, mean: Tensor, cov: Tensor, score: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smoothed moments ``(..., T, m)``, ``(..., T, m, m)`` of the states."""
    step = torch.as_tensor(a).to(mean)
    big = _blocks(step, mean.shape[-1] // step.shape[-1])[1:]
    earlier = mean[..., :-1, :], cov[..., :-1, :, :]
    inner = _with_future(big, earlier[1], score[..., 1:, :], curvature[..., 1:, :, :], *earlier)
    return torch.cat([inner[0], mean[..., -1:, :]], -2), torch.cat([inner[1], cov[..., -1:, :, :]], -3)


def interpolate(
    left: np.ndarray,
    a1: object,
    q1: object,
    a2: object,
    p0: object,
    h: object,
    scale: object,
    mean: Tensor,
    cov: Tensor,
    score: Tensor,
    curvature: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the moments ``(..., S, R)``, ``(..., S, R, R)`` of the outputs between the steps `left` and the next."""
    output = _output(h, mean)
    copies, n = len(output), mean.shape[-2]
    first, second = (_blocks(torch.as_tensor(x).to(mean), copies) for x in (a1, a2))
    factor = torch.as_tensor(scale).to(mean)
    noise, prior = (_scaled(torch.as_tensor(x).to(mean), factor) for x in (q1, p0))
    index = torch.as_tensor(left, device=mean.device)
    before, after = index.clamp(min=0), (index + 1).clamp(max=n - 1)
    outside, last = (index < 0)[:, None], (index + 1 == n)[:, None]
    start = _times(first, mean[..., before, :]).masked_fill(outside, 0)
    here = _sym(first @ cov[..., before, :, :] @ first.mT) + noise
    here = torch.where(outside[..., None], prior, here)
    future = score[..., after, :].masked_fill(last, 0), curvature[..., after, :, :].masked_fill(last[..., None], 0)
    full_mean, full_cov = _with_future(second, here, *future, start, here)
    return full_mean @ output.mT, output @ full_cov @ output.mT
