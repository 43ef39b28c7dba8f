"""Recovery of sparse products against the published experiments and against least squares on the true support.

He and Joseph, IEEE Trans. Signal Process. 73, 2025: stock problem (15^3 coefficients from 8 x 12 x 15 measurements,
three nonzeros per mode) and channels through a reflecting surface. Every row is a mean over fresh seeds; run with
``-s`` to see the tables.
"""

import functools
import resource
import time
import warnings

import numpy as np
import pytest

from structkit import ConvergenceWarning
from structkit.kron import multi_mode_product
from structkit.sbl import KroneckerSBL, SeparableSBL, irs_mimo, nmse
from tests.sbl.dense import error, random, same_support, sparse

pytestmark = pytest.mark.slow
SNRS = (5, 10, 15, 20, 25, 30)
# 200 runs are published. At 5 dB a few supports are ambiguous, their evidence is within a nat of that of the true one,
# and one such run in 200 doubles a mean.
RUNS = {5: 800}


@functools.cache
def stock(snr, rank_one):
    """Errors of fb (noise learned and known), of the published methods, of least squares; noise ratios; supports."""
    rows = []
    for seed in range(RUNS.get(snr, 200)):
        p = sparse(50_000 + seed, snr=snr, rank_one=rank_one)
        learned = KroneckerSBL().fit(p.factors, p.y)
        known = KroneckerSBL(noise_var=p.noise_var).fit(p.factors, p.y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svd = KroneckerSBL("svd", noise_var=p.noise_var, initial_variance=1.0).fit(p.factors, p.y)
        found = [error(m.coef_, p.x) for m in (learned, known, svd)]
        exact = same_support(learned.support_, p.support)
        rows.append((*found, error(p.oracle(), p.x), learned.noise_var_ / p.noise_var, exact))
    table = np.array(rows, float)
    names = ("fb", "fb, noise known", "svd", "least squares")
    means = " ".join(f"{n} {v:.3g}" for n, v in zip(names, table[:, :4].mean(axis=0), strict=True))
    kind = "rank one" if rank_one else "generic"
    print(f"\n{kind} {snr:2d} dB: {means}; exact {table[:, 5].mean():.2f}; worst {table[:, 0].max():.3g}")
    return table


@pytest.mark.parametrize("snr", SNRS)
def test_stock_problem(snr):
    table = stock(snr, True)
    fb, known, svd, oracle = table[:, :4].mean(axis=0)
    share = 0.55 if snr <= 15 else 0.3 if snr == 20 else 0.1
    assert fb <= share * svd
    assert fb <= 1.1 * oracle
    assert fb <= 1.1 * known
    assert np.mean(np.abs(table[:, 4] - 1) < 0.1) >= 0.9
    if snr >= 10:
        assert table[:, 0].max() < 0.5  # a failed search has an error near one


@pytest.mark.parametrize("snr", SNRS)
def test_generic_coefficients(snr):
    table = stock(snr, False)
    assert table[:, 0].mean() <= 1.1 * table[:, 3].mean()
    if snr >= 15:
        assert table[:, 5].mean() >= 0.95


# ---- channels -------------------------------------------------------------------------------------------------------

# SNR (dB): reach of fb and of the separable model, best published mean error (PC-KroSBL).
CHANNELS = {
    4: (0.10, 0.05, 0.312),
    8: (0.05, 0.025, 0.132),
    12: (0.02, 0.01, 0.049),
    16: (0.008, 0.006, 0.0089),
    20: (0.003, 0.0015, 0.0029),
}


@pytest.mark.parametrize("snr", CHANNELS)
def test_channels_through_a_surface(snr):
    errors = []
    for seed in range(50):
        channel = irs_mimo(snr, random_state=60_000 + seed)
        fits = [m.fit(channel.factors, channel.y) for m in (KroneckerSBL(), SeparableSBL())]
        errors.append([channel.nmse(channel.estimate(m)) for m in fits])
    fb, separable = np.mean(errors, axis=0)
    middle = np.median(errors, axis=0)
    reach_fb, reach_separable, published = CHANNELS[snr]
    print(f"\n{snr:2d} dB: fb {fb:.4f}, separable {separable:.4f}, published {published}; medians {middle.round(4)}")
    assert fb <= reach_fb
    assert separable <= reach_separable


# ---- scale ----------------------------------------------------------------------------------------------------------

# rows, columns, nonzeros per mode, SNR (dB), processor seconds
LARGE = {
    "104^3 from 48^3": ((48,) * 3, (104,) * 3, 5, 10.0, 2.0),
    "36^4 from 18^4": ((18,) * 4, (36,) * 4, 3, 10.0, 2.0),
    "2048^3 from 48^3": ((48,) * 3, (2048,) * 3, 5, 10.0, 10.0),
}


@pytest.mark.parametrize("name", LARGE)
def test_scale(name):
    rows, columns, k, snr, limit = LARGE[name]
    KroneckerSBL().fit([np.eye(3)] * 2, np.eye(3))  # compilation is not part of the claim
    for seed in range(20):
        rng = np.random.default_rng(70_000 + seed)
        factors = [random(rng, s) for s in zip(rows, columns, strict=True)]
        support = [np.sort(rng.choice(n, k, replace=False)) for n in columns]
        block = random(rng, (k,) * len(rows))
        chosen = [A[:, s] for A, s in zip(factors, support, strict=True)]
        clean = multi_mode_product(block, chosen)
        noise_var = np.mean(clean**2) / 10 ** (snr / 10)
        y = clean + np.sqrt(noise_var) * random(rng, clean.shape)
        start = time.process_time()
        model = KroneckerSBL().fit(factors, y)
        seconds = time.process_time() - start
        least = nmse(multi_mode_product(y, [np.linalg.pinv(A) for A in chosen]), block)
        assert same_support(model.support_, support)
        assert nmse(model.coef_active_, block) <= 1.1 * least
        assert abs(model.noise_var_ / noise_var - 1) < 0.1
        assert seconds <= limit
        if seed % 10 == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"\n{name}: {seconds:.2f} s, process peak {peak:.0f} MB, error {nmse(model.coef_active_, block):.3g}")
