"""Kronecker algebra: products of arrays (pure functions) and lazy operators over them."""

__all__: list[str] = []
