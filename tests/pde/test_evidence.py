"""Evidence of rows on features against dense Gaussian formulas with kernel blocks, and its gradient."""

import math

import numpy as np
import pytest

from structkit.gp import SpectralMixture
from structkit.pde.evidence import Evidence, Hyperparameters, Settings, prior_roots, row_posterior
from structkit.pde.features import axis_features, lengthscale_slope
from structkit.pde.rows import Block, Design, RowTerm

DOMAIN = (-0.5, 1.5)
FREQUENCIES = np.array([0.0, 2.3, 5.0])
K = 11.0


def blocks(exact=False, seed=0):
    """A noisy or exact equation, and noisy values: none in harmony with the others."""
    rng = np.random.default_rng(seed)
    x, xs = np.linspace(*DOMAIN, 30)[:, None], rng.uniform(*DOMAIN, (7, 1))
    terms = [RowTerm(x, ((0, 2),)), RowTerm(x, (), np.exp(x[:, 0]), ("k", "k")), RowTerm(x, ((0, 1),), 3.0, ("b",))]
    scale = np.full(30, 40.0) if exact else rng.uniform(0.5, 2.0, 30)
    source = Block(terms, 300 * rng.standard_normal(30), scale, None if exact else "source", exact)
    return [Block([RowTerm(xs)], rng.standard_normal(7), np.ones(7), "sensors"), source]


def hyperparameters(exact=False):
    noise = {"sensors": math.log(0.3)} | ({} if exact else {"source": math.log(50.0)})
    return Hyperparameters((np.log([0.7, 0.2, 0.05]),), np.array([math.log(0.22)]), noise, {"k": K, "b": -0.7})


def kernel(h):
    ell = math.exp(h.log_ratios[0]) * (DOMAIN[1] - DOMAIN[0])
    return SpectralMixture(np.exp(h.log_weights[0]), FREQUENCIES, np.full(3, ell))


def dense(h, parts):
    """Covariance and data of the blocks, from derivatives of the kernel."""
    k = kernel(h)
    sides = [
        (t, float(1) * np.broadcast_to(t.factor(h.parameters), len(t.points)), i)
        for i, b in enumerate(parts)
        for t in b.terms
    ]
    starts = np.cumsum([0, *(len(b.values) for b in parts)])
    C = np.zeros((starts[-1], starts[-1]))
    for t, c, i in sides:
        for s, d, j in sides:
            block = k(t.points[:, 0], s.points[:, 0], d1=dict(t.orders).get(0, 0), d2=dict(s.orders).get(0, 0))
            C[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] += c[:, None] * np.asarray(block) * d
    sigma = np.concatenate([b.scale * (math.exp(h.log_noise[b.noise]) if b.noise else 1.0) for b in parts])
    return C + np.diag(sigma**2), np.concatenate([b.values for b in parts])


def log_normal(C, y):
    _, log_det = np.linalg.slogdet(C)
    return -0.5 * (y @ np.linalg.solve(C, y) + log_det + len(y) * math.log(2 * math.pi))


def evidence(parts):
    return Evidence(parts, Settings([DOMAIN], [FREQUENCIES], 1e-29))


def test_features_are_a_square_root_of_the_covariance_and_its_derivatives():
    f = axis_features(*DOMAIN, 0.4, FREQUENCIES, weights=[0.7, 0.2, 0.05])
    k = SpectralMixture([0.7, 0.2, 0.05], FREQUENCIES, [0.4] * 3)
    x, z = np.linspace(*DOMAIN, 23), np.linspace(*DOMAIN, 9)
    size = (2 * math.pi * FREQUENCIES.max() + 1 / 0.4) ** 2
    for a in range(3):
        for b in range(3):
            wanted = np.asarray(k(x, z, d1=a, d2=b))
            np.testing.assert_allclose(f(x, a) @ f(z, b).T, wanted, atol=1e-10 * size ** ((a + b) / 2))


def test_slope_of_features_gives_the_derivative_of_the_covariance():
    f = axis_features(*DOMAIN, 0.4, FREQUENCIES)
    x = np.linspace(*DOMAIN, 17)
    half = lengthscale_slope(f)(x) @ f(x).T
    d = x[:, None] - x
    wanted = np.exp(-0.5 * (d / 0.4) ** 2) * (d / 0.4) ** 2 * sum(np.cos(2 * math.pi * q * d) for q in FREQUENCIES)
    np.testing.assert_allclose(half + half.T, wanted, atol=1e-10)


def test_evidence_is_that_of_the_dense_gaussian():
    parts, h = blocks(), hyperparameters()
    assert evidence(parts).value(h) == pytest.approx(log_normal(*dense(h, parts)), rel=1e-10)


def test_evidence_given_exact_rows_is_a_conditional_density():
    parts, h = blocks(exact=True), hyperparameters(exact=True)
    joint = log_normal(*dense(h, parts))
    exact = log_normal(*dense(h, parts[1:]))
    assert evidence(parts).value(h) == pytest.approx(joint - exact, rel=1e-9)


@pytest.mark.parametrize("exact", [False, True])
def test_gradient_is_that_of_finite_differences(exact):
    e, h = evidence(blocks(exact)), hyperparameters(exact)
    value, gradient = e.value_and_gradient(h)
    assert value == pytest.approx(e.value(h), rel=1e-12)
    theta = h.pack()
    step = 1e-5
    for i, g in enumerate(gradient):
        up, down = theta.copy(), theta.copy()
        up[i] += step
        down[i] -= step
        slope = (e.value(h.unpack(up)) - e.value(h.unpack(down))) / (2 * step)
        assert g == pytest.approx(slope, rel=1e-6, abs=1e-6 * np.abs(gradient).max())


def test_gradient_with_rows_known_to_six_digits():
    """Where a difference of two gradients would have no digits left."""
    x, xs = np.linspace(*DOMAIN, 80)[:, None], np.linspace(-0.4, 1.4, 9)[:, None]
    f = (K**2 - 15.0**2) * np.sin(15 * x[:, 0])
    exact = Block(
        [RowTerm(x, ((0, 2),)), RowTerm(x, (), 1.0, ("k", "k"))], f, np.full(80, 1e-6 * np.std(f)), None, True
    )
    noisy = Block([RowTerm(xs)], np.sin(15 * xs[:, 0]) + 0.1 * np.cos(9 * xs[:, 0]), np.full(9, 0.05))
    e = Evidence([exact, noisy], Settings([DOMAIN], [FREQUENCIES], 1e-20))
    h = Hyperparameters((np.zeros(3),), np.array([math.log(0.3)]), {}, {"k": K + 0.1})
    gradient = e.value_and_gradient(h)[1]
    slope = (
        e.value(h.unpack(h.pack() + 1e-4 * np.eye(5)[4])) - e.value(h.unpack(h.pack() - 1e-4 * np.eye(5)[4]))
    ) / 2e-4
    assert gradient[4] == pytest.approx(slope, rel=5 * np.finfo(float).eps / 1e-6**2)  # rows and data are of size 1e6


def test_posterior_is_that_of_the_dense_process():
    parts, h = blocks(), hyperparameters()
    design, posterior = evidence(parts).posterior(h)
    z = np.linspace(*DOMAIN, 11)
    C, y = dense(h, parts)
    asked = Block([RowTerm(z[:, None], ((0, 1),))], np.zeros(11), np.ones(11))
    joint, _ = dense(h, [asked, *parts])
    joint[:11, :11] -= np.eye(11)  # the noise of what is asked for
    gain = np.linalg.solve(C, joint[11:, :11]).T
    rows = design.products(z[:, None], {0: 1}) * prior_roots(h, design)
    size = math.sqrt(joint[:11, :11].max())
    np.testing.assert_allclose(rows @ posterior.mean, gain @ y, atol=1e-9 * size * np.abs(y).max())
    variance = np.diag(joint[:11, :11] - gain @ joint[11:, :11])
    np.testing.assert_allclose(np.sum((rows @ posterior.root) ** 2, axis=1), variance, atol=1e-9 * size**2)


def test_two_axes_with_all_products_are_the_product_covariance():
    rng = np.random.default_rng(3)
    domain = [(0.0, 1.0), (-1.0, 0.5)]
    design = Design.of(domain, [np.array([0.0, 1.5]), np.array([0.0])], [0.4, 0.7], 1e-29)
    points = np.column_stack([rng.uniform(*ends, 12) for ends in domain])
    A = design.products(points, {0: 1, 1: 2})
    first = np.asarray(SpectralMixture([1, 1], [0.0, 1.5], [0.4] * 2)(points[:, 0], points[:, 0], d1=1, d2=1))
    second = np.asarray(SpectralMixture([1], [0.0], [0.7 * 1.5])(points[:, 1], points[:, 1], d1=2, d2=2))
    np.testing.assert_allclose(A @ A.T, first * second, atol=1e-9 * (first * second).max())


def test_dropped_products_are_below_the_cutoff():
    domain = [(0.0, 1.0), (0.0, 1.0)]
    args = domain, [np.array([0.0, 3.0]), np.array([0.0])], [0.3, 0.3]
    few, all_of_them = Design.of(*args, 1e-6), Design.of(*args, 1e-20)
    assert few.size < 0.4 * all_of_them.size
    points = np.random.default_rng(0).uniform(0, 1, (50, 2))
    lost = np.sum(all_of_them.products(points, {}) ** 2, axis=1) - np.sum(few.products(points, {}) ** 2, axis=1)
    assert lost.min() > -1e-12
    assert lost.max() < 1e-6 * all_of_them.size


def test_row_posterior_of_nothing_is_the_prior():
    found = row_posterior(np.zeros((3, 4)), np.zeros(3))
    np.testing.assert_allclose(found.root @ found.root.T, np.eye(4), atol=1e-15)
    assert found.log_evidence == pytest.approx(-1.5 * math.log(2 * math.pi))
