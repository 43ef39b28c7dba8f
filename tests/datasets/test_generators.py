import numpy as np
import pytest

from structkit import ShapeError
from structkit.datasets import block_mask, random_mask, sample_grid
from structkit.gp import FreeCovariance, Matern, SquaredExponential

KERNELS = (Matern(1.5, lengthscale=0.4, variance=2.0), SquaredExponential(lengthscale=0.5))
COORDS = (np.array([0.0, 0.3, 1.0]), np.array([0.5, 0.1]))


def moments(draw, n=4000):
    """Sample mean and covariance of flattened draws."""
    rng = np.random.default_rng(0)
    x = np.stack([draw(rng).ravel() for _ in range(n)])
    return x.mean(0), np.cov(x.T)


def assert_moments(draw, mean, K, n=4000):
    # statistical: the standard error of an entry is at most sqrt(2 / n) of its variances, and six of them are allowed
    found_mean, found_K = moments(draw, n)
    scale = np.sqrt(np.multiply.outer(np.diag(K), np.diag(K)))
    assert np.abs(found_mean - mean).max() < 6 * np.sqrt(np.diag(K).max() / n)
    assert (np.abs(found_K - K) / scale).max() < 6 * np.sqrt(2 / n)


def test_function_has_the_kronecker_covariance_in_row_major_order():
    K = np.kron(KERNELS[0](COORDS[0]), KERNELS[1](COORDS[1]))
    assert_moments(lambda rng: sample_grid(KERNELS, COORDS, random_state=rng).function, np.zeros(6), K)


def test_data_have_mean_and_noise():
    noise = np.array([0.1, 2.0])  # per level of the second axis
    K = np.kron(KERNELS[0](COORDS[0]), KERNELS[1](COORDS[1])) + np.diag(np.tile(noise, 3))
    draw = lambda rng: sample_grid(KERNELS, COORDS, noise_var=noise, mean=5.0, random_state=rng).y  # noqa: E731
    assert_moments(draw, np.full(6, 5.0), K)


def test_free_covariance_needs_no_coordinates():
    B = np.array([[2.0, -1.0], [-1.0, 1.0]])
    kernels = [FreeCovariance(matrix=B), KERNELS[1]]
    K = np.kron(B, KERNELS[1](COORDS[1]))
    assert_moments(lambda rng: sample_grid(kernels, [None, COORDS[1]], random_state=rng).function, np.zeros(4), K)


def test_gpytorch_kernels_are_taken():
    import gpytorch

    rbf = gpytorch.kernels.RBFKernel()
    rbf.lengthscale = 0.5
    ours = sample_grid([SquaredExponential(lengthscale=0.5)], [COORDS[0]], random_state=0)
    theirs = sample_grid([rbf], [COORDS[0]], random_state=0)
    assert np.allclose(ours.y, theirs.y, atol=1e-5)  # gpytorch parameters are single precision


def test_without_noise_data_are_the_function():
    sample = sample_grid(KERNELS, COORDS, random_state=0)
    assert np.array_equal(sample.y, sample.function)
    assert sample.y.dtype == np.float64


def test_same_seed_same_sample():
    first, second = (sample_grid(KERNELS, COORDS, noise_var=1.0, random_state=3) for _ in range(2))
    assert np.array_equal(first.y, second.y)
    assert not np.array_equal(first.y, sample_grid(KERNELS, COORDS, noise_var=1.0, random_state=4).y)


@pytest.mark.parametrize(
    ("kernels", "coords", "options", "error", "message"),
    [
        (KERNELS[:1], COORDS, {}, ShapeError, "kernels has 1 entries and coords 2"),
        ([], [], {}, ShapeError, "expected one of each per axis"),
        ([KERNELS[0]], [None], {}, ValueError, r"coords\[0\] is None"),
        ([FreeCovariance()], [None], {}, ValueError, "without a matrix"),
        (KERNELS, COORDS, {"noise_var": -1.0}, ValueError, "expected variances >= 0"),
    ],
)
def test_bad_input_of_sample_grid(kernels, coords, options, error, message):
    with pytest.raises(error, match=message):
        sample_grid(kernels, coords, **options)


@pytest.mark.parametrize("hidden", [0.0, 0.3, 0.75, 1.0])
def test_random_mask_hides_exactly_its_share(hidden):
    mask = random_mask((20, 30), hidden, random_state=0)
    assert mask.dtype == bool
    assert (~mask).sum() == round(hidden * 600)


def test_random_mask_is_spread_evenly():
    # statistical: 200 rows of 100 cells, each hidden with probability 1/2; standard deviation 5 per row
    rows = (~random_mask((200, 100), 0.5, random_state=0)).sum(1)
    assert np.abs(rows - 50).max() < 5 * 5
    assert 3 < rows.std() < 7


@pytest.mark.parametrize("hidden", [-0.1, 1.5, float("nan")])
def test_random_mask_refuses_what_is_no_share(hidden):
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        random_mask((3, 3), hidden)


def test_one_block_is_a_solid_box():
    hidden = np.argwhere(~block_mask((30, 40, 10), n_blocks=1, size=(5, 7, 3), random_state=1))
    assert len(hidden) == 5 * 7 * 3
    assert tuple(np.ptp(hidden, axis=0) + 1) == (5, 7, 3)


def test_blocks_cover_at_most_their_sum_and_at_least_one():
    mask = block_mask((30, 40), n_blocks=6, size=4, random_state=2)
    assert 16 <= (~mask).sum() <= 6 * 16


def test_blocks_reach_every_cell():
    seen = np.zeros((5, 6), dtype=bool)
    for seed in range(300):
        seen |= ~block_mask((5, 6), n_blocks=1, size=(2, 3), random_state=seed)
    assert seen.all()


def test_none_is_the_whole_axis():
    mask = block_mask((10, 12, 7), n_blocks=2, size=(3, 3, None), random_state=0)
    assert np.array_equal(mask.all(-1), mask.any(-1))
    assert not mask.all()


def test_no_blocks_hide_nothing():
    assert block_mask((3, 4), n_blocks=0, size=2).all()


def test_masks_repeat_with_their_seed():
    assert np.array_equal(random_mask((9, 9), 0.5, random_state=7), random_mask((9, 9), 0.5, random_state=7))
    assert np.array_equal(*(block_mask((9, 9), n_blocks=3, size=2, random_state=7) for _ in range(2)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_blocks": 1, "size": (2, 2, 2)}, ShapeError, "size has 3 sides; expected 2"),
        ({"n_blocks": 1, "size": 5}, ShapeError, r"size \(5, 5\) does not fit into a grid of shape \(4, 6\)"),
        ({"n_blocks": 1, "size": 0}, ShapeError, "does not fit"),
        ({"n_blocks": -1, "size": 2}, ValueError, "expected a number >= 0"),
    ],
)
def test_bad_input_of_block_mask(options, error, message):
    with pytest.raises(error, match=message):
        block_mask((4, 6), **options)
