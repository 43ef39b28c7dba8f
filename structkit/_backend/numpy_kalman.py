"""The kernels of `numba_kalman` in plain numpy: same functions, same results, for machines without a compiler."""

from __future__ import annotations

import numpy as np

__all__ = ["filter_steps", "gradient", "interpolate", "marginals", "propagate", "smooth_steps", "smoothed_states"]


def _sym(x: np.ndarray) -> np.ndarray:
    """Return the symmetric part of a matrix."""
    return (x + x.T) / 2


def _blocks(a: np.ndarray, copies: int) -> np.ndarray:
    """Return ``kron(I, a)``."""
    return np.kron(np.eye(copies, dtype=a.dtype), a)


def _scaled(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return ``kron(I, q)`` with the scale of each copy on both sides."""
    return _blocks(q, len(scale)) * np.outer(scale, scale)


def _predict(
    a: np.ndarray, q: np.ndarray, scale: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments one transition later."""
    big = _blocks(a, len(scale))
    return big @ mean, _sym(big @ cov @ big.T) + _scaled(q, scale)


class _Observation:
    """One observation at a predicted state, in coordinates that split the outputs from what is orthogonal to them."""

    def __init__(
        self, h: np.ndarray, precision: np.ndarray, information: np.ndarray, mean: np.ndarray, cov: np.ndarray
    ) -> None:
        copies = len(information)
        eye = np.eye(copies, dtype=cov.dtype)
        self.mean, self.cov = mean, cov
        self.output, self.lift = np.kron(eye, h), np.kron(eye, h / (h @ h)).T
        self.spread = _sym(self.output @ cov @ self.output.T)
        self.cross = cov @ self.output.T - self.lift @ self.spread
        scaled = eye + precision @ self.spread
        self.inverse = np.linalg.inv(scaled)
        sign, logdet = np.linalg.slogdet(scaled)
        self.gain = _sym(self.inverse @ precision)
        f = self.output @ mean
        self.residual = information - precision @ f
        self.after = _sym(self.spread @ self.inverse)
        value = information @ f - f @ precision @ f / 2 + self.residual @ self.after @ self.residual / 2
        self.log_z = float(value - logdet / 2) if sign > 0 else float("nan")

    def filtered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments after the observation."""
        lifted = self.cross @ self.inverse
        mean = self.mean + (lifted + self.lift @ self.after) @ self.residual
        before = self.cross @ self.lift.T
        before = before + before.T + self.lift @ self.spread @ self.lift.T
        after = lifted @ self.lift.T
        after = after + after.T + self.lift @ self.after @ self.lift.T
        return mean, (self.cov - before) - _sym(self.cross @ self.gain @ self.cross.T) + after

    def adjoint(self, score: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the adjoints before the observation from those after it."""
        slopes = self.lift @ self.inverse.T - self.cross @ self.gain
        kept = np.eye(len(score), dtype=score.dtype) - self.output.T @ self.lift.T
        jacobian = kept.T + slopes @ self.output
        information = self.inverse @ self.residual + slopes.T @ score
        pulled = jacobian.T @ curvature @ jacobian
        return kept @ score + self.output.T @ information, _sym(pulled) + self.output.T @ self.gain @ self.output


def _before(
    i: int, a: np.ndarray, q: np.ndarray, p0: np.ndarray, scale: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of step `i` before its observation."""
    if i == 0:
        return np.zeros_like(mean[0]), _scaled(p0, scale)
    return _predict(a[i], q[i], scale, mean[i - 1], cov[i - 1])


def filter_steps(
    a: np.ndarray,
    q: np.ndarray,
    p0: np.ndarray,
    h: np.ndarray,
    scale: np.ndarray,
    precision: np.ndarray,
    information: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
) -> float:
    """Write the filtered moments ``(T, m)``, ``(T, m, m)``; return log Z, NaN where a precision is not semi-definite.

    ``a[i]``, ``q[i]`` of shape ``(s, s)`` lead from step ``i - 1`` to step `i`; those of step 0, whose state has mean
    zero and covariance ``kron(I, p0)``, are not read. Noise and prior of copy `r` are multiplied by ``scale[r]``,
    shape ``(R, s)``, from both sides; it has to commute with `a`.
    """
    log_z = 0.0
    for i in range(len(information)):
        mean[i], cov[i] = _before(i, a, q, p0, scale, mean, cov)
        if precision[i].any() or information[i].any():
            step = _Observation(h, precision[i], information[i], mean[i], cov[i])
            mean[i], cov[i] = step.filtered()
            log_z += step.log_z
    return log_z


def smooth_steps(
    a: np.ndarray,
    q: np.ndarray,
    p0: np.ndarray,
    h: np.ndarray,
    scale: np.ndarray,
    precision: np.ndarray,
    information: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
) -> None:
    """Write `score` ``(T, m)`` and `curvature` ``(T, m, m)`` of the predicted states from the filtered moments."""
    n_steps, copies = information.shape
    for i in reversed(range(n_steps)):
        if i + 1 < n_steps:
            big = _blocks(a[i + 1], copies)
            score[i], curvature[i] = big.T @ score[i + 1], _sym(big.T @ curvature[i + 1] @ big)
        else:
            score[i], curvature[i] = 0, 0
        if precision[i].any() or information[i].any():
            before = _before(i, a, q, p0, scale, mean, cov)
            step = _Observation(h, precision[i], information[i], *before)
            score[i], curvature[i] = step.adjoint(score[i], curvature[i])


def _outputs(h: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``H cov`` and the moments ``H mean``, ``H cov H^T`` of a stack of states."""
    m = mean.shape[1]
    output = np.kron(np.eye(m // len(h), dtype=h.dtype), h)
    rows = output @ cov
    return rows, mean @ output.T, rows @ output.T


def _add_future(
    a: np.ndarray, rows: np.ndarray, score: np.ndarray, curvature: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> None:
    """Add what the later observations say to a stack of moments; `rows` is their covariance with the states."""
    n, r, m = rows.shape
    s = a.shape[-1]
    carried = np.einsum("nkl,nrcl->nrck", a, rows.reshape(n, r, m // s, s)).reshape(n, r, m)
    mean += np.einsum("nri,ni->nr", carried, score)
    cov -= carried @ curvature @ carried.transpose(0, 2, 1)


def marginals(
    h: np.ndarray,
    a: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
    f_mean: np.ndarray,
    f_cov: np.ndarray,
) -> None:
    """Write the smoothed moments ``(T, R)``, ``(T, R, R)`` of the outputs."""
    rows, f_mean[:], f_cov[:] = _outputs(h, mean, cov)
    _add_future(a[1:], rows[:-1], score[1:], curvature[1:], f_mean[:-1], f_cov[:-1])


def smoothed_states(
    a: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
    out_mean: np.ndarray,
    out_cov: np.ndarray,
) -> None:
    """Write the smoothed moments ``(T, m)``, ``(T, m, m)`` of the states."""
    out_mean[:], out_cov[:] = mean, cov
    _add_future(a[1:], cov[:-1], score[1:], curvature[1:], out_mean[:-1], out_cov[:-1])


def gradient(
    a: np.ndarray,
    q: np.ndarray,
    p0: np.ndarray,
    scale: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
    grad_a: np.ndarray,
    grad_q: np.ndarray,
    grad_p0: np.ndarray,
    grad_scale: np.ndarray,
) -> None:
    """Write the derivatives of log Z in `a`, `q`, `p0`, summed over copies, and in `scale`; step 0 has none."""
    n, (copies, s) = len(mean), scale.shape
    grad = ((score[:, :, None] * score[:, None, :] - curvature) / 2).reshape(n, copies, s, copies, s)
    own = np.einsum("nrkrl->nrkl", grad)
    diagonal = np.einsum("nrkl,rk,rl->nkl", own, scale, scale)
    grad_p0[:] = diagonal[0]
    grad_a[0], grad_q[0], grad_q[1:] = 0, 0, diagonal[1:]
    grad_scale[:] = 2 * np.einsum("rkl,kl,rl->rk", own[0], p0, scale)
    grad_scale[:] += 2 * np.einsum("nrkl,nkl,rl->rk", own[1:], q[1:], scale)
    before = cov[:-1].reshape(n - 1, copies, s, copies, s)
    grad_a[1:] = 2 * np.einsum("nrkcp,npt,nctrl->nkl", grad[1:], a[1:], before, optimize=True)
    blocks = (n, copies, s)
    grad_a[1:] += np.einsum("nrk,nrl->nkl", score.reshape(blocks)[1:], mean.reshape(blocks)[:-1])


def interpolate(
    left: np.ndarray,
    a1: np.ndarray,
    q1: np.ndarray,
    a2: np.ndarray,
    p0: np.ndarray,
    h: np.ndarray,
    scale: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    score: np.ndarray,
    curvature: np.ndarray,
    f_mean: np.ndarray,
    f_cov: np.ndarray,
) -> None:
    """Write the moments ``(S, R)``, ``(S, R, R)`` of the outputs between steps ``left[n]`` and ``left[n] + 1``.

    ``a1[n]``, ``q1[n]`` lead from the left step to the query, ``a2[n]`` from there to the right step. ``left = -1`` is
    before the first step (`a1`, `q1` are not read), ``left = T - 1`` after the last one (`a2` is not read).
    """
    n_steps, m = mean.shape
    states = [
        _predict(a1[n], q1[n], scale, mean[i], cov[i]) if i >= 0 else (np.zeros_like(mean[0]), _scaled(p0, scale))
        for n, i in enumerate(left)
    ]
    starts, covs = np.empty((len(left), m), mean.dtype), np.empty((len(left), m, m), mean.dtype)
    for n, (start, here) in enumerate(states):
        starts[n], covs[n] = start, here
    rows, f_mean[:], f_cov[:] = _outputs(h, starts, covs)
    inside = np.flatnonzero(left + 1 < n_steps)
    moments = f_mean[inside], f_cov[inside]
    _add_future(a2[inside], rows[inside], score[left[inside] + 1], curvature[left[inside] + 1], *moments)
    f_mean[inside], f_cov[inside] = moments


def propagate(a: np.ndarray, paths: np.ndarray) -> None:
    """Turn the noise of each step, shape ``(N, T, s)``, into the states of `N` paths, in place."""
    for i in range(1, paths.shape[1]):
        paths[:, i] += paths[:, i - 1] @ a[i].T
