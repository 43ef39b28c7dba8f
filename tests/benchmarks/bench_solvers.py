"""Solve, log-determinant and Gaussian evidence of Kronecker plus noise against linear_operator and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from structkit.kron import gaussian_evidence, kron_slogdet, kron_solve
from tests.benchmarks.harness import Row, compare, optional

NOISE = 1e-2


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all cases."""
    found: list[Row] = []
    cases = [((60, 60), 5.0, 1.5), ((200, 200), 2.5, 1.5), ((100, 100), None, 1.5)]
    cases += [((30, 30, 30), None, 1.5), ((100, 100, 20), None, None)]
    for sizes, gate, gradient_gate in [((8, 6), None, None)] if quick else cases:
        factors, y = _problem(sizes)
        found += _value(_name("solve + logdet (evidence)", sizes), factors, y, gate)
        if gate is not None:
            name = _name("solve + logdet (evidence), a kernel per axis,", sizes)
            found += _value(name, [factors[0], factors[1] ** 2], y, gate)
        found += _solve(sizes, factors, y)
        found += _gradient(sizes, factors, y, gradient_gate)
    found += _logdet_accuracy(quick)
    return found


def _problem(sizes: tuple[int, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """Squared exponential covariances on unit grids and white data."""
    grids = [np.linspace(0, 1, n) for n in sizes]
    factors = [np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.1**2) for x in grids]
    return factors, np.random.default_rng(0).normal(size=math.prod(sizes))


def _name(what: str, sizes: tuple[int, ...]) -> str:
    return f"{what} {'x'.join(map(str, sizes))}"


def _operator(factors: list, noise: object) -> object:
    """The covariance as linear_operator would be asked for it."""
    from linear_operator.operators import DenseLinearOperator, KroneckerProductLinearOperator

    return KroneckerProductLinearOperator(*(DenseLinearOperator(k) for k in factors)).add_diagonal(noise)


def _value(name: str, factors: list[np.ndarray], y: np.ndarray, gate: float | None) -> list[Row]:
    def peer() -> Callable[[], object]:
        import torch

        tensors, data, noise = (
            [torch.from_numpy(k) for k in factors],
            torch.from_numpy(y),
            torch.tensor(NOISE, dtype=torch.float64),
        )
        constant = len(y) * math.log(2 * math.pi)

        def call() -> object:
            quadratic, logdet = _operator(tensors, noise).inv_quad_logdet(data[:, None], logdet=True)
            return -0.5 * (quadratic + logdet + constant)

        return call

    return compare(
        name,
        lambda: gaussian_evidence(factors, y, NOISE).value,
        {"linear_operator": optional(peer)},
        gate=gate,
        gate_peer="linear_operator",
        budget=2.0,
    )


def _solve(sizes: tuple[int, ...], factors: list[np.ndarray], y: np.ndarray) -> list[Row]:
    def linear_operator() -> Callable[[], object]:
        import torch

        tensors, data, noise = (
            [torch.from_numpy(k) for k in factors],
            torch.from_numpy(y),
            torch.tensor(NOISE, dtype=torch.float64),
        )
        return lambda: _operator(tensors, noise).solve(data[:, None])[:, 0]

    def sylvester() -> Callable[[], object]:
        from scipy.linalg import solve_sylvester

        if len(factors) != 2:
            raise ValueError("two factors only")
        Y = y.reshape(sizes)
        # A X B + s X = Y  is  A X + X (s B^-1) = Y B^-1.
        return lambda: solve_sylvester(
            factors[0], NOISE * np.linalg.inv(factors[1]), np.linalg.solve(factors[1], Y.T).T
        ).ravel()

    x = kron_solve(factors, y, noise_var=NOISE, assume="pos")
    tensor = x.reshape(sizes)
    for d, k in enumerate(factors):
        tensor = np.moveaxis(np.tensordot(k, tensor, axes=(1, d)), 0, d)
    residual = float(np.linalg.norm(tensor.ravel() + NOISE * x - y) / np.linalg.norm(y))
    return compare(
        _name(f"solve (residual {residual:.0e})", sizes),
        lambda: kron_solve(factors, y, noise_var=NOISE, assume="pos"),
        {"linear_operator": optional(linear_operator), "scipy solve_sylvester": optional(sylvester)},
        rtol=1e-4,
    )


def _gradient(sizes: tuple[int, ...], factors: list[np.ndarray], y: np.ndarray, gate: float | None) -> list[Row]:
    """Value and derivatives for log length-scales and noise, kernels rebuilt, as an optimiser needs them."""

    def run(evidence: Callable[..., object]) -> Callable[[], object]:
        import torch

        squares = [torch.from_numpy((x[:, None] - x) ** 2) for x in (np.linspace(0, 1, n) for n in sizes)]
        data = torch.from_numpy(y)

        def call() -> object:
            log_scale = torch.full((len(sizes),), math.log(0.1), dtype=torch.float64, requires_grad=True)
            noise = torch.tensor(NOISE, dtype=torch.float64, requires_grad=True)
            covariances = [torch.exp(-0.5 * d / torch.exp(2 * s)) for d, s in zip(squares, log_scale, strict=True)]
            value = evidence(covariances, data, noise)
            grads = torch.autograd.grad(value, [log_scale, noise])
            return value.detach(), *grads

        return call

    def theirs(covariances: list, data: object, noise: object) -> object:
        quadratic, logdet = _operator(covariances, noise).inv_quad_logdet(data[:, None], logdet=True)
        return -0.5 * (quadratic + logdet + len(y) * math.log(2 * math.pi))

    return compare(
        _name("evidence + gradient (torch)", sizes),
        run(lambda covariances, data, noise: gaussian_evidence(covariances, data, noise).value),
        {"linear_operator": optional(lambda: run(theirs))},
        gate=gate,
        gate_peer="linear_operator",
        budget=2.0,
    )


def _logdet_accuracy(quick: bool) -> list[Row]:
    """Log-determinants of non-symmetric factors of extreme scale, against their known values."""
    found = []
    rng = np.random.default_rng(1)
    for scale in (1e-6, 1.0, 1e6):
        sizes = (5, 6) if quick else (100, 80, 60)
        total, truth, factors = math.prod(sizes), [], []
        for n in sizes:
            d = rng.uniform(1, 2, size=n) * scale
            order = rng.permutation(n)
            triangular = np.triu(rng.normal(size=(n, n)) * scale / n, 1) + np.diag(d)
            factors.append(triangular[order][:, order])
            truth.append(total // n * math.fsum(np.log(d)))

        def peer(factors: list[np.ndarray] = factors) -> Callable[[], object]:
            import torch
            from linear_operator.operators import DenseLinearOperator, KroneckerProductLinearOperator

            operators = [DenseLinearOperator(torch.from_numpy(a)) for a in factors]
            return lambda: KroneckerProductLinearOperator(*operators).logdet()

        found += compare(
            _name(f"kron_slogdet, scale {scale:g}", sizes),
            lambda factors=factors: kron_slogdet(factors).logabsdet,
            {"linear_operator": optional(peer)},
            reference=np.float64(math.fsum(truth)),
        )
    return found
