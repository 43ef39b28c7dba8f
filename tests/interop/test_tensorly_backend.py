"""tensorly's algorithms on structkit's products: the same results, the same errors, other arrays left to tensorly."""

import numpy as np
import pytest
import torch

from structkit.interop import register_tensorly_backend

tl = pytest.importorskip("tensorly")
from tensorly import tenalg  # noqa: E402
from tensorly.decomposition import non_negative_parafac, parafac, tucker  # noqa: E402

DTYPES = ["float32", "float64", "complex64", "complex128"]


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if "complex" in dtype else values).astype(dtype)


def both(call):
    """Result of tensorly's core, and of structkit behind tensorly."""
    theirs = call()
    with tenalg.backend_context(register_tensorly_backend()):
        assert tenalg.get_backend() == "structkit"
        ours = call()
    assert tenalg.get_backend() == "core"
    return ours, theirs


def agree(call, dtype="float64", scale=1.0):
    ours, theirs = both(call)
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=200 * np.finfo(dtype).eps * scale)


X = {d: normal(4, 5, 3, dtype=d) for d in DTYPES}
MATS = {d: [normal(2, n, dtype=d, seed=n) for n in (4, 5, 3)] for d in DTYPES}
FACTORS = {d: [normal(n, 2, dtype=d, seed=n) for n in (4, 5, 3)] for d in DTYPES}


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_agree(dtype):
    x, mats, factors = X[dtype], MATS[dtype], FACTORS[dtype]
    weights = normal(2, dtype=dtype, seed=9)
    agree(lambda: tenalg.mode_dot(x, mats[1], 1), dtype)
    agree(lambda: tenalg.mode_dot(x, factors[2], 2, transpose=True), dtype)
    agree(lambda: tenalg.multi_mode_dot(x, mats), dtype, 10)
    agree(lambda: tenalg.multi_mode_dot(x, factors, transpose=True), dtype, 10)
    agree(lambda: tenalg.multi_mode_dot(x, [mats[2], mats[0]], modes=[2, 0]), dtype, 10)
    agree(lambda: tenalg.multi_mode_dot(x, mats, skip=1), dtype, 10)
    agree(lambda: tenalg.multi_mode_dot(x, [mats[2], mats[0], mats[1]], modes=[2, 0, 1], skip=0), dtype, 10)
    agree(lambda: tenalg.kronecker(mats), dtype)
    agree(lambda: tenalg.kronecker(mats, skip_matrix=1, reverse=True), dtype)
    agree(lambda: tenalg.khatri_rao(factors), dtype)
    agree(lambda: tenalg.khatri_rao(factors, weights=weights, skip_matrix=0), dtype)
    for mode in range(3):
        agree(lambda mode=mode: tenalg.unfolding_dot_khatri_rao(x, (weights, factors), mode), dtype, 10)
        agree(lambda mode=mode: tenalg.unfolding_dot_khatri_rao(x, (None, factors), mode), dtype, 10)


def test_products_run_on_structkit(monkeypatch):
    from structkit.interop import tensorly_backend as backend

    calls = []
    product = backend.mttkrp
    monkeypatch.setattr(backend, "mttkrp", lambda *a: calls.append(1) or product(*a))
    both(lambda: parafac(normal(4, 5, 3), 2, n_iter_max=3, init="random", random_state=0, tol=0))
    assert len(calls) >= 9


def test_decompositions_agree():
    x = np.abs(normal(6, 5, 4))
    for call in (
        lambda: tl.cp_to_tensor(parafac(x, 2, n_iter_max=10, random_state=0)),
        lambda: tl.cp_to_tensor(non_negative_parafac(x, 2, n_iter_max=10, init="random", random_state=0)),
        lambda: tl.tucker_to_tensor(tucker(x, [3, 2, 2], n_iter_max=5)),
    ):
        ours, theirs = both(call)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_torch_tensors_with_gradients():
    with tl.backend_context("pytorch"):
        A = torch.ones(2, 5, dtype=torch.float64, requires_grad=True)
        x = torch.from_numpy(X["float64"])
        ours, theirs = both(lambda: torch.autograd.grad(tenalg.mode_dot(x, A, 1).sum(), A)[0])
        torch.testing.assert_close(ours, theirs)
        cp = parafac(x, 2, n_iter_max=5, random_state=0)
        with tenalg.backend_context(register_tensorly_backend()):
            torch.testing.assert_close(parafac(x, 2, n_iter_max=5, random_state=0).factors[0], cp.factors[0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: tenalg.mode_dot(X["float64"], np.ones(5), 1),  # a vector
        lambda: tenalg.multi_mode_dot(X["float64"], [np.ones(4), np.ones(5)], modes=[0, 1]),
        lambda: tenalg.mode_dot(np.arange(8).reshape(2, 2, 2), np.eye(2, dtype=int), 0),  # integers
        lambda: tenalg.mode_dot(X["float64"].astype("float16"), MATS["float32"][0].astype("float16"), 0),
        lambda: tenalg.mode_dot(X["float64"], MATS["float32"][0], 0),  # two dtypes
        lambda: tenalg.khatri_rao(FACTORS["float64"][:1]),
        lambda: tenalg.khatri_rao(FACTORS["float64"], mask=np.ones((60, 1))),
        lambda: tenalg.inner(X["float64"], X["float64"]),
        lambda: tenalg.outer([np.ones(2), np.ones(3)]),
    ],
)
def test_the_rest_is_left_to_tensorly(call):
    ours, theirs = both(call)
    np.testing.assert_array_equal(ours, theirs)
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype


@pytest.mark.parametrize(
    "call",
    [
        lambda: tenalg.mode_dot(X["float64"], np.ones((2, 4)), 1),
        lambda: tenalg.multi_mode_dot(X["float64"], [np.ones((2, 3)), np.ones((2, 5)), np.ones((2, 3))]),
        lambda: tenalg.khatri_rao([np.ones((2, 3)), np.ones((2, 4))]),
    ],
)
def test_errors_are_those_of_tensorly(call):
    with pytest.raises(ValueError) as theirs:
        call()
    with tenalg.backend_context(register_tensorly_backend()), pytest.raises(ValueError) as ours:
        call()
    assert str(ours.value) == str(theirs.value)


def test_registering_twice_changes_nothing():
    assert register_tensorly_backend() == register_tensorly_backend() == "structkit"
    assert tenalg.available_backend_names.count("structkit") == 1
