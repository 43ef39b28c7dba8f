"""Lazy linear operators, one family per module."""

from structkit.kron.operators import algebra as _algebra  # noqa: F401  (registers the rules)
from structkit.kron.operators.base import LinearOperator
from structkit.kron.operators.block_tridiagonal import BlockTridiagonal
from structkit.kron.operators.congruence import Congruence
from structkit.kron.operators.convert import as_operator
from structkit.kron.operators.dense import Dense, Triangular
from structkit.kron.operators.diagonal import Diagonal, Identity
from structkit.kron.operators.hadamard import hadamard
from structkit.kron.operators.inverses import Inverse
from structkit.kron.operators.khatri_rao import KhatriRao
from structkit.kron.operators.kronecker import Kronecker
from structkit.kron.operators.kronecker_plus_diagonal import KroneckerPlusDiagonal
from structkit.kron.operators.kronecker_sum import KroneckerSum
from structkit.kron.operators.lazy import Product, Scaled, Sum
from structkit.kron.operators.low_rank import LowRankPlusDiagonal
from structkit.kron.operators.masked import Masked
from structkit.kron.operators.sparse import Sparse
from structkit.kron.operators.sum_of_kroneckers import SumOfKroneckers
from structkit.kron.operators.toeplitz import Toeplitz

__all__ = [
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
    "Product",
    "Scaled",
    "Sparse",
    "Sum",
    "SumOfKroneckers",
    "Toeplitz",
    "Triangular",
    "as_operator",
    "hadamard",
]
