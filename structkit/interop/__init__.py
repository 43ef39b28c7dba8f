"""Adapters to the libraries around structkit, each imported when it is used."""

from structkit.gp import from_gpytorch
from structkit.interop.gpytorch import to_gpytorch
from structkit.interop.linear_operator import from_linear_operator, to_linear_operator
from structkit.interop.scipy import as_scipy
from structkit.interop.tensorly import from_tensorly, to_tensorly
from structkit.interop.tensorly_backend import register_tensorly_backend

__all__ = [
    "as_scipy",
    "from_gpytorch",
    "from_linear_operator",
    "from_tensorly",
    "register_tensorly_backend",
    "to_gpytorch",
    "to_linear_operator",
    "to_tensorly",
]
