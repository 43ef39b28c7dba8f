"""From arrays to their library, device and dtype, decided by the arrays, importing nothing new."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from structkit._core.errors import BackendMismatchError
from structkit._core.types import Array
from structkit._core.validation import check_matrices, check_memory

__all__ = ["as_array", "as_factors", "backend_name", "cast", "device_of", "get_namespace", "is_torch", "result_dtype"]


def is_torch(x: object) -> bool:
    """Whether `x` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_dask(x: object) -> bool:
    """Whether `x` is a dask array, without importing dask."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(x, module.Array)


def _kind(x: object) -> str:
    if is_torch(x):
        return "torch"
    if is_dask(x):
        return "dask"
    return "numpy"


def device_of(x: object) -> str:
    """Device of an array as a string; ``"cpu"`` for everything but torch tensors."""
    return str(x.device) if is_torch(x) else "cpu"  # type: ignore[attr-defined]


def backend_name(*arrays: object) -> str:
    """Name of the one library that owns all `arrays`: ``"numpy"``, ``"torch"`` or ``"dask"``.

    Dask arrays may be combined with numpy arrays (the result is dask); every other mixture raises.
    """
    kinds = {_kind(a): a for a in arrays if not isinstance(a, (int, float, complex))}
    if not kinds:
        return "numpy"
    if set(kinds) == {"dask", "numpy"}:
        return "dask"
    if len(kinds) > 1:
        names = " and ".join(sorted(kinds))
        raise BackendMismatchError(
            f"All arrays of one call must come from one library; got {names}. "
            "Convert explicitly, for example with torch.from_numpy(x) or x.numpy()."
        )
    if "torch" in kinds:
        devices = sorted({device_of(a) for a in arrays if is_torch(a)})
        if len(devices) > 1:
            raise BackendMismatchError(
                f"All tensors of one call must live on one device; got {' and '.join(devices)}. "
                "Move them with x.to(device)."
            )
    return next(iter(kinds))


def get_namespace(*arrays: object) -> ModuleType:
    """Array-API namespace (array-api-compat) of `arrays`; sequences of numbers count as numpy."""
    if backend_name(*arrays) == "numpy":
        import array_api_compat.numpy as xp

        return xp
    import array_api_compat

    return array_api_compat.array_namespace(*(a for a in arrays if is_torch(a) or is_dask(a)))


def as_array(x: object, name: str = "array") -> Array:
    """Return `x` as a numeric array of its own library; lists become numpy arrays, integers float64.

    Raises TypeError for object, string and masked arrays, which would lose data silently.
    """
    if is_torch(x):
        torch = sys.modules["torch"]
        if x.dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):  # type: ignore[attr-defined]
            return x  # type: ignore[return-value]
        if x.dtype in (torch.float16, torch.bfloat16):  # type: ignore[attr-defined]
            dtype = x.dtype  # type: ignore[attr-defined]
            raise TypeError(f"{name} has dtype {dtype}; expected float32, float64, complex64, complex128 or integers.")
        return x.to(torch.float64)  # type: ignore[attr-defined]
    if is_dask(x):
        return x if x.dtype.kind in "fc" else x.astype(np.float64)  # type: ignore[attr-defined, return-value]
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a numpy masked array; pass its data with NaN in the masked cells (x.filled(np.nan))."
        )
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(x):
        raise TypeError(
            f"{name} is a scipy sparse matrix; functions on arrays take dense ones (x.toarray()). Operators such as "
            "Kronecker take it as it is."
        )
    arr = np.asarray(x)
    if arr.dtype.kind in "biu":
        return arr.astype(np.float64)
    if arr.dtype.newbyteorder("=") in (np.float32, np.float64, np.complex64, np.complex128):
        return arr if arr.dtype.isnative else arr.astype(arr.dtype.newbyteorder("="))
    raise TypeError(
        f"{name} has dtype {arr.dtype}; expected float32, float64, complex64, complex128 or integers. "
        "Convert it explicitly with .astype(float)."
    )


def as_factors(factors: Sequence[object], name: str = "factors") -> list[Array]:
    """Check a non-empty sequence of matrices of one library and return them as a list of numeric arrays."""
    arrays = [as_array(f, f"{name}[{i}]") for i, f in enumerate(factors)]
    check_matrices(arrays, name)
    backend_name(*arrays)
    return arrays


def result_dtype(*arrays: Array) -> object:
    """Common dtype of numeric arrays by the promotion rules of their library; never narrows."""
    if is_torch(arrays[0]):
        torch = sys.modules["torch"]
        out = arrays[0].dtype
        for a in arrays[1:]:
            out = torch.promote_types(out, a.dtype)
        return out
    return np.result_type(*(a.dtype for a in arrays))  # type: ignore[arg-type]


def cast(x: Array, dtype: object) -> Array:
    """Return `x` in `dtype`, without a copy when it has it already."""
    if x.dtype == dtype:
        return x
    return x.to(dtype) if is_torch(x) else x.astype(dtype)  # type: ignore[attr-defined]


def asarray_like(x: np.ndarray, like: Array) -> Array:
    """Return a numpy array in the library, dtype and device of `like`."""
    if is_torch(like):
        return sys.modules["torch"].as_tensor(np.ascontiguousarray(x)).to(dtype=like.dtype, device=like.device)  # type: ignore[attr-defined]
    return np.ascontiguousarray(x, dtype=like.dtype)  # type: ignore[call-overload]


def to_numpy(x: Array) -> np.ndarray:
    """Return an array of any library as a numpy array in host memory, off any graph."""
    return x.detach().cpu().numpy() if is_torch(x) else np.asarray(x)  # type: ignore[attr-defined]


def to_device(x: np.ndarray, device: str) -> Array:
    """Return a numpy array as a torch tensor on a device."""
    import torch

    return torch.as_tensor(x, device=device)


def check_memory_beside(like: Array | None, n_bytes: int, what: str) -> None:
    """Raise SizeError before an allocation of `n_bytes` that does not fit on the device of `like`."""
    if like is None or not is_torch(like) or like.device.type != "cuda":  # type: ignore[attr-defined]
        check_memory(n_bytes, what)
        return
    cuda, device = sys.modules["torch"].cuda, like.device  # type: ignore[attr-defined]

    def available() -> int:
        # What the driver has free, and what torch holds without using it.
        return cuda.mem_get_info(device)[0] + cuda.memory_reserved(device) - cuda.memory_allocated(device)

    check_memory(n_bytes, what, available)


def index_like(index: np.ndarray, like: Array) -> Array:
    """Return an integer index array in the library and on the device of `like`."""
    return sys.modules["torch"].as_tensor(index, device=like.device) if is_torch(like) else index  # type: ignore[attr-defined]


def itemsize(x: Array) -> int:
    """Bytes of one element of an array of any library."""
    return int(x.dtype.itemsize)  # type: ignore[attr-defined]
