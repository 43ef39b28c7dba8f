"""Saved dictionaries: exact after loading, in the middle of a stream too, and refused when damaged."""

import numpy as np
import pytest
import torch

import structkit
from structkit import OrthogonalDictionary, StructKitError
from structkit._core.serialize import read_archive, write_archive
from tests.dictionary.problems import draw

_, Y = draw(6, 0.25, 0.05, 4000, 0)

CASES = {
    "warm-up": ({}, 300),
    "stream": ({}, 2500),
    "single": ({}, 2500),
    "tensors": ({"shape": (2, 3), "n_nonzero": 2}, 2500),
    "robust": ({"robust": True, "forgetting": 0.1, "random_state": np.int64(3)}, 1000),
    "complete": ({"orthogonal": False}, 2500),
    "paper": ({"schedule": "paper", "batch_size": 7}, 1000),
    "given": ({"start": np.eye(6), "threshold": 0.3, "warmup": 50}, 130),
    "relearning": ({"forgetting": 0.1}, None),
}


def stored(name):
    options, count = CASES[name]
    model = OrthogonalDictionary(**({"random_state": 0} | options))
    if count is None:  # after a change, while samples are collected for another dictionary
        model.partial_fit(Y[:1000])
        other = draw(6, 0.25, 0.05, 4000, 9)[1]
        for k in range(2000):
            model.partial_fit(other[k : k + 1])
            if model._learner.buffer:
                return model
        raise AssertionError("no alarm")
    return model.partial_fit(Y[:count].astype(np.float32) if name == "single" else Y[:count])


@pytest.mark.parametrize("name", CASES)
def test_a_stream_goes_on_exactly(name, tmp_path):
    model = stored(name)
    path = tmp_path / "dictionary.npz"
    assert model.save(path) is None
    again = structkit.load(path)
    assert type(again) is OrthogonalDictionary
    rest = Y[1000:].astype(np.float32) if name == "single" else Y[1000:]
    for _ in range(2):
        np.testing.assert_array_equal(again.components_, model.components_)
        np.testing.assert_array_equal(again.transform(rest), model.transform(rest))
        assert (again.threshold_, again.gap_) == (model.threshold_, model.gap_)
        for attribute in ("n_samples_seen_", "n_features_in_", "n_iter_", "history_"):
            assert getattr(again, attribute) == getattr(model, attribute)
        model.partial_fit(rest)
        again.partial_fit(rest)
    expected, restored = model.get_params(), again.get_params()
    if name == "given":
        np.testing.assert_array_equal(restored.pop("start")[0], expected.pop("start"))
    assert restored == expected
    again.save(path)
    np.testing.assert_array_equal(OrthogonalDictionary.load(path).components_, model.components_)


def test_tensors_come_back_as_tensors(tmp_path):
    model = OrthogonalDictionary(random_state=0).partial_fit(torch.tensor(Y))
    model.save(tmp_path / "d.npz")
    again = structkit.load(tmp_path / "d.npz")
    assert isinstance(again.components_, torch.Tensor)
    np.testing.assert_array_equal(again.components_.numpy(), model.components_.numpy())
    assert structkit.load(tmp_path / "d.npz", device="cpu").components_.device.type == "cpu"


def test_a_missing_device_is_named(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    OrthogonalDictionary(random_state=0).partial_fit(torch.tensor(Y)).save(tmp_path / "d.npz")
    with pytest.raises(StructKitError, match=r"Device 'cuda' of the stored model.*Load it with device='cpu'"):
        structkit.load(tmp_path / "d.npz", device="cuda")


def test_incomplete_files_are_refused(tmp_path):
    path = tmp_path / "d.npz"
    OrthogonalDictionary(random_state=0).fit(Y).save(path)
    kind, values = read_archive(path, ["OrthogonalDictionary"])
    values.pop("memory_0")
    write_archive(path, kind, values)
    with pytest.raises(StructKitError, match="The file holds no 'memory_0', so it is not a complete OrthogonalDict"):
        structkit.load(path)


@pytest.mark.parametrize("changed", [{"batch_size": 20}, {"robust": True}, {"schedule": "paper", "shape": (2, 3)}])
def test_parameters_set_in_the_middle_count_from_the_next_fit(changed, tmp_path):
    plain = OrthogonalDictionary(random_state=0).partial_fit(Y[:2500])
    model = OrthogonalDictionary(random_state=0).partial_fit(Y[:2500]).set_params(**changed)
    model.save(tmp_path / "d.npz")
    again = structkit.load(tmp_path / "d.npz")
    for m in (plain, model, again):
        m.partial_fit(Y[2500:])
    np.testing.assert_array_equal(model.components_, plain.components_)
    np.testing.assert_array_equal(again.components_, plain.components_)
    np.testing.assert_array_equal(again.transform(Y[:5]), plain.transform(Y[:5]))
    assert again.get_params() == model.get_params()


def test_generators_and_callbacks_are_not_stored(tmp_path):
    model = OrthogonalDictionary(random_state=np.random.default_rng(0), callback=lambda r: False).fit(Y)
    model.save(tmp_path / "d.npz")
    again = structkit.load(tmp_path / "d.npz")
    assert (again.random_state, again.callback) == (None, None)
