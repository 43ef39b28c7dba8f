"""The torch twin: agreement with numpy, gradients by autograd."""

import numpy as np
import pytest
import torch

from structkit import BackendMismatchError
from structkit.statespace import (
    Transitions,
    discretize,
    interpolate,
    kalman_filter,
    log_likelihood,
    matern_sde,
    rts_smoother,
    sample,
)
from tests.statespace.oracle import CASES, block_observations, irregular


@pytest.mark.parametrize("name", ["matern32", "sum", "white", "product"])
def test_torch_equals_numpy(name, rng):
    sde, times = CASES[name][0], irregular(rng, 20)
    precision, information = block_observations(rng, 20, 2)
    information = np.stack([information, 2 * information])
    blocks = {"precision": precision, "information": information}
    tensors = {k: torch.from_numpy(v) for k, v in blocks.items()}
    one, two = (rts_smoother(kalman_filter(sde, times, **b)) for b in (blocks, tensors))
    assert isinstance(two.mean, torch.Tensor)
    new = np.array([-2.0, times[4], 3.3, 1e3, 1e5])
    pairs = [(one.mean, two.mean), (one.cov, two.cov), (one.filtered.log_z, two.filtered.log_z)]
    pairs += [*zip(one.states(), two.states(), strict=True)]
    moments = interpolate(one, new), interpolate(two, new)
    pairs += [(moments[0].mean, moments[1].mean), (moments[0].var, moments[1].var)]
    for a, b in pairs:
        assert np.allclose(a, b.numpy(), rtol=1e-9, atol=1e-9)


def test_values_with_missing_entries(rng):
    times, y = np.sort(rng.uniform(0, 4, 15)), rng.normal(size=(2, 15))
    y[1, 3] = np.nan
    value = log_likelihood(matern_sde(2.5), times, y, noise_var=0.1)
    tensor = log_likelihood(matern_sde(2.5), times, torch.from_numpy(y), noise_var=0.1)
    assert np.allclose(value, tensor.numpy(), rtol=1e-10)


def test_autograd_through_observations_and_noise(rng):
    times = torch.tensor([0.0, 0.4, 0.4, 2.0])
    y = torch.from_numpy(rng.normal(size=4)).requires_grad_()
    noise = torch.tensor([0.3, 0.1, 0.2, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y, v: log_likelihood(matern_sde(1.5), times, y, noise_var=v), (y, noise))

    def smooth(y, v):
        result = rts_smoother(kalman_filter(matern_sde(1.5), times, y, noise_var=v))
        return result.mean, result.var, interpolate(result, [1.0, 3.0]).mean

    assert torch.autograd.gradcheck(smooth, (y, noise))


def test_autograd_through_transitions_gives_the_analytic_gradient(rng):
    sde, times, y = CASES["sum"][0], np.sort(rng.uniform(0, 4, 12)), rng.normal(size=12)
    expected = log_likelihood(sde, times, y, noise_var=0.2, grad=True)
    step = discretize(sde, np.diff(times, prepend=times[0]), grad=True)
    a, q, p = (torch.from_numpy(np.array(x)).requires_grad_() for x in (step.A, step.Q, step.Pinf))
    given = Transitions(a, q, p, torch.from_numpy(np.array(step.H)))
    kalman_filter(sde, times, torch.from_numpy(y), noise_var=0.2, transitions=given).log_likelihood.backward()
    pairs = ((step.dA, a.grad), (step.dQ, q.grad), (step.dPinf, p.grad))
    got = sum((d * g.numpy()).reshape(len(d), -1).sum(axis=1) for d, g in pairs)
    assert np.allclose(got, expected.gradient, rtol=1e-8)


def test_single_precision():
    result = rts_smoother(kalman_filter(matern_sde(1.5), [0.0, 1.0], torch.tensor([1.0, 2.0]), noise_var=0.1))
    assert result.mean.dtype == torch.float32


def test_what_needs_numpy_says_so():
    y = torch.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="backward"):
        log_likelihood(matern_sde(0.5), [0.0, 1.0], y, noise_var=0.1, grad=True)
    with pytest.raises(TypeError, match="torch"):
        sample(rts_smoother(kalman_filter(matern_sde(0.5), [0.0, 1.0], y, noise_var=0.1)))
    with pytest.raises(TypeError, match="torch"):
        discretize(matern_sde(0.5), y)
    with pytest.raises(BackendMismatchError):
        kalman_filter(matern_sde(0.5), [0.0, 1.0], y, noise_var=np.ones(2))
