"""Saved models: exact after loading, fit for fitting again, and refused when damaged, foreign or too new."""

import json
import os
import stat

import numpy as np
import pytest

import structkit
from structkit import GridGP, StructKitError
from structkit._core import serialize
from structkit.gp import FreeCovariance, Matern, SquaredExponential
from tests.gp.grid_oracle import draw, hide

X, T = np.linspace(0.0, 3.0, 9), np.linspace(-1.0, 1.0, 7)
KERNELS = [Matern(1.5, 0.7, 1.3), SquaredExponential(0.6, 0.8)]
COMPLETE = draw(KERNELS, [X, T], 0.05, np.random.default_rng(0), mean=1.0)[1]
HOLES = hide(COMPLETE, 0.4, np.random.default_rng(1))
CELLS = np.where(np.isnan(HOLES), np.nan, np.linspace(0.01, 0.4, 63).reshape(9, 7))

CASES = {
    "eigen": (KERNELS, COMPLETE, {}),
    "dense": (KERNELS, HOLES, {"random_state": 3}),
    "iterative": (KERNELS, HOLES, {"method": "iterative", "random_state": 3, "n_probes": 8}),
    "single": (KERNELS, HOLES.astype(np.float32), {"method": "iterative", "random_state": 3, "n_probes": 8}),
    "levels": (KERNELS, HOLES, {"noise_axis": 1, "mean": "per-level", "mean_axis": 0, "max_learning_iter": 300}),
    "cells": (KERNELS, HOLES, {"noise_var": CELLS}),
    "given": (KERNELS, COMPLETE, {"noise_var": [0.1] * 7, "noise_axis": np.int64(1), "mean": np.float32(0.5)}),
    "free": ([FreeCovariance(2, shrinkage=1.5), SquaredExponential()], HOLES, {"random_state": 3, "n_probes": 8}),
    "fixed": ([Matern(0.5).fix("variance") + Matern(2.5), KERNELS[1].with_bounds(lengthscale=(0.2, 2))], HOLES, {}),
}


def fitted(case):
    kernels, y, options = CASES[case]
    coords = [None if isinstance(kernels[0], FreeCovariance) else X, T]
    return GridGP(kernels, **options).fit(coords, y), coords


def same(a, b):
    assert type(a) is type(b)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def check_round_trip(model, again, new):
    assert type(again) is GridGP
    for at in (None, new):
        for a, b in zip(model.predict(at, return_std=True), again.predict(at, return_std=True), strict=True):
            same(a, b)
        same(model.sample(2, random_state=5, coords=at), again.sample(2, random_state=5, coords=at))
    same(*(m.predict(return_std=True, include_noise=True)[1] for m in (model, again)))
    for name in (n for n in vars(model) if n.endswith("_")):
        ours, theirs = getattr(model, name), getattr(again, name)
        if name != "kernels_":
            assert type(ours) is type(theirs), name
        np.testing.assert_equal(theirs, ours, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_a_round_trip_is_exact(case, tmp_path):
    model, coords = fitted(case)
    new = [None if c is None else c[:3] + 0.05 for c in coords]
    if model.mean_axis is not None:
        new[model.mean_axis] = None
    path = tmp_path / "model.npz"
    assert model.save(path) is None
    again = structkit.load(path)
    check_round_trip(model, again, new)
    check_round_trip(model, GridGP.load(str(path)), new)
    parameters, restored = model.get_params(), again.get_params()
    assert [repr(k) for k in restored.pop("kernels")] == [repr(k) for k in parameters.pop("kernels")]
    np.testing.assert_equal(restored, parameters)
    # Saving twice, and saving what was loaded, gives the same again.
    again.save(path)
    check_round_trip(model, structkit.load(path), new)


@pytest.mark.parametrize("case", ["eigen", "dense", "levels", "free"])
def test_a_loaded_model_can_be_fitted_again(case, tmp_path):
    model, coords = fitted(case)
    model.save(tmp_path / "m.npz")
    again = structkit.load(tmp_path / "m.npz").fit(coords, CASES[case][1])
    same(again.predict(), model.predict())


def test_the_file_holds_arrays_and_json_only(tmp_path):
    model, _ = fitted("free")
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        header = json.loads(str(archive["__header__"]))
        assert all(archive[name].dtype != object for name in archive.files)
    assert header["kind"] == "GridGP"
    assert header["format"] == serialize.FORMAT_VERSION


def test_generators_and_callbacks_stay_behind(tmp_path):
    model = GridGP(KERNELS, random_state=np.random.default_rng(0), callback=lambda r: False).fit([X, T], HOLES)
    model.save(tmp_path / "m.npz")
    again = structkit.load(tmp_path / "m.npz")
    assert again.random_state is None
    assert again.callback is None
    same(again.predict(return_std=True)[1], model.predict(return_std=True)[1])


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    model, _ = fitted("eigen")
    model.save(tmp_path / "m.npz")
    return tmp_path / "m.npz"


@pytest.mark.parametrize("keep", [0, 1, 10, 200, 0.5, 0.99])
def test_truncated_files_are_refused(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    for load in (structkit.load, GridGP.load):
        with pytest.raises(StructKitError, match=r"m\.npz is not a complete structkit file.* Save the object again"):
            load(path)


def test_flipped_bits_are_noticed(path):
    content = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(200, len(content) - 2000, 5):
        content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(StructKitError):
        structkit.load(path)


def write(path, kind="GridGP", version=serialize.FORMAT_VERSION, values=None):
    header = json.dumps({"format": version, "kind": kind, "values": values or {}})
    np.savez(path, __header__=np.array(header))


def save(path, array):
    with path.open("wb") as f:
        np.save(f, array, allow_pickle=True)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lambda p: p.write_text("hello"), "not a complete structkit file"),
        (lambda p: save(p, np.ones(3)), "not a complete structkit file"),
        (lambda p: save(p, np.array([object()])), "not a complete structkit file"),
        (lambda p: np.savez(p, x=np.ones(3)), "not a complete structkit file"),
        (lambda p: np.savez(p, __header__=np.array("{")), "not a complete structkit file"),
        (lambda p: np.savez(p, __header__=np.array("[]")), "not a complete structkit file"),
        (lambda p: write(p, version="x"), "not a complete structkit file"),
        (lambda p: write(p, kind="Tucker"), r"holds a 'Tucker'; expected one of GridGP"),
        (lambda p: write(p, version=99), r"has format 99; this version reads up to \d+\. Upgrade structkit"),
        (lambda p: write(p), r"holds no '\w+', so it is not a complete GridGP"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, match):
    path = tmp_path / "m.npz"
    content(path)
    for load in (structkit.load, GridGP.load):
        with pytest.raises(StructKitError, match=match):
            load(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        structkit.load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        structkit.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        fitted("eigen")[0].save(tmp_path / "no" / "m.npz")


def test_a_file_appears_whole_or_not_at_all(path, monkeypatch):
    before = path.read_bytes()

    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="disk full"):
        structkit.load(path).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["m.npz"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_has_the_usual_permissions(path):
    (path.parent / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((path.parent / "other").stat().st_mode)


# ---- torch and gpytorch ---------------------------------------------------------------------------------------------


def test_torch_models(tmp_path):
    torch = pytest.importorskip("torch")
    y = torch.as_tensor(HOLES)
    model = GridGP(KERNELS, noise_var=torch.tensor(0.05), learn_kernels=False, device="cpu").fit(
        [torch.as_tensor(X), T], y
    )
    model.save(tmp_path / "m.npz")
    check_round_trip(model, structkit.load(tmp_path / "m.npz"), [X[:3] + 0.05, None])
    moved = structkit.load(tmp_path / "m.npz", device="cpu")
    assert moved.predict().device == torch.device("cpu")
    assert moved.device == "cpu"


def test_a_missing_device_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    model = GridGP(KERNELS, noise_var=0.05, learn_kernels=False).fit([X, T], torch.as_tensor(HOLES))
    model.save(tmp_path / "m.npz")
    kind, values = serialize.read_archive(tmp_path / "m.npz", ["GridGP"])
    serialize.write_archive(tmp_path / "m.npz", kind, values | {"work_device": "cuda:0", "output_device": "cuda:0"})
    with pytest.raises(StructKitError, match=r"Device 'cuda:0' of the stored model: .* Load it with device='cpu'"):
        structkit.load(tmp_path / "m.npz")
    same(structkit.load(tmp_path / "m.npz", device="cpu").predict(), model.predict())


def test_gpytorch_kernels(tmp_path):
    gpytorch = pytest.importorskip("gpytorch")
    first = gpytorch.kernels.ScaleKernel(
        gpytorch.kernels.MaternKernel(nu=1.5, lengthscale_prior=gpytorch.priors.GammaPrior(3.0, 6.0))
    )
    second = gpytorch.kernels.RBFKernel(lengthscale_constraint=gpytorch.constraints.Interval(0.1, 2.0))
    for kernels in ([first, second], [second, second]):
        model = GridGP(kernels).fit([X, T], HOLES)
        model.save(tmp_path / "m.npz")
        again = structkit.load(tmp_path / "m.npz")
        check_round_trip(model, again, [X[:3] + 0.05, None])
        same(again.fit([X, T], HOLES).predict(), model.predict())


def test_a_kernel_that_has_no_description_says_so(tmp_path):
    gpytorch = pytest.importorskip("gpytorch")

    class Own(gpytorch.kernels.RBFKernel):
        pass

    model = GridGP([Own(), Own()]).fit([X, T], HOLES)
    with pytest.raises(StructKitError, match=r"A kernel of this model cannot be stored: .*type Own"):
        model.save(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []
