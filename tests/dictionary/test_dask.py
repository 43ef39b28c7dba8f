"""Streams of dask arrays: the same sums as from batches, formed in parallel."""

import numpy as np
import pytest

from structkit import NotFiniteError, ShapeError
from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from tests.dictionary.problems import draw, draw_kronecker

da = pytest.importorskip("dask.array")

D, Y = draw(8, 0.2, 0.05, 8000, 0)


def lazy(X, rows=250):
    return da.from_array(X, chunks=(rows, *X.shape[1:]))


@pytest.mark.parametrize("options", [{}, {"robust": True}, {"forgetting": 0.05}, {"n_nonzero": 3}])
def test_a_dask_array_is_a_stream(options):
    model = OrthogonalDictionary(random_state=0, **options).fit_stream(lazy(Y))
    direct = OrthogonalDictionary(random_state=0, **options).partial_fit(Y)
    assert model.n_samples_seen_ == 8000
    ours, theirs = (dictionary_distance(m.components_, D) for m in (model, direct))
    assert ours < 1.3 * theirs + 1e-3


@pytest.mark.parametrize("options", [{"orthogonal": False}, {"schedule": "paper", "batch_size": 50}])
def test_streams_that_are_not_parallel_take_block_after_block(options):
    model = OrthogonalDictionary(random_state=0, **options).fit_stream(lazy(Y[:3000]))
    direct = OrthogonalDictionary(random_state=0, **options).partial_fit(Y[:3000])
    np.testing.assert_allclose(model.components_, direct.components_, atol=1e-10)


def test_one_block_per_update_is_the_plain_stream():
    model = OrthogonalDictionary(random_state=0, batch_size=2000, warmup=2000)
    model.fit_stream(lazy(Y, 2000))
    direct = OrthogonalDictionary(random_state=0, batch_size=2000, warmup=2000).partial_fit(Y)
    np.testing.assert_allclose(model.components_, direct.components_, atol=1e-12)


def test_chunks_of_features_and_tensors_are_taken():
    split = da.from_array(Y, chunks=(300, 3))
    assert dictionary_distance(OrthogonalDictionary(random_state=0).fit_stream(split).components_, D) < 0.01
    factors, X = draw_kronecker((3, 4), 0.2, 0.05, 4000, 0)
    model = OrthogonalDictionary(shape=(3, 4), random_state=0).fit_stream(lazy(X))
    assert max(dictionary_distance(a.T, b.T) for a, b in zip(model.factors_, factors, strict=True)) < 0.01


def test_bad_blocks_are_refused():
    spoiled = Y.copy()
    spoiled[-1, 0] = np.nan
    with pytest.raises(NotFiniteError, match="A block of X holds NaN"):
        OrthogonalDictionary(random_state=0).fit_stream(lazy(spoiled))
    with pytest.raises(ValueError, match="X has dtype float64; this dictionary began with float32"):
        OrthogonalDictionary(random_state=0).fit(Y.astype(np.float32)).fit_stream(lazy(Y))
    with pytest.raises(ShapeError, match="expected samples as rows"):
        OrthogonalDictionary().fit_stream(da.ones(5))
    with pytest.raises(TypeError, match="X is a dask array; give it to fit_stream"):
        OrthogonalDictionary().fit(lazy(Y))
    with pytest.raises(ShapeError, match="X has 8 features; this dictionary has 5"):
        OrthogonalDictionary().fit(Y[:, :5]).fit_stream(lazy(Y))


def test_workers_of_a_cluster_reduce_chunks():
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        model = OrthogonalDictionary(random_state=0).fit_stream(lazy(Y, 200))
    alone = OrthogonalDictionary(random_state=0).fit_stream(lazy(Y, 200))
    np.testing.assert_allclose(model.components_, alone.components_, atol=1e-12)
    stream = [r["n_samples"] for r in model.history_ if r["stage"] == "stream"]
    assert max(np.diff(stream)) >= 400  # several chunks in one update
