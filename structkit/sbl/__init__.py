"""Sparse Bayesian learning behind Kronecker products of dictionaries: support, coefficients, error bars, noise."""

from structkit.sbl.base import CoordinateList
from structkit.sbl.channel import ChannelReport, IRSChannel, compare_channel_estimators, irs_mimo, steering_matrix
from structkit.sbl.classic import SBL
from structkit.sbl.evidence import SBLEvidence, SBLGradient, SBLPosterior, sbl_evidence, sbl_posterior
from structkit.sbl.greedy import KroneckerOMP
from structkit.sbl.metrics import nmse, support_recovery_rate, symbol_error_rate
from structkit.sbl.model import KroneckerSBL
from structkit.sbl.offgrid import OffGridFit, refine_offgrid
from structkit.sbl.pursuit import OMP
from structkit.sbl.separable import SeparableSBL

__all__ = [
    "OMP",
    "SBL",
    "ChannelReport",
    "CoordinateList",
    "IRSChannel",
    "KroneckerOMP",
    "KroneckerSBL",
    "OffGridFit",
    "SBLEvidence",
    "SBLGradient",
    "SBLPosterior",
    "SeparableSBL",
    "compare_channel_estimators",
    "irs_mimo",
    "nmse",
    "refine_offgrid",
    "sbl_evidence",
    "sbl_posterior",
    "steering_matrix",
    "support_recovery_rate",
    "symbol_error_rate",
]
