"""Small tensors with known functions, and models that fit them in a moment."""

import numpy as np

from structkit.tucker import FunctionalCP, FunctionalTucker

MODELS = {"cp": FunctionalCP, "tucker": FunctionalTucker}


def truth(X):
    """A smooth function of three coordinates."""
    return np.sin(3 * X[:, 0]) * np.exp(X[:, 1]) * (1 + X[:, 2]) + X[:, 1]


def draw(n=250, n_levels=9, noise=0.1, seed=0):
    """Coordinates on a coarse grid, with duplicates, and noisy values."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, n_levels, (n, 3)) / (n_levels - 1)
    return X, truth(X) + noise * rng.standard_normal(n)


def quick(form="cp", rank=2, **options):
    """A model that stops early."""
    settings = {"n_starts": 1, "tol": 0.3, "mean": "constant", "random_state": 0}
    return MODELS[form](rank, **(settings | options))
