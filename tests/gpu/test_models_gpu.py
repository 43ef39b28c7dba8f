"""Grid processes and state-space models on a CUDA device against the same calls in numpy."""

import numpy as np
import pytest

from structkit.gp import GridGP, Matern, SquaredExponential
from structkit.statespace import kalman_filter, log_likelihood, matern_sde, rts_smoother

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]
DEVICE = "cuda"

T, S = np.linspace(0, 1, 30), np.linspace(0, 2, 25)
Y = np.sin(6 * T)[:, None] * np.cos(4 * S) + 0.1 * np.random.default_rng(0).standard_normal((30, 25))
HOLES = np.where(np.random.default_rng(1).random(Y.shape) < 0.3, np.nan, Y)


# Complete grids are solved directly.
@pytest.mark.parametrize(
    ("y", "method"), [(Y, "auto"), (HOLES, "auto"), (HOLES, "iterative")], ids=["complete", "holes", "iterative"]
)
def test_grid_processes_agree_with_numpy(y, method):
    options = {"noise_var": 0.01, "learn_kernels": False, "method": method, "random_state": 0, "tol": 1e-8}
    kernels = [SquaredExponential(0.2), Matern(1.5, 0.5)]
    wanted = GridGP(kernels, **options).fit([T, S], y).predict()
    model = GridGP(kernels, **options).fit(
        [torch.tensor(T, device=DEVICE), torch.tensor(S, device=DEVICE)], torch.tensor(y, device=DEVICE)
    )
    found = model.predict()
    assert found.device.type == DEVICE
    np.testing.assert_allclose(found.cpu().numpy(), wanted, atol=1e-5)


def test_state_space_models_agree_with_numpy():
    sde = matern_sde(1.5, 0.4)
    times, y = np.linspace(0, 3, 40), np.sin(3 * np.linspace(0, 3, 40))
    wanted = rts_smoother(kalman_filter(sde, times, y, noise_var=0.1))
    given = torch.tensor(times, device=DEVICE), torch.tensor(y, device=DEVICE)
    found = rts_smoother(kalman_filter(sde, *given, noise_var=0.1))
    assert found.mean.device.type == DEVICE
    np.testing.assert_allclose(found.mean.cpu().numpy(), wanted.mean, atol=1e-9)
    value = log_likelihood(sde, *given, noise_var=0.1)
    assert float(value) == pytest.approx(log_likelihood(sde, times, y, noise_var=0.1), rel=1e-9)
