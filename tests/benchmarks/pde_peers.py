"""What else solves a Poisson equation: second-order finite differences, and a network trained on the residual."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.interpolate import CubicSpline, RectBivariateSpline

from structkit.datasets import SolvedPDE


def finite_differences(solved: SolvedPDE, n: int, at: list[np.ndarray]) -> np.ndarray:
    """Poisson equation with Dirichlet data on `n` points per axis, sparse direct solve, splines to the points `at`."""
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
    u[i] = scipy.sparse.linalg.spsolve(A[i][:, i].tocsc(), (source - A @ u)[i])
    values = u.reshape(inside.shape)
    return CubicSpline(axes[0], values)(at[0]) if len(axes) == 1 else RectBivariateSpline(*axes, values)(*at)


def network(solved: SolvedPDE, steps: int, at: list[np.ndarray]) -> np.ndarray:
    """A physics-informed network for ``u'' = f``: three layers of 64 tanh units, Adam, boundary weight 100."""
    import torch

    torch.manual_seed(0)
    (a, b) = solved.problem.domain[0]
    layers = [torch.nn.Linear(1, 64), torch.nn.Tanh()]
    for _ in range(2):
        layers += [torch.nn.Linear(64, 64), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1)).double()
    x = torch.linspace(a, b, 400, dtype=torch.float64)[:, None].requires_grad_()
    f = torch.from_numpy(np.asarray(solved.problem.source(x.detach().numpy())))
    ends = torch.tensor([[a], [b]], dtype=torch.float64)
    known = torch.from_numpy(np.asarray(solved.exact(ends.numpy())))
    size = f.pow(2).mean()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        u = net(2 * (x - a) / (b - a) - 1)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
        loss = (second - f).pow(2).mean() / size + 100 * (net(2 * (ends - a) / (b - a) - 1) - known).pow(2).mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        points = torch.from_numpy(2 * (at[0][:, None] - a) / (b - a) - 1)
        return net(points).numpy()[:, 0]
