"""Single steps of the compiled Kalman filter and smoother, on one state of independent copies of a small model.

The numbers of states `s` and of copies are arguments, so that a caller who knows them gets loops of known length.
"""

from __future__ import annotations

import functools

import numba
import numpy as np

# Sums keep their order: the split of the covariance relies on exact cancellation.
jit = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
compiled = jit(forceinline=True)  # a call would pass every field of every array


@compiled
def congruence(s, copies, b, source, work, target):  # type: ignore[no-untyped-def]
    """Write ``B source B^T``, ``B = kron(I, b)``, to `target`; both are symmetric."""
    for r in range(copies):
        width = (r + 1) * s
        for k in range(s):
            row, first = work[r * s + k], source[r * s]
            scale = b[k, 0]
            for j in range(width):
                row[j] = scale * first[j]
            for l in range(1, s):
                scale, other = b[k, l], source[r * s + l]
                for j in range(width):
                    row[j] += scale * other[j]
        for k in range(s):
            i = r * s + k
            row = work[i]
            for c in range(r + 1):
                for l in range(s if c < r else k + 1):
                    total = row[c * s] * b[l, 0]
                    for p in range(1, s):
                        total += row[c * s + p] * b[l, p]
                    target[i, c * s + l] = total
                    target[c * s + l, i] = total


@compiled
def apply_one(s, copies, a, vector, out):  # type: ignore[no-untyped-def]
    """Write ``kron(I, a) vector``."""
    for r in range(copies):
        for k in range(s):
            total = a[k, 0] * vector[r * s]
            for l in range(1, s):
                total += a[k, l] * vector[r * s + l]
            out[r * s + k] = total


@compiled
def predict(s, copies, a, q, scale, mean, cov, work, new_mean, new_cov):  # type: ignore[no-untyped-def]
    """Write the moments one transition later."""
    congruence(s, copies, a, cov, work, new_cov)
    apply_one(s, copies, a, mean, new_mean)
    for r in range(copies):
        for k in range(s):
            for l in range(s):
                new_cov[r * s + k, r * s + l] += scale[r, k] * q[k, l] * scale[r, l]


@compiled
def prior_moments(s, copies, p0, scale, mean, cov):  # type: ignore[no-untyped-def]
    """Write the moments of the prior."""
    mean[:] = 0
    cov[:] = 0
    for r in range(copies):
        for k in range(s):
            for l in range(s):
                cov[r * s + k, r * s + l] = scale[r, k] * p0[k, l] * scale[r, l]


@compiled
def invert(copies, a, inverse):  # type: ignore[no-untyped-def]
    """Invert `a`, which is overwritten; return its log determinant, NaN where that is not positive."""
    if copies == 1:
        inverse[0, 0] = 1 / a[0, 0]
        return np.log(a[0, 0])
    inverse[:] = 0
    for k in range(copies):
        inverse[k, k] = 1
    logdet, positive = 0.0, True
    for k in range(copies):
        best = k
        for i in range(k + 1, copies):
            if abs(a[i, k]) > abs(a[best, k]):
                best = i
        if best != k:
            positive = not positive
            for j in range(copies):
                a[k, j], a[best, j] = a[best, j], a[k, j]
                inverse[k, j], inverse[best, j] = inverse[best, j], inverse[k, j]
        pivot = a[k, k]
        positive = positive == (pivot > 0)
        logdet += np.log(abs(pivot))
        row, right = a[k], inverse[k]
        for j in range(copies):
            row[j] /= pivot
            right[j] /= pivot
        for i in range(copies):
            factor = a[i, k]
            if i != k and factor != 0:
                row_i, right_i = a[i], inverse[i]
                for j in range(copies):
                    row_i[j] -= factor * row[j]
                    right_i[j] -= factor * right[j]
    return logdet if positive else np.nan


@compiled
def is_empty(copies, precision, information):  # type: ignore[no-untyped-def]
    for r in range(copies):
        if information[r] != 0:
            return False
        for c in range(copies):
            if precision[r, c] != 0:
                return False
    return True


@compiled
def normalise(h, unit):  # type: ignore[no-untyped-def]
    """Write ``h`` over its squared length."""
    total = h[0] * h[0]
    for k in range(1, h.size):
        total += h[k] * h[k]
    for k in range(h.size):
        unit[k] = h[k] / total


@compiled
def project(s, copies, h, cov, rows):  # type: ignore[no-untyped-def]
    """Write ``H cov``."""
    for c in range(copies):
        target = rows[c]
        target[:] = 0
        for l in range(s):
            scale, row = h[l], cov[c * s + l]
            for j in range(s * copies):
                target[j] += scale * row[j]


@compiled
def outputs(s, copies, h, unit, cov, cross, spread):  # type: ignore[no-untyped-def]
    """Write ``spread = H cov H^T`` and `cross`, the part of ``H cov`` that is orthogonal to the outputs."""
    project(s, copies, h, cov, cross)
    for c in range(copies):
        row = cross[c]
        for r in range(c + 1):
            total = row[r * s] * h[0]
            for l in range(1, s):
                total += row[r * s + l] * h[l]
            spread[r, c] = total
            spread[c, r] = total
    for c in range(copies):
        row = cross[c]
        for r in range(copies):
            for k in range(s):
                row[r * s + k] -= unit[k] * spread[r, c]


@compiled
def gain(copies, precision, spread, x, w, work):  # type: ignore[no-untyped-def]
    """Write ``x = (I + precision spread)^-1`` and ``w = x precision``; return the log determinant of the inverse."""
    for r in range(copies):
        for c in range(copies):
            total = precision[r, 0] * spread[0, c]
            for t in range(1, copies):
                total += precision[r, t] * spread[t, c]
            work[r, c] = total
        work[r, r] += 1
    logdet = invert(copies, work, x)
    symmetric_product(copies, x, precision, w)
    return logdet


@compiled
def symmetric_product(copies, a, b, out):  # type: ignore[no-untyped-def]
    """Write the symmetric part of ``a b``, which differs from it by rounding."""
    for r in range(copies):
        for c in range(r + 1):
            total, mirrored = a[r, 0] * b[0, c], a[c, 0] * b[0, r]
            for t in range(1, copies):
                total += a[r, t] * b[t, c]
                mirrored += a[c, t] * b[t, r]
            out[r, c] = (total + mirrored) / 2
            out[c, r] = out[r, c]


@compiled
def combine(s, copies, x, rows, out):  # type: ignore[no-untyped-def]
    """Write ``x^T rows``."""
    for c in range(copies):
        target, row = out[c], rows[0]
        for j in range(s * copies):
            target[j] = x[0, c] * row[j]
        for t in range(1, copies):
            scale, row = x[t, c], rows[t]
            for j in range(s * copies):
                target[j] += scale * row[j]


@compiled
def weigh_residual(s, copies, h, precision, information, mean, residual):  # type: ignore[no-untyped-def]
    """Write ``information - precision f``; return ``information f - f precision f / 2`` for ``f = H mean``."""
    for r in range(copies):
        residual[r] = information[r]
    value = 0.0
    for c in range(copies):
        f = mean[c * s] * h[0]
        for l in range(1, s):
            f += mean[c * s + l] * h[l]
        value += f * information[c] / 2
        for r in range(copies):
            residual[r] -= precision[r, c] * f
    for c in range(copies):
        f = mean[c * s] * h[0]
        for l in range(1, s):
            f += mean[c * s + l] * h[l]
        value += f * residual[c] / 2
    return value


@compiled
def correct(s, copies, h, unit, spread, after, cross, lifted, weighted, residual, mean, cov):  # type: ignore[no-untyped-def]
    """Add the observation to mean and covariance; return ``residual (f after - f before) / 2``."""
    value = 0.0
    for r in range(copies):
        shift = after[r, 0] * residual[0]
        for t in range(1, copies):
            shift += after[r, t] * residual[t]
        value += residual[r] * shift / 2
        for k in range(s):
            mean[r * s + k] += unit[k] * shift
    for t in range(copies):
        row = lifted[t]
        for i in range(s * copies):
            mean[i] += row[i] * residual[t]
    for r in range(copies):
        for k in range(s):
            i = r * s + k
            row = cov[i]
            for c in range(r + 1):
                scale = unit[k] * spread[r, c]
                for l in range(s if c < r else k + 1):
                    j = c * s + l
                    row[j] = row[j] - unit[k] * cross[r, j] - cross[c, i] * unit[l] - scale * unit[l]
            for t in range(copies):
                scale, other = weighted[t, i], cross[t]
                for j in range(i + 1):
                    row[j] -= scale * other[j]
            for c in range(r + 1):
                scale = unit[k] * after[r, c]
                for l in range(s if c < r else k + 1):
                    j = c * s + l
                    row[j] += unit[k] * lifted[r, j] + lifted[c, i] * unit[l] + scale * unit[l]
                    cov[j, i] = row[j]
    return value


@compiled
def transpose_step(s, copies, b, score, curvature, work, new_score, new_curvature):  # type: ignore[no-untyped-def]
    """Carry the adjoints back through a transition; `b` is the transposed transition."""
    congruence(s, copies, b, curvature, work, new_curvature)
    apply_one(s, copies, b, score, new_score)


@compiled
def pull_score(s, copies, h, unit, x, residual, slopes, shift, score):  # type: ignore[no-untyped-def]
    """Carry the gradient in the mean back through an observation, in place."""
    for c in range(copies):
        total = x[c, 0] * residual[0]
        for t in range(1, copies):
            total += x[c, t] * residual[t]
        row = slopes[c]
        for i in range(s * copies):
            total += row[i] * score[i]
        shift[c] = total
    for r in range(copies):
        along = unit[0] * score[r * s]
        for k in range(1, s):
            along += unit[k] * score[r * s + k]
        for k in range(s):
            i = r * s + k
            score[i] = score[i] - h[k] * along + h[k] * shift[r]


@compiled
def pull_curvature(s, copies, h, unit, w, slopes, pulled, along, small, curvature):  # type: ignore[no-untyped-def]
    """Carry ``N`` back through an observation, in place."""
    for c in range(copies):
        target = pulled[c]
        target[:] = 0
        for i in range(s * copies):
            scale, row = slopes[c, i], curvature[i]
            for j in range(s * copies):
                target[j] += scale * row[j]
        for r in range(c + 1):
            total, row = w[r, c], slopes[r]
            for i in range(s * copies):
                total += row[i] * target[i]
            small[r, c] = total
            small[c, r] = total
    flatten(s, copies, h, unit, pulled)
    for r in range(copies):
        target = along[r]
        target[:] = 0
        for k in range(s):
            scale, row = unit[k], curvature[r * s + k]
            for j in range(s * copies):
                target[j] += scale * row[j]
    for r in range(copies):
        for k in range(s):
            row, i = curvature[r * s + k], r * s + k
            for c in range(r + 1):
                both = along[r, c * s] * unit[0]
                for l in range(1, s):
                    both += along[r, c * s + l] * unit[l]
                scale = h[k] * small[r, c]
                for l in range(s if c < r else k + 1):
                    j = c * s + l
                    kept = row[j] - h[k] * along[r, j] - along[c, i] * h[l] + h[k] * h[l] * both
                    row[j] = kept + pulled[c, i] * h[l] + h[k] * pulled[r, j] + scale * h[l]
                    curvature[j, i] = row[j]


@compiled
def flatten(s, copies, h, unit, rows):  # type: ignore[no-untyped-def]
    """Project every row onto what is orthogonal to the outputs, in place."""
    for c in range(copies):
        row = rows[c]
        for r in range(copies):
            along = unit[0] * row[r * s]
            for k in range(1, s):
                along += unit[k] * row[r * s + k]
            for k in range(s):
                row[r * s + k] -= h[k] * along


@compiled
def apply(s, copies, a, rows, out):  # type: ignore[no-untyped-def]
    """Write ``rows kron(I, a)^T``."""
    for c in range(rows.shape[0]):
        apply_one(s, copies, a, rows[c], out[c])


@compiled
def add_future(s, copies, rows, score, curvature, pulled, mean, cov):  # type: ignore[no-untyped-def]
    """Add ``rows score`` to `mean` and subtract ``rows curvature rows^T`` from `cov`."""
    for c in range(rows.shape[0]):
        row, target = rows[c], pulled[c]
        target[:] = 0
        total = mean[c]
        for i in range(s * copies):
            scale, other = row[i], curvature[i]
            total += scale * score[i]
            for j in range(s * copies):
                target[j] += scale * other[j]
        mean[c] = total
        for r in range(c + 1):
            total, other = cov[r, c], rows[r]
            for i in range(s * copies):
                total -= other[i] * target[i]
            cov[r, c] = total
            cov[c, r] = total


@compiled
def read(s, copies, h, mean, rows, f_mean, f_cov):  # type: ignore[no-untyped-def]
    """Write the moments of the outputs; `rows` is ``H cov``."""
    for r in range(copies):
        total = h[0] * mean[r * s]
        for k in range(1, s):
            total += h[k] * mean[r * s + k]
        f_mean[r] = total
        for c in range(r + 1):
            total = h[0] * rows[r, c * s]
            for k in range(1, s):
                total += h[k] * rows[r, c * s + k]
            f_cov[r, c] = total
            f_cov[c, r] = total


@compiled
def add_gradient(s, copies, score, curvature, scale, noise, grad, grad_scale):  # type: ignore[no-untyped-def]
    """Add what ``(r r^T - N) / 2``, the gradient in the covariance, says about its part ``scale noise scale``."""
    for r in range(copies):
        for k in range(s):
            i = r * s + k
            for l in range(s):
                j = r * s + l
                slope = (score[i] * score[j] - curvature[i, j]) / 2 * scale[r, l]
                grad[k, l] += slope * scale[r, k]
                grad_scale[r, k] += 2 * slope * noise[k, l]
