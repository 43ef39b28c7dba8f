import numpy as np
import pytest
import torch

from structkit.datasets import sample_functional_tensor
from structkit.gp import Matern
from tests.benchmarks import tucker_peers as peers
from tests.benchmarks.cep_twin import ConditionalEP, StateSpace

X = np.array([[0, 0], [0, 0], [0, 1], [2, 1]], float)
y = np.array([1.0, 3.0, 5.0, 7.0])


def test_cell_mean():
    new = np.array([[0, 0], [0, 7], [5, 5]], float)
    assert peers.cell_mean(X, y, new, modes=(0, 1)).tolist() == [2, 4, 4]
    assert peers.cell_mean(X, y, new, modes=(0,)).tolist() == [3, 3, 4]


def test_inverse_distance():
    new = np.array([[1, 1], [0, 1], [0.5, 0], [9, 3]], float)
    found = peers.inverse_distance(X, y, new, modes=(0,), within=(1,))
    assert found.tolist() == [6, 5, 2, 4]
    # in both coordinates: squared distances 1 + 1 / 4, 1 + 1 / 4, 1 / 4 and 17 / 4 from (0, 1.5)
    weights = 1 / np.array([2.25, 2.25, 0.25, 4.25])
    assert peers.inverse_distance(X, y, np.array([[0, 1.5]]), modes=(0, 1))[0] == pytest.approx(
        weights @ y / weights.sum()
    )
    flat = peers.inverse_distance(X, y, np.array([[0, 1.5]]), modes=(0, 1), scale=(0, 1))
    assert flat[0] == pytest.approx(np.array([1, 1, 9, 9]) @ y / 20)


def test_train_mean():
    assert peers.train_mean(X, y, np.zeros((3, 2))).tolist() == [4, 4, 4]


def test_dense_grid_averages_and_finds_new_cells():
    values, mask, new = peers.dense_grid(X, y, np.array([[1.0, 0.0]]))
    assert values.tolist() == [[2, 5], [0, 0], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert [i.tolist() for i in new] == [[1], [0]]
    with pytest.raises(MemoryError, match="400 x 400 x 400 cells"):
        peers.dense_grid(np.arange(400.0)[:, None].repeat(3, 1), np.zeros(400), np.zeros((1, 3)))


@pytest.mark.parametrize("kind", ["cp", "tucker"])
def test_masked_decompositions_fill_in_a_tensor_of_their_rank(kind):
    s = sample_functional_tensor(3000, truth=kind, n_levels=12, unseen=0.0, noise_ratio=0.0, n_test=200, random_state=0)
    rank = 2 if kind == "cp" else (2, 2, 2)
    call = (peers.masked_cp if kind == "cp" else peers.masked_tucker)(s.X_train, 5 + s.y_train, s.X_test, rank, seed=1)
    # taking the mean out raises the rank by one: most of the variance is explained, not all
    assert np.std(call() - 5 - s.f_test) < 0.5 * s.f_test.std()


# ---- the twin of conditional expectation propagation ------------------------------------------------------------


@pytest.mark.parametrize("nu", [0.5, 1.5])
def test_smoother_of_the_twin_is_dense_regression(nu):
    rng = np.random.default_rng(0)
    t = np.sort(rng.random(15))
    y, noise = rng.standard_normal(15), 0.1 + rng.random(15)
    chain = StateSpace(torch.as_tensor(t), 1, nu, 0.3, 2.0)
    chain.start = torch.zeros_like(chain.start)
    mean, cov = chain.run(
        [torch.tensor([[v]]) for v in y], [torch.tensor([[v]]) for v in noise]
    )  # fmt: skip
    kernel = Matern(nu, lengthscale=0.3, variance=2.0)
    new = np.array([-0.2, 0.5 * (t[3] + t[4]), 1.3])
    C = kernel(t) + np.diag(noise)
    gain = np.linalg.solve(C, kernel(t)).T
    assert np.allclose(mean.flatten(), gain @ y, atol=1e-9)
    assert np.allclose(cov.flatten(), np.diag(kernel(t) - gain @ kernel(t)), atol=1e-9)
    found = [chain.at(torch.tensor(x), as_coded=False).item() for x in new]
    assert np.allclose(found, kernel(new, t) @ np.linalg.solve(C, y), atol=1e-9)
    # to the left of all data the authors' program runs the decay backwards
    assert abs(chain.at(torch.tensor(-0.2), as_coded=True).item() - found[0]) > 0.1


@pytest.mark.parametrize(("n_modes", "mode"), [(1, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 2)])
def test_factor_messages_of_the_twin_belong_to_its_prediction(n_modes, mode):
    """A message times its own factor is the prediction; with the core axes reversed, only for the middle mode."""
    s = sample_functional_tensor(50, n_modes=n_modes, n_levels=5, random_state=0)
    twin = ConditionalEP(2, model="tucker", damping=0.0)
    twin.start(s.X_train, np.ones(50))

    def implied(as_coded):
        twin.as_coded = as_coded
        twin._factor_messages(mode)  # eta = tau * y * E[a], tau = y = 1
        return (twin.eta[mode] * twin.mean[mode][twin.index[mode]]).sum(1).flatten().numpy()

    assert np.allclose(implied(False), twin.predict(s.X_train), rtol=1e-12)
    assert np.allclose(implied(True), twin.predict(s.X_train), rtol=1e-12) == (2 * mode + 1 == n_modes)


@pytest.mark.parametrize(("model", "n_modes"), [("cp", 1), ("cp", 2), ("cp", 3), ("tucker", 3)])
def test_twin_learns_the_function_and_the_noise(model, n_modes):
    s = sample_functional_tensor(1500, truth=model, n_modes=n_modes, n_levels=20, unseen=0.0, random_state=1)
    options = {"nu": 1.5, "lengthscale": 0.3, "damping": 0.3, "damping_tau": 0.3, "damping_core": 0.3}
    twin = ConditionalEP(2, model=model, n_epochs=40, **options).fit(s.X_train, s.y_train)
    assert np.std(twin.predict(s.X_test) - s.f_test) < 0.5 * s.noise_std
    # the prior of the precision, Gamma(1, 1), adds 2 / n to the variance
    assert np.sqrt(twin.noise_var) == pytest.approx(np.sqrt(s.noise_std**2 + 2 / 1500), rel=0.1)
