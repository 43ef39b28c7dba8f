"""Comparisons with other libraries in one process and run: ``python -m tests.benchmarks``."""
