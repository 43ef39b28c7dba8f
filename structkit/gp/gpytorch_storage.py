"""gpytorch kernels as plain data: classes, constructor arguments, constraints and priors, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structkit._core.validation import require

__all__ = ["describe", "rebuild"]

# Constructor arguments beyond constraints and priors, read from the attribute of the same name.
_KERNELS: dict[str, tuple[str, ...]] = {
    "ConstantKernel": (),
    "CosineKernel": (),
    "LinearKernel": (),
    "MaternKernel": ("nu",),
    "PeriodicKernel": (),
    "PiecewisePolynomialKernel": ("q",),
    "PolynomialKernel": ("power",),
    "RBFKernel": (),
    "RQKernel": (),
    "ScaleKernel": (),
    "SpectralMixtureKernel": ("num_mixtures",),
}
_CONTAINERS = ("AdditiveKernel", "ProductKernel")
_CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "GreaterThan": ("lower_bound",),
    "Interval": ("lower_bound", "upper_bound"),
    "LessThan": ("upper_bound",),
    "Positive": (),
}
# Constructor argument -> attribute.
_PRIORS: dict[str, dict[str, str]] = {
    "GammaPrior": {"concentration": "concentration", "rate": "rate"},
    "HalfCauchyPrior": {"scale": "scale"},
    "HalfNormalPrior": {"scale": "scale"},
    "LogNormalPrior": {"loc": "loc", "scale": "scale"},
    "NormalPrior": {"loc": "loc", "scale": "scale"},
    "UniformPrior": {"a": "low", "b": "high"},
}


def _known(obj: Any, table: Mapping[str, object] | tuple[str, ...], kind: str, where: str) -> str:
    name = type(obj).__name__
    if name not in table or type(obj).__module__.partition(".")[0] != "gpytorch":
        raise TypeError(
            f"A gpytorch {kind} of type {name} cannot be stored as plain data; known are {', '.join(sorted(table))}. "
            "Save the module's state_dict with torch and wrap it again after loading."
        )
    if getattr(obj, "_transform", None) is not None and where == "prior":
        raise TypeError(f"A {name} with a transform cannot be stored as plain data.")
    return name


def describe(module: Any) -> dict[str, Any]:
    """Return a JSON-able description of a kernel's structure; parameter values are left out."""
    if type(module).__name__ in _CONTAINERS:
        return {"class": type(module).__name__, "kernels": [describe(k) for k in module.kernels]}
    name = _known(module, _KERNELS, "kernel", "kernel")
    if module.active_dims is not None or (module.ard_num_dims or 1) > 1:
        raise TypeError(f"A {name} with active_dims or several inputs cannot be stored as plain data.")
    out: dict[str, Any] = {"class": name, "arguments": {a: _number(getattr(module, a)) for a in _KERNELS[name]}}
    if name == "ScaleKernel":
        out["base_kernel"] = describe(module.base_kernel)
    constraints = {}
    for key, constraint in module._constraints.items():
        kind = _known(constraint, _CONSTRAINTS, "constraint", "constraint")
        bounds = {a: _number(getattr(constraint, a)) for a in _CONSTRAINTS[kind]}
        constraints[key.removeprefix("raw_")] = {"class": kind, "arguments": bounds, "enforced": constraint.enforced}
    out["constraints"] = constraints
    priors = {}
    for key, (prior, _, _) in module._priors.items():
        kind = _known(prior, _PRIORS, "prior", "prior")
        priors[key] = {"class": kind, "arguments": {a: _number(getattr(prior, f)) for a, f in _PRIORS[kind].items()}}
    out["priors"] = priors
    out["frozen"] = {n: p.detach().tolist() for n, p in module.named_parameters(recurse=False) if not p.requires_grad}
    return out


def rebuild(data: Mapping[str, Any]) -> Any:
    """Return the kernel that `describe` described, in double precision with default parameter values."""
    gpytorch: Any = require("gpytorch")
    if data["class"] in _CONTAINERS:
        return getattr(gpytorch.kernels, data["class"])(*(rebuild(d) for d in data["kernels"]))
    arguments = dict(data["arguments"])
    for key, d in data["constraints"].items():
        plain = {} if d["enforced"] else {"transform": None, "inv_transform": None}
        arguments[key] = getattr(gpytorch.constraints, d["class"])(**d["arguments"], **plain)
    for key, d in data["priors"].items():
        arguments[key] = getattr(gpytorch.priors, d["class"])(**d["arguments"])
    if "base_kernel" in data:
        arguments["base_kernel"] = rebuild(data["base_kernel"])
    module = getattr(gpytorch.kernels, data["class"])(**arguments).double()
    for name, value in data["frozen"].items():
        parameter = getattr(module, name)
        parameter.data = parameter.new_tensor(value)
        parameter.requires_grad_(False)
    return module


def _number(value: Any) -> Any:
    """A Python number from a number or a tensor of one element."""
    if isinstance(value, (int, float, str)):
        return value
    if value.numel() != 1:
        raise TypeError(
            f"Only scalar bounds and prior parameters can be stored as plain data; got shape {tuple(value.shape)}."
        )
    return float(value)
