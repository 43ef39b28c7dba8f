"""Kronecker algebra: products of arrays (pure functions) and lazy operators over them."""

from structkit.kron.decompositions import (
    KronEigh,
    KronSlogdet,
    KronSVD,
    kron_cholesky,
    kron_diag,
    kron_eigh,
    kron_rows,
    kron_slogdet,
    kron_svd,
    kron_trace,
)
from structkit.kron.dense import kron
from structkit.kron.entries import CPGradient, cp_at, cp_at_gradient, mttkrp_sparse
from structkit.kron.evidence import Evidence, EvidenceGradient, gaussian_evidence
from structkit.kron.iterative import CGState, cg
from structkit.kron.khatri_rao import khatri_rao, mttkrp
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
from structkit.kron.solvers import kron_solve
from structkit.kron.tensor import mode_product, multi_mode_product
from structkit.kron.tucker_entries import TuckerGradient, tucker_at, tucker_at_gradient

__all__ = [
    "kron_trace",
    "kron_svd",
    "kron_slogdet",
    "kron_rows",
    "kron_eigh",
    "kron_diag",
    "kron_cholesky",
    "KronSlogdet",
    "KronSVD",
    "KronEigh",
    "gaussian_evidence",
    "EvidenceGradient",
    "Evidence",
    "kron_solve",
    "tucker_at_gradient",
    "tucker_at",
    "TuckerGradient",
    "mttkrp",
    "khatri_rao",
    "mttkrp_sparse",
    "cp_at_gradient",
    "cp_at",
    "CPGradient",
    "kron",
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
