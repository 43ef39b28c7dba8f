"""Kronecker algebra: products of arrays (pure functions) and lazy operators over them."""

from structkit.kron.iterative import CGState, cg
from structkit.kron.layout import fold, unfold, unvec, vec
from structkit.kron.operators import (
    BlockTridiagonal,
    Congruence,
    Dense,
    Diagonal,
    Identity,
    Inverse,
    KhatriRao,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    Sparse,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    as_operator,
    hadamard,
)
from structkit.kron.plan import KronPlan, kron_plan
from structkit.kron.products import kron_matmul, kron_rmatmul
from structkit.kron.tensor import mode_product, multi_mode_product

__all__ = [
    "cg",
    "CGState",
    "BlockTridiagonal",
    "Congruence",
    "Dense",
    "Diagonal",
    "Identity",
    "Inverse",
    "KhatriRao",
    "Kronecker",
    "KroneckerPlusDiagonal",
    "KroneckerSum",
    "LinearOperator",
    "LowRankPlusDiagonal",
    "Masked",
    "Sparse",
    "SumOfKroneckers",
    "Toeplitz",
    "Triangular",
    "as_operator",
    "hadamard",
    "KronPlan",
    "kron_matmul",
    "kron_plan",
    "kron_rmatmul",
    "fold",
    "mode_product",
    "multi_mode_product",
    "unfold",
    "unvec",
    "vec",
]
