"""Lazy linear operators, one family per module."""

__all__: list[str] = []
