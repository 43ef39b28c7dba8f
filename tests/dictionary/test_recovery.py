"""Dictionaries are recovered: from samples, streams, tensors, with outliers, drift and changes; small problems."""

import warnings

import numpy as np
import pytest

from structkit import ConvergenceWarning
from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.kron import kron
from tests.dictionary.problems import draw, draw_complete, draw_kronecker, drifting


def in_portions(model, Y, size):
    for start in range(0, len(Y), size):
        model.partial_fit(Y[start : start + size])
    return model


def factor_distance(model, factors):
    return max(dictionary_distance(a.T, b.T) for a, b in zip(model.factors_, factors, strict=True))


# ---- samples and streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "theta", "noise", "reach"),
    [
        ("normal", 0.2, 0.0, 1e-3),
        ("normal", 0.2, 0.05, 0.01),
        ("normal", 0.4, 0.05, 0.015),
        ("signs", 0.2, 0.05, 0.01),
        ("laplace", 1.0, 0.0, 0.06),
        ("unequal", 0.2, 0.05, 0.01),
        ("correlated", 0.1, 0.05, 0.02),
    ],
)
@pytest.mark.parametrize("seed", range(1))
def test_recovery_from_samples_and_from_a_stream(kind, theta, noise, reach, seed):
    D, Y = draw(16, theta, noise, 6000, seed, kind)
    assert dictionary_distance(OrthogonalDictionary(random_state=seed).fit(Y).components_, D) < reach
    assert dictionary_distance(OrthogonalDictionary(random_state=seed).partial_fit(Y).components_, D) < reach


def test_codes_away_from_zero_are_recovered_to_working_precision():
    D, Y = draw(16, 0.2, 0.0, 3000, 0, "signs")
    model = OrthogonalDictionary(random_state=0, tol=1e-13).fit(Y)
    assert dictionary_distance(model.components_, D) < 1e-14
    assert abs(model.gap_) < 1e-14


@pytest.mark.parametrize("options", [{}, {"robust": True, "forgetting": 0.1}, {"n_nonzero": 3}, {"orthogonal": False}])
def test_the_length_of_batches_does_not_matter(options):
    D, Y = draw(8, 0.2, 0.05, 4000, 1)
    whole = OrthogonalDictionary(random_state=0, **options).partial_fit(Y)
    for size in (1, 7, 32, 500):
        model = in_portions(OrthogonalDictionary(random_state=0, **options), Y, size)
        np.testing.assert_allclose(model.components_, whole.components_, atol=1e-10)
        assert model.threshold_ == pytest.approx(whole.threshold_, rel=1e-9)
        assert model.n_samples_seen_ == 4000
    assert dictionary_distance(whole.components_, D) < 0.05


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_atoms_stay_orthonormal(dtype, n):
    _, Y = draw(n, 0.2, 0.05, 5000, 0)
    model = in_portions(OrthogonalDictionary(random_state=0), Y.astype(dtype), 100)
    assert model.components_.dtype == dtype
    error = np.abs(model.components_ @ model.components_.T - np.eye(n)).max()
    assert error < (1e-12 if dtype == np.float64 else 1e-5)


def state_size(stream):
    """Numbers that a stream holds in arrays."""
    found = 0
    for value in [*vars(stream).values(), *vars(stream.pending).values()]:
        arrays = value if isinstance(value, list) else [value]
        found += sum(a.size for a in arrays if isinstance(a, np.ndarray))
    return found


@pytest.mark.parametrize("shape", [None, (8, 4)])
def test_the_state_of_a_stream_is_small_and_does_not_grow(shape):
    model, sizes = OrthogonalDictionary(random_state=0, shape=shape, robust=True), []
    for k in range(3):
        model.partial_fit(draw(32, 0.1, 0.05, 2100, k)[1])
        sizes.append(state_size(model._learner.stream))
        assert model._learner.buffer == []
    assert len(set(sizes)) == 1
    assert sizes[0] <= 4 * 32**2
    if shape is not None:
        assert sizes[0] <= 4 * (8**2 + 4**2) + 4 * 32


def test_the_history_is_bounded():
    model = OrthogonalDictionary(random_state=0, batch_size=4).partial_fit(draw(4, 0.2, 0.05, 9000, 0)[1])
    assert 256 <= len(model.history_) <= 512
    seen = [r["n_samples"] for r in model.history_ if r["stage"] == "stream"]
    assert seen == sorted(seen)
    assert seen[-1] > 8990
    assert model.n_iter_ > 1500


# ---- tensors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "theta", "count"), [((8, 8), 0.1, 256), ((4, 6), 0.1, 400), ((3, 4, 3), 0.1, 400)])
def test_few_tensors_determine_kronecker_factors(shape, theta, count):
    factors, Y = draw_kronecker(shape, theta, 0.05, count, 3)
    model = OrthogonalDictionary(shape=shape, random_state=0).fit(Y)
    assert factor_distance(model, factors) < 0.02
    np.testing.assert_allclose(model.components_, np.asarray(kron(*model.factors_)).T)
    flat = OrthogonalDictionary(shape=shape, random_state=0).fit(Y.reshape(count, -1))
    np.testing.assert_array_equal(flat.components_, model.components_)


def test_a_kronecker_stream_follows():
    factors, Y = draw_kronecker((6, 5), 0.1, 0.05, 3000, 0)
    assert factor_distance(in_portions(OrthogonalDictionary(shape=(6, 5), random_state=0), Y, 64), factors) < 0.01


def test_one_factor_is_the_dense_dictionary():
    _, Y = draw(6, 0.2, 0.05, 2000, 0)
    dense = OrthogonalDictionary(random_state=0).fit(Y)
    one = OrthogonalDictionary(shape=(6,), random_state=0).fit(Y)
    np.testing.assert_array_equal(one.components_, dense.components_)


def test_axes_of_length_one_are_taken():
    factors, Y = draw_kronecker((1, 6), 0.2, 0.05, 2000, 0)
    assert factor_distance(OrthogonalDictionary(shape=(1, 6), random_state=0).fit(Y), factors) < 0.02


# ---- outliers, drift, changes ---------------------------------------------------------------------------------------


def test_outliers_are_harmless_to_robust_dictionaries():
    D, Y = draw(16, 0.2, 0.0, 8000, 2)
    rng = np.random.default_rng(0)
    struck = rng.random(len(Y)) < 0.02
    spoiled = Y.copy()
    spoiled[struck] = 10 * np.sqrt((Y**2).mean()) * rng.standard_normal((struck.sum(), 16))
    for method in ("fit", "partial_fit"):
        robust = getattr(OrthogonalDictionary(robust=True, random_state=0), method)(spoiled)
        plain = getattr(OrthogonalDictionary(random_state=0), method)(spoiled)
        assert dictionary_distance(robust.components_, D) < 2e-3
        assert dictionary_distance(plain.components_, D) > 3 * dictionary_distance(robust.components_, D)


def test_forgetting_follows_a_drift():
    errors = {0.0: [], 0.2: []}
    for forgetting, found in errors.items():
        model = OrthogonalDictionary(forgetting=forgetting, random_state=0)
        for k, (D, Y) in enumerate(drifting(8, 0.2, 0.05, 32, 4e-3, 300, 0)):
            model.partial_fit(Y)
            if k >= 100 and k % 20 == 0:
                found.append(dictionary_distance(model.components_, D))
    assert np.mean(errors[0.2]) < 0.05
    assert np.mean(errors[0.2]) < np.mean(errors[0.0]) / 3


@pytest.mark.parametrize("n", [8, 16])
def test_an_abrupt_change_is_noticed_and_learned(n):
    model = OrthogonalDictionary(forgetting=0.1, random_state=0)
    for seed in range(2):
        D, Y = draw(n, 0.2, 0.05, 96 * n, seed)
        in_portions(model, Y[: 64 * n], 10)
        assert dictionary_distance(model.components_, D) < 0.05
        in_portions(model, Y[64 * n :], 10)
    assert [r["stage"] for r in model.history_].count("l3") > 0


def test_steady_streams_raise_no_alarm():
    model = OrthogonalDictionary(forgetting=0.1, random_state=0).partial_fit(draw(8, 0.2, 0.05, 30000, 0)[1])
    stages = [r["stage"] for r in model.history_]
    assert "l3" not in stages[stages.index("stream") :]


# ---- other dictionaries and methods ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "theta", "reach"), [("normal", 0.15, 0.02), ("laplace", 1.0, 0.1)])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_complete_dictionaries_need_not_be_orthogonal(kind, theta, reach, method):
    D, Y = draw_complete(10, theta, 0.01, 5000, 5.0, 0, kind)
    model = getattr(OrthogonalDictionary(orthogonal=False, random_state=0), method)(Y)
    assert dictionary_distance(model.components_, D) < reach
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # no orthogonal dictionary suits these samples
        orthogonal = OrthogonalDictionary(random_state=0).fit(Y)
    assert dictionary_distance(orthogonal.components_, D) > 2 * reach
    exact = OrthogonalDictionary(orthogonal=False, threshold=0.0, random_state=0).fit(Y[:500])
    np.testing.assert_allclose(exact.inverse_transform(exact.transform(Y)), Y, atol=1e-10)


def test_the_frank_wolfe_schedule_takes_the_steps_of_its_definition():
    from structkit.orthogonal import polar_factor

    _, Y = draw(5, 0.2, 0.05, 40, 0)
    start = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    W, M = start, np.zeros((5, 5))
    model = OrthogonalDictionary(schedule="paper", start=[start])
    for t, y in enumerate(Y, 1):
        z = W.T @ y
        M = (1 - t**-0.5) * M + t**-0.5 * np.outer(y, z * np.abs(z))
        S = polar_factor(M)
        gap = 1 - (W * M).sum() / np.linalg.svd(M, compute_uv=False).sum()
        W = W + t**-0.75 * (S - W)
        model.partial_fit(y[None])
        if t > 5:  # the first steps have gradients of low rank, whose polar factors are not unique
            continue
        W, M = model._learner.stream.factors[0].copy(), model._learner.stream.memory[0].T.copy()
    np.testing.assert_allclose(model.components_, polar_factor(W).T, atol=1e-9)
    assert model.gap_ == pytest.approx(gap, abs=1e-9)


def test_the_frank_wolfe_schedule_finds_the_dictionary():
    D, Y = draw(8, 0.2, 0.0, 6000, 0)
    model = OrthogonalDictionary(schedule="paper", batch_size=8, random_state=0).fit(Y)
    assert dictionary_distance(model.components_, D) < 0.06
    gaps = [r["gap"] for r in model.history_]
    assert np.mean(gaps[-50:]) < 0.1 * np.mean(gaps[:10])


def test_a_given_start_is_refined_and_keeps_its_order():
    D, Y = draw(8, 0.2, 0.02, 2000, 0)
    start = np.linalg.qr(D.T + 0.05 * np.random.default_rng(0).standard_normal((8, 8)))[0]
    start = start * np.sign((start * D.T).sum(axis=0))
    model = OrthogonalDictionary(start=start, random_state=0).fit(Y)
    np.testing.assert_allclose(model.components_, D, atol=0.02)
    assert "l3" not in {r["stage"] for r in model.history_}


def test_cosines_are_a_start():
    from scipy.fft import dctn

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4, 6)) * (rng.random((300, 4, 6)) < 0.2)
    Y = np.stack([dctn(x, norm="ortho", type=3) for x in X])
    model = OrthogonalDictionary(shape=(4, 6), start="dct", n_nonzero=4).fit(Y)
    codes = OrthogonalDictionary(shape=(4, 6), start="dct", threshold=0.0, max_iter=1, tol=9.0).fit(Y).transform(Y)
    assert model.score(Y) > 0.95
    assert np.abs(codes - X).max() < 0.1 * np.abs(X).max()


def test_order_and_signs_are_reproducible():
    _, Y = draw(8, 0.2, 0.02, 4000, 0, "unequal")
    models = [OrthogonalDictionary(random_state=seed).fit(Y) for seed in range(3)]
    for other in models[1:]:
        np.testing.assert_allclose(other.components_, models[0].components_, atol=1e-3)
    D = models[0].components_
    assert (D.max(axis=1) >= -D.min(axis=1)).all()
    energy = ((Y @ D.T) ** 2).sum(axis=0)
    assert (np.diff(energy) <= 1e-3 * energy[0]).all()
