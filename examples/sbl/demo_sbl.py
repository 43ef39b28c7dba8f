r"""
Find 125 of 8.6 billion unknowns
================================

A tensor of 2048 x 2048 x 2048 coefficients, all zero but a block of 5 x 5 x 5 at unknown places, is recovered from
48 x 48 x 48 noisy measurements. Then the methods are compared over noise on the published stock problem.

Run it as ``python examples/sbl/demo_sbl.py --output demo_output``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from structkit import ConvergenceWarning
from structkit.kron import multi_mode_product
from structkit.plotting import plot_error_curves, plot_prior_variances
from structkit.sbl import KroneckerOMP, KroneckerSBL, SeparableSBL, nmse

SNRS = np.array([5, 10, 15, 20, 25, 30])
BLUE, RED, GREY = "#0072B2", "#D55E00", "0.45"


def billion(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray, float]:
    """Dictionaries, support, coefficients, measurements at 10 dB, noise variance."""
    factors = [rng.standard_normal((48, 2048)) for _ in range(3)]
    support = [np.sort(rng.choice(2048, 5, replace=False)) for _ in range(3)]
    block = rng.standard_normal((5, 5, 5))
    clean = multi_mode_product(block, [A[:, s] for A, s in zip(factors, support, strict=True)])
    noise_var = float(np.mean(clean**2)) / 10
    return factors, support, block, clean + np.sqrt(noise_var) * rng.standard_normal(clean.shape), noise_var


def stock(
    rng: np.random.Generator, snr: float
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray, float]:
    """The published stock problem: 15 x 15 x 15 coefficients, a product of three 3-sparse vectors, 8 x 12 x 15 data."""
    factors = [rng.standard_normal((m, 15)) for m in (8, 12, 15)]
    support = [np.sort(rng.choice(15, 3, replace=False)) for _ in range(3)]
    x = np.zeros((15, 15, 15))
    x[np.ix_(*support)] = np.einsum("i,j,k->ijk", *rng.standard_normal((3, 3)))
    clean = multi_mode_product(x, factors)
    noise_var = float(np.mean(clean**2)) / 10 ** (snr / 10)
    return factors, support, x, clean + np.sqrt(noise_var) * rng.standard_normal(clean.shape), noise_var


def least_squares(factors: list[np.ndarray], support: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    """What one gets when told the support."""
    x = np.zeros([A.shape[1] for A in factors])
    x[np.ix_(*support)] = multi_mode_product(
        y, [np.linalg.pinv(A[:, s]) for A, s in zip(factors, support, strict=True)]
    )
    return x


def compare(runs: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Errors ``(runs, n)`` and median seconds of every method."""
    names = (
        "fb, noise learned",
        "separable, noise learned",
        "published AM",
        "published SVD",
        "Kronecker OMP",
        "true support",
    )
    errors = {name: np.zeros((runs, len(SNRS))) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for run in range(runs):
        for k, snr in enumerate(SNRS):
            factors, support, x, y, noise_var = stock(np.random.default_rng([seed, run]), snr)
            known = {"noise_var": noise_var, "initial_variance": 1.0}
            fits = {
                names[0]: lambda f=factors, y=y: KroneckerSBL().fit(f, y).coef_,
                names[1]: lambda f=factors, y=y: SeparableSBL().fit(f, y).coef_,
                names[2]: lambda f=factors, y=y, o=known: KroneckerSBL("am", **o).fit(f, y).coef_,
                names[3]: lambda f=factors, y=y, o=known: KroneckerSBL("svd", **o).fit(f, y).coef_,
                names[4]: lambda f=factors, y=y, v=noise_var: KroneckerOMP(noise_var=v).fit(f, y).coef_,
                names[5]: lambda f=factors, s=support, y=y: least_squares(f, s, y),
            }
            for name, fit in fits.items():
                start = time.process_time()
                errors[name][run, k] = nmse(fit(), x)
                seconds[name].append(time.process_time() - start)
    return errors, {name: float(np.median(s)) for name, s in seconds.items()}


def figure(
    model: KroneckerSBL, support: list[np.ndarray], block: np.ndarray, errors: dict[str, np.ndarray]
) -> mpl.figure.Figure:
    """Where the columns were found, the coefficients with error bars, errors of the methods over noise."""
    fig = plt.figure(figsize=(12, 7.2), layout="constrained")
    grid = fig.add_gridspec(2, 6, height_ratios=[1, 1.7])
    stems = [fig.add_subplot(grid[0, 2 * i : 2 * i + 2]) for i in range(3)]
    plot_prior_variances(model, true_support=support, axes=stems)
    for i, ax in enumerate(stems):
        ax.set(title=f"mode {i}: {len(model.support_[i])} of 2048 columns found", yticks=[-40, -20, 0])
        ax.spines[["top", "right"]].set_visible(False)
    stems[0].legend(frameon=False, loc="upper right", fontsize=9)
    ax = fig.add_subplot(grid[1, :2])
    if model.coef_active_.shape == block.shape:
        std = np.sqrt(model.variance_active_).ravel()
        ax.errorbar(block.ravel(), model.coef_active_.ravel(), 1.96 * std, fmt="o", ms=3.5, lw=0.9, color=BLUE)
    limits = [1.1 * block.min(), 1.1 * block.max()]
    ax.plot(limits, limits, color=RED, lw=1, zorder=0)
    ax.set(xlabel="true coefficient", ylabel="posterior mean and 95 % band", title="the 125 coefficients, SNR 10 dB")
    ax.spines[["top", "right"]].set_visible(False)
    styles = {"true support": {"color": "k", "ls": "--", "marker": ""}, "Kronecker OMP": {"color": GREY}}
    ax = plot_error_curves(SNRS, errors, styles=styles, ax=fig.add_subplot(grid[1, 2:]))
    ax.set(
        ylabel="normalised mean squared error",
        title="methods on the published stock problem: means, 10 to 90 % of runs",
    )
    ax.legend(frameon=False, ncols=2, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    fig.suptitle("8 589 934 592 unknowns from 110 592 measurements, noise and support learned", fontsize=14)
    return fig


def main() -> None:
    """Recover, compare, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the figure")
    parser.add_argument("--runs", type=int, default=6, help="runs per noise level")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that everything works")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    warnings.simplefilter("ignore", ConvergenceWarning)  # the published methods often end at their limit of steps
    begin = time.perf_counter()
    factors, support, block, y, noise_var = billion(np.random.default_rng(args.seed))
    start = time.perf_counter()
    model = KroneckerSBL(verbose=1).fit(factors, y)
    seconds = time.perf_counter() - start
    exact = all(np.array_equal(a, b) for a, b in zip(model.support_, support, strict=True))
    error = nmse(model.coef_active_, block) if exact else float("nan")
    chosen = [np.linalg.pinv(A[:, s]) for A, s in zip(factors, support, strict=True)]
    print(f"\n2048^3 = 8.6e9 unknowns from 48^3 measurements at 10 dB: {seconds:.1f} s")
    print(f"support {'exact' if exact else 'wrong'}, noise variance {model.noise_var_ / noise_var:.3f} of the true one")
    print(f"error {error:.2e}; least squares on the true support {nmse(multi_mode_product(y, chosen), block):.2e}\n")
    errors, times = compare(1 if args.quick else args.runs, args.seed)
    print(f"{'mean error at SNR':<26}" + "".join(f"{s:>6} dB" for s in SNRS) + f"{'ms':>8}")
    for name, values in errors.items():
        print(f"{name:<26}" + "".join(f"{v:>9.1e}" for v in values.mean(axis=0)) + f"{1e3 * times[name]:>8.0f}")
    path = args.output / "sparse_recovery.png"
    fig = figure(model, support, block, errors)
    fig.savefig(path, dpi=110)
    plt.close(fig)
    print(f"\nfigure: {path}\nfinished in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
