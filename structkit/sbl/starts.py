"""First guesses of the active columns, none of which forms a vector of all coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit.kron import unfold
from structkit.sbl.forward_backward import Active
from structkit.sbl.polish import NOISE_FLOOR
from structkit.sbl.problem import Problem
from structkit.sbl.spectral import Spectral, abs2, compress, products
from structkit.sbl.weighted import SecondMoments

N_SPREAD = 12  # twice as many find the same

__all__ = ["leading_vectors", "peak_start", "spread_start"]


def leading_vectors(Y: np.ndarray, n_iter: int = 4) -> list[np.ndarray]:
    """Unit vectors of the best product approximation of a tensor: higher-order power iteration from the HOSVD."""
    vectors = []
    for i in range(Y.ndim):
        rows = unfold(Y, i)
        vectors.append(np.linalg.eigh(rows @ rows.conj().T)[1][:, -1:])
    for _ in range(n_iter if Y.ndim > 1 else 0):
        for i in range(Y.ndim):
            b = products(Y, vectors, skip=i, adjoint=True).reshape(-1, 1)
            if size := np.linalg.norm(b):  # a tensor of zeros has no better vectors than those at hand
                vectors[i] = b / size
    return [v[:, 0] for v in vectors]


def peak_start(problem: Problem, noise_var: float | None) -> Active:
    """One column per mode: the one most like the leading vector of the measurements along that mode."""
    vectors = leading_vectors(np.asarray(to_numpy(problem.y)))
    columns = [np.array([int(np.abs(A.conj().T @ v).argmax())]) for A, v in zip(problem.host, vectors, strict=False)]
    atoms = [A[:, c] for A, c in zip(problem.host, columns, strict=True)]
    power = float(abs2(problem.project(atoms)).sum()) / problem.n_snapshots
    rest = (problem.n_data - power * problem.n_snapshots) / max(problem.n_data - problem.n_snapshots, 1)
    gammas = [np.ones(1) for _ in atoms]
    gammas[-1] = np.full(1, max(power, 1e-6))
    return Active(columns, gammas, max(rest, NOISE_FLOOR) if noise_var is None else noise_var)


def spread_start(
    problem: Problem, noise_var: float | None, most: Sequence[int], *, n_iter: int = N_SPREAD, prune: float = 1e-3
) -> Active:
    r"""Columns left by some steps towards the product that is nearest to the posterior second moments.

    One step multiplies the tensor of second moments by the prior variances of the other modes, a power iteration for
    its best product approximation; columns below `prune` times the largest of their mode leave. Of what is left, the
    largest `most` of every mode stay.
    """
    columns = [np.arange(n) for n in problem.sizes]
    Y = np.asarray(to_numpy(problem.y))
    gammas = [np.ones(n) for n in problem.sizes]
    gammas[-1] *= math.prod(problem.rows) / math.prod(problem.sizes)
    noise = 0.1 if noise_var is None else noise_var
    model = Spectral(compress(problem.host, Y), gammas, noise)
    for _ in range(n_iter):
        new = _product_step(SecondMoments(model))
        kept = [g >= prune * g.max() for g in new]
        if all(k.all() for k in kept):
            for i, g in enumerate(new):
                model.set_mode(i, g)
        else:
            columns = [c[k] for c, k in zip(columns, kept, strict=True)]
            chosen = [A[:, c] for A, c in zip(problem.host, columns, strict=True)]
            model = Spectral(compress(chosen, Y), [g[k] for g, k in zip(new, kept, strict=True)], model.noise_var)
        model.rescale()
        if noise_var is None:
            trace, power = model.noise_sums()
            model.noise_var = max(model.noise_var * power / trace, NOISE_FLOOR)
    largest = [np.argsort(-g, kind="stable")[:k] for g, k in zip(model.gammas, most, strict=True)]
    columns = [c[top] for c, top in zip(columns, largest, strict=True)]
    return Active(columns, [g[top] for g, top in zip(model.gammas, largest, strict=True)], model.noise_var)


def _product_step(moments: SecondMoments) -> list[np.ndarray]:
    """One sweep of the power iteration for the best product approximation of the second moments."""
    vectors = list(moments.gammas)
    for i in range(len(vectors)):
        rest = math.prod(float(v @ v) for k, v in enumerate(vectors) if k != i)
        sums = moments.sums(i, vectors)
        vectors[i] = np.maximum(sums / rest, 0.0)
    return vectors
