"""The documented signatures of `structkit.kron`: nothing renamed, additions only as keyword options."""

import inspect

import pytest

import structkit.kron

REQUIRED = inspect.Parameter.empty

# name -> (positional parameters, keyword-only parameters), each with its default
CONTRACT = {
    "kron_matmul": ({"factors": REQUIRED, "x": REQUIRED}, {"adjoint": False, "out": None, "plan": None}),
    "kron_plan": ({"shapes": REQUIRED, "dtype": REQUIRED}, {"n_columns": 1, "namespace": "numpy"}),
    "kron": ({"*factors": REQUIRED}, {"out": None}),
    "kron_solve": ({"factors": REQUIRED, "b": REQUIRED}, {"noise_var": 0.0, "assume": "general"}),
    "kron_slogdet": ({"factors": REQUIRED}, {}),
    "kron_eigh": ({"factors": REQUIRED}, {}),
    "mode_product": ({"X": REQUIRED, "A": REQUIRED, "mode": REQUIRED}, {}),
    "multi_mode_product": (
        {"X": REQUIRED, "matrices": REQUIRED},
        {"modes": None, "skip": None, "adjoint": False},
    ),
    "unfold": ({"X": REQUIRED, "mode": REQUIRED}, {}),
    "fold": ({"M": REQUIRED, "mode": REQUIRED, "shape": REQUIRED}, {}),
    "vec": ({"X": REQUIRED, "order": "C"}, {}),
    "unvec": ({"x": REQUIRED, "shape": REQUIRED, "order": "C"}, {}),
    "khatri_rao": ({"matrices": REQUIRED}, {"out": None}),
    "mttkrp": ({"X": REQUIRED, "matrices": REQUIRED, "mode": REQUIRED}, {}),
    "mttkrp_sparse": ({"index": REQUIRED, "values": REQUIRED, "matrices": REQUIRED, "mode": REQUIRED}, {}),
    "cp_at": ({"index": REQUIRED, "matrices": REQUIRED, "weights": None}, {}),
    "tucker_mttkrp_sparse": (
        {"index": REQUIRED, "values": REQUIRED, "core": REQUIRED, "matrices": REQUIRED, "mode": REQUIRED},
        {},
    ),
    "ttmc_sparse": ({"index": REQUIRED, "values": REQUIRED, "matrices": REQUIRED, "mode": REQUIRED}, {}),
    "tucker_at": ({"index": REQUIRED, "core": REQUIRED, "matrices": REQUIRED}, {}),
    "gaussian_evidence": ({"factors": REQUIRED, "y": REQUIRED, "noise_var": REQUIRED}, {"grad": False}),
    "solve": ({"op": REQUIRED, "b": REQUIRED}, {"method": None}),
    "inverse": ({"op": REQUIRED}, {}),
    "slogdet": ({"op": REQUIRED}, {}),
    "logdet": ({"op": REQUIRED}, {}),
    "eigh": ({"op": REQUIRED}, {}),
    "svd": ({"op": REQUIRED}, {}),
    "cholesky": ({"op": REQUIRED}, {}),
    "sqrtm": ({"op": REQUIRED}, {}),
    "diagonal": ({"op": REQUIRED}, {}),
    "trace": ({"op": REQUIRED}, {}),
    "lstsq": ({"op": REQUIRED, "b": REQUIRED}, {}),
    "cg": (
        {"op": REQUIRED, "b": REQUIRED},
        {"preconditioner": None, "tol": 1e-10, "max_iter": None, "x0": None},
    ),
    "Dense": ({"matrix": REQUIRED}, {}),
    "Diagonal": ({"values": REQUIRED}, {}),
    "Identity": ({"n": REQUIRED}, {}),
    "Kronecker": ({"*factors": REQUIRED}, {}),
    "KroneckerSum": ({"*factors": REQUIRED}, {}),
    "KhatriRao": ({"*matrices": REQUIRED}, {}),
    "Toeplitz": ({"column": REQUIRED, "row": None}, {}),
    "BlockTridiagonal": ({"diag": REQUIRED, "lower": REQUIRED, "upper": None}, {}),
    "LowRankPlusDiagonal": ({"U": REQUIRED, "diag": REQUIRED, "C": None}, {}),
    "KroneckerPlusDiagonal": ({"kron": REQUIRED, "diag": REQUIRED}, {}),
    "SumOfKroneckers": ({"first": REQUIRED, "second": REQUIRED}, {}),
    "Masked": ({"op": REQUIRED, "mask": REQUIRED, "column_mask": None}, {}),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_signature(name):
    positional, keywords = CONTRACT[name]
    assert name in structkit.kron.__all__
    parameters = inspect.signature(getattr(structkit.kron, name)).parameters.values()
    keyword_only = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    others = {
        ("*" if p.kind is p.VAR_POSITIONAL else "") + p.name: p.default
        for p in parameters
        if p.name not in keyword_only
    }
    assert others == positional
    assert {n: keyword_only[n] for n in keywords} == keywords


def test_operators_share_the_documented_interface():
    base = structkit.kron.LinearOperator
    for name in (
        "T",
        "H",
        "conj",
        "to_dense",
        "diagonal",
        "trace",
        "__matmul__",
        "__add__",
        "__sub__",
        "__mul__",
        "__truediv__",
    ):
        assert hasattr(base, name), name
    operator = structkit.kron.Identity(2)
    assert (operator.shape, str(operator.dtype), operator.device) == ((2, 2), "float64", "cpu")
    for name, thing in vars(structkit.kron).items():
        if inspect.isclass(thing) and name in CONTRACT:
            assert issubclass(thing, base), name


def test_plans_and_results_have_the_documented_fields():
    plan = structkit.kron.kron_plan([(2, 2), (3, 3)], "float64")
    assert all(hasattr(plan, name) for name in ("order", "merges", "flops", "bytes"))
    result = structkit.kron.cg([[2.0]], [1.0])
    assert (result.value.tolist(), result.status, result.n_iter, result.residual) == ([0.5], "converged", 1, 0.0)
    assert structkit.kron.kron_slogdet([[[2.0]]])._fields == ("sign", "logabsdet")
