"""Kernels against high-precision arithmetic, scikit-learn, finite differences and numeric Fourier transforms."""

import copy
import json
import math
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from structkit import BackendMismatchError, ShapeError, SizeError
from structkit.gp import (
    Constant,
    Kernel,
    Matern,
    Periodic,
    Product,
    RationalQuadratic,
    SpectralMixture,
    SquaredExponential,
    Sum,
    White,
)

SE = SquaredExponential(lengthscale=0.7, variance=1.3)
M12 = Matern(nu=0.5, lengthscale=0.8, variance=0.6)
M32 = Matern(nu=1.5, lengthscale=0.8, variance=0.6)
M52 = Matern(nu=2.5, lengthscale=0.4, variance=2.0)
PER = Periodic(lengthscale=1.2, period=0.9, variance=0.5)
RQ = RationalQuadratic(lengthscale=0.6, alpha=0.8, variance=1.7)
SMG = SpectralMixture([1.0, 0.4], [0.0, 2.3], [0.9, 0.5])
SMM = SpectralMixture([1.0, 0.4], [0.3, 2.3], [0.9, 0.5], envelope="matern52")

# The market: every generic test runs over all of these.
KERNELS = {
    "squared-exponential": SE,
    "matern-1/2": M12,
    "matern-3/2": M32,
    "matern-5/2": M52,
    "periodic": PER,
    "rational-quadratic": RQ,
    "rational-quadratic-large-alpha": RationalQuadratic(alpha=300.0),
    "mixture-gaussian": SMG,
    "mixture-matern": SMM,
    "one-component-mixture": SpectralMixture([0.7], [1.5], [0.6]),
    "constant": Constant(0.3),
    "sum": SE + M32,
    "product": SE * PER,
    "nested": 0.5 * (SE * PER + RQ) * SMG,
    "rough-product": M52 * PER,
    "partly-fixed": (SMG + RQ).fix("k1__frequencies[0]", "k2__alpha"),
}
IRREGULAR = np.array([-0.35, 0.0, 0.0, 0.11, 0.4, 0.43, 1.7])
UNIFORM = np.linspace(-0.6, 1.2, 7)


@pytest.fixture(params=list(KERNELS), ids=str)
def kernel(request):
    return KERNELS[request.param]


def orders(kernel, top=4):
    return [(a, b) for a in range(top + 1) for b in range(top + 1) if a + b <= min(top, kernel.max_order)]


# ---- exact values in high precision --------------------------------------------------------------------------------


def mp_profile(kernel):
    """The kernel as an mpmath function of the difference, written from its definition."""
    if isinstance(kernel, Sum):
        parts = [mp_profile(k) for k in kernel.kernels]
        return lambda t: sum(p(t) for p in parts)
    if isinstance(kernel, Product):
        parts = [mp_profile(k) for k in kernel.kernels]
        return lambda t: mp.fprod(p(t) for p in parts)
    if isinstance(kernel, SpectralMixture):
        envelope = SquaredExponential if kernel.envelope == "gaussian" else Matern
        nu = {} if kernel.envelope == "gaussian" else {"nu": 2.5}
        parts = [
            (mp.mpf(float(w)), mp.mpf(float(f)), mp_profile(envelope(lengthscale=float(ell), **nu)))
            for w, f, ell in zip(kernel.weights, kernel.frequencies, kernel.lengthscales, strict=True)
        ]
        return lambda t: sum(w * g(t) * mp.cos(2 * mp.pi * f * t) for w, f, g in parts)
    v = mp.mpf(kernel.variance)
    if isinstance(kernel, Constant):
        return lambda t: v
    ell = mp.mpf(kernel.lengthscale)
    if isinstance(kernel, SquaredExponential):
        return lambda t: v * mp.exp(-(t**2) / (2 * ell**2))
    if isinstance(kernel, Periodic):
        return lambda t: v * mp.exp(-2 * mp.sin(mp.pi * t / mp.mpf(kernel.period)) ** 2 / ell**2)
    if isinstance(kernel, RationalQuadratic):
        a = mp.mpf(kernel.alpha)
        return lambda t: v * (1 + t**2 / (2 * a * ell**2)) ** (-a)
    assert isinstance(kernel, Matern)
    rate = mp.sqrt(2 * mp.mpf(kernel.nu)) / ell
    poly = {0.5: lambda r: 1, 1.5: lambda r: 1 + r, 2.5: lambda r: 1 + r + r**2 / 3}[kernel.nu]
    return lambda t: v * poly(rate * abs(t)) * mp.exp(-rate * abs(t))


def mp_derivative(kernel, tau, order):
    """Derivative of the profile by differences in 60 digits; one-sided at zero, where the profile may have a kink."""
    with mp.workdps(60):
        h = mp_profile(kernel)
        t = mp.mpf(float(tau))
        if t == 0:
            # A one-sided Taylor coefficient; for an even function whose derivative exists it is the derivative.
            return (
                float(mp.diff(h, mp.mpf(10) ** -40, order, direction=1, h=mp.mpf(10) ** -12)) if order else float(h(t))
            )
        return float(mp.diff(h, t, order, h=mp.mpf(10) ** -12))


def test_values_and_derivatives_agree_with_high_precision(kernel):
    taus = np.array([0.0, 1e-9, 1e-3, -0.07, 0.31, -0.9, 2.6])
    for m in range(int(min(kernel.max_order, 4)) + 1):
        got = kernel(taus, [0.0], d1=m)[:, 0]
        expected = np.array([mp_derivative(kernel, t, m) for t in taus])
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * scale + (1e-14 if m else 0))


@pytest.mark.parametrize(("nu", "order"), [(0.5, 0), (1.5, 2), (2.5, 4)])
def test_matern_has_exactly_its_derivatives(nu, order):
    k = Matern(nu=nu)
    assert k.max_order == order
    k([0.0, 1.0], d1=order)
    with pytest.raises(ValueError, match=f"up to total order {order}"):
        k([0.0, 1.0], d1=order, d2=1)


def test_matern52_value_of_the_fourth_derivative_at_zero():
    b = math.sqrt(5) / 0.4
    assert Matern(nu=2.5, lengthscale=0.4)([0.0], d1=2, d2=2)[0, 0] == pytest.approx(b**4, rel=1e-15)


def test_smooth_kernels_have_derivatives_beyond_four():
    for k in (SE, PER, RQ, SMG):
        expected = mp_derivative(k, 0.31, 8)
        assert k([0.31], [0.0], d1=4, d2=4)[0, 0] == pytest.approx(expected, rel=1e-8)


# ---- structure -----------------------------------------------------------------------------------------------------


def test_derivative_blocks_follow_the_sign_rule_and_swap_with_the_arguments(kernel):
    other = np.array([0.2, 0.9])
    for a, b in orders(kernel):
        K = kernel(IRREGULAR, other, d1=a, d2=b)
        atol = 1e-15 * np.max(np.abs(K))
        np.testing.assert_allclose(K, kernel(other, IRREGULAR, d1=b, d2=a).T, rtol=1e-14, atol=atol)
        np.testing.assert_array_equal(K, (-1) ** b * kernel(IRREGULAR, other, d1=a + b))


@pytest.mark.parametrize("x", [IRREGULAR, UNIFORM, UNIFORM[::-1], np.zeros(3), np.array([0.4]), np.array([])], ids=len)
def test_one_set_of_coordinates_equals_two(kernel, x):
    for a, b in orders(kernel):
        together, apart = kernel(x, d1=a, d2=b), kernel(x, x.copy(), d1=a, d2=b)
        assert together.shape == (len(x), len(x))
        scale = np.max(np.abs(apart), initial=0)
        np.testing.assert_allclose(together, apart, rtol=0, atol=1e-13 * scale)
        if (a + b) % 2 == 0:
            np.testing.assert_array_equal(together, together.T)


def test_uniform_grids_are_evaluated_like_any_other(kernel):
    x, y = np.linspace(0.0, 3.0, 61), np.linspace(-0.5, 2.0, 51)
    pairwise = np.array([kernel(x[i : i + 1], y)[0] for i in range(61)])
    np.testing.assert_allclose(kernel(x, y), pairwise, rtol=0, atol=1e-12 * pairwise.max())
    almost = x + 1e-6 * (np.arange(61) == 30)
    np.testing.assert_allclose(kernel(almost)[30, 31], kernel([almost[30]], [almost[31]])[0, 0], rtol=1e-14)


def test_blocks_of_rows_cover_large_irregular_sets():
    x = np.sort(np.random.default_rng(0).uniform(0, 10, 700))
    tau = x[:, None] - x[None, :]
    np.testing.assert_allclose(SE(x), 1.3 * np.exp(-(tau**2) / (2 * 0.7**2)), rtol=1e-13, atol=1e-300)
    slope = SE(x, d1=1)
    np.testing.assert_array_equal(slope, -slope.T)
    np.testing.assert_allclose(slope, -tau / 0.7**2 * SE(x), rtol=1e-12, atol=1e-300)


def test_diagonal_is_the_diagonal(kernel):
    for order in range(int(min(kernel.max_order, 4)) // 2 + 1):
        expected = np.diagonal(kernel(IRREGULAR, d1=order, d2=order))
        np.testing.assert_allclose(kernel.diagonal(IRREGULAR, order=order), expected, rtol=1e-14)
    assert kernel.diagonal(np.array([])).shape == (0,)


def test_joint_covariance_of_process_and_derivatives_is_positive_semidefinite(kernel):
    top = int(min(kernel.max_order, 4)) // 2
    x = np.array([-0.5, 0.0, 0.02, 0.6, 1.1])
    scale = [math.sqrt(kernel.diagonal(x[:1], order=a)[0]) or 1.0 for a in range(top + 1)]
    joint = np.block([[kernel(x, d1=a, d2=b) / (scale[a] * scale[b]) for b in range(top + 1)] for a in range(top + 1)])
    np.testing.assert_allclose(joint, joint.T, rtol=0, atol=1e-13)
    assert np.linalg.eigvalsh(joint)[0] > -1e-13 * len(joint)


@pytest.mark.parametrize("reach", [1e2, 1e8, 1e100, 1e300])
def test_far_and_near_coordinates_stay_finite(kernel, reach):
    x = np.array([0.0, 5e-324, 1e-200, reach])
    for a, b in orders(kernel):
        assert np.all(np.isfinite(kernel(x, d1=a, d2=b)))
    for J in kernel.jacobian(x):
        assert np.all(np.isfinite(J))


def test_float32_in_float32_out(kernel):
    for x in (IRREGULAR, UNIFORM):
        K32 = kernel(x.astype(np.float32))
        assert K32.dtype == np.float32
        assert kernel.jacobian(x.astype(np.float32)).dtype == np.float32
        K = kernel(x.astype(np.float32).astype(np.float64))
        np.testing.assert_allclose(K32, K, rtol=0, atol=3e-5 * np.max(K))
    assert kernel(IRREGULAR.astype(np.float32), IRREGULAR).dtype == np.float64


def test_integers_lists_and_strided_coordinates():
    assert SE([0, 1, 2]).dtype == np.float64
    x = np.linspace(0, 1, 10)[::3]
    np.testing.assert_array_equal(SE(x), SE(x.copy()))


# ---- hyperparameters -----------------------------------------------------------------------------------------------


def finite_difference(f, theta, step=1e-3):
    """Derivatives of f along each coordinate, by an eighth-order central difference."""
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    out = []
    for e in np.eye(len(theta)):
        out.append(sum(w * (f(theta + j * step * e) - f(theta - j * step * e)) for j, w in weights.items()) / step)
    return np.array(out)


def test_jacobian_agrees_with_finite_differences(kernel):
    for a, b in [(0, 0), (1, 1), (2, 1), (4, 0)]:
        if a + b > kernel.max_order:
            continue
        J = kernel.jacobian(IRREGULAR, UNIFORM, d1=a, d2=b)
        expected = finite_difference(
            lambda t, a=a, b=b: kernel.with_theta(t)(IRREGULAR, UNIFORM, d1=a, d2=b), kernel.theta
        )
        assert J.shape == (len(kernel.parameter_names), 7, 7)
        scale = np.max(np.abs(kernel(IRREGULAR, UNIFORM, d1=a, d2=b))) + np.max(np.abs(expected))
        np.testing.assert_allclose(J, expected, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("x", [IRREGULAR, UNIFORM, np.zeros(2), np.array([1.0]), np.array([])], ids=len)
def test_contract_gradient_is_the_contracted_jacobian(kernel, x):
    G = np.random.default_rng(1).standard_normal((len(x), len(x)))
    for a, b in [(0, 0), (1, 0), (1, 1), (0, 2)]:
        if a + b > kernel.max_order:
            continue
        J = kernel.jacobian(x, d1=a, d2=b)
        expected = np.einsum("ij,kij->k", G, J)
        got = kernel.contract_gradient(x, G, d1=a, d2=b)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * (np.abs(J).sum() + 1))


def test_contract_gradient_between_two_sets(kernel):
    for x, y in ((IRREGULAR, UNIFORM[:4]), (UNIFORM, UNIFORM[2:5] + 0.05), (UNIFORM, np.array([]))):
        G = np.random.default_rng(1).standard_normal((len(x), len(y)))
        J = kernel.jacobian(x, y)
        got = kernel.contract_gradient(x, G, y)
        np.testing.assert_allclose(got, np.einsum("ij,kij->k", G, J), rtol=0, atol=1e-12 * (np.abs(J).sum() + 1))


def test_contract_gradient_on_many_points():
    x = np.sort(np.random.default_rng(2).uniform(0, 5, 400))
    G = np.random.default_rng(3).standard_normal((400, 400))
    for points in (x, np.linspace(0, 5, 400)):
        expected = np.einsum("ij,kij->k", G, SMG.jacobian(points))
        np.testing.assert_allclose(SMG.contract_gradient(points, G), expected, rtol=1e-9, atol=1e-9)


def test_theta_round_trip(kernel):
    again = kernel.with_theta(kernel.theta)
    np.testing.assert_allclose(again.theta, kernel.theta, rtol=0, atol=1e-15)
    assert again.parameter_names == kernel.parameter_names
    assert kernel.bounds.shape == (len(kernel.theta), 2)
    assert np.all(kernel.bounds[:, 0] <= kernel.theta)
    assert np.all(kernel.theta <= kernel.bounds[:, 1])
    value, gradient = kernel.log_prior()
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(len(kernel.theta)))


def test_with_theta_leaves_the_original_and_the_fixed_alone():
    k = SE.fix("variance")
    new = k.with_theta([0.0])
    assert (new.lengthscale, new.variance) == (1.0, 1.3)
    assert k.lengthscale == 0.7
    with pytest.raises(ShapeError, match=r"theta has shape \(2,\)"):
        k.with_theta([0.0, 0.0])


def test_fix_and_free():
    k = SMG.fix("frequencies[1]", "lengthscales")
    assert k.parameter_names == ("weights[0]", "weights[1]", "frequencies[0]")
    assert k.free("lengthscales").parameter_names[-1] == "lengthscales[1]"
    assert k.free() == SMG
    assert SMG.fix().parameter_names == ()
    assert SMG.fix().jacobian(IRREGULAR).shape == (0, 7, 7)
    assert SMG.fix().contract_gradient(IRREGULAR, np.ones((7, 7))).shape == (0,)
    both = SE + PER
    assert both.fix("k1", "k2__period").parameter_names == ("k2__lengthscale", "k2__variance")
    with pytest.raises(ValueError, match="no hyperparameter 'length'"):
        SE.fix("length")
    with pytest.raises(ValueError, match="it has k1 to k2"):
        both.fix("k3__variance")


def test_bounds_are_in_natural_units_and_checked():
    k = SE.with_bounds(lengthscale=(0.1, 10.0))
    np.testing.assert_allclose(k.bounds[0], np.log([0.1, 10.0]))
    np.testing.assert_allclose((SE * PER).with_bounds(k2__period=(0.5, 2.0)).bounds[3], np.log([0.5, 2.0]))
    assert np.all(np.isinf(SMG.bounds[2:4]))
    for bad in ((1.0, 0.5), (0.0, 1.0)):
        with pytest.raises(ValueError, match="Bounds of lengthscale"):
            SE.with_bounds(lengthscale=bad)


def test_storage_is_exact_and_json_able(kernel):
    k = kernel.with_theta(kernel.theta + 0.1234567890123)
    again = Kernel.from_dict(json.loads(json.dumps(k.to_dict())))
    assert again == k
    np.testing.assert_array_equal(again.theta, k.theta)
    np.testing.assert_array_equal(again.bounds, k.bounds)


def test_repr_can_be_evaluated(kernel):
    assert eval(repr(kernel)) == kernel
    bounded = SMG.with_bounds(frequencies=(-4.0, 4.0)).fix("weights[0]")
    assert eval(repr(bounded)) == bounded
    np.testing.assert_array_equal(eval(repr(bounded)).bounds, bounded.bounds)


def test_comparison():
    assert SquaredExponential(2.0) == SquaredExponential(2)
    assert SquaredExponential(2.0) != SquaredExponential(2.0, 3.0)
    assert SE != M32
    assert SE.fix("variance") != SE
    assert Matern(nu=1.5) != Matern(nu=2.5)
    assert SE != 1.0


def test_params_follow_scikit_learn():
    from sklearn.base import clone

    k = SE + Matern(nu=2.5)
    assert k.get_params()["k2__nu"] == 2.5
    assert k.get_params(deep=False) == {"k1": SE, "k2": Matern(nu=2.5)}
    copied = clone(k)
    assert copied == k
    copied.set_params(k1__lengthscale=9.0, k2=PER)
    assert copied.kernels[0].lengthscale == 9.0
    assert copied.kernels[1] == PER
    assert k.kernels[0].lengthscale == 0.7
    fixed = SquaredExponential().fix("variance").set_params(lengthscale=3.0)
    assert fixed.lengthscale == 3.0
    assert fixed.parameter_names == ("lengthscale",)
    with pytest.raises(ValueError, match="no parameter 'scale'"):
        SquaredExponential().set_params(scale=1.0)
    with pytest.raises(ValueError, match="must be positive"):
        SquaredExponential().set_params(variance=-1.0)


def test_kernels_copy_and_pickle(kernel):
    assert copy.deepcopy(kernel) == kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel


def test_a_matrix_beyond_memory_is_refused():
    with pytest.raises(SizeError, match=r"1 covariance matrices \(10000000, 10000000\) would take"):
        SE(np.zeros(10_000_000))


def test_kernels_are_immutable():
    with pytest.raises(AttributeError, match="immutable"):
        SE.lengthscale = 2.0
    with pytest.raises(ValueError, match="read-only"):
        SMG.weights[0] = 2.0


# ---- algebra -------------------------------------------------------------------------------------------------------


def test_algebra_flattens_and_scales():
    assert len((SE + M32 + PER).kernels) == 3
    assert len((SE * M32 * PER).kernels) == 3
    assert (2.0 * SE).variance == 2.6
    assert (SE * 2.0).variance == 2.6
    np.testing.assert_allclose(
        (3.0 * (SE * PER + SMG))(IRREGULAR), 3.0 * (SE(IRREGULAR) * PER(IRREGULAR) + SMG(IRREGULAR))
    )
    np.testing.assert_allclose((SE + 1.5)(IRREGULAR), SE(IRREGULAR) + 1.5)
    np.testing.assert_allclose((1.5 + SE)(IRREGULAR), SE(IRREGULAR) + 1.5)


@pytest.mark.parametrize("number", [0.0, -1.0, math.inf, math.nan])
def test_algebra_needs_positive_numbers(number):
    with pytest.raises(ValueError, match="positive finite number"):
        number * SE
    with pytest.raises(ValueError, match="positive finite number"):
        SE + number


def test_algebra_with_strangers():
    for bad in ("a", None, np.ones(2), True):
        with pytest.raises(TypeError):
            SE + bad
    with pytest.raises(TypeError, match="combines kernels"):
        Sum(SE, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        Product()


def test_white_kernel_sees_equal_coordinates_only():
    k = White(0.3) + SE
    np.testing.assert_allclose(k(UNIFORM), SE(UNIFORM) + 0.3 * np.eye(7))
    np.testing.assert_array_equal(White(0.3)(UNIFORM, UNIFORM[2:]), 0.3 * np.eye(7)[:, 2:])
    with pytest.raises(ValueError, match="up to total order 0"):
        k(UNIFORM, d1=1)


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_scales_must_be_positive_and_finite(bad):
    for build in (
        lambda: SquaredExponential(lengthscale=bad),
        lambda: Matern(variance=bad),
        lambda: Periodic(period=bad),
        lambda: RationalQuadratic(alpha=bad),
        lambda: SpectralMixture([1.0, bad], [0.0, 1.0], [1.0, 1.0]),
        lambda: SpectralMixture([1.0], [1.0], [bad]),
    ):
        with pytest.raises(ValueError, match="must be positive and finite"):
            build()


def test_other_bad_hyperparameters():
    with pytest.raises(ValueError, match=r"nu must be 0.5, 1.5 or 2.5; got 1.0"):
        Matern(nu=1.0)
    with pytest.raises(ValueError, match="envelope must be one of 'gaussian', 'matern52'; got 'box'"):
        SpectralMixture([1.0], [1.0], [1.0], envelope="box")
    with pytest.raises(ShapeError, match=r"got \(2, 1, 1\)"):
        SpectralMixture([1.0, 2.0], [1.0], [1.0])
    with pytest.raises(ShapeError, match="one-dimensional sequence"):
        SpectralMixture(1.0, [1.0], [1.0])
    with pytest.raises(ShapeError, match="must be a scalar"):
        SquaredExponential(lengthscale=[1.0, 2.0])
    with pytest.raises(TypeError, match="must be numeric"):
        SquaredExponential(lengthscale="long")
    with pytest.raises(ValueError, match="frequencies of SpectralMixture must be finite"):
        SpectralMixture([1.0], [math.inf], [1.0])
    with pytest.raises(ValueError, match="Unknown kernel 'Box'"):
        Kernel.from_dict({"kernel": "Box"})


def test_bad_coordinates_and_orders():
    with pytest.raises(ShapeError, match=r"x1 has shape \(2, 1\)"):
        SE(np.zeros((2, 1)))
    with pytest.raises(ShapeError, match=r"x2 has shape \(\)"):
        SE([0.0], 1.0)
    with pytest.raises(ValueError, match=r"x1\[1\] is nan; coordinates must be finite"):
        SE([0.0, math.nan])
    with pytest.raises(ValueError, match=r"x2\[0\] is inf"):
        SE([0.0], [math.inf])
    with pytest.raises(TypeError, match="must be real"):
        SE(np.zeros(2, dtype=complex))
    for bad in (-1, 0.5, True):
        with pytest.raises(ValueError, match="d1 must be an integer >= 0"):
            SE([0.0], d1=bad)
    with pytest.raises(ShapeError, match=r"G has shape \(2, 3\); expected \(3, 3\)"):
        SE.contract_gradient(np.zeros(3), np.ones((2, 3)))


# ---- spectra -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "squared-exponential",
        "matern-1/2",
        "matern-3/2",
        "matern-5/2",
        "rational-quadratic",
        "rational-quadratic-large-alpha",
        "mixture-gaussian",
        "mixture-matern",
        "sum",
        "product",
        "rough-product",
    ],
)
def test_spectral_density_is_the_fourier_transform(name):
    k = KERNELS[name]

    def h(t):
        return k([t], [0.0])[0, 0]

    for f in (0.0, 0.2, 1.9):
        if f == 0.0:
            cut = [integrate.quad(h, lo, hi, epsabs=1e-12, limit=400)[0] for lo, hi in ((0, 3), (3, 30), (30, np.inf))]
            expected = 2 * sum(cut)
        else:
            expected = 2 * integrate.quad(h, 0, np.inf, weight="cos", wvar=2 * np.pi * f, epsabs=1e-10, limit=400)[0]
        assert k.spectral_density(np.array([f]))[0] == pytest.approx(expected, rel=2e-6, abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 20), st.sampled_from([0.5, 1.5, 2.5, np.inf]), st.floats(0.1, 9))
def test_spectral_density_integrates_to_the_variance(ell, nu, variance):
    k = SquaredExponential(ell, variance) if np.isinf(nu) else Matern(nu, ell, variance)
    # f = sinh(t) / ell turns heavy tails into exponential ones, for which the trapezoidal rule is spectrally accurate.
    t = np.linspace(-25, 25, 4001)
    integral = np.sum(k.spectral_density(np.sinh(t) / ell) * np.cosh(t) / ell) * (t[1] - t[0])
    assert integral == pytest.approx(variance, rel=1e-9)


def test_line_spectra_are_no_densities():
    for k in (PER, Constant(), White(), PER + Constant()):
        with pytest.raises(ValueError, match="density"):
            k.spectral_density(np.zeros(1))


def test_spectra_of_products_are_closed_where_they_can_be():
    f = np.linspace(-6, 6, 5)
    twice = SMG * SE
    by_hand = sum(
        SpectralMixture([w * SE.variance], [c], [1 / math.hypot(1 / ell, 1 / SE.lengthscale)]).spectral_density(f)
        for w, c, ell in zip(SMG.weights, SMG.frequencies, SMG.lengthscales, strict=True)
    )
    np.testing.assert_allclose(twice.spectral_density(f), by_hand, rtol=1e-13)
    with pytest.raises(ValueError, match="no closed form"):
        (M32 * SE).spectral_density(f)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.6, 3.0, 50.0, 51.0, 1e4, 1e8])
def test_rational_quadratic_density_at_all_scales(alpha):
    k = RationalQuadratic(lengthscale=0.3, alpha=alpha)
    f = np.array([0.0, 1e-12, 1e-4, 0.5, 3.0])
    got = k.spectral_density(f)
    with mp.workdps(40):
        scale, order = mp.mpf(0.3) * mp.sqrt(2 * mp.mpf(alpha)), mp.mpf(alpha) - mp.mpf(0.5)
        for value, freq in zip(got, f, strict=True):
            w = 2 * mp.pi * scale * mp.mpf(float(freq))
            if alpha > 1e3 and freq:
                continue  # the tail of the Gaussian limit is tested below
            if freq == 0:
                top = mp.inf if order <= 0 else mp.sqrt(mp.pi) * scale * mp.gamma(order) / mp.gamma(alpha)
            else:
                top = 2 * mp.sqrt(mp.pi) * scale / mp.gamma(alpha) * (w / 2) ** order * mp.besselk(order, w)
            assert value == pytest.approx(float(top), rel=1e-9)
    if alpha > 1e3:
        limit = SquaredExponential(0.3).spectral_density(f[:4])
        np.testing.assert_allclose(got[:4], limit, rtol=30 / alpha + 1e-12)


# ---- starting values -----------------------------------------------------------------------------------------------


def test_initialize_scales_with_the_coordinates(kernel):
    x = np.linspace(100.0, 300.0, 51)
    k = kernel.initialize(x, variance=4.0)
    assert type(k) is type(kernel)
    assert k.parameter_names == kernel.parameter_names
    assert np.all(k.bounds[:, 0] <= k.theta)
    assert np.all(k.theta <= k.bounds[:, 1])
    scaled = kernel.initialize(10 * x, variance=4.0)
    if not any("fix" in repr(v) for v in (kernel,)):
        np.testing.assert_allclose(scaled(10 * x), k(x), rtol=1e-9, atol=1e-12)
        if not isinstance(kernel, Product):
            np.testing.assert_allclose(k.diagonal(x[:1]), 4.0)


def test_initialize_keeps_fixed_hyperparameters_and_needs_two_points():
    assert SE.fix("lengthscale").initialize([0.0, 5.0]).lengthscale == 0.7
    with pytest.raises(ValueError, match="two different coordinates; got 1"):
        SE.initialize([2.0, 2.0])


# ---- against scikit-learn ------------------------------------------------------------------------------------------


def test_values_agree_with_scikit_learn():
    from sklearn.gaussian_process import kernels as sk

    pairs = [
        (SE, 1.3 * sk.RBF(0.7)),
        (M12, 0.6 * sk.Matern(0.8, nu=0.5)),
        (M32, 0.6 * sk.Matern(0.8, nu=1.5)),
        (M52, 2.0 * sk.Matern(0.4, nu=2.5)),
        (PER, 0.5 * sk.ExpSineSquared(1.2, 0.9)),
        (RQ, 1.7 * sk.RationalQuadratic(0.6, 0.8)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours(IRREGULAR, UNIFORM), theirs(IRREGULAR[:, None], UNIFORM[:, None]), rtol=1e-12)


# ---- torch ---------------------------------------------------------------------------------------------------------


def test_torch_equals_numpy(kernel):
    torch = pytest.importorskip("torch")
    x, y = torch.from_numpy(IRREGULAR), torch.from_numpy(UNIFORM)
    for a, b in orders(kernel):
        np.testing.assert_allclose(
            kernel(x, y, d1=a, d2=b).numpy(), kernel(IRREGULAR, UNIFORM, d1=a, d2=b), rtol=1e-11, atol=1e-12
        )
    np.testing.assert_allclose(
        kernel.jacobian(x, y).numpy(), kernel.jacobian(IRREGULAR, UNIFORM), rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(kernel.diagonal(x).numpy(), kernel.diagonal(IRREGULAR), rtol=1e-14)
    G = np.random.default_rng(4).standard_normal((7, 7))
    got = kernel.contract_gradient(x, torch.from_numpy(G))
    np.testing.assert_allclose(got.numpy(), kernel.contract_gradient(IRREGULAR, G), rtol=1e-10, atol=1e-11)
    assert kernel(x.float()).dtype == torch.float32


def test_torch_gradients_in_coordinates_are_the_derivative_blocks(kernel):
    torch = pytest.importorskip("torch")
    if kernel.max_order < 2 or isinstance(kernel, Constant):
        pytest.skip("no derivative, or only zeros without a graph")
    x = torch.from_numpy(IRREGULAR).requires_grad_()
    y = torch.from_numpy(IRREGULAR.copy()).requires_grad_()
    K = kernel(x, y)
    slope = torch.stack([torch.autograd.grad(K[:, j].sum(), x, create_graph=True)[0] for j in range(7)], dim=1)
    np.testing.assert_allclose(slope.detach().numpy(), kernel(IRREGULAR, d1=1), rtol=1e-9, atol=1e-11)
    curved = torch.stack([torch.autograd.grad(slope[i].sum(), y, retain_graph=True)[0] for i in range(7)])
    np.testing.assert_allclose(curved.numpy(), kernel(IRREGULAR, d1=1, d2=1), rtol=1e-9, atol=1e-9)


def test_torch_gradients_in_hyperparameters_are_the_jacobian(kernel):
    torch = pytest.importorskip("torch")
    theta = torch.from_numpy(kernel.theta).requires_grad_()
    G = torch.from_numpy(np.random.default_rng(5).standard_normal((7, 7)))
    x = torch.from_numpy(IRREGULAR)
    for a in (0, 1):
        if 2 * a > kernel.max_order:
            continue
        (got,) = torch.autograd.grad((G * kernel.with_theta(theta)(x, d1=a, d2=a)).sum(), theta)
        expected = kernel.contract_gradient(x, G, d1=a, d2=a)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-9, atol=1e-10)


def test_torch_hyperparameters_reach_the_constructor():
    torch = pytest.importorskip("torch")
    ell = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    k = SquaredExponential(lengthscale=ell, variance=1.3)
    assert k == SE
    k(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)).sum().backward()
    assert ell.grad is not None
    with pytest.raises(BackendMismatchError, match="torch tensors"):
        k(np.zeros(2))
    with pytest.raises(BackendMismatchError, match="numpy and torch"):
        SE(torch.zeros(2), np.zeros(2))


def test_torch_second_order_gradients_pass_gradgradcheck():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.0, 0.3, 1.1], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.1, 0.9], dtype=torch.float64, requires_grad=True)
    for k in (M52, SMM, RQ):
        assert torch.autograd.gradcheck(k, (x, y))
        assert torch.autograd.gradgradcheck(k, (x, y))


# ---- properties ----------------------------------------------------------------------------------------------------

coordinates = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(coordinates, st.sampled_from(sorted(KERNELS)), st.floats(-100, 100, width=32))
def test_shift_invariance_and_positive_definiteness(points, name, shift):
    k = KERNELS[name]
    x = np.array(points)
    K = k(x)
    assert np.linalg.eigvalsh(K)[0] >= -1e-13 * len(x) * K.max()
    np.testing.assert_allclose(k(x + shift), K, rtol=0, atol=1e-9 * K.max())
    assert np.all(np.abs(K) <= k.diagonal(x[:1])[0] * (1 + 1e-14))
