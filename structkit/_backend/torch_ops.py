"""Kronecker products of torch tensors, differentiable in the vector and every factor. Needs torch: imported lazily."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.autograd.forward_ad import unpack_dual

from structkit._backend.namespace import check_memory_beside
from structkit._core.errors import BackendMismatchError, ShapeError
from structkit._core.validation import ALWAYS_FITS

if TYPE_CHECKING:
    from structkit.kron.plan import KronPlan

__all__ = ["KronMatmul", "batch_product", "finish", "from_host", "host_arrays", "kron_matmul"]

_PLAIN = (torch.Tensor, torch.nn.Parameter)


class KronMatmul(torch.autograd.Function):
    r"""Product of Kronecker factors with ``(B, N, k)`` vectors and its gradients.

    With :math:`z_i = A_i \cdot_i z_{i-1}` (mode products, :math:`z_0 = x`) and :math:`h_{i-1} = A_i^H \cdot_i h_i`
    (:math:`h_D` the incoming gradient), the gradients are :math:`h_0` for `x` and
    :math:`(h_i)_{(i)} (z_{i-1})_{(i)}^H` for :math:`A_i`: prefixes times suffixes, twice the work of the product.
    Prefixes are recomputed, not stored. The rule is written in differentiable operations, so it has gradients itself.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(kernel: str, order: tuple[int, ...], x: torch.Tensor, *groups: torch.Tensor) -> torch.Tensor:
        """Apply all factors."""
        if kernel == "leftrot" and x.shape[0] == 1:
            return _leftrot(groups, x[0].mT.reshape(-1)).reshape(1, -1, x.shape[2])
        return _batched(groups, order, x)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: torch.Tensor) -> None:
        """Keep the inputs; nothing of the forward pass."""
        kernel, order, x, *groups = inputs
        ctx.kernel, ctx.order = kernel, order  # type: ignore[attr-defined]
        ctx.save_for_backward(x, *groups)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> tuple:  # type: ignore[override]
        """Gradients for `x` and each factor."""
        x, *groups = ctx.saved_tensors  # type: ignore[attr-defined]
        needed = ctx.needs_input_grad[3:]  # type: ignore[attr-defined]
        if not any(needed):
            adjoint = [a.mH for a in groups]
            gx = KronMatmul.apply(ctx.kernel, ctx.order[::-1], grad, *adjoint)  # type: ignore[attr-defined]
            return None, None, gx, *(None for _ in groups)
        prefixes = [x.reshape(x.shape[0], -1)]
        sizes = [a.shape[1] for a in groups]
        for i, a in enumerate(groups[:-1]):
            prefixes.append(_mode(a, prefixes[-1], sizes, i, x))
            sizes[i] = a.shape[0]
        sizes[-1] = groups[-1].shape[0]
        grads: list[torch.Tensor | None] = [None] * len(groups)
        h = grad.reshape(grad.shape[0], -1)
        for i in range(len(groups) - 1, -1, -1):
            a = groups[i]
            left, right = x.shape[0] * math.prod(sizes[:i]), math.prod(sizes[i + 1 :]) * x.shape[2]
            if needed[i]:
                h3, z3 = h.reshape(left, a.shape[0], right), prefixes[i].reshape(left, a.shape[1], right)
                grads[i] = _contract(h3, z3)
            if i or ctx.needs_input_grad[2]:  # type: ignore[attr-defined]
                h = _mode(a.mH, h, sizes, i, x)
            sizes[i] = a.shape[1]
        gx = h.reshape(x.shape) if ctx.needs_input_grad[2] else None  # type: ignore[attr-defined]
        return None, None, gx, *grads


def _mode(a: torch.Tensor, y: torch.Tensor, sizes: Sequence[int], i: int, x: torch.Tensor) -> torch.Tensor:
    """Mode product along axis `i` of ``(B, n_1, ..., n_D, k)`` held as a matrix ``(B, -1)``."""
    left, right = x.shape[0] * math.prod(sizes[:i]), math.prod(sizes[i + 1 :]) * x.shape[2]
    return _apply_axis(a, y, left, right).reshape(x.shape[0], -1)


def _contract(h: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Sum over the outer axes of ``h[l, :, r] z[l, :, r]^H``."""
    if h.shape[2] == 1:
        return h[..., 0].mT @ z[..., 0].conj()
    if h.shape[0] == 1:
        return h[0] @ z[0].mH
    return torch.einsum("lmr,lnr->mn", h, z.conj())


def _apply_axis(a: torch.Tensor, y: torch.Tensor, left: int, right: int) -> torch.Tensor:
    n = a.shape[1]
    if right == 1:
        return y.reshape(left, n) @ a.mT
    if left == 1:
        return a @ y.reshape(n, right)
    return a @ y.reshape(left, n, right)


def _leftrot(groups: Sequence[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    """Last factor first, columns in front; its axis goes to the front, so that no operand needs a copy."""
    for a in reversed(groups):
        y = a @ y.reshape(-1, a.shape[1]).mT
    return y.reshape(-1)


def _batched(groups: Sequence[torch.Tensor], order: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    sizes = [a.shape[1] for a in groups]
    y = x
    for g in order:
        y = _apply_axis(groups[g], y, x.shape[0] * math.prod(sizes[:g]), math.prod(sizes[g + 1 :]) * x.shape[2])
        sizes[g] = groups[g].shape[0]
    return y.reshape(x.shape[0], math.prod(sizes), x.shape[2])


def kron_matmul(plan: KronPlan, factors: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Apply the factors to ``(N,)`` or ``(..., N, k)``; merging stays outside of the rule and is differentiable."""
    k = 1 if x.ndim == 1 else x.shape[-1]
    shape = (plan.n_out,) if x.ndim == 1 else (*x.shape[:-2], plan.n_out, k)
    _check_size(x, shape)
    if plan.kernel == "empty" or 0 in shape:
        return x.new_zeros(shape)
    groups = []
    for group in plan.merges:
        matrix = factors[group[0]]
        for i in group[1:]:
            f = factors[i]  # torch.kron refuses some strided operands
            m, n = matrix.shape[0] * f.shape[0], matrix.shape[1] * f.shape[1]
            matrix = (matrix[:, None, :, None] * f[:, None, :]).reshape(m, n)
        groups.append(matrix)
    scalars = [f for f, s in zip(factors, plan.shapes, strict=True) if s == (1, 1)]
    if scalars:
        scale = math.prod(f.reshape(()) for f in scalars)
        if not groups:
            return x * scale
        smallest = min(range(len(groups)), key=lambda g: groups[g].numel())
        groups[smallest] = groups[smallest] * scale
    rows = x.reshape(-1, plan.n_in, k)
    block = plan.column_block
    if block >= k:
        return KronMatmul.apply(plan.kernel, plan.order, rows, *groups).reshape(shape)
    parts = [KronMatmul.apply(plan.kernel, plan.order, rows[..., j : j + block], *groups) for j in range(0, k, block)]
    return torch.cat(parts, dim=-1).reshape(shape)


def host_arrays(*tensors: torch.Tensor) -> list[np.ndarray] | None:
    """numpy views of ordinary tensors in main memory; None if one is elsewhere, differentiated, batched or traced."""
    if torch.compiler.is_compiling():
        return None
    arrays = []
    for t in tensors:
        recorded = t.requires_grad and torch.is_grad_enabled()
        if type(t) not in _PLAIN or t.device.type != "cpu" or t.layout is not torch.strided or recorded:
            return None
        if unpack_dual(t).tangent is not None:
            return None
        try:
            arrays.append(t.detach().resolve_conj().resolve_neg().numpy())
        except RuntimeError:  # inside of a transformation such as vmap a tensor has no memory of its own
            return None
    return arrays


def from_host(y: np.ndarray) -> torch.Tensor:
    """Tensor on the memory of a numpy array."""
    return torch.from_numpy(y)


def _check_size(x: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise before a result that cannot fit is allocated; small ones are not worth asking for."""
    n_bytes = math.prod(shape) * x.element_size()
    if n_bytes > ALWAYS_FITS:
        check_memory_beside(x, n_bytes, f"The result of shape {tuple(shape)} and dtype {x.dtype}")  # type: ignore[arg-type]


def batch_product(factors: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Stacks of Kronecker products: one broadcast matmul per factor, in plain differentiable operations."""
    sizes = [f.shape[-1] for f in factors]
    k = x.shape[-1]
    batch = torch.broadcast_shapes(x.shape[:-2], *(f.shape[:-2] for f in factors))
    _check_size(x, (*batch, math.prod(f.shape[-2] for f in factors), k))
    y = x
    for i, f in enumerate(factors):
        left, right = math.prod(sizes[:i]), math.prod(sizes[i + 1 :]) * k
        y = f[..., None, :, :] @ y.reshape(*y.shape[:-2], left, sizes[i], right)
        sizes[i] = f.shape[-2]
        y = y.reshape(*y.shape[:-3], math.prod(sizes), k)
    return y.expand(*batch, *y.shape[-2:])


def finish(y: torch.Tensor, out: object | None, inputs: Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """Return `y`, or write it into `out` after checking shape, dtype, aliasing and gradients."""
    if out is None:
        return y
    if not isinstance(out, torch.Tensor):
        raise BackendMismatchError(f"out must be a torch tensor like x; got {type(out).__name__}.")
    if out.shape != y.shape or out.dtype != y.dtype or out.device != y.device:
        raise ShapeError(
            f"out has shape {tuple(out.shape)}, dtype {out.dtype} on {out.device}; expected {tuple(y.shape)}, "
            f"{y.dtype} on {y.device}."
        )
    if y.requires_grad or out.requires_grad:
        raise ValueError("out cannot be given when gradients are recorded; leave it out or use torch.no_grad().")
    for i, a in enumerate(inputs):
        if out.untyped_storage().data_ptr() == a.untyped_storage().data_ptr():
            name = "x" if i == 0 else f"factors[{i - 1}]"
            raise ValueError(
                f"out shares memory with {name}; the product cannot be formed in place. Pass another tensor."
            )
    return out.copy_(y)
