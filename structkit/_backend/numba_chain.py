"""Compiled product of a chain of tiny factors: the data passes through the cache a few times, not once per factor."""

from __future__ import annotations

import numpy as np
from numba import njit

from structkit._backend.numba_stages import inplace_2, inplace_3, inplace_4, rotate_2, rotate_3, rotate_4
from structkit._backend.numba_stages_complex import inplace_2c, inplace_3c, inplace_4c, rotate_2c, rotate_3c, rotate_4c

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
def _columns_first(src: np.ndarray, so: int, dst: np.ndarray, do: int, L: int, k: int) -> None:
    """Transpose ``(L, k)`` to ``(k, L)``."""
    for j in range(k):
        s, d = src[so + j : so + L * k], dst[do + j * L : do + (j + 1) * L]
        for l in range(L):
            d[l] = s[l * k]


@compiled
def chain(
    x: np.ndarray, out: np.ndarray, raw: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, phases: np.ndarray,
    work: np.ndarray, lo: int, hi: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Run phases ``lo`` to ``hi - 1``, or the share `part` of `parts` of the single phase ``lo``.

    A row of `phases` is ``(kind, s0, s1, s2, extent, inner, width, columns, count)``; see
    `structkit.kron._chain.layout`. The last row holds the lengths of the pieces of `work`. A task copies a panel or a
    block into a buffer, applies stages ``s0`` to ``s1 - 1`` there in place, and writes it back; in a block, stages
    ``s1`` to ``s2 - 1`` come after that, by rotations of sub-blocks between two small buffers. Every stage function is
    called from one place only: each further call would compile its loops again.
    """
    offsets = _offsets(sizes)
    na, nb, nt = phases[-1, 0], phases[-1, 1], phases[-1, 2]
    a, buf = work[:na], work[na : na + nb]
    small = work[na + nb : na + nb + 2 * nt]
    _pack(raw, sizes, pairs, a)
    for p in range(lo, hi):
        kind, s0, s1, s2 = phases[p, 0], phases[p, 1], phases[p, 2], phases[p, 3]
        P, R, W, k, count = phases[p, 4], phases[p, 5], phases[p, 6], phases[p, 7], phases[p, 8]
        src = x if p == 0 else out
        per_row = (R + W - 1) // W
        for i in range(count * part // parts, count * (part + 1) // parts):
            if kind == PANEL:
                c = (i % per_row) * W
                base, rows, width, step = (i // per_row) * P * R + c, P, min(W, R - c), R
            else:
                base, rows, width, step = i * P, 1, P, P
            _copy(src, base, step, buf, 0, width, rows, width)
            L, rest = 1, rows * width
            for s in range(s0, s1):
                n = sizes[s]
                rest //= n
                if n == 2:
                    inplace_2(buf, a, offsets[s], 0, L, rest)
                elif n == 3:
                    inplace_3(buf, a, offsets[s], 0, L, rest)
                else:
                    inplace_4(buf, a, offsets[s], 0, L, rest)
                L *= n
            if s1 == s2:
                _copy(buf, 0, width, out, base, step, rows, width)
                continue
            for c in range(0, P, W):
                y, yo, z, zo = buf, c, small, 0
                if k > 1:
                    # the columns go to the front, from where the rotations bring them back to the end
                    _columns_first(y, yo, small, 0, W // k, k)
                    y, yo, zo = small, 0, nt
                for s in range(s2 - 1, s1 - 1, -1):
                    n = sizes[s]
                    if s == s1:
                        z, zo = out, base + c
                    if n == 2:
                        rotate_2(y, yo, z, zo, a, offsets[s], W // n)
                    elif n == 3:
                        rotate_3(y, yo, z, zo, a, offsets[s], W // n)
                    else:
                        rotate_4(y, yo, z, zo, a, offsets[s], W // n)
                    y, yo, zo = small, zo, nt - zo


@compiled
def chain_complex(
    x: np.ndarray, out: np.ndarray, raw: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, phases: np.ndarray,
    work: np.ndarray, lo: int, hi: int, part: int, parts: int,
) -> None:  # fmt: skip
    """As `chain`, on two planes; `x`, `out` are real views of complex arrays, `raw` is complex."""
    offsets = _offsets(sizes)
    na, nb, nt = phases[-1, 0], phases[-1, 1], phases[-1, 2]
    a, b = work[:na], work[na : 2 * na]
    re, im = work[2 * na : 2 * na + nb], work[2 * na + nb : 2 * na + 2 * nb]
    o = 2 * na + 2 * nb
    small, small_i = work[o : o + 2 * nt], work[o + 2 * nt : o + 4 * nt]
    packed = np.empty(offsets[-1] + sizes[-1] * sizes[-1], raw.dtype)
    _pack(raw, sizes, pairs, packed)
    for i in range(packed.size):
        a[i], b[i] = packed[i].real, packed[i].imag
    for p in range(lo, hi):
        kind, s0, s1, s2 = phases[p, 0], phases[p, 1], phases[p, 2], phases[p, 3]
        P, R, W, k, count = phases[p, 4], phases[p, 5], phases[p, 6], phases[p, 7], phases[p, 8]
        src = x if p == 0 else out
        per_row = (R + W - 1) // W
        for i in range(count * part // parts, count * (part + 1) // parts):
            if kind == PANEL:
                c = (i % per_row) * W
                base, rows, width, step = (i // per_row) * P * R + c, P, min(W, R - c), R
            else:
                base, rows, width, step = i * P, 1, P, P
            _split(src, base, step, re, im, 0, width, rows, width)
            L, rest = 1, rows * width
            for s in range(s0, s1):
                n = sizes[s]
                rest //= n
                if n == 2:
                    inplace_2c(re, im, a, b, offsets[s], 0, L, rest)
                elif n == 3:
                    inplace_3c(re, im, a, b, offsets[s], 0, L, rest)
                else:
                    inplace_4c(re, im, a, b, offsets[s], 0, L, rest)
                L *= n
            if s1 == s2:
                _join(re, im, 0, width, out, base, step, rows, width)
                continue
            for c in range(0, P, W):
                y, yi, yo, zo = re, im, c, 0
                if k > 1:
                    _columns_first(y, yo, small, 0, W // k, k)
                    _columns_first(yi, yo, small_i, 0, W // k, k)
                    y, yi, yo, zo = small, small_i, 0, nt
                for s in range(s2 - 1, s1 - 1, -1):
                    n = sizes[s]
                    if n == 2:
                        rotate_2c(y, yi, yo, small[zo:], small_i[zo:], a, b, offsets[s], W // n)
                    elif n == 3:
                        rotate_3c(y, yi, yo, small[zo:], small_i[zo:], a, b, offsets[s], W // n)
                    else:
                        rotate_4c(y, yi, yo, small[zo:], small_i[zo:], a, b, offsets[s], W // n)
                    y, yi, yo, zo = small, small_i, zo, nt - zo
                _join(y, yi, yo, W, out, base + c, W, 1, W)
