"""Recovery of known functions from 1e3 to 1e5 entries, with the rank over-specified."""

import numpy as np
import pytest

from tests.paper.tucker_cases import cases
from tests.paper.tucker_protocol import make_model, run

pytestmark = pytest.mark.slow

SIZES = (1_000, 10_000, 100_000)
# error against the noise-free values over the standard deviation of the noise
LIMITS = {"cp": (0.5, 0.22, 0.11), "tucker": (0.5, 0.22, 0.11), "bump": (0.55, 0.32, 0.15)}
RANKS = {"cp": ("cp", [3]), "tucker": ("tucker", [3]), "bump": ("tucker", [6])}
# Measured means over two seeds; the test tells when they come within the limit.
MISSES = {("bump", 1_000): "1.75", ("bump", 10_000): "0.78", ("bump", 100_000): "0.69"}


def scores(truth, n, **options):
    """Means over the seeds of the rows with all new entries."""
    kind, rank = RANKS[truth]
    rows = [run(case, lambda: make_model(kind, rank, random_state=0, **options))[0] for case in cases(f"{truth}-{n}")]
    return {s: float(np.mean([getattr(r, s) for r in rows])) for s in ("f_rmse", "noise", "coverage")}


def limits():
    """Every truth and size with the default kernel."""
    for truth, bounds in LIMITS.items():
        for n, bound in zip(SIZES, bounds, strict=True):
            missed = MISSES.get((truth, n))
            reason = f"the default kernel reaches {missed}"
            marks = [pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)] if missed else []
            yield pytest.param(truth, n, bound, marks=marks)


@pytest.mark.parametrize(("truth", "n", "limit"), list(limits()))
def test_error_against_the_noise_free_values(truth, n, limit):
    assert scores(truth, n)["f_rmse"] <= limit


@pytest.mark.parametrize(("n", "limit"), list(zip(SIZES, LIMITS["cp"], strict=True)))
@pytest.mark.parametrize("truth", ["cp", "tucker"])
def test_error_with_the_kernel_of_the_truth(truth, n, limit):
    found = scores(truth, n, kernel="matern32")
    assert found["f_rmse"] <= limit
    assert abs(found["noise"] - 1) < 0.05


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("truth", ["cp", "tucker"])
def test_noise_and_coverage(truth, n):
    found = scores(truth, n)
    assert abs(found["noise"] - 1) < 0.05
    assert 0.88 <= found["coverage"] <= 0.92


def test_rank_of_a_sum_of_two_products():
    for case in cases("cp-100000", [0, 1]):
        model = make_model("cp", [4], random_state=0)
        model.fit(case.X, case.y)
        assert model.rank_ == 2
