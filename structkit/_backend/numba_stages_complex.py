"""Compiled loops that apply one tiny complex factor to numbers held as two planes, real and imaginary.

The forms are those of `numba_stages`. Planes keep every load, store and multiplication contiguous; interleaved complex
numbers would not become SIMD code.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["inplace_2c", "inplace_3c", "inplace_4c", "rotate_2c", "rotate_3c", "rotate_4c"]

compiled = njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")


@compiled
def inplace_2c(re: np.ndarray, im: np.ndarray, a: np.ndarray, b: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01 = a[o], a[o + 1]
    a10, a11 = a[o + 2], a[o + 3]
    b00, b01 = b[o], b[o + 1]
    b10, b11 = b[o + 2], b[o + 3]
    for l in range(L):
        p = base + l * 2 * R
        s0, s1 = re[p : p + R], re[p + R : p + 2 * R]
        t0, t1 = im[p : p + R], im[p + R : p + 2 * R]
        for r in range(R):
            u0, u1 = s0[r], s1[r]
            v0, v1 = t0[r], t1[r]
            s0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1
            s1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1
            t0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1
            t1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1


@compiled
def inplace_3c(re: np.ndarray, im: np.ndarray, a: np.ndarray, b: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01, a02 = a[o], a[o + 1], a[o + 2]
    a10, a11, a12 = a[o + 3], a[o + 4], a[o + 5]
    a20, a21, a22 = a[o + 6], a[o + 7], a[o + 8]
    b00, b01, b02 = b[o], b[o + 1], b[o + 2]
    b10, b11, b12 = b[o + 3], b[o + 4], b[o + 5]
    b20, b21, b22 = b[o + 6], b[o + 7], b[o + 8]
    for l in range(L):
        p = base + l * 3 * R
        s0, s1, s2 = re[p : p + R], re[p + R : p + 2 * R], re[p + 2 * R : p + 3 * R]
        t0, t1, t2 = im[p : p + R], im[p + R : p + 2 * R], im[p + 2 * R : p + 3 * R]
        for r in range(R):
            u0, u1, u2 = s0[r], s1[r], s2[r]
            v0, v1, v2 = t0[r], t1[r], t2[r]
            s0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1 + a02 * u2 - b02 * v2
            s1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1 + a12 * u2 - b12 * v2
            s2[r] = a20 * u0 - b20 * v0 + a21 * u1 - b21 * v1 + a22 * u2 - b22 * v2
            t0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1 + a02 * v2 + b02 * u2
            t1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1 + a12 * v2 + b12 * u2
            t2[r] = a20 * v0 + b20 * u0 + a21 * v1 + b21 * u1 + a22 * v2 + b22 * u2


@compiled
def inplace_4c(re: np.ndarray, im: np.ndarray, a: np.ndarray, b: np.ndarray, o: int, base: int, L: int, R: int) -> None:
    a00, a01, a02, a03 = a[o], a[o + 1], a[o + 2], a[o + 3]
    a10, a11, a12, a13 = a[o + 4], a[o + 5], a[o + 6], a[o + 7]
    a20, a21, a22, a23 = a[o + 8], a[o + 9], a[o + 10], a[o + 11]
    a30, a31, a32, a33 = a[o + 12], a[o + 13], a[o + 14], a[o + 15]
    b00, b01, b02, b03 = b[o], b[o + 1], b[o + 2], b[o + 3]
    b10, b11, b12, b13 = b[o + 4], b[o + 5], b[o + 6], b[o + 7]
    b20, b21, b22, b23 = b[o + 8], b[o + 9], b[o + 10], b[o + 11]
    b30, b31, b32, b33 = b[o + 12], b[o + 13], b[o + 14], b[o + 15]
    for l in range(L):
        p = base + l * 4 * R
        s0, s1, s2, s3 = re[p : p + R], re[p + R : p + 2 * R], re[p + 2 * R : p + 3 * R], re[p + 3 * R : p + 4 * R]
        t0, t1, t2, t3 = im[p : p + R], im[p + R : p + 2 * R], im[p + 2 * R : p + 3 * R], im[p + 3 * R : p + 4 * R]
        for r in range(R):
            u0, u1, u2, u3 = s0[r], s1[r], s2[r], s3[r]
            v0, v1, v2, v3 = t0[r], t1[r], t2[r], t3[r]
            s0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1 + a02 * u2 - b02 * v2 + a03 * u3 - b03 * v3
            s1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1 + a12 * u2 - b12 * v2 + a13 * u3 - b13 * v3
            s2[r] = a20 * u0 - b20 * v0 + a21 * u1 - b21 * v1 + a22 * u2 - b22 * v2 + a23 * u3 - b23 * v3
            s3[r] = a30 * u0 - b30 * v0 + a31 * u1 - b31 * v1 + a32 * u2 - b32 * v2 + a33 * u3 - b33 * v3
            t0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1 + a02 * v2 + b02 * u2 + a03 * v3 + b03 * u3
            t1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1 + a12 * v2 + b12 * u2 + a13 * v3 + b13 * u3
            t2[r] = a20 * v0 + b20 * u0 + a21 * v1 + b21 * u1 + a22 * v2 + b22 * u2 + a23 * v3 + b23 * u3
            t3[r] = a30 * v0 + b30 * u0 + a31 * v1 + b31 * u1 + a32 * v2 + b32 * u2 + a33 * v3 + b33 * u3


@compiled
def rotate_2c(
    re: np.ndarray,
    im: np.ndarray,
    so: int,
    dre: np.ndarray,
    dim: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    o: int,
    L: int,
) -> None:
    a00, a01 = a[o], a[o + 1]
    a10, a11 = a[o + 2], a[o + 3]
    b00, b01 = b[o], b[o + 1]
    b10, b11 = b[o + 2], b[o + 3]
    s, t = re[so : so + 2 * L], im[so : so + 2 * L]
    d0, d1 = dre[:L], dre[L : 2 * L]
    e0, e1 = dim[:L], dim[L : 2 * L]
    for r in range(L):
        u0, u1 = s[2 * r], s[2 * r + 1]
        v0, v1 = t[2 * r], t[2 * r + 1]
        d0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1
        d1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1
        e0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1
        e1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1


@compiled
def rotate_3c(
    re: np.ndarray,
    im: np.ndarray,
    so: int,
    dre: np.ndarray,
    dim: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    o: int,
    L: int,
) -> None:
    a00, a01, a02 = a[o], a[o + 1], a[o + 2]
    a10, a11, a12 = a[o + 3], a[o + 4], a[o + 5]
    a20, a21, a22 = a[o + 6], a[o + 7], a[o + 8]
    b00, b01, b02 = b[o], b[o + 1], b[o + 2]
    b10, b11, b12 = b[o + 3], b[o + 4], b[o + 5]
    b20, b21, b22 = b[o + 6], b[o + 7], b[o + 8]
    s, t = re[so : so + 3 * L], im[so : so + 3 * L]
    d0, d1, d2 = dre[:L], dre[L : 2 * L], dre[2 * L : 3 * L]
    e0, e1, e2 = dim[:L], dim[L : 2 * L], dim[2 * L : 3 * L]
    for r in range(L):
        u0, u1, u2 = s[3 * r], s[3 * r + 1], s[3 * r + 2]
        v0, v1, v2 = t[3 * r], t[3 * r + 1], t[3 * r + 2]
        d0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1 + a02 * u2 - b02 * v2
        d1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1 + a12 * u2 - b12 * v2
        d2[r] = a20 * u0 - b20 * v0 + a21 * u1 - b21 * v1 + a22 * u2 - b22 * v2
        e0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1 + a02 * v2 + b02 * u2
        e1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1 + a12 * v2 + b12 * u2
        e2[r] = a20 * v0 + b20 * u0 + a21 * v1 + b21 * u1 + a22 * v2 + b22 * u2


@compiled
def rotate_4c(
    re: np.ndarray,
    im: np.ndarray,
    so: int,
    dre: np.ndarray,
    dim: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    o: int,
    L: int,
) -> None:
    a00, a01, a02, a03 = a[o], a[o + 1], a[o + 2], a[o + 3]
    a10, a11, a12, a13 = a[o + 4], a[o + 5], a[o + 6], a[o + 7]
    a20, a21, a22, a23 = a[o + 8], a[o + 9], a[o + 10], a[o + 11]
    a30, a31, a32, a33 = a[o + 12], a[o + 13], a[o + 14], a[o + 15]
    b00, b01, b02, b03 = b[o], b[o + 1], b[o + 2], b[o + 3]
    b10, b11, b12, b13 = b[o + 4], b[o + 5], b[o + 6], b[o + 7]
    b20, b21, b22, b23 = b[o + 8], b[o + 9], b[o + 10], b[o + 11]
    b30, b31, b32, b33 = b[o + 12], b[o + 13], b[o + 14], b[o + 15]
    s, t = re[so : so + 4 * L], im[so : so + 4 * L]
    d0, d1, d2, d3 = dre[:L], dre[L : 2 * L], dre[2 * L : 3 * L], dre[3 * L : 4 * L]
    e0, e1, e2, e3 = dim[:L], dim[L : 2 * L], dim[2 * L : 3 * L], dim[3 * L : 4 * L]
    for r in range(L):
        u0, u1, u2, u3 = s[4 * r], s[4 * r + 1], s[4 * r + 2], s[4 * r + 3]
        v0, v1, v2, v3 = t[4 * r], t[4 * r + 1], t[4 * r + 2], t[4 * r + 3]
        d0[r] = a00 * u0 - b00 * v0 + a01 * u1 - b01 * v1 + a02 * u2 - b02 * v2 + a03 * u3 - b03 * v3
        d1[r] = a10 * u0 - b10 * v0 + a11 * u1 - b11 * v1 + a12 * u2 - b12 * v2 + a13 * u3 - b13 * v3
        d2[r] = a20 * u0 - b20 * v0 + a21 * u1 - b21 * v1 + a22 * u2 - b22 * v2 + a23 * u3 - b23 * v3
        d3[r] = a30 * u0 - b30 * v0 + a31 * u1 - b31 * v1 + a32 * u2 - b32 * v2 + a33 * u3 - b33 * v3
        e0[r] = a00 * v0 + b00 * u0 + a01 * v1 + b01 * u1 + a02 * v2 + b02 * u2 + a03 * v3 + b03 * u3
        e1[r] = a10 * v0 + b10 * u0 + a11 * v1 + b11 * u1 + a12 * v2 + b12 * u2 + a13 * v3 + b13 * u3
        e2[r] = a20 * v0 + b20 * u0 + a21 * v1 + b21 * u1 + a22 * v2 + b22 * u2 + a23 * v3 + b23 * u3
        e3[r] = a30 * v0 + b30 * u0 + a31 * v1 + b31 * u1 + a32 * v2 + b32 * u2 + a33 * v3 + b33 * u3
