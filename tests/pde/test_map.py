"""The published objective: against automatic differentiation, finite differences and its own published start."""

import numpy as np
import pytest

from structkit import ConvergenceWarning, NotPositiveDefiniteError
from structkit.pde import PDE, D, Dirichlet, GPSolver, Initial, MapSettings, Neumann, Nonlinearity, Periodic
from structkit.pde.map_objective import MapObjective, MapState

LAPLACE = D(0, 2) + D(1, 2)


def _wave(x):
    return np.sin(7 * x)


def _field(x, y):
    return np.sin(5 * x) * np.cos(3 * y)


def _cubic(x):
    return -49 * _wave(x) + _wave(x) ** 3 - _wave(x)


PROBLEMS = {
    "poisson_1d": (PDE(D(0, 2), domain=[(0, 2)], source=lambda x: -49 * _wave(x), conditions=Dirichlet(_wave)), (9,)),
    "allen_cahn_1d": (
        PDE(
            D(0, 2),
            domain=[(0, 2)],
            source=_cubic,
            conditions=Dirichlet(_wave),
            nonlinearity=(lambda u: u**3 - u, lambda u: 3 * u**2 - 1),
        ),
        (8,),
    ),
    "variable_1d": (
        PDE(
            (lambda x: 1 + x) * D(0, 2) - 2.0 * D(0, 1),
            domain=[(0, 1)],
            source=3.0,
            conditions=[Dirichlet(1.0, side="lower"), Neumann(2.0, side="upper")],
        ),
        (7,),
    ),
    "poisson_2d": (PDE(LAPLACE, domain=[(0, 1), (0, 2)], source=_field, conditions=Dirichlet(_field)), (6, 5)),
    "advection": (
        PDE(3.0 * D(0, 1) + D(1, 1), domain=[(0, 1)] * 2, conditions=[Dirichlet(_field, axis=0), Initial(_field)]),
        (5, 6),
    ),
    "mixed_2d": (
        PDE(LAPLACE + 0.5 * D(0, 1) * D(1, 1), domain=[(0, 1)] * 2, source=1.0, conditions=Dirichlet(_field)),
        (5, 4),
    ),
    "burgers": (
        PDE(
            D(1, 1) - 0.1 * D(0, 2),
            domain=[(0, 1), (0, 1)],
            conditions=[Dirichlet(_field, axis=0), Initial(_field)],
            nonlinearity=Nonlinearity(lambda u, u_x: u * u_x, [D(0, 0), D(0, 1)]),
        ),
        (6, 4),
    ),
}


def _objective(name, **options):
    problem, shape = PROBLEMS[name]
    grid = [np.linspace(a, b, n) for (a, b), n in zip(problem.domain, shape, strict=True)]
    return MapObjective(problem, grid, problem.source_on(grid), **options)


def _state(shape, q=3, seed=0):
    rng = np.random.default_rng(seed)
    kernels = [np.stack([rng.normal(size=q), rng.normal(size=q), 2 * rng.normal(size=q)]) for _ in shape]
    return MapState(rng.normal(size=shape), 0.3 * rng.normal(size=2), kernels)


@pytest.mark.parametrize(
    ("name", "envelope", "relative"),
    [(name, "matern52", False) for name in PROBLEMS]
    + [("variable_1d", "gaussian", True), ("mixed_2d", "gaussian", True)],
)
def test_gradient_against_finite_differences(name, envelope, relative):
    objective = _objective(name, envelope=envelope, relative=relative, jitter=0.02, boundary_weight=3.0)
    state = _state(PROBLEMS[name][1], q=2)
    _, gradient = objective(state)
    for array, slope in zip(state.arrays, gradient.arrays, strict=True):
        numbers = slope.copy()
        for i in list(np.ndindex(array.shape))[:7]:
            middle, h, found = array[i], 1e-3, []
            for k in (1, 2):  # central differences of order four
                array[i] = middle + k * h
                up, _ = objective(state)
                array[i] = middle - k * h
                found.append((up - objective(state)[0]) / (2 * k * h))
            array[i] = middle
            numbers[i] = (4 * found[0] - found[1]) / 3
        np.testing.assert_allclose(slope, numbers, rtol=1e-5, atol=1e-6 * max(np.abs(gradient.arrays[0]).max(), 1))


def _torch_value(problem, grid, state, envelope, weight, jitter):
    """The objective as it is published, pair by pair, derivatives of kernels by automatic differentiation."""
    import torch

    def profile(tau, parameters):
        log_w, log_s, f = parameters[:, :, None]
        if envelope == "gaussian":
            g = torch.exp(-(tau**2) * torch.exp(log_s))
        else:
            r = np.sqrt(5.0) * torch.exp(log_s) * torch.abs(tau)
            g = (1 + r + r**2 / 3) * torch.exp(-r)
        return (torch.exp(log_w) * g * torch.cos(2 * np.pi * f * tau)).sum(0)

    def covariances(x, parameters):
        x = torch.tensor(x)
        # torch's modulus has slope 0 at 0, where that of even derivatives would be wrong; a tiny offset avoids it.
        tau = (x[:, None] - x).reshape(-1) + 1e-10
        tau.requires_grad_()
        found = [profile(tau, parameters)]
        for _ in range(2):
            found.append(torch.autograd.grad(found[-1].sum(), tau, create_graph=True)[0])
        return [k.reshape(len(x), len(x)) for k in found]

    U = torch.tensor(state.values, requires_grad=True)
    precisions = torch.tensor(state.log_precisions, requires_grad=True)
    (p1, p2) = (torch.tensor(p, requires_grad=True) for p in state.kernels)
    n1, n2 = U.shape
    K1, _, K1xx = covariances(grid[0], p1)
    K2, _, K2yy = covariances(grid[1], p2)
    K1, K2 = K1 + jitter * torch.eye(n1), K2 + jitter * torch.eye(n2)
    left, right = torch.linalg.solve(K1, U), torch.linalg.solve(K2, U.T).T
    prior = -0.5 * n2 * torch.logdet(K1) - 0.5 * n1 * torch.logdet(K2) - 0.5 * (left * right).sum()
    exact = torch.tensor(_field(grid[0][:, None], grid[1]))
    gap = torch.cat([(U - exact)[i] for i in (0, -1)] + [(U - exact)[:, i] for i in (0, -1)])
    residual = K1xx @ left + (K2yy @ right.T).T - torch.tensor(problem.source_on(grid))
    boundary = 0.5 * len(gap) * precisions[0] - 0.5 * torch.exp(precisions[0]) * (gap**2).sum()
    equation = 0.5 * U.numel() * precisions[1] - 0.5 * torch.exp(precisions[1]) * (residual**2).sum()
    value = -(prior + weight * boundary + equation)
    value.backward()
    return value.item(), [a.grad.numpy() for a in (U, precisions, p1, p2)]


def test_gradient_on_top_of_a_frozen_part():
    objective = _objective("allen_cahn_1d", jitter=0.02, boundary_weight=3.0)
    first = _state(PROBLEMS["allen_cahn_1d"][1], q=2, seed=1)
    added = objective.on_top_of(objective.axes(first), first.values, "gaussian")
    nothing = MapState(np.zeros(8), first.log_precisions, first.kernels)
    wanted, got = objective(first)[0], added(nothing)[0]
    # Without the prior of the frozen part, which is all that differs where nothing is added.
    (axis,), alpha = objective.axes(first), 0.0
    alpha = 0.5 * first.values @ axis.solve(first.values, 0)
    (other,) = added.axes(nothing)
    assert got - 0.5 * other.logdet == pytest.approx(wanted - alpha - 0.5 * axis.logdet, rel=1e-10)
    state = _state((8,), q=1, seed=2)
    value, gradient = added(state)
    h = 1e-5
    for array, slope in zip(state.arrays, gradient.arrays, strict=True):
        array.flat[0] += h
        up = added(state)[0]
        array.flat[0] -= 2 * h
        down = added(state)[0]
        array.flat[0] += h
        assert slope.flat[0] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-6 * abs(value))


@pytest.mark.parametrize("envelope", ["matern52", "gaussian"])
def test_objective_against_the_published_formula_differentiated_automatically(envelope):
    problem, shape = PROBLEMS["poisson_2d"]
    objective = _objective("poisson_2d", envelope=envelope, jitter=0.05)
    state = _state(shape)
    value, gradient = objective(state)
    wanted, slopes = _torch_value(problem, objective.grid, state, envelope, 200.0, 0.05)
    # The oracle's offset of 1e-10 changes it by that much times ratios of derivatives and the condition of K.
    assert value == pytest.approx(wanted, rel=1e-7)
    for got, slope in zip(gradient.arrays, slopes, strict=True):
        np.testing.assert_allclose(got, slope, rtol=1e-6, atol=1e-7 * np.abs(slope).max())


def test_first_losses_are_those_of_the_authors_program():
    """Their program printed the second and the third one for this problem, with 30 components and 400 points."""
    values = []
    wave = {"conditions": Dirichlet(lambda x: np.sin(100 * x)), "source": lambda x: -1e4 * np.sin(100 * x)}
    problem = PDE(D(0, 2), domain=[(0, 2 * np.pi)], **wave)
    settings = MapSettings(n_iter=3)
    with pytest.warns(ConvergenceWarning, match="Adam took 3 steps"):
        GPSolver(method="map", map_settings=settings, callback=lambda r: values.append(r["objective"])).fit(problem)
    np.testing.assert_allclose(values, [9.97499919e9, 9.65128955e9, 9.29731523e9], rtol=1e-9)


def test_a_short_run_approaches_the_solution():
    def wave(x):
        return np.sin(50 * x)

    problem = PDE(D(0, 2), domain=[(0, 3)], source=lambda x: -2500 * wave(x), conditions=Dirichlet(wave))
    settings = MapSettings(n_components=12, frequency_scale=12, n_iter=400)
    with pytest.warns(ConvergenceWarning, match='method="galerkin" needs neither'):
        solver = GPSolver(96, method="map", map_settings=settings).fit(problem)
    x = np.linspace(0, 3, 101)
    error = np.linalg.norm(solver.predict([x]) - wave(x)) / np.linalg.norm(wave(x))
    assert error < 0.2
    assert not solver.converged_
    assert error / 100 < solver.residual_ < 100 * error
    objectives = [r["objective"] for r in solver.history_]
    assert objectives[-1] < 1e-2 * objectives[0]


def test_two_axes_and_the_nonlinear_one_go_down_and_are_saved(tmp_path):
    settings = MapSettings(n_components=5, frequency_scale=3, n_iter=60)
    for name in ("poisson_2d", "burgers", "allen_cahn_1d"):
        with pytest.warns(ConvergenceWarning):
            solver = GPSolver(12, method="map", map_settings=settings).fit(PROBLEMS[name][0])
        assert solver.history_[-1]["objective"] < solver.history_[0]["objective"]
        solver.save(tmp_path / "map.npz")
        again = GPSolver.load(tmp_path / "map.npz")
        coords = [np.linspace(a, b, 7) for a, b in solver.domain_]
        np.testing.assert_array_equal(again.predict(coords), solver.predict(coords))
        assert again.map_settings == settings


def test_second_stage_adds_a_slow_part(tmp_path):
    def u(x):
        return np.sin(60 * x) - 2 * (x - 0.5) ** 2

    problem = PDE(D(0, 2), domain=[(0, 1)], source=lambda x: -3600 * np.sin(60 * x) - 4, conditions=Dirichlet(u))
    x = np.linspace(0, 1, 101)
    errors = []
    for stage in (None, 0.5):
        settings = MapSettings(n_components=8, frequency_scale=12, n_iter=600, second_stage=stage)
        with pytest.warns(ConvergenceWarning, match="Adam took 600 steps"):
            solver = GPSolver(48, method="map", map_settings=settings).fit(problem)
        errors.append(np.linalg.norm(solver.predict([x]) - u(x)))
    assert errors[1] < errors[0]
    solver.save(tmp_path / "map.npz")
    np.testing.assert_array_equal(GPSolver.load(tmp_path / "map.npz").predict([x]), solver.predict([x]))


def test_conditions_of_nothing_are_no_scale():
    problem = PDE(D(0, 2), domain=[(0, 1)], source=1.0, conditions=Dirichlet(0.0))
    with pytest.warns(ConvergenceWarning):
        solver = GPSolver(16, method="map", map_settings=MapSettings(n_iter=5)).fit(problem)
    assert solver.condition_residual_ <= 1


def test_derivatives_of_the_prediction_are_derivatives():
    with pytest.warns(ConvergenceWarning):
        solver = GPSolver(30, method="map", map_settings=MapSettings(n_components=4, n_iter=50)).fit(
            PROBLEMS["poisson_1d"][0]
        )
    h, x = 1e-4, np.linspace(0.1, 1.9, 11)
    slope = (solver.predict([x + h]) - solver.predict([x - h])) / (2 * h)
    exact = solver.predict([x], derivative={0: 1})
    np.testing.assert_allclose(exact, slope, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


def test_callback_stops_the_run_and_nothing_is_warned():
    solver = GPSolver(20, method="map", map_settings=MapSettings(n_iter=500), callback=lambda r: r["iteration"] >= 5)
    assert solver.fit(PROBLEMS["poisson_1d"][0]).n_iter_ == 5


def test_singular_covariances_are_told():
    settings = MapSettings(envelope="gaussian", n_components=1, jitter=1e-300, n_iter=10)
    with pytest.raises(NotPositiveDefiniteError, match="larger jitter"):
        GPSolver(64, method="map", map_settings=settings).fit(PROBLEMS["poisson_1d"][0])


def test_covariances_that_become_singular_end_the_run(monkeypatch):
    made = MapObjective.axes
    calls = iter(range(100))

    def axes(self, state):
        if next(calls) == 4:
            raise NotPositiveDefiniteError("singular")
        return made(self, state)

    monkeypatch.setattr(MapObjective, "axes", axes)
    with pytest.warns(ConvergenceWarning, match="after 4 steps a covariance was singular"):
        solver = GPSolver(20, method="map", map_settings=MapSettings(n_iter=50)).fit(PROBLEMS["poisson_1d"][0])
    assert np.isfinite(solver.predict([np.linspace(0, 2, 5)])).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"envelope": "box"}, "envelope = 'box'"),
        ({"n_components": 0}, "n_components = 0"),
        ({"n_iter": 2.5}, "n_iter = 2.5"),
        ({"jitter": -1.0}, "jitter = -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"second_stage": 1.0}, "second_stage = 1.0"),
    ],
)
def test_bad_settings(settings, match):
    with pytest.raises(ValueError, match=match):
        MapSettings(**settings)


def test_bad_problems():
    periodic = PDE(D(0, 2) - D(0, 0), domain=[(0, 1)], source=1.0, conditions=Periodic(0))
    with pytest.raises(ValueError, match="no Periodic"):
        GPSolver(method="map").fit(periodic)
    with pytest.raises(TypeError, match="map_settings is dict"):
        GPSolver(method="map", map_settings={}).fit(periodic)
    grid = [np.linspace(0, 1, 20)]
    sampled = PDE(D(0, 2), domain=[(0, 1)], source=np.ones(20), grid=grid, conditions=Dirichlet())
    with pytest.raises(ValueError, match=r"n_points = \(30,\); the source has samples on \(20,\)"):
        GPSolver(30, method="map").fit(sampled)
