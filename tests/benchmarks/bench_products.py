"""Kronecker products against numpy, opt_einsum, tensorly, pykronecker, linear_operator and jax."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from structkit.kron import kron_matmul, kron_plan
from tests.benchmarks.harness import Row, compare, optional, share_of_gemm

Peer = Callable[[], object]
XLA = "jax.jit"
BEST = ""  # a gate that refers to the fastest peer other than XLA


@dataclass(frozen=True)
class Case:
    """Shapes of the factors, number of columns, ``(ratio to reach, peer)`` for each gate, share of the GEMM peak."""

    name: str
    shapes: Sequence[tuple[int, int]]
    k: int = 1
    dtypes: Sequence[str] = ("float64",)
    gates: Sequence[tuple[float, str]] = ((1.0, BEST),)
    share: float | None = None
    quick: bool = False


def square(n: int, d: int) -> list[tuple[int, int]]:
    """Shapes of `d` square factors."""
    return [(n, n)] * d


ALL = ("float64", "float32", "complex128")
CASES = [
    Case("2^10", square(2, 10), dtypes=ALL, gates=((1.0, XLA), (1.0, BEST)), quick=True),
    Case("2^18", square(2, 18), dtypes=ALL, gates=((3.0, BEST), (1.0, XLA))),
    Case("2^20", square(2, 20), dtypes=ALL, gates=((3.0, BEST), (1.0, XLA))),
    Case("3^12", square(3, 12), dtypes=ALL, gates=((1.2, BEST), (1.0, XLA))),
    Case("4^10", square(4, 10), dtypes=ALL, gates=((1.2, BEST), (1.0, XLA))),
    Case("4^5", square(4, 5), gates=((1.2, BEST), (1.0, XLA)), quick=True),
    Case("8^6", square(8, 6), dtypes=ALL, gates=((1.2, BEST), (2.0, "linear_operator"))),
    Case("5^7", square(5, 7), gates=((1.2, BEST), (2.0, "linear_operator"))),
    Case("16^4", square(16, 4), quick=True),
    Case("4^5 k=16", square(4, 5), 16, gates=((1.2, BEST), (1.0, XLA)), quick=True),
    Case("4^5 k=256", square(4, 5), 256, gates=((1.2, BEST), (8.0, "pykronecker"), (2.5, "linear_operator"))),
    Case("8^4 k=16", square(8, 4), 16, gates=((1.2, BEST), (2.0, "linear_operator"))),
    Case("32^3", square(32, 3)),
    Case("64^3", square(64, 3), dtypes=ALL, share=0.75),
    Case("64^3 k=16", square(64, 3), 16),
    Case("128^2 k=16", square(128, 2), 16, share=0.75),
    Case("1000^2", square(1000, 2), gates=((0.95, BEST),), share=0.9),
    Case("2^2 200^2", [(2, 2), (2, 2), (200, 200), (200, 200)]),
    Case(
        "(20,80)(80,20)(40,40)",
        [(20, 80), (80, 20), (40, 40)],  # in the best order as it stands
        gates=((0.95, "opt_einsum"),),
        quick=True,
    ),
    Case(
        "(80,20)(20,80)(40,40)",
        [(80, 20), (20, 80), (40, 40)],
        dtypes=("float64", "complex128"),
        gates=((0.95, "opt_einsum"), (3.0, "np.tensordot"), (4.0, "linear_operator")),
    ),
    Case("tall (100,10)^2(50,10)", [(100, 10), (100, 10), (50, 10)], gates=((0.95, "opt_einsum"),)),
    Case("wide (10,100)^2(10,50)", [(10, 100), (10, 100), (10, 50)], gates=((0.95, "opt_einsum"),)),
]


def _letters(shapes: Sequence[tuple[int, int]], k: int) -> str:
    """Einsum expression of the product of a tensor and its factors."""
    names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    d = len(shapes)
    source, target, column = names[:d], names[d : 2 * d], names[2 * d] if k > 1 else ""
    operands = [source + column, *(t + s for s, t in zip(source, target, strict=True))]
    return ",".join(operands) + "->" + target + column


def _tensordot(factors: list[np.ndarray], x: np.ndarray) -> Peer:
    def call() -> np.ndarray:
        y = x
        for a in factors:  # contracting the first axis puts the new one last: the order comes out right
            y = np.tensordot(y, a, axes=(0, 1))
        # columns come out in front; a result laid out like the input takes one copy, as it does for everybody
        return np.ascontiguousarray(np.moveaxis(y, 0, -1)) if y.ndim > len(factors) else y

    return call


def _einsum(factors: list[np.ndarray], x: np.ndarray, expression: str) -> Peer:
    path = np.einsum_path(expression, x, *factors, optimize="greedy")[0]
    return lambda: np.einsum(expression, x, *factors, optimize=path)


def _opt_einsum(factors: list[np.ndarray], x: np.ndarray, expression: str) -> Peer:
    import opt_einsum

    how = "auto" if len(factors) < 10 else "greedy"
    contract = opt_einsum.contract_expression(expression, x.shape, *(a.shape for a in factors), optimize=how)
    return lambda: contract(x, *factors)


def _tensorly(factors: list[np.ndarray], x: np.ndarray) -> Peer:
    import tensorly as tl

    modes = list(range(len(factors)))
    return lambda: tl.tenalg.multi_mode_dot(x, factors, modes=modes)


def _pykronecker(factors: list[np.ndarray], x: np.ndarray) -> Peer:
    with contextlib.redirect_stdout(io.StringIO()):  # it announces its backend when imported
        from pykronecker import KroneckerProduct

    op = KroneckerProduct(factors)
    return lambda: op @ x


def _linear_operator(factors: list[np.ndarray], x: np.ndarray) -> Peer:
    import torch
    from linear_operator import to_linear_operator
    from linear_operator.operators import KroneckerProductLinearOperator

    op = KroneckerProductLinearOperator(*(to_linear_operator(torch.from_numpy(a)) for a in factors))
    columns = torch.from_numpy(x)
    return lambda: op @ columns


def _jax(factors: list[np.ndarray], x: np.ndarray) -> Peer:
    import jax

    @jax.jit
    def product(v: jax.Array, *mats: jax.Array) -> jax.Array:
        y = v
        for a in mats:
            y = y.reshape(a.shape[1], -1).T @ a.T
        return y.reshape(-1) if v.ndim == 1 else y.reshape(v.shape[1], -1).T

    mats, v = [jax.numpy.asarray(a) for a in factors], jax.numpy.asarray(x)
    if v.dtype != x.dtype:
        raise RuntimeError(f"jax computes in {v.dtype}; set JAX_ENABLE_X64=1")
    return lambda: product(v, *mats)


def _random(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> np.ndarray:
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else a).astype(dtype)


def _peers(case: Case, factors: list[np.ndarray], x: np.ndarray) -> dict[str, Peer | str]:
    tensor = x.reshape(*(n for _, n in case.shapes), *x.shape[1:])
    expression = _letters(case.shapes, case.k)
    return {
        "np.tensordot": _tensordot(factors, tensor),
        "np.einsum": optional(lambda: _einsum(factors, tensor, expression)),
        "opt_einsum": optional(lambda: _opt_einsum(factors, tensor, expression)),
        "tensorly": optional(lambda: _tensorly(factors, tensor)),
        "pykronecker": optional(lambda: _pykronecker(factors, x)),
        "linear_operator": optional(lambda: _linear_operator(factors, x)),
        XLA: optional(lambda: _jax(factors, x)),
    }


def _case_rows(case: Case, dtype: str, budget: float) -> list[Row]:
    rng = np.random.default_rng(0)
    factors = [_random(s, dtype, rng) / math.sqrt(s[1]) for s in case.shapes]
    factors = [f.astype(dtype) for f in factors]
    n = math.prod(s[1] for s in case.shapes)
    x = _random((n,) if case.k == 1 else (n, case.k), dtype, rng)
    plan = kron_plan(case.shapes, dtype, n_columns=case.k)
    peers = _peers(case, factors, x)
    tensor = x.reshape(*(s[1] for s in case.shapes), *x.shape[1:])
    reference = _tensordot([f.astype(np.result_type(f, np.float64)) for f in factors], tensor)()
    moved = x.nbytes + plan.n_out * case.k * x.itemsize
    name = f"kron_matmul {case.name} ({plan.kernel})"
    common = {"reference": reference, "flops": float(plan.flops), "bytes_moved": float(moved), "dtype": dtype}
    rows: list[Row] = []
    for i, (gate, peer) in enumerate(case.gates):
        label = name if i == 0 else f"{name} against {peer or 'BLAS peers'}"
        field = peers if i == 0 and peer != BEST else {k: v for k, v in peers.items() if peer in (BEST, k)}
        if peer == BEST:
            field = {k: v for k, v in field.items() if k != XLA}
        rows += compare(
            label, lambda: kron_matmul(factors, x, plan=plan), field,
            gate=gate, gate_peer=peer or None, budget=budget, **common,
        )  # fmt: skip
    if case.share is not None and dtype == "float64":
        rows += share_of_gemm(
            f"{name}, share of the GEMM peak", lambda: kron_matmul(factors, x, plan=plan), plan.flops, case.share
        )
    return rows


def _torch_rows(shapes: Sequence[tuple[int, int]], k: int, gate: float, name: str, budget: float) -> list[Row]:
    import torch

    rng = np.random.default_rng(0)
    factors = [rng.standard_normal(s) / math.sqrt(s[1]) for s in shapes]
    x = rng.standard_normal((math.prod(s[1] for s in shapes), k))
    x = x[:, 0].copy() if k == 1 else x
    tensors, columns = [torch.from_numpy(f) for f in factors], torch.from_numpy(x)
    plan = kron_plan(shapes, "float64", n_columns=k)
    return compare(
        f"kron_matmul torch {name} ({plan.kernel})",
        lambda: kron_matmul(tensors, columns),
        {"linear_operator": optional(lambda: _linear_operator(factors, x))},
        reference=kron_matmul(factors, x), gate=gate, flops=float(plan.flops), budget=budget,
    )  # fmt: skip


TORCH = [
    ("2^20", square(2, 20), 1, 5.0),
    ("8^6", square(8, 6), 1, 2.0),
    ("64^3", square(64, 3), 1, 2.0),
    ("8^4 k=16", square(8, 4), 16, 1.5),
    ("64^3 k=16", square(64, 3), 16, 1.5),
]


def rows(*, quick: bool = False) -> list[Row]:
    """All rows of this file."""
    budget = 0.3
    out: list[Row] = []
    for case in CASES:
        if quick and not case.quick:
            continue
        for dtype in case.dtypes[:1] if quick else case.dtypes:
            out += _case_rows(case, dtype, budget)
    for name, shapes, k, gate in TORCH[3:4] if quick else TORCH:
        out += _torch_rows(shapes, k, gate, name, budget)
    return out
