"""Rules of the functions on operators, by function; importing the package registers them."""

from structkit.kron.rules import determinant, inverse, least_squares, preconditioners, roots, spectral

__all__ = ["determinant", "inverse", "least_squares", "preconditioners", "roots", "spectral"]
