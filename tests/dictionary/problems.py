"""Samples with sparse codes in a known dictionary."""

import numpy as np

from structkit.kron import multi_mode_product


def orthogonal(n, rng):
    """A uniformly distributed orthogonal matrix."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return Q * np.sign(np.diag(R))


def codes(kind, shape, theta, rng):
    """Codes of several kinds; `theta` is the share of nonzero ones."""
    active = rng.random(shape) < theta
    normal = rng.standard_normal(shape)
    if kind == "signs":
        return active * rng.choice([-1.0, 1.0], size=shape)
    if kind == "laplace":
        return rng.laplace(size=shape)
    if kind == "unequal":
        return active * normal * np.sqrt(np.linspace(1.0, 10.0, shape[-1]))
    if kind == "correlated":  # neighbours are only active together, each in seven of ten cases
        pairs = np.repeat(rng.random((*shape[:-1], shape[-1] // 2)) < theta, 2, axis=-1)
        return pairs * (rng.random(shape) < 0.7) * normal
    return active * normal


def draw(n, theta, noise, count, seed, kind="normal"):
    """Return the true atoms as rows, and samples."""
    rng = np.random.default_rng(seed)
    D = orthogonal(n, rng)
    return D.T, codes(kind, (count, n), theta, rng) @ D.T + noise * rng.standard_normal((count, n))


def draw_kronecker(shape, theta, noise, count, seed):
    """Return the true factors, atoms as columns, and tensors."""
    rng = np.random.default_rng(seed)
    factors = [orthogonal(n, rng) for n in shape]
    X = codes("normal", (count, *shape), theta, rng)
    Y = multi_mode_product(X, factors, modes=range(1, len(shape) + 1))
    return factors, Y + noise * rng.standard_normal(Y.shape)


def draw_complete(n, theta, noise, count, cond, seed, kind="normal"):
    """Return unit atoms as rows, not orthogonal, and samples."""
    rng = np.random.default_rng(seed)
    D = (orthogonal(n, rng) * np.geomspace(1.0, 1.0 / cond, n)) @ orthogonal(n, rng)
    D = D / np.linalg.norm(D, axis=0)
    return D.T, codes(kind, (count, n), theta, rng) @ D.T + noise * rng.standard_normal((count, n))


def drifting(n, theta, noise, size, angle, n_batches, seed):
    """Yield batches with their true atoms, which turn by `angle` (radians, fastest plane) after each."""
    from scipy.linalg import expm

    rng = np.random.default_rng(seed)
    D, A = orthogonal(n, rng), rng.standard_normal((n, n))
    skew = A - A.T
    R = expm(angle * skew / np.linalg.norm(skew, 2))
    for _ in range(n_batches):
        yield D.T, codes("normal", (size, n), theta, rng) @ D.T + noise * rng.standard_normal((size, n))
        D = R @ D
