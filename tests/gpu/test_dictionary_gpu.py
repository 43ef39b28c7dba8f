"""Polar factors and dictionaries on a CUDA device against the same calls in numpy."""

import numpy as np
import pytest

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.orthogonal import polar_factor
from tests.dictionary.problems import draw, draw_kronecker

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("shape", [(5, 5), (3, 40, 24), (2, 6, 9)])
@pytest.mark.parametrize("method", ["auto", "svd", "eigh", "newton-schulz"])
def test_polar_factors(method, shape, dtype):
    M = (RNG.standard_normal(shape) + 3 * np.eye(*shape[-2:])).astype(dtype)
    U = polar_factor(torch.tensor(M, device="cuda"), method=method)
    assert U.is_cuda
    tol = 1e4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(U.cpu().numpy(), polar_factor(M, method="svd"), atol=tol)


def test_singular_matrices_fall_back():
    U = polar_factor(torch.ones(4, 4, dtype=torch.float64, device="cuda"))
    np.testing.assert_allclose((U.T @ U).cpu().numpy(), np.eye(4), atol=1e-12)


def test_gradients():
    M = torch.randn(4, 4, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradcheck(polar_factor, M)


@pytest.mark.parametrize("options", [{}, {"robust": True, "forgetting": 0.1}, {"orthogonal": False}, {"n_nonzero": 3}])
def test_streams(options, tmp_path):
    D, Y = draw(12, 0.2, 0.05, 4000, 0)
    host = OrthogonalDictionary(random_state=0, **options).partial_fit(Y)
    model = OrthogonalDictionary(random_state=0, **options).partial_fit(torch.tensor(Y, device="cuda"))
    assert model.components_.is_cuda
    np.testing.assert_allclose(model.components_.cpu().numpy(), host.components_, atol=1e-8)
    assert dictionary_distance(model.components_, D) < 0.05
    codes = model.transform(torch.tensor(Y, device="cuda"))
    assert codes.is_cuda
    assert model.inverse_transform(codes).is_cuda
    model.save(tmp_path / "d.npz")
    assert OrthogonalDictionary.load(tmp_path / "d.npz", device="cpu").components_.device.type == "cpu"


def test_tensors():
    factors, Y = draw_kronecker((6, 5), 0.1, 0.05, 1500, 0)
    model = OrthogonalDictionary(shape=(6, 5), random_state=0).fit(torch.tensor(Y, device="cuda"))
    assert max(dictionary_distance(a.T, b.T) for a, b in zip(model.factors_, factors, strict=True)) < 0.02
