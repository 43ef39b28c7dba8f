"""Orthogonal matching pursuit behind a Kronecker product of dictionaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.progress import Progress
from structkit._core.types import Array, Callback
from structkit.sbl.base import SparseModel
from structkit.sbl.options import check_share, count, positive
from structkit.sbl.problem import Problem, prepare
from structkit.sbl.recovery import Block, Solution
from structkit.sbl.spectral import abs2, outer, products

__all__ = ["KroneckerOMP", "energy_target", "strongest"]

# Numbers in one slab of correlations: all of them at once would be a vector of all coefficients.
_SLAB = 2**22


class KroneckerOMP(SparseModel):
    r"""Orthogonal matching pursuit behind a Kronecker product of dictionaries.

    Each step finds the coefficient whose column resembles the residual most, lets its index into every mode, and fits
    all coefficients of the product of the indexes by least squares [1]_. Columns are compared at unit norm, least
    squares uses one small inverse per mode, and correlations are found slab by slab, so that no vector of all
    coefficients is formed.

    Parameters
    ----------
    n_nonzero : int or sequence of int, optional
        Most columns per mode. Default: as many as rows.
    tol : float, optional
        Stop when the norm of the residual is below this times that of `y`. Default: none.
    noise_var : float, optional
        Stop when the residual is as large as noise of this variance, in squared units of `y`. Without it and without
        `tol`, the pursuit runs until `n_nonzero`.
    callback : callable, optional
        Called with a dict after each step; returning True stops.
    verbose : int, default 0
        1 shows a progress bar.

    Attributes
    ----------
    support_ : list of numpy.ndarray
        Positions of the columns of every mode, sorted.
    coef_active_ : array, shape ``(|S_1|, ..., |S_I|)``, with snapshots ``(|S_1|, ..., |S_I|, L)``
        Least-squares coefficients.
    variance_active_ : array, shape ``(|S_1|, ..., |S_I|)``
        Their variance under the residual noise.
    gamma_ : list of numpy.ndarray
        Ones on the support; the method has no prior.
    noise_var_ : float
        Residual variance.
    evidence_ : float
        Log likelihood.
    penalized_evidence_ : float
        The same; there is no penalty.
    block_fill_ : float
        Share of the coefficients that are larger than three standard deviations.
    converged_ : bool
        Whether the residual reached its target before the columns ran out; True without a target.
    n_iter_ : int
        Steps.
    history_ : list of dict
        Columns and residual after each step.

    References
    ----------
    .. [1] Caiafa, Cichocki, "Computing sparse representations of multidimensional signals using Kronecker bases",
       Neural Comput. 25, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import KroneckerOMP
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((16, 20)), rng.standard_normal((24, 30))
    >>> x = np.zeros((20, 30))
    >>> x[np.ix_([3, 8], [5, 17])] = [[1.0, -2.0], [3.0, 1.5]]
    >>> model = KroneckerOMP(n_nonzero=2).fit([A, B], A @ x @ B.T)
    >>> [s.tolist() for s in model.support_]
    [[3, 8], [5, 17]]
    """

    def __init__(
        self,
        n_nonzero: int | Sequence[int] | None = None,
        tol: float | None = None,
        *,
        noise_var: float | None = None,
        callback: Callback | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_nonzero = n_nonzero
        self.tol = tol
        self.noise_var = noise_var
        self.callback = callback
        self.verbose = verbose

    def fit(self, factors: Sequence[Array], y: Array, *, n_snapshots: int | None = None) -> Self:
        """Pursue.

        Parameters
        ----------
        factors : sequence of array, shapes ``(m_i, n_i)``
            Dictionaries, as in `KroneckerSBL.fit`.
        y : array, shape ``(m_1, ..., m_I)``, flat, or either with a trailing axis of snapshots
            Measurements.
        n_snapshots : int, optional
            How many snapshots `y` has to hold.

        Returns
        -------
        self : KroneckerOMP
        """
        problem = prepare(factors, y, n_snapshots)
        limits = _limits(self.n_nonzero, problem)
        target = energy_target(self.tol, self.noise_var, problem)
        data = np.asarray(to_numpy(problem.y))
        progress = Progress(self.verbose, self.callback)
        progress.stage("KroneckerOMP", sum(limits))
        try:
            columns, energy = _pursue(problem, data, limits, target, progress)
        finally:
            progress.close()
        history = progress.history
        chosen = [np.sort(np.array(c, dtype=np.int64)) for c in columns]
        solution = _least_squares(problem, data, chosen, energy, len(history), energy <= target or target < 0)
        self._store(problem, solution, history)
        return self


def _pursue(
    problem: Problem, data: np.ndarray, limits: Sequence[int], target: float, progress: Progress
) -> tuple[list[list[int]], float]:
    """Columns of every mode in their order, and the energy of what is left of the measurements."""
    columns: list[list[int]] = [[] for _ in problem.sizes]
    bases = [np.empty((m, 0), data.dtype) for m in problem.rows]
    rest, energy, n_steps = data, float(problem.n_data), 0
    while energy > target and n_steps < sum(limits):
        # A mode that is full goes on with the columns it has.
        full = [len(c) == k for c, k in zip(columns, limits, strict=True)]
        allowed = [A[:, c] if f else A for A, c, f in zip(problem.host, columns, full, strict=True)]
        best = strongest(allowed, rest)
        new = [not f and j not in c for c, f, j in zip(columns, full, best, strict=True)]
        if not any(new):  # rounding is all that is left
            break
        for i, (j, enters) in enumerate(zip(best, new, strict=True)):
            if enters:
                columns[i].append(j)
                bases[i] = np.linalg.qr(problem.host[i][:, columns[i]])[0]
        rest = data - products(products(data, bases, adjoint=True), bases)
        energy, n_steps = float(abs2(rest).sum()), n_steps + 1
        if progress.step({"n_active": [len(c) for c in columns], "residual": math.sqrt(energy / problem.n_data)}):
            break
    return columns, energy


def _limits(n_nonzero: int | Sequence[int] | None, problem: Problem) -> list[int]:
    """Most columns per mode."""
    if n_nonzero is None:
        return [min(m, n) for m, n in zip(problem.rows, problem.sizes, strict=True)]
    given = [n_nonzero] * len(problem.sizes) if isinstance(n_nonzero, (int, np.integer)) else list(n_nonzero)
    if len(given) != len(problem.sizes):
        raise ValueError(f"n_nonzero has {len(given)} entries for {len(problem.sizes)} factors.")
    most = [min(m, n) for m, n in zip(problem.rows, problem.sizes, strict=True)]
    return [count("n_nonzero", k, top) for k, top in zip(given, most, strict=True)]


def energy_target(tol: float | None, noise_var: float | None, problem: Problem) -> float:
    """Energy of the residual at which to stop, for the scaled measurements; negative without any."""
    targets = [-1.0]
    if tol is not None:
        targets.append(check_share("tol", tol) ** 2 * problem.n_data)
    if noise_var is not None:
        targets.append(positive("noise_var", noise_var) * problem.n_data / problem.scale**2)
    return max(targets)


def strongest(factors: Sequence[np.ndarray], rest: np.ndarray) -> tuple[int, ...]:
    """Index of the column of the product of `factors`, of unit norm, most like `rest` (snapshots last)."""
    others = math.prod(A.shape[1] for A in factors[1:]) * rest.shape[-1]
    step = max(1, _SLAB // max(others, 1))
    shape = tuple(A.shape[1] for A in factors)
    best, at = -1.0, 0
    for start in range(0, shape[0], step):
        slab = [factors[0][:, start : start + step], *factors[1:]]
        size = abs2(products(rest, slab, adjoint=True)).sum(axis=-1)
        place = int(size.argmax())
        if size.flat[place] > best:
            best, at = float(size.flat[place]), start * math.prod(shape[1:]) + place
    return tuple(int(j) for j in np.unravel_index(at, shape))


def _least_squares(
    problem: Problem, data: np.ndarray, columns: list[np.ndarray], energy: float, n_iter: int, converged: bool
) -> Solution:
    """Coefficients, their variances, and the likelihood."""
    inverses = [np.linalg.pinv(A[:, c]) for A, c in zip(problem.host, columns, strict=True)]
    norms = [n[c] for n, c in zip(problem.norms, columns, strict=True)]
    unit = problem.scale / outer(norms)
    spread = outer([abs2(P).sum(axis=1) for P in inverses])
    used = problem.n_snapshots * math.prod(len(c) for c in columns)
    noise = max(energy / max(problem.n_data - used, 1), np.finfo(float).tiny)
    roots = [P / n[:, None] for P, n in zip(inverses, norms, strict=True)]
    roots[-1] = roots[-1] * problem.scale
    block = Block(
        columns,
        [np.ones(len(c)) for c in columns],
        noise * problem.scale**2,
        products(data, inverses) * unit[..., None],
        noise * spread * unit**2,
        roots,
        np.full(tuple(P.shape[1] for P in inverses), noise),
    )
    cost = problem.n_data * math.log(noise) + energy / noise
    return Solution(block, cost, cost, converged, n_iter)
