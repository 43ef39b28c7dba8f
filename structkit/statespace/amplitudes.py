"""Outputs that mix the terms of a sum in their own proportions."""

from __future__ import annotations

import numpy as np

from structkit._core.errors import NotFiniteError, ShapeError
from structkit._core.types import Array
from structkit.statespace.combine import SumForm
from structkit.statespace.sde import LinearSDE, known_form

__all__ = ["expand_amplitudes", "term_of_state", "term_variances"]


def term_of_state(sde: LinearSDE) -> np.ndarray:
    """Return the number of the term of a sum to which each state belongs, shape ``(s,)``."""
    form = known_form(sde)
    parts = form.parts if isinstance(form, SumForm) else (form,)
    return np.repeat(np.arange(len(parts)), [part.n_states for part in parts])


def expand_amplitudes(sde: LinearSDE, amplitudes: Array, n_outputs: int) -> np.ndarray:
    """Return the factors ``(R, s)`` of all states for those of the terms, ``(R, P)``."""
    terms = term_of_state(sde)
    factors = np.asarray(amplitudes, dtype=np.float64)
    expected = (n_outputs, int(terms[-1]) + 1)
    if factors.shape != expected:
        raise ShapeError(f"amplitudes has shape {factors.shape}; expected {expected}: outputs and terms of the sum.")
    if not np.isfinite(factors).all():
        raise NotFiniteError("amplitudes holds NaN or infinity.")
    return factors[:, terms]


def term_variances(sde: LinearSDE) -> np.ndarray:
    """Return the variances of the terms of a sum.

    Parameters
    ----------
    sde : LinearSDE
        The model.

    Returns
    -------
    variances : array, shape ``(P,)``
        One for each term; for a model that is no sum, its variance.

    See Also
    --------
    LinearSDE : the process.
    log_likelihood : learn the variances from data.

    Examples
    --------
    >>> from structkit.statespace import constant_sde, matern_sde
    >>> term_variances(constant_sde(0.5) + matern_sde(1.5, variance=2.0))
    array([0.5, 2. ])
    """
    terms = term_of_state(sde)
    outputs = np.eye(int(terms[-1]) + 1)[:, terms] * sde.H
    return np.einsum("pk,kl,pl->p", outputs, sde.Pinf, outputs)
