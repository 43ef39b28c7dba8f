"""Adapters to the libraries around structkit, each imported when it is used."""

from structkit.interop.gpytorch import to_gpytorch
from structkit.interop.linear_operator import from_linear_operator, to_linear_operator
from structkit.interop.scipy import as_scipy
from structkit.interop.tensorly import from_tensorly, to_tensorly

__all__ = [
    "as_scipy",
    "from_linear_operator",
    "from_tensorly",
    "to_gpytorch",
    "to_linear_operator",
    "to_tensorly",
]
