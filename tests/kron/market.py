"""The market of operators: one list of (operator, dense matrix) cases that every generic test runs over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from structkit.kron import (
    BlockTridiagonal,
    Congruence,
    Dense,
    Diagonal,
    Identity,
    KhatriRao,
    Kronecker,
    KroneckerPlusDiagonal,
    KroneckerSum,
    LinearOperator,
    LowRankPlusDiagonal,
    Masked,
    Sparse,
    SumOfKroneckers,
    Toeplitz,
    Triangular,
)


@dataclass(frozen=True)
class Case:
    """An operator and the dense matrix it must equal."""

    name: str
    build: Callable[[], tuple[LinearOperator, np.ndarray]]
    hermitian: bool = False
    positive: bool = False
    singular: bool = False

    def __str__(self) -> str:
        return self.name


def normal(seed: int, *shape: int, dtype: object = np.float64) -> np.ndarray:
    """Standard normal array of any of the four dtypes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def spd(seed: int, n: int, dtype: object = np.float64) -> np.ndarray:
    """Hermitian positive definite matrix with condition below about ten."""
    A = normal(seed, n, n, dtype=dtype)
    return (A @ A.conj().T / n + np.eye(n)).astype(dtype)


def square(seed: int, n: int, dtype: object = np.float64) -> np.ndarray:
    """Well conditioned matrix that is not symmetric."""
    return (normal(seed, n, n, dtype=dtype) / (2 * np.sqrt(n)) + 2 * np.eye(n)).astype(dtype)


def kron(*factors: np.ndarray) -> np.ndarray:
    """Dense oracle."""
    return functools.reduce(np.kron, factors)


def kronsum(*factors: np.ndarray) -> np.ndarray:
    """Dense oracle of the Kronecker sum."""
    eyes = [np.eye(f.shape[0]) for f in factors]
    return sum(kron(*eyes[:d], f, *eyes[d + 1 :]) for d, f in enumerate(factors))


def khatri_rao(*matrices: np.ndarray) -> np.ndarray:
    """Dense oracle, column by column."""
    return np.stack(
        [functools.reduce(np.kron, columns) for columns in zip(*(m.T for m in matrices), strict=True)], axis=1
    )


def block_tridiagonal(diag: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Dense oracle."""
    steps, s, _ = diag.shape
    out = np.zeros((steps * s, steps * s), diag.dtype)
    for t in range(steps):
        out[t * s : (t + 1) * s, t * s : (t + 1) * s] = diag[t]
        if t + 1 < steps:
            out[(t + 1) * s : (t + 2) * s, t * s : (t + 1) * s] = lower[t]
            out[t * s : (t + 1) * s, (t + 1) * s : (t + 2) * s] = upper[t]
    return out


def _kron_case(*factors: np.ndarray, wrap: Callable = Kronecker) -> tuple[LinearOperator, np.ndarray]:
    return wrap(*factors), kron(*factors)


def _blocks(dtype: object, hermitian: bool, steps: int = 4, s: int = 2) -> tuple[LinearOperator, np.ndarray]:
    lower = 0.3 * normal(11, steps - 1, s, s, dtype=dtype)
    upper = lower.conj().swapaxes(1, 2) if hermitian else 0.3 * normal(12, steps - 1, s, s, dtype=dtype)
    make = spd if hermitian else square
    diag = np.stack([make(t, s, dtype) * 3 for t in range(steps)])
    op = BlockTridiagonal(diag, lower, None if hermitian else upper)
    return op, block_tridiagonal(diag, lower, upper)


def _low_rank(dtype: object, middle: bool) -> tuple[LinearOperator, np.ndarray]:
    U, d = normal(1, 7, 2, dtype=dtype), np.abs(normal(2, 7)).astype(np.float32 if dtype == np.float32 else float) + 1
    C = spd(3, 2, dtype) if middle else np.eye(2)
    op = LowRankPlusDiagonal(U, d, C if middle else None)
    return op, np.diag(d) + U @ C @ U.conj().T


def _toeplitz(dtype: object, m: int = 5, n: int = 5, hermitian: bool = False) -> tuple[LinearOperator, np.ndarray]:
    c, r = normal(1, m, dtype=dtype), normal(2, n, dtype=dtype)
    c[0] = 6
    if hermitian:
        return Toeplitz(c), scipy.linalg.toeplitz(c)
    r[0] = c[0]
    return Toeplitz(c, r), scipy.linalg.toeplitz(c, r)


def _masked(op: LinearOperator, dense: np.ndarray, seed: int = 0) -> tuple[LinearOperator, np.ndarray]:
    mask = np.random.default_rng(seed).random(op.shape[0]) < 0.6
    return Masked(op, mask), dense[np.ix_(mask, mask)]


def _masked_rectangular() -> tuple[LinearOperator, np.ndarray]:
    rows, columns = np.arange(6) % 2 == 0, np.arange(6) % 3 == 0
    op = Kronecker(square(1, 2), square(2, 3))
    return Masked(op, rows, columns), kron(square(1, 2), square(2, 3))[np.ix_(rows, columns)]


def _per_axis() -> tuple[LinearOperator, np.ndarray]:
    d = [np.array([0.5, 1.0]), np.array([1.0, 2.0, 3.0])]
    return KroneckerPlusDiagonal([spd(1, 2), spd(2, 3)], d), kron(spd(1, 2), spd(2, 3)) + np.diag(np.kron(*d))


def _arbitrary() -> tuple[LinearOperator, np.ndarray]:
    d = np.abs(normal(5, 6)) + 0.5
    return KroneckerPlusDiagonal([spd(1, 2), spd(2, 3)], d), kron(spd(1, 2), spd(2, 3)) + np.diag(d)


def _plus_scalar(make: Callable) -> tuple[LinearOperator, np.ndarray]:
    a, b = make(0, 2), make(1, 3)
    return KroneckerPlusDiagonal([a, b], 0.5), kron(a, b) + 0.5 * np.eye(6)


def _plus_scalar_structured() -> tuple[LinearOperator, np.ndarray]:
    c, b = np.array([2.0, 0.5, 0.1]), spd(1, 2)
    dense = kron(scipy.linalg.toeplitz(c), np.eye(2), b) + 0.5 * np.eye(12)
    return Kronecker(Toeplitz(c), Identity(2), b) + 0.5 * Identity(12), dense


def _sum_of_kroneckers(dtype: object) -> tuple[LinearOperator, np.ndarray]:
    a, b, c, d = spd(1, 2, dtype), spd(2, 3, dtype), spd(3, 2, dtype), spd(4, 3, dtype)
    return SumOfKroneckers(Kronecker(a, b), Kronecker(c, d)), kron(a, b) + kron(c, d)


def _structured_factors() -> tuple[LinearOperator, np.ndarray]:
    c = np.array([4.0, 1.0, 0.5])
    L = np.tril(square(3, 2))
    S = sp.csr_array(np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]))
    d = np.array([1.0, -2.0])
    op = Kronecker(Toeplitz(c), Identity(2), Triangular(L), S, Diagonal(d))
    return op, kron(scipy.linalg.toeplitz(c), np.eye(2), L, S.toarray(), np.diag(d))


def _congruence() -> tuple[LinearOperator, np.ndarray]:
    Q = np.linalg.qr(normal(1, 4, 4))[0]
    return Congruence(Dense(Q), np.array([1.0, 2.0, 3.0, 4.0]), unitary=True), Q @ np.diag([1.0, 2.0, 3.0, 4.0]) @ Q.T


F, C = np.float32, np.complex128

CASES = [
    Case("dense", lambda: (Dense(square(0, 4)), square(0, 4))),
    Case("dense-rectangular", lambda: (Dense(normal(0, 4, 3)), normal(0, 4, 3))),
    Case("dense-integers", lambda: (Dense(np.array([[2, 1], [0, 3]])), np.array([[2.0, 1.0], [0.0, 3.0]]))),
    Case("dense-noncontiguous", lambda: (Dense(square(0, 8)[::2, ::2]), square(0, 8)[::2, ::2])),
    Case("dense-complex", lambda: (Dense(square(0, 4, C)), square(0, 4, C))),
    Case("dense-hermitian", lambda: (Dense(spd(0, 4, C)), spd(0, 4, C)), True, True),
    Case("triangular-lower", lambda: (Triangular(np.tril(square(0, 4))), np.tril(square(0, 4)))),
    Case("triangular-upper-complex", lambda: (Triangular(square(0, 4, C), lower=False), np.triu(square(0, 4, C)))),
    Case("diagonal", lambda: (Diagonal(np.array([1.0, -2.0, 3.0])), np.diag([1.0, -2.0, 3.0])), True),
    Case("diagonal-complex", lambda: (Diagonal(np.array([1.0, 2j])), np.diag([1.0, 2j]))),
    Case("identity", lambda: (Identity(3), np.eye(3)), True, True),
    Case(
        "sparse", lambda: (Sparse(sp.csr_array(square(0, 4) * (square(9, 4) > 0))), square(0, 4) * (square(9, 4) > 0))
    ),
    Case("sparse-complex", lambda: (Sparse(sp.coo_array(square(0, 4, C))), square(0, 4, C))),
    Case("toeplitz", lambda: _toeplitz(float)),
    Case("toeplitz-hermitian", lambda: _toeplitz(float, hermitian=True), True, True),
    Case("toeplitz-rectangular", lambda: _toeplitz(float, 4, 6)),
    Case("toeplitz-complex", lambda: _toeplitz(C)),
    Case("toeplitz-one", lambda: _toeplitz(float, 1, 1)),
    Case("kron-one-factor", lambda: _kron_case(square(0, 3))),
    Case("kron-two", lambda: _kron_case(square(0, 3), square(1, 4))),
    Case("kron-spd", lambda: _kron_case(spd(0, 3), spd(1, 4)), True, True),
    Case("kron-three-rectangular", lambda: _kron_case(normal(0, 2, 3), normal(1, 4, 2), normal(2, 3, 3))),
    Case("kron-square-of-nonsquare", lambda: _kron_case(normal(0, 2, 3), normal(1, 3, 2)), singular=True),
    Case("kron-1x1", lambda: _kron_case(np.array([[3.0]]), square(0, 2), np.array([[-2.0]]))),
    Case("kron-repeated", lambda: _kron_case(*[square(0, 2)] * 4)),
    Case("kron-noncontiguous", lambda: _kron_case(square(0, 3).T, square(1, 8)[::4, ::4])),
    Case("kron-float32", lambda: _kron_case(square(0, 3, F), square(1, 2, F))),
    Case("kron-mixed-dtypes", lambda: _kron_case(square(0, 3, F), square(1, 2))),
    Case("kron-complex", lambda: _kron_case(square(0, 3, C), square(1, 2, C))),
    Case("kron-hermitian", lambda: _kron_case(spd(0, 3, C), spd(1, 2, C)), True, True),
    Case(
        "kron-scaled", lambda: (-2.5 * Kronecker(square(0, 2), square(1, 3)), -2.5 * kron(square(0, 2), square(1, 3)))
    ),
    Case(
        "kron-complex-scale",
        lambda: (1j * Kronecker(square(0, 2), square(1, 3)), 1j * kron(square(0, 2), square(1, 3))),
    ),
    Case("kron-structured", _structured_factors),
    Case("kron-identities", lambda: (Kronecker(Identity(2), Identity(3)), np.eye(6)), True, True),
    Case(
        "kron-sum",
        lambda: (
            KroneckerSum(square(0, 2), square(1, 3), square(2, 2)),
            kronsum(square(0, 2), square(1, 3), square(2, 2)),
        ),
    ),
    Case("kron-sum-two", lambda: (KroneckerSum(square(0, 2), square(1, 3)), kronsum(square(0, 2), square(1, 3)))),
    Case("kron-sum-spd", lambda: (KroneckerSum(spd(0, 2), spd(1, 3)), kronsum(spd(0, 2), spd(1, 3))), True, True),
    Case(
        "kron-sum-complex",
        lambda: (KroneckerSum(square(0, 2, C), square(1, 3, C)), kronsum(square(0, 2, C), square(1, 3, C))),
    ),
    Case(
        "khatri-rao",
        lambda: (
            KhatriRao(normal(0, 2, 3), normal(1, 4, 3), normal(2, 2, 3)),
            khatri_rao(normal(0, 2, 3), normal(1, 4, 3), normal(2, 2, 3)),
        ),
    ),
    Case("khatri-rao-one", lambda: (KhatriRao(normal(0, 4, 3)), normal(0, 4, 3))),
    Case(
        "khatri-rao-complex",
        lambda: (
            KhatriRao(normal(0, 2, 3, dtype=C), normal(1, 4, 3, dtype=C)),
            khatri_rao(normal(0, 2, 3, dtype=C), normal(1, 4, 3, dtype=C)),
        ),
    ),
    Case("blocks", lambda: _blocks(float, False)),
    Case("blocks-hermitian", lambda: _blocks(float, True), True, True),
    Case("blocks-complex", lambda: _blocks(C, False)),
    Case("blocks-complex-hermitian", lambda: _blocks(C, True), True, True),
    Case("blocks-one", lambda: _blocks(float, True, steps=1, s=3), True, True),
    Case("blocks-scalar", lambda: _blocks(float, False, steps=6, s=1)),
    Case("low-rank", lambda: _low_rank(float, False), True, True),
    Case("low-rank-complex", lambda: _low_rank(C, True), True, True),
    Case("low-rank-float32", lambda: _low_rank(F, False), True, True),
    Case(
        "kron-plus-scalar",
        lambda: (Kronecker(spd(0, 2), spd(1, 3)) + 0.5 * Identity(6), kron(spd(0, 2), spd(1, 3)) + 0.5 * np.eye(6)),
        True,
        True,
    ),
    Case(
        "kron-plus-zero",
        lambda: (KroneckerPlusDiagonal([square(0, 2), square(1, 3)], 0.0), kron(square(0, 2), square(1, 3))),
    ),
    Case(
        "kron-plus-scalar-hermitian",
        lambda: (
            KroneckerPlusDiagonal([spd(0, 2, C), spd(1, 3, C)], 0.5),
            kron(spd(0, 2, C), spd(1, 3, C)) + 0.5 * np.eye(6),
        ),
        True,
        True,
    ),
    Case(
        "kron-plus-scaled",
        lambda: (
            3.0 * (2.0 * Kronecker(spd(0, 2), spd(1, 3)) + Identity(6)),
            6 * kron(spd(0, 2), spd(1, 3)) + 3 * np.eye(6),
        ),
        True,
        True,
    ),
    Case("kron-plus-scalar-unsymmetric", lambda: _plus_scalar(square)),
    Case("kron-plus-scalar-structured", _plus_scalar_structured, True, True),
    Case("kron-plus-per-axis", _per_axis, True, True),
    Case("kron-plus-arbitrary", _arbitrary, True, True),
    Case("sum-of-kroneckers", lambda: _sum_of_kroneckers(float), True, True),
    Case("sum-of-kroneckers-complex", lambda: _sum_of_kroneckers(C), True, True),
    Case("masked", lambda: _masked(Kronecker(spd(0, 3), spd(1, 4)), kron(spd(0, 3), spd(1, 4))), True, True),
    Case(
        "masked-plus-noise",
        lambda: _masked(
            KroneckerPlusDiagonal([spd(0, 3), spd(1, 4)], 0.1), kron(spd(0, 3), spd(1, 4)) + 0.1 * np.eye(12)
        ),
        True,
        True,
    ),
    Case("masked-rectangular", _masked_rectangular),
    Case(
        "masked-nothing",
        lambda: (Masked(Kronecker(spd(0, 2), spd(1, 2)), np.zeros(4, bool)), np.zeros((0, 0))),
        True,
        True,
    ),
    Case("congruence", _congruence, True, True),
    Case(
        "sum",
        lambda: (
            Kronecker(square(0, 2), square(1, 3)) + Dense(square(2, 6)),
            kron(square(0, 2), square(1, 3)) + square(2, 6),
        ),
    ),
    Case(
        "product",
        lambda: (
            Kronecker(square(0, 2), square(1, 3)) @ Dense(square(2, 6)),
            kron(square(0, 2), square(1, 3)) @ square(2, 6),
        ),
    ),
    Case(
        "scaled-lazy",
        lambda: (
            2.0 * (Kronecker(square(0, 2), square(1, 3)) @ Dense(square(2, 6))),
            2 * kron(square(0, 2), square(1, 3)) @ square(2, 6),
        ),
    ),
    Case(
        "adjoint-lazy",
        lambda: (
            (KhatriRao(normal(0, 2, 3, dtype=C), normal(1, 4, 3, dtype=C))).H,
            khatri_rao(normal(0, 2, 3, dtype=C), normal(1, 4, 3, dtype=C)).conj().T,
        ),
    ),
    Case("empty", lambda: (Kronecker(np.zeros((0, 0)), spd(0, 2)), np.zeros((0, 0))), True, True),
]

TORCH_SAFE = [c for c in CASES if "sparse" not in c.name and c.name not in ("kron-structured", "dense-integers")]
