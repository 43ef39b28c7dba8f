"""Synthetic tensors with continuous indexes whose noise-free values are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from structkit._core.errors import ShapeError
from structkit._core.random import check_random_state
from structkit._core.types import RandomState
from structkit.datasets.generators import sample_grid
from structkit.gp import FreeCovariance, Matern
from structkit.kron import cp_at, tucker_at

__all__ = ["FunctionalTensor", "sample_functional_tensor"]

BUMP_WIDTH = 0.2  # of the moving bump, in units of the coordinates


@dataclass(frozen=True)
class FunctionalTensor:
    """Noisy entries of a tensor with continuous indexes, and what they are without noise.

    Attributes
    ----------
    X_train : numpy.ndarray, shape ``(n, K)``
        Coordinates between 0 and 1.
    y_train, f_train : numpy.ndarray, shape ``(n,)``
        Values with and without noise.
    X_test : numpy.ndarray, shape ``(n_test, K)``
        Coordinates of further entries.
    y_test, f_test : numpy.ndarray, shape ``(n_test,)``
        Their values with and without noise.
    seen : boolean array, shape ``(n_test,)``
        True where every coordinate of the test entry may occur in the training entries.
    noise_std : float
        Standard deviation of the noise.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    f_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    f_test: np.ndarray
    seen: np.ndarray
    noise_std: float


def sample_functional_tensor(
    n: int,
    *,
    truth: Literal["cp", "tucker", "bump"] = "cp",
    rank: int = 2,
    n_modes: int = 3,
    n_levels: int | Sequence[int] = 100,
    unseen: float = 0.1,
    noise_ratio: float = 0.1,
    outliers: float = 0.0,
    lengthscale: float = 0.3,
    n_test: int = 2000,
    random_state: RandomState = None,
) -> FunctionalTensor:
    r"""Draw entries of a functional CP tensor, a functional Tucker tensor, or a function that is neither.

    Every mode has levels at random coordinates. Training entries take their levels at random from those that are not
    withheld, test entries from all of them. The truths:

    - ``"cp"``: :math:`f(x) = \sum_r \prod_k u^k_r(x_k)`, each function drawn from a Matern-3/2 process of variance one;
    - ``"tucker"``: :math:`f(x) = \sum W_{r_1 \dots r_K} \prod_k u^k_{r_k}(x_k)`, the core standard normal as well;
    - ``"bump"``: a Gaussian bump that moves through the first modes while the last one runs from 0 to 1; no finite rank
      represents it.

    Parameters
    ----------
    n : int, >= 1
        Number of training entries.
    truth : {"cp", "tucker", "bump"}, default "cp"
        The noise-free function.
    rank : int, >= 1, default 2
        Functions per mode; unused for the bump.
    n_modes : int, >= 1, default 3
        Number of modes; the bump needs two.
    n_levels : int or sequence of int, default 100
        Levels of each mode. Functions are drawn from dense covariances: time grows with the cube of this number.
    unseen : float, in [0, 1), default 0.1
        Share of the levels of each mode that is withheld from the training entries.
    noise_ratio : float, >= 0, default 0.1
        Standard deviation of the noise, as a share of the standard deviation of the training values.
    outliers : float, in [0, 1], default 0
        Share of the training entries whose noise is ten times as large.
    lengthscale : float, > 0, default 0.3
        Of the processes, in units of the coordinates.
    n_test : int, >= 1, default 2000
        Number of test entries.
    random_state : None, int or numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tensor : FunctionalTensor
        Entries, float64.

    Raises
    ------
    ValueError
        If the truth is unknown, or a number is out of its range.
    ShapeError
        If there is not one number of levels per mode.

    Examples
    --------
    >>> from structkit.datasets import sample_functional_tensor
    >>> tensor = sample_functional_tensor(5000, truth="tucker", random_state=0)
    >>> tensor.X_train.shape, bool(abs(tensor.noise_std / tensor.f_train.std() - 0.1) < 1e-12)
    ((5000, 3), True)
    """
    _check_options(truth, n_modes, {"unseen": unseen, "outliers": outliers}, noise_ratio)
    for name, value in {"n": n, "rank": rank, "n_modes": n_modes, "n_test": n_test}.items():
        if value < 1:
            raise ValueError(f"{name}={value}; expected a number >= 1.")
    sizes = (n_levels,) * n_modes if isinstance(n_levels, (int, np.integer)) else tuple(n_levels)
    if len(sizes) != n_modes:
        raise ShapeError(f"n_levels has {len(sizes)} entries; expected {n_modes}, one per mode.")
    withheld = [round(unseen * size) for size in sizes]
    if any(size - hidden < 1 for size, hidden in zip(sizes, withheld, strict=True)):
        raise ValueError(f"n_levels={sizes} with unseen={unseen} leaves a mode without levels for training.")
    rng = check_random_state(random_state)
    # Levels are in random order, so the withheld ones are the last ones.
    levels = [rng.random(size) for size in sizes]
    values = _Truth(truth, rank, lengthscale, levels, rng)
    kept = [size - hidden for size, hidden in zip(sizes, withheld, strict=True)]
    train = rng.integers(kept, size=(n, n_modes))
    test = rng.integers(sizes, size=(n_test, n_modes))
    f_train, f_test = values.at(train), values.at(test)
    noise_std = float(noise_ratio * f_train.std())
    scale = np.where(rng.random(n) < outliers, 10.0, 1.0)
    return FunctionalTensor(
        X_train=_coordinates(levels, train),
        y_train=f_train + noise_std * scale * rng.standard_normal(n),
        f_train=f_train,
        X_test=_coordinates(levels, test),
        y_test=f_test + noise_std * rng.standard_normal(n_test),
        f_test=f_test,
        seen=np.all(test < kept, axis=1),
        noise_std=noise_std,
    )


class _Truth:
    """A noise-free function on the levels of all modes."""

    def __init__(
        self, truth: str, rank: int, lengthscale: float, levels: Sequence[np.ndarray], rng: np.random.Generator
    ) -> None:
        self.truth, self.levels = truth, levels
        if truth == "bump":
            self.phases = rng.random(len(levels) - 1)
            return
        kernels = [Matern(1.5, lengthscale=lengthscale), FreeCovariance(matrix=np.eye(rank))]
        self.functions = [sample_grid(kernels, [t, None], random_state=rng).function for t in levels]
        self.core = rng.standard_normal((rank,) * len(levels))

    def at(self, index: np.ndarray) -> np.ndarray:
        """Values of the entries with these levels."""
        if self.truth == "cp":
            return np.asarray(cp_at(index, self.functions))
        if self.truth == "tucker":
            return np.asarray(tucker_at(index, self.core, self.functions))
        *x, t = _coordinates(self.levels, index).T
        centres = (0.5 + 0.3 * np.sin(2.0 * np.pi * (t + phase)) for phase in self.phases)
        distance = sum((x_k - c) ** 2 for x_k, c in zip(x, centres, strict=True))
        return np.exp(-0.5 * distance / BUMP_WIDTH**2)


def _coordinates(levels: Sequence[np.ndarray], index: np.ndarray) -> np.ndarray:
    return np.stack([t[i] for t, i in zip(levels, index.T, strict=True)], axis=1)


def _check_options(truth: str, n_modes: int, shares: dict[str, float], noise_ratio: float) -> None:
    """Raise unless the options of a draw are in their ranges."""
    if truth not in ("cp", "tucker", "bump"):
        raise ValueError(f'truth={truth!r}; expected "cp", "tucker" or "bump".')
    if truth == "bump" and n_modes < 2:
        raise ValueError(f"n_modes={n_modes}; a bump that moves needs at least 2.")
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share}; expected a share between 0 and 1.")
    if not (np.isfinite(noise_ratio) and noise_ratio >= 0):
        raise ValueError(f"noise_ratio={noise_ratio}; expected a finite number >= 0.")
