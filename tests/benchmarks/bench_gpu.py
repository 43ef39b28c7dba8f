"""Kronecker products on a CUDA device against what torch users have, and the models: ``make bench-gpu``."""

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
    return found + _models(device, quick)


def _models(device: str, quick: bool) -> list[Row]:
    """The models that compute on the device of their data, against themselves in numpy on the CPU."""
    import torch

    from structkit.dictionary import OrthogonalDictionary
    from structkit.gp import GridGP, SquaredExponential
    from structkit.sbl import KroneckerSBL

    rng = np.random.default_rng(0)
    n = 32 if quick else 1024
    t = np.linspace(0, 1, n)
    y = np.sin(9 * t)[:, None] * np.cos(7 * t) + 0.1 * rng.standard_normal((n, n))
    process = GridGP([SquaredExponential(0.2), SquaredExponential(0.2)], noise_var=0.01, learn_kernels=False)
    grid = torch.tensor(y, device=device)
    axes = [torch.tensor(t, device=device)] * 2
    found = compare(
        f"GridGP, complete grid {n}x{n}, on {device}",
        lambda: process.fit(axes, grid).predict(),
        {"structkit, numpy": lambda: process.fit([t, t], y).predict()},
        reference=process.fit([t, t], y).predict(),
    )
    m, columns = (8, 30) if quick else (48, 1024)
    factors = [rng.standard_normal((m, columns)) for _ in range(3)]
    measured = np.einsum("ia,jb,kc->ijk", *(A[:, :2] for A in factors)) + 0.1 * rng.standard_normal((m,) * 3)
    on_device = [torch.tensor(A, device=device) for A in factors]
    given = torch.tensor(measured, device=device)
    found += compare(
        f"KroneckerSBL, {columns}^3 unknowns, on {device}",
        lambda: KroneckerSBL().fit(on_device, given).predict(on_device),
        {"structkit, numpy": lambda: KroneckerSBL().fit(factors, measured).predict(factors)},
        reference=KroneckerSBL().fit(factors, measured).predict(factors),
    )
    count = 2000 if quick else 1_000_000
    codes = rng.standard_normal((count, 64)) * (rng.random((count, 64)) < 0.1)
    samples = codes @ np.linalg.qr(rng.standard_normal((64, 64)))[0].T
    stream = torch.tensor(samples, device=device)
    return found + compare(
        f"OrthogonalDictionary, {count} samples of 64, on {device}",
        lambda: OrthogonalDictionary(random_state=0).partial_fit(stream).components_,
        {"structkit, numpy": lambda: OrthogonalDictionary(random_state=0).partial_fit(samples).components_},
        reference=OrthogonalDictionary(random_state=0).partial_fit(samples).components_,
    )
