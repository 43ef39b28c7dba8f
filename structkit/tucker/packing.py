"""Symmetric matrices stored as their upper triangles, row by row."""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["multiplicity", "pack", "packed_size", "unpack"]


@functools.cache
def _triangle(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle, and the place of every entry of the matrix in it."""
    rows, columns = np.triu_indices(n)
    place = np.empty((n, n), dtype=np.int64)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return rows, columns, place


def packed_size(n: int) -> int:
    """Numbers in the upper triangle of a matrix of size `n`."""
    return n * (n + 1) // 2


def pack(matrices: np.ndarray) -> np.ndarray:
    """Return the upper triangles ``(..., n (n + 1) / 2)`` of matrices ``(..., n, n)``."""
    rows, columns, _ = _triangle(matrices.shape[-1])
    return np.ascontiguousarray(matrices[..., rows, columns])


def unpack(triangles: np.ndarray, n: int) -> np.ndarray:
    """Return the symmetric matrices ``(..., n, n)`` of their upper triangles."""
    return triangles[..., _triangle(n)[2]]


def multiplicity(n: int) -> np.ndarray:
    """How often each entry of the triangle stands in the matrix: once on the diagonal, else twice."""
    rows, columns, _ = _triangle(n)
    return np.where(rows == columns, 1.0, 2.0)
