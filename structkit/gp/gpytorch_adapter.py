"""gpytorch kernels behind the kernel interface: raw parameters as theta, priors and constraints kept."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from structkit._backend.namespace import get_namespace, is_torch
from structkit._core.types import Array
from structkit._core.validation import require
from structkit.gp.gpytorch_convert import from_gpytorch
from structkit.gp.gpytorch_storage import describe, rebuild
from structkit.gp.kernels.base import Kernel
from structkit.gp.kernels.combine import Product
from structkit.gp.kernels.parameters import Parameter
from structkit.gp.kernels.periodic import Constant
from structkit.gp.kernels.spectra import Component

if TYPE_CHECKING:
    from structkit._backend.torch_gpytorch import ParameterVector

__all__ = ["GPyTorchKernel", "as_kernel"]

# Softplus and sigmoid are flat beyond: softplus(-20) = 2e-9.
RAW_LOW, RAW_HIGH = -20.0, 1e6


def _is_gpytorch_kernel(obj: object) -> bool:
    """Whether `obj` is a gpytorch kernel, without importing gpytorch."""
    gpytorch = sys.modules.get("gpytorch")
    return gpytorch is not None and isinstance(obj, gpytorch.kernels.Kernel)


def as_kernel(kernel: object) -> Kernel:
    """Return `kernel` as a structkit kernel.

    Parameters
    ----------
    kernel : Kernel or gpytorch.kernels.Kernel
        A structkit kernel is returned unchanged, a gpytorch kernel is wrapped in `GPyTorchKernel`.

    Returns
    -------
    kernel : Kernel
        The kernel, with the interface of structkit.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> from structkit.gp import SquaredExponential, as_kernel
    >>> as_kernel(SquaredExponential())
    SquaredExponential(lengthscale=1.0, variance=1.0)
    """
    if isinstance(kernel, Kernel):
        return kernel
    if _is_gpytorch_kernel(kernel):
        return GPyTorchKernel(kernel)
    raise TypeError(
        f"Expected a kernel of structkit.gp or of gpytorch.kernels; got {type(kernel).__name__}. "
        "Kernel classes must be instantiated: Matern(), not Matern."
    )


class GPyTorchKernel(Kernel):
    """A gpytorch kernel over one input, with the interface of a structkit kernel.

    Parameters
    ----------
    module : gpytorch.kernels.Kernel
        Any kernel of one-dimensional inputs: scaled, sums, products, spectral mixtures, with priors and constraints.
        It is copied, in double precision; the original is not changed.

    Attributes
    ----------
    module : gpytorch.kernels.Kernel
        A copy of the gpytorch kernel with the current hyperparameters.

    Notes
    -----
    `theta` holds the raw parameters that require a gradient, in the order of ``named_parameters()``; gpytorch's
    constraints map them to natural values, so every value of `theta` is admissible. `log_prior` sums the log densities
    of the registered priors at the natural values, as gpytorch's marginal likelihood does. Derivative blocks come from
    the closed forms of the equivalent structkit kernel (`from_gpytorch`), where there is one.

    Examples
    --------
    >>> import gpytorch
    >>> from structkit.gp import GPyTorchKernel
    >>> k = GPyTorchKernel(gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel()))
    >>> k.parameter_names
    ('raw_outputscale', 'base_kernel.raw_lengthscale')
    >>> k([0.0], [0.0, 1.0]).round(4)
    array([[0.6931, 0.2448]])
    """

    _vector: ParameterVector
    _theta: Array

    def __init__(self, module: Any) -> None:
        if not _is_gpytorch_kernel(module):
            raise TypeError(f"GPyTorchKernel wraps gpytorch kernels; got {type(module).__name__}.")
        if len(module.batch_shape):
            raise ValueError(
                f"GPyTorchKernel takes kernels without batch; got batch_shape {tuple(module.batch_shape)}."
            )
        from structkit._backend.torch_gpytorch import ParameterVector

        vector = ParameterVector(module)
        object.__setattr__(self, "_vector", vector)
        object.__setattr__(self, "_theta", vector.values())

    @property
    def module(self) -> Any:
        """Copy of the gpytorch kernel with the current hyperparameters, in double precision."""
        return self._vector.materialize(self._host_theta())

    @property
    def is_stationary(self) -> bool:
        """Whether gpytorch declares the kernel stationary."""
        return bool(self._vector.module.is_stationary)

    @property
    def max_order(self) -> float:
        """Highest total order of derivative blocks; 0 without an equivalent structkit kernel."""
        try:
            return from_gpytorch(self._vector.module).max_order
        except TypeError:
            return 0

    # ---- evaluation ---------------------------------------------------------------------------------------------

    def _call(self, function: Callable[[Any], Any], theta: Any) -> Any:
        # gpytorch evaluates lazily by default, which would happen after the parameters are put back.
        settings = require("gpytorch").settings  # type: ignore[attr-defined]
        with settings.lazily_evaluate_kernels(False):
            return self._vector.call(theta, function)

    def _matrix(self, x1: Any, x2: Any, d1: int, d2: int) -> Callable[[Any], Any]:
        """The covariance matrix as a function of the raw parameters."""

        def evaluate(module: Any) -> Any:
            if d1 or d2:
                return from_gpytorch(module)._evaluate(x1, x2, d1, d2)
            K = module(x1[:, None]) if x2 is None else module(x1[:, None], x2[:, None])
            return K.to_dense()

        return lambda theta: self._call(evaluate, theta)

    def _prepared(self, *arrays: Array | None) -> tuple[list[Any], Any, Callable[[Any], Array]]:
        """Arrays and theta as tensors of one dtype and device, and the way back to the library of the input."""
        from structkit._backend.torch_gpytorch import to_numpy, to_torch

        tensors = [None if a is None else to_torch(a) for a in arrays]
        theta = to_torch(self._theta).to(dtype=tensors[0].dtype, device=tensors[0].device)  # type: ignore[union-attr]
        return tensors, theta, (lambda t: t) if is_torch(arrays[0]) else to_numpy

    def _keeps_graph(self, x: Array) -> bool:
        return is_torch(x) and bool(x.requires_grad or getattr(self._theta, "requires_grad", False))  # type: ignore

    def _evaluate(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        (a, b), theta, back = self._prepared(x1, x2)
        return back(self._matrix(a, b, d1, d2)(theta))

    def _diagonal(self, x: Array, order: int) -> Array:
        (a,), theta, back = self._prepared(x)

        def evaluate(module: Any) -> Any:
            if order:
                return from_gpytorch(module)._diagonal(a, order)
            return module(a[:, None], diag=True)

        return back(self._call(evaluate, theta))

    def _jacobian(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        from structkit._backend.torch_gpytorch import jacobian

        (a, b), theta, back = self._prepared(x1, x2)
        keep = self._keeps_graph(x1)
        try:
            J = jacobian(self._matrix(a, b, d1, d2), theta, keep)
        except NotImplementedError:
            if b is None:
                raise
            # Distances between two sets come from torch.cdist, which has no second derivative; those within one set do.
            joint = get_namespace(a).concat([a, b])
            J = jacobian(self._matrix(joint, None, d1, d2), theta, keep)[:, : len(a), len(a) :]
        return back(J[self._free_positions()])

    def _contract(self, x1: Array, x2: Array | None, G: Array, d1: int, d2: int) -> Array:
        from structkit._backend.torch_gpytorch import contract

        (a, b, g), theta, back = self._prepared(x1, x2, G)
        gradient = contract(self._matrix(a, b, d1, d2), theta, g, self._keeps_graph(x1))
        return back(gradient[self._free_positions()])

    def _components(self) -> list[Component]:
        return from_gpytorch(self.module)._components()

    def _scaled_by(self, factor: float) -> Kernel:
        return Product(Constant(factor).fix(), self)

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        module = self.module
        for name, part in module.named_modules():
            path = f"{name}.raw_lengthscale" if name else "raw_lengthscale"
            if not _is_gpytorch_kernel(part) or path not in self.parameter_names or path in self._limits:
                continue
            limit = part.raw_lengthscale_constraint
            if "lengthscale_prior" not in part._priors and limit.enforced:
                low, high = float(limit.lower_bound.max()), float(limit.upper_bound.min())
                part.lengthscale = min(max(span / 10, low * 1.001), high * 0.999)
        return self._copy(_theta=GPyTorchKernel(module)._theta)

    # ---- hyperparameters ----------------------------------------------------------------------------------------

    def _leaf_values(self):  # type: ignore[no-untyped-def]
        yield self._theta

    def _host_theta(self) -> np.ndarray:
        theta = self._theta
        host = theta.detach().cpu().numpy() if is_torch(theta) else theta  # type: ignore[attr-defined]
        return np.array(host, dtype=np.float64)

    def _entries(self) -> list[tuple[str, Parameter, float]]:
        values = self._host_theta().tolist()
        return [(n, Parameter(n, positive=False), v) for n, v in zip(self._vector.entry_names, values, strict=True)]

    def _free_positions(self) -> list[int]:
        return [i for i, name in enumerate(self._vector.entry_names) if name not in self._fixed]

    def _with_theta(self, theta: Array) -> Self:
        free = self._free_positions()
        if not is_torch(theta):
            full = self._host_theta()
            full[free] = theta
            return self._copy(_theta=full)
        full = theta.new_tensor(self._host_theta().tolist())  # type: ignore[attr-defined]
        return self._copy(_theta=full.index_put((theta.new_tensor(free).long(),), theta))  # type: ignore[attr-defined]

    @property
    def bounds(self) -> np.ndarray:
        """Lower and upper limits of `theta`, shape ``(p, 2)``, wide: constraints act through their transforms."""
        rows = []
        for name, _, value in self._free_entries():
            constraint = self._vector.module.constraint_for_parameter_name(name.partition("[")[0])  # type: ignore
            if name in self._limits:
                rows.append(self._limits[name])
                continue
            low, high = -math.inf, math.inf
            if constraint is not None and constraint.enforced:
                bounded = math.isfinite(float(constraint.upper_bound.max()))
                low, high = RAW_LOW, -RAW_LOW if bounded else RAW_HIGH
            elif constraint is not None:
                low, high = float(constraint.lower_bound.max()), float(constraint.upper_bound.min())
            rows.append((min(low, value), max(high, value)))
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    def log_prior(self) -> tuple[float, np.ndarray]:
        """Sum of the registered priors' log densities and its gradient in `theta`, shape ``(p,)``."""
        from structkit._backend.torch_gpytorch import contract, to_torch

        if not any(True for _ in self._vector.module.named_priors()):  # type: ignore[operator]
            return super().log_prior()

        def density(module: Any) -> Any:
            terms = [prior.log_prob(closure(owner)).sum() for _, owner, prior, closure, _ in module.named_priors()]
            return sum(terms[1:], start=terms[0])

        theta = to_torch(self._host_theta())
        value = float(self._call(density, theta))
        gradient = contract(lambda t: self._call(density, t), theta, None, False)
        return value, gradient.numpy()[self._free_positions()]

    # ---- comparison and storage -----------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the gpytorch module by name.

        Parameters
        ----------
        deep : bool, default True
            Accepted for scikit-learn.

        Returns
        -------
        params : dict
            ``module``, a copy with the current hyperparameters.
        """
        return {"module": self.module}

    def to_dict(self) -> dict[str, object]:
        """Return plain Python data (JSON-able); TypeError for modules, priors or constraints without a description."""
        out: dict[str, object] = {"kernel": type(self).__name__, "module": describe(self._vector.module)}
        out["theta"] = self._host_theta().tolist()
        if self._fixed:
            out["fixed"] = sorted(self._fixed)
        if self._limits:
            out["bounds"] = {name: list(limit) for name, limit in sorted(self._limits.items())}
        return out

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any]) -> Self:
        kernel = cls(rebuild(data["module"]))
        limits = {name: (float(low), float(high)) for name, (low, high) in data.get("bounds", {}).items()}
        theta = np.array(data["theta"], dtype=np.float64)
        return kernel._copy(_theta=theta, _fixed=frozenset(data.get("fixed", ())), _limits=limits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GPyTorchKernel):
            return NotImplemented
        same = repr(self._vector.module) == repr(other._vector.module)
        same = same and self._fixed == other._fixed and dict(self._limits) == dict(other._limits)
        return same and np.array_equal(self._host_theta(), other._host_theta())

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: object) -> Self:
        return self._copy(_theta=copy.copy(self._theta))

    def __repr__(self) -> str:
        names = [type(m).__name__ for m in self._vector.module.modules() if _is_gpytorch_kernel(m)]
        pairs = ", ".join(f"{n}={v:.6g}" for n, v in zip(self.parameter_names, self.theta.tolist(), strict=True))
        return f"<GPyTorchKernel {'/'.join(names)}: {pairs}>"
