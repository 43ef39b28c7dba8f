"""Orthogonal dictionaries, learned from samples or from a stream of them."""

from structkit.dictionary.metrics import AtomMatch, code_sparsity, dictionary_distance, match_atoms
from structkit.dictionary.model import OrthogonalDictionary

__all__ = ["AtomMatch", "OrthogonalDictionary", "code_sparsity", "dictionary_distance", "match_atoms"]
