"""Free covariances: checks, storage, estimates from pairs of cells, factor analysis, and expectation maximisation."""

import copy
import json

import numpy as np
import pytest
from scipy.optimize import minimize

from structkit import NotPositiveDefiniteError, ShapeError
from structkit.gp import FreeCovariance, GridGP, Matern
from structkit.gp.covariance import UNIQUE, low_rank_plus_diagonal, pairwise_covariance
from structkit.gp.grid_amplitude import prior_level
from structkit.gp.grid_data import GridModel, check_grid, level_variances
from structkit.gp.grid_evidence import complete_evidence
from structkit.gp.grid_moments import em_update, posterior_moments
from structkit.gp.regions import find_regions
from tests.gp.grid_oracle import DenseGP, draw, hide

RNG = np.random.default_rng(11)
T = np.linspace(0.0, 8.0, 60)
LOADINGS = RNG.normal(size=(7, 2))
PLANTED = LOADINGS @ LOADINGS.T + np.diag(RNG.uniform(0.2, 0.8, 7))


# ---- the object -----------------------------------------------------------------------------------------------------


def test_matrices_are_copied_symmetrised_and_read_only():
    given = PLANTED.copy()
    free = FreeCovariance(matrix=given)
    given[0, 0] = 99.0
    np.testing.assert_array_equal(free.matrix, (PLANTED + PLANTED.T) / 2)
    with pytest.raises(ValueError, match="read-only"):
        free.matrix[0, 0] = 1.0


def test_correlation():
    B = np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(FreeCovariance(matrix=B).correlation(), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="no matrix yet"):
        FreeCovariance().correlation()


@pytest.mark.parametrize(
    "free", [FreeCovariance(), FreeCovariance(2), FreeCovariance(3, shrinkage=1.5, matrix=PLANTED)], ids=repr
)
def test_storage_comparison_and_copies(free):
    again = FreeCovariance.from_dict(json.loads(json.dumps(free.to_dict())))
    assert again == free == copy.deepcopy(free)
    assert hash(again) == hash(free)
    assert free != FreeCovariance(matrix=np.eye(7))
    assert free != "free"
    moved = free.with_matrix(np.eye(7))
    assert (moved.rank, moved.shrinkage) == (free.rank, free.shrinkage)


def test_representation():
    assert repr(FreeCovariance()) == "FreeCovariance()"
    assert repr(FreeCovariance(2, shrinkage=1, matrix=PLANTED)) == (
        "FreeCovariance(rank=2, shrinkage=1, matrix=<7 x 7>)"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"rank": 0}, ValueError, "rank must be a positive integer or None; got 0"),
        ({"rank": 1.5}, ValueError, "rank must be a positive integer or None; got 1.5"),
        ({"rank": True}, ValueError, "rank must be a positive integer or None; got True"),
        ({"shrinkage": -1.0}, ValueError, "shrinkage must be .* at least 0; got -1.0"),
        ({"shrinkage": np.nan}, ValueError, "shrinkage must be .* got nan"),
        ({"matrix": np.ones((2, 3))}, ShapeError, r"shape \(2, 3\); expected a square matrix"),
        ({"matrix": np.ones(3)}, ShapeError, r"shape \(3,\); expected a square matrix"),
        ({"matrix": np.zeros((0, 0))}, ShapeError, r"shape \(0, 0\); expected a square matrix"),
        ({"matrix": np.array([[1.0, np.nan], [np.nan, 1.0]])}, ValueError, "NaN or infinity"),
        ({"matrix": np.array([[1.0, 0.5], [0.2, 1.0]])}, ValueError, "not symmetric"),
        ({"matrix": np.array([[1.0, 2.0], [2.0, 1.0]])}, NotPositiveDefiniteError, "eigenvalue -1"),
        ({"matrix": np.eye(2) * 1j}, TypeError, "complex"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        FreeCovariance(**arguments)


# ---- estimates ------------------------------------------------------------------------------------------------------


def test_pairs_of_observed_cells_estimate_the_covariance():
    Y = RNG.normal(size=(5, 8, 9))
    mask = RNG.random(Y.shape) < 0.6
    Z = np.where(mask, Y, 0.0)
    for axis in range(3):
        C = pairwise_covariance(Z, mask, axis, floor=0.0)
        z, m = (np.moveaxis(a, axis, 0).reshape(Y.shape[axis], -1) for a in (Z, mask))
        plain = np.array([[(a * b).sum() / (p & q).sum() for b, q in zip(z, m)] for a, p in zip(z, m)])  # noqa: B905
        w, V = np.linalg.eigh(plain)
        np.testing.assert_allclose(C, (V * np.maximum(w, 0.0)) @ V.T, atol=1e-12)
        assert np.linalg.eigvalsh(pairwise_covariance(Z, mask, axis, floor=0.1))[0] >= 0.099 * np.trace(plain) / len(z)


def test_factor_analysis_recovers_a_matrix_of_its_form():
    np.testing.assert_allclose(low_rank_plus_diagonal(PLANTED, 2), PLANTED, rtol=1e-5, atol=1e-6)
    assert low_rank_plus_diagonal(PLANTED, 7) is PLANTED


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rank", [1, 2])
def test_factor_analysis_maximises_the_likelihood(rank, scale):
    rng = np.random.default_rng(rank)
    S = np.cov(rng.normal(size=(6, 20)))
    floor = np.log(UNIQUE * np.diag(S))

    def loss(M):
        return np.linalg.slogdet(M)[1] + np.trace(np.linalg.solve(M, S))

    def direct(v):
        L = v[6:].reshape(6, rank)
        return loss(L @ L.T + np.diag(np.exp(v[:6])))

    bounds = [(f, None) for f in floor] + [(None, None)] * (6 * rank)
    starts = [np.concatenate([np.log(np.diag(S)), rng.normal(size=6 * rank)]) for _ in range(4)]
    best = min(minimize(direct, v, method="L-BFGS-B", bounds=bounds).fun for v in starts)
    assert loss(low_rank_plus_diagonal(scale * S, rank) / scale) <= best + 1e-6


def test_factor_analysis_of_a_singular_matrix_keeps_a_share_of_each_variance():
    v = np.arange(1.0, 7.0)
    B = low_rank_plus_diagonal(np.outer(v, v), 1)
    np.testing.assert_allclose(B, np.outer(v, v) + UNIQUE * np.diag(v**2), rtol=1e-5)


# ---- learning -------------------------------------------------------------------------------------------------------


def sequence(free, noise, steps, seed):
    """Models of successive steps of expectation maximisation on a complete grid, and the data."""
    rng = np.random.default_rng(seed)
    kernels = (FreeCovariance(matrix=PLANTED), Matern(1.5, 0.7))
    y = draw(kernels, [None, T[:30]], 0.1, rng, mean=1.0)[1]
    start = (free.with_matrix(np.eye(7)), Matern(1.5, 0.7))
    data = check_grid([None, T[:30]], y, None, start, None)
    models = [GridModel(start, np.asarray(noise), np.zeros(()))]
    for _ in range(steps):
        m = models[-1]
        moments = posterior_moments(m, data, find_regions(data.weights), np.zeros(0), tol=1e-3, max_iter=5)
        models.append(em_update(m, data, moments, kernels=True, noise=True, mean=True))
    return models, data


def objective(model, data):
    """Evidence and log prior of the free covariance, up to a constant."""
    B = np.asarray(model.kernels[0].matrix)
    target = level_variances(data, model.mean_grid(2), 0) / prior_level(model.kernels, data.coords)
    prior = np.linalg.slogdet(B)[1] + np.trace(np.linalg.solve(B, np.diag(target)))
    return complete_evidence(model, data).value - 0.5 * model.kernels[0].pseudo_count(len(B)) * prior


@pytest.mark.parametrize("noise", [1e-3, 0.05, 2.0])
@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("shrinkage", [0.0, None])
def test_expectation_maximisation_never_lowers_the_objective(rank, shrinkage, noise):
    for seed in range(2):
        models, data = sequence(FreeCovariance(rank, shrinkage=shrinkage), noise, 40, seed)
        trace = np.array([objective(m, data) for m in models])
        # The prior's target moves a little with the learned mean, so the last digits may.
        assert np.diff(trace).min() > -1e-3
        assert trace[-1] > trace[0] + 1.0


def test_moments_are_those_of_the_dense_posterior():
    models, data = sequence(FreeCovariance(shrinkage=0.0), 0.3, 3, 0)
    model = models[-1]
    y = data.y
    oracle = DenseGP(model.kernels, data.coords, y, float(model.noise_var), float(model.mean))
    f, V = oracle.mean() - float(model.mean), oracle.covariance().reshape(7, 30, 7, 30)
    Kt = np.linalg.inv(model.kernels[1](T[:30]))
    # E[u K^-1 u^T] / 30 along the other axis, and the expected squared residual.
    expected = (f @ Kt @ f.T + np.einsum("itjs,ts->ij", V, Kt)) / 30
    moments = posterior_moments(model, data, find_regions(data.weights), np.zeros(0), tol=1e-3, max_iter=5)
    np.testing.assert_allclose(moments.axis_moment, expected, rtol=1e-6, atol=1e-8)
    squares = ((y - float(model.mean) - f) ** 2 + np.einsum("itit->it", V)) / float(model.noise_var)
    np.testing.assert_allclose(moments.squares, squares, rtol=1e-8)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_planted_covariance_is_recovered(share, rank):
    rng = np.random.default_rng(1)
    x, t = np.linspace(0.0, 3.0, 12), T
    planted = [FreeCovariance(matrix=PLANTED), Matern(0.5, 0.5), Matern(0.5, 0.5)]
    y = draw(planted, [None, x, t], 0.1, rng)[1]
    y = hide(y, share, rng) if share else y
    free = [FreeCovariance(rank), Matern(0.5, 0.5).fix(), Matern(0.5, 0.5).fix()]
    model = GridGP(free, mean="zero", random_state=0, learning_tol=0.01, tol=1e-2, n_probes=8)
    model.fit([None, x, t], y)
    B = model.kernels_[0].matrix
    # Statistical: each entry has a relative error of about sqrt(2 / effective cells); the correlated cells of the two
    # other axes count as about 100.
    scale = np.sqrt(np.outer(np.diag(PLANTED), np.diag(PLANTED)))
    assert np.abs((B - PLANTED) / scale).max() < 3 * np.sqrt(2 / 100)
    assert model.noise_var_ == pytest.approx(0.1, rel=0.2)
    if rank:
        C = B / np.sqrt(np.outer(np.diag(B), np.diag(B)))
        np.testing.assert_allclose(low_rank_plus_diagonal(C, rank), C, atol=1e-4)


def test_shrinkage_pulls_towards_independence():
    rng = np.random.default_rng(2)
    y = draw([FreeCovariance(matrix=PLANTED), Matern(1.5, 0.7)], [None, T[:12]], 0.1, rng)[1]
    sizes = []
    for shrinkage in (0.0, 5.0, 500.0):
        model = GridGP([FreeCovariance(shrinkage=shrinkage), Matern(1.5, 0.7).fix()], mean="zero", random_state=0)
        correlation = model.fit([None, T[:12]], y).kernels_[0].correlation()
        sizes.append(np.abs(correlation - np.eye(7)).mean())
    assert sizes[0] > sizes[1] > 10 * sizes[2]
