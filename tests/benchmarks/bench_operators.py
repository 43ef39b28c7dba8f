"""Operators: masked products, overhead of laziness, and the solve rules against the libraries that have them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from structkit.kron import (
    BlockTridiagonal,
    Identity,
    Kronecker,
    KroneckerSum,
    LowRankPlusDiagonal,
    Masked,
    SumOfKroneckers,
    Toeplitz,
    cg,
    inverse,
    kron_matmul,
    solve,
)
from tests.benchmarks.harness import Row, compare, optional


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found: list[Row] = []
    for sizes, k in [((8, 8), 1)] if quick else [((64, 64, 64), 1), ((512, 512), 1), ((256, 256), 8), ((16,) * 5, 1)]:
        found += _masked(sizes, k)
    found += _overhead(2 if quick else 10)
    found += _sum_of_kroneckers(*((6, 5) if quick else (120, 100)))
    found += _low_rank(*((30, 3) if quick else (20000, 40)))
    found += _toeplitz(50 if quick else 2000)
    found += _blocks(*((5, 2) if quick else (4000, 4)))
    found += _sylvester(10 if quick else 200)
    found += _block_cg(*((6, 2) if quick else (64, 16)))
    return found


def _spd(n: int, seed: int) -> np.ndarray:
    A = np.random.default_rng(seed).standard_normal((n, n))
    return A @ A.T / n + np.eye(n)


def _masked(sizes: tuple[int, ...], k: int) -> list[Row]:
    """Product at observed cells: against gpytorch's operator, boolean indexing, and the product on the full grid."""
    factors = [_spd(n, i) for i, n in enumerate(sizes)]
    rng = np.random.default_rng(0)
    n = math.prod(sizes)
    mask = rng.random(n) < 0.7
    op = Masked(Kronecker(*factors), mask)
    x = rng.standard_normal((op.shape[1], k) if k > 1 else op.shape[1])
    expected = op @ x
    full = np.zeros((n, *x.shape[1:]))
    full[mask] = x

    def bare() -> np.ndarray:
        kron_matmul(factors, full)
        return expected

    def boolean() -> np.ndarray:
        scattered = np.zeros((n, *x.shape[1:]))
        scattered[mask] = x
        return kron_matmul(factors, scattered)[mask]

    def peer() -> Callable[[], object]:
        import torch
        from linear_operator.operators import KroneckerProductLinearOperator, MaskedLinearOperator

        m, tensor = torch.from_numpy(mask), torch.from_numpy(x)
        lo = MaskedLinearOperator(KroneckerProductLinearOperator(*(torch.from_numpy(f) for f in factors)), m, m)
        return lambda: lo @ tensor

    name = f"masked product {'x'.join(map(str, sizes))}" + (f" k={k}" if k > 1 else "")
    found = compare(
        name,
        lambda: op @ x,
        {"linear_operator": optional(peer), "kron_matmul with boolean indexing": boolean},
        # Where one large GEMM does the work both libraries wait for BLAS, and no factor of two is left.
        gate=2.0 if k == 1 and max(sizes) <= 64 else None,
        gate_peer="linear_operator",
    )
    bare_case = "kron_matmul on the full grid"
    return found + compare(
        f"{name}, share of bare", lambda: op @ x, {bare_case: bare}, gate=1 / 1.2, gate_peer=bare_case
    )


def _overhead(d: int) -> list[Row]:
    """What the operator costs over the function on the smallest products."""
    factors = [_spd(2, i) for i in range(d)]
    op, x = Kronecker(*factors), np.random.default_rng(0).standard_normal(2**d)

    def peer() -> Callable[[], object]:
        import torch
        from linear_operator.operators import KroneckerProductLinearOperator

        lo, tensor = KroneckerProductLinearOperator(*(torch.from_numpy(f) for f in factors)), torch.from_numpy(x)
        return lambda: lo @ tensor

    return compare(
        f"operator overhead 2^{d}",
        lambda: op @ x,
        {"kron_matmul": lambda: kron_matmul(factors, x), "linear_operator": optional(peer)},
    )


def _sum_of_kroneckers(n: int, m: int) -> list[Row]:
    a, b, c, d = (_spd(s, i) for i, s in enumerate((n, m, n, m)))
    y = np.random.default_rng(0).standard_normal(n * m)
    op = SumOfKroneckers(Kronecker(a, b), Kronecker(c, d))

    def peer() -> Callable[[], object]:
        import torch
        from linear_operator.operators import KroneckerProductLinearOperator, SumKroneckerLinearOperator

        def kron(*factors: np.ndarray) -> object:
            return KroneckerProductLinearOperator(*(torch.from_numpy(f) for f in factors))

        tensor = torch.from_numpy(y)
        return lambda: SumKroneckerLinearOperator(kron(a, b), kron(c, d)).solve(tensor[:, None])[:, 0]

    prepared = inverse(op)
    return compare(
        f"sum of Kroneckers, solve {n}x{m}", lambda: solve(op, y), {"linear_operator": optional(peer)}
    ) + compare(f"sum of Kroneckers, prepared solve {n}x{m}", lambda: prepared @ y, {"solve": lambda: solve(op, y)})


def _low_rank(n: int, r: int) -> list[Row]:
    rng = np.random.default_rng(0)
    U, d, y = rng.standard_normal((n, r)), rng.random(n) + 0.5, rng.standard_normal(n)

    def peer() -> Callable[[], object]:
        import torch
        from linear_operator.operators import (
            DiagLinearOperator,
            LowRankRootAddedDiagLinearOperator,
            LowRankRootLinearOperator,
        )

        u, diag, tensor = (torch.from_numpy(t) for t in (U, d, y))
        return lambda: LowRankRootAddedDiagLinearOperator(LowRankRootLinearOperator(u), DiagLinearOperator(diag)).solve(
            tensor[:, None]
        )[:, 0]

    return compare(
        f"low rank plus diagonal, solve {n}, rank {r}",
        lambda: solve(LowRankPlusDiagonal(U, d), y),
        {"linear_operator": optional(peer)},
    )


def _toeplitz(n: int) -> list[Row]:
    c = np.exp(-np.arange(n) / 20.0)
    c[0] += 0.1
    y = np.random.default_rng(0).standard_normal(n)
    op, dense = Toeplitz(c), scipy.linalg.toeplitz(c)
    return compare(
        f"Toeplitz, solve {n}",
        lambda: solve(op, y),
        {
            "scipy solve_toeplitz": lambda: scipy.linalg.solve_toeplitz(c, y),
            "numpy dense": lambda: np.linalg.solve(dense, y),
        },
    ) + compare(
        f"Toeplitz, product {n}",
        lambda: op @ y,
        {"scipy matmul_toeplitz": lambda: scipy.linalg.matmul_toeplitz(c, y), "numpy dense": lambda: dense @ y},
    )


def _blocks(steps: int, s: int) -> list[Row]:
    rng = np.random.default_rng(0)
    lower = 0.2 * rng.standard_normal((steps - 1, s, s))
    diag = np.stack([3 * _spd(s, t) for t in range(steps)])
    op, y = BlockTridiagonal(diag, lower), rng.standard_normal(steps * s)
    sparse = _block_csc(diag, lower)

    def superlu() -> np.ndarray:
        return sp.linalg.splu(sparse).solve(y)

    return compare(f"block tridiagonal, solve {steps} blocks of {s}", lambda: solve(op, y), {"scipy SuperLU": superlu})


def _block_csc(diag: np.ndarray, lower: np.ndarray) -> sp.csc_array:
    """The same matrix for scipy's sparse solver."""
    steps, s, _ = diag.shape
    data = np.concatenate([diag, lower, lower.swapaxes(1, 2)])
    first = np.arange(steps)
    rows = np.concatenate([first, first[1:], first[:-1]])[:, None, None] * s + np.arange(s)[None, :, None]
    columns = np.concatenate([first, first[:-1], first[1:]])[:, None, None] * s + np.arange(s)[None, None, :]
    i, j = np.broadcast_arrays(rows, columns)
    return sp.csc_array((data.ravel(), (i.ravel(), j.ravel())), shape=(steps * s, steps * s))


def _block_cg(n: int, k: int) -> list[Row]:
    """Many right-hand sides at once against scipy's and gpytorch's conjugate gradients."""
    grid = np.linspace(0, 1, n)
    K = np.exp(-np.abs(grid[:, None] - grid) / 0.3)
    mask = np.random.default_rng(0).random(n * n) < 0.8
    m = int(mask.sum())
    op = Masked(Kronecker(K, K), mask) + 0.5 * Identity(m)
    B = np.random.default_rng(1).standard_normal((m, k))
    lo = op.as_scipy()

    def scipy_loop() -> np.ndarray:
        return np.stack([sp.linalg.cg(lo, b, rtol=1e-8, maxiter=5000)[0] for b in B.T], axis=1)

    return compare(
        f"conjugate gradients, masked {n}x{n}, {k} right-hand sides",
        lambda: cg(op, B, tol=1e-8).value,
        {"scipy cg, column by column": scipy_loop},
    )


def _sylvester(n: int) -> list[Row]:
    A, B = _spd(n, 0), _spd(n, 1)
    C = np.random.default_rng(0).standard_normal((n, n))
    op = KroneckerSum(A, B)
    return compare(
        f"Kronecker sum, symmetric solve {n}x{n}",
        lambda: solve(op, C.ravel()),
        {"scipy solve_sylvester": lambda: scipy.linalg.solve_sylvester(A, B.T, C).ravel()},
    )
