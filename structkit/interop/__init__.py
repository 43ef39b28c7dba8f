"""Adapters to the libraries around structkit, each imported when it is used."""

from structkit.interop.gpytorch import to_gpytorch

__all__ = ["to_gpytorch"]
