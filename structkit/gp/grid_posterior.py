"""Posterior of a Gaussian process on a grid: mean, variance and samples, on the grid and at new coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.linalg

from structkit._backend.namespace import get_namespace, to_numpy
from structkit._core.errors import SizeError
from structkit._core.results import STATUS
from structkit._core.types import Array
from structkit._core.validation import available_bytes
from structkit.gp.grid_data import GridData, GridModel
from structkit.gp.grid_evidence import dense_factor, iterative_value, observed_covariance
from structkit.gp.regions import find_regions
from structkit.gp.solver import CoefficientSolve, PreconditionedSystem
from structkit.gp.whitening import AxisBasis, GridSystem, axis_bases
from structkit.kron import multi_mode_product

__all__ = ["GridPosterior", "noise_at", "unsettled_message"]

CHUNK_BYTES = 2**30  # of right-hand sides solved at once
ROOT_MATRICES = 6  # of the size of the covariance of new coordinates, alive at once


class GridPosterior:
    """Posterior of the whitened coefficients given a model and data.

    Parameters
    ----------
    model : GridModel
        Covariances, noise and mean.
    data : GridData
        Observations; kept in float64 where float32 would not do.
    method : {"eigen", "dense", "iterative"}
        How linear systems are solved.
    tol, max_iter
        Of the iterative solver.
    bases, coefficients : optional
        Of a posterior that was saved.
    """

    def __init__(
        self,
        model: GridModel,
        data: GridData,
        method: str,
        *,
        tol: float,
        max_iter: int,
        bases: Sequence[AxisBasis] | None = None,
        coefficients: np.ndarray | None = None,
    ) -> None:
        # The dense method works with C^{-1} y, which cancels; the iterative one depends on the noise.
        data = {"eigen": lambda: data, "dense": data.double, "iterative": lambda: data.suited(model, tol)}[method]()
        self.model, self.data, self.method = model, data, method
        self.tol, self.max_iter = tol, max_iter
        whitened = model.whitened_covariances(data.coords, data.shape)
        self.bases = list(bases) if bases is not None else axis_bases(whitened)
        self.system = GridSystem(self.bases, data.device_array(data.weights))
        self._solver: PreconditionedSystem | None = None
        self._cholesky: tuple[np.ndarray, np.ndarray, list[np.ndarray]] | None = None
        self.info: CoefficientSolve | None = None
        if coefficients is not None:
            self.coefficients = data.device_array(coefficients)
        else:
            z = data.device_array(model.whitened_data(data))[None]
            self.coefficients, self.info = self._solve(self.system.from_grid(self.system.weights * z), z, tol)

    def _solve(self, rhs: Array, z: Array, tol: float) -> tuple[Array, CoefficientSolve | None]:
        """Posterior coefficients for a stack of right-hand sides ``R^T W z``; `z` is used by the dense method."""
        if self.method == "eigen":
            return rhs / (1.0 + self.system.prior), None
        if self.method == "dense":
            return self._dense_solve(z), None
        solve = self._preconditioned().solve(rhs, tol=tol, max_iter=self.max_iter)
        return solve.value, solve

    def _preconditioned(self) -> PreconditionedSystem:
        if self._solver is None:
            self._solver = PreconditionedSystem(self.system, find_regions(self.data.weights))
        return self._solver

    def evidence(self, normals: np.ndarray) -> tuple[float, float]:
        """Log evidence and its standard error by the iterative method; `normals` (k, n_1, ..., n_D) are its probes."""
        probes = self.data.device_array(normals)
        return iterative_value(self.model, self.data, self._preconditioned(), self.coefficients, probes, self.max_iter)

    def _factor(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        if self._cholesky is None:
            C, index, covariances = observed_covariance(self.model, self.data)
            self._cholesky = dense_factor(C), index, covariances
        return self._cholesky

    def _dense_solve(self, z: Array) -> Array:
        L, _, _ = self._factor()
        sd = np.broadcast_to(self.model.scale_grid(self.data.shape), self.data.shape)
        seen = self.data.weights > 0
        values = (to_numpy(z).astype(np.float64) * sd)[:, seen]
        alpha = scipy.linalg.cho_solve((L, True), values.T).T
        grid = np.zeros(z.shape)
        grid[:, seen] = alpha * sd[seen]
        return self.system.from_grid(self.data.device_array(grid))

    def weights_at(self, coords: Sequence[np.ndarray | None]) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """Per axis: weights (m, r) of the coefficients, and the prior variance (m,) at new coordinates, else None.

        Along the whitened axis in units of the noise at its levels, in units of the data at new coordinates.
        """
        rows: list[np.ndarray] = []
        variances: list[np.ndarray | None] = []
        sd = self.model.noise_sd(self.data.shape)
        for d, (x, old, k, b) in enumerate(zip(coords, self.data.coords, self.model.kernels, self.bases, strict=True)):
            if x is None:
                rows.append(b.vectors * np.sqrt(b.values))
                variances.append(None)
                continue
            cross = np.asarray(k(x, old))  # type: ignore[operator]
            rows.append(b.whiten(cross / sd if d == self.model.whitened_axis else cross))
            variances.append(np.asarray(k.diagonal(x)))  # type: ignore[union-attr]
        return rows, variances

    def output_scale(self, coords: Sequence[np.ndarray | None]) -> np.ndarray:
        """Factor from the units of `weights_at` to units of the data, broadcasting over the output."""
        if coords[self.model.whitened_axis] is not None:
            return np.ones(())
        return self.model.scale_grid(self.data.shape)

    def _map(self, c: Array, matrices: Sequence[np.ndarray]) -> Array:
        arrays = [self.data.device_array(m) for m in matrices]
        return multi_mode_product(c, arrays, modes=self.system.modes)

    def mean(self, coords: Sequence[np.ndarray | None]) -> np.ndarray:
        """Posterior mean in units of the data, float64 sums aside in the dtype of the data."""
        rows, _ = self.weights_at(coords)
        u = to_numpy(self._map(self.coefficients, rows))[0]
        return u * self.output_scale(coords) + self.model.mean_grid(u.ndim)

    def variance(self, coords: Sequence[np.ndarray | None], samples: Array | None) -> np.ndarray:
        """Posterior variance of the noise-free function; `samples` are smoothed draws for the iterative method."""
        rows, new = self.weights_at(coords)
        spare = self._conditional_variance(rows, new)
        if self.method == "dense":
            return self._dense_variance(coords)
        omega = float(self.data.weights.max())
        squared = [r * r for r in rows]
        # The squared weights already carry the prior variance of each coefficient.
        shrink = 1.0 / (1.0 + omega * self.system.prior)
        v = to_numpy(self._map(shrink[None], squared))[0] + spare
        if samples is not None:
            total = np.zeros(v.shape)
            for c in samples:  # type: ignore[attr-defined]
                total += to_numpy(self._map(c[None], rows))[0].astype(np.float64) ** 2
            v = v + total / samples.shape[0]
        return np.maximum(v, 0.0) * self.output_scale(coords) ** 2

    @staticmethod
    def _conditional_variance(rows: Sequence[np.ndarray], new: Sequence[np.ndarray | None]) -> np.ndarray:
        """Prior variance at new coordinates that the grid's coefficients cannot explain, in units of the noise."""
        if all(v is None for v in new):
            return np.zeros([len(r) for r in rows])
        explained, full = np.ones(()), np.ones(())
        for r, v in zip(rows, new, strict=True):
            part = (r * r).sum(1)
            explained = np.multiply.outer(explained, part)
            full = np.multiply.outer(full, part if v is None else np.maximum(v, part))
        return full - explained

    def _dense_variance(self, coords: Sequence[np.ndarray | None]) -> np.ndarray:
        """Exact variance from the Cholesky factor, a block of output cells at a time."""
        L, index, covariances = self._factor()
        cross, prior = [], []
        for x, old, k, K in zip(coords, self.data.coords, self.model.kernels, covariances, strict=True):
            cross.append(K if x is None else k(x, old))  # type: ignore[operator]
            prior.append(np.diag(K) if x is None else np.asarray(k.diagonal(x)))  # type: ignore[union-attr]
        shape = tuple(len(c) for c in cross)
        total = math.prod(shape)
        out = np.ones(())
        for p in prior:
            out = np.multiply.outer(out, p)
        flat = out.reshape(-1)
        block = max(1, CHUNK_BYTES // 8 // max(len(index), 1) // 4)
        for begin in range(0, total, block):
            cells = np.unravel_index(np.arange(begin, min(begin + block, total)), shape)
            k_star = np.ones((len(cells[0]), len(index)))
            for c, i, j in zip(cross, cells, index.T, strict=True):
                k_star *= c[np.ix_(i, j)]
            half = scipy.linalg.solve_triangular(L, k_star.T, lower=True)
            flat[begin : begin + block] -= (half * half).sum(0)
        return np.maximum(out, 0.0)

    def draw(
        self, n: int, rng: np.random.Generator, *, tol: float, smoothed: bool = False
    ) -> tuple[Array, CoefficientSolve | None]:
        r"""Draw deviations of the coefficients from their posterior mean, shape ``(n, r_1, ..., r_D)``.

        Also returns a solve that did not converge, if there was one.

        Perturb and solve: ``A^{-1} (\xi_1 + R^T W^{1/2} \xi_2)`` has covariance ``A^{-1}``. With ``smoothed=True`` each
        draw is replaced by its conditional mean given completed data; those plus the exact variance of the completed
        problem give the variance with less sampling error (Rao and Blackwell).
        """
        s, data = self.system, self.data
        xp = get_namespace(s.weights)
        dtype = data.y.dtype.type
        per_draw = 6 * data.y.itemsize * max(data.y.size, math.prod(s.rank))
        step = max(1, CHUNK_BYTES // per_draw)
        parts, worst = [], None
        for begin in range(0, n, step):
            k = min(step, n - begin)
            prior, noise, extra = (
                data.device_array(rng.standard_normal((k, *data.shape), dtype=dtype)) for _ in range(3)
            )
            c0 = s.prior_draw(prior)
            if self.method == "dense":
                zero_safe = s.weights + (s.weights == 0)  # type: ignore[operator]
                simulated = s.to_grid(c0) + noise / zero_safe**0.5
                c = c0 - self._solve(s.from_grid(s.weights * simulated), simulated, tol)[0]
            else:
                rhs = c0 + s.from_grid(s.weights**0.5 * noise)
                c, solve = self._solve(rhs, rhs, tol)
                worst = solve if solve is not None and solve.status != "converged" else worst
            if smoothed:
                omega = float(data.weights.max())
                gap = omega - s.weights
                completed = gap * s.to_grid(c) + gap**0.5 * extra
                c = s.from_grid(completed) / (1.0 + omega * s.prior)
            parts.append(c)
        return xp.concat(parts), worst

    def sample(
        self, coords: Sequence[np.ndarray | None], n: int, rng: np.random.Generator, *, tol: float
    ) -> tuple[np.ndarray, CoefficientSolve | None]:
        """Draw functions, shape ``(n, m_1, ..., m_D)``, in units of the data; and a solve that did not converge."""
        for d, x in enumerate(coords):
            if x is not None and (need := ROOT_MATRICES * 8 * len(x) ** 2) > (have := available_bytes()):
                raise SizeError(
                    f"Samples at the {len(x)} new coordinates of axis {d} would take {need / 2**30:.3g} GiB and "
                    f"{have / 2**30:.3g} GiB are available. Sample at fewer coordinates."
                )
        rows, _ = self.weights_at(coords)
        c, unsettled = self.draw(n, rng, tol=tol)
        u = to_numpy(self._map(c + self.coefficients, rows)).copy()
        u += self._prior_remainder(coords, rows, n, rng)
        return u * self.output_scale(coords) + self.model.mean_grid(u.ndim - 1), unsettled

    def _prior_remainder(
        self, coords: Sequence[np.ndarray | None], rows: Sequence[np.ndarray], n: int, rng: np.random.Generator
    ) -> np.ndarray | float:
        r"""Draw what the prior adds at new coordinates given the grid.

        Its covariance :math:`\otimes_d K_d - \otimes_d Q_d`, with :math:`Q_d` the part that the grid explains,
        telescopes into a sum of Kronecker products :math:`(\otimes_{e<d} Q_e) \otimes (K_d - Q_d) \otimes
        (\otimes_{e>d} K_e)`, drawn one by one.
        """
        if all(x is None for x in coords):
            return 0.0
        explained = [r @ r.T for r in rows]
        kernels = self.model.kernels
        full = [Q if x is None else k(x) for x, k, Q in zip(coords, kernels, explained, strict=True)]  # type: ignore[operator]
        total: np.ndarray | float = 0.0
        for d, x in enumerate(coords):
            if x is None:
                continue
            parts = [*explained[:d], full[d] - explained[d], *full[d + 1 :]]
            normals = rng.standard_normal((n, *[len(p) for p in parts]))
            total = total + multi_mode_product(normals, [_symmetric_root(p) for p in parts], modes=self.system.modes)
        return total  # type: ignore[return-value]


def noise_at(model: GridModel, cell_noise: np.ndarray | None, coords: Sequence[np.ndarray | None]) -> np.ndarray:
    """Noise variance of new observations, broadcasting over the output; ValueError where it is not known."""
    if model.noise_var.ndim == 0 and cell_noise is None:
        return model.noise_var
    for d in range(len(coords)) if cell_noise is not None else [model.noise_axis or 0]:
        if coords[d] is not None:
            raise ValueError(
                f"include_noise=True with new coordinates on axis {d}: the noise is known at its levels only. Add your "
                "own noise variance to std**2."
            )
    return model.along(model.noise_var, model.noise_axis, len(coords)) if cell_noise is None else cell_noise


def unsettled_message(what: str, solve: CoefficientSolve, tol: float) -> str:
    """Say how far a solve came that did not converge."""
    return (
        f"{what} an estimated error of {solve.error:.2g} posterior standard deviations (tol={tol:g}) after "
        f"{solve.n_iter} iterations. {STATUS[solve.status]}"
    )


def _symmetric_root(K: np.ndarray) -> np.ndarray:
    """Square root of a positive semi-definite matrix; eigenvalues that rounding made negative count as zero."""
    w, V = np.linalg.eigh(K)
    return (V * np.sqrt(np.maximum(w, 0.0))) @ V.T
