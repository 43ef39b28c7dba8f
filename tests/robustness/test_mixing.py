"""Arrays of two libraries, or of two devices, in one call: an error that names both, before any work."""

import numpy as np
import pytest

from structkit import BackendMismatchError
from tests.robustness.entry_points import ENTRY_POINTS

torch = pytest.importorskip("torch")

# functions that take numpy and torch arrays; the others compute on the CPU whatever comes
BOTH = [
    "kron_matmul", "kron", "kron_solve", "kron_slogdet", "multi_mode_product", "khatri_rao", "mttkrp",
    "gaussian_evidence", "solve", "lstsq", "KroneckerSBL", "KroneckerOMP",
]  # fmt: skip
PAIRS = [(name, key) for name in BOTH for key in list(ENTRY_POINTS[name].arrays)[:2]]


@pytest.mark.parametrize(("name", "key"), PAIRS)
def test_two_libraries_in_one_call(name, key):
    point = ENTRY_POINTS[name]
    given = {**point.arrays, key: torch.from_numpy(point.arrays[key])}
    with pytest.raises(BackendMismatchError, match=r"numpy.*torch|torch.*numpy"):
        point.call(**given)


@pytest.mark.parametrize(("name", "key"), PAIRS)
def test_two_devices_in_one_call(name, key):
    """The meta device stands for a second one: it exists everywhere, and computes nothing."""
    point = ENTRY_POINTS[name]
    given = {k: torch.from_numpy(a) for k, a in point.arrays.items()}
    given[key] = given[key].to("meta")
    with pytest.raises(BackendMismatchError, match=r"cpu.*meta|meta.*cpu"):
        point.call(**given)


@pytest.mark.parametrize("name", BOTH)
def test_torch_in_torch_out(name):
    point = ENTRY_POINTS[name]
    found = point.call(**{k: torch.from_numpy(a) for k, a in point.arrays.items()})
    expected = point.call(**point.arrays)
    parts = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for a, b in parts:
        assert isinstance(a, torch.Tensor)
        b = np.asarray(b)
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=point.rtol, atol=1e-10 * np.abs(b).max())
