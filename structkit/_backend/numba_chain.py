"""Compiled product of a chain of tiny factors: the data passes through the cache a few times, not once per factor."""

from __future__ import annotations

import numpy as np
from numba import njit

from structkit._backend.numba_stages import inplace, rotate
from structkit._backend.numba_stages_complex import inplace_c, rotate_c

__all__ = ["chain", "chain_complex"]

compiled = njit(nogil=True, cache=True, error_model="numpy")

PANEL = 0  # kind of a phase whose axis is followed by others; the other kind works on blocks of consecutive elements


@compiled
def _offsets(sizes: np.ndarray) -> np.ndarray:
    offsets = np.empty(sizes.size, np.int64)
    total = 0
    for s in range(sizes.size):
        offsets[s] = total
        total += sizes[s] * sizes[s]
    return offsets


@compiled
def _pack(raw: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, a: np.ndarray) -> None:
    """Copy the factors behind each other; a stage with ``pairs`` set is the product of two 2 x 2 factors."""
    r = o = 0
    for s in range(sizes.size):
        n = sizes[s]
        if pairs[s]:
            for i in range(4):
                for j in range(4):
                    a[o + 4 * i + j] = raw[r + 2 * (i // 2) + j // 2] * raw[r + 4 + 2 * (i % 2) + j % 2]
            r += 8
        else:
            for i in range(n * n):
                a[o + i] = raw[r + i]
            r += n * n
        o += n * n


@compiled
def _copy(src: np.ndarray, so: int, ss: int, dst: np.ndarray, do: int, ds: int, rows: int, width: int) -> None:
    """Copy `rows` runs of `width` elements, which lie `ss` and `ds` apart."""
    for p in range(rows):
        s, d = src[so + p * ss : so + p * ss + width], dst[do + p * ds : do + p * ds + width]
        for j in range(width):
            d[j] = s[j]


@compiled
def _split(
    src: np.ndarray, so: int, ss: int, re: np.ndarray, im: np.ndarray, do: int, ds: int, rows: int, width: int
) -> None:
    """Copy runs of interleaved complex numbers to two planes."""
    for p in range(rows):
        s = src[2 * (so + p * ss) : 2 * (so + p * ss + width)]
        d, e = re[do + p * ds : do + p * ds + width], im[do + p * ds : do + p * ds + width]
        for j in range(width):
            d[j] = s[2 * j]
            e[j] = s[2 * j + 1]


@compiled
def _join(
    re: np.ndarray, im: np.ndarray, so: int, ss: int, dst: np.ndarray, do: int, ds: int, rows: int, width: int
) -> None:
    """Copy two planes to runs of interleaved complex numbers."""
    for p in range(rows):
        d = dst[2 * (do + p * ds) : 2 * (do + p * ds + width)]
        s, t = re[so + p * ss : so + p * ss + width], im[so + p * ss : so + p * ss + width]
        for j in range(width):
            d[2 * j] = s[j]
            d[2 * j + 1] = t[j]


@compiled
def _columns_first(src: np.ndarray, so: int, dst: np.ndarray, L: int, k: int) -> None:
    """Transpose ``(L, k)`` to ``(k, L)``."""
    for j in range(k):
        s, d = src[so + j : so + L * k], dst[j * L : (j + 1) * L]
        for l in range(L):
            d[l] = s[l * k]


@compiled
def _sweep(buf: np.ndarray, size: int, a: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, s0: int, s1: int) -> None:
    """Apply stages ``s0`` to ``s1 - 1`` to the leading axes of a buffer, in place."""
    L, R = 1, size
    for s in range(s0, s1):
        n = sizes[s]
        R //= n
        inplace(n, buf, a, offsets[s], 0, L, R)
        L *= n


@compiled
def _sweep_c(
    re: np.ndarray, im: np.ndarray, size: int, a: np.ndarray, b: np.ndarray, offsets: np.ndarray, sizes: np.ndarray,
    s0: int, s1: int,
) -> None:  # fmt: skip
    L, R = 1, size
    for s in range(s0, s1):
        n = sizes[s]
        R //= n
        inplace_c(n, re, im, a, b, offsets[s], 0, L, R)
        L *= n


@compiled
def _rotations(
    src: np.ndarray, so: int, dst: np.ndarray, do: int, t0: np.ndarray, t1: np.ndarray, size: int, k: int,
    a: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, s0: int, s1: int,
) -> None:  # fmt: skip
    """Apply stages ``s0`` to ``s1 - 1`` to ``(n_s0, ..., n_s1-1, k)``, last axis first, between two small buffers."""
    if k > 1:  # the columns go to the front, from where the rotations bring them back to the end
        _columns_first(src, so, t0, size // k, k)
        src, so = t0, 0
        t0, t1 = t1, t0
    for s in range(s1 - 1, s0, -1):
        n = sizes[s]
        rotate(n, src, so, t0, 0, a, offsets[s], size // n)
        src, so = t0, 0
        t0, t1 = t1, t0
    n = sizes[s0]
    rotate(n, src, so, dst, do, a, offsets[s0], size // n)


@compiled
def _rotations_c(
    re: np.ndarray, im: np.ndarray, so: int, dst: np.ndarray, do: int, t0: np.ndarray, e0: np.ndarray, t1: np.ndarray,
    e1: np.ndarray, size: int, k: int, a: np.ndarray, b: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, s0: int,
    s1: int,
) -> None:  # fmt: skip
    if k > 1:
        _columns_first(re, so, t0, size // k, k)
        _columns_first(im, so, e0, size // k, k)
        re, im, so = t0, e0, 0
        t0, e0, t1, e1 = t1, e1, t0, e0
    for s in range(s1 - 1, s0 - 1, -1):
        n = sizes[s]
        rotate_c(n, re, im, so, t0, e0, a, b, offsets[s], size // n)
        re, im, so = t0, e0, 0
        t0, e0, t1, e1 = t1, e1, t0, e0
    _join(re, im, 0, size, dst, do, size, 1, size)


@compiled
def _phase(
    x: np.ndarray, out: np.ndarray, phase: np.ndarray, i0: int, i1: int, buf: np.ndarray, t0: np.ndarray,
    t1: np.ndarray, a: np.ndarray, offsets: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    kind, s0, s1, s2 = phase[0], phase[1], phase[2], phase[3]
    P, R, W, k = phase[4], phase[5], phase[6], phase[7]
    if kind == PANEL:
        per_row = (R + W - 1) // W
        for i in range(i0, i1):
            c = (i % per_row) * W
            w = min(W, R - c)
            base = (i // per_row) * P * R + c
            _copy(x, base, R, buf, 0, w, P, w)
            _sweep(buf, P * w, a, offsets, sizes, s0, s1)
            _copy(buf, 0, w, out, base, R, P, w)
        return
    for i in range(i0, i1):
        _copy(x, i * P, P, buf, 0, P, 1, P)
        _sweep(buf, P, a, offsets, sizes, s0, s1)
        if s1 == s2:
            _copy(buf, 0, P, out, i * P, P, 1, P)
        else:
            for c in range(0, P, W):
                _rotations(buf, c, out, i * P + c, t0, t1, W, k, a, offsets, sizes, s1, s2)


@compiled
def _phase_c(
    x: np.ndarray, out: np.ndarray, phase: np.ndarray, i0: int, i1: int, re: np.ndarray, im: np.ndarray,
    t0: np.ndarray, e0: np.ndarray, t1: np.ndarray, e1: np.ndarray, a: np.ndarray, b: np.ndarray, offsets: np.ndarray,
    sizes: np.ndarray,
) -> None:  # fmt: skip
    kind, s0, s1, s2 = phase[0], phase[1], phase[2], phase[3]
    P, R, W, k = phase[4], phase[5], phase[6], phase[7]
    if kind == PANEL:
        per_row = (R + W - 1) // W
        for i in range(i0, i1):
            c = (i % per_row) * W
            w = min(W, R - c)
            base = (i // per_row) * P * R + c
            _split(x, base, R, re, im, 0, w, P, w)
            _sweep_c(re, im, P * w, a, b, offsets, sizes, s0, s1)
            _join(re, im, 0, w, out, base, R, P, w)
        return
    for i in range(i0, i1):
        _split(x, i * P, P, re, im, 0, P, 1, P)
        _sweep_c(re, im, P, a, b, offsets, sizes, s0, s1)
        if s1 == s2:
            _join(re, im, 0, P, out, i * P, P, 1, P)
        else:
            for c in range(0, P, W):
                _rotations_c(re, im, c, out, i * P + c, t0, e0, t1, e1, W, k, a, b, offsets, sizes, s1, s2)


@compiled
def chain(
    x: np.ndarray, out: np.ndarray, raw: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, phases: np.ndarray,
    work: np.ndarray, lo: int, hi: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Run phases ``lo`` to ``hi - 1``, or the share `part` of `parts` of the single phase ``lo``.

    A row of `phases` is ``(kind, s0, s1, s2, extent, inner, width, columns, count)``; see
    `structkit.kron._chain.layout`. The last row holds the lengths of the pieces of `work`.
    """
    offsets = _offsets(sizes)
    na, nb, nt = phases[-1, 0], phases[-1, 1], phases[-1, 2]
    a, buf = work[:na], work[na : na + nb]
    t0, t1 = work[na + nb : na + nb + nt], work[na + nb + nt : na + nb + 2 * nt]
    _pack(raw, sizes, pairs, a)
    for p in range(lo, hi):
        count = phases[p, 8]
        src = x if p == 0 else out
        _phase(src, out, phases[p], count * part // parts, count * (part + 1) // parts, buf, t0, t1, a, offsets, sizes)


@compiled
def chain_complex(
    x: np.ndarray, out: np.ndarray, raw: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, phases: np.ndarray,
    work: np.ndarray, lo: int, hi: int, part: int, parts: int,
) -> None:  # fmt: skip
    """As `chain`; `x`, `out` are real views of complex arrays, `raw` is complex."""
    offsets = _offsets(sizes)
    na, nb, nt = phases[-1, 0], phases[-1, 1], phases[-1, 2]
    a, b = work[:na], work[na : 2 * na]
    o = 2 * na
    re, im = work[o : o + nb], work[o + nb : o + 2 * nb]
    o += 2 * nb
    t0, e0, t1, e1 = work[o : o + nt], work[o + nt : o + 2 * nt], work[o + 2 * nt : o + 3 * nt], work[o + 3 * nt :]
    packed = np.empty(offsets[-1] + sizes[-1] * sizes[-1], raw.dtype)
    _pack(raw, sizes, pairs, packed)
    for i in range(packed.size):
        a[i], b[i] = packed[i].real, packed[i].imag
    for p in range(lo, hi):
        count = phases[p, 8]
        src = x if p == 0 else out
        _phase_c(
            src, out, phases[p], count * part // parts, count * (part + 1) // parts, re, im, t0, e0, t1, e1, a, b,
            offsets, sizes,
        )  # fmt: skip
