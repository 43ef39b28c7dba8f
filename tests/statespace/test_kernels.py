"""Compiled kernels against their numpy twins."""

import numpy as np
import pytest

from structkit._backend import numba_kalman, numpy_kalman
from structkit.statespace import discretize
from tests.statespace.oracle import CASES, block_observations, irregular


def _run(kernels, name, copies, dtype, rng):
    """Call every kernel; return all outputs."""
    sde = CASES[name][0]
    times = irregular(rng)
    n, s, m = len(times), sde.n_states, copies * sde.n_states
    step = discretize(sde, np.diff(times, prepend=times[0]))
    a, q, p0, h = (np.ascontiguousarray(x, dtype) for x in (step.A, step.Q, step.Pinf, step.H))
    precision, information = (x.astype(dtype) for x in block_observations(rng, n, copies, scale=1.0))
    mean, score = np.full((2, n, m), np.nan, dtype)
    cov, curvature = np.full((2, n, m, m), np.nan, dtype)
    scale = rng.uniform(0.5, 1.5, (copies, s)).astype(dtype)
    if name != "sum":
        scale[:] = scale[:, :1]  # states of one process share their factor
    log_z = kernels.filter_steps(a, q, p0, h, scale, precision, information, mean, cov)
    kernels.smooth_steps(a, q, p0, h, scale, precision, information, mean, cov, score, curvature)
    states = (mean, cov, score, curvature)
    out = {"log_z": log_z, "mean": mean, "cov": cov, "score": score, "curvature": curvature}
    out["f_mean"], out["f_cov"] = np.empty((n, copies), dtype), np.empty((n, copies, copies), dtype)
    kernels.marginals(h, a, *states, out["f_mean"], out["f_cov"])
    out["at_mean"], out["at_cov"] = np.empty((4, copies), dtype), np.empty((4, copies, copies), dtype)
    left = np.array([-1, 3, 7, n - 1])
    kernels.interpolate(
        left, a[[1, 2, 3, 4]], q[[1, 2, 3, 4]], a[[5, 6, 7, 8]], p0, h, scale, *states, out["at_mean"], out["at_cov"]
    )
    if dtype == np.float64:
        out["states"], out["state_covs"] = np.empty_like(mean), np.empty_like(cov)
        kernels.smoothed_states(a, *states, out["states"], out["state_covs"])
        out["grad_a"], out["grad_q"], out["grad_p0"] = np.empty_like(a), np.empty_like(a), np.empty_like(p0)
        out["grad_scale"] = np.empty_like(scale)
        grads = (out["grad_a"], out["grad_q"], out["grad_p0"], out["grad_scale"])
        kernels.gradient(a, q, p0, scale, *states, *grads)
        out["paths"] = rng.normal(size=(2, n, s))
        kernels.propagate(a, out["paths"])
    return out


@pytest.mark.parametrize(
    ("name", "copies", "dtype"),
    [
        ("matern12", 1, np.float64),
        ("matern32", 1, np.float64),
        ("matern52", 1, np.float64),
        ("matern52", 4, np.float64),
        ("sum", 2, np.float64),
        ("quasi-periodic", 1, np.float64),
        ("matern32", 3, np.float32),
        ("sum", 1, np.float32),
    ],
)
def test_compiled_kernels_equal_numpy(name, copies, dtype):
    one, two = (_run(k, name, copies, dtype, np.random.default_rng(1)) for k in (numba_kalman, numpy_kalman))
    tol = {np.float64: 1e-10, np.float32: 2e-3}[dtype]
    for key in one:
        scale = 1 + np.abs(np.asarray(two[key], float)).max()
        assert np.allclose(one[key], two[key], rtol=0, atol=tol * scale), key


def test_empty_steps_are_skipped_exactly():
    """A missing observation leaves the prediction as it is, bit by bit."""
    step = discretize(CASES["sum"][0], [0.0, 0.3])
    a, q, p0, h = (np.ascontiguousarray(x) for x in (step.A, step.Q, step.Pinf, step.H))
    mean, cov = np.empty((2, 4)), np.empty((2, 4, 4))
    log_z = numba_kalman.filter_steps(a, q, p0, h, np.ones((1, 4)), np.zeros((2, 1, 1)), np.zeros((2, 1)), mean, cov)
    assert log_z == 0
    assert np.array_equal(cov[0], p0)
    assert not mean.any()


def test_indefinite_precision_gives_nan():
    one = np.ones((1, 1, 1))
    args = (
        one,
        one,
        np.ones((1, 1)),
        np.ones(1),
        np.ones((1, 1)),
        -3 * one,
        np.ones((1, 1)),
        np.empty((1, 1)),
        np.empty((1, 1, 1)),
    )
    assert np.isnan(numba_kalman.filter_steps(*args))
    assert np.isnan(numpy_kalman.filter_steps(*args))


def test_the_switch_chooses_numpy(monkeypatch):
    from structkit._backend.kernels import kalman

    monkeypatch.setenv("STRUCTKIT_NUMBA", "0")
    assert kalman() is numpy_kalman
