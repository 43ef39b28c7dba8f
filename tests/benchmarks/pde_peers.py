"""What else solves differential equations: second-order differences, and a network trained on the residual."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.interpolate import CubicSpline, RectBivariateSpline

from structkit.datasets import SolvedPDE
from structkit.pde import PDE

if TYPE_CHECKING:
    import torch


_NEWTON = 6  # steps for nonlinear equations


def finite_differences(solved: SolvedPDE, n: int, at: list[np.ndarray]) -> np.ndarray:
    """Second-order differences on `n` points per axis, sparse direct solves, splines to the points `at`."""
    problem = solved.problem
    axes = [np.linspace(a, b, n) for a, b in problem.domain]
    grids = np.meshgrid(*axes, indexing="ij")
    inside = np.zeros((n,) * len(axes), bool)
    inside[(slice(1, -1),) * len(axes)] = True
    terms = []
    for d, x in enumerate(axes):
        second = sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(n, n)) / (x[1] - x[0]) ** 2
        factors = [second if a == d else sp.identity(n) for a in range(len(axes))]
        terms.append(factors[0] if len(axes) == 1 else sp.kron(*factors))
    A = sum(terms[1:], terms[0]).tocsr()
    i = np.flatnonzero(inside.ravel())
    u = np.where(inside, 0.0, solved.exact(*grids)).ravel()
    source = np.broadcast_to(problem.source(*grids), inside.shape).ravel()
    inner, slope = A[i][:, i].tocsc(), problem.nonlinearity and problem.nonlinearity.gradient
    u[i] = scipy.sparse.linalg.spsolve(inner, (source - A @ u)[i])
    for _ in range(_NEWTON if slope else 0):
        r = (A @ u + problem.nonlinearity.function(u) - source)[i]  # type: ignore[union-attr]
        u[i] -= scipy.sparse.linalg.spsolve(inner + sp.diags(slope[0](u[i]), format="csc"), r)  # type: ignore[index]
    values = u.reshape(inside.shape)
    return CubicSpline(axes[0], values)(at[0]) if len(axes) == 1 else RectBivariateSpline(*axes, values)(*at)


def network(solved: SolvedPDE, steps: int, at: list[np.ndarray]) -> np.ndarray:
    """A physics-informed network: three layers of 64 tanh units, 400 points per axis, Adam, conditions weighted 100."""
    import torch

    torch.manual_seed(0)
    problem = solved.problem
    d = problem.n_axes
    lower, upper = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*problem.domain, strict=True))
    layers = [torch.nn.Linear(d, 64), torch.nn.Tanh()]
    for _ in range(2):
        layers += [torch.nn.Linear(64, 64), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1)).double()
    unit = torch.quasirandom.SobolEngine(d, scramble=True, seed=0).draw(400 * d, dtype=torch.float64)
    x = (lower + (upper - lower) * unit).requires_grad_()
    f = torch.tensor(problem.source_at(x.detach().numpy()))[:, None]
    faces = []
    for axis in range(d):
        for end in (lower, upper):
            side = (lower + (upper - lower) * unit[:200]).clone()
            side[:, axis] = end[axis]
            faces.append(side)
    border = torch.cat(faces)
    known = torch.tensor(solved.exact(*border.numpy().T))[:, None]
    size = max(f.pow(2).mean().item(), 1.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    scaled = lambda points: net(2 * (points - lower) / (upper - lower) - 1)  # noqa: E731
    for _ in range(steps):
        optimizer.zero_grad()
        u = scaled(x)
        loss = (_operated(problem, u, x) - f).pow(2).mean() / size + 100 * (scaled(border) - known).pow(2).mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        points = np.stack(np.meshgrid(*at, indexing="ij"), axis=-1).reshape(-1, d)
        return scaled(torch.from_numpy(points)).numpy().reshape([len(a) for a in at])


def _operated(problem: PDE, u: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The equation's left-hand side, by automatic differentiation."""
    import torch

    total = torch.zeros_like(u)
    for term in problem.operator.terms:
        part = u
        for axis, order in term.orders:
            for _ in range(order):
                part = torch.autograd.grad(part.sum(), x, create_graph=True)[0][:, axis : axis + 1]
        total = total + term.coefficient.number({}) * part
    return total if problem.nonlinearity is None else total + problem.nonlinearity.function(u)
