"""Atoms between the points of a grid."""

import numpy as np
import pytest

from structkit import NotFittedError, ShapeError
from structkit.kron import multi_mode_product
from structkit.sbl import KroneckerSBL, nmse, refine_offgrid, steering_matrix
from tests.sbl.dense import random

GRID = np.linspace(-1, 1, 40, endpoint=False)


def respond(u):
    return steering_matrix(20, u)


@pytest.mark.parametrize("snapshots", [None, 3])
def test_parameters_numbers_of_atoms_and_noise(snapshots):
    rng = np.random.default_rng(0)
    true = [np.array([-0.613, 0.221]), np.array([-0.104, 0.487])]
    x = random(rng, (2, 2) + (() if snapshots is None else (snapshots,)), True)
    clean = multi_mode_product(x, [respond(u) for u in true], modes=[0, 1])
    noise_var = np.mean(np.abs(clean) ** 2) / 1000
    y = clean + np.sqrt(noise_var) * random(rng, clean.shape, True)
    model = KroneckerSBL().fit([respond(GRID)] * 2, y)
    fit = refine_offgrid(model, y, [respond] * 2, [GRID] * 2)
    for found, wanted in zip(fit.parameters, true, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-3)
    again = multi_mode_product(fit.coef, [respond(u) for u in fit.parameters], modes=[0, 1])
    assert nmse(again, clean) < 0.3 * nmse(model.predict([respond(GRID)] * 2), clean)
    assert fit.noise_var == pytest.approx(noise_var, rel=6 / np.sqrt(y.size))
    assert fit.coef.shape == x.shape


def test_real_atoms_of_one_mode():
    def bump(c):
        return np.exp(-(((np.linspace(0, 1, 60)[:, None] - c) / 0.08) ** 2))

    grid = np.linspace(0, 1, 21)
    y = 2 * bump(np.array([0.333]))[:, 0] + 0.001 * np.random.default_rng(0).standard_normal(60)
    model = KroneckerSBL().fit([bump(grid)], y)
    fit = refine_offgrid(model, y, [bump], [grid])
    np.testing.assert_allclose(fit.parameters[0], [0.333], atol=1e-4)
    np.testing.assert_allclose(fit.coef, [2.0], atol=1e-2)


def test_bad_input():
    y = np.outer(respond(GRID[[3]]), respond(GRID[[7]]))
    with pytest.raises(NotFittedError):
        refine_offgrid(KroneckerSBL(), y, [respond] * 2, [GRID] * 2)
    model = KroneckerSBL().fit([respond(GRID)] * 2, y)
    with pytest.raises(ShapeError, match="1 grids and 2 atoms for a model of 2 modes"):
        refine_offgrid(model, y, [respond] * 2, [GRID])
    with pytest.raises(ShapeError, match=r"grids\[1\] has shape \(5,\)"):
        refine_offgrid(model, y, [respond] * 2, [GRID, GRID[:5]])
