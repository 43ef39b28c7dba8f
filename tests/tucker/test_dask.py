"""Entries in chunks of dask arrays: the same fit as in memory."""

import dask
import numpy as np
import pytest

from structkit import NotFiniteError, ShapeError
from structkit.tucker import distributed, fitting
from structkit.tucker.distributed import DaskEntries
from structkit.tucker.statistics import mode_sums
from tests.tucker.oracle import posterior
from tests.tucker.problems import draw, quick

da = pytest.importorskip("dask.array")

X, Y = draw()
Y[[3, 77]] = np.nan
SHORT = {"n_starts": 1, "tol": 10.0}  # four sweeps


def lazy(rows=60, values=None):
    return da.from_array(X, chunks=(rows, 3)), da.from_array(Y, chunks=values or rows)


def assert_same(ours, direct):
    np.testing.assert_allclose(ours.predict(X), direct.predict(X), rtol=1e-8, atol=1e-8)
    assert ours.elbo_ == pytest.approx(direct.elbo_, rel=1e-8)
    assert ours.noise_var_ == pytest.approx(direct.noise_var_, rel=1e-8)


@pytest.mark.parametrize("likelihood", ["gaussian", "student-t"])
@pytest.mark.parametrize("form", ["cp", "tucker"])
def test_the_fit_in_chunks_is_the_fit_in_memory(form, likelihood):
    options = {"likelihood": likelihood, "mean": "main-effects", **SHORT}
    model = quick(form, **options).fit(*lazy())
    assert isinstance(model._fitted.posterior.entries, DaskEntries)
    assert len(model._fitted.posterior.entries.blocks) == 5
    assert_same(model, quick(form, **options).fit(X, Y))


def test_a_whole_ascent_in_chunks_is_that_in_memory():
    assert_same(quick(n_starts=1).fit(*lazy(150)), quick(n_starts=1).fit(X, Y))


ARRAYS = {
    "chunks of many sizes": lambda: (da.from_array(X, chunks=((1, 49, 150, 50), (1, 2))), da.from_array(Y, chunks=250)),
    "values in other chunks": lambda: lazy(100, 33),
    "values in memory": lambda: (da.from_array(X, chunks=100), Y),
    "coordinates in memory": lambda: (X, da.from_array(Y, chunks=100)),
    "chunks of unknown length": lambda: (lazy()[0][da.from_array(X[:, 0] >= 0, chunks=60)], _unknown(lazy()[1])),
    "float32 and whole numbers": lambda: (da.from_array((8 * X).astype(int), chunks=90) / 8.0, lazy(90)[1]),
}


def _unknown(y):
    return y[da.from_array(X[:, 0] >= 0, chunks=60)]


@pytest.mark.parametrize("arrays", ARRAYS)
def test_chunks_of_all_kinds(arrays):
    direct = quick(**SHORT).fit(X, Y)
    assert_same(quick(**SHORT).fit(*ARRAYS[arrays]()), direct)


def test_a_chunk_without_values_is_left_out():
    y = Y.copy()
    y[60:120] = np.nan
    model = quick(**SHORT).fit(da.from_array(X, chunks=(60, 3)), da.from_array(y, chunks=60))
    assert len(model._fitted.posterior.entries.blocks) == 4
    np.testing.assert_allclose(model.predict(X), quick(**SHORT).fit(X, y).predict(X), atol=1e-8)


def test_many_chunks_are_summed_in_a_tree():
    model = posterior(X[:40], np.nan_to_num(Y[:40]), (2, 2, 2), cp=False, mean="main-effects")
    _, entries, average = distributed.distributed_entries(
        da.from_array(X[:40], chunks=(1, 3)), da.from_array(np.nan_to_num(Y[:40]), chunks=1), False
    )
    assert entries.sizes == (1,) * 40
    assert average == pytest.approx(np.nan_to_num(Y[:40]).mean())
    arguments = (mode_sums, model.core, model.moments, 1)
    for ours, direct in zip(entries.reduce(*arguments), model.entries.reduce(*arguments), strict=True):
        np.testing.assert_allclose(ours, direct, atol=1e-12 * np.abs(direct).max())


def test_starts_are_compared_on_a_part(monkeypatch):
    monkeypatch.setattr(fitting, "_START_ENTRIES", 100)
    sizes = []

    def first(starts, kinds, progress):
        sizes.append(starts[0].posterior.entries.sizes)
        return 0

    monkeypatch.setattr(fitting, "best_start", first)
    model = quick(n_starts=2, tol=10.0).fit(*lazy(125))
    assert sum(sizes[0]) == 100
    assert isinstance(model._fitted.posterior.entries, DaskEntries)
    assert model._fitted.posterior.noise.n == 248


def test_streams_and_scores_take_dask_arrays():
    model = quick(**SHORT).fit(*lazy())
    kept = ~np.isnan(Y)
    assert model.score(X[kept], Y[kept]) == pytest.approx(quick(**SHORT).fit(X, Y).score(X, Y))
    np.testing.assert_allclose(model.predict(lazy()[0]), model.predict(X))


def test_bad_chunks_are_refused():
    x, y = lazy()
    spoiled = X.copy()
    spoiled[130, 1] = np.inf
    with pytest.raises(NotFiniteError, match=r"X\[10, 1\] is inf"):
        quick().fit(da.from_array(spoiled, chunks=(60, 3)), y)
    with pytest.raises(ShapeError, match=r"y has shape \(200,\); expected \(250,\)"):
        quick().fit(x, y[:200])
    with pytest.raises(ShapeError, match=r"X has shape \(250,\); expected \(n, D\)"):
        quick().fit(x[:, 0], y)
    with pytest.raises(ValueError, match="y holds no value"):
        quick().fit(x, da.full(250, np.nan, chunks=60))
    with pytest.raises(ShapeError, match="X has 5 chunks of rows and y has 1, some of unknown length"):
        quick().fit(x[x[:, 0] >= 0], y.rechunk(250))
    with pytest.raises(ValueError, match="mean = 'none'; expected"):
        quick(mean="none").fit(x, y)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["threads", "processes"])
def test_workers_of_a_cluster_sum_their_chunks(processes):
    cluster_of = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": processes}
    options = {"likelihood": "student-t", **SHORT}
    with cluster_of.LocalCluster(**settings) as cluster, cluster_of.Client(cluster) as client:
        model = quick(**options).fit(*lazy(90))
        where = client.who_has()
        workers = {w for holders in where.values() for w in holders}
        assert_same(model, quick(**options).fit(X, Y))
    assert len(workers) == 2


def test_one_thread_is_enough():
    with dask.config.set(scheduler="synchronous"):
        assert_same(quick(**SHORT).fit(*lazy()), quick(**SHORT).fit(X, Y))
