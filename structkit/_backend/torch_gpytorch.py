"""Evaluate a gpytorch module as a pure function of its parameter vector, with derivatives in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

__all__ = ["ParameterVector", "column_index", "contract", "jacobian", "to_numpy", "to_torch"]

Function = Callable[[Any], torch.Tensor]


class _Call(torch.nn.Module):
    """Holds a module so that a function of it can run with its parameters replaced."""

    def __init__(self, held: torch.nn.Module) -> None:
        super().__init__()
        self.held = held

    def forward(self, function: Function) -> torch.Tensor:
        return function(self.held)


class ParameterVector:
    """The trainable parameters of a module as one vector; the module itself is copied once and never changed.

    Parameters
    ----------
    module : torch.nn.Module
        Copied and converted to double precision.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._call = _Call(copy.deepcopy(module).double())
        named = [(n, p) for n, p in self._call.held.named_parameters() if p.requires_grad]
        self.parameter_names = [n for n, _ in named]
        self.shapes = [p.shape for _, p in named]

    @property
    def module(self) -> torch.nn.Module:
        """The held module, with its original values; not to be modified."""
        return self._call.held

    @property
    def entry_names(self) -> list[str]:
        """One name for each number: the parameter's, with an index where it has several."""
        out = []
        for name, shape in zip(self.parameter_names, self.shapes, strict=True):
            out += [name] if shape.numel() == 1 else [f"{name}[{i}]" for i in range(shape.numel())]
        return out

    def values(self) -> np.ndarray:
        """Original parameter values, float64, shape ``(p,)``."""
        flat = [p.detach().reshape(-1).cpu().numpy() for n, p in self.module.named_parameters() if p.requires_grad]
        return np.concatenate(flat) if flat else np.zeros(0)

    def call(self, vector: torch.Tensor, function: Function) -> torch.Tensor:
        """Value of a function of the module with its parameters replaced by `vector`."""
        parts = torch.split(vector, [s.numel() for s in self.shapes])
        # A module of another dtype or device than the copy: its remaining parameters and buffers follow the vector.
        state = {f"held.{n}": t.to(vector) for n, t in self._rest(vector)}
        for name, shape, part in zip(self.parameter_names, self.shapes, parts, strict=True):
            state[f"held.{name}"] = part.reshape(shape)
        return torch.func.functional_call(self._call, state, (function,))

    def _rest(self, like: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
        trainable = set(self.parameter_names)
        tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        return [
            (n, t)
            for n, t in tensors
            if n not in trainable and t.is_floating_point() and (t.dtype != like.dtype or t.device != like.device)
        ]

    def materialize(self, vector: np.ndarray) -> torch.nn.Module:
        """Independent copy of the module with its parameters set."""
        module = copy.deepcopy(self.module)
        parts = np.split(vector, np.cumsum([s.numel() for s in self.shapes])[:-1]) if self.shapes else []
        parameters = dict(module.named_parameters())
        for name, shape, part in zip(self.parameter_names, self.shapes, parts, strict=True):
            parameters[name].data = torch.from_numpy(np.array(part, dtype=np.float64)).reshape(shape)
        return module


def jacobian(function: Callable[[torch.Tensor], torch.Tensor], vector: torch.Tensor, keep_graph: bool) -> torch.Tensor:
    """Derivatives of a tensor in a vector, shape ``(p, ...)``, by `p` backward passes.

    The vector-Jacobian product is linear in its weights; its own derivatives in them are columns of the Jacobian.
    """
    v = vector if vector.requires_grad else vector.detach().requires_grad_()
    with torch.enable_grad():
        value = function(v)
        if not v.numel() or not value.requires_grad:
            return value.new_zeros((v.numel(), *value.shape))
        weights = torch.zeros_like(value, requires_grad=True)
        (product,) = torch.autograd.grad(value, v, weights, create_graph=True, allow_unused=True)
        if product is None or not product.requires_grad:
            return value.new_zeros((v.numel(), *value.shape))
        rows = []
        for k in range(v.numel()):
            (row,) = torch.autograd.grad(
                product[k], weights, retain_graph=True, create_graph=keep_graph, allow_unused=True
            )
            rows.append(torch.zeros_like(value) if row is None else row)
    return torch.stack(rows)


def contract(
    function: Callable[[torch.Tensor], torch.Tensor], vector: torch.Tensor, G: torch.Tensor | None, keep_graph: bool
) -> torch.Tensor:
    """Gradient of ``sum(G * function(vector))`` by one backward pass; `G` None means one."""
    v = vector if vector.requires_grad else vector.detach().requires_grad_()
    with torch.enable_grad():
        value = function(v)
        total = value.sum() if G is None else (value * G).sum()
        if not v.numel() or not total.requires_grad:
            return torch.zeros_like(v)
        (gradient,) = torch.autograd.grad(total, v, create_graph=keep_graph, allow_unused=True)
    return torch.zeros_like(v) if gradient is None else gradient


def to_torch(x: Any) -> torch.Tensor:
    """Tensor that shares memory with a numpy array where it can; tensors pass."""
    return x if isinstance(x, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(x))


def to_numpy(x: torch.Tensor) -> np.ndarray:
    """Numbers of a tensor, off the graph."""
    return x.detach().cpu().numpy()


def column_index(column: int) -> torch.Tensor:
    """Index of one input column as gpytorch's ``active_dims``."""
    return torch.tensor([column], dtype=torch.long)
