"""Clear errors and warnings before any work, and documented behaviour at the edges."""

import numpy as np
import pytest
import torch

from structkit import BackendMismatchError, ConvergenceWarning, NotFiniteError, ShapeError, SingularFactorError
from structkit.dictionary import OrthogonalDictionary
from tests.dictionary.problems import draw

D, Y = draw(6, 0.25, 0.05, 1500, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_samples_with_holes_are_refused(value, method):
    X = Y.copy()
    X[3, 2] = value
    with pytest.raises(NotFiniteError, match="X holds NaN or infinity"):
        getattr(OrthogonalDictionary(), method)(X)
    model = OrthogonalDictionary(random_state=0).fit(Y)
    before = model.components_
    with pytest.raises(NotFiniteError):
        model.partial_fit(X)
    np.testing.assert_array_equal(model.components_, before)
    assert model.n_samples_seen_ == 1500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 2)}, r"X has 6 features; shape=\(2, 2\) needs 4"),
        ({"shape": 6}, "shape=6; expected a tuple of positive integers"),
        ({"shape": (2, 0)}, r"shape=\(2, 0\); expected a tuple"),
        ({"n_nonzero": 0}, "n_nonzero=0; expected a positive integer"),
        ({"n_nonzero": 7}, "n_nonzero=7; a sample has only 6 codes"),
        ({"batch_size": 1.5}, "batch_size=1.5; expected a positive integer"),
        ({"warmup": "long"}, "warmup='long'; expected a positive integer"),
        ({"max_iter": True}, "max_iter=True; expected a positive integer"),
        ({"forgetting": 1.1}, "forgetting=1.1; expected a number from 0 to 1"),
        ({"averaging": 0.5}, "averaging=0.5; expected a number from 1"),
        ({"tol": -1.0}, "tol=-1.0; expected a number"),
        ({"threshold": "high"}, "threshold='high'; expected a number"),
        ({"threshold": np.nan}, "threshold=nan; expected a number"),
        ({"schedule": "fast"}, "schedule='fast' is unknown; expected 'buffered' or 'paper'"),
        ({"start": "zeros"}, "start='zeros' is unknown; expected 'random', 'dct'"),
        ({"start": np.ones((6, 6))}, r"start\[0\] is not orthogonal.*Use structkit.orthogonal.polar_factor"),
        ({"start": [np.eye(3), np.eye(2)]}, "start has 2 matrices; expected 1"),
        ({"start": np.eye(5)}, r"start\[0\] has shape \(5, 5\); expected \(6, 6\)"),
        ({"orthogonal": False, "shape": (2, 3)}, r"orthogonal=False does not go with shape=\(2, 3\)"),
        ({"orthogonal": False, "schedule": "paper"}, "orthogonal=False does not go with schedule='paper'"),
        ({"forgetting": 0.1, "schedule": "paper"}, "forgetting does not go with schedule='paper'"),
        ({"robust": "yes"}, "robust='yes'; expected True or False"),
        ({"orthogonal": None}, "orthogonal=None; expected True or False"),
        ({"robust": True, "schedule": "paper"}, "robust does not go with schedule='paper'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        OrthogonalDictionary(**options).fit(Y)


def test_wrong_kinds_of_arguments():
    with pytest.raises(TypeError, match="start must be 'random', 'dct' or orthogonal matrices; got int"):
        OrthogonalDictionary(start=3).fit(Y)
    with pytest.raises(TypeError, match="random_state must be"):
        OrthogonalDictionary(random_state="seed").fit(Y)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones(4), ShapeError, "Reshape your data"),
        (np.ones((5, 2, 3)), ShapeError, r"give shape=\(2, 3\), or flatten"),
        (np.ones((4, 0)), ShapeError, "0 feature"),
        (np.ones((0, 4)), ValueError, r"0 sample\(s\)"),
        (np.zeros((9, 4)), ValueError, "none with a nonzero entry"),
        (np.ones((4, 2), complex), ValueError, "Complex data not supported"),
        (np.array([["a", "b"]]), TypeError, "X has dtype"),
        (np.ma.masked_array(np.ones((3, 2)), mask=True), TypeError, "masked array"),
    ],
)
def test_wrong_samples(X, error, message):
    with pytest.raises(error, match=message):
        OrthogonalDictionary().fit(X)


def test_tensors_of_another_shape():
    with pytest.raises(ShapeError, match=r"X has shape \(5, 3, 2\); expected samples of shape \(2, 3\)"):
        OrthogonalDictionary(shape=(2, 3)).fit(np.ones((5, 3, 2)))


def test_the_number_of_features_may_not_change():
    model = OrthogonalDictionary(random_state=0).partial_fit(Y)
    for use in (model.partial_fit, model.transform, model.inverse_transform, model.score):
        with pytest.raises(ShapeError, match="5 features, but OrthogonalDictionary is expecting 6 features"):
            use(Y[:, :5])
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        model.partial_fit(torch.tensor(Y))
    model.fit(Y[:, :5])
    assert model.components_.shape == (5, 5)


def test_the_length_of_rows_may_change_only_by_fitting_anew():
    with pytest.raises(SingularFactorError, match=r"4 sample\(s\) span 4 of 6 directions; orthogonal=False"):
        OrthogonalDictionary(orthogonal=False).fit(Y[:4])


# ---- edges ----------------------------------------------------------------------------------------------------------


def test_one_feature_has_one_dictionary():
    model = OrthogonalDictionary().fit(Y[:, :1])
    assert model.components_.tolist() == [[1.0]]
    assert OrthogonalDictionary().partial_fit(Y[:1, :1]).components_.tolist() == [[1.0]]


def test_a_constant_stream_has_one_atom_and_says_so():
    y = np.array([3.0, 0.0, -4.0])
    with pytest.warns(UserWarning, match=r"The samples hardly reach [12] of 3 atoms; these are arbitrary"):
        model = OrthogonalDictionary(n_nonzero=1, random_state=0).fit(np.tile(y, (50, 1)))
    np.testing.assert_allclose(np.abs(model.components_[0]), np.abs(y) / 5, atol=1e-12)
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(3), atol=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_sample_becomes_an_atom():
    model = OrthogonalDictionary(random_state=0).fit(Y[:1])
    codes = model.transform(Y[:1])
    assert (np.abs(codes) > 1e-3 * np.abs(codes).max()).sum() == 1
    assert model.score(Y[:1]) > 1 - 1e-6


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("options", [{}, {"robust": True}, {"schedule": "paper"}])
def test_streams_may_begin_with_zeros_or_nothing(options):
    model = OrthogonalDictionary(random_state=0, **options).partial_fit(np.zeros((3, 6)))
    assert np.isfinite(model.components_).all()
    model.partial_fit(np.empty((0, 6))).partial_fit(Y)
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(6), atol=1e-12)
    assert model.n_samples_seen_ == 1503


def test_fewer_samples_than_the_warm_up_are_used_as_they_are():
    model = OrthogonalDictionary(random_state=0).partial_fit(Y[:400])
    fitted = OrthogonalDictionary(random_state=0, tol=1e-3).fit(Y[:400])
    np.testing.assert_allclose(model.components_, fitted.components_, atol=1e-2)


@pytest.mark.filterwarnings("ignore::structkit.ConvergenceWarning")
@pytest.mark.parametrize("n", [4, 16])
def test_normal_codes_are_noticed(n):
    X = np.random.default_rng(0).standard_normal((128 * n, n))
    with pytest.warns(UserWarning, match="The codes look normally distributed"):
        OrthogonalDictionary(random_state=0, max_iter=400).fit(X)
    with pytest.warns(UserWarning, match="The codes look normally distributed"):
        OrthogonalDictionary(random_state=0, warmup=64 * n).partial_fit(X)


def test_a_search_that_is_cut_short_says_so():
    with pytest.warns(ConvergenceWarning, match="The search stopped before the atoms settled; raise max_iter or tol"):
        OrthogonalDictionary(random_state=0, max_iter=2).fit(Y)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-30, float), (1e30, float), (1e-6, np.float32), (1e6, np.float32)])
def test_scale_does_not_matter(scale, dtype):
    model = OrthogonalDictionary(random_state=0).fit(Y.astype(dtype))
    scaled = OrthogonalDictionary(random_state=0).fit((scale * Y).astype(dtype))
    atol = 1e-9 if dtype is float else 1e-3
    np.testing.assert_allclose(scaled.components_, model.components_, atol=atol)
    assert scaled.threshold_ == pytest.approx(scale * model.threshold_, rel=100 * atol)


@pytest.mark.parametrize(("scale", "dtype"), [(1e100, np.float64), (1e12, np.float32)])
def test_samples_whose_powers_overflow_are_refused(scale, dtype):
    with pytest.raises(ValueError, match=r"whose powers overflow in float\d\d beyond .* Use smaller units"):
        OrthogonalDictionary().partial_fit((scale * Y).astype(dtype))


@pytest.mark.parametrize(("scale", "dtype"), [(1e-70, np.float64), (1e70, np.float64), (1e6, np.float32)])
def test_units_of_the_samples_do_not_matter(scale, dtype):
    plain = OrthogonalDictionary(random_state=0).fit(Y)
    scaled = OrthogonalDictionary(random_state=0).fit((scale * Y).astype(dtype))
    tol = 1e-10 if dtype is np.float64 else 1e-3
    np.testing.assert_allclose(scaled.components_, plain.components_, atol=tol)


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score"])
def test_a_model_of_tensors_takes_no_arrays(method):
    model = OrthogonalDictionary(random_state=0).fit(torch.tensor(Y))
    with pytest.raises(BackendMismatchError, match="got numpy and torch"):
        getattr(model, method)(Y)
