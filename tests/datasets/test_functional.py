import numpy as np
import pytest
import scipy.linalg

from structkit import ShapeError
from structkit.datasets import sample_functional_tensor
from structkit.gp import Matern

ARRAYS = ("X_train", "y_train", "f_train", "X_test", "y_test", "f_test", "seen")


def dense(**options):
    """Noise-free values on the whole grid of levels, in the order of increasing coordinates."""
    tensor = sample_functional_tensor(20000, unseen=0.0, noise_ratio=0.0, random_state=3, **options)
    levels, index = zip(*(np.unique(x, return_inverse=True) for x in tensor.X_train.T), strict=True)
    grid = np.full([len(t) for t in levels], np.nan)
    grid[index] = tensor.f_train
    assert not np.isnan(grid).any()
    return levels, grid


def rank_of(matrix):
    return np.linalg.matrix_rank(matrix, tol=1e-10 * np.linalg.norm(matrix))


@pytest.mark.parametrize(("truth", "expected"), [("cp", 2), ("tucker", 4)])
def test_ranks_of_the_truths(truth, expected):
    _, grid = dense(truth=truth, n_modes=4, n_levels=(5, 4, 6, 5))
    for k in range(4):
        assert rank_of(np.moveaxis(grid, k, 0).reshape(grid.shape[k], -1)) == 2
    # two modes against two tell a superdiagonal core from a full one
    assert rank_of(grid.reshape(20, 30)) == expected


def test_bump_has_no_low_rank_and_moves():
    (x, y, t), grid = dense(truth="bump", n_levels=(14, 13, 12))
    assert rank_of(np.moveaxis(grid, 2, 0).reshape(12, -1)) > 8
    assert 0 < grid.min() <= grid.max() <= 1
    peaks = [np.unravel_index(grid[..., i].argmax(), (14, 13)) for i in range(len(t))]
    assert np.ptp([x[i] for i, _ in peaks]) > 0.3
    assert np.ptp([y[j] for _, j in peaks]) > 0.3


def test_functions_are_draws_from_the_process():
    # one mode and rank one: the values are one draw of the process; whitened, its squares add up to a chi square with
    # 40 * 50 degrees of freedom, standard deviation sqrt(2 * 2000) = 63
    total = 0.0
    for seed in range(50):
        s = sample_functional_tensor(
            500, n_modes=1, rank=1, n_levels=40, unseen=0.0, lengthscale=0.2, random_state=seed
        )
        t, first = np.unique(s.X_train[:, 0], return_index=True)
        L = np.linalg.cholesky(Matern(1.5, lengthscale=0.2)(t) + 1e-10 * np.eye(len(t)))
        total += 40 / len(t) * (scipy.linalg.solve_triangular(L, s.f_train[first], lower=True) ** 2).sum()
    assert abs(total - 2000) < 5 * 63


@pytest.mark.parametrize("truth", ["cp", "tucker", "bump"])
def test_noise_has_its_share(truth):
    s = sample_functional_tensor(20000, truth=truth, noise_ratio=0.3, n_test=20000, random_state=1)
    assert s.noise_std == pytest.approx(0.3 * s.f_train.std(), rel=1e-12)
    for noise in (s.y_train - s.f_train, s.y_test - s.f_test):
        # statistical: relative standard error of a standard deviation is sqrt(1 / 2n) = 0.005
        assert noise.std() == pytest.approx(s.noise_std, rel=0.025)


def test_outliers_are_a_share_of_the_training_entries():
    s = sample_functional_tensor(20000, outliers=0.05, random_state=1)
    large = np.abs(s.y_train - s.f_train) > 4 * s.noise_std
    # of a normal variable with ten times the deviation, 69 % lie beyond four deviations
    assert large.mean() == pytest.approx(0.05 * 0.689, rel=0.2)
    assert (np.abs(s.y_test - s.f_test) < 6 * s.noise_std).all()


def test_unseen_levels_stay_out_of_training():
    s = sample_functional_tensor(20000, n_levels=(20, 30, 1), unseen=0.2, random_state=0)
    known = [np.unique(x) for x in s.X_train.T]
    assert [len(t) for t in known] == [16, 24, 1]
    seen = np.all([np.isin(x, t) for x, t in zip(s.X_test.T, known, strict=True)], axis=0)
    assert np.array_equal(seen, s.seen)
    # statistical: 0.8 * 0.8 of 2000 entries, standard deviation 0.011
    assert s.seen.mean() == pytest.approx(0.64, abs=0.055)


def test_sizes_and_types():
    s = sample_functional_tensor(7, n_test=3, n_modes=5, rank=1, random_state=0)
    assert (s.X_train.shape, s.X_test.shape, s.y_test.shape) == ((7, 5), (3, 5), (3,))
    assert all(getattr(s, name).dtype == np.float64 for name in ARRAYS[:-1])
    assert s.X_train.min() >= 0
    assert s.X_train.max() <= 1


def test_same_seed_same_tensor():
    first, second, other = (sample_functional_tensor(50, random_state=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS)
    assert not np.array_equal(first.y_train, other.y_train)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"truth": "other"}, ValueError, 'expected "cp", "tucker" or "bump"'),
        ({"truth": "bump", "n_modes": 1}, ValueError, "needs at least 2"),
        ({"unseen": -0.1}, ValueError, "unseen=-0.1; expected a share"),
        ({"unseen": 1.0}, ValueError, "leaves a mode without levels"),
        ({"n_levels": (5, 0, 5)}, ValueError, "leaves a mode without levels"),
        ({"n_levels": (5, 5)}, ShapeError, "n_levels has 2 entries; expected 3"),
        ({"outliers": 1.5}, ValueError, "outliers=1.5; expected a share"),
        ({"noise_ratio": float("nan")}, ValueError, "expected a finite number >= 0"),
        ({"rank": 0}, ValueError, "rank=0; expected a number >= 1"),
        ({"n_test": 0}, ValueError, "n_test=0; expected a number >= 1"),
        ({"n_modes": 0}, ValueError, "n_modes=0; expected a number >= 1"),
        ({"lengthscale": -1.0}, ValueError, "lengthscale"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        sample_functional_tensor(10, **options)


def test_no_entries():
    with pytest.raises(ValueError, match="n=0; expected a number >= 1"):
        sample_functional_tensor(0)
