"""How far a dictionary is from another one, and how sparse codes are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array

__all__ = ["AtomMatch", "code_sparsity", "dictionary_distance", "match_atoms"]


class AtomMatch(NamedTuple):
    """The pairing of the atoms of two dictionaries.

    Attributes
    ----------
    order : numpy.ndarray of int, shape ``(n,)``
        ``D[order[i]]`` belongs to ``D_true[i]``.
    signs : numpy.ndarray, shape ``(n,)``
        1 or -1: the sign that turns ``D[order[i]]`` towards ``D_true[i]``.
    cosines : numpy.ndarray, shape ``(n,)``
        Magnitude of the cosine of the angle between the two atoms, 0 to 1.
    """

    order: np.ndarray
    signs: np.ndarray
    cosines: np.ndarray


def match_atoms(D: Array, D_true: Array) -> AtomMatch:
    """Pair the atoms of two dictionaries so that the sum of the magnitudes of their cosines is largest.

    Parameters
    ----------
    D : array, shape ``(n, n_features)``
        Atoms as rows, such as ``components_``; of any length but zero.
    D_true : array, shape ``(n, n_features)``
        Atoms to compare with, as rows.

    Returns
    -------
    AtomMatch

    Raises
    ------
    ShapeError
        If the dictionaries differ in shape.
    ValueError
        If an atom is zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.dictionary import match_atoms
    >>> match_atoms(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.eye(2)).order.tolist()
    [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    A, B = _unit_rows(D, "D"), _unit_rows(D_true, "D_true")
    if A.shape != B.shape:
        raise ShapeError(f"D has shape {A.shape} and D_true {B.shape}; expected two dictionaries of one shape.")
    C = B @ A.T
    rows, order = linear_sum_assignment(-np.abs(C))
    cosines = C[rows, order]
    return AtomMatch(order, np.where(cosines < 0, -1.0, 1.0), np.minimum(np.abs(cosines), 1.0))


def dictionary_distance(D: Array, D_true: Array) -> float:
    r"""Return the distance between two dictionaries up to signs and order of their atoms.

    With unit atoms :math:`d_i`, the best pairing :math:`\pi` and signs :math:`s` it is the relative distance
    :math:`(\sum_i \|s_i d_{\pi(i)} - d^*_i\|^2 / n)^{1/2} = (2 \sum_i (1 - |\cos_i|) / n)^{1/2}`: 0 for equal
    dictionaries, about 1.2 for independent random ones of many features.

    Parameters
    ----------
    D : array, shape ``(n, n_features)``
        Atoms as rows, such as ``components_``; of any length but zero.
    D_true : array, shape ``(n, n_features)``
        Atoms to compare with, as rows.

    Returns
    -------
    float
        Dimensionless, 0 to the square root of 2.

    Raises
    ------
    ShapeError
        If the dictionaries differ in shape.
    ValueError
        If an atom is zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.dictionary import dictionary_distance
    >>> dictionary_distance(np.array([[0.0, 2.0], [-1.0, 0.0]]), np.eye(2))
    0.0
    """
    match = match_atoms(D, D_true)
    A, B = _unit_rows(D, "D"), _unit_rows(D_true, "D_true")
    # Differences, not 1 - cos, which would lose half of the digits of small distances.
    difference = match.signs[:, None] * A[match.order] - B
    return float(np.sqrt((difference**2).sum() / max(1, len(B))))


def code_sparsity(codes: Array) -> float:
    """Return the share of codes that are exactly zero.

    Parameters
    ----------
    codes : array, any shape
        Such as the result of ``transform``.

    Returns
    -------
    float
        0 (no zero) to 1 (nothing else).

    Raises
    ------
    ValueError
        If there are no codes.

    Examples
    --------
    >>> from structkit.dictionary import code_sparsity
    >>> code_sparsity([[0.0, 2.0], [0.0, 0.0]])
    0.75
    """
    values = np.asarray(to_numpy(as_array(codes, "codes")))
    if values.size == 0:
        raise ValueError(f"codes has shape {values.shape}; expected at least one code.")
    return float(np.mean(values == 0))


def _unit_rows(D: Array, name: str) -> np.ndarray:
    """Atoms as float64 rows of length one."""
    A = np.asarray(to_numpy(as_array(D, name)), dtype=np.float64)
    if A.ndim != 2:
        raise ShapeError(f"{name} has shape {A.shape}; expected a matrix with one atom per row.")
    if not np.isfinite(A).all():
        raise NotFiniteError(f"{name} holds NaN or infinity.")
    norms = np.linalg.norm(A, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError(f"{name}[{int(np.argmin(norms))}] is zero; an atom needs a direction.")
    return A / norms
