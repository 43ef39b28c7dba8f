"""Tests and checkers of the project itself: imports, docstrings, sizes, README."""
