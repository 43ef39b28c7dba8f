"""Compiled Kalman filter, smoother and interpolation for independent copies of a small linear state-space model.

The state of ``m = R s`` numbers holds `R` copies, copy slowest, of a model with `s` states and output ``h``; step `i`
observes the `R` outputs ``f`` through the factor ``exp(information[i] @ f - f @ precision[i] @ f / 2)``. No matrix but
``I + precision @ cov(f)``, whose eigenvalues are at least one, is ever inverted, so that repeated times, states without
noise, precisions that are singular, zero or huge, and steps of any length need no special treatment.

The covariance is updated in coordinates that split the outputs from what is orthogonal to them: the variance of the
outputs, which informative data make tiny beside the other entries, then keeps its relative accuracy when ``h`` is a
unit vector. The smoother is the modified Bryson-Frazier recursion [1]_: `score` and `curvature` are ``r``, ``N`` with
``d log Z / d mean = r`` and ``d log Z / d cov = (r r^T - N) / 2`` at the predicted states.

.. [1] Bierman, "Fixed interval smoothing with discrete measurements", Int. J. Control 18, 1973.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import numpy as np

from structkit._backend.numba_kalman_steps import (
    add_future,
    add_gradient,
    apply,
    combine,
    correct,
    gain,
    is_empty,
    jit,
    normalise,
    outputs,
    predict,
    prior_moments,
    project,
    pull_curvature,
    pull_score,
    read,
    symmetric_product,
    transpose_step,
    weigh_residual,
)
from structkit._backend.numba_kernels import _declared

__all__ = ["filter_steps", "gradient", "interpolate", "marginals", "propagate", "smooth_steps", "smoothed_states"]

_MAX_SIZED = 3  # states up to which filter and smoother of one output are compiled for their number


@functools.cache
def _kernel(function: Callable[..., object], signature: str, name: str) -> Callable[..., object]:
    """Compile one kernel for one element type, or load it from the file cache; digits stand for axes of ``const``."""
    axes = {"1": "[::1]", "2": "[:, ::1]", "3": "[:, :, ::1]"}
    signature = re.sub(r"T([123])", lambda found: name + axes[found[1]], signature)
    return jit([re.sub(r"const (\w+)\[(.*?)\]", _declared, signature)])(function)


def _filter(s, copies, a, q, p0, h, scale, precision, information, mean, cov):  # type: ignore[no-untyped-def]
    m = s * copies
    work = np.empty((m, m), mean.dtype)
    cross, lifted, weighted = np.empty((3, copies, m), mean.dtype)
    spread, after, x, w, small = np.empty((5, copies, copies), mean.dtype)
    residual, unit = np.empty(copies, mean.dtype), np.empty(s, mean.dtype)
    normalise(h, unit)
    log_z = 0.0
    prior_moments(s, copies, p0, scale, mean[0], cov[0])
    for i in range(len(a)):
        if i > 0:
            predict(s, copies, a[i], q[i], scale, mean[i - 1], cov[i - 1], work, mean[i], cov[i])
        if is_empty(copies, precision[i], information[i]):
            continue
        outputs(s, copies, h, unit, cov[i], cross, spread)
        log_z -= gain(copies, precision[i], spread, x, w, small) / 2
        symmetric_product(copies, spread, x, after)
        combine(s, copies, x, cross, lifted)
        combine(s, copies, w, cross, weighted)
        log_z += weigh_residual(s, copies, h, precision[i], information[i], mean[i], residual)
        log_z += correct(s, copies, h, unit, spread, after, cross, lifted, weighted, residual, mean[i], cov[i])
    return log_z


def _smooth(s, copies, a, q, p0, h, scale, precision, information, mean, cov, score, curvature):  # type: ignore[no-untyped-def]
    n_steps, m = len(a), s * copies
    work, before = np.empty((2, m, m), mean.dtype)
    cross, weighted, slopes, pulled, along = np.empty((5, copies, m), mean.dtype)
    spread, x, w, small = np.empty((4, copies, copies), mean.dtype)
    residual, shift = np.empty((2, copies), mean.dtype)
    start, unit, b = np.empty(m, mean.dtype), np.empty(s, mean.dtype), np.empty((s, s), mean.dtype)
    normalise(h, unit)
    for i in range(n_steps - 1, -1, -1):
        if i + 1 < n_steps:
            for k in range(s):
                for l in range(s):
                    b[k, l] = a[i + 1, l, k]
            transpose_step(s, copies, b, score[i + 1], curvature[i + 1], work, score[i], curvature[i])
        else:
            score[i] = 0
            curvature[i] = 0
        if is_empty(copies, precision[i], information[i]):
            continue
        if i > 0:
            predict(s, copies, a[i], q[i], scale, mean[i - 1], cov[i - 1], work, start, before)
        else:
            prior_moments(s, copies, p0, scale, start, before)
        outputs(s, copies, h, unit, before, cross, spread)
        gain(copies, precision[i], spread, x, w, small)
        combine(s, copies, w, cross, weighted)
        weigh_residual(s, copies, h, precision[i], information[i], start, residual)
        for c in range(copies):
            for r in range(copies):
                for k in range(s):
                    slopes[c, r * s + k] = unit[k] * x[c, r] - weighted[c, r * s + k]
        pull_score(s, copies, h, unit, x, residual, slopes, shift, score[i])
        pull_curvature(s, copies, h, unit, w, slopes, pulled, along, small, curvature[i])


_inline_filter, _inline_smooth = jit(inline="always")(_filter), jit(inline="always")(_smooth)


# Filter and smoother of one output and few states: loops of known length run ten times faster. The number of states is
# the only variable of the closures, by which the file cache tells them apart.
@functools.cache
def _sized_filter(n_states: int) -> Callable[..., object]:
    def filter_steps(s, copies, a, q, p0, h, scale, precision, information, mean, cov):  # type: ignore[no-untyped-def]
        return _inline_filter(n_states, 1, a, q, p0, h, scale, precision, information, mean, cov)

    return filter_steps


@functools.cache
def _sized_smooth(n_states: int) -> Callable[..., object]:
    def smooth_steps(s, copies, a, q, p0, h, scale, precision, information, mean, cov, score, curvature):  # type: ignore[no-untyped-def]
        _inline_smooth(n_states, 1, a, q, p0, h, scale, precision, information, mean, cov, score, curvature)

    return smooth_steps


def _marginals(h, a, mean, cov, score, curvature, f_mean, f_cov):  # type: ignore[no-untyped-def]
    n_steps, m = mean.shape
    s, copies = h.size, m // h.size
    rows, carried, pulled = np.empty((3, copies, m), mean.dtype)
    for i in range(n_steps):
        project(s, copies, h, cov[i], rows)
        read(s, copies, h, mean[i], rows, f_mean[i], f_cov[i])
        if i + 1 < n_steps:
            apply(s, copies, a[i + 1], rows, carried)
            add_future(s, copies, carried, score[i + 1], curvature[i + 1], pulled, f_mean[i], f_cov[i])


def _smoothed_states(a, mean, cov, score, curvature, out_mean, out_cov):  # type: ignore[no-untyped-def]
    n_steps, m = mean.shape
    s, copies = a.shape[1], m // a.shape[1]
    carried, pulled = np.empty((2, m, m), mean.dtype)
    for i in range(n_steps):
        out_mean[i] = mean[i]
        out_cov[i] = cov[i]
        if i + 1 < n_steps:
            apply(s, copies, a[i + 1], cov[i], carried)
            add_future(s, copies, carried, score[i + 1], curvature[i + 1], pulled, out_mean[i], out_cov[i])


def _gradient(a, q, p0, scale, mean, cov, score, curvature, grad_a, grad_q, grad_p0, grad_scale):  # type: ignore[no-untyped-def]
    n_steps, m = mean.shape
    s = a.shape[1]
    copies = m // s
    carried = np.empty((m, m), mean.dtype)
    grad_a[:] = 0
    grad_q[:] = 0
    grad_p0[:] = 0
    grad_scale[:] = 0
    add_gradient(s, copies, score[0], curvature[0], scale, p0, grad_p0, grad_scale)
    for n in range(1, n_steps):
        add_gradient(s, copies, score[n], curvature[n], scale, q[n], grad_q[n], grad_scale)
        # carried[j, i] = (A P)[i, j], P the covariance before the transition
        apply(s, copies, a[n], cov[n - 1], carried)
        for r in range(copies):
            for k in range(s):
                i = r * s + k
                row = curvature[n, i]
                for l in range(s):
                    j = r * s + l
                    other = carried[j]
                    along, total = mean[n - 1, j], mean.dtype.type(0)
                    for t in range(m):
                        along += score[n, t] * other[t]
                        total += row[t] * other[t]
                    grad_a[n, k, l] += score[n, i] * along - total


def _interpolate(left, a1, q1, a2, p0, h, scale, mean, cov, score, curvature, f_mean, f_cov):  # type: ignore[no-untyped-def]
    n_steps, m = mean.shape
    s, copies = h.size, m // h.size
    work, here = np.empty((2, m, m), mean.dtype)
    rows, carried, pulled = np.empty((3, copies, m), mean.dtype)
    start = np.empty(m, mean.dtype)
    for n in range(left.size):
        i = left[n]
        if i >= 0:
            predict(s, copies, a1[n], q1[n], scale, mean[i], cov[i], work, start, here)
        else:
            prior_moments(s, copies, p0, scale, start, here)
        project(s, copies, h, here, rows)
        read(s, copies, h, start, rows, f_mean[n], f_cov[n])
        if i + 1 < n_steps:
            apply(s, copies, a2[n], rows, carried)
            add_future(s, copies, carried, score[i + 1], curvature[i + 1], pulled, f_mean[n], f_cov[n])


def _propagate(a, paths):  # type: ignore[no-untyped-def]
    s = a.shape[1]
    for n in range(paths.shape[0]):
        for i in range(1, paths.shape[1]):
            before, here = paths[n, i - 1], paths[n, i]
            for k in range(s):
                total = here[k]
                for l in range(s):
                    total += a[i, k, l] * before[l]
                here[k] = total


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
    signature = "float64(int64, int64, const T3, const T3, const T2, const T1, const T2, const T3, const T2, T2, T3)"
    s, copies = h.size, information.shape[1]
    function = _sized_filter(s) if copies == 1 and s <= _MAX_SIZED else _filter
    kernel = _kernel(function, signature, mean.dtype.name)
    return kernel(s, copies, a, q, p0, h, scale, precision, information, mean, cov)  # type: ignore[return-value]


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
    signature = (
        "void(int64, int64, const T3, const T3, const T2, const T1, const T2, const T3, const T2, T2, T3, T2, T3)"
    )
    s, copies = h.size, information.shape[1]
    function = _sized_smooth(s) if copies == 1 and s <= _MAX_SIZED else _smooth
    kernel = _kernel(function, signature, mean.dtype.name)
    kernel(s, copies, a, q, p0, h, scale, precision, information, mean, cov, score, curvature)


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
    signature = "void(const T1, const T3, const T2, const T3, const T2, const T3, T2, T3)"
    _kernel(_marginals, signature, mean.dtype.name)(h, a, mean, cov, score, curvature, f_mean, f_cov)


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
    signature = "void(const T3, const T2, const T3, const T2, const T3, T2, T3)"
    _kernel(_smoothed_states, signature, mean.dtype.name)(a, mean, cov, score, curvature, out_mean, out_cov)


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
    signature = "void(const T3, const T3, const T2, const T2, const T2, const T3, const T2, const T3, T3, T3, T2, T2)"
    kernel = _kernel(_gradient, signature, mean.dtype.name)
    kernel(a, q, p0, scale, mean, cov, score, curvature, grad_a, grad_q, grad_p0, grad_scale)


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
    rest = "const T3, const T3, const T3, const T2, const T1, const T2, const T2, const T3, const T2, const T3, T2, T3"
    kernel = _kernel(_interpolate, f"void(const int64[::1], {rest})", mean.dtype.name)
    kernel(left, a1, q1, a2, p0, h, scale, mean, cov, score, curvature, f_mean, f_cov)


def propagate(a: np.ndarray, paths: np.ndarray) -> None:
    """Turn the noise of each step, shape ``(N, T, s)``, into the states of `N` paths, in place."""
    _kernel(_propagate, "void(const T3, T3)", paths.dtype.name)(a, paths)
