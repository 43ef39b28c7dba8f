"""Kronecker products on a CUDA device against what torch users have: ``make bench-gpu``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.benchmarks.harness import OURS, Row, compare, n_threads, optional

SHAPES = (("2^20", (2,) * 20, 1), ("8^7", (8,) * 7, 1), ("64^4", (64,) * 4, 1), ("1024^2", (1024,) * 2, 1))
SHAPES += (("64^3 k64", (64,) * 3, 64), ("128^3", (128,) * 3, 1))
QUICK = (("2^8", (2,) * 8, 1), ("8^3 k4", (8,) * 3, 4))


def _einsum(factors: list, x: object, sizes: tuple[int, ...], k: int) -> Callable[[], object]:
    import opt_einsum

    d = len(sizes)
    if d > 12:
        raise ValueError("more axes than einsum has letters for")
    tensor = x.reshape(*sizes, k)
    terms = [chr(65 + i) + chr(97 + i) for i in range(d)]
    inside, outside = "".join(t[1] for t in terms), "".join(t[0] for t in terms)
    formula = f"{','.join(terms)},{inside}z->{outside}z"
    shapes = [tuple(f.shape) for f in factors]
    expression = opt_einsum.contract_expression(formula, *shapes, tuple(tensor.shape))
    return lambda: expression(*factors, tensor, backend="torch").reshape(-1, k)


def _linear_operator(factors: list, x: object) -> Callable[[], object]:
    from linear_operator.operators import DenseLinearOperator, KroneckerProductLinearOperator

    op = KroneckerProductLinearOperator(*(DenseLinearOperator(f) for f in factors))
    return lambda: op @ x


def rows(*, quick: bool = False, device: str = "cuda") -> list[Row]:
    """Measure, or say that there is no device."""
    import torch

    from structkit.kron import kron_matmul

    if device == "cuda" and not torch.cuda.is_available():
        return [Row("kron_matmul on a GPU", OURS, "float32", n_threads(), note="no CUDA device in this machine")]
    found: list[Row] = []
    rng = np.random.default_rng(0)
    where = torch.cuda.get_device_name() if device == "cuda" else device
    for dtype in ("float32", "float64"):
        for name, sizes, k in QUICK if quick else SHAPES:
            factors = [torch.tensor(rng.standard_normal((n, n)) / n, dtype=getattr(torch, dtype)) for n in sizes]
            x = torch.tensor(rng.standard_normal((int(np.prod(sizes)), k)), dtype=getattr(torch, dtype))
            reference = kron_matmul([f.double().numpy() for f in factors], x.double().numpy())
            factors, x = [f.to(device) for f in factors], x.to(device)
            found += compare(
                f"kron_matmul {name} on {where}",
                lambda f=factors, x=x: kron_matmul(f, x),
                {
                    "linear_operator": optional(lambda f=factors, x=x: _linear_operator(f, x)),
                    "opt_einsum": optional(lambda f=factors, x=x, s=sizes, k=k: _einsum(f, x, s, k)),
                },
                reference=reference,
                gate=1.0,
                dtype=dtype,
            )
    return found
