"""Compiled loops that apply one tiny square factor; sizes 2, 3 and 4 are constants, so all loops become SIMD code.

Two forms. ``inplace_n`` sees a buffer as ``(L, n, R)`` and works on the middle axis, vectorised over ``R`` (long).
``rotate_n`` sees a source as ``(L, n)``, works on the last axis and writes ``(n, L)``: the axis moves to the front, all
stores are contiguous and the strided loads become shuffles, so a whole chain of rotations needs no transposition.

`a` holds the factor row by row from position `o`. Slices start where a row starts: an index with a computed offset
would carry a test for negative values that stops vectorisation.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["inplace_2", "inplace_3", "inplace_4", "rotate_2", "rotate_3", "rotate_4"]

# Contraction to fused multiply-adds is the only liberty taken: no reordering, NaN and infinity as usual.
compiled = njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")


@compiled
def inplace_2(buf: np.ndarray, a: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01, a10, a11 = a[o], a[o + 1], a[o + 2], a[o + 3]
    for l in range(L):
        p = base + l * 2 * R
        s0, s1 = buf[p : p + R], buf[p + R : p + 2 * R]
        for r in range(R):
            u, v = s0[r], s1[r]
            s0[r] = a00 * u + a01 * v
            s1[r] = a10 * u + a11 * v


@compiled
def inplace_3(buf: np.ndarray, a: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01, a02 = a[o], a[o + 1], a[o + 2]
    a10, a11, a12 = a[o + 3], a[o + 4], a[o + 5]
    a20, a21, a22 = a[o + 6], a[o + 7], a[o + 8]
    for l in range(L):
        p = base + l * 3 * R
        s0, s1, s2 = buf[p : p + R], buf[p + R : p + 2 * R], buf[p + 2 * R : p + 3 * R]
        for r in range(R):
            u, v, w = s0[r], s1[r], s2[r]
            s0[r] = a00 * u + a01 * v + a02 * w
            s1[r] = a10 * u + a11 * v + a12 * w
            s2[r] = a20 * u + a21 * v + a22 * w


@compiled
def inplace_4(buf: np.ndarray, a: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01, a02, a03 = a[o], a[o + 1], a[o + 2], a[o + 3]
    a10, a11, a12, a13 = a[o + 4], a[o + 5], a[o + 6], a[o + 7]
    a20, a21, a22, a23 = a[o + 8], a[o + 9], a[o + 10], a[o + 11]
    a30, a31, a32, a33 = a[o + 12], a[o + 13], a[o + 14], a[o + 15]
    for l in range(L):
        p = base + l * 4 * R
        s0, s1, s2, s3 = buf[p : p + R], buf[p + R : p + 2 * R], buf[p + 2 * R : p + 3 * R], buf[p + 3 * R : p + 4 * R]
        for r in range(R):
            u, v, w, z = s0[r], s1[r], s2[r], s3[r]
            s0[r] = a00 * u + a01 * v + a02 * w + a03 * z
            s1[r] = a10 * u + a11 * v + a12 * w + a13 * z
            s2[r] = a20 * u + a21 * v + a22 * w + a23 * z
            s3[r] = a30 * u + a31 * v + a32 * w + a33 * z


@compiled
def rotate_2(src: np.ndarray, so: int, dst: np.ndarray, do: int, a: np.ndarray, o: int, L: int) -> None:
    a00, a01, a10, a11 = a[o], a[o + 1], a[o + 2], a[o + 3]
    s = src[so : so + 2 * L]
    d0, d1 = dst[do : do + L], dst[do + L : do + 2 * L]
    for l in range(L):
        u, v = s[2 * l], s[2 * l + 1]
        d0[l] = a00 * u + a01 * v
        d1[l] = a10 * u + a11 * v


@compiled
def rotate_3(src: np.ndarray, so: int, dst: np.ndarray, do: int, a: np.ndarray, o: int, L: int) -> None:
    a00, a01, a02 = a[o], a[o + 1], a[o + 2]
    a10, a11, a12 = a[o + 3], a[o + 4], a[o + 5]
    a20, a21, a22 = a[o + 6], a[o + 7], a[o + 8]
    s = src[so : so + 3 * L]
    d0, d1, d2 = dst[do : do + L], dst[do + L : do + 2 * L], dst[do + 2 * L : do + 3 * L]
    for l in range(L):
        u, v, w = s[3 * l], s[3 * l + 1], s[3 * l + 2]
        d0[l] = a00 * u + a01 * v + a02 * w
        d1[l] = a10 * u + a11 * v + a12 * w
        d2[l] = a20 * u + a21 * v + a22 * w


@compiled
def rotate_4(src: np.ndarray, so: int, dst: np.ndarray, do: int, a: np.ndarray, o: int, L: int) -> None:
    a00, a01, a02, a03 = a[o], a[o + 1], a[o + 2], a[o + 3]
    a10, a11, a12, a13 = a[o + 4], a[o + 5], a[o + 6], a[o + 7]
    a20, a21, a22, a23 = a[o + 8], a[o + 9], a[o + 10], a[o + 11]
    a30, a31, a32, a33 = a[o + 12], a[o + 13], a[o + 14], a[o + 15]
    s = src[so : so + 4 * L]
    d0, d1, d2, d3 = (
        dst[do : do + L],
        dst[do + L : do + 2 * L],
        dst[do + 2 * L : do + 3 * L],
        dst[do + 3 * L : do + 4 * L],
    )
    for l in range(L):
        u, v, w, z = s[4 * l], s[4 * l + 1], s[4 * l + 2], s[4 * l + 3]
        d0[l] = a00 * u + a01 * v + a02 * w + a03 * z
        d1[l] = a10 * u + a11 * v + a12 * w + a13 * z
        d2[l] = a20 * u + a21 * v + a22 * w + a23 * z
        d3[l] = a30 * u + a31 * v + a32 * w + a33 * z
