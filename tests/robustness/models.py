"""Every estimator with a small problem: how it is built, fitted and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from structkit.dictionary import OrthogonalDictionary
from structkit.gp import FreeCovariance, GridGP, Matern, SquaredExponential
from structkit.pde import PDE, D, Dirichlet, GPSolver, MapSettings, OnCurve
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL
from structkit.tucker import FunctionalCP, FunctionalTucker
from tests.robustness.entry_points import (
    GRID,
    HALF,
    HOLES,
    MEASURED,
    ONE,
    PLATE,
    QUICK,
    ROWS,
    SAMPLES,
    SENSORS,
    STRING,
    WIDE,
)


@dataclass(frozen=True)
class Problem:
    """An estimator and what is done with it.

    Attributes
    ----------
    build : callable
        Takes constructor options, returns an unfitted estimator.
    data : tuple
        Arguments of ``fit``.
    ask : callable
        Takes a fitted estimator, returns arrays: what has to be the same again.
    has_callback : bool
        Whether the constructor takes ``callback``.
    """

    build: Callable[..., Any]
    data: tuple[Any, ...]
    ask: Callable[[Any], tuple[np.ndarray, ...]]
    has_callback: bool = True


KERNELS = [SquaredExponential(0.3), Matern(1.5, 0.5)]
AXES = [GRID["t"], GRID["s"]]
NEW = [np.array([0.05, 1.3]), None]


def grid_answers(model: Any) -> tuple[np.ndarray, ...]:
    return (*model.predict(return_std=True), *model.predict(NEW, return_std=True), model.sample(2, 0))


def free_answers(model: Any) -> tuple[np.ndarray, ...]:
    return (*model.predict(return_std=True), model.kernels_[1].matrix)


def tensor_answers(model: Any) -> tuple[np.ndarray, ...]:
    new = ROWS["X"] + 0.01
    return (*model.predict(new, return_std=True), model.core_, model.sample(new, random_state=0))


def block_answers(model: Any) -> tuple[np.ndarray, ...]:
    return (model.coef_, *model.predict([WIDE["A"][:3], WIDE["B"]], return_std=True), np.array(model.noise_var_))


def vector_answers(model: Any) -> tuple[np.ndarray, ...]:
    return model.coef_, model.predict(WIDE["A"][:3]), np.array(model.noise_var_)


def atom_answers(model: Any) -> tuple[np.ndarray, ...]:
    return model.components_, model.transform(SAMPLES["X"]), np.array([model.gap_, model.threshold_])


def field_answers(model: Any) -> tuple[np.ndarray, ...]:
    coords = [HALF] * len(model.domain_)
    return model.predict(coords), model.predict(coords, derivative={0: 1}), np.array(model.residual_)


def band_answers(model: Any) -> tuple[np.ndarray, ...]:
    return (*model.predict([HALF], return_std=True), model.sample([HALF], 3, random_state=0))


def _solver(**defaults: object) -> Callable[..., GPSolver]:
    return lambda **options: GPSolver(**(defaults | options))  # type: ignore[arg-type]


DISK = PDE(
    D(0, 2) + D(1, 2),
    domain=[(0, 1), (0, 1)],
    source=-1.0,
    conditions=OnCurve(lambda t: (0.5 + 0.4 * np.cos(2 * np.pi * t), 0.5 + 0.4 * np.sin(2 * np.pi * t))),
)
SWING = PDE(
    D(0, 2),
    domain=[(0, 1)],
    source=1.0,
    nonlinearity=(lambda u: u**3, lambda u: 3 * u**2),
    conditions=Dirichlet(0.0),
)


def _grid(kernels: object, defaults: dict[str, object]) -> Callable[..., GridGP]:
    return lambda **options: GridGP(kernels, **(defaults | {"random_state": 0} | options))  # type: ignore[arg-type]


def _tensor(cls: type, rank: int) -> Callable[..., Any]:
    return lambda **options: cls(rank, **(QUICK | options))


BLOCK = ([MEASURED["A"], MEASURED["B"]], MEASURED["y"])
VECTOR = (ONE["A"], ONE["y"])
MODELS: dict[str, Problem] = {
    "GridGP complete": Problem(_grid(KERNELS, {"max_learning_iter": 4}), (AXES, GRID["y"]), grid_answers),
    "GridGP holes": Problem(_grid(KERNELS, {"max_learning_iter": 4}), (AXES, HOLES), grid_answers),
    "GridGP iterative": Problem(
        _grid(KERNELS, {"method": "iterative", "learn_kernels": False, "noise_var": 0.1}), (AXES, HOLES), grid_answers
    ),
    "GridGP free": Problem(
        _grid([SquaredExponential(0.3), FreeCovariance()], {"max_learning_iter": 3}),
        ([GRID["t"], None], HOLES),
        free_answers,
    ),
    "FunctionalCP": Problem(_tensor(FunctionalCP, 1), (ROWS["X"], ROWS["y"]), tensor_answers),
    "FunctionalTucker": Problem(_tensor(FunctionalTucker, 2), (ROWS["X"], ROWS["y"]), tensor_answers),
    "FunctionalCP student": Problem(
        lambda **options: FunctionalCP(1, **(QUICK | {"likelihood": "student-t"} | options)),
        (ROWS["X"], ROWS["y"]),
        tensor_answers,
    ),
    "KroneckerSBL": Problem(KroneckerSBL, BLOCK, block_answers),
    "SeparableSBL": Problem(SeparableSBL, BLOCK, block_answers),
    "KroneckerOMP": Problem(lambda **options: KroneckerOMP(n_nonzero=2, **options), BLOCK, block_answers),
    "SBL": Problem(lambda **options: SBL(max_iter=400, **options), VECTOR, vector_answers),
    "OMP": Problem(lambda **options: OMP(n_nonzero=2, **options), VECTOR, vector_answers),
    "OrthogonalDictionary": Problem(
        lambda **options: OrthogonalDictionary(random_state=0, **options), (SAMPLES["X"],), atom_answers
    ),
    "OrthogonalDictionary tensors": Problem(
        lambda **options: OrthogonalDictionary(shape=(2, 3), random_state=0, **options), (SAMPLES["X"],), atom_answers
    ),
    "OrthogonalDictionary complete": Problem(
        lambda **options: OrthogonalDictionary(orthogonal=False, random_state=0, **options),
        (SAMPLES["X"],),
        atom_answers,
    ),
    "GPSolver": Problem(_solver(), (PLATE,), field_answers),
    "GPSolver nonlinear": Problem(_solver(), (SWING,), field_answers),
    "GPSolver mask": Problem(_solver(lengthscale=0.5), (DISK,), field_answers),
    "GPSolver posterior": Problem(_solver(), (STRING, (SENSORS["points"], SENSORS["values"], "learn")), band_answers),
    "GPSolver map": Problem(
        _solver(method="map", n_points=30, map_settings=MapSettings(n_iter=8)), (STRING,), field_answers
    ),
}
