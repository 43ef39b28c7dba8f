"""Generic behaviour of every operator in the market, against its dense matrix."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structkit import BackendMismatchError, DensificationWarning, ShapeError, SizeError
from structkit.kron import Dense, Diagonal, Identity, Kronecker, LinearOperator, as_operator, hadamard
from tests.kron.market import CASES, TORCH_SAFE, Case, kron, normal, square


def tolerance(op: LinearOperator) -> float:
    """A few hundred epsilons: the market's matrices are well conditioned and small."""
    single = str(op.dtype).rsplit(".", maxsplit=1)[-1] in ("float32", "complex64")
    return 300 * np.finfo(np.float32 if single else np.float64).eps


def assert_same(got: object, want: np.ndarray, tol: float) -> None:
    got = got.resolve_conj().numpy() if isinstance(got, torch.Tensor) else np.asarray(got)
    assert got.shape == want.shape
    scale = np.abs(want).max(initial=1.0)
    assert np.abs(got - want).max(initial=0.0) <= tol * scale


def to_torch(op: LinearOperator) -> LinearOperator:
    """Rebuild an operator with torch tensors by pickling it with its arrays replaced."""

    def convert(x: object) -> object:
        if isinstance(x, np.ndarray) and x.dtype.kind in "fc":
            return torch.from_numpy(x.copy())
        if isinstance(x, LinearOperator):
            return to_torch(x)
        if isinstance(x, (tuple, list)):
            return type(x)(convert(e) for e in x)
        return x

    new = object.__new__(type(op))
    state = op.__getstate__() if type(op).__name__ == "Masked" else dict(op.__dict__)
    state = {k: convert(v) for k, v in state.items()}
    new.__setstate__(state) if hasattr(new, "__setstate__") else new.__dict__.update(state)
    arrays = new._arrays
    if arrays:
        new._backend = "torch"
        new.dtype = getattr(torch, str(np.dtype(op.dtype)))
    if type(op).__name__ == "Masked":
        new.columns = new.rows if op.is_principal else new.columns
    return new


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=TORCH_SAFE, ids=str)
def torch_case(request: pytest.FixtureRequest) -> Case:
    return request.param


def operand(op: LinearOperator, seed: int, *shape: int) -> np.ndarray:
    return normal(seed, *shape, dtype=np.dtype(op.dtype))


def test_shape_dtype_and_dense(case: Case) -> None:
    op, dense = case.build()
    assert op.shape == dense.shape
    assert op.ndim == 2
    got = op.to_dense()
    assert got.dtype == op.dtype
    assert_same(got, dense, tolerance(op))


def test_vector_matrix_and_batch(case: Case) -> None:
    op, dense = case.build()
    n = op.shape[1]
    for shape in [(n,), (n, 1), (n, 3), (2, n, 3), (2, 1, n, 2), (n, 0), (0, n, 2)]:
        x = operand(op, 1, *shape)
        y = op @ x
        assert y.dtype == op.dtype
        assert_same(y, dense @ x, tolerance(op))


def test_noncontiguous_operand_is_accepted_and_kept(case: Case) -> None:
    op, dense = case.build()
    x = operand(op, 1, 2 * op.shape[1], 6)[::2, ::3]
    before = x.copy()
    assert_same(op @ x, dense @ x, tolerance(op))
    assert (x == before).all()


def test_transpose_adjoint_and_conjugate(case: Case) -> None:
    op, dense = case.build()
    tol = tolerance(op)
    x = operand(op, 1, op.shape[0], 2)
    for got, want in ((op.T, dense.T), (op.H, dense.conj().T), (op.conj(), dense.conj())):
        assert got.shape == want.shape
        assert_same(got.to_dense(), want, tol)
    assert_same(op.T @ x, dense.T @ x, tol)
    assert_same(op.H @ x, dense.conj().T @ x, tol)
    assert_same(op.H @ x[:, 0], dense.conj().T @ x[:, 0], tol)
    assert_same(op.H.H @ operand(op, 2, op.shape[1]), dense @ operand(op, 2, op.shape[1]), tol)


def test_adjoint_identity(case: Case) -> None:
    op, _ = case.build()
    x, y = operand(op, 1, op.shape[1]), operand(op, 2, op.shape[0])
    left, right = np.vdot(y, op @ x), np.vdot(op.H @ y, x)
    scale = np.abs(op.to_dense()).max(initial=1) * (np.abs(x).sum() + 1) * (np.abs(y).sum() + 1)
    assert abs(left - right) <= tolerance(op) * scale


def test_row_vectors_from_the_left(case: Case) -> None:
    op, dense = case.build()
    x = operand(op, 1, 2, op.shape[0])
    assert_same(x @ op, x @ dense, tolerance(op))
    assert_same(x[0] @ op, x[0] @ dense, tolerance(op))


def test_arithmetic(case: Case) -> None:
    op, dense = case.build()
    tol = tolerance(op)
    x = operand(op, 1, op.shape[1], 2)
    results = [
        (2.5 * op, 2.5 * dense),
        (op * (1 + 2j), (1 + 2j) * dense),
        (op / 4, dense / 4),
        (-op, -dense),
        (op + op, 2 * dense),
        (op - 0.5 * op, 0.5 * dense),
        (op + Dense(dense), 2 * dense),
        (op.H @ op, dense.conj().T @ dense),
        (op @ op.H @ op, dense @ dense.conj().T @ dense),
    ]
    if op.is_square:
        results += [
            (op + 2 * Identity(op.shape[0]), dense + 2 * np.eye(op.shape[0])),
            (Identity(op.shape[0]) - op, np.eye(op.shape[0]) - dense),
            (op @ Identity(op.shape[0]), dense),
        ]
    for got, want in results:
        assert isinstance(got, LinearOperator)
        assert_same(got.to_dense(), want, 10 * tol)
        assert_same(got @ x, want @ x, 10 * tol)


def test_scalar_keeps_precision(case: Case) -> None:
    op, _ = case.build()
    for scalar in (2.5, np.float64(2.5), np.array(2.5)):
        assert (scalar * op).dtype == op.dtype
        assert (op / scalar).dtype == op.dtype
        assert ((scalar * op) @ operand(op, 1, op.shape[1])).dtype == op.dtype


def test_diagonal_and_trace(case: Case) -> None:
    op, dense = case.build()
    if not op.is_square:
        for f in (op.diagonal, op.trace):
            with pytest.raises(ShapeError, match="square"):
                f()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DensificationWarning)
        d, t = op.diagonal(), op.trace()
    assert_same(d, np.diagonal(dense), tolerance(op))
    assert np.shape(t) == ()
    assert abs(t - np.trace(dense)) <= tolerance(op) * max(1, np.abs(dense).sum())


def test_hadamard(case: Case) -> None:
    op, dense = case.build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DensificationWarning)
        got = hadamard(op, op.conj())
    assert_same(got.to_dense(), dense * dense.conj(), 10 * tolerance(op))


def test_pickle(case: Case) -> None:
    op, dense = case.build()
    op @ operand(op, 1, op.shape[1])  # caches must not stand in the way
    copy = pickle.loads(pickle.dumps(op))
    assert copy.shape == op.shape
    assert copy.dtype == op.dtype
    assert_same(copy @ operand(op, 1, op.shape[1]), dense @ operand(op, 1, op.shape[1]), tolerance(op))


def test_apply_tensor(case: Case) -> None:
    op, dense = case.build()
    X = operand(op, 1, 2, *op.column_sizes)
    want = (X.reshape(2, op.shape[1]) @ dense.T).reshape(2, *op.row_sizes)
    assert_same(op.apply_tensor(X), want, tolerance(op))
    assert_same(op.apply_tensor(X[0]), want[0], tolerance(op))
    with pytest.raises(ShapeError, match="last axes"):
        op.apply_tensor(np.ones((*op.column_sizes[:-1], op.column_sizes[-1] + 1)))


def test_as_scipy(case: Case) -> None:
    op, dense = case.build()
    lo = op.as_scipy()
    x, y = operand(op, 1, op.shape[1]), operand(op, 2, op.shape[0], 2)
    assert lo.shape == op.shape
    assert_same(lo.matvec(x), dense @ x, tolerance(op))
    assert_same(lo.rmatmat(y), dense.conj().T @ y, tolerance(op))


def test_wrong_length_names_both(case: Case) -> None:
    op, _ = case.build()
    n = op.shape[1]
    with pytest.raises(ShapeError, match=rf"(?s)shape \({n + 1},\).*{n}"):
        op @ np.ones(n + 1)
    with pytest.raises(ShapeError):
        op @ np.float64(1.0)


def test_max_bytes(case: Case) -> None:
    op, dense = case.build()
    if dense.size:
        with pytest.raises(SizeError, match="max_bytes"):
            op.to_dense(max_bytes=dense.size)


def test_torch_twin(torch_case: Case) -> None:
    op, dense = torch_case.build()
    twin = to_torch(op)
    tol = tolerance(op)
    n = op.shape[1]
    for shape in [(n,), (n, 2), (2, n, 3)]:
        x = operand(op, 1, *shape)
        y = twin @ torch.from_numpy(x)
        assert isinstance(y, torch.Tensor)
        assert_same(y, dense @ x, tol)
    assert_same(
        twin.H @ torch.from_numpy(operand(op, 1, op.shape[0])), dense.conj().T @ operand(op, 1, op.shape[0]), tol
    )
    if not twin._arrays:
        return  # identities adapt to what they meet
    assert_same(twin.to_dense(), dense, tol)
    assert_same((2 * twin + twin).to_dense(), 3 * dense, 3 * tol)
    if op.is_square and torch_case.name not in ("product", "scaled-lazy"):
        assert_same(twin.diagonal(), np.diagonal(dense), tol)
    with pytest.raises(BackendMismatchError, match="torch"):
        twin @ operand(op, 1, n)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(0, 99),
)
def test_kronecker_of_any_shapes(shapes: list[tuple[int, int]], k: int, seed: int) -> None:
    factors = [normal(seed + i, *s) for i, s in enumerate(shapes)]
    op, dense = Kronecker(*factors), kron(*factors)
    x = normal(seed, dense.shape[1], k)
    assert_same(op @ x, dense @ x, 1e-12)
    assert_same(op.H @ (dense @ x), dense.T @ (dense @ x), 1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, len(CASES) - 1), st.floats(-3, 3), st.integers(0, 99))
def test_linearity(i: int, a: float, seed: int) -> None:
    op, _ = CASES[i].build()
    x, y = operand(op, seed, op.shape[1]), operand(op, seed + 1, op.shape[1])
    a = float(np.float32(a))
    want = np.asarray(a * (op @ x) + op @ y)
    assert_same(op @ (a * x + y).astype(x.dtype), want, 10 * tolerance(op))


# ---- algebra keeps structure ---------------------------------------------------------------------------
def test_mixed_product_stays_kronecker() -> None:
    A, B, C, D = normal(0, 2, 3), normal(1, 4, 2), normal(2, 3, 5), normal(3, 2, 2)
    op = Kronecker(A, B, scale=2.0) @ Kronecker(C, D, scale=3.0)
    assert isinstance(op, Kronecker)
    assert op.scale == 6.0
    assert [f.shape for f in op.factors] == [(2, 5), (4, 2)]
    assert_same(op.to_dense(), 6 * kron(A @ C, B @ D), 1e-13)


def test_product_with_unequal_blocks_is_lazy_and_right() -> None:
    a, b = Kronecker(square(0, 2), square(1, 6)), Kronecker(square(2, 4), square(3, 3))
    assert type(a @ b).__name__ == "Product"
    assert_same((a @ b).to_dense(), a.to_dense() @ b.to_dense(), 1e-13)


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda K: K + 2 * Identity(6), "scalar"),
        (lambda K: Identity(6) + K, "scalar"),
        (lambda K: K + Identity(6) - 0.5 * Identity(6), "scalar"),
        (lambda K: K + as_operator_diagonal(), "arbitrary"),
        (lambda K: K + Kronecker(*diagonals()), "product"),
    ],
)
def test_sum_with_a_diagonal_becomes_kronecker_plus_diagonal(build: object, kind: str) -> None:
    op = build(Kronecker(square(0, 2), square(1, 3)))
    assert type(op).__name__ == "KroneckerPlusDiagonal"
    assert op.kind == kind


def diagonals() -> list[LinearOperator]:
    from structkit.kron import Diagonal

    return [Diagonal(np.array([1.0, 2.0])), Diagonal(np.array([1.0, 2.0, 3.0]))]


def as_operator_diagonal() -> LinearOperator:
    from structkit.kron import Diagonal

    return Diagonal(np.arange(1.0, 7.0))


def test_transpose_of_kronecker_is_kronecker() -> None:
    K = Kronecker(normal(0, 2, 3), normal(1, 4, 2))
    assert isinstance(K.T, Kronecker)
    assert [f.shape for f in K.T.factors] == [(3, 2), (2, 4)]


def test_masked_plus_noise_stays_masked() -> None:
    from structkit.kron import KroneckerPlusDiagonal, Masked

    op = Masked(Kronecker(square(0, 2), square(1, 3)), np.array([1, 1, 0, 1, 0, 1], bool)) + 0.5 * Identity(4)
    assert isinstance(op, Masked)
    assert isinstance(op.op, KroneckerPlusDiagonal)


def test_khatri_rao_gram_is_hadamard_of_grams() -> None:
    from structkit.kron import KhatriRao

    op = KhatriRao(normal(0, 3, 2), normal(1, 4, 2))
    assert isinstance(op.H @ op, Dense)


def test_kronecker_times_khatri_rao_is_khatri_rao() -> None:
    from structkit.kron import KhatriRao

    op = Kronecker(normal(0, 2, 3), normal(1, 5, 4)) @ KhatriRao(normal(2, 3, 2), normal(3, 4, 2))
    assert isinstance(op, KhatriRao)


def test_hadamard_of_kroneckers_stays_kronecker() -> None:
    K = Kronecker(square(0, 2), square(1, 3))
    assert isinstance(hadamard(K, K), Kronecker)


def test_hadamard_fallback_warns() -> None:
    with pytest.warns(DensificationWarning):
        hadamard(Kronecker(square(0, 2), square(1, 3)), Kronecker(square(0, 3), square(1, 2)))


def test_star_is_for_numbers_only() -> None:
    K = Kronecker(square(0, 2), square(1, 3))
    for other in (K, np.ones(6), [1.0], torch.ones(6)):
        with pytest.raises(TypeError, match="hadamard"):
            K * other


def test_arrays_are_read_only_views() -> None:
    A = square(0, 3)
    op = as_operator(A)
    assert np.shares_memory(op.matrix, A)
    with pytest.raises(ValueError, match="read-only"):
        op.matrix[0, 0] = 1
    A[0, 0] = 5.0  # the caller's array stays the caller's


def test_shapes_that_do_not_chain() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 2\) and \(3, 3\)"):
        Dense(np.eye(2)) @ Dense(np.eye(3))
    with pytest.raises(ShapeError, match=r"\(2, 2\) and \(3, 3\)"):
        Dense(np.eye(2)) + Dense(np.eye(3))


def test_single_precision_factor_among_double_ones_is_widened_once() -> None:
    K = Kronecker(square(0, 2).astype(np.float32), square(1, 3))
    assert K.factors[0].dtype == np.float64


def test_torch_gradient_reaches_every_factor() -> None:
    A, B = (torch.from_numpy(square(i, 2 + i)).requires_grad_() for i in range(2))
    x = torch.from_numpy(normal(3, 6)).requires_grad_()
    torch.autograd.gradcheck(lambda a, b, v: (2 * Kronecker(a, b) + 0.5 * Identity(6)) @ v, (A, B, x))


def test_torch_scalar_carries_its_gradient() -> None:
    s = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = torch.ones(6, dtype=torch.float64)
    (s * Kronecker(torch.eye(2, dtype=torch.float64), torch.eye(3, dtype=torch.float64)) @ x).sum().backward()
    assert float(s.grad) == 6.0


def test_entrywise_products_with_multiples_of_the_identity_in_torch() -> None:
    """Identities have no library of their own and take that of the other operand."""
    d = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for a, b in [(Diagonal(d), 2.5 * Identity(3)), (2.5 * Identity(3), Diagonal(d))]:
        got = hadamard(a, b)
        assert_same(got @ torch.ones(3, dtype=torch.float64), 2.5 * d.numpy(), 0.0)
    both = hadamard(Identity(3), 2.5j * Identity(3))
    assert_same(both @ torch.ones(3, dtype=torch.float64), 2.5j * np.ones(3), 0.0)
    K = hadamard(Kronecker(Diagonal(d), Identity(2)), Kronecker(Identity(3), Identity(2)))
    assert_same(K.diagonal(), np.repeat(d.numpy(), 2), 0.0)
