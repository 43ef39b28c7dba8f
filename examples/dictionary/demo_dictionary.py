"""Learn dictionaries in one pass over a stream, beside other methods: a known dictionary, and patches of a photograph.

Two tables, and a figure ``dictionary.png`` in the folder given by ``--output``. The photograph is the portrait of Grace
Hopper (U.S. Navy, public domain) that comes with matplotlib. scikit-learn is compared with where it is installed. All
methods run on one thread, which suits small matrices.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ.setdefault(_pool, "1")

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.plotting import plot_atoms, plot_recovery

N, COUNT, NONZERO = 32, 16384, 0.1
SIZE, KEPT = 16, 8
BATCH = 256

Learn = Callable[[np.ndarray], np.ndarray]


# ---- the methods: samples as rows, atoms as rows --------------------------------------------------------------------


def structkit_stream(Y: np.ndarray) -> np.ndarray:
    """One pass."""
    return OrthogonalDictionary(random_state=0).fit_stream(batches(Y)).components_


def frank_wolfe(Y: np.ndarray) -> np.ndarray:
    """The online Frank-Wolfe method, one pass."""
    return OrthogonalDictionary(schedule="paper", batch_size=16, random_state=0).fit(Y).components_


def msp(Y: np.ndarray) -> np.ndarray:
    """Fixed points of the sum of fourth powers; many passes."""
    A = np.linalg.qr(np.random.default_rng(1).standard_normal((Y.shape[1],) * 2))[0]
    for _ in range(100):
        Z = Y @ A.T
        U, _, Vt = np.linalg.svd((Z * Z * Z).T @ Y)
        A = U @ Vt
    return A


def scikit_learn() -> dict[str, Learn]:
    """Its two methods for such data, if it is installed."""
    try:
        from sklearn.decomposition import FastICA, MiniBatchDictionaryLearning
    except ImportError:
        return {}

    def mini_batch(Y: np.ndarray) -> np.ndarray:
        model = MiniBatchDictionaryLearning(Y.shape[1], alpha=0.3, max_iter=1, batch_size=BATCH, random_state=0)
        return model.fit(Y).components_

    return {
        "scikit-learn FastICA, many passes": lambda Y: FastICA(whiten="unit-variance", random_state=0).fit(Y).mixing_.T,
        "scikit-learn MiniBatchDictionaryLearning": mini_batch,
    }


def batches(Y: np.ndarray) -> list[np.ndarray]:
    """Samples as they arrive."""
    return [Y[start : start + BATCH] for start in range(0, len(Y), BATCH)]


# ---- a known dictionary ---------------------------------------------------------------------------------------------


def draw(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True atoms as rows, and samples."""
    rng = np.random.default_rng(seed)
    D = np.linalg.qr(rng.standard_normal((N, N)))[0]
    codes = rng.standard_normal((COUNT, N)) * (rng.random((COUNT, N)) < NONZERO)
    return D.T, codes @ D.T + noise * rng.standard_normal((COUNT, N))


def recovery_table(seed: int, *, quick: bool) -> str:
    """Distances to the truth and seconds."""
    methods: dict[str, Learn] = {"structkit, one pass": structkit_stream, "online Frank-Wolfe, one pass": frank_wolfe}
    if not quick:
        methods |= {"MSP, 100 passes": msp} | scikit_learn()
    structkit_stream(draw(0.1, seed + 1)[1][:4000])  # compiles
    problems = [draw(noise, seed) for noise in (0.0, 0.1)]
    lines = [f"{'method':<44}{'error, no noise':>17}{'error, noise 0.1':>18}{'seconds':>9}"]
    for name, learn in methods.items():
        start = time.perf_counter()
        errors = [dictionary_distance(learn(Y), D) for D, Y in problems]
        lines.append(f"{name:<44}{errors[0]:>17.1e}{errors[1]:>18.1e}{(time.perf_counter() - start) / 2:>9.2f}")
    return "\n".join(lines)


def recovery_curves(seed: int) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Errors in the course of one pass."""
    D, Y = draw(0.0, seed)
    models = {
        "structkit": OrthogonalDictionary(random_state=0),
        "online Frank-Wolfe": OrthogonalDictionary(schedule="paper", batch_size=16, random_state=0),
    }
    errors: dict[str, list[float]] = {name: [] for name in models}
    for batch in batches(Y):
        for name, model in models.items():
            errors[name].append(dictionary_distance(model.partial_fit(batch).components_, D))
    return np.arange(BATCH, COUNT + 1, BATCH), errors


# ---- patches of a photograph ----------------------------------------------------------------------------------------


def photograph() -> np.ndarray:
    """Grey values from 0 to 1."""
    with get_sample_data("grace_hopper.jpg") as file:
        return plt.imread(file, format="jpg")[..., :3].astype(float) @ [0.299, 0.587, 0.114] / 255


def tiles(image: np.ndarray) -> np.ndarray:
    """Patches side by side, cut from an image."""
    rows, columns = (n // SIZE for n in image.shape)
    cut = image[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE)
    return cut.swapaxes(1, 2).reshape(-1, SIZE, SIZE)


def written(image: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """The image with the mean and the largest codes of every patch."""
    patches = tiles(image)
    means = patches.mean(axis=(1, 2), keepdims=True)
    codes = (patches - means).reshape(len(patches), -1) @ atoms.T
    least = np.sort(np.abs(codes), axis=1)[:, -KEPT, None]
    rough = (np.where(np.abs(codes) >= least, codes, 0.0) @ atoms).reshape(patches.shape) + means
    rows, columns = (n // SIZE for n in image.shape)
    return rough.reshape(rows, columns, SIZE, SIZE).swapaxes(1, 2).reshape(rows * SIZE, columns * SIZE)


def patch_dictionaries(left: np.ndarray) -> dict[str, tuple[np.ndarray, float, int]]:
    """Atoms as rows, seconds and free numbers of each method, from overlapping patches of the left half."""
    patches = sliding_window_view(left, (SIZE, SIZE))[::3, ::3].reshape(-1, SIZE, SIZE)
    patches = np.random.default_rng(0).permutation(patches)
    patches = patches - patches.mean(axis=(1, 2), keepdims=True)
    flat = patches.reshape(len(patches), -1)
    C = dct(np.eye(SIZE), axis=1, norm="ortho")
    cosines = np.kron(C, C)
    options = {"n_nonzero": KEPT, "warmup": 4096, "tol": 0.05}
    structured = OrthogonalDictionary(shape=(SIZE, SIZE), start="dct", **options)
    dense = OrthogonalDictionary(start=cosines, **options)
    methods: dict[str, tuple[Callable[[], np.ndarray], int]] = {
        "cosines (DCT)": (lambda: cosines.T, 0),
        "principal axes": (lambda: np.linalg.svd(flat, full_matrices=False)[2], SIZE**4),
        "structkit, dense, one pass": (lambda: dense.partial_fit(flat).components_, SIZE**4),
        "structkit, Kronecker, one pass": (lambda: structured.partial_fit(patches).components_, 2 * SIZE**2),
    }
    found = {}
    for name, (learn, size) in methods.items():
        start = time.perf_counter()
        found[name] = (np.asarray(learn()), time.perf_counter() - start, size)
    return found


def decibels(picture: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio."""
    return float(-10 * np.log10(np.mean((picture - truth) ** 2)))


# ---- figure and report ----------------------------------------------------------------------------------------------


def figure(right: np.ndarray, pictures: dict[str, np.ndarray], atoms: np.ndarray, seed: int) -> mpl.figure.Figure:
    """Recovery, atoms, and a part of the photograph."""
    fig, axes = plt.subplot_mosaic(
        [["curve", "truth", "dct", "ours", "atoms"]], figsize=(16, 4.6), layout="constrained",
        width_ratios=(1.55, 1, 1, 1, 1.45),
    )  # fmt: skip
    plot_recovery(*recovery_curves(seed), ax=axes["curve"])
    axes["curve"].set(title=f"one pass, {N} atoms, no noise", ylim=(2e-5, 2), xscale="log")
    axes["curve"].legend(frameon=False)
    part = np.s_[96:352, 24:200]
    dct_picture, ours = pictures["cosines (DCT)"], pictures["structkit, Kronecker, one pass"]
    shown = {
        "truth": (right, "photograph, not learned from"),
        "dct": (dct_picture, f"cosines: {decibels(dct_picture, right):.2f} dB"),
        "ours": (ours, f"Kronecker, learned: {decibels(ours, right):.2f} dB"),
    }
    for name, (picture, title) in shown.items():
        axes[name].imshow(picture[part], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes[name].set(title=title, xticks=[], yticks=[])
    low = (np.arange(7)[:, None] * SIZE + np.arange(7)).ravel()
    plot_atoms(atoms[low], ax=axes["atoms"])
    axes["atoms"].set_title("learned atoms of low order")
    fig.suptitle(f"Dictionaries in one pass; patches of {SIZE} x {SIZE} written with {KEPT} of {SIZE**2} codes")
    return fig


def main() -> None:
    """Both problems: learn, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the figure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that everything works")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    begin = time.perf_counter()
    print(f"A known dictionary of {N} atoms, {COUNT:,} samples, one code in ten not zero", flush=True)
    print(f"{recovery_table(args.seed, quick=args.quick)}\n", flush=True)
    image = photograph()
    middle = image.shape[1] // 2
    right = image[: image.shape[0] // SIZE * SIZE, middle:]
    print(
        f"Patches of a photograph, learned on the left half, written with {KEPT} of {SIZE**2} codes on the right half"
    )
    found = patch_dictionaries(image[:, :middle])
    pictures = {name: written(right, atoms) for name, (atoms, _, _) in found.items()}
    print(f"{'dictionary':<44}{'PSNR':>10}{'free numbers':>15}{'seconds':>9}")
    for name, (_, seconds, size) in found.items():
        print(f"{name:<44}{decibels(pictures[name], right):>7.2f} dB{size:>15,}{seconds:>9.2f}")
    path = args.output / "dictionary.png"
    fig = figure(right, pictures, found["structkit, Kronecker, one pass"][0], args.seed)
    fig.savefig(path, dpi=110)
    plt.close(fig)
    print(f"figure: {path}\nfinished in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
    main()
