"""One product of sparse vectors behind a product of dictionaries, fitted mode by mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from structkit.sbl.forward_backward import Active, search
from structkit.sbl.options import Options
from structkit.sbl.polish import NOISE_FLOOR
from structkit.sbl.problem import Problem
from structkit.sbl.restarts import reconsider
from structkit.sbl.spectral import abs2, outer, products

__all__ = ["Term", "fit_term", "start_term"]

# Sweeps over the modes, and the relative change of the term that ends them.
_CYCLES, _TOL = 20, 1e-10


@dataclass
class Term:
    """One sparse vector per mode, and one weight per snapshot.

    Attributes
    ----------
    columns : list of numpy.ndarray or None
        Active columns of every mode; None where nothing is known yet.
    means, roots : list of numpy.ndarray, shapes ``(k_i,)`` and ``(k_i, r_i)``
        Posterior means and square roots of the posterior covariances, for columns of unit norm.
    images : list of numpy.ndarray, shapes ``(m_i,)``
        What the means are seen as, of unit norm.
    weights : numpy.ndarray, shape ``(L,)``
        Weights of the snapshots, which hold the scale.
    gammas : list of numpy.ndarray, shapes ``(k_i,)``
        Prior variances.
    """

    columns: list[np.ndarray | None]
    means: list[np.ndarray]
    roots: list[np.ndarray]
    images: list[np.ndarray]
    weights: np.ndarray
    gammas: list[np.ndarray]

    def tensor(self) -> np.ndarray:
        """The noise-free measurements, shape ``(m_1, ..., m_I, L)``."""
        return outer([*self.images, self.weights])

    def reweigh(self, y: np.ndarray) -> None:
        """Set the weights of the snapshots by least squares."""
        self.weights = products(y, [b[:, None] for b in self.images], adjoint=True).reshape(-1)


def start_term(images: Sequence[np.ndarray], y: np.ndarray) -> Term:
    """A term that is seen as the given vectors of the modes in `y`; nothing known about its columns."""
    unit = [b / (float(np.linalg.norm(b)) or 1.0) for b in images]
    none = [np.empty(0)] * len(unit)
    term = Term([None] * len(unit), list(none), list(none), unit, np.zeros(y.shape[-1], y.dtype), list(none))
    term.reweigh(y)
    return term


def fit_term(
    problem: Problem, y: np.ndarray, term: Term, noise_var: float, options: Options, penalties: Sequence[float]
) -> None:
    """Fit one term to `y`, which lacks what other terms explain, by sparse fits of one mode after another."""
    before = term.tensor()
    for cycle in range(_CYCLES):
        for i in range(len(problem.sizes)):
            _fit_mode(problem, y, term, i, noise_var, options, penalties[i], twice=cycle == 0)
        term.reweigh(y)
        after = term.tensor()
        if float(abs2(after - before).sum()) <= _TOL * float(abs2(after).sum()):
            break
        before = after


def _fit_mode(
    problem: Problem,
    y: np.ndarray,
    term: Term,
    i: int,
    noise_var: float,
    options: Options,
    penalty: float,
    *,
    twice: bool,
) -> None:
    """Sparse fit of one mode, the others fixed: their images reduce the measurements to one vector."""
    power = float(abs2(term.weights).sum())
    if power == 0.0:
        _leave_out(term, i)
        return
    others = [b[:, None] for b in (*term.images, term.weights)]
    seen = products(y, others, skip=i, adjoint=True).reshape(-1, 1) / power
    scale = math.sqrt(float(abs2(seen).mean())) or 1.0
    small = replace(
        problem, factors=[problem.host[i]], norms=[problem.norms[i]], y=seen / scale, scale=scale, snapshots=False
    )
    noise = max(noise_var / (power * scale**2), NOISE_FLOOR)
    columns = term.columns[i]
    if columns is None:
        columns = np.array([int(np.abs(problem.host[i].conj().T @ seen[:, 0]).argmax())])
    start = Active([columns], [np.full(len(columns), len(seen) / len(columns))], noise)
    known = replace(options, noise_var=noise)
    active, found = start, search(small, start, known, [penalty], _silent)
    if twice:
        active, found = reconsider(small, active, found, known, [penalty], _silent)
    model = found.model
    x = np.asarray(model.posterior()[0])[:, 0]
    image = problem.host[i][:, active.columns[0]] @ x
    norm = float(np.linalg.norm(image)) or 1.0  # nothing of the measurements is seen through the columns
    singular = model.bases[0].singular
    share = np.sqrt(noise / (noise + singular**2))
    root = np.sqrt(model.gammas[0])[:, None] * model.bases[0].right * share
    term.columns[i], term.means[i], term.roots[i] = active.columns[0], x / norm, root / norm
    term.images[i], term.gammas[i] = image / norm, model.gammas[0] / norm**2
    term.weights = term.weights * (norm * scale)


def _leave_out(term: Term, i: int) -> None:
    """A mode of a term without weight: nothing is known of it, and its first column stands for that."""
    if term.columns[i] is None:
        term.columns[i], term.means[i], term.roots[i] = np.zeros(1, int), np.zeros(1), np.zeros((1, 1))
        term.gammas[i] = np.zeros(1)


def _silent(record: dict[str, object]) -> bool:
    """Report nothing and go on."""
    return False
