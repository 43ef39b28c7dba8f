"""`KroneckerSBL`: recovery, the estimator's contract, invariances, files."""

import numpy as np
import pytest

import structkit
from structkit import ConvergenceWarning, NotFittedError, SizeError
from structkit.sbl import KroneckerSBL, sbl_evidence
from tests.sbl.dense import DenseSBL, error, random, same_support, sparse

P = sparse(1)
COMPLEX = sparse(2, rows=(6, 7), columns=(12, 10), k=2, is_complex=True)
SNAPSHOTS = sparse(3, rows=(6, 5, 6), columns=(9, 8, 10), k=2, snr=5.0, snapshots=4)


@pytest.fixture(scope="module")
def fitted():
    return KroneckerSBL().fit(P.factors, P.y)


# ---- recovery -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [P, COMPLEX, SNAPSHOTS], ids=["real", "complex", "snapshots"])
def test_support_coefficients_and_noise_are_found(p):
    model = KroneckerSBL().fit(p.factors, p.y)
    assert same_support(model.support_, p.support)
    assert error(model.coef_, p.x) <= 1.2 * error(p.oracle(), p.x)
    assert abs(model.noise_var_ / p.noise_var - 1) < 5 / np.sqrt(p.y.size)
    assert model.converged_
    assert model.coef_.dtype == p.x.dtype


@pytest.mark.parametrize(
    ("rows", "columns"), [((30,), (60,)), ((4, 5, 4, 5), (6, 7, 6, 7)), ((1, 8, 9), (1, 12, 12)), ((20, 9), (6, 15))]
)
def test_any_number_of_modes(rows, columns):
    k = 2 if min(columns) > 1 else 1
    p = sparse(11, rows, columns, k, 25.0)
    model = KroneckerSBL().fit(p.factors, p.y)
    assert same_support(model.support_, p.support)
    assert error(model.coef_, p.x) <= 1.5 * error(p.oracle(), p.x)


def test_posterior_and_evidence_are_those_of_the_dense_model(fitted):
    for p in (sparse(4, (4, 5), (6, 7), 2, 15.0), sparse(5, (4, 3), (6, 7), 2, 15.0, is_complex=True, snapshots=3)):
        model = KroneckerSBL().fit(p.factors, p.y)
        dense = DenseSBL(p.factors, model.gamma_, p.y, model.noise_var_)
        tol = 1e-12 * dense.condition
        assert model.evidence_ == pytest.approx(dense.evidence(), rel=tol)
        mean, variance = dense.posterior()
        np.testing.assert_allclose(model.coef_.reshape(mean.shape), mean, atol=tol * np.abs(mean).max())
        np.testing.assert_allclose(model.variance_active_, variance[np.ix_(*model.support_)], rtol=tol)
        rng = np.random.default_rng(0)
        new = [random(rng, (2, A.shape[1]), np.iscomplexobj(p.x)) for A in p.factors]
        predicted, std = model.predict(new, return_std=True)
        A = np.kron(*new)
        wanted = np.diag(A @ dense.covariance() @ A.conj().T).real.reshape(2, 2)
        np.testing.assert_allclose(predicted.reshape(4, -1), A @ mean.reshape(A.shape[1], -1), atol=1e-9)
        np.testing.assert_allclose(std**2, wanted, rtol=1e-6)
        noisy = model.predict(new, return_std=True, include_noise=True)[1]
        np.testing.assert_allclose(noisy**2, std**2 + model.noise_var_)


def test_hyperparameters_are_a_stationary_point(fitted):
    """At the end every derivative of the evidence on the support vanishes, beside what one column alone would move."""
    grad = sbl_evidence(P.factors, fitted.gamma_, P.y, fitted.noise_var_, grad=True).grad
    for g, gamma in zip(grad.gammas, fitted.gamma_, strict=True):
        assert np.abs(g * gamma).max() < 1e-2
    assert abs(grad.noise_var * fitted.noise_var_) < 1e-2


def test_known_noise_is_kept():
    model = KroneckerSBL(noise_var=P.noise_var).fit(P.factors, P.y)
    assert model.noise_var_ == pytest.approx(P.noise_var, rel=1e-12)
    assert same_support(model.support_, P.support)


def test_pure_noise_has_no_support():
    y = np.random.default_rng(0).standard_normal((8, 12, 15))
    model = KroneckerSBL().fit(P.factors, y)
    assert [len(s) for s in model.support_] == [0, 0, 0]
    assert model.coef_active_.shape == (0, 0, 0)
    assert not model.coef_.any()
    assert model.noise_var_ == pytest.approx(np.mean(y**2))
    assert model.predict(P.factors).shape == y.shape
    assert len(model.to_coo().values) == 0


def test_no_noise_at_all():
    model = KroneckerSBL().fit(P.factors, P.clean)
    assert same_support(model.support_, P.support)
    assert error(model.coef_, P.x) < 1e-20


def test_a_support_that_is_no_product_is_covered_by_a_box_and_said_to_be():
    rng = np.random.default_rng(0)
    x = np.zeros((20, 20))
    x[[2, 7, 11, 16], [5, 1, 19, 8]] = [3.0, -2.0, 2.5, 4.0]
    factors = [rng.standard_normal((15, 20)), rng.standard_normal((14, 20))]
    y = factors[0] @ x @ factors[1].T + 0.1 * rng.standard_normal((15, 14))
    model = KroneckerSBL().fit(factors, y)
    assert same_support(model.support_, [[2, 7, 11, 16], [1, 5, 8, 19]])
    assert error(model.coef_, x) < 1e-3
    assert model.block_fill_ < 0.5


# ---- invariance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1e-6, 1e-3, 1e6])
def test_units_of_the_measurements_do_not_matter(fitted, c):
    model = KroneckerSBL().fit(P.factors, c * P.y)
    assert same_support(model.support_, fitted.support_)
    np.testing.assert_allclose(model.coef_active_, c * fitted.coef_active_, rtol=1e-6)
    assert model.noise_var_ == pytest.approx(c**2 * fitted.noise_var_, rel=1e-6)


def test_norms_and_order_of_columns_do_not_matter(fitted):
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for n in P.x.shape]
    norms = [10 ** rng.uniform(-4, 4, n) for n in P.x.shape]
    model = KroneckerSBL().fit([(A * c)[:, o] for A, c, o in zip(P.factors, norms, orders, strict=True)], P.y)
    scale = norms[0][:, None, None] * norms[1][:, None] * norms[2]
    np.testing.assert_allclose(
        model.coef_, (fitted.coef_ / scale)[np.ix_(*orders)], rtol=1e-5, atol=1e-7 * np.abs(fitted.coef_ / scale).max()
    )


def test_order_of_modes_does_not_matter(fitted):
    model = KroneckerSBL().fit([P.factors[i] for i in (2, 0, 1)], P.y.transpose(2, 0, 1))
    np.testing.assert_allclose(model.coef_, fitted.coef_.transpose(2, 0, 1), rtol=1e-4, atol=1e-5)


def test_flat_measurements_and_snapshots(fitted):
    np.testing.assert_array_equal(KroneckerSBL().fit(P.factors, P.y.ravel()).coef_, fitted.coef_)
    flat = SNAPSHOTS.y.reshape(-1, 4)
    model = KroneckerSBL().fit(SNAPSHOTS.factors, flat, n_snapshots=4)
    assert model.coef_active_.shape == (2, 2, 2, 4)
    assert model.variance_active_.shape == (2, 2, 2)


def test_single_precision_in_single_precision_out(fitted):
    model = KroneckerSBL().fit([A.astype(np.float32) for A in P.factors], P.y.astype(np.float32))
    assert model.coef_active_.dtype == model.variance_active_.dtype == np.float32
    np.testing.assert_allclose(model.coef_active_, fitted.coef_active_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("p", [P, COMPLEX], ids=["real", "complex"])
def test_torch_in_torch_out(p):
    torch = pytest.importorskip("torch")
    wanted = KroneckerSBL().fit(p.factors, p.y)
    model = KroneckerSBL().fit([torch.tensor(A) for A in p.factors], torch.tensor(p.y))
    assert model.coef_active_.dtype == torch.tensor(p.y).dtype
    assert not model.variance_active_.is_complex()
    np.testing.assert_allclose(model.coef_.numpy(), wanted.coef_, rtol=1e-6, atol=1e-9)
    assert model.evidence_ == pytest.approx(wanted.evidence_, rel=1e-9)
    prediction = model.predict([torch.tensor(A) for A in p.factors])
    np.testing.assert_allclose(prediction.numpy(), wanted.predict(p.factors), rtol=1e-6, atol=1e-6)


# ---- the estimator --------------------------------------------------------------------------------------------------


def test_inputs_stay_as_they_are():
    factors, y = [A.copy() for A in P.factors], P.y.copy()
    for a in (*factors, y):
        a.flags.writeable = False
    KroneckerSBL().fit(factors, y)
    np.testing.assert_array_equal(y, P.y)


def test_parameters_clone_and_representation():
    base = pytest.importorskip("sklearn.base")
    model = KroneckerSBL(noise_var=0.5, penalty=3.0)
    assert repr(base.clone(model)) == repr(model) == "KroneckerSBL(noise_var=0.5, penalty=3.0)"
    assert model.set_params(n_starts=1).get_params()["n_starts"] == 1


def test_documented_attributes_are_set(fitted):
    names = [line.split(" : ")[0].strip() for line in KroneckerSBL.__doc__.splitlines() if line.startswith("    ")]
    documented = [n for n in names if n.endswith("_") and n.isidentifier()]
    assert len(documented) == 11
    assert [n for n in documented if not hasattr(fitted, n)] == []


def test_coordinates_and_dense_coefficients_agree(fitted):
    entries = fitted.to_coo()
    np.testing.assert_array_equal(fitted.coef_[tuple(entries.index.T)], entries.values)
    assert entries.shape == P.x.shape
    assert fitted.score(P.factors, P.y) > 0.98


def test_dense_coefficients_that_do_not_fit_are_refused():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 4000))
    x = np.multiply.outer(np.multiply.outer(A[:, 7], A[:, 9]), A[:, 11])
    model = KroneckerSBL(n_starts=1).fit([A] * 3, x)
    with pytest.raises(SizeError, match="64,000,000,000 coefficients"):
        _ = model.coef_
    assert len(model.to_coo().index) >= 1


def test_not_fitted():
    for use in (lambda m: m.coef_, lambda m: m.to_coo(), lambda m: m.predict(P.factors)):
        with pytest.raises(NotFittedError):
            use(KroneckerSBL())


def test_history_callback_and_limit(fitted):
    assert {"stage", "log_evidence", "noise_var", "n_active"} <= set(fitted.history_[0])
    seen = []
    model = KroneckerSBL(callback=lambda record: bool(seen.append(record)) or len(seen) == 2).fit(P.factors, P.y)
    assert len(seen) == len(model.history_) == 2
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        KroneckerSBL(max_iter=2, n_starts=1).fit(P.factors, P.y)


def test_the_bar_of_progress_appears_on_demand(capfd):
    KroneckerSBL(verbose=1, n_starts=1).fit(COMPLEX.factors, COMPLEX.y)
    assert "search" in capfd.readouterr().err


@pytest.mark.parametrize("p", [COMPLEX, SNAPSHOTS], ids=["complex", "snapshots"])
def test_save_and_load(tmp_path, p):
    model = KroneckerSBL(penalty=5.0).fit(p.factors, p.y)
    model.save(tmp_path / "m.npz")
    for again in (structkit.load(tmp_path / "m.npz"), KroneckerSBL.load(tmp_path / "m.npz")):
        assert repr(again) == repr(model)
        np.testing.assert_array_equal(again.coef_, model.coef_)
        for a, b in zip(
            again.predict(p.factors, return_std=True), model.predict(p.factors, return_std=True), strict=True
        ):
            np.testing.assert_array_equal(a, b)
        assert (again.evidence_, again.history_, again.n_iter_) == (model.evidence_, model.history_, model.n_iter_)
