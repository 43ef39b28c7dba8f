"""Log-determinants of Kronecker products and sums plus a number, twice differentiable where eigenvalues repeat."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch.autograd.function import once_differentiable

__all__ = ["logdet", "slopes"]

Tensor: TypeAlias = Any


class _Spectrum:
    """Eigenvalues of every part, those of the whole, and how the whole changes with each.

    A part is a Hermitian matrix ``(n_d, n_d)`` or the vector of its eigenvalues. The whole is their Kronecker product
    or sum, plus a number.
    """

    def __init__(self, is_sum: bool, shift: Tensor, parts: Sequence[Tensor]) -> None:
        self.is_sum = is_sum
        pairs = [(p, None) if p.ndim == 1 else torch.linalg.eigh(p) for p in parts]
        self.values: list[Tensor] = [w for w, _ in pairs]
        self.vectors: list[Tensor | None] = [V for _, V in pairs]
        self.ndim = len(parts)
        ranks = range(self.ndim)
        if is_sum:
            total = functools.reduce(torch.add, (self.along(w, d) for d, w in enumerate(self.values)))
            self.rates = [torch.ones_like(total) for _ in ranks]
        else:
            total = self.product(ranks)
            self.rates = [self.product(e for e in ranks if e != d).expand(total.shape) for d in ranks]
        self.total = total + shift

    def along(self, vector: Tensor, d: int) -> Tensor:
        """View a vector as a tensor along axis `d`."""
        return vector.reshape([-1 if e == d else 1 for e in range(self.ndim)])

    def product(self, axes: Any) -> Tensor:
        """Outer product of the eigenvalues along some axes."""
        one = self.values[0].new_ones([1] * self.ndim)
        return functools.reduce(torch.mul, (self.along(self.values[d], d) for d in axes), one)

    def over_others(self, tensor: Tensor, d: int) -> Tensor:
        """Sum over all axes but `d`."""
        return self.unfolded(tensor, d).sum(1)

    def unfolded(self, tensor: Tensor, d: int) -> Tensor:
        """Matrix whose rows run over axis `d`."""
        n = len(self.values[d])
        return tensor.movedim(d, 0).reshape(n, self.total.numel() // max(n, 1))

    def in_basis(self, d: int, slope: Tensor) -> Tensor:
        """Turn a slope in the eigenvalues of a part (a vector), or in its eigenbasis, into one in the part itself."""
        V = self.vectors[d]
        if V is None:
            return slope
        return (V * slope if slope.ndim == 1 else V @ slope.to(V.dtype)) @ V.mH


class _Logdet(torch.autograd.Function):
    """Sign of the product of the eigenvalues of the whole, and sum of their logarithms in modulus."""

    @staticmethod
    def forward(ctx: Any, is_sum: bool, shift: Tensor, *parts: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        ctx.is_sum = is_sum
        ctx.save_for_backward(shift, *parts)
        total = _Spectrum(is_sum, shift, parts).total
        sign = torch.sign(total).prod()
        ctx.mark_non_differentiable(sign)
        return sign, torch.log(abs(total)).sum()

    @staticmethod
    def backward(ctx: Any, _: Tensor, value_bar: Tensor) -> tuple:  # type: ignore[override]
        return None, *(value_bar * slope for slope in _Slopes.apply(ctx.is_sum, *ctx.saved_tensors))


class _Slopes(torch.autograd.Function):
    """Gradient of `_Logdet`, with its own derivative in closed form.

    Off the diagonal of an eigenbasis the slope ``g(w_i)`` of a trace function changes by its divided difference, here
    ``-sum rate^2 / (total_i total_k)`` over the other axes: nothing is divided by ``w_i - w_k``.
    """

    @staticmethod
    def forward(ctx: Any, is_sum: bool, shift: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        spec = _Spectrum(is_sum, shift, parts)
        ctx.spec = spec
        inverse = 1 / spec.total
        return inverse.sum(), *(
            spec.in_basis(d, spec.over_others(rate * inverse, d)) for d, rate in enumerate(spec.rates)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, shift_bar: Tensor, *bars: Tensor) -> tuple:
        spec: _Spectrum = ctx.spec
        inverse = 1 / spec.total
        inside = [
            bar if V is None else V.mH @ ((bar + bar.mH) / 2).to(V.dtype) @ V
            for bar, V in zip(bars, spec.vectors, strict=True)
        ]
        moves = [m if m.ndim == 1 else m.diagonal().real for m in inside]
        change = shift_bar + sum(
            rate * spec.along(m, d) for d, (rate, m) in enumerate(zip(spec.rates, moves, strict=True))
        )
        bars_out = []
        for d, (rate, m) in enumerate(zip(spec.rates, inside, strict=True)):
            change_of_rate = 0.0 if spec.is_sum else _change_of_rate(spec, moves, d)
            slope = spec.over_others(change_of_rate * inverse - rate * inverse**2 * change, d)
            if m.ndim == 2:
                rows = spec.unfolded(rate * inverse, d)
                curved = -(rows @ rows.T) * m
                slope = curved - torch.diag(curved.diagonal()) + torch.diag(slope)
            bars_out.append(spec.in_basis(d, slope))
        return None, -(inverse**2 * change).sum(), *bars_out


def _change_of_rate(spec: _Spectrum, moves: Sequence[Tensor], d: int) -> Tensor:
    """Change of the product of all eigenvalues but those of part `d`."""
    others = [e for e in range(spec.ndim) if e != d]
    terms = [spec.along(moves[e], e) * spec.product(f for f in others if f != e) for e in others]
    return sum(terms, start=terms[0] * 0) if terms else spec.total.new_zeros([1] * spec.ndim)


def logdet(parts: Sequence[Tensor], shift: Tensor, *, is_sum: bool) -> tuple[Tensor, Tensor]:
    """Sign and log absolute determinant of the Kronecker product, or sum, of Hermitian parts plus a number."""
    return _Logdet.apply(is_sum, shift, *parts)


def slopes(parts: Sequence[Tensor], shift: Tensor) -> tuple[Tensor, ...]:
    """Derivatives of the log-determinant of a Kronecker product plus a number, in the number and in every part."""
    return _Slopes.apply(False, shift, *parts)
