"""structkit's products behind tensorly's tensor algebra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from structkit._backend.namespace import is_torch
from structkit._core.validation import require
from structkit.kron import khatri_rao, kron, mode_product, mttkrp, multi_mode_product

__all__ = ["register_tensorly_backend"]

NAME = "structkit"


def register_tensorly_backend() -> str:
    """Make structkit's products a backend of tensorly's tensor algebra.

    After ``tensorly.tenalg.set_backend(register_tensorly_backend())``, mode products, Kronecker and Khatri-Rao
    products and MTTKRP of every algorithm of tensorly run on structkit, on numpy arrays and torch tensors of single and
    double precision, real or complex, with gradients. Everything else is tensorly's own, as are arrays of other
    libraries and types.

    Returns
    -------
    name : str
        ``"structkit"``, for `tensorly.tenalg.set_backend` and `tensorly.tenalg.backend_context`.

    Raises
    ------
    MissingDependencyError
        If tensorly is missing.

    See Also
    --------
    to_tensorly, from_tensorly : tensors in and out.

    Notes
    -----
    The backend is a subclass of tensorly's ``core`` backend, found by name; registering twice changes nothing. It is
    chosen for the whole process unless ``local_threadsafe=True`` is given to ``set_backend``.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorly
    >>> from tensorly.decomposition import parafac
    >>> X = np.random.default_rng(0).standard_normal((4, 5, 6))
    >>> with tensorly.tenalg.backend_context(register_tensorly_backend()):
    ...     ours = parafac(X, 2, n_iter_max=20, random_state=0)
    >>> theirs = parafac(X, 2, n_iter_max=20, random_state=0)
    >>> bool(np.allclose(ours.factors[0], theirs.factors[0]))
    True
    """
    tenalg: Any = require("tensorly.tenalg")
    base = require("tensorly.tenalg.base_tenalg").TenalgBackend
    if NAME not in base._available_tenalg_backends:
        core = require("tensorly.tenalg.core_tenalg").CoreTenalgBackend
        products = {name: staticmethod(_with_fallback(rule, getattr(core, name))) for name, rule in _RULES.items()}
        type(core)("StructkitTenalgBackend", (core,), products, backend_name=NAME)
    if NAME not in tenalg.available_backend_names:
        tenalg.available_backend_names.append(NAME)
    return NAME


def _with_fallback(rule: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule, for what it covers; tensorly's own function for the rest."""

    def product(*args: Any, **kwargs: Any) -> Any:
        found = rule(*args, **kwargs)
        return theirs(*args, **kwargs) if found is NotImplemented else found

    product.__doc__ = theirs.__doc__
    return product


def _covered(*arrays: Any) -> bool:
    """Whether structkit multiplies these arrays in their own dtype: one library, one dtype, floating point."""
    first = arrays[0]
    known = all(isinstance(a, np.ndarray) or is_torch(a) for a in arrays)
    return known and all(type(a) is type(first) and a.dtype == first.dtype for a in arrays) and _floating(first)


def _floating(x: Any) -> bool:
    return str(x.dtype).removeprefix("torch.") in ("float32", "float64", "complex64", "complex128")


def _mode_dot(tensor: Any, matrix_or_vector: Any, mode: int, transpose: bool = False) -> Any:
    A = matrix_or_vector
    if not _covered(tensor, A) or not 0 <= mode < tensor.ndim or A.ndim != 2:
        return NotImplemented
    A = A.conj().T if transpose else A
    return mode_product(tensor, A, mode) if A.shape[1] == tensor.shape[mode] else NotImplemented


def _multi_mode_dot(
    tensor: Any,
    matrix_or_vec_list: Sequence[Any],
    modes: Sequence[int] | None = None,
    skip: int | None = None,
    transpose: bool = False,
) -> Any:
    places = range(len(matrix_or_vec_list)) if modes is None else modes
    in_order = sorted(zip(places, matrix_or_vec_list, strict=False), key=lambda pair: pair[0])
    used = [pair for i, pair in enumerate(in_order) if i != skip]  # skip counts sorted modes, as in tensorly
    if not used or any(A is None for _, A in used) or not _covered(tensor, *(A for _, A in used)):
        return NotImplemented
    if len({m for m, _ in used}) < len(used) or not all(0 <= m < tensor.ndim and A.ndim == 2 for m, A in used):
        return NotImplemented
    matrices = [A.conj().T if transpose else A for _, A in used]
    if any(A.shape[1] != tensor.shape[m] for (m, _), A in zip(used, matrices, strict=True)):
        return NotImplemented
    return multi_mode_product(tensor, matrices, modes=[m for m, _ in used])


def _kronecker(matrices: Sequence[Any], skip_matrix: int | None = None, reverse: bool = False) -> Any:
    kept = [A for i, A in enumerate(matrices) if i != skip_matrix]
    if not kept or not _covered(*kept) or any(A.ndim != 2 for A in kept):
        return NotImplemented
    return kron(*(kept[::-1] if reverse else kept))


def _khatri_rao(matrices: Sequence[Any], weights: Any = None, skip_matrix: int | None = None, mask: Any = None) -> Any:
    kept = [A for i, A in enumerate(matrices) if i != skip_matrix]
    if len(kept) < 2 or mask is not None or not _covered(*kept) or any(A.ndim != 2 for A in kept):
        return NotImplemented
    if len({A.shape[1] for A in kept}) > 1:
        return NotImplemented
    if weights is not None:
        kept[0] = kept[0] * weights[None, :]
    return khatri_rao(kept) if _covered(*kept) else NotImplemented


def _unfolding_dot_khatri_rao(tensor: Any, cp_tensor: Any, mode: int) -> Any:
    weights, factors = cp_tensor
    if len(factors) < 2 or not _covered(tensor, *factors) or not 0 <= mode < tensor.ndim:
        return NotImplemented
    if any(A.ndim != 2 for A in factors) or tuple(A.shape[0] for A in factors) != tuple(tensor.shape):
        return NotImplemented
    if len({A.shape[1] for A in factors}) > 1:
        return NotImplemented
    M = mttkrp(tensor, [A.conj() if "complex" in str(A.dtype) else A for A in factors], mode)
    if weights is None:
        return M
    return M * (weights.conj() if "complex" in str(weights.dtype) else weights)[None, :]


_RULES: dict[str, Callable[..., Any]] = {
    "mode_dot": _mode_dot,
    "multi_mode_dot": _multi_mode_dot,
    "kronecker": _kronecker,
    "khatri_rao": _khatri_rao,
    "unfolding_dot_khatri_rao": _unfolding_dot_khatri_rao,
}
