"""Mode products, values at entries, MTTKRP, Khatri-Rao and dense products against numpy, scipy, torch and tensorly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from structkit.kron import (
    cp_at,
    cp_at_gradient,
    khatri_rao,
    kron,
    mttkrp,
    mttkrp_sparse,
    multi_mode_product,
    ttmc_sparse,
    tucker_at,
    tucker_at_gradient,
    tucker_mttkrp_sparse,
)
from tests.benchmarks.harness import Row, compare, optional

# Where every library ends in the same matrix product the aim is not to lose; a tenth is the noise of such ratios.
TIE = 0.9


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    rng = np.random.default_rng(0)
    found: list[Row] = []
    for dtype in ("float64", "float32"):
        found += _mode_products(rng, dtype, quick)
        found += _cp(rng, dtype, quick)
        found += _tucker(rng, dtype, quick)
        found += _tucker_sparse(rng, dtype, quick)
    found += _mttkrp(rng, quick)
    found += _dense(rng, quick)
    return found


def _mode_products(rng: np.random.Generator, dtype: str, quick: bool) -> list[Row]:
    shape = (12, 12, 16) if quick else (145, 145, 200)
    found = []
    for name, ranks in (("square", shape), ("to rank 30", (*shape[:2], min(30, shape[2])))):
        X = rng.normal(size=shape).astype(dtype)
        mats = [rng.normal(size=(r, n)).astype(dtype) for r, n in zip(ranks, shape, strict=True)]
        out = np.empty(ranks, dtype)
        flops = 2.0 * (ranks[2] * X.size + ranks[2] / shape[2] * X.size * (shape[0] + shape[1]))
        found += compare(
            f"multi_mode_product {'x'.join(map(str, shape))} {name}",
            lambda X=X, mats=mats, out=out: multi_mode_product(X, mats, out=out),
            {
                "numpy tensordot": lambda X=X, mats=mats: _tensordot(X, mats),
                "tensorly": optional(lambda X=X, mats=mats: _tensorly_modes(X, mats)),
                "opt_einsum": optional(lambda X=X, mats=mats: _opt_einsum_modes(X, mats)),
            },
            gate=TIE,
            flops=flops,
            dtype=dtype,
        )
    return found


def _tensordot(X: np.ndarray, mats: list[np.ndarray]) -> np.ndarray:
    for a in mats:
        X = np.tensordot(X, a, axes=(0, 1))
    return X


def _tensorly_modes(X: np.ndarray, mats: list[np.ndarray]) -> Callable[[], object]:
    from tensorly.tenalg import multi_mode_dot

    return lambda: multi_mode_dot(X, mats)


def _opt_einsum_modes(X: np.ndarray, mats: list[np.ndarray]) -> Callable[[], object]:
    import opt_einsum

    expression = opt_einsum.contract_expression("abc,ia,jb,kc->ijk", X.shape, *(a.shape for a in mats))
    return lambda: expression(X, *mats)


def _problem(rng: np.random.Generator, quick: bool) -> tuple[int, int, np.ndarray]:
    count, size = (2000, 30) if quick else (200_000, 300)
    return count, size, rng.integers(0, size, size=(count, 3))


def _cp(rng: np.random.Generator, dtype: str, quick: bool) -> list[Row]:
    count, size, idx = _problem(rng, quick)
    mats = [rng.normal(size=(size, 16)).astype(dtype) for _ in range(3)]
    v = rng.normal(size=count).astype(dtype)
    columns = [np.ascontiguousarray(i) for i in idx.T]
    found = compare(
        f"cp_at {count} entries, rank 16",
        lambda: cp_at(idx, mats),
        {
            "numpy gather": lambda: (mats[0][columns[0]] * mats[1][columns[1]] * mats[2][columns[2]]).sum(1),
            "numpy einsum": lambda: np.einsum("sr,sr,sr->s", *(a[i] for a, i in zip(mats, columns, strict=True))),
            "torch": optional(lambda: _torch_cp(mats, columns)),
        },
        gate=10.0,
        gate_peer="numpy einsum",
        dtype=dtype,
    )

    def add_at() -> np.ndarray:
        out = np.zeros_like(mats[0])
        np.add.at(out, columns[0], v[:, None] * mats[1][columns[1]] * mats[2][columns[2]])
        return out

    found += compare(
        f"mttkrp_sparse {count} entries, rank 16",
        lambda: mttkrp_sparse(idx, v, mats, 0),
        {
            "scipy CSR": lambda: _scipy_mttkrp(v, mats, columns),
            "numpy add.at": add_at,
            "torch": optional(lambda: _torch_mttkrp(v, mats, columns)),
        },
        gate=10.0,
        gate_peer="scipy CSR",
        dtype=dtype,
    )
    found += compare(
        f"cp_at_gradient {count} entries, rank 16",
        lambda: tuple(cp_at_gradient(idx, mats, v).matrices),
        {"torch autograd": optional(lambda: _torch_cp_gradient(v, mats, columns))},
        dtype=dtype,
    )
    return found


def _scipy_mttkrp(v: np.ndarray, mats: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    """Multiply the rows of the other matrices, and sum."""
    return _sum_rows(v[:, None] * mats[1][columns[1]] * mats[2][columns[2]], columns[0], len(mats[0]))


def _sum_rows(rows: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """Sum rows by a sparse indicator matrix, the fastest way to scatter in scipy."""
    import scipy.sparse

    shape = (size, len(rows))
    return scipy.sparse.csr_array((np.ones(len(rows), rows.dtype), (at, np.arange(len(rows)))), shape=shape) @ rows


def _torch_cp(mats: list[np.ndarray], columns: list[np.ndarray]) -> Callable[[], object]:
    import torch

    tensors, index = [torch.from_numpy(a) for a in mats], [torch.from_numpy(i) for i in columns]
    return lambda: (tensors[0][index[0]] * tensors[1][index[1]] * tensors[2][index[2]]).sum(1)


def _torch_mttkrp(v: np.ndarray, mats: list[np.ndarray], columns: list[np.ndarray]) -> Callable[[], object]:
    import torch

    tensors, index, values = (
        [torch.from_numpy(a) for a in mats],
        [torch.from_numpy(i) for i in columns],
        torch.tensor(v),
    )

    def call() -> object:
        product = values[:, None] * tensors[1][index[1]] * tensors[2][index[2]]
        return torch.zeros_like(tensors[0]).index_add_(0, index[0], product)

    return call


def _torch_cp_gradient(v: np.ndarray, mats: list[np.ndarray], columns: list[np.ndarray]) -> Callable[[], object]:
    import torch

    leaves = [torch.from_numpy(a).requires_grad_() for a in mats]
    index, values = [torch.from_numpy(i) for i in columns], torch.from_numpy(v)

    def call() -> object:
        y = (leaves[0][index[0]] * leaves[1][index[1]] * leaves[2][index[2]]).sum(1)
        return torch.autograd.grad(y, leaves, values)

    return call


def _tucker(rng: np.random.Generator, dtype: str, quick: bool) -> list[Row]:
    count, size, idx = _problem(rng, quick)
    core = rng.normal(size=(8, 8, 8)).astype(dtype)
    mats = [rng.normal(size=(size, 8)).astype(dtype) for _ in range(3)]
    v = rng.normal(size=count).astype(dtype)
    columns = [np.ascontiguousarray(i) for i in idx.T]

    def batched() -> np.ndarray:
        value = mats[0][columns[0]] @ core.reshape(8, 64)
        value = np.matmul(value.reshape(-1, 8, 8), mats[2][columns[2]][:, :, None])[:, :, 0]
        return np.einsum("sb,sb->s", value, mats[1][columns[1]])

    def einsum() -> np.ndarray:
        parts = [a[i] for a, i in zip(mats, columns, strict=True)]
        return np.einsum("abc,sa,sb,sc->s", core, *parts, optimize=["einsum_path", (0, 1), (0, 1), (0, 1)])

    found = compare(
        f"tucker_at {count} entries, core 8x8x8",
        lambda: tucker_at(idx, core, mats),
        {"numpy batched matmul": batched, "numpy einsum": einsum},
        gate=2.0,
        gate_peer="numpy batched matmul",
        dtype=dtype,
    )

    def ours() -> tuple[object, ...]:
        grad = tucker_at_gradient(idx, core, mats, v)
        return (grad.core, *grad.matrices)

    found += compare(
        f"tucker_at_gradient {count} entries, core 8x8x8",
        ours,
        {"torch autograd": optional(lambda: _torch_tucker_gradient(v, core, mats, columns))},
        dtype=dtype,
    )
    return found


def _torch_tucker_gradient(
    v: np.ndarray, core: np.ndarray, mats: list[np.ndarray], columns: list[np.ndarray]
) -> Callable[[], object]:
    import torch

    leaves = [torch.from_numpy(a).requires_grad_() for a in (core, *mats)]
    index, values = [torch.from_numpy(i) for i in columns], torch.from_numpy(v)

    def call() -> object:
        value = (leaves[1] @ leaves[0].reshape(8, 64))[index[0]].reshape(-1, 8, 8)
        value = (value @ leaves[3][index[2]][:, :, None])[:, :, 0]
        return torch.autograd.grad((value * leaves[2][index[1]]).sum(1), leaves, values)

    return call


def _tucker_sparse(rng: np.random.Generator, dtype: str, quick: bool) -> list[Row]:
    count, size, idx = _problem(rng, quick)
    core = rng.normal(size=(6, 6, 6)).astype(dtype)
    mats = [rng.normal(size=(size, 6)).astype(dtype) for _ in range(3)]
    v = rng.normal(size=count).astype(dtype)
    columns = [np.ascontiguousarray(i) for i in idx.T]

    def contracted() -> np.ndarray:
        table = (mats[1] @ core.transpose(1, 2, 0).reshape(6, 36)).reshape(size, 6, 6)
        return _sum_rows(
            np.matmul((v[:, None] * mats[2][columns[2]])[:, None], table[columns[1]])[:, 0], columns[0], size
        )

    def products() -> np.ndarray:
        left = v[:, None] * mats[1][columns[1]]
        return _sum_rows((left[:, :, None] * mats[2][columns[2]][:, None, :]).reshape(count, 36), columns[0], size)

    found = compare(
        f"tucker_mttkrp_sparse {count} entries, core 6x6x6",
        lambda: tucker_mttkrp_sparse(idx, v, core, mats, 0),
        {"numpy batched matmul, scipy CSR": contracted},
        gate=5.0,
        dtype=dtype,
    )
    found += compare(
        f"ttmc_sparse {count} entries, ranks 6, 6",
        lambda: ttmc_sparse(idx, v, mats, 0),
        {"numpy broadcast, scipy CSR": products},
        gate=5.0,
        dtype=dtype,
    )
    return found


def _mttkrp(rng: np.random.Generator, quick: bool) -> list[Row]:
    found = []
    for shape in [(8, 8, 20)] if quick else [(100, 100, 100), (60, 60, 600), (600, 60, 60), (30, 30, 30, 30)]:
        X = rng.normal(size=shape)
        mats = [rng.normal(size=(n, 16)) for n in shape]
        for mode in sorted({0, 1, len(shape) - 1}):
            found += compare(
                f"mttkrp {'x'.join(map(str, shape))} mode {mode}, rank 16",
                lambda X=X, mats=mats, mode=mode: mttkrp(X, mats, mode),
                {
                    "tensorly": optional(lambda X=X, mats=mats, mode=mode: _tensorly_mttkrp(X, mats, mode)),
                    "numpy einsum": optional(lambda X=X, mats=mats, mode=mode: _einsum_mttkrp(X, mats, mode)),
                },
                gate=TIE,
                flops=2.0 * X.size * 16,
            )
    return found


def _tensorly_mttkrp(X: np.ndarray, mats: list[np.ndarray], mode: int) -> Callable[[], object]:
    from tensorly.cp_tensor import unfolding_dot_khatri_rao

    return lambda: unfolding_dot_khatri_rao(X, (None, mats), mode)


def _einsum_mttkrp(X: np.ndarray, mats: list[np.ndarray], mode: int) -> Callable[[], object]:
    letters = "abcd"[: X.ndim]
    others = [d for d in range(X.ndim) if d != mode]
    formula = f"{letters},{','.join(letters[d] + 'r' for d in others)}->{letters[mode]}r"
    parts = [mats[d] for d in others]
    path, _ = np.einsum_path(formula, X, *parts, optimize="optimal")
    return lambda: np.einsum(formula, X, *parts, optimize=path)


def _dense(rng: np.random.Generator, quick: bool) -> list[Row]:
    n = 30 if quick else 300
    mats = [rng.normal(size=(n, 16)) for _ in range(2)]
    out = np.empty((n * n, 16))
    peers = {
        "tensorly": optional(lambda: _tensorly_khatri_rao(mats)),
        "numpy broadcast": lambda: (mats[0][:, None] * mats[1]).reshape(-1, 16),
        "scipy": optional(lambda: _scipy_khatri_rao(mats)),
    }
    case = f"khatri_rao {n}, {n}, rank 16"
    found = compare(case + " into out", lambda: khatri_rao(mats, out=out), peers, gate=3.0, gate_peer="tensorly")
    found += compare(case, lambda: khatri_rao(mats), peers, gate=1.3, gate_peer="tensorly")
    a, b = (rng.normal(size=s) for s in (((8, 8), (4, 4)) if quick else ((64, 64), (32, 32))))
    target = np.empty((len(a) * len(b),) * 2)
    peers = {
        "numpy.kron": lambda: np.kron(a, b),
        "numpy broadcast": lambda: (a[:, None, :, None] * b[:, None, :]).reshape(target.shape),
    }
    found += compare(f"kron {len(a)} x {len(b)} into out", lambda: kron(a, b, out=target), peers, gate=2.5)
    found += compare(f"kron {len(a)} x {len(b)}", lambda: kron(a, b), peers, gate=1.0)
    return found


def _tensorly_khatri_rao(mats: list[np.ndarray]) -> Callable[[], object]:
    from tensorly.tenalg import khatri_rao as peer

    return lambda: peer(mats)


def _scipy_khatri_rao(mats: list[np.ndarray]) -> Callable[[], object]:
    from scipy.linalg import khatri_rao as peer

    return lambda: peer(*mats)
