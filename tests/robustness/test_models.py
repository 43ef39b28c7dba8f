"""Estimators that are interrupted, stored, sent to other processes, run side by side, or run again."""

import functools
import json
import pickle
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import structkit
from structkit import StructKitError
from structkit._core.serialize import FORMAT_VERSION
from structkit.dictionary import OrthogonalDictionary
from structkit.gp import GridGP, SquaredExponential
from structkit.kron import kron_matmul, kron_plan
from structkit.pde import PDE, D, Dirichlet, GPSolver
from tests.robustness.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
WITH_CALLBACK = [name for name, p in MODELS.items() if p.has_callback]


@functools.cache
def fitted(name):
    """A model that no test changes."""
    return MODELS[name].build().fit(*MODELS[name].data)


def answers(name, model):
    return [np.asarray(a) for a in MODELS[name].ask(model)]


def same(name, model, other):
    for a, b in zip(answers(name, model), answers(name, other), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- interruption -------------------------------------------------------------------------------------------------


class Stop(Exception):
    """Raised in the middle of a fit."""


def raiser(error, after=1):
    calls = []

    def callback(state):
        calls.append(state)
        if len(calls) >= after:
            raise error

    return callback


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("name", WITH_CALLBACK)
def test_an_interrupted_fit_leaves_the_estimator_usable(name, error, capfd):
    problem = MODELS[name]
    model = problem.build(callback=raiser(error), verbose=1)
    with pytest.raises(error):
        model.fit(*problem.data)
    model.set_params(callback=None, verbose=0).fit(*problem.data)
    same(name, model, fitted(name))
    model.set_params(callback=raiser(error))
    before = answers(name, model)
    with pytest.raises(error):
        model.fit(*problem.data)
    if not name.startswith("OrthogonalDictionary"):  # which forgets everything when a fit begins
        for a, b in zip(before, answers(name, model), strict=True):
            np.testing.assert_array_equal(a, b)
    same(name, model.set_params(callback=None).fit(*problem.data), fitted(name))


@pytest.mark.parametrize("name", WITH_CALLBACK)
def test_a_callback_that_asks_to_stop_gives_a_model(name):
    model = MODELS[name].build(callback=lambda state: True).fit(*MODELS[name].data)
    assert all(np.isfinite(a).all() for a in answers(name, model))
    assert len(model.history_) <= len(fitted(name).history_)


# ---- again and elsewhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_same_fit_again_gives_the_same_numbers(name):
    same(name, MODELS[name].build().fit(*MODELS[name].data), fitted(name))


@pytest.mark.parametrize("name", MODELS)
def test_pickles_answer_the_same(name):
    copy = pickle.loads(pickle.dumps(fitted(name)))
    same(name, copy, fitted(name))
    assert copy.get_params().keys() == fitted(name).get_params().keys()
    same(name, copy.fit(*MODELS[name].data), fitted(name))


@pytest.mark.parametrize("name", MODELS)
def test_pickles_in_mapped_memory_answer_the_same(name, tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump(fitted(name), tmp_path / "model.joblib")
    same(name, joblib.load(tmp_path / "model.joblib", mmap_mode="r"), fitted(name))


@pytest.mark.parametrize("name", MODELS)
def test_fits_and_questions_side_by_side_are_as_one_after_another(name):
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        model = MODELS[name].build().fit(*MODELS[name].data)
        return answers(name, model), answers(name, fitted(name))

    expected = answers(name, fitted(name))
    with ThreadPoolExecutor(4) as pool:
        for own, shared in pool.map(work, range(4)):
            for a, b, c in zip(own, shared, expected, strict=True):
                np.testing.assert_array_equal(a, c)
                np.testing.assert_array_equal(b, c)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (2,) * 8, (40, 30)])
def test_a_plan_serves_many_threads(sizes):
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((n, n)) for n in sizes]
    plan = kron_plan([f.shape for f in factors], "float64")
    vectors = rng.standard_normal((40, int(np.prod(sizes))))
    expected = [kron_matmul(factors, x, plan=plan) for x in vectors]
    with ThreadPoolExecutor(8) as pool:
        for a, b in zip(pool.map(lambda x: kron_matmul(factors, x, plan=plan), vectors), expected, strict=True):
            np.testing.assert_array_equal(a, b)


# ---- files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file per model."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"{i}.npz" for i, name in enumerate(MODELS)}
    for name, path in paths.items():
        fitted(name).save(path)
    return paths


@pytest.mark.parametrize("name", MODELS)
def test_files_answer_the_same(name, files):
    for again in (structkit.load(files[name]), type(fitted(name)).load(files[name])):
        assert type(again) is type(fitted(name))
        same(name, again, fitted(name))
        assert again.history_ == json.loads(json.dumps(again.history_))
    assert str(again.get_params().get("tol")) == str(fitted(name).get_params().get("tol"))


@pytest.mark.parametrize("name", MODELS)
def test_truncated_files_are_refused(name, files, tmp_path):
    content = files[name].read_bytes()
    for keep in (0, 10, len(content) // 2, len(content) - 1):
        part = tmp_path / f"{keep}.npz"
        part.write_bytes(content[:keep])
        with pytest.raises(StructKitError, match="is not a complete structkit file"):
            structkit.load(part)


def rewritten(path, target, change, leave_out=()):
    """Copy a file with another header, and without some of its arrays."""
    with np.load(path) as archive:
        arrays = {k: archive[k] for k in archive.files if k not in leave_out}
    header = json.loads(str(arrays.pop("__header__")))
    change(header)
    np.savez(target, __header__=np.array(json.dumps(header)), **arrays)
    return target


@pytest.mark.parametrize("name", MODELS)
def test_files_of_newer_versions_and_other_kinds_are_refused(name, files, tmp_path):
    newer = rewritten(files[name], tmp_path / "newer.npz", lambda h: h.update(format=FORMAT_VERSION + 1))
    with pytest.raises(StructKitError, match=rf"has format {FORMAT_VERSION + 1}; this version reads up to .* Upgrade"):
        structkit.load(newer)
    with pytest.raises(StructKitError, match="has format"):
        type(fitted(name)).load(newer)
    other = rewritten(files[name], tmp_path / "other.npz", lambda h: h.update(kind="Kite"))
    with pytest.raises(StructKitError, match="holds a 'Kite'; expected one of"):
        structkit.load(other)


@pytest.mark.parametrize("name", MODELS)
def test_files_without_one_of_their_parts_are_refused(name, files, tmp_path):
    with zipfile.ZipFile(files[name]) as archive:
        parts = sorted(n.removesuffix(".npy") for n in archive.namelist())
    for part in parts:
        if part == "__header__":
            continue
        incomplete = rewritten(files[name], tmp_path / "part.npz", lambda h: None, leave_out=(part,))
        with pytest.raises(StructKitError, match="holds no"):
            structkit.load(incomplete)


def test_a_file_of_one_kind_is_no_model_of_another(files):
    with pytest.raises(StructKitError, match="holds a 'GridGP'; expected one of FunctionalCP"):
        structkit.tucker.FunctionalCP.load(files["GridGP complete"])


# ---- threads of the libraries below -----------------------------------------------------------------------------


def _many_cells():
    """Products and fits that are large enough for BLAS to use its threads."""
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((90, 90)) for _ in range(2)]
    x = rng.standard_normal((8100, 20))
    t = np.linspace(0, 1, 90)
    y = np.sin(9 * t)[:, None] * np.cos(7 * t) + 0.1 * rng.standard_normal((90, 90))
    kernels = [SquaredExponential(0.2), SquaredExponential(0.3)]
    model = GridGP(kernels, noise_var=0.01, learn_kernels=False, random_state=0).fit([t, t], y)
    samples = (rng.standard_normal((3000, 32)) * (rng.random((3000, 32)) < 0.1)) @ np.linalg.qr(factors[0][:32, :32])[0]
    atoms = OrthogonalDictionary(random_state=0).fit(samples).components_
    waves = PDE(
        D(0, 2) + D(1, 2), domain=[(0, 1)] * 2, source=lambda a, b: np.sin(90 * a) * b, conditions=Dirichlet(0.0)
    )
    field = GPSolver(lengthscale=0.2).fit(waves).predict([t, t])
    return kron_matmul(factors, x), *model.predict(return_std=True), atoms, field


def test_the_number_of_threads_changes_rounding_only():
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    with limits(1):
        one = _many_cells()
    with limits(2):
        two = _many_cells()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * np.abs(b).max())
