"""Kronecker algebra: products of arrays (pure functions) and lazy operators over them."""

from structkit.kron.layout import fold, unfold, unvec, vec
from structkit.kron.tensor import mode_product, multi_mode_product

__all__ = ["fold", "mode_product", "multi_mode_product", "unfold", "unvec", "vec"]
