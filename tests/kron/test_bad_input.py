"""Bad input: every entry point raises the right error; the message says what was expected, what came, what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from structkit import (
    BackendMismatchError,
    ConvergenceWarning,
    NotFiniteError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    NotTriangularError,
    ShapeError,
    SingularFactorError,
    SizeError,
    StructKitError,
)
from structkit.kron import (
    BlockTridiagonal,
    Dense,
    Diagonal,
    Identity,
    KhatriRao,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LowRankPlusDiagonal,
    Masked,
    Sparse,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
    cg,
    cholesky,
    cp_at,
    eigh,
    gaussian_evidence,
    hadamard,
    inverse,
    khatri_rao,
    kron,
    kron_cholesky,
    kron_diag,
    kron_eigh,
    kron_matmul,
    kron_plan,
    kron_rmatmul,
    kron_rows,
    kron_slogdet,
    kron_solve,
    kron_svd,
    kron_trace,
    lstsq,
    mode_product,
    mttkrp,
    mttkrp_sparse,
    multi_mode_product,
    slogdet,
    solve,
    sqrtm,
    stochastic_logdet,
    svd,
    tucker_at,
    unvec,
)

Call = Callable[[], object]

I2, I3, ONES6 = np.eye(2), np.eye(3), np.ones(6)
T2 = torch.eye(2, dtype=torch.float64)
UNSYMMETRIC = np.array([[1.0, 2.0], [0.0, 1.0]])
SINGULAR = np.ones((3, 3))
NAN = np.array([[1.0, np.nan], [np.nan, 1.0]])
WIDE, TALL = np.ones((2, 3)), np.ones((3, 2))
K6 = Kronecker(I2, I3)
BIG = Kronecker(*[np.eye(1000)] * 4)
ENTRY = np.zeros((1, 1), int)


def check(call: Call, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


WRONG_LENGTH: list[tuple[Call, str]] = [
    (lambda: kron_matmul([I2, I3], np.ones(5)), r"x has shape \(5,\); expected N = 2 \* 3 = 6 rows, got 5"),
    (lambda: kron_matmul([I2, I3], np.ones((2, 3))), "must be flattened first, or use multi_mode_product"),
    (lambda: kron_matmul([I2], 3.0), r"x is a scalar; expected shape \(N,\)"),
    (lambda: kron_matmul([I2, I3], da.ones(5)), "expected N = 2"),
    (lambda: kron_rmatmul([I2, I3], np.ones(5)), "expected N = 2"),
    (lambda: kron_solve([I2, I3], np.ones(5)), r"b has shape \(5,\); expected N = 2 \* 3 = 6 rows, got 5"),
    (lambda: gaussian_evidence([I2, I3], np.ones(5), 0.1), r"y has shape \(5,\); expected \(2, 3\) or \(6,\)"),
    (lambda: K6 @ np.ones(5), "expected N = 2"),
    (lambda: np.ones(5) @ K6, "expected N = 2"),
    (lambda: Dense(I2) @ np.ones(3), "expected N = 2 rows, got 3"),
    (lambda: K6.apply_tensor(np.ones((3, 2))), r"X has shape \(3, 2\); expected its last axes to be \(2, 3\)"),
    (lambda: solve(K6, np.ones(5)), r"b has shape \(5,\); expected 6 rows"),
    (lambda: inverse(K6) @ np.ones(5), "expected N = 2"),
    (lambda: lstsq(K6, np.ones(5)), "expected N = 2"),
    (lambda: cg(K6, np.ones(5)), r"op has shape \(6, 6\); expected \(5, 5\), the rows of b"),
    (lambda: cg(I2, np.ones(2), x0=np.ones(3)), r"x0 has shape \(3,\); expected that of b, \(2,\)"),
    (lambda: unvec(np.ones(5), (2, 3)), r"x has shape \(5,\); expected \(6,\)"),
    (lambda: cp_at([[0, 0]], [I2]), r"index has shape \(1, 2\); expected \(S, 1\)"),
    (lambda: tucker_at([[0, 0]], I2, [I2]), r"1 matrices for a core of shape \(2, 2\); expected 2"),
    (lambda: mttkrp_sparse([[0, 0]], np.ones(2), [I2, I2], 0), "1 rows for 2 values; expected one row per value"),
    (lambda: Masked(K6, np.ones(5, bool)), r"mask has shape \(5,\); expected \(6,\) or \(2, 3\)"),
    (lambda: KroneckerPlusDiagonal([I2, I3], np.ones(5)), r"diag has shape \(5,\); expected a number"),
]


@pytest.mark.parametrize(("call", "match"), WRONG_LENGTH)
def test_wrong_length(call: Call, match: str) -> None:
    check(call, ShapeError, match)


WRONG_FACTOR: list[tuple[Call, str]] = [
    (lambda: kron_matmul([np.ones(2), I3], ONES6), r"factors\[0\] has shape \(2,\); expected a matrix"),
    (lambda: kron_matmul(I2, np.ones(2)), r"factors\[0\] has shape \(2,\); expected a matrix.* goes in a list, \[A\]"),
    (lambda: kron_solve([WIDE, TALL], ONES6), r"factors\[0\] has shape \(2, 3\); kron_solve needs every.*lstsq"),
    (lambda: kron_slogdet([WIDE, TALL]), r"factors\[0\] has shape \(2, 3\); kron_slogdet needs every factor square"),
    (lambda: kron_eigh([I2, WIDE]), r"factors\[1\] has shape \(2, 3\)"),
    (lambda: kron_cholesky([WIDE]), "every factor square"),
    (lambda: kron_trace([WIDE]), "every factor square"),
    (lambda: gaussian_evidence([I2, WIDE], ONES6, 0.1), r"factors\[1\] has shape \(2, 3\)"),
    (lambda: gaussian_evidence([np.ones((4, 2, 2))], np.ones(2), 0.1), "one matrix per axis"),
    (lambda: inverse(Kronecker(WIDE, TALL)), r"factors\[0\] has shape \(2, 3\); inverse.*every factor square.*lstsq"),
    (lambda: slogdet(WIDE), r"Dense has shape \(2, 3\); slogdet needs a square operator"),
    (lambda: cholesky(WIDE), "needs a square operator"),
    (lambda: sqrtm(WIDE), "needs a square operator"),
    (lambda: eigh(WIDE), "needs a square operator"),
    (lambda: stochastic_logdet(WIDE), "needs a square operator"),
    (lambda: Kronecker(I2, np.ones(3)), r"factors\[1\] has shape \(3,\); expected 2 dimensions"),
    (lambda: KroneckerSum(WIDE), r"factors\[0\] has shape \(2, 3\); KroneckerSum needs every factor square"),
    (lambda: KroneckerPlusDiagonal([WIDE], 1.0), "every factor square"),
    (lambda: SumOfKroneckers(Kronecker(I2), Kronecker(I3)), r"sizes \(2,\) and second \(3,\); they must pair up"),
    (lambda: KhatriRao(I2, I3), r"\[2, 3\] columns; a Khatri-Rao product needs the same number"),
    (lambda: khatri_rao([I2, I3]), r"matrices\[1\] has shape \(3, 3\); expected \(n_1, 2\)"),
    (lambda: mttkrp(WIDE, [I2, I2], 0), r"a tensor of shape \(2, 3\) needs \(n_d, 2\) for every axis"),
    (lambda: mode_product(WIDE, I2, 1), r"2 columns; axis 1 of the tensor of shape \(2, 3\) has length 3"),
    (lambda: mode_product(WIDE, I2, 2), "mode 2 does not exist"),
    (lambda: Toeplitz(I2), "expected 1 dimension"),
    (lambda: Diagonal(I2), "expected 1 dimension"),
    (lambda: Triangular(WIDE), "a triangular operator is square"),
    (lambda: BlockTridiagonal(np.ones((2, 2, 2)), np.ones((2, 2, 2))), r"lower has shape \(2, 2, 2\); expected \(1"),
    (lambda: LowRankPlusDiagonal(np.ones((3, 1)), np.ones(2)), r"diag has shape \(2,\); expected \(3,\)"),
    (lambda: Kronecker(I2) + Kronecker(I3), r"shapes \(2, 2\) and \(3, 3\) cannot be added"),
    (lambda: Kronecker(I2) @ Kronecker(I3), "do not chain: inner sizes differ"),
    (lambda: hadamard(I2, I3), "have no entrywise product"),
    (lambda: kron_plan([(2,)], float), r"shapes\[0\] is \(2,\); expected a pair"),
]


@pytest.mark.parametrize(("call", "match"), WRONG_FACTOR)
def test_wrong_factor_shape(call: Call, match: str) -> None:
    check(call, ShapeError, match)


TORCH_SINGULAR = torch.from_numpy(SINGULAR)
SINGULAR_FACTOR: list[tuple[Call, type[Exception], str]] = [
    (lambda: kron_solve([I2, SINGULAR], ONES6), SingularFactorError, r"factors\[1\].*reciprocal condition.*Add noise"),
    (lambda: kron_solve([T2, TORCH_SINGULAR], torch.ones(6)), SingularFactorError, r"factors\[1\].*reciprocal cond"),
    (lambda: kron_solve([I2, SINGULAR], ONES6, assume="pos"), NotPositiveDefiniteError, r"factors\[1\].*Add noise"),
    (lambda: solve(Kronecker(I2, SINGULAR), ONES6), SingularFactorError, r"factors\[1\].*reciprocal.*pinv"),
    (lambda: inverse(Kronecker(T2, TORCH_SINGULAR)), SingularFactorError, r"factors\[1\].*reciprocal.*pinv"),
    (lambda: solve(KroneckerSum(I2, -I2), np.ones(4)), SingularFactorError, "Shift it"),
    (lambda: solve(Toeplitz(np.ones(3)), np.ones(3)), SingularFactorError, "reciprocal condition"),
    (lambda: solve(Diagonal(np.zeros(2)), np.ones(2)), SingularFactorError, "reciprocal condition 0.*pinv"),
    (lambda: solve(Sparse(sp.csr_array((2, 2))), np.ones(2)), SingularFactorError, "reciprocal condition"),
    (lambda: solve(0 * Kronecker(I2), np.ones(2)), SingularFactorError, "scaled by 0"),
    (lambda: inverse(LowRankPlusDiagonal(I2[:, :1], -np.ones(2))) @ np.ones(2), SingularFactorError, "reciprocal"),
    (lambda: cholesky(Kronecker(I2, SINGULAR)), NotPositiveDefiniteError, r"factors\[1\].*smallest eigenvalue"),
    (lambda: gaussian_evidence([I2, SINGULAR], ONES6, 0.0), NotPositiveDefiniteError, r"factors\[1\].*noise_var"),
    (
        lambda: solve(SumOfKroneckers(Kronecker(I3), Kronecker(SINGULAR)), np.ones(3)),
        NotPositiveDefiniteError,
        r"second\.factors\[0\]",
    ),
]


@pytest.mark.filterwarnings("ignore::structkit.DensificationWarning")
@pytest.mark.parametrize(("call", "error", "match"), SINGULAR_FACTOR)
def test_singular_factor(call: Call, error: type[Exception], match: str) -> None:
    check(call, error, match)
    assert issubclass(error, np.linalg.LinAlgError)


SINGULAR_MATRICES = {
    "dense": lambda: Dense(SINGULAR),
    "torch": lambda: Dense(TORCH_SINGULAR),
    "kronecker": lambda: Kronecker(I2, SINGULAR),
    "triangular": lambda: Triangular(np.diag([1.0, 0.0])),
    "diagonal": lambda: Diagonal(np.array([1.0, 0.0])),
    "sparse": lambda: Sparse(sp.csr_array(np.diag([1.0, 0.0]))),
    "blocks": lambda: BlockTridiagonal(np.zeros((2, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))),
    "low-rank": lambda: LowRankPlusDiagonal(I2[:, :1], np.array([-1.0, 1.0])),
    "kronecker-sum": lambda: KroneckerSum(I2, -I2),
    "scaled": lambda: 0.0 * Kronecker(I2, I3),
}


@pytest.mark.parametrize("name", SINGULAR_MATRICES)
def test_the_determinant_of_a_singular_operator_is_zero(name: str) -> None:
    sign, logabs = slogdet(SINGULAR_MATRICES[name]())
    assert float(sign) == 0
    assert float(logabs) == -np.inf


NOT_SYMMETRIC: list[tuple[Call, str]] = [
    (lambda: kron_eigh([I2, UNSYMMETRIC]), r"factors\[1\].*not symmetric.*symmetrise"),
    (lambda: kron_cholesky([UNSYMMETRIC]), r"factors\[0\].*not symmetric"),
    (lambda: kron_solve([UNSYMMETRIC], np.ones(2), assume="sym"), r'factors\[0\].*assume="general"'),
    (lambda: gaussian_evidence([I2, UNSYMMETRIC], np.ones(4), 0.1), r"factors\[1\].*not symmetric"),
    (lambda: eigh(Kronecker(I2, UNSYMMETRIC)), r"factors\[1\].*not symmetric.*Symmetrise"),
    (lambda: cholesky(Kronecker(UNSYMMETRIC)), r"factors\[0\].*not symmetric"),
    (lambda: solve(SumOfKroneckers(Kronecker(UNSYMMETRIC), Kronecker(I2)), np.ones(2)), r"first\.factors\[0\]"),
    (lambda: solve(KroneckerPlusDiagonal([UNSYMMETRIC], [np.ones(2)]), np.ones(2)), r"factors\[0\]"),
    (lambda: solve(KroneckerPlusDiagonal([I2, UNSYMMETRIC], np.arange(1.0, 5)), np.ones(4)), r"factors\[1\]"),
    (lambda: lstsq(KroneckerSum(UNSYMMETRIC, I2), np.ones(4)), r"factors\[0\]"),
]


@pytest.mark.parametrize(("call", "match"), NOT_SYMMETRIC)
def test_symmetry_where_it_is_needed(call: Call, match: str) -> None:
    check(call, NotSymmetricError, match)


def test_triangular_where_it_is_promised() -> None:
    check(lambda: kron_solve([UNSYMMETRIC], np.ones(2), assume="lower"), NotTriangularError, "numpy.tril")


NOT_FINITE: list[tuple[Call, str]] = [
    (lambda: kron_solve([I2, NAN], np.ones(4)), r"factors\[1\] of shape \(2, 2\) contains NaN"),
    (lambda: kron_solve([NAN], np.ones(2), noise_var=0.1), r"factors\[0\].*contains NaN"),
    (lambda: kron_eigh([NAN]), r"factors\[0\].*contains NaN"),
    (lambda: kron_svd([I2, NAN]), r"factors\[1\].*contains NaN"),
    (lambda: kron_cholesky([NAN]), r"factors\[0\].*contains NaN"),
    (lambda: gaussian_evidence([NAN], np.ones(2), 0.1), r"factors\[0\].*contains NaN"),
    (lambda: gaussian_evidence([I2], np.array([1.0, np.nan]), 0.1), "y contains NaN.*Mask missing data"),
    (lambda: solve(NAN, np.ones(2)), r"matrix of shape \(2, 2\) contains NaN"),
    (lambda: solve(torch.from_numpy(NAN), torch.ones(2)), "contains NaN"),
    (lambda: solve(Kronecker(I2, NAN), np.ones(4)), r"factors\[1\].*contains NaN"),
    (lambda: solve(Kronecker(NAN) + Identity(2), np.ones(2)), r"factors\[0\].*contains NaN"),
    (lambda: solve(KroneckerSum(I2, NAN), np.ones(4)), r"factors\[1\].*contains NaN"),
    (lambda: solve(SumOfKroneckers(Kronecker(NAN), Kronecker(I2)), np.ones(2)), r"first\.factors\[0\].*contains NaN"),
    (lambda: solve(Triangular(np.tril(NAN)), np.ones(2)), "contains NaN"),
    (lambda: solve(Diagonal(NAN[0]), np.ones(2)), "diagonal.*contains NaN"),
    (lambda: solve(sp.csr_array(NAN), np.ones(2)), "contains NaN"),
    (lambda: solve(BlockTridiagonal(np.full((2, 1, 1), np.nan), np.ones((1, 1, 1))), np.ones(2)), "diag.*contains NaN"),
    (lambda: solve(LowRankPlusDiagonal(NAN[:, :1], 1.0), np.ones(2)), "contains NaN"),
    (lambda: eigh(NAN), "contains NaN"),
    (lambda: svd(NAN), "contains NaN"),
    (lambda: lstsq(NAN, np.ones(2)), "contains NaN"),
    (lambda: cholesky(NAN), "contains NaN"),
    (lambda: sqrtm(NAN), "contains NaN"),
    (lambda: stochastic_logdet(NAN), "met NaN"),
]


@pytest.mark.parametrize(("call", "match"), NOT_FINITE)
def test_nan_in_what_is_factorised(call: Call, match: str) -> None:
    check(call, NotFiniteError, match)
    assert issubclass(NotFiniteError, (StructKitError, ValueError))


def test_nan_in_an_iteration_is_a_status_with_a_warning() -> None:
    for op, b in [(NAN, np.ones(2)), (I2, np.array([np.nan, 1.0]))]:
        with pytest.warns(ConvergenceWarning, match=r"'not_finite'.*NaN in the input"):
            assert cg(op, b).status == "not_finite"


@pytest.mark.parametrize("noise_var", [-1e-9, np.nan, np.inf])
def test_noise_that_is_no_variance(noise_var: float) -> None:
    for call in (
        lambda: kron_solve([I2], np.ones(2), noise_var=noise_var),
        lambda: gaussian_evidence([I2], np.ones(2), noise_var),
    ):
        check(call, ValueError, "noise_var must be a finite number >= 0, a variance; got")


EMPTY: list[Call] = [
    lambda: kron_matmul([], np.ones(1)),
    lambda: kron_plan([], float),
    lambda: kron(),
    lambda: kron_solve([], np.ones(1)),
    lambda: kron_slogdet([]),
    lambda: kron_eigh([]),
    lambda: kron_svd([]),
    lambda: kron_cholesky([]),
    lambda: kron_trace([]),
    lambda: kron_diag([]),
    lambda: kron_rows([], np.zeros((1, 0), int)),
    lambda: gaussian_evidence([], np.ones(1), 0.1),
    lambda: khatri_rao([]),
    lambda: mttkrp(np.ones(()), [], 0),
    lambda: mttkrp_sparse(np.zeros((1, 0), int), np.ones(1), [], 0),
    lambda: multi_mode_product(np.ones(2), []),
    lambda: cp_at(np.zeros((1, 0), int), []),
    lambda: tucker_at(np.zeros((1, 0), int), np.ones(()), []),
    lambda: Kronecker(),
    lambda: KroneckerSum(),
    lambda: KhatriRao(),
    lambda: KroneckerPlusDiagonal([], 1.0),
]


@pytest.mark.parametrize("call", EMPTY)
def test_empty_list(call: Call) -> None:
    check(call, ShapeError, "at least one")


LONG = [np.ones((10**6, 1))] * 3
TOO_LARGE: list[Call] = [
    lambda: kron(*BIG.arrays),
    lambda: kron(*map(torch.from_numpy, [np.eye(1000)] * 4)),
    lambda: khatri_rao(LONG),
    lambda: khatri_rao(list(map(torch.from_numpy, LONG))),
    lambda: kron_matmul(LONG, np.ones(1)),
    lambda: kron_matmul(list(map(torch.from_numpy, LONG)), torch.ones(1, dtype=torch.float64)),
    lambda: kron_matmul([torch.ones(2, 10**6, 1)] * 3, torch.ones(1, 1)),
    lambda: mode_product(LONG[0], LONG[0], 1),
    lambda: mode_product(torch.from_numpy(LONG[0]), torch.from_numpy(LONG[0]), 1),
    lambda: kron_diag([np.eye(1000)] * 5),
    lambda: kron_rows([np.eye(1000)] * 5, np.zeros((1, 5), int)),
    lambda: Kronecker(*LONG) @ np.ones(1),
    lambda: BIG.to_dense(),
    lambda: BIG.diagonal(),
    lambda: BIG.as_scipy(),
    lambda: inverse(BIG + Identity(10**12)),
    lambda: slogdet(BIG + Identity(10**12)),
    lambda: slogdet(BIG - 1j * Identity(10**12)),
    lambda: slogdet(KroneckerPlusDiagonal(BIG, [np.ones(1000)] * 4)),
    lambda: inverse(KroneckerSum(*BIG.factors)),
    lambda: stochastic_logdet(BIG),
    lambda: Identity(10**20).diagonal(),
]


@pytest.mark.parametrize("call", TOO_LARGE)
def test_size_beyond_memory(call: Call) -> None:
    check(call, SizeError, r"would take .* GiB and .* GiB are available.*Keep the structure")
    assert issubclass(SizeError, MemoryError)


def test_limit_of_the_caller() -> None:
    check(lambda: K6.to_dense(max_bytes=10), SizeError, "takes 288 bytes and max_bytes is 10.*raise max_bytes")


MIXED: list[tuple[Call, str]] = [
    (lambda: kron_matmul([I2, T2], np.ones(4)), "numpy and torch.*Convert explicitly"),
    (lambda: kron_matmul([I2, I3], torch.ones(6)), "numpy and torch"),
    (lambda: kron_matmul([T2], da.ones(2)), "dask and torch"),
    (lambda: kron_matmul([T2], torch.ones(2, device="meta", dtype=torch.float64)), "cpu and meta.*Move them"),
    (lambda: kron_matmul([I2], np.ones(2), out=torch.ones(2)), "out must be a numpy array like x; got Tensor"),
    (lambda: kron_matmul([T2], torch.ones(2), out=np.ones(2)), "out must be a torch tensor like x; got ndarray"),
    (lambda: kron(I2, T2), "numpy and torch"),
    (lambda: kron_solve([I2], torch.ones(2)), "numpy and torch"),
    (lambda: kron_solve([I2], np.ones(2), noise_var=torch.tensor(0.1)), "noise_var is a torch scalar"),
    (lambda: gaussian_evidence([I2], torch.ones(2), 0.1), "numpy and torch"),
    (lambda: gaussian_evidence([I2], np.ones(2), torch.tensor(0.1)), "noise_var is a torch scalar"),
    (lambda: multi_mode_product(I2, [T2, T2]), "numpy and torch"),
    (lambda: khatri_rao([I2, T2]), "numpy and torch"),
    (lambda: mttkrp(I2, [T2, T2], 0), "numpy and torch"),
    (lambda: mttkrp_sparse(ENTRY, np.ones(1), [T2], 0), "numpy and torch"),
    (lambda: cp_at(torch.zeros((1, 1), dtype=torch.int64), [I2]), "index is a torch tensor"),
    (lambda: tucker_at(ENTRY, np.ones(2), [T2]), "numpy and torch"),
    (lambda: Kronecker(I2, T2), "numpy and torch"),
    (lambda: Kronecker(sp.eye_array(2), T2), "numpy and torch"),
    (lambda: KroneckerSum(I2, T2), "numpy and torch"),
    (lambda: SumOfKroneckers(Kronecker(I2), Kronecker(T2)), "numpy and torch"),
    (lambda: KroneckerPlusDiagonal([T2], np.ones(2)), "numpy and torch"),
    (lambda: KroneckerPlusDiagonal([I2], torch.tensor(1.0)), "torch scalar meets"),
    (lambda: Toeplitz(np.ones(2), torch.ones(2)), "numpy and torch"),
    (lambda: Kronecker(T2) @ np.ones(2), "Kronecker holds torch arrays and x is a numpy array"),
    (lambda: Kronecker(I2) @ torch.ones(2), "Kronecker holds numpy arrays and x is a torch array"),
    (lambda: Kronecker(T2) @ torch.ones(2, device="meta"), "lives on cpu and x on meta"),
    (lambda: np.ones(2) @ Kronecker(T2), "torch arrays and x is a numpy"),
    (lambda: Kronecker(I2) + Kronecker(T2), "numpy and torch"),
    (lambda: Kronecker(I2) @ Kronecker(T2), "numpy and torch"),
    (lambda: hadamard(Kronecker(I2), Kronecker(T2)), "numpy and torch"),
    (lambda: torch.tensor(2.0) * Kronecker(I2), "torch scalar meets"),
    (lambda: Kronecker(I2) + torch.tensor(2.0) * Identity(2), "torch scalar meets"),
    (lambda: Dense(I2) + torch.tensor(2.0) * Identity(2), "torch scalar meets"),
    (lambda: cg(T2, np.ones(2)), "torch arrays and x is a numpy"),
    (lambda: cg(I2, np.ones(2), x0=torch.ones(2)), "numpy and torch"),
    (lambda: cg(I2, np.ones(2), preconditioner=T2), "torch arrays and x is a numpy"),
    (lambda: solve(T2, np.ones(2)), "torch arrays and x is a numpy"),
    (lambda: lstsq(T2, np.ones(2)), "torch arrays and x is a numpy"),
    (lambda: stochastic_logdet(T2, probes=np.ones((2, 1))), "torch arrays and x is a numpy"),
]


@pytest.mark.parametrize(("call", "match"), MIXED)
def test_mixed_backends(call: Call, match: str) -> None:
    check(call, BackendMismatchError, match)
    assert issubclass(BackendMismatchError, TypeError)


WRONG_KIND: list[tuple[Call, str]] = [
    (lambda: kron_matmul([da.eye(2, 1)], np.ones(2)), r"factors\[0\] is a dask array.*compute"),
    (lambda: kron_solve([da.eye(2, 1)], np.ones(2)), "got a dask array.*compute"),
    (lambda: Kronecker(da.eye(2, 1)), r"factors\[0\] is a dask array.*compute"),
    (lambda: kron_matmul([sp.eye_array(2)], np.ones(2)), "scipy sparse matrix.*toarray.*Operators"),
    (lambda: kron_matmul([np.ma.masked_array(I2)], np.ones(2)), "masked array.*NaN"),
    (lambda: kron_matmul([I2], np.array([1, None])), "x has dtype object; expected float32"),
    (lambda: kron_matmul([I2.astype(np.float16)], np.ones(2)), "float16; expected float32"),
    (lambda: kron_matmul([T2.half()], torch.ones(2)), "float16; expected float32"),
    (lambda: Masked(Kronecker(I2), np.array([1.0, np.nan])), "expected booleans.*isnan"),
    (lambda: cp_at([[0.5]], [I2]), "float64; expected integers"),
    (
        lambda: Kronecker([I2, I3]),
        r"factors\[0\] is a list of 2 matrices; pass them one by one.*Kronecker\(\*factors\)",
    ),
    (lambda: Kronecker(I2, I3) + np.eye(6), r"op \+ Dense\(array\)"),
    (lambda: Kronecker(I2, I3) - np.ones(6), r"op \+ Dense\(array\), or op \+ Diagonal"),
    (lambda: Kronecker(T2, T2) + torch.eye(4), r"op \+ Dense\(array\)"),
    (lambda: Kronecker(I2, I3) + 0.1, r"op \+ number \* Identity\(n\)"),
]


@pytest.mark.parametrize(("call", "match"), WRONG_KIND)
def test_wrong_kind_of_array(call: Call, match: str) -> None:
    check(call, TypeError, match)


def test_good_input_passes_the_same_checks() -> None:
    """The table above would be worthless if the calls failed for another reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solve(Kronecker(I2, 2 * I3), ONES6).tolist() == [0.5] * 6
        assert kron_solve([I2, I3], ONES6, noise_var=1.0, assume="pos").tolist() == [0.5] * 6
        assert (torch.tensor(2.0) * Kronecker(T2) @ torch.ones(2, dtype=torch.float64)).tolist() == [2.0, 2.0]
