"""Operators on a CUDA device: same numbers as on the CPU, nothing leaves the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from structkit import BackendMismatchError, SizeError
from structkit.kron import (
    BlockTridiagonal,
    Diagonal,
    Identity,
    KhatriRao,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    cg,
    cholesky,
    eigh,
    gaussian_evidence,
    khatri_rao,
    kron_matmul,
    kronecker_preconditioner,
    logdet,
    solve,
    stochastic_logdet,
    svd,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]


def spd(n: int, seed: int, device: str) -> torch.Tensor:
    A = np.random.default_rng(seed).standard_normal((n, n))
    return torch.from_numpy(A @ A.T / n + np.eye(n)).to(device)


def random(seed: int, *shape: int, device: str) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(device)


def _kron(device: str) -> LinearOperator:
    return Kronecker(spd(6, 0, device), spd(5, 1, device), spd(4, 2, device))


def _masked(device: str) -> LinearOperator:
    mask = torch.from_numpy(np.random.default_rng(0).random(120) < 0.9)
    return Masked(_kron(device), mask.to(device)) + 0.5 * Identity(int(mask.sum()))


def _toeplitz(device: str) -> LinearOperator:
    return Toeplitz(torch.tensor([4.0, 1.0, 0.5, 0.1], dtype=torch.float64, device=device))


def _mixed(device: str) -> LinearOperator:
    lower = torch.linalg.cholesky(spd(3, 0, device))
    return Kronecker(_toeplitz(device), Identity(2), Triangular(lower), Diagonal(spd(3, 1, device).diagonal()))


def _low_rank(device: str) -> LinearOperator:
    return LowRankPlusDiagonal(random(0, 9, 2, device=device), spd(9, 0, device).diagonal())


def _blocks(device: str) -> LinearOperator:
    diag = torch.stack([3 * spd(2, t, device) for t in range(4)])
    return BlockTridiagonal(diag, 0.3 * random(1, 3, 2, 2, device=device))


CASES = {
    "kronecker": _kron,
    "plus-scalar": lambda d: _kron(d) + 0.5 * Identity(120),
    "plus-arbitrary": lambda d: KroneckerPlusDiagonal([spd(3, 0, d), spd(4, 1, d)], spd(12, 2, d).diagonal()),
    "kronecker-sum": lambda d: KroneckerSum(spd(4, 0, d), spd(5, 1, d)),
    "sum-of-kroneckers": lambda d: SumOfKroneckers(
        Kronecker(spd(3, 0, d), spd(4, 1, d)), Kronecker(spd(3, 2, d), spd(4, 3, d))
    ),
    "masked": _masked,
    "mixed": _mixed,
    "low-rank": _low_rank,
    "blocks": _blocks,
}


@pytest.mark.filterwarnings("ignore::structkit.DensificationWarning")
@pytest.mark.parametrize("name", CASES)
def test_product_and_solve_match_the_cpu(name: str) -> None:
    op, twin = CASES[name]("cpu"), CASES[name]("cuda")
    assert twin.device.startswith("cuda")
    b = random(5, op.shape[0], 2, device="cpu")
    y = twin @ b.cuda()
    assert y.is_cuda
    assert torch.allclose(y.cpu(), op @ b, rtol=1e-10, atol=1e-10)
    x = solve(twin, b.cuda())
    assert x.is_cuda
    assert torch.allclose(x.cpu(), solve(op, b), rtol=1e-7, atol=1e-8)


def test_khatri_rao() -> None:
    mats = [random(i, n, 3, device="cpu") for i, n in enumerate((4, 5, 6))]
    op, twin = KhatriRao(*mats), KhatriRao(*(m.cuda() for m in mats))
    assert torch.allclose((twin @ torch.ones(3, dtype=torch.float64).cuda()).cpu(), op @ torch.ones(3).double())


def test_decompositions_stay_on_the_device() -> None:
    K = _kron("cuda")
    want = logdet(_kron("cpu"))
    assert logdet(K).is_cuda
    assert torch.allclose(logdet(K).cpu(), want, rtol=1e-12)
    assert eigh(K).eigenvectors.device.startswith("cuda")
    assert svd(K).U.device.startswith("cuda")
    L = cholesky(K)
    assert torch.allclose((L @ L.H).to_dense(), K.to_dense(), rtol=1e-12)


def test_conjugate_gradients_with_preconditioner() -> None:
    op = _masked("cuda")
    b = random(5, op.shape[0], 3, device="cuda")
    result = cg(op, b, preconditioner=kronecker_preconditioner(op))
    assert result.converged
    assert result.value.is_cuda
    assert torch.allclose(op @ result.value, b, atol=1e-7)


def test_stochastic_logdet_has_the_same_probes_as_the_cpu() -> None:
    a, b = (stochastic_logdet(_kron(d) + 0.5 * Identity(120), random_state=0) for d in ("cpu", "cuda"))
    assert a.value == pytest.approx(b.value, rel=1e-9)


def test_mixed_devices_name_both() -> None:
    with pytest.raises(BackendMismatchError, match="cuda"):
        _kron("cuda") @ torch.ones(120, dtype=torch.float64)


def test_results_beyond_the_memory_of_the_device_are_refused() -> None:
    long = [torch.ones(10**6, 1, device="cuda")] * 3
    for call in (
        lambda: kron_matmul(long, torch.ones(1, device="cuda")),
        lambda: khatri_rao(long),
        lambda: Kronecker(*long).H.to_dense(),
        lambda: Kronecker(*[torch.eye(1000, device="cuda")] * 4).diagonal(),
    ):
        with pytest.raises(SizeError, match="GiB are available"):
            call()


def test_gradients_of_first_and_second_order_match_the_cpu() -> None:
    def derivatives(device: str) -> list[torch.Tensor]:
        a, b = (spd(n, n, device).requires_grad_() for n in (3, 4))
        op = Kronecker((a + a.T) / 2, (b + b.T) / 2) + 0.3 * Identity(12)
        y = random(5, 12, device=device)
        value = logdet(op) + (y * solve(op, y)).sum() + gaussian_evidence([(a + a.T) / 2, (b + b.T) / 2], y, 0.3).value
        first = torch.autograd.grad(value, (a, b), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (a, b))
        return [g.detach().cpu() for g in (*first, *second)]

    for ours, want in zip(derivatives("cuda"), derivatives("cpu"), strict=True):
        assert torch.allclose(ours, want, rtol=1e-9)
