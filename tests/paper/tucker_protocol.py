"""Accuracy and calibration of functional tensor models on real and synthetic entries, as rows of plain numbers.

``python -m tests.paper.tucker_protocol --case beijing us years --model cp twin-cp --rank 3 5``

See `tests.paper.tucker_cases` for the data; cases whose file is not there are left out with a reason.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from scipy.special import ndtri

from tests.paper.tucker_cases import CASES, Case, MissingData, cases

__all__ = ["Row", "Twin", "main", "make_model", "run", "score", "summary", "table"]

COVERAGE = 0.9  # of the intervals
MODELS = ("cp", "tucker", "twin-cp", "twin-tucker")


@dataclass(frozen=True)
class Row:
    """Scores of one model on one case.

    Attributes
    ----------
    case, part, name : str
        Data, subset of the new entries, and model.
    rmse, mae : float
        Errors of the predicted means, in units of the data.
    coverage : float
        Share of the new values inside of their central 90 % intervals.
    nlpd : float
        Mean negative log density of the new values under normal predictive distributions.
    f_rmse : float
        Error against the noise-free values over the standard deviation of the noise.
    noise : float
        Estimated over true standard deviation of the noise.
    seconds : float
        CPU time of the fit.
    n_iter : float
        Iterations of the fit.
    """

    case: str
    part: str
    name: str
    rmse: float
    mae: float
    coverage: float = math.nan
    nlpd: float = math.nan
    f_rmse: float = math.nan
    noise: float = math.nan
    seconds: float = math.nan
    n_iter: float = math.nan


SCORES = tuple(f.name for f in fields(Row)[3:])


# ---- scores -----------------------------------------------------------------------------------------------------


def score(case: Case, name: str, mean: np.ndarray, std: np.ndarray | None = None, **more: float) -> list[Row]:
    """Rows of a prediction: all new entries, then the parts of the case."""
    parts = {"": np.ones(len(case.y_new), dtype=bool), **case.parts}
    found = []
    for part, rows in parts.items():
        if not rows.any():
            continue
        error = mean[rows] - case.y_new[rows]
        values = {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.abs(error).mean())}
        if std is not None:
            z = error / std[rows]
            values["coverage"] = float(np.mean(np.abs(z) <= ndtri(0.5 + COVERAGE / 2)))
            values["nlpd"] = float(np.mean(0.5 * z**2 + np.log(std[rows])) + 0.5 * math.log(2 * math.pi))
        if case.f_new is not None:
            values["f_rmse"] = float(np.sqrt(np.mean((mean - case.f_new)[rows] ** 2))) / case.noise_std
        found.append(Row(case.name, part, name, **values, **more))
    return found


def run(case: Case, factory: Callable[[], object], name: str = "model", *, baselines: bool = True) -> list[Row]:
    """Fit what `factory` makes and score it, beside the averages of the case."""
    model = factory()
    start = time.process_time()
    model.fit(case.X, case.y)
    seconds = time.process_time() - start
    mean, std = model.predict(case.X_new, return_std=True, include_noise=True)
    more = {
        "seconds": seconds,
        "noise": math.sqrt(model.noise_var_) / case.noise_std,
        "n_iter": float(getattr(model, "n_iter_", math.nan)),
    }
    found = score(case, name, mean, std, **more)
    for label, predict in case.baselines.items() if baselines else ():
        found += score(case, label, predict(case.X, case.y, case.X_new))
    return found


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over the cases: one row per subset and model."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        groups.setdefault((r.part, r.name), []).append(r)
    return [
        Row(f"mean of {len(group)}", *key, *(float(np.mean([getattr(r, s) for r in group])) for s in SCORES))
        for key, group in groups.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    lines = [f"{'case':40} {'model':26} " + " ".join(f"{s:>8}" for s in SCORES)]
    for r in rows:
        numbers = ("" if math.isnan(v) else f"{v:.4g}" for v in (getattr(r, s) for s in SCORES))
        case = f"{r.case}, {r.part}" if r.part else r.case
        lines.append(f"{case:40} {r.name:26} " + " ".join(f"{n:>8}" for n in numbers))
    return "\n".join(lines)


# ---- models -----------------------------------------------------------------------------------------------------


def make_model(kind: str, rank: Sequence[int], **options: object) -> object:
    """A structkit model with its defaults, except for `options`."""
    from structkit.tucker import FunctionalCP, FunctionalTucker

    if kind == "cp":
        return FunctionalCP(rank[0], **options)
    return FunctionalTucker(rank[0] if len(rank) == 1 else tuple(rank), **options)


class Twin:
    """Conditional expectation propagation with the published settings of a data set.

    Its predictive deviation is that of its noise: the method computes no other.
    """

    def __init__(self, data: str, kind: str, rank: int, seed: int) -> None:
        from tests.benchmarks.cep_twin import STOCK, ConditionalEP

        if (data, kind) not in STOCK:
            raise ValueError(f"The published settings are those of {sorted({d for d, _ in STOCK})}, not of {data!r}.")
        self.model = ConditionalEP(rank, model=kind, as_coded=True, seed=seed, **STOCK[data, kind])
        self.standardise = (data, kind) == ("us", "tucker")

    def fit(self, X: np.ndarray, y: np.ndarray) -> Twin:
        """Run the fixed number of epochs."""
        self.mean, self.scale = (y.mean(), y.std()) if self.standardise else (0.0, 1.0)
        self.model.fit(X, (y - self.mean) / self.scale)
        self.noise_var_ = self.scale**2 * self.model.noise_var
        self.n_iter_ = self.model.n_epochs
        return self

    def predict(self, X: np.ndarray, **options: bool) -> tuple[np.ndarray, np.ndarray]:
        """Plug-in mean and deviation of the noise."""
        return self.mean + self.scale * self.model.predict(X), np.full(len(X), math.sqrt(self.noise_var_))


# ---- command line -----------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases of the command line and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="+", default=["beijing"], choices=CASES)
    parser.add_argument("--model", nargs="+", default=["cp"], choices=MODELS)
    parser.add_argument("--rank", nargs="+", default=["3"], help="a number each, or R1,R2,... for a Tucker model")
    parser.add_argument("--fold", nargs="+", type=int, help="folds or seeds of the data; default: all")
    parser.add_argument("--seed", nargs="+", type=int, default=[0], help="random states of the model")
    parser.add_argument("--likelihood", help="of structkit's models; default: theirs")
    parser.add_argument("--kernel", help="of structkit's models; default: theirs")
    args = parser.parse_args(argv)
    for name in args.case:
        found: list[Row] = []
        try:
            for case in cases(name, args.fold):
                found += _compete(case, args)
        except MissingData as err:
            print(f"{name}: left out. {err}")
            continue
        print(table(found + summary(found)), flush=True)
    return 0


def _compete(case: Case, args: argparse.Namespace) -> list[Row]:
    """All models of the command line on one case, and once the averages."""
    given = {"likelihood": args.likelihood, "kernel": args.kernel}
    options = {k: v for k, v in given.items() if v is not None}
    data = case.name.split()[0].lower()
    found: list[Row] = []
    for kind, text, seed in itertools.product(args.model, args.rank, args.seed):
        rank = [int(r) for r in text.split(",")]
        if kind.startswith("twin-"):
            make = partial(Twin, data, kind.removeprefix("twin-"), rank[0], seed)
        else:
            make = partial(make_model, kind, rank, random_state=seed, **options)
        found += run(case, make, f"{kind} {text}", baselines=not found)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
