"""From numpy arrays to torch tensors, for adapters; imports torch, so it is itself imported lazily."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["to_tensor"]


def to_tensor(x: object) -> torch.Tensor:
    """Return tensors as they are (gradients kept) and numpy arrays as copies: torch has no read-only tensors."""
    return x if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))
