"""`OrthogonalDictionary` as an estimator: parameters, libraries, dtypes, pipelines, codes, callbacks."""

import numpy as np
import pytest
import torch

from structkit import NotFittedError, OrthogonalDictionary
from structkit.dictionary import code_sparsity
from tests.dictionary.problems import draw, draw_kronecker

D, Y = draw(8, 0.2, 0.05, 2500, 0)


def test_the_constructor_stores_its_arguments_unchanged():
    start = [np.eye(2)]
    model = OrthogonalDictionary(start=start, shape=(2,), schedule="nonsense")
    assert model.start is start
    assert model.get_params()["schedule"] == "nonsense"
    assert model.set_params(schedule="paper") is model
    assert repr(OrthogonalDictionary(robust=True)) == "OrthogonalDictionary(robust=True)"


def test_fit_sets_every_documented_attribute():
    model = OrthogonalDictionary(random_state=0)
    assert model.fit(Y) is model
    section = OrthogonalDictionary.__doc__.split("Attributes\n")[1].split("References\n")[0]
    documented = [line.split(" : ")[0].strip() for line in section.splitlines() if " : " in line]
    assert {"components_", "factors_", "gap_", "n_samples_seen_", "threshold_", "history_"} <= set(documented)
    for name in documented:
        assert hasattr(model, name)
        assert not hasattr(OrthogonalDictionary(), name)
    assert (model.n_samples_seen_, model.n_features_in_) == (2500, 8)


@pytest.mark.parametrize(
    "options", [{}, {"schedule": "paper"}, {"orthogonal": False}, {"n_nonzero": 1}, {"robust": True, "forgetting": 0.1}]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_checks_of_scikit_learn_pass(options):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    checks.check_estimator(OrthogonalDictionary(**options), on_skip=None)


def test_pipelines_clones_and_grid_search():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = OrthogonalDictionary(n_nonzero=2, random_state=0)
    again = clone(model.fit(Y))
    assert not hasattr(again, "components_")
    assert repr(again) == repr(model)
    pipeline = make_pipeline(StandardScaler(), OrthogonalDictionary(random_state=0))
    assert pipeline.fit_transform(Y).shape == Y.shape
    np.testing.assert_allclose(pipeline.inverse_transform(pipeline.transform(Y)), Y, atol=0.5)
    search = GridSearchCV(OrthogonalDictionary(random_state=0), {"n_nonzero": [1, 4]}, cv=2).fit(Y)
    assert search.best_params_ == {"n_nonzero": 4}


# ---- codes ----------------------------------------------------------------------------------------------------------


def test_codes_are_thresholded_inner_products():
    model = OrthogonalDictionary(random_state=0).fit(Y)
    Z = Y @ model.components_.T
    np.testing.assert_allclose(model.transform(Y), np.where(np.abs(Z) > model.threshold_, Z, 0.0))
    assert 2 * 0.05 < model.threshold_ < 4 * 0.05
    assert abs(code_sparsity(model.transform(Y)) - 0.8) < 0.03
    np.testing.assert_allclose(model.inverse_transform(Z), Y, atol=1e-12)
    assert model.score(Y) > 0.97


def test_a_given_threshold_and_a_given_number_of_codes():
    cut = OrthogonalDictionary(threshold=0.7, random_state=0).fit(Y)
    codes = cut.transform(Y)
    assert cut.threshold_ == 0.7
    assert np.abs(codes[codes != 0]).min() > 0.7
    few = OrthogonalDictionary(n_nonzero=2, random_state=0).fit(Y).transform(Y)
    assert ((few != 0).sum(axis=1) == 2).all()
    exact = OrthogonalDictionary(threshold=0, random_state=0).fit(Y)
    np.testing.assert_allclose(exact.inverse_transform(exact.transform(Y)), Y, atol=1e-12)


def test_tensors_come_back_as_tensors_and_rows_as_rows():
    _, X = draw_kronecker((2, 3), 0.2, 0.05, 400, 0)
    model = OrthogonalDictionary(shape=(2, 3), random_state=0).fit(X)
    codes = model.transform(X)
    assert codes.shape == X.shape
    rows = model.transform(X.reshape(400, 6))
    np.testing.assert_array_equal(rows, codes.reshape(400, 6))
    back = model.inverse_transform(codes)
    assert back.shape == X.shape
    np.testing.assert_allclose(model.inverse_transform(rows), rows @ model.components_, atol=1e-12)
    np.testing.assert_allclose(back.reshape(400, 6), rows @ model.components_, atol=1e-12)


# ---- libraries and dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shape": (2, 4), "robust": True},
        {"orthogonal": False},
        {"schedule": "paper", "batch_size": 16},
        {"n_nonzero": 3},
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_torch_agrees_with_numpy(options, method):
    X = Y[:2300]
    host = getattr(OrthogonalDictionary(random_state=0, **options), method)(X)
    tensors = getattr(OrthogonalDictionary(random_state=0, **options), method)(torch.tensor(X))
    assert isinstance(tensors.components_, torch.Tensor)
    np.testing.assert_allclose(tensors.components_.numpy(), host.components_, atol=1e-9)
    codes = tensors.transform(torch.tensor(X))
    assert isinstance(codes, torch.Tensor)
    np.testing.assert_allclose(codes.numpy(), host.transform(X), atol=1e-8)
    back = tensors.inverse_transform(codes)
    np.testing.assert_allclose(back.numpy(), host.inverse_transform(host.transform(X)), atol=1e-8)
    assert isinstance(tensors.threshold_, float)


def test_dtypes_are_kept_and_never_narrowed():
    single = OrthogonalDictionary(random_state=0).fit(Y.astype(np.float32))
    assert single.components_.dtype == np.float32
    assert single.transform(Y.astype(np.float32)).dtype == np.float32
    assert single.transform(Y).dtype == np.float64
    with pytest.raises(ValueError, match=r"X has dtype float64; this dictionary began with float32 samples"):
        single.partial_fit(Y)
    wide = OrthogonalDictionary(random_state=0).fit(Y).partial_fit(Y.astype(np.float32))
    assert wide.components_.dtype == np.float64
    assert OrthogonalDictionary().fit(np.round(5 * Y).astype(int)).components_.dtype == np.float64


def test_inputs_are_left_alone_and_may_change_afterwards():
    X = Y[:300].copy()
    X.flags.writeable = False
    model = OrthogonalDictionary(random_state=0, robust=True)
    model.partial_fit(X)
    before = model.components_
    X.flags.writeable = True
    X[...] = 7.0
    np.testing.assert_array_equal(model.components_, before)


def test_seeds_reproduce():
    first, second = (OrthogonalDictionary(random_state=3).partial_fit(Y).components_ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    shared = OrthogonalDictionary(random_state=np.random.default_rng(3)).partial_fit(Y).components_
    np.testing.assert_array_equal(first, shared)


# ---- streams --------------------------------------------------------------------------------------------------------


def test_before_the_warm_up_is_over_the_samples_so_far_count():
    part = OrthogonalDictionary(random_state=0).partial_fit(Y[:700]).partial_fit(Y[700:900])
    whole = OrthogonalDictionary(random_state=0, warmup=900).partial_fit(Y[:900])
    np.testing.assert_array_equal(part.components_, whole.components_)
    assert part.n_samples_seen_ == 900
    assert part._learner.stream is None
    np.testing.assert_array_equal(part.transform(Y), whole.transform(Y))


def test_an_empty_batch_leaves_the_start():
    model = OrthogonalDictionary(random_state=0, start="dct").partial_fit(np.empty((0, 4)))
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(4), atol=1e-15)
    assert (model.threshold_, model.n_samples_seen_) == (0.0, 0)
    assert OrthogonalDictionary(robust=True).partial_fit(np.empty((0, 2))).partial_fit(Y[:9, :2]).n_samples_seen_ == 9


def test_the_search_is_not_repeated_for_every_question(monkeypatch):
    from structkit.dictionary import learner

    calls = []
    search = learner.find_dictionary
    monkeypatch.setattr(learner, "find_dictionary", lambda *args: calls.append(1) or search(*args))
    model = OrthogonalDictionary(random_state=0).partial_fit(Y[:300])
    _ = model.components_, model.threshold_, model.gap_, model.transform(Y)
    assert len(calls) == 1
    _ = model.partial_fit(Y[300:400]).components_
    assert len(calls) == 2


def test_a_stream_goes_on_after_fit():
    model = OrthogonalDictionary(random_state=0).fit(Y)
    first = model.components_
    model.partial_fit(draw(8, 0.2, 0.05, 2000, 0)[1])
    assert model.n_samples_seen_ == 4500
    assert 0 < np.abs(model.components_ - first).max() < 0.05


def test_batches_come_from_any_iterable():
    direct = OrthogonalDictionary(random_state=0).partial_fit(Y)
    streamed = OrthogonalDictionary(random_state=0).fit_stream(Y[k : k + 90] for k in range(0, 2500, 90))
    np.testing.assert_allclose(streamed.components_, direct.components_, atol=1e-10)
    assert OrthogonalDictionary().fit_stream([]).get_params()["robust"] is False


def test_a_callback_sees_every_step_and_ends_a_stream():
    seen = []
    model = OrthogonalDictionary(
        random_state=0, warmup=500, callback=lambda r: seen.append(r) or r["stage"] == "stream"
    )
    model.fit_stream(Y[k : k + 100] for k in range(0, 2500, 100))
    assert {r["stage"] for r in seen} == {"l3", "shrink", "cut", "stream"}
    assert set(seen[0]) == {"stage", "n_samples", "gap", "moved"}
    assert model.n_samples_seen_ < 1000
    stopped = OrthogonalDictionary(random_state=0, callback=lambda r: True).fit(Y)
    assert stopped.n_iter_ == 1
    np.testing.assert_allclose(stopped.components_ @ stopped.components_.T, np.eye(8), atol=1e-12)


def test_progress_is_shown_when_asked_for(capsys):
    OrthogonalDictionary(random_state=0, verbose=1).fit(Y[:500])
    assert "gap" in capsys.readouterr().err


def test_nothing_is_known_before_samples_came():
    for use in ("transform", "inverse_transform", "score"):
        with pytest.raises(NotFittedError, match="This OrthogonalDictionary is not fitted"):
            getattr(OrthogonalDictionary(), use)(Y)
    with pytest.raises(NotFittedError):
        OrthogonalDictionary().save("nothing.npz")
