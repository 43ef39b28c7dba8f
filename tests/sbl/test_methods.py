"""The monotone and the published methods of `KroneckerSBL`, the separable model, and the baselines."""

import numpy as np
import pytest
import scipy.optimize

import structkit
from structkit import ConvergenceWarning, SizeError
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL
from structkit.sbl.published import alternating, expected_noise, nested_svd, relative_change, single_sweep
from structkit.sbl.spectral import Spectral, compress
from structkit.sbl.weighted import SecondMoments
from tests.sbl.dense import DenseSBL, error, random, same_support, sparse

P = sparse(1, (6, 7, 6), (9, 8, 10), 2, 30.0)
RANK_ONE = sparse(2, (7, 8, 9), (12, 12, 12), 3, 15.0, rank_one=True)
COMPLEX = sparse(3, (6, 7), (12, 10), 2, 25.0, is_complex=True, rank_one=True)


def moments_case(is_complex=False, snapshots=2):
    rng = np.random.default_rng(0)
    factors = [random(rng, s, is_complex) for s in ((3, 4), (4, 3), (2, 5))]
    gammas = [rng.uniform(0.2, 2.0, n) for n in (4, 3, 5)]
    y = random(rng, (3, 4, 2, snapshots), is_complex)
    model = Spectral(compress(factors, y), gammas, 0.3)
    mean, variance = DenseSBL(factors, gammas, y, 0.3).posterior()
    return model, gammas, variance + (np.abs(mean) ** 2).mean(axis=-1)


# ---- the steps of the published methods against their definitions ---------------------------------------------------


@pytest.mark.parametrize("is_complex", [False, True])
def test_sums_of_second_moments_equal_sums_over_all_coefficients(is_complex):
    model, _, moments = moments_case(is_complex)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 2.0, n) for n in moments.shape]
    for mode, formula in enumerate(("abc,b,c->a", "abc,a,c->b", "abc,a,b->c")):
        others = [w for k, w in enumerate(weights) if k != mode]
        wanted = np.einsum(formula, moments, *others)
        np.testing.assert_allclose(SecondMoments(model).sums(mode, weights), wanted, rtol=1e-10)


def test_one_sweep_is_the_closed_form_of_every_mode_in_turn():
    model, gammas, moments = moments_case()
    a, b, c = gammas
    a = np.einsum("abc,b,c->a", moments, 1 / b, 1 / c) / 15
    b = np.einsum("abc,a,c->b", moments, 1 / a, 1 / c) / 20
    c = np.einsum("abc,a,b->c", moments, 1 / a, 1 / b) / 12
    found = single_sweep(model, [], [])
    wanted = a[:, None, None] * b[:, None] * c
    np.testing.assert_allclose(found[0][:, None, None] * found[1][:, None] * found[2], wanted, rtol=1e-10)


def test_alternation_minimises_the_maximisation_step():
    model, gammas, moments = moments_case()
    found = alternating(model, [], [])

    def objective(flat):
        a, b, c = np.split(np.exp(flat), [4, 7])
        product = a[:, None, None] * b[:, None] * c
        return (np.log(product) + moments / product).sum()

    best = scipy.optimize.minimize(objective, np.log(np.concatenate(gammas)))
    assert objective(np.log(np.concatenate(found))) == pytest.approx(best.fun, rel=1e-6)


def test_nested_singular_vectors_reproduce_a_product():
    model, _, moments = moments_case()
    found = nested_svd(model, [np.arange(n) for n in moments.shape], [])
    U, s, Vh = np.linalg.svd(moments.reshape(4, -1))
    inner = np.linalg.svd((s[0] * np.abs(Vh[0])).reshape(3, 5))
    wanted = np.multiply.outer(
        np.abs(U[:, 0]), np.multiply.outer(np.abs(inner[0][:, 0]), inner[1][0] * np.abs(inner[2][0]))
    )
    np.testing.assert_allclose(found[0][:, None, None] * found[1][:, None] * found[2], wanted, rtol=1e-10)


def test_expected_noise_is_the_published_formula():
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal(s) for s in ((3, 4), (4, 3), (2, 5))]  # one of them tall
    gammas, y = [rng.uniform(0.2, 2.0, n) for n in (4, 3, 5)], rng.standard_normal((3, 4, 2, 1))
    model = Spectral(compress(factors, y), gammas, 0.3)
    dense = DenseSBL(factors, gammas, y, 0.3)
    mean, variance = dense.posterior()
    gamma = gammas[0][:, None, None] * gammas[1][:, None] * gammas[2]
    residual = dense.y[:, 0] - dense.A @ mean.reshape(-1)
    wanted = (residual @ residual + 0.3 * (1 - variance / gamma).sum()) / 24
    assert expected_noise(model) == pytest.approx(wanted, rel=1e-10)


def test_relative_change_of_products():
    rng = np.random.default_rng(0)
    new, old = ([rng.uniform(size=n) for n in (3, 4)] for _ in range(2))
    wanted = np.linalg.norm(np.outer(*new) - np.outer(*old)) / np.linalg.norm(np.outer(*old))
    assert relative_change(new, old) == pytest.approx(wanted)


# ---- the methods ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::structkit.ConvergenceWarning")
@pytest.mark.parametrize("method", ["mm", "am", "svd", "ksbl"])
def test_every_method_finds_an_easy_block(method):
    model = KroneckerSBL(method).fit(P.factors, P.y)
    assert all(set(t) <= set(s) for s, t in zip(model.support_, P.support, strict=True))
    assert error(model.coef_, P.x) < 0.02
    assert 0.2 < model.noise_var_ / P.noise_var < 5


@pytest.mark.filterwarnings("ignore::structkit.ConvergenceWarning")
def test_blocks_are_found_by_coupling():
    rng = np.random.default_rng(1)
    factors = [random(rng, s) for s in ((16, 20), (16, 20))]
    x = np.zeros((20, 20))
    x[5:9, 11:15] = rng.standard_normal((4, 4))
    clean = factors[0] @ x @ factors[1].T
    noise_var = 0.01 * clean.var()
    y = clean + np.sqrt(noise_var) * rng.standard_normal(clean.shape)
    model = KroneckerSBL("block", coupling=(0.8, 0.5), noise_var=noise_var).fit(factors, y)
    assert error(model.coef_, x) < 0.02
    assert {5, 6, 7, 8} <= set(model.support_[0])


def test_steps_of_mm_never_lower_the_evidence():
    model = KroneckerSBL("mm", prune_tol=0.0, max_iter=60, tol=1e-12)
    with pytest.warns(ConvergenceWarning):
        model.fit(P.factors, P.y)
    trace = np.array([record["log_evidence"] for record in model.history_])
    assert len(trace) == 60
    assert (np.diff(trace) > -1e-9 * np.abs(trace[1:])).all()


def test_torch_agrees_in_the_monotone_method():
    torch = pytest.importorskip("torch")
    for p in (P, COMPLEX):
        wanted = KroneckerSBL("mm", tol=1e-5).fit(p.factors, p.y)
        model = KroneckerSBL("mm", tol=1e-5).fit([torch.tensor(A) for A in p.factors], torch.tensor(p.y))
        np.testing.assert_allclose(model.coef_.numpy(), wanted.coef_, atol=1e-6 * np.abs(wanted.coef_).max())


def test_second_moments_that_do_not_fit_are_refused():
    A = np.random.default_rng(0).standard_normal((3, 5000))
    with pytest.raises(SizeError, match="method 'svd'"):
        KroneckerSBL("svd").fit([A, A, A], np.ones((3, 3, 3)))


# ---- sums of products -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [RANK_ONE, COMPLEX], ids=["real", "complex"])
def test_one_term_beats_the_block(p):
    model = SeparableSBL().fit(p.factors, p.y)
    assert all(set(s) <= set(t) for s, t in zip(model.support_, p.support, strict=True))
    block = error(KroneckerSBL().fit(p.factors, p.y).coef_, p.x)
    assert error(model.coef_, p.x) < block
    assert abs(model.noise_var_ / p.noise_var - 1) < 6 / np.sqrt(p.y.size)
    vectors = model.vectors_[0]
    product = vectors[0]
    for v in vectors[1:]:
        product = np.multiply.outer(product, v)
    np.testing.assert_allclose(product, model.coef_, atol=1e-12)


def test_error_bars_of_a_product_are_about_right():
    model = SeparableSBL().fit(RANK_ONE.factors, RANK_ONE.y)
    mean, std = model.predict(RANK_ONE.factors, return_std=True)
    ratio = np.mean((mean - RANK_ONE.clean) ** 2) / np.mean(std**2)
    assert 0.1 < ratio < 6


def test_the_number_of_terms_is_found():
    rng = np.random.default_rng(5)
    factors = [random(rng, s) for s in ((15, 20), (15, 20), (12, 20))]
    x = np.zeros((20, 20, 20))
    for _ in range(2):
        x[np.ix_(*(rng.choice(20, 2, replace=False) for _ in range(3)))] += 1 + rng.uniform(size=(2, 1, 1))
    clean = np.einsum("abc,ia,jb,kc->ijk", x, *factors)
    y = clean + 0.05 * clean.std() * rng.standard_normal(clean.shape)
    model = SeparableSBL("auto").fit(factors, y)
    assert len(model.vectors_) == 2
    assert error(model.coef_, x) < 1e-3


def test_snapshots_of_a_product_have_weights():
    rng = np.random.default_rng(6)
    factors = [random(rng, s) for s in ((10, 15), (10, 15))]
    a, b, w = np.zeros(15), np.zeros(15), rng.standard_normal(5)
    a[[2, 9]], b[[4, 5]] = [1.0, -2.0], [1.5, 1.0]
    y = np.multiply.outer(np.outer(factors[0] @ a, factors[1] @ b), w) + 0.1 * rng.standard_normal((10, 10, 5))
    model = SeparableSBL().fit(factors, y)
    assert same_support(model.support_, [[2, 9], [4, 5]])
    assert error(model.coef_, np.multiply.outer(np.outer(a, b), w)) < 1e-2


# ---- baselines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["mackay", "em"])
def test_classic_model_is_at_a_stationary_point(update):
    p = sparse(7, (40,), (60,), 4, 40.0)
    model = SBL(update, max_iter=3000, tol=1e-6).fit(p.factors[0], p.y)
    assert set(p.support[0]) <= set(model.support_[0])
    assert error(model.coef_, p.x) < 2 * error(p.oracle(), p.x)
    dense = DenseSBL(p.factors, model.gamma_, p.y, model.noise_var_)
    assert model.evidence_ == pytest.approx(dense.evidence(), rel=1e-9)
    gradient = dense.gradient()[0][0][model.support_[0]] * model.gamma_[0][model.support_[0]]
    assert np.abs(gradient).max() < 0.05


def test_classic_model_takes_factors_and_snapshots():
    p = sparse(8, (6, 7), (8, 9), 2, 20.0, snapshots=6)
    model = SBL().fit(p.factors, p.y)
    assert model.coef_.shape == (72, 6)
    assert error(model.coef_.reshape(8, 9, 6), p.x) < 0.05


def test_expectation_maximisation_with_one_mode_is_the_classic_one():
    p = sparse(9, (20,), (30,), 3, 20.0)
    options = {"noise_var": p.noise_var, "max_iter": 20, "prune_tol": 0.0, "tol": 1e-300}
    with pytest.warns(ConvergenceWarning):
        classic = SBL("em", **options).fit(p.factors[0] / np.linalg.norm(p.factors[0], axis=0), p.y)
    unit = [p.factors[0] / np.linalg.norm(p.factors[0], axis=0)]
    with pytest.warns(ConvergenceWarning):
        model = KroneckerSBL("ksbl", **options).fit(unit, p.y)
    np.testing.assert_allclose(model.coef_, classic.coef_, atol=1e-8)


def test_pursuit_finds_blocks_and_stops_at_the_noise():
    p = sparse(10, (14, 15), (20, 20), 2, 25.0)
    model = KroneckerOMP(noise_var=1.05 * p.noise_var).fit(p.factors, p.y)
    assert same_support(model.support_, p.support)
    np.testing.assert_allclose(model.coef_, p.oracle(), atol=1e-10)
    assert model.converged_
    assert model.n_iter_ <= 4
    capped = KroneckerOMP([1, 2]).fit(p.factors, p.y)
    assert [len(s) for s in capped.support_] == [1, 2]


def test_pursuit_in_slabs_is_the_same(monkeypatch):
    p = sparse(10, (14, 15), (20, 20), 2, 25.0)
    wanted = KroneckerOMP(2).fit(p.factors, p.y)
    monkeypatch.setattr("structkit.sbl.greedy._SLAB", 37)
    np.testing.assert_array_equal(KroneckerOMP(2).fit(p.factors, p.y).coef_, wanted.coef_)


def test_pursuit_agrees_with_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    p = sparse(11, (8, 9), (10, 9), 2, 15.0)
    A = np.kron(*[a / np.linalg.norm(a, axis=0) for a in p.factors])
    theirs = linear.OrthogonalMatchingPursuit(n_nonzero_coefs=6, fit_intercept=False).fit(A, p.y.ravel())
    ours = OMP(6).fit([a / np.linalg.norm(a, axis=0) for a in p.factors], p.y)
    np.testing.assert_allclose(ours.coef_.ravel(), theirs.coef_, atol=1e-10)
    np.testing.assert_allclose(ours.predict(p.factors).shape, p.y.shape)
    assert OMP(tol=0.5).fit(p.factors, p.y).history_[-1]["residual"] <= 0.5


@pytest.mark.parametrize(
    "model", [SeparableSBL(), SeparableSBL(2), KroneckerSBL("svd"), SBL(), KroneckerOMP(2), OMP(5)], ids=repr
)
def test_save_and_load(tmp_path, model):
    model.fit(COMPLEX.factors, COMPLEX.y)
    model.save(tmp_path / "m.npz")
    again = structkit.load(tmp_path / "m.npz")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    if not isinstance(model, SBL):
        np.testing.assert_array_equal(again.predict(COMPLEX.factors), model.predict(COMPLEX.factors))
    assert again.history_ == model.history_
