"""Gradients of solves and determinants in torch, at generic points and where eigenvalues repeat.

Finite differences are the oracle. Eigenvectors have no derivative where eigenvalues repeat; solutions and determinants
do, so every structure is checked at both kinds of points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch

from structkit.kron import (
    BlockTridiagonal,
    Congruence,
    Dense,
    Diagonal,
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    Sum,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    cg,
    eigh,
    inverse,
    logdet,
    lstsq,
    slogdet,
    solve,
    sqrtm,
)
from tests.kron.market import normal, spd

pytestmark = pytest.mark.filterwarnings("ignore::structkit.DensificationWarning")

# Random projections of the Jacobian: as sharp as all its entries, and much faster.
gradcheck = functools.partial(torch.autograd.gradcheck, fast_mode=True)
gradgradcheck = functools.partial(torch.autograd.gradgradcheck, fast_mode=True)

Build = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], LinearOperator]
MASK = np.array([True, True, True, False, True, False])
ONES = torch.ones(3, dtype=torch.float64)

# Operators of two symmetric matrices a (2, 2) and b (3, 3), and six numbers d.
CASES: dict[str, Build] = {
    "dense": lambda a, b, d: Dense(b),
    "triangular": lambda a, b, d: Triangular(b),
    "diagonal": lambda a, b, d: Diagonal(d**2 + 1),
    "toeplitz": lambda a, b, d: Toeplitz(torch.stack([d[0] ** 2 + 4, 0 * d[1], 0 * d[2]])),
    "low-rank": lambda a, b, d: LowRankPlusDiagonal(b[:, :2], ONES * (d[0] ** 2 + 1)),
    "blocks": lambda a, b, d: BlockTridiagonal(3 * a.repeat(3, 1, 1), 0.1 * a.repeat(2, 1, 1)),
    "kronecker": lambda a, b, d: (d[0] ** 2 + 1) * Kronecker(a, b),
    "repeated-factor": lambda a, b, d: Kronecker(a, a @ a),
    "plus-number": lambda a, b, d: Kronecker(a, b) + 0.5 * Identity(6),
    "plus-tensor": lambda a, b, d: (d[1] ** 2 + 1) * Kronecker(a, b) + d[0] ** 2 * Identity(6),
    "plus-toeplitz": lambda a, b, d: Kronecker(Toeplitz(torch.stack([d[0] ** 2 + 4, 0 * d[1]])), b) + Identity(6),
    "plus-product": lambda a, b, d: KroneckerPlusDiagonal([a, b], [d[0] ** 2 + ONES[:2], ONES]),
    "plus-arbitrary": lambda a, b, d: KroneckerPlusDiagonal([a, b], d**2 + 1),
    "sum-of-two": lambda a, b, d: SumOfKroneckers((d[0] ** 2 + 1) * Kronecker(a, b), (d[1] ** 2 + 1) * Kronecker(a, b)),
    "kronecker-sum": lambda a, b, d: KroneckerSum(a, b, a),
    "kronecker-sum-shifted": lambda a, b, d: (d[0] ** 2 + 1) * KroneckerSum(a, b) + d[1] ** 2 * Identity(6),
    "masked": lambda a, b, d: Masked(Kronecker(a, b) + (d[0] ** 2 + 0.1) * Identity(6), MASK),
    "congruence": lambda a, b, d: Congruence(Dense(b), d[:3] ** 2 + 1, unitary=False),
    "product": lambda a, b, d: Dense(b) @ Diagonal(d[:3] ** 2 + 1) @ Dense(b),
    "sum": lambda a, b, d: Sum(Dense(torch.kron(a, b.contiguous())), Kronecker(a, b)),
}
POINTS = {
    "generic": (spd(0, 2), spd(1, 3)),
    "repeated": (2 * np.eye(2), scipy.linalg.circulant([4.0, 1.0, 1.0])),
}


def point(name: str) -> tuple[torch.Tensor, ...]:
    a, b = (torch.from_numpy(m).requires_grad_() for m in POINTS[name])
    return a, b, torch.from_numpy(normal(5, 6)).requires_grad_()


def symmetric(build: Build) -> Build:
    """Let finite differences see symmetric matrices only."""
    return lambda a, b, d: build((a + a.T) / 2, (b + b.T) / 2, d)


def right_hand_side(build: Build, *shape: int) -> torch.Tensor:
    return torch.from_numpy(normal(3, build(*point("generic")).shape[0], *shape)).requires_grad_()


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("name", CASES)
def test_solve(name: str, where: str) -> None:
    build = symmetric(CASES[name])
    inputs = (right_hand_side(build), *point(where))
    gradcheck(lambda b, *p: solve(build(*p), b), inputs)
    gradgradcheck(lambda b, *p: solve(build(*p), b), inputs)


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("name", CASES)
def test_logdet(name: str, where: str) -> None:
    gradcheck(lambda *p: logdet(symmetric(CASES[name])(*p)), point(where))
    gradgradcheck(lambda *p: logdet(symmetric(CASES[name])(*p)), point(where))


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("name", ["dense", "plus-arbitrary", "plus-tensor", "masked", "kronecker-sum", "sum"])
def test_conjugate_gradients(name: str, where: str) -> None:
    build = symmetric(CASES[name])
    inputs = (right_hand_side(build), *point(where))
    gradcheck(lambda b, *p: cg(build(*p), b, tol=1e-11).value, inputs)


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("name", ["dense", "kronecker", "kronecker-sum", "toeplitz", "repeated-factor"])
def test_pseudo_inverse(name: str, where: str) -> None:
    build = symmetric(CASES[name])
    inputs = (right_hand_side(build), *point(where))
    gradcheck(lambda b, *p: solve(build(*p), b, method="pinv"), inputs)
    gradgradcheck(lambda b, *p: solve(build(*p), b, method="pinv"), inputs)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_least_squares_of_rectangular_factors(shape: tuple[int, int]) -> None:
    A = torch.from_numpy(normal(0, *shape)).requires_grad_()
    b = torch.from_numpy(normal(1, 2 * shape[0], 2)).requires_grad_()
    B = torch.from_numpy(spd(2, 2)).requires_grad_()
    gradcheck(lambda a, c, y: lstsq(Kronecker(a, c), y), (A, B, b))
    gradgradcheck(lambda a, c, y: lstsq(Kronecker(a, c), y), (A, B, b))


def test_pseudo_inverse_of_a_singular_kronecker_sum() -> None:
    """A periodic Laplacian scaled by a number: singular, its eigenvalues repeated."""
    laplacian = torch.from_numpy(scipy.linalg.circulant([2.0, -1.0, 0.0, -1.0]))
    b = torch.from_numpy(normal(0, 16)).requires_grad_()
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    gradcheck(lambda s, y: solve(KroneckerSum(s * laplacian, s * laplacian), y, method="pinv"), (scale, b))


@pytest.mark.parametrize("name", ["plus-tensor", "kronecker", "kronecker-sum", "masked", "low-rank", "blocks"])
def test_adjoint_columns_and_batches(name: str) -> None:
    build = symmetric(CASES[name])
    inputs = (right_hand_side(build, 2), *point("repeated"))
    gradcheck(lambda b, *p: inverse(build(*p)).H @ b, inputs)
    gradcheck(lambda b, *p: inverse(build(*p)) @ b.expand(2, -1, -1), inputs)


def test_complex_hermitian_factors() -> None:
    a, b = (torch.from_numpy(spd(i, 2 + i, complex)).requires_grad_() for i in range(2))
    rhs = torch.from_numpy(normal(3, 6, dtype=complex)).requires_grad_()

    def build(p: torch.Tensor, q: torch.Tensor) -> LinearOperator:
        return Kronecker((p + p.mH) / 2, (q + q.mH) / 2) + 0.3 * Identity(6)

    gradcheck(lambda y, p, q: solve(build(p, q), y), (rhs, a, b))
    gradcheck(lambda p, q: slogdet(build(p, q)).logabsdet, (a, b))
    gradgradcheck(lambda p, q: slogdet(build(p, q)).logabsdet, (a, b))


def test_determinant_of_an_indefinite_sum_keeps_its_sign() -> None:
    a, b, _ = point("generic")
    for op in (Kronecker(a, b) - 1.7 * Identity(6), KroneckerSum(a, -b)):
        want = np.linalg.slogdet(op.to_dense().detach().numpy())
        sign, value = slogdet(op)
        assert float(sign) == want[0]
        assert float(value.detach()) == pytest.approx(want[1], rel=1e-13)
        assert value.requires_grad
        assert not sign.requires_grad


def test_huge_identity_factors_stay_numbers() -> None:
    """A dense identity of this size would take 80 GB."""
    a = torch.from_numpy(spd(0, 2)).requires_grad_()
    value = logdet(Kronecker(Identity(10**5), (a + a.T) / 2) + Identity(2 * 10**5))
    value.backward()
    assert torch.allclose(a.grad, 1e5 * torch.linalg.inv(a.detach() + torch.eye(2, dtype=torch.float64)), rtol=1e-12)


def test_parameters_that_depend_on_each_other_count_once() -> None:
    """The chain rule through ``a @ a`` is the graph's own business: the solve must not add it again."""
    a = torch.from_numpy(spd(0, 2)).requires_grad_()
    b = torch.from_numpy(normal(1, 4))
    square = a @ a
    op = SumOfKroneckers(Kronecker(a, square), Kronecker(square, a))
    solve(op, b).sum().backward()
    dense = torch.kron(x := a.detach().clone().requires_grad_(), x @ x) + torch.kron(x @ x, x)
    torch.linalg.solve(dense, b).sum().backward()
    want = (x.grad + x.grad.T) / 2
    assert torch.allclose((a.grad + a.grad.T) / 2, want, rtol=1e-11)


def test_gradient_only_of_the_right_hand_side_keeps_the_structure() -> None:
    op = Kronecker(*(torch.from_numpy(spd(i, 2)) for i in range(2))) + Identity(4)
    b = torch.from_numpy(normal(0, 4)).requires_grad_()
    assert isinstance(inverse(op), Congruence)
    solve(op, b).sum().backward()
    assert torch.allclose(b.grad, solve(op, torch.ones(4, dtype=torch.float64)))


def test_conjugate_gradients_do_not_unroll() -> None:
    """The products recorded for a gradient are those of further solves, not of the forward iteration."""
    a = torch.from_numpy(spd(0, 30)).requires_grad_()
    products = []

    class Counted(Dense):
        def _matmat(self, X: torch.Tensor) -> torch.Tensor:
            products.append(torch.is_grad_enabled())
            return super()._matmat(X)

    result = cg(Counted(a), torch.from_numpy(normal(1, 30)))
    assert result.converged
    assert not any(products)
    result.value.sum().backward()
    assert sum(products) == 1


def test_root_spectrum_and_inverse_of_a_recorded_inverse() -> None:
    a, b, _ = point("repeated")
    op = Kronecker(a, b) + Identity(6)
    P = inverse(op)
    dense = np.linalg.inv(op.to_dense().detach().numpy())
    values, vectors = eigh(P)
    assert np.allclose((vectors @ values @ vectors.H).to_dense().detach().numpy(), dense, rtol=1e-12)
    root = sqrtm(P).to_dense().detach().numpy()
    assert np.allclose(root @ root, dense, rtol=1e-12)
    assert inverse(P) is op


def test_the_corner_of_a_toeplitz_matrix_belongs_to_its_column() -> None:
    """Given twice, it is one parameter: transposing must not hand its gradient to the row."""
    column, row = torch.tensor([3.0, 1.0, 2.0], requires_grad=True), torch.tensor([3.0, 0.5], requires_grad=True)
    x = torch.tensor([1.0, -2.0, 0.5])
    for apply in (lambda op: op.T @ x, lambda op: op.H.to_dense() @ x, lambda op: op.T.T.T @ x):
        op = Toeplitz(column, row)
        got = torch.autograd.grad(apply(op).square().sum(), (column, row))
        want = torch.autograd.grad((op.to_dense().T @ x).square().sum(), (column, row))
        assert torch.allclose(got[0], want[0])
        assert torch.allclose(got[1], want[1])
