"""gpytorch's operators: the same matrix both ways, structure kept."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from structkit import DensificationWarning, ShapeError
from structkit.interop import from_linear_operator, to_linear_operator
from structkit.kron import (
    BlockTridiagonal,
    Dense,
    Diagonal,
    Identity,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
)

operators = pytest.importorskip("linear_operator").operators


def t(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def spd(n: int, seed: int = 0) -> torch.Tensor:
    A = t(n, n, seed=seed)
    return A @ A.T + n * torch.eye(n, dtype=torch.float64)


MASK = torch.tensor([True, False, True, True, False, True])
CASES = {
    "dense": (lambda: Dense(t(3, 4)), "DenseLinearOperator"),
    "triangular": (lambda: Triangular(t(3, 3), lower=False), "TriangularLinearOperator"),
    "diagonal": (lambda: Diagonal(t(3)), "DiagLinearOperator"),
    "toeplitz": (lambda: Toeplitz(t(4)), "ToeplitzLinearOperator"),
    "kronecker": (lambda: Kronecker(t(2, 3), t(4, 2), t(1, 1)), "KroneckerProductLinearOperator"),
    "kronecker-scaled": (lambda: 3.0 * Kronecker(t(2, 2), t(3, 3)), "KroneckerProductLinearOperator"),
    "kronecker-structured": (
        lambda: Kronecker(Toeplitz(t(3)), Identity(2), Diagonal(t(2))),
        "KroneckerProductLinearOperator",
    ),
    "plus-scalar": (lambda: Kronecker(spd(2), spd(3)) + 0.5 * Identity(6), "KroneckerProductAddedDiagLinearOperator"),
    "plus-per-axis": (
        lambda: KroneckerPlusDiagonal([spd(2), spd(3)], [torch.ones(2).double(), torch.arange(1.0, 4.0).double()]),
        "KroneckerProductAddedDiagLinearOperator",
    ),
    "plus-arbitrary": (
        lambda: KroneckerPlusDiagonal([spd(2), spd(3)], torch.arange(1.0, 7.0).double()),
        "KroneckerProductAddedDiagLinearOperator",
    ),
    "sum-of-kroneckers": (
        lambda: SumOfKroneckers(Kronecker(spd(2), spd(3)), Kronecker(spd(2, 1), spd(3, 1))),
        "SumKroneckerLinearOperator",
    ),
    "low-rank": (lambda: LowRankPlusDiagonal(t(5, 2), torch.ones(5).double()), "LowRankRootAddedDiagLinearOperator"),
    "masked": (lambda: Masked(Kronecker(spd(2), spd(3)), MASK), "MaskedLinearOperator"),
    "masked-rectangular": (lambda: Masked(Kronecker(spd(2), spd(3)), MASK, ~MASK), "MaskedLinearOperator"),
    "sum": (lambda: Kronecker(t(2, 2), t(3, 3)) + Dense(t(6, 6)), "SumLinearOperator"),
    "product": (lambda: Kronecker(t(2, 2), t(3, 3)) @ Dense(t(6, 2)), "MatmulLinearOperator"),
    "scaled": (lambda: 2.0 * (Kronecker(t(2, 2), t(3, 3)) @ Dense(t(6, 2))), "ConstantMulLinearOperator"),
}


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name: str) -> None:
    build, kind = CASES[name]
    op: LinearOperator = build()
    lo = to_linear_operator(op)
    assert type(lo).__name__ == kind
    assert tuple(lo.shape) == op.shape
    assert torch.allclose(lo.to_dense(), op.to_dense(), rtol=1e-13, atol=1e-13)
    x = t(op.shape[1], 2)
    assert torch.allclose(lo @ x, op @ x, rtol=1e-12, atol=1e-12)
    back = from_linear_operator(lo)
    assert type(back) is type(op) or name == "scaled"
    assert torch.allclose(back.to_dense(), op.to_dense(), rtol=1e-13, atol=1e-13)


def test_kinds_of_diagonal_survive() -> None:
    for name, kind in (("plus-scalar", "scalar"), ("plus-per-axis", "product"), ("plus-arbitrary", "arbitrary")):
        assert from_linear_operator(to_linear_operator(CASES[name][0]())).kind == kind


def test_numpy_operators_are_copied_in_their_dtype() -> None:
    op = Kronecker(np.eye(2, dtype=np.float32), np.eye(3, dtype=np.float32))
    lo = to_linear_operator(op)
    assert lo.dtype == torch.float32
    assert torch.equal(lo.to_dense(), torch.eye(6))
    assert to_linear_operator(Identity(3)).to_dense().dtype == torch.float64


def test_gradients_pass_through() -> None:
    A = spd(2).requires_grad_()
    lo = to_linear_operator(Kronecker(A, spd(3)) + 0.5 * Identity(6))
    lo.to_dense().sum().backward()
    assert A.grad is not None
    B = spd(2).requires_grad_()
    from_linear_operator(operators.KroneckerProductLinearOperator(B, spd(3))).to_dense().sum().backward()
    assert torch.allclose(B.grad, A.grad)


def test_solve_agrees_with_gpytorch() -> None:
    op = CASES["plus-scalar"][0]()
    b = t(6)
    from structkit.kron import logdet, solve

    lo = to_linear_operator(op)
    assert torch.allclose(lo.solve(b[:, None])[:, 0], solve(op, b), rtol=1e-9)
    assert torch.allclose(lo.logdet(), torch.as_tensor(logdet(op)), rtol=1e-9)


@pytest.mark.parametrize(
    "build",
    [
        lambda: BlockTridiagonal(torch.ones(2, 1, 1), torch.zeros(1, 1, 1)),
        lambda: KroneckerSum(t(2, 2), t(2, 2)),
        lambda: Toeplitz(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0])),
    ],
)
def test_structures_unknown_there_become_dense_and_say_so(build: object) -> None:
    op = build()
    with pytest.warns(DensificationWarning):
        lo = to_linear_operator(op)
    assert torch.allclose(lo.to_dense(), op.to_dense())


def test_structures_unknown_here_become_dense_and_say_so() -> None:
    lo = operators.RootLinearOperator(t(3, 2))
    with pytest.warns(DensificationWarning, match="RootLinearOperator"):
        op = from_linear_operator(lo)
    assert torch.allclose(op.to_dense(), lo.to_dense())


def test_identity_and_constant_diagonal() -> None:
    assert isinstance(from_linear_operator(operators.IdentityLinearOperator(3)), Identity)
    lo = operators.ConstantDiagLinearOperator(torch.tensor([2.0]), diag_shape=3)
    op = from_linear_operator(lo)
    assert torch.equal(op @ torch.ones(3), 2 * torch.ones(3))


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="expected an operator"):
        from_linear_operator(torch.eye(2))
    with pytest.raises(ShapeError, match="batch"):
        from_linear_operator(operators.DenseLinearOperator(torch.ones(4, 2, 2)))


def test_complex_numbers_and_mixed_precisions_keep_the_matrix() -> None:
    """gpytorch's operators neither promote nor conjugate: what does not fit them becomes dense, and right."""
    U = torch.complex(t(5, 2), t(5, 2, seed=1))
    K = Kronecker(t(2, 2), t(3, 3))
    mixed = Kronecker(Toeplitz(t(3).float()), t(2, 2), Identity(2))
    for op in (LowRankPlusDiagonal(U, torch.ones(5)), 1j * K, 2.5j * Identity(3), mixed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DensificationWarning)
            lo = to_linear_operator(op)
        want = torch.as_tensor(op.to_dense())
        assert torch.allclose(lo.to_dense(), want, rtol=1e-13, atol=1e-13)
        assert lo.dtype == want.dtype
        x = torch.ones(op.shape[1], 2, dtype=want.dtype)
        assert torch.allclose(lo @ x, want @ x, rtol=1e-12)
        assert torch.allclose(torch.as_tensor(from_linear_operator(lo).to_dense()), want, rtol=1e-13, atol=1e-13)
