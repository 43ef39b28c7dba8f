r"""
Predict fine dust in Beijing from temperature, pressure and day
===============================================================

Daily means of PM2.5 at the stations of Beijing are entries of a tensor with three continuous indexes: the temperature,
the air pressure and the day they were measured at. A functional CP and a functional Tucker decomposition learn from
13 572 entries and predict 3393 others with intervals, beside two baselines.

Run it as ``python examples/tucker/demo_beijing.py --output demo_output``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from scipy.spatial import cKDTree

from structkit.datasets import MeasuredTensor, beijing_pm25
from structkit.plotting import plot_band, plot_factors, plot_predicted
from structkit.tucker import FunctionalCP, FunctionalTucker

Z90 = 1.644854  # a normal variable stays within so many standard deviations 90 times in 100
START = date(2013, 3, 1)  # day 0
BLUE, ORANGE = "#0072B2", "#D55E00"
Prediction = tuple[np.ndarray, np.ndarray | None]


@dataclass
class Outcome:
    """What one method made of the entries that are held out; `std` includes the noise."""

    name: str
    mean: np.ndarray
    std: np.ndarray | None
    seconds: float


def measured(name: str, predict: Callable[[], Prediction]) -> Outcome:
    """Run one method; the time includes everything it does."""
    start = time.perf_counter()
    mean, std = predict()
    return Outcome(name, mean, std, time.perf_counter() - start)


# ---- the methods ----------------------------------------------------------------------------------------------------


def fit(model: FunctionalCP | FunctionalTucker, data: MeasuredTensor) -> Prediction:
    """Learn functions, weights and noise; predict."""
    return model.fit(data.X_train, data.y_train).predict(data.X_test, return_std=True, include_noise=True)


def inverse_distance(data: MeasuredTensor) -> np.ndarray:
    """Mean of the 30 nearest training entries, weighted by the inverse squared distance in standardised coordinates."""
    scale = data.X_train.std(axis=0)
    distance, nearest = cKDTree(data.X_train / scale).query(data.X_test / scale, k=30)
    weights = 1 / np.maximum(distance**2, 1e-9)
    return (weights * data.y_train[nearest]).sum(axis=1) / weights.sum(axis=1)


# ---- the report -----------------------------------------------------------------------------------------------------


def table(outcomes: list[Outcome], truth: np.ndarray) -> str:
    """Errors on the entries held out, coverage, cost."""
    lines = [f"{'method':<34}{'RMSE':>8}{'MAE':>8}{'90 % interval covers':>22}{'seconds':>9}"]
    for o in outcomes:
        error = o.mean - truth
        rmse, mae = np.sqrt(np.mean(error**2)), np.abs(error).mean()
        covers = "-" if o.std is None else f"{np.mean(np.abs(error) <= Z90 * o.std):.3f}"
        lines.append(f"{o.name:<34}{rmse:>8.3f}{mae:>8.3f}{covers:>22}{o.seconds:>9.1f}")
    return "\n".join(lines)


def season(ax: mpl.axes.Axes, model: FunctionalCP, data: MeasuredTensor, first: date, last: date) -> None:
    """Draw some weeks: the prediction at each day's mean weather, entries that were learned from, entries held out."""
    days = np.arange((first - START).days, (last - START).days + 1, dtype=float)
    weather = [data.X[data.X[:, 2] == d, :2].mean(axis=0) for d in days]
    mean, std = model.predict(np.column_stack([weather, days]), return_std=True, include_noise=True)
    when = np.array([START + timedelta(days=int(d)) for d in days])
    band = plot_band(days, mean, std, level=0.9, ax=ax, label="prediction at the day's mean weather, 90 % interval")
    for rows, style, name in (
        (~data.test, {"color": "0.55", "ms": 3}, "stations, learned from"),
        (data.test, {"color": ORANGE, "ms": 4.5}, "stations, held out"),
    ):
        inside = rows & (data.X[:, 2] >= days[0]) & (data.X[:, 2] <= days[-1])
        band.plot(data.X[inside, 2], data.y[inside], ".", label=name, **style)
    marks = [k for k, d in enumerate(when) if d.day in (1, 15)]
    ax.set_xticks(days[marks], [f"{when[k]:%-d %b %Y}" if k == marks[0] else f"{when[k]:%-d %b}" for k in marks])
    ax.set(xlim=(days[0] - 0.5, days[-1] + 0.5), ylabel="PM2.5 (standardised)", title="a winter, day by day")
    ax.legend(frameon=False, loc="upper left", ncols=3)


def figure(model: FunctionalCP, best: Outcome, data: MeasuredTensor) -> mpl.figure.Figure:
    """A winter; held out entries against predictions; what temperature and pressure do."""
    fig = plt.figure(figsize=(13, 8), layout="constrained")
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.1])
    season(top.subplots(), model, data, date(2015, 11, 1), date(2016, 2, 29))
    panels = bottom.subplots(1, 3)
    assert best.std is not None
    plot_predicted(data.y_test, best.mean, best.std, level=0.9, ax=panels[0])
    panels[0].set(xlabel="predicted PM2.5 (standardised)", ylabel="observed PM2.5 (standardised)")
    for mode, ax in enumerate(panels[1:]):
        plot_factors(model, mode, ax=ax)
        name, unit = data.names[mode], data.units[mode]
        ax.set(xlabel=f"{name} ({unit})", ylabel="latent function", title=f"functions of the {name}")
    panels[1].legend(frameon=False, fontsize="small")
    fig.suptitle(f"Fine dust in Beijing, {len(data.y_train)} entries at real coordinates: {best.name}", fontsize=14)
    return fig


def main() -> None:
    """Fit both models, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the figure")
    parser.add_argument("--rank", type=int, default=3, help="number of components, and of functions per mode")
    parser.add_argument("--fold", type=int, choices=(0, 1, 2), default=0, help="which entries are held out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that everything works")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    begin = time.perf_counter()
    data = beijing_pm25(args.fold)
    print(f"{data.attribution}\n")
    print(
        f"{len(data.y_train)} entries to learn from, {len(data.y_test)} to predict; {', '.join(data.names)}", flush=True
    )
    # Dust has heavy tails; half of the starts and ten times the tolerance of the defaults are rough and quick.
    options = {"likelihood": "student-t", "n_starts": 4, "tol": 1e-3, "random_state": args.seed, "verbose": 1}
    if args.quick:
        options |= {"n_starts": 1, "tol": 0.1}
    cp, tucker = FunctionalCP(args.rank, **options), FunctionalTucker(args.rank, **options)
    outcomes = [
        measured("mean of the training entries", lambda: (np.full(len(data.y_test), data.y_train.mean()), None)),
        measured("inverse distance, 30 nearest", lambda: (inverse_distance(data), None)),
        measured(f"FunctionalCP, rank {args.rank}", lambda: fit(cp, data)),
        measured(f"FunctionalTucker, rank {args.rank}", lambda: fit(tucker, data)),
    ]
    print(f"\n{table(outcomes, data.y_test)}")
    for model in (cp, tucker):
        print(
            f"{type(model).__name__}: mean {model.mean_}, functions in use {model.rank_}, {model.n_iter_} sweeps, "
            f"noise sd {model.noise_var_**0.5:.3f} with {model.degrees_of_freedom_:.1f} degrees of freedom"
        )
    path = args.output / "beijing_pm25.png"
    fig = figure(cp, outcomes[2], data)
    fig.savefig(path, dpi=110)
    plt.close(fig)
    print(f"figure: {path}\nfinished in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
