"""Sparse Bayesian learning behind Kronecker products of dictionaries: support, coefficients, error bars, noise."""

from structkit.sbl.base import CoordinateList
from structkit.sbl.evidence import SBLEvidence, SBLGradient, SBLPosterior, sbl_evidence, sbl_posterior
from structkit.sbl.model import KroneckerSBL

__all__ = [
    "CoordinateList",
    "KroneckerSBL",
    "SBLEvidence",
    "SBLGradient",
    "SBLPosterior",
    "sbl_evidence",
    "sbl_posterior",
]
