r"""
Fill in a hyperspectral image of which most cells are hidden
============================================================

A Gaussian process with one covariance per axis learns the 145 x 145 pixels x 200 bands of the Indian Pines image from a
quarter of its 4.2 million cells, and predicts the rest with standard deviations. Twice: with three quarters of the
cells hidden at random, and with 40 blocks of 12 x 12 pixels hidden in 100 neighbouring bands each.

Run it as ``python examples/gp/demo_indian_pines.py --output demo_output``; ``--mask random`` does only the first.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from structkit.datasets import block_mask, indian_pines, random_mask
from structkit.gp import FreeCovariance, GridGP, Matern

Z95 = 1.959964  # a normal variable stays within so many standard deviations 95 times in 100
RGB = (28, 17, 8)  # bands near 650, 560 and 470 nm


@dataclass
class Outcome:
    """What one method made of one mask; `std` includes the noise."""

    name: str
    filled: np.ndarray
    std: np.ndarray | None
    seconds: float
    peak: float | None


def reset_peak() -> None:
    """Let the peak of resident memory start anew, where the system can."""
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


def peak_gb() -> float | None:
    """Peak of resident memory since `reset_peak` in GB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def measured(name: str, fill: Callable[[], tuple[np.ndarray, np.ndarray | None]]) -> Outcome:
    """Run one method; time and memory include everything it does."""
    with contextlib.suppress(OSError):
        reset_peak()
    start = time.perf_counter()
    filled, std = fill()
    return Outcome(name, filled, std, time.perf_counter() - start, peak_gb())


# ---- the methods ----------------------------------------------------------------------------------------------------


def grid_gp(y: np.ndarray, seed: int, *, quick: bool) -> tuple[GridGP, np.ndarray, np.ndarray]:
    """Learn one covariance per axis, noise and mean of every band; predict all cells."""
    rows, columns, _ = y.shape
    model = GridGP(
        [Matern(0.5, lengthscale=5.0), Matern(0.5, lengthscale=5.0), FreeCovariance()],
        noise_axis=2,
        mean="per-level",
        mean_axis=2,
        learning_tol=2.0 if quick else 0.1,  # rough; half of it gains nothing to speak of here
        n_samples=4,
        random_state=seed,
        verbose=1,
    )
    model.fit([np.arange(rows), np.arange(columns), None], y)
    return model, *model.predict(return_std=True, include_noise=True)


def interpolate(y: np.ndarray) -> np.ndarray:
    """Interpolate every band on its own, linearly between the observed pixels around the hidden ones."""
    out = y.copy()
    for band in np.moveaxis(out, 2, 0):
        hidden = np.isnan(band)
        if not hidden.any():
            continue
        near = ndimage.binary_dilation(hidden, iterations=3) & ~hidden
        points, values, targets = np.argwhere(near), band[near], np.argwhere(hidden)
        guess = LinearNDInterpolator(points, values)(targets)
        outside = np.isnan(guess)
        if outside.any():
            guess[outside] = NearestNDInterpolator(points, values)(targets[outside])
        band[hidden] = guess
    return out


def tensorly_fill(y: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Fill in by tensorly's masked decompositions of the image about its band means."""
    import tensorly
    from tensorly.decomposition import parafac, tucker

    mean = np.nanmean(y, axis=(0, 1))
    data, mask = np.nan_to_num(y - mean), (~np.isnan(y)).astype(y.dtype)
    if method == "CP":
        parts = parafac(data, 30, mask=mask, n_iter_max=20, random_state=seed, init="random")
        return tensorly.cp_to_tensor(parts) + mean
    parts = tucker(data, (40, 40, 10), mask=mask, n_iter_max=40, tol=0, random_state=seed, init="random")
    return tensorly.tucker_to_tensor(parts) + mean


# ---- the report -----------------------------------------------------------------------------------------------------


def table(outcomes: list[Outcome], truth: np.ndarray, hidden: np.ndarray) -> str:
    """Errors on the hidden cells, coverage, cost."""
    lines = [f"{'method':<42}{'RMSE':>8}{'95 % band covers':>18}{'seconds':>9}{'peak GB':>9}"]
    for o in outcomes:
        error = (o.filled - truth)[hidden].astype(np.float64)
        rmse = np.sqrt(np.mean(error**2))
        covers = "-" if o.std is None else f"{np.mean(np.abs(error) <= Z95 * o.std[hidden]):.3f}"
        peak = "-" if o.peak is None else f"{o.peak:.1f}"
        lines.append(f"{o.name:<42}{rmse:>8.1f}{covers:>18}{o.seconds:>9.1f}{peak:>9}")
    return "\n".join(lines)


def false_colour(cube: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Three bands as red, green and blue, stretched alike for all pictures; hidden cells are dark grey."""
    low, high = np.percentile(truth[..., RGB], [1, 99], axis=(0, 1))
    picture = np.clip((cube[..., RGB] - low) / (high - low), 0, 1)
    return np.where(np.isnan(picture).any(axis=2, keepdims=True), 0.25, picture)


def example_pixels(hidden: np.ndarray, seed: int) -> np.ndarray:
    """Three pixels with many hidden bands, far apart."""
    count = hidden.sum(axis=2)
    count[:12], count[-12:], count[:, :12], count[:, -12:] = 0, 0, 0, 0
    candidates = np.argwhere(count >= np.quantile(count[count > 0], 0.5))
    first = candidates[np.random.default_rng(seed).integers(len(candidates))]
    chosen = [first]
    while len(chosen) < 3:
        distance = np.min([np.linalg.norm(candidates - c, axis=1) for c in chosen], axis=0)
        chosen.append(candidates[distance.argmax()])
    return np.array(chosen)


def figure(truth: np.ndarray, observed: np.ndarray, gp: Outcome, title: str, seed: int) -> mpl.figure.Figure:
    """True, observed, filled, uncertainty; below, three spectra with their bands."""
    assert gp.std is not None
    fig = plt.figure(figsize=(13, 6.6), layout="constrained")
    top, bottom = fig.subfigures(2, 1, height_ratios=[1.25, 1])
    axes = top.subplots(1, 4)
    data = np.where(observed, truth, np.nan)
    # Where cells are hidden one by one, three bands are hardly ever seen together: show one band in grey instead.
    scattered = not (observed[..., RGB].all(axis=2)).mean() > 0.2
    shown = data[..., RGB[0]] if scattered else false_colour(data, truth)
    pictures = [false_colour(truth, truth), shown, false_colour(gp.filled, truth)]
    captions = ["truth", f"observed: {observed.mean():.0%} of the cells", "filled in: posterior mean"]
    if scattered:
        captions[1] = f"observed: {observed.mean():.0%}, one band"
    for ax, picture, caption in zip(axes, pictures, captions, strict=False):
        ax.imshow(picture, cmap="gray", interpolation="nearest")
        ax.set_facecolor("0.25" if picture.ndim == 3 else "#3b2a4a")
        ax.set_title(caption)
    spread = axes[3].imshow(gp.std.mean(axis=2), cmap="viridis", interpolation="nearest")
    axes[3].set_title("uncertainty: mean standard deviation")
    top.colorbar(spread, ax=axes[3], shrink=0.8, label="radiance (digital counts)")
    pixels = example_pixels(~observed, seed)
    bands = np.arange(truth.shape[2])
    for n, (ax, (i, j)) in enumerate(zip(bottom.subplots(1, 3, sharey=True), pixels, strict=True)):
        mean, half, seen = gp.filled[i, j], Z95 * gp.std[i, j], observed[i, j]
        ax.fill_between(bands, mean - half, mean + half, color="#56b4e9", alpha=0.5, lw=0, label="95 % band")
        ax.plot(bands, mean, color="#0072b2", lw=1.2, label="posterior mean")
        ax.plot(bands[~seen], truth[i, j][~seen], ".", color="#d55e00", ms=3, label="hidden truth")
        ax.plot(bands[seen], truth[i, j][seen], ".", color="black", ms=4, label="observed")
        ax.set(title=f"pixel ({i}, {j})", xlabel="band")
        for image_axis in axes[[0, 2]]:
            image_axis.plot(j, i, "s", mfc="none", mec="white", ms=7)
            image_axis.annotate("ABC"[n], (j, i), (6, 4), textcoords="offset points", color="white", fontsize=9)
        ax.set_title(f"{'ABC'[n]}: pixel in row {i}, column {j}")
        if n == 0:
            ax.set_ylabel("radiance (digital counts)")
            ax.legend(fontsize=8, ncols=2)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    fig.suptitle(title, fontsize=14)
    return fig


def main() -> None:
    """Both masks: learn, predict, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the figures")
    parser.add_argument("--mask", choices=("random", "blocks", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that everything works")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    begin = time.perf_counter()
    image = indian_pines()
    print(f"{image.attribution}\n")
    cube = image.cube[40:72, 40:72] if args.quick else image.cube
    masks = {
        "random": ("three quarters hidden at random", random_mask(cube.shape, 0.75, random_state=args.seed)),
        "blocks": (
            "40 blocks hidden in 100 bands each",
            block_mask(cube.shape, n_blocks=40, size=(12, 12, 100), random_state=args.seed),
        ),
    }
    for key, (title, observed) in masks.items():
        if args.mask not in (key, "both") or (args.quick and key == "blocks"):
            continue
        y = np.where(observed, cube, np.float32(np.nan))
        models: list[GridGP] = []

        def by_gp(y: np.ndarray = y, models: list[GridGP] = models) -> tuple[np.ndarray, np.ndarray]:
            model, mean, std = grid_gp(y, args.seed, quick=args.quick)
            models.append(model)
            return mean, std

        print(f"Indian Pines, {title}: {np.isnan(y).sum():,} of {y.size:,} cells to fill in", flush=True)
        outcomes = [measured("GridGP, everything learned", by_gp)]
        outcomes.append(measured("linear interpolation, band by band", lambda y=y: (interpolate(y), None)))
        peers = () if args.quick else (("CP", "30"), ("Tucker", "(40, 40, 10)"))
        for method, rank in peers:
            fill = lambda y=y, method=method: (tensorly_fill(y, method, args.seed), None)  # noqa: E731
            outcomes.append(measured(f"tensorly masked {method}, rank {rank}", fill))
        print(f"\n{table(outcomes, cube, ~observed)}")
        gp = models[0]
        print(
            f"learned: lengthscales {gp.kernels_[0].lengthscale:.1f} and {gp.kernels_[1].lengthscale:.1f} pixels, "
            f"noise sd {np.sqrt(np.median(gp.noise_var_)):.0f} in the median band; "
            f"log evidence {gp.log_evidence_:.0f} ± {gp.log_evidence_se_:.0f}; "
            f"solve: {gp.n_iter_} iterations to {gp.solver_error_:.0e} posterior sd"
        )
        path = args.output / f"indian_pines_{key}.png"
        fig = figure(cube, observed, outcomes[0], f"Indian Pines, {title}", args.seed)
        fig.savefig(path, dpi=110)
        plt.close(fig)
        print(f"figure: {path}\n", flush=True)
    print(f"finished in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
    main()
