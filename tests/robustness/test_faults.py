"""Bad input of every entry point: what each fault gets, and that the message names the argument.

The table reads: by default a fault gets the error in `DEFAULTS`; where an entry point takes it on purpose, `ON_PURPOSE`
says what happens instead. A fault that is in neither table fails, and so does an exception that no longer applies.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from structkit import IndexRangeError, NotFiniteError, NotSymmetricError, ShapeError, StructKitError
from tests.robustness.entry_points import ARGUMENTS, ENTRY_POINTS, KRON, flat

PRODUCTS = {
    "kron_matmul", "kron_rmatmul", "kron", "kron_trace", "mode_product", "multi_mode_product", "unfold", "khatri_rao",
    "mttkrp", "mttkrp_sparse", "ttmc_sparse", "tucker_mttkrp_sparse", "cp_at", "tucker_at",
}  # fmt: skip
STACKS = {"kron_solve", "kron_slogdet", "kron_eigh", "kron_svd", "kron_cholesky", "kron_trace"}
COMPUTES, STOPS = "computes", "says so in the result"


def _with(a, value):
    out = np.array(a, dtype=np.float64)
    out.flat[out.size // 2] = value
    return out


FAULTS = {
    "nan": lambda a: _with(a, np.nan),
    "inf": lambda a: _with(a, np.inf),
    "empty": lambda a: a[:0],
    "scalar": lambda a: np.float64(1.0),
    "extra axis": lambda a: a[None, None],
    "longer": lambda a: np.concatenate([a, a]),
    "text": lambda a: np.full(a.shape, "a"),
    "objects": lambda a: np.full(a.shape, object()),
    "masked": lambda a: np.ma.masked_array(a, np.arange(a.size).reshape(a.shape) % 2 == 0),
    "half": lambda a: a.astype("float16"),
    "complex": lambda a: a * (1 + 1j),
    "none": lambda a: None,
}
DEFAULTS = {
    "nan": NotFiniteError,
    "inf": NotFiniteError,
    **dict.fromkeys(("empty", "scalar", "extra axis", "longer"), ShapeError),
    **dict.fromkeys(("text", "objects", "masked", "half", "complex", "none"), TypeError),
}
# shapes disagree with each other: the message may name the partner, or the product of both
BETWEEN = {"empty", "scalar", "extra axis", "longer"}


def _table():
    """(entry point, argument, fault) -> what happens instead."""
    table: dict[tuple[str, str, str], object] = {}

    def allow(names, keys, faults, outcome):
        for name in names:
            for key in keys or list(ENTRY_POINTS[name].arrays):
                if key in ENTRY_POINTS[name].arrays:
                    table.update({(name, key, fault): outcome for fault in faults})

    everything = list(ENTRY_POINTS)
    # products spread NaN and infinity as the dense product does; complex numbers are numbers
    allow(PRODUCTS | {"nmse", "kron_slogdet", "slogdet"}, None, ("nan", "inf"), COMPUTES)
    allow(KRON, None, ("complex",), COMPUTES)
    allow(["kron_solve", "solve", "lstsq"], ["b"], ("nan", "inf"), COMPUTES)
    allow(["cg"], None, ("nan", "inf"), STOPS)
    allow(["kron_eigh", "kron_cholesky"], None, ("complex",), NotSymmetricError)
    allow(["gaussian_evidence"], ["A", "B"], ("complex",), NotSymmetricError)
    allow(PRODUCTS, ["index"], ("nan", "inf", "complex"), TypeError)
    # stacks of factors and more rows are what these functions take
    allow(STACKS, ["A", "B"], ("extra axis",), COMPUTES)
    allow(["unfold", "polar_factor"], None, ("extra axis", "empty", "longer"), COMPUTES)
    allow(["kron_rmatmul"], ["x"], ("extra axis",), COMPUTES)
    allow(["kron", "khatri_rao", "kron_svd"], None, ("empty", "longer"), COMPUTES)
    allow(["kron_matmul", "mode_product", "multi_mode_product"], ["A", "B"], ("empty", "longer"), COMPUTES)
    allow(["mode_product"], ["X"], ("empty", "longer"), COMPUTES)
    allow(["cp_at", "tucker_at"], ["index"], ("empty", "longer"), COMPUTES)
    sparse = [n for n in PRODUCTS if "index" in ENTRY_POINTS[n].arrays]
    allow(sparse, ["A", "B"], ("longer",), COMPUTES)
    allow(sparse, ["A", "B"], ("empty",), IndexRangeError)
    allow(sparse, ["index"], ("scalar",), TypeError)
    # missing data is NaN; several series at once; other numbers of times and rows
    allow(["kalman_filter", "interpolate", "log_likelihood"], ["y"], ("nan", "extra axis"), COMPUTES)
    allow(["kalman_filter", "interpolate", "log_likelihood"], ["y"], ("none",), ValueError)
    allow(["kalman_filter", "interpolate", "log_likelihood"], ["times"], ("longer",), ValueError)
    allow(["interpolate"], ["new"], ("empty", "longer"), COMPUTES)
    allow(["discretize"], ["dt"], ("empty", "scalar", "extra axis", "longer"), COMPUTES)
    allow(["sample_prior"], ["times"], ("empty", "longer"), COMPUTES)
    allow(["kernel"], None, ("empty", "longer"), COMPUTES)
    allow(["kernel"], ["x2"], ("none",), COMPUTES)
    allow(["GridGP", "GridGP with holes"], ["y"], ("nan",), COMPUTES)
    allow(["GridGP", "GridGP with holes"], ["t", "s"], ("none",), ValueError)
    allow(["GridGP.predict"], ["t"], ("empty", "longer", "none"), COMPUTES)
    tensors = [n for n in everything if n.startswith("Functional")]
    allow(tensors, ["y"], ("nan",), COMPUTES)
    allow(tensors, None, ("complex",), ValueError)
    allow(tensors, ["y"], ("none",), ValueError)
    allow(["FunctionalCP.predict"], ["X"], ("empty", "longer"), COMPUTES)
    sparse_models = ["KroneckerSBL", "SeparableSBL", "KroneckerOMP", "OMP", "SBL", "KroneckerSBL.predict", "nmse"]
    allow(sparse_models, None, ("complex",), COMPUTES)
    allow(["OMP", "SBL"], ["y"], ("none",), ValueError)
    allow(["SBL"], ["y"], ("extra axis",), COMPUTES)
    allow(["KroneckerSBL.predict"], None, ("empty", "longer"), COMPUTES)
    dictionaries = [n for n in everything if n.startswith("Orthogonal")]
    allow(dictionaries, None, ("complex",), ValueError)
    allow(dictionaries, None, ("longer",), COMPUTES)
    allow([n for n in dictionaries if n != "OrthogonalDictionary"], None, ("empty",), COMPUTES)
    allow(["OrthogonalDictionary"], None, ("empty",), ValueError)
    allow(["dictionary_distance"], None, ("complex",), COMPUTES)
    allow(
        ["GPSolver.predict", "GPSolver.predict_points", "ChebyshevSolution.predict"],
        None,
        ("empty", "longer"),
        COMPUTES,
    )
    allow(["PDE"], ["x"], ("longer",), ValueError)
    allow(["PDE"], ["source"], ("scalar",), ValueError)
    allow(["GPSolver frequencies"], None, ("empty", "longer"), COMPUTES)
    allow(["OnCurve"], None, ("longer",), COMPUTES)
    return table


ON_PURPOSE = _table()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
@pytest.mark.filterwarnings("ignore::structkit.ConvergenceWarning", "ignore::RuntimeWarning")
def test_every_fault_gets_its_answer(name, key, fault):
    point = ENTRY_POINTS[name]
    given = {**point.arrays, key: FAULTS[fault](point.arrays[key])}
    expected = ON_PURPOSE.get((name, key, fault), DEFAULTS[fault])
    if expected in (COMPUTES, STOPS):
        flat(point.call(**given))
        return
    with pytest.raises(Exception) as caught:
        point.call(**given)
    assert type(caught.value).__name__ == expected.__name__, str(caught.value)
    assert issubclass(expected, (StructKitError, TypeError, ValueError))
    if fault in BETWEEN:
        assert re.search("shape|rows|levels|axes|mode|features|" + re.escape(point.name(key)), str(caught.value))
    else:
        assert point.name(key) in str(caught.value)


def test_conjugate_gradients_stop_at_nan_and_say_so():
    from structkit.kron import cg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = cg(np.array([[np.nan, 1.0], [1.0, 2.0]]), np.ones(2))
    assert result.status == "not_finite"
    assert not result.converged
