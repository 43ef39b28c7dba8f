"""A learned covariance for an axis without coordinates: bands, sensors, tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import NotPositiveDefiniteError, ShapeError

__all__ = ["FreeCovariance"]

UNIQUE = 1e-6  # least share of a level's variance that it does not share with the others, at finite rank


class FreeCovariance:
    r"""Covariance matrix between the levels of an axis, learned from the data.

    For an axis whose levels have no coordinate. The matrix is full, or, when the axis has more levels than the data
    can tell apart, of the form :math:`L L^T + \operatorname{diag}(\psi)` with `rank` columns in :math:`L`.

    Parameters
    ----------
    rank : int, optional
        Number of columns of :math:`L`. Default: a full matrix, which loses nothing and costs no more per iteration
        of a fit on an incomplete grid than the transform along that axis.
    shrinkage : float, optional
        Weight of the prior, as a number of observations in which the levels were independent with the variances seen in
        the data (an inverse-Wishart prior). Default ``0.1 * n``: with many levels and few cells seen together the
        estimate without it explains what it saw by chance correlations and predicts worse; with few levels it is
        negligible. 0 is maximum likelihood.
    matrix : array, shape ``(n, n)``, optional
        Symmetric positive semi-definite starting value, in squared units of the data. Default: estimated from the
        pairs of observed cells.

    Attributes
    ----------
    rank : int or None
        As given.
    shrinkage : float or None
        As given.
    matrix : numpy.ndarray or None
        As given; the learned matrix in `GridGP.kernels_`.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.gp import FreeCovariance
    >>> FreeCovariance(matrix=np.eye(3)).correlation().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(
        self, rank: int | None = None, *, shrinkage: float | None = None, matrix: np.ndarray | None = None
    ) -> None:
        if rank is not None and (not isinstance(rank, (int, np.integer)) or isinstance(rank, bool) or rank < 1):
            raise ValueError(f"rank must be a positive integer or None; got {rank!r}.")
        if shrinkage is not None and not 0 <= shrinkage < np.inf:
            raise ValueError(
                f"shrinkage must be a finite number of pseudo-observations, at least 0; got {shrinkage!r}."
            )
        self.rank = None if rank is None else int(rank)
        self.shrinkage = None if shrinkage is None else float(shrinkage)
        self.matrix = None if matrix is None else _checked_matrix(matrix)

    def with_matrix(self, matrix: np.ndarray) -> FreeCovariance:
        """Return a covariance of the same rank with another matrix.

        Parameters
        ----------
        matrix : numpy.ndarray, shape ``(n, n)``
            Covariance between the levels, in squared units of the data.

        Returns
        -------
        covariance : FreeCovariance
            A new object.
        """
        return FreeCovariance(self.rank, shrinkage=self.shrinkage, matrix=matrix)

    def pseudo_count(self, n: int) -> float:
        """Return the weight of the prior for a matrix of some size.

        Parameters
        ----------
        n : int
            Number of levels.

        Returns
        -------
        weight : float
            In observations.
        """
        return 0.1 * n if self.shrinkage is None else self.shrinkage

    def correlation(self) -> np.ndarray:
        """Correlation matrix, shape ``(n, n)``, dimensionless; levels of zero variance get zero correlation."""
        if self.matrix is None:
            raise ValueError("This covariance has no matrix yet; fit a GridGP and read its kernels_.")
        sd = np.sqrt(np.diag(self.matrix))
        inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
        return self.matrix * np.multiply.outer(inverse, inverse)

    def to_dict(self) -> dict[str, object]:
        """Values from which `from_dict` makes an equal object."""
        matrix = None if self.matrix is None else self.matrix.tolist()
        return {"kind": "FreeCovariance", "rank": self.rank, "shrinkage": self.shrinkage, "matrix": matrix}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> FreeCovariance:
        """Make the object that `to_dict` described.

        Parameters
        ----------
        data : mapping
            What `to_dict` returned.

        Returns
        -------
        covariance : FreeCovariance
            Equal to the one that was described.
        """
        matrix = data["matrix"]
        return cls(data["rank"], shrinkage=data["shrinkage"], matrix=None if matrix is None else np.array(matrix))  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FreeCovariance) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.rank, self.shrinkage, None if self.matrix is None else self.matrix.tobytes()))

    def __repr__(self) -> str:
        inside = [] if self.rank is None else [f"rank={self.rank}"]
        if self.shrinkage is not None:
            inside.append(f"shrinkage={self.shrinkage:g}")
        if self.matrix is not None:
            inside.append(f"matrix=<{self.matrix.shape[0]} x {self.matrix.shape[1]}>")
        return f"FreeCovariance({', '.join(inside)})"


def _checked_matrix(matrix: np.ndarray) -> np.ndarray:
    given = to_numpy(as_array(matrix, "matrix"))
    if given.dtype.kind == "c":
        raise TypeError("matrix is complex; GridGP models real data, whose covariances are real.")
    B = given.astype(np.float64)
    if B.ndim != 2 or B.shape[0] != B.shape[1] or not B.size:
        raise ShapeError(f"matrix has shape {B.shape}; expected a square matrix (n, n) with n of at least 1.")
    if not np.isfinite(B).all():
        raise ValueError("matrix holds NaN or infinity.")
    scale = np.abs(B).max(initial=0.0)
    if np.abs(B - B.T).max(initial=0.0) > 1e-8 * scale:
        raise ValueError("matrix is not symmetric.")
    B = (B + B.T) / 2
    lowest = np.linalg.eigvalsh(B)[0]
    if lowest < -1e-8 * scale:
        raise NotPositiveDefiniteError(f"matrix has the eigenvalue {lowest:.3g}; expected a covariance, none negative.")
    B.flags.writeable = False
    return B


def pairwise_covariance(Y: np.ndarray, mask: np.ndarray, axis: int, floor: float) -> np.ndarray:
    """Covariance between the levels of `axis` from all pairs of observed cells, made positive definite.

    `Y` holds zero at hidden cells and has mean zero; eigenvalues are raised to `floor` times the mean variance.
    """
    n = Y.shape[axis]
    values = np.moveaxis(Y, axis, 0).reshape(n, -1)
    seen = np.moveaxis(mask, axis, 0).reshape(n, -1).astype(values.dtype)
    counts = (seen @ seen.T).astype(np.float64)
    C = (values @ values.T).astype(np.float64) / np.maximum(counts, 1.0)
    w, V = np.linalg.eigh((C + C.T) / 2)
    w = np.maximum(w, max(floor * np.trace(C) / n, np.finfo(float).tiny))
    return (V * w) @ V.T


def low_rank_plus_diagonal(S: np.ndarray, rank: int) -> np.ndarray:
    r"""Fit :math:`\Sigma = L L^T + \operatorname{diag}(\psi)`, `rank` columns in ``L``, to a covariance ``(n, n)``.

    Maximum likelihood factor analysis: minimises :math:`\log|\Sigma| + \operatorname{tr}(\Sigma^{-1} S)` over
    :math:`\log\psi`, given which ``L`` has a closed form (Joreskog, 1967).
    """
    n = len(S)
    if rank >= n:
        return S
    sd = np.sqrt(np.maximum(np.diag(S), np.finfo(float).tiny))
    C = S / np.multiply.outer(sd, sd)

    def factors(log_psi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Root of psi, eigenvalues of the scaled covariance less one, cut below zero, and the factors."""
        root = np.exp(0.5 * log_psi)
        w, V = np.linalg.eigh(C / np.multiply.outer(root, root))
        gain = np.where(np.arange(n) >= n - rank, np.maximum(w - 1.0, 0.0), 0.0)
        return w, gain, V

    def loss(log_psi: np.ndarray) -> tuple[float, np.ndarray]:
        w, gain, V = factors(log_psi)
        value = log_psi.sum() + np.log1p(gain).sum() + (w / (1.0 + gain)).sum()
        # The diagonal of psi^(1/2) (Sigma^-1 - Sigma^-1 C Sigma^-1) psi^(1/2).
        return float(value), (V * V) @ (1.0 / (1.0 + gain) - w / (1.0 + gain) ** 2)

    start = np.log(np.clip(1.0 / np.diag(np.linalg.inv(C + UNIQUE * np.eye(n))), UNIQUE, 1.0))
    fit = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(math.log(UNIQUE), 0.0)] * n,
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500},
    )
    _, gain, V = factors(fit.x)
    L = np.exp(0.5 * fit.x)[:, None] * V * np.sqrt(gain)
    return (L @ L.T + np.diag(np.exp(fit.x))) * np.multiply.outer(sd, sd)
