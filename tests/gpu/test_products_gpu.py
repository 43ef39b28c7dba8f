"""kron_matmul on a CUDA device: the same numbers as on the CPU, where the tensors are."""

from functools import reduce

import pytest

from structkit._core.errors import BackendMismatchError
from structkit.kron import kron_matmul

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("shapes", [[(2, 2)] * 10, [(32, 32), (16, 16)], [(8, 20), (20, 8), (3, 3)]], ids=str)
def test_equals_dense_product_on_the_cpu(shapes, dtype):
    torch.manual_seed(0)
    factors = [torch.randn(*s, dtype=dtype) for s in shapes]
    matrix = reduce(torch.kron, factors)
    for tail in ((), (1,), (7,)):
        x = torch.randn(matrix.shape[1], *tail, dtype=dtype)
        y = kron_matmul([f.cuda() for f in factors], x.cuda())
        assert y.device.type == "cuda"
        assert y.dtype == dtype
        want = matrix @ x
        tolerance = 1e-4 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(y.cpu(), want, rtol=0, atol=tolerance * want.abs().max().item())


def test_gradients_on_the_device():
    factors = [torch.randn(3, 2, dtype=torch.float64, device="cuda", requires_grad=True) for _ in range(2)]
    x = torch.randn(4, 2, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, *mats: kron_matmul(mats, v), (x, *factors))


def test_devices_do_not_mix():
    with pytest.raises(BackendMismatchError, match="cpu and cuda"):
        kron_matmul([torch.eye(2)], torch.ones(2, device="cuda"))
