"""Sparse recovery from tensors on a CUDA device against the same call in numpy."""

import numpy as np
import pytest

from structkit.sbl import KroneckerOMP, KroneckerSBL, SeparableSBL, sbl_evidence
from tests.sbl.dense import same_support, sparse

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("estimator", [KroneckerSBL(), KroneckerSBL("mm"), SeparableSBL(), KroneckerOMP(3)], ids=repr)
def test_recovery_agrees_with_numpy(estimator, dtype):
    p = sparse(1, rank_one=True, is_complex=dtype.startswith("complex"))
    wanted = estimator.fit([A.astype(dtype) for A in p.factors], p.y.astype(dtype)).coef_
    support = estimator.support_
    on_device = [torch.tensor(A.astype(dtype), device="cuda") for A in p.factors]
    model = estimator.fit(on_device, torch.tensor(p.y.astype(dtype), device="cuda"))
    assert model.coef_.is_cuda
    assert str(model.coef_.dtype) == f"torch.{dtype}"
    assert same_support(model.support_, support)
    tol = 1e-3 if dtype in ("float32", "complex64") else 1e-6
    np.testing.assert_allclose(model.coef_.cpu().numpy(), wanted, atol=tol * np.abs(wanted).max())
    assert model.predict(on_device).is_cuda


def test_evidence_agrees_with_numpy():
    p = sparse(2, is_complex=True)
    gammas = [np.random.default_rng(0).uniform(0.1, 1.0, n) for n in p.x.shape]
    wanted = sbl_evidence(p.factors, gammas, p.y, 0.3, grad=True)
    given = [torch.tensor(A, device="cuda") for A in p.factors], [torch.tensor(g, device="cuda") for g in gammas]
    found = sbl_evidence(*given, torch.tensor(p.y, device="cuda"), 0.3, grad=True)
    assert found.value == pytest.approx(wanted.value, rel=1e-10)
    for a, b in zip(found.grad.gammas, wanted.grad.gammas, strict=True):
        np.testing.assert_allclose(a.cpu().numpy(), b, rtol=1e-8)
