"""Tensors with continuous indexes: Bayesian CP and Tucker decompositions whose factors are functions."""

from structkit.tucker.model import FunctionalCP, FunctionalTucker

__all__ = ["FunctionalCP", "FunctionalTucker"]
