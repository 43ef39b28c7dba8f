"""What functional tensor models are tried on: real entries with their splits, unseen indexes, known functions.

The Beijing entries come with structkit. The cases of US temperatures read ``us_temp.npz`` (see
`structkit.datasets.us_temperature`) from the folder that the environment variable ``STRUCTKIT_DATA`` names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from structkit.datasets import MeasuredTensor, beijing_pm25, sample_functional_tensor, us_temperature
from tests.benchmarks import tucker_peers as peers

__all__ = ["CASES", "Case", "MissingData", "cases"]

Baseline = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SYNTHETIC_SIZES = (1_000, 10_000, 100_000)
# One degree of longitude over one of latitude at 39 degrees North, the middle of the country.
LONGITUDE = math.cos(math.radians(39.0))


class MissingData(Exception):
    """The file of a case is not there; the message says how to name it."""


@dataclass(frozen=True)
class Case:
    """Entries to learn from and entries to predict.

    Attributes
    ----------
    name : str
        Data and split.
    X, y : numpy.ndarray, shapes ``(n, K)``, ``(n,)``
        Training entries.
    X_new, y_new : numpy.ndarray, shapes ``(m, K)``, ``(m,)``
        Entries to predict.
    baselines : mapping from name to callable
        Averages that a model should not fall behind.
    f_new : numpy.ndarray, shape ``(m,)``, or None
        Noise-free values of the new entries, where they are known.
    noise_std : float
        True standard deviation of the noise; NaN where it is not known.
    parts : mapping from name to boolean array ``(m,)``
        Subsets of the new entries that get rows of their own.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    y_new: np.ndarray
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    f_new: np.ndarray | None = None
    noise_std: float = math.nan
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


def us_path() -> Path:
    """The file of US temperatures."""
    folder = os.environ.get("STRUCTKIT_DATA")
    if not folder:
        raise MissingData("STRUCTKIT_DATA is not set; it names the folder that holds us_temp.npz.")
    path = Path(folder, "us_temp.npz")
    if not path.exists():
        raise MissingData(f"{path} does not exist.")
    return path


def split(name: str, tensor: MeasuredTensor, test: np.ndarray, baselines: Mapping[str, Baseline]) -> Case:
    """Hold out the entries where `test` is True."""
    return Case(name, tensor.X[~test], tensor.y[~test], tensor.X[test], tensor.y[test], baselines)


def _beijing(seed: int) -> Case:
    tensor = beijing_pm25(seed)
    return split(f"Beijing fold {seed}", tensor, tensor.test, {"train mean": peers.train_mean})


def _us(seed: int, kind: str) -> Case:
    tensor = us_temperature(us_path(), fold=seed, split=kind)
    cell_mean = partial(peers.cell_mean, modes=(0, 1))
    return split(f"US {kind} fold {seed}", tensor, tensor.test, {"cell mean": cell_mean})


def _years(seed: int) -> Case:
    """Eight years are unseen; years with few entries, which are the oldest, are left in."""
    tensor = us_temperature(us_path())
    years, count = np.unique(tensor.X[:, 2], return_counts=True)
    hidden = np.random.default_rng(seed).choice(years[count >= 100], 8, replace=False)
    baselines = {
        "cell mean": partial(peers.cell_mean, modes=(0, 1)),
        "inverse distance in time": partial(peers.inverse_distance, modes=(2,), within=(0, 1)),
        "train mean": peers.train_mean,
    }
    return split(f"US 8 years out, seed {seed}", tensor, np.isin(tensor.X[:, 2], hidden), baselines)


def _cells(seed: int) -> Case:
    """Twelve of the 97 cells of the map are unseen."""
    tensor = us_temperature(us_path())
    cells, cell = np.unique(tensor.X[:, :2], axis=0, return_inverse=True)
    hidden = np.random.default_rng(seed).choice(len(cells), 12, replace=False)
    near = partial(peers.inverse_distance, modes=(0, 1), within=(2,), scale=(1.0, LONGITUDE))
    baselines = {"inverse distance in space": near, "train mean": peers.train_mean}
    return split(f"US 12 cells out, seed {seed}", tensor, np.isin(cell.ravel(), hidden), baselines)


def _days(seed: int) -> Case:
    """A tenth of the days is unseen."""
    tensor = beijing_pm25()
    hidden = np.random.default_rng(seed).choice(1461, 150, replace=False)
    baselines = {
        "train mean": peers.train_mean,
        "inverse distance in weather": partial(peers.inverse_distance, modes=(0, 1)),
        "inverse distance in time": partial(peers.inverse_distance, modes=(2,)),
    }
    return split(f"Beijing 150 days out, seed {seed}", tensor, np.isin(tensor.X[:, 2], hidden), baselines)


def _synthetic(seed: int, truth: str, n: int) -> Case:
    s = sample_functional_tensor(n, truth=truth, random_state=seed, n_test=5000)
    return Case(
        f"{truth} truth, {n} entries, seed {seed}",
        s.X_train,
        s.y_train,
        s.X_test,
        s.y_test,
        f_new=s.f_test,
        noise_std=s.noise_std,
        parts={"seen": s.seen, "unseen": ~s.seen},
    )


CASES: dict[str, tuple[Callable[[int], Case], Sequence[int]]] = {
    "beijing": (_beijing, range(3)),
    "us": (partial(_us, kind="random"), range(3)),
    "us-grouped": (partial(_us, kind="grouped"), range(5)),
    "years": (_years, range(3)),
    "cells": (_cells, range(3)),
    "days": (_days, range(3)),
} | {
    f"{truth}-{n}": (partial(_synthetic, truth=truth, n=n), range(5))
    for truth in ("cp", "tucker", "bump")
    for n in SYNTHETIC_SIZES
}


def cases(name: str, seeds: Sequence[int] | None = None) -> Iterator[Case]:
    """The cases of one name, for all of its folds or seeds or for these."""
    make, default = CASES[name]
    for seed in default if seeds is None else seeds:
        yield make(seed)
