"""What dictionaries reach on five fresh problems each, beside other libraries; run with ``pytest -m slow -s``."""

import time
import warnings

import numpy as np
import pytest

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from tests.benchmarks import dictionary_peers as peers
from tests.dictionary.problems import draw, draw_kronecker, drifting

pytestmark = pytest.mark.slow
SEEDS = range(7100, 7105)


def timed(work):
    """Result and seconds of the processor."""
    start = time.process_time()
    return work(), time.process_time() - start


def report(name, **numbers):
    shown = ", ".join(f"{k} {v:.3g}" for k, v in numbers.items())
    print(f"{name}: {shown}")


def one_pass(Y, **options):
    return OrthogonalDictionary(random_state=0, **options).partial_fit(Y).components_


def compared(n, theta, noise, count, kind="normal", **others):
    """Median and largest distance, and median seconds, of one pass and of peers over the seeds."""
    methods = {"ours": one_pass, "ica": peers.fast_ica} | others
    one_pass(draw(n, theta, noise, 3000, 0, kind)[1])  # compiled
    found = {name: [] for name in methods}
    for seed in SEEDS:
        D, Y = draw(n, theta, noise, count, seed, kind)
        for name, method in methods.items():
            components, seconds = timed(lambda method=method, Y=Y: method(Y))
            found[name].append((dictionary_distance(components, D), seconds))
    middle = {k: np.median(v, axis=0) for k, v in found.items()}
    worst = {k: max(e for e, _ in v) for k, v in found.items()}
    numbers = {f"{k}_{what}": v[i] for k, v in middle.items() for i, what in enumerate(("error", "seconds"))}
    report(f"n={n}, theta={theta}, noise={noise}, {kind}", ours_worst=worst["ours"], **numbers)
    return middle, worst


def test_noiseless_stream():
    middle, _ = compared(32, 0.1, 0.0, 16384, mini_batch=peers.mini_batch)
    error, seconds = middle["ours"]
    assert error <= 1e-3
    assert error <= middle["ica"][0] / 20
    assert seconds <= middle["ica"][1] / 1.5
    assert seconds <= middle["mini_batch"][1] / 10


def test_noisy_stream():
    others = {}
    try:
        import spams  # noqa: F401

        others["spams"] = peers.spams_batches
    except ImportError:
        print("SPAMS is not installed")
    middle, _ = compared(32, 0.1, 0.1, 16384, **others)
    assert middle["ours"][0] <= 0.014
    assert middle["ours"][0] <= 0.6 * middle["ica"][0]
    if "spams" in middle:
        assert middle["ours"][0] <= 0.8 * middle["spams"][0]


def test_denser_codes():
    middle, worst = compared(32, 0.3, 0.05, 16384)
    assert middle["ours"][0] <= 0.006
    assert worst["ours"] <= 0.01


def test_many_features():
    middle, worst = compared(128, 0.05, 0.03, 16384)
    assert middle["ours"][0] <= 0.012
    assert worst["ours"] <= 0.02
    assert middle["ours"][1] <= middle["ica"][1] / 2


@pytest.mark.parametrize("kind", ["laplace", "signs", "unequal", "correlated"])
def test_other_codes(kind):
    middle, worst = compared(32, 0.1, 0.05 if kind != "laplace" else 0.0, 16384, kind)
    assert middle["ours"][0] < middle["ica"][0]
    assert worst["ours"] < 2 * middle["ours"][0]


@pytest.mark.parametrize(("n", "theta", "kind"), [(16, 0.1, "correlated"), (8, 0.2, "normal"), (16, 0.3, "normal")])
def test_no_seed_of_many_fails(n, theta, kind):
    errors = []
    for seed in range(60):
        D, Y = draw(n, theta, 0.05, 8192, 7000 + seed, kind)
        errors.append(dictionary_distance(one_pass(Y), D))
    report(f"60 seeds, n={n}, {kind}", median=np.median(errors), worst=max(errors))
    assert max(errors) < 3 * np.median(errors)


def test_outliers():
    errors, ratios = [], []
    for seed in SEEDS:
        D, Y = draw(16, 0.2, 0.0, 16000, seed)
        rng = np.random.default_rng(seed)
        struck = rng.random(len(Y)) < 0.02
        spoiled = Y.copy()
        spoiled[struck] = 10 * np.sqrt((Y**2).mean()) * rng.standard_normal((struck.sum(), 16))
        errors.append(dictionary_distance(one_pass(spoiled, robust=True), D))
        seconds = [[timed(lambda r=r, Y=Y: one_pass(Y, robust=r))[1] for r in (True, False)] for _ in range(9)]
        ratios.append(np.divide(*np.median(seconds, axis=0)))
    report("outliers", error=np.median(errors), worst=max(errors), clean_cost=np.median(ratios))
    assert np.median(errors) <= 2e-3
    assert np.median(ratios) <= 1.3


def test_drift():
    from sklearn.decomposition import MiniBatchDictionaryLearning

    errors = {"ours": [], "scikit-learn": []}
    for seed in SEEDS:
        models = {
            "ours": OrthogonalDictionary(forgetting=0.2, random_state=0),
            "scikit-learn": MiniBatchDictionaryLearning(16, alpha=peers.PENALTY, batch_size=32, random_state=0),
        }
        for name, model in models.items():
            found = []
            for k, (D, Y) in enumerate(drifting(16, 0.2, 0.05, 32, 4e-3, 600, seed)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.partial_fit(Y)
                if k >= 100 and k % 10 == 0:
                    found.append(dictionary_distance(model.components_, D))
            errors[name].append(np.mean(found))
    ours, theirs = (np.median(e) for e in errors.values())
    report("drift", ours=ours, scikit_learn=theirs)
    assert ours <= theirs / 3


@pytest.mark.parametrize("n", [8, 16, 32])
def test_abrupt_change(n):
    errors = []
    for seed in SEEDS:
        model = OrthogonalDictionary(forgetting=0.1, random_state=0)
        for part in range(3):
            D, Y = draw(n, 0.2 if n < 32 else 0.1, 0.05, 64 * n, seed + 100 * part)
            for start in range(0, len(Y), n // 2):
                model.partial_fit(Y[start : start + n // 2])
            errors.append(dictionary_distance(model.components_, D))
    report(f"abrupt change, n={n}, after 64 n samples", median=np.median(errors), worst=max(errors))
    assert max(errors) <= 0.05


@pytest.mark.parametrize(
    ("shape", "theta", "count", "reach"),
    [((8, 8), 0.1, 256, 0.012), ((16, 16), 0.05, 1024, 0.008), ((6, 6, 6), 0.1, 300, 0.005)],
)
def test_kronecker(shape, theta, count, reach):
    errors, dense = [], []
    for seed in SEEDS:
        factors, Y = draw_kronecker(shape, theta, 0.05, count, seed)
        model = OrthogonalDictionary(shape=shape, random_state=0).fit(Y)
        errors.append(max(dictionary_distance(a.T, b.T) for a, b in zip(model.factors_, factors, strict=True)))
        if count == 256:
            D = np.kron(*factors).T
            dense.append(dictionary_distance(peers.fast_ica(Y.reshape(count, -1)), D))
    report(f"Kronecker {shape}, {count} samples", median=np.median(errors), worst=max(errors))
    assert np.median(errors) <= reach
    if dense:
        report("the same, FastICA without structure", median=np.median(dense))
        assert np.median(dense) >= 0.1
