"""Estimators with 2-D input as scikit-learn's tools use them: checks, clones, pipelines, searches, names of columns."""

import numpy as np
import pytest

from structkit.dictionary import OrthogonalDictionary
from structkit.sbl import OMP, SBL
from structkit.tucker import FunctionalCP, FunctionalTucker
from tests.tucker.problems import draw

pytest.importorskip("sklearn")

from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import OrthogonalMatchingPursuit
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

X, Y = draw(120)
QUICK = {"n_starts": 1, "max_iter": 2, "random_state": 0}
REGRESSORS = {
    "cp": FunctionalCP(1, **QUICK),
    "tucker": FunctionalTucker(1, **QUICK),
    "sbl": SBL(),
    "omp": OMP(n_nonzero=1),
}
# what these models do on purpose where scikit-learn asks for something else
ON_PURPOSE = {
    "cp": {"check_supervised_y_2d": "a column of values is refused, not flattened with a warning"},
    "sbl": {"check_complex_data": "dictionaries may be complex"},
}
ON_PURPOSE |= {"tucker": ON_PURPOSE["cp"], "omp": ON_PURPOSE["sbl"]}


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_checks_of_scikit_learn_pass(name):
    results = check_estimator(REGRESSORS[name], on_skip=None, expected_failed_checks=ON_PURPOSE[name])
    assert sum(r["status"] == "passed" for r in results) > 45
    assert is_regressor(REGRESSORS[name])


@pytest.mark.parametrize("name", REGRESSORS)
def test_clones_are_unfitted_and_say_so_in_both_languages(name):
    model = clone(REGRESSORS[name])
    assert repr(model) == repr(REGRESSORS[name])
    with pytest.raises(NotFittedError, match="is not fitted; call fit first"):
        model.predict(X)


@pytest.mark.filterwarnings("ignore::structkit.ConvergenceWarning")
def test_tensors_in_pipelines_and_searches():
    model = FunctionalCP(1, n_starts=1, max_iter=20, tol=1e-2, random_state=0)
    pipeline = make_pipeline(MinMaxScaler(), model)
    scores = cross_val_score(pipeline, 10 * X, Y, cv=3)
    assert scores.shape == (3,)
    search = GridSearchCV(model, {"rank": [1, 2], "kernel": ["discrete", "matern32"]}, cv=2).fit(X, Y)
    assert search.best_params_["kernel"] == "matern32"
    mean, std = search.best_estimator_.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, search.predict(X))
    assert (std > 0).all()


def test_sparse_models_in_pipelines_and_searches():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((80, 60))
    y = A[:, [3, 20, 41]] @ [2.0, -1.0, 1.5] + 0.1 * rng.standard_normal(80)
    search = GridSearchCV(OMP(), {"n_nonzero": [1, 3, 20]}, cv=4).fit(A, y)
    assert search.best_params_ == {"n_nonzero": 3}
    theirs = OrthogonalMatchingPursuit(n_nonzero_coefs=3, fit_intercept=False).fit(A, y)
    np.testing.assert_allclose(search.best_estimator_.coef_, theirs.coef_, atol=1e-12)
    np.testing.assert_allclose(search.predict(A), theirs.predict(A), atol=1e-12)
    pipeline = make_pipeline(FunctionTransformer(), SBL())
    assert np.median(cross_val_score(pipeline, A, y, cv=4)) > 0.98
    chosen = make_pipeline(SelectKBest(f_regression, k=10), SBL()).fit(A, y)
    assert chosen.score(A, y) > 0.9


def test_one_dictionary_and_a_list_of_one_are_the_same():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((20, 30)), rng.standard_normal((7, 30))
    y = A[:, 3] - A[:, 8]
    for model in (SBL(noise_var=1e-4), OMP(n_nonzero=2)):
        alone, listed = clone(model).fit(A, y), clone(model).fit([A], y)
        np.testing.assert_array_equal(alone.predict(B), listed.predict([B]))
        assert alone.n_features_in_ == 30
        assert alone.score(A, y) == listed.score([A], y) > 0.99
        assert clone(model).fit(A.tolist(), y).score(A, y) == alone.score(A, y)
    pair = SBL().fit([A[:4, :5], B[:3, :6]], np.ones((4, 3)))
    assert pair.n_features_in_ == 30
    assert pair.predict([A[:4, :5], B[:3, :6]]).shape == (12,)


def test_feature_names_are_kept_and_compared():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["lat", "lon", "depth"])
    model = FunctionalCP(1, n_starts=1, tol=0.3, random_state=0).fit(frame, pandas.Series(Y))
    assert list(model.feature_names_in_) == ["lat", "lon", "depth"]
    np.testing.assert_array_equal(model.predict(frame), model.predict(X))
    with pytest.raises(ValueError, match=r"columns lon, lat, depth; FunctionalCP was fitted with lat, lon, depth, in"):
        model.predict(frame[["lon", "lat", "depth"]])
    model.fit(X, Y)
    assert not hasattr(model, "feature_names_in_")
    rng = np.random.default_rng(0)
    sparse = rng.standard_normal((400, 3)) * (rng.random((400, 3)) < 0.3)
    frame = pandas.DataFrame(sparse, columns=frame.columns, index=range(7, 407))
    atoms = OrthogonalDictionary(random_state=0, threshold=0.1).fit(frame)
    assert list(atoms.feature_names_in_) == ["lat", "lon", "depth"]
    assert list(atoms.get_feature_names_out()) == ["atom0", "atom1", "atom2"]
    with pytest.raises(ValueError, match="OrthogonalDictionary was fitted with"):
        atoms.transform(frame[["lon", "lat", "depth"]])
    codes = atoms.set_output(transform="pandas").transform(frame)
    assert list(codes.columns) == ["atom0", "atom1", "atom2"]
    assert codes.index.equals(frame.index)
    pipeline = make_pipeline(MaxAbsScaler(), OrthogonalDictionary(random_state=0)).set_output(transform="pandas")
    assert list(pipeline.fit_transform(frame).columns) == ["atom0", "atom1", "atom2"]
    with pytest.raises(ValueError, match="transform='polars'; expected 'default' or 'pandas'"):
        atoms.set_output(transform="polars")
