"""Conventions of the public API, read from its signatures and docstrings: ``python -m tests.house.conventions``."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator

from numpydoc.docscrape import get_doc_object

from tests.house.docstrings import public_methods, public_objects

# Options are given by name, so that calls can be read and new options can be put anywhere.
BY_NAME = {
    *("tol", "max_iter", "random_state", "verbose", "callback", "return_std", "include_noise", "device", "warm_start"),
    *("learn_kernels", "penalty", "prune_tol", "n_starts", "level", "ax", "color", "cmap", "out", "plan", "max_bytes"),
}
# An option has the same default everywhere.
SAME_DEFAULT = {
    **dict.fromkeys(("return_std", "include_noise", "adjoint", "transpose", "warm_start"), False),
    **dict.fromkeys(("callback", "device", "ax", "out", "plan", "preconditioner"), None),
    "verbose": 0,
    "learn_kernels": True,
    "penalty": "ebic",
    "level": 0.95,
}
# Names that others use for what has a name here.
SYNONYMS = {
    **dict.fromkeys(("maxiter", "max_steps", "n_steps_max", "n_iter_max", "iterations", "epochs", "niter"), "max_iter"),
    **dict.fromkeys(("seed", "rng", "random", "generator"), "random_state"),
    **dict.fromkeys(("eps", "atol", "rtol", "tolerance", "threshold_tol"), "tol"),
    **dict.fromkeys(("noise", "sigma", "sigma2", "noise_variance", "noise_level", "beta"), "noise_var"),
    **dict.fromkeys(("length_scale", "length_scales", "ls", "ell"), "lengthscale"),
    **dict.fromkeys(("n_draws", "num_samples", "size_samples"), "n"),
    **dict.fromkeys(("dim", "mode_index"), "mode or axis"),
    **dict.fromkeys(("ranks", "n_components"), "rank"),
    **dict.fromkeys(("return_variance", "return_var", "with_std"), "return_std"),
    **dict.fromkeys(("filename", "file", "fname"), "path"),
    **dict.fromkeys(("axs", "axes_"), "ax"),
    **dict.fromkeys(("true", "y_hat", "estimated"), "truth, estimate"),
    **dict.fromkeys(("verbosity", "progress", "show_progress"), "verbose"),
}
# (object, parameter): why it is as it is
ON_PURPOSE = {
    ("structkit.gp.GridGP.sample", "random_state"): "model.sample(200, 0) is common",
    ("structkit.pde.GPSolver.sample", "random_state"): "as GridGP",
    ("structkit.sbl.OMP", "tol"): "OMP(n_nonzero, tol): the two ways to stop",
    ("structkit.sbl.KroneckerOMP", "tol"): "as OMP",
}
# Processes and kernels take their parameters by position, in one order.
PROCESS_ORDER = ("nu", "weights", "frequencies", "lengthscale", "lengthscales", "period", "alpha", "variance")
MOST_OPTIONAL_POSITIONAL = 2


def _is_record(thing: object) -> bool:
    """Whether instances only carry results."""
    return inspect.isclass(thing) and (dataclasses.is_dataclass(thing) or issubclass(thing, (tuple, Exception)))


def callables() -> Iterator[tuple[str, Callable[..., object]]]:
    """Name and function of every public callable: functions, constructors, methods, also inherited ones."""
    seen: set[int] = set()
    for qualname, thing in public_objects():
        if id(thing) in seen or not getattr(thing, "__module__", "").startswith("structkit"):
            continue
        seen.add(id(thing))
        if not inspect.isclass(thing):
            yield qualname, thing  # type: ignore[misc]
            continue
        if not _is_record(thing):
            yield qualname, thing.__init__
        for base in thing.__mro__:
            for name, method in public_methods(base) if base.__module__.startswith("structkit") else ():
                if not isinstance(method, property) and id(method) not in seen:
                    seen.add(id(method))
                    yield f"{qualname}.{name}", method  # type: ignore[misc]


def parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    """Parameters without the object itself."""
    return [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]


def _of_parameter(name: str, p: inspect.Parameter) -> Iterator[str]:
    given = p.default is not p.empty
    if p.name in SYNONYMS:
        yield f"{name}: {p.name} is called {SYNONYMS[p.name]} elsewhere"
    if p.kind is not p.KEYWORD_ONLY and given:
        if p.name in BY_NAME:
            yield f"{name}: {p.name} is given by name elsewhere (keyword-only)"
        if isinstance(p.default, bool) and p.name != "deep":
            yield f"{name}: the switch {p.name} can be given by position"
    if given and p.name in SAME_DEFAULT and p.default != SAME_DEFAULT[p.name]:
        yield f"{name}: {p.name}={p.default!r}; elsewhere it is {SAME_DEFAULT[p.name]!r}"


def signature_problems(name: str, function: Callable[..., object]) -> list[str]:
    """What is wrong with the signature of one callable."""
    all_of_them = parameters(function)
    found = [problem for p in all_of_them if (name, p.name) not in ON_PURPOSE for problem in _of_parameter(name, p)]
    optional = [p.name for p in all_of_them if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]
    in_order = [n for n in PROCESS_ORDER if n in optional]
    process = "variance" in optional
    if process and [n for n in optional if n in PROCESS_ORDER] != in_order:
        found.append(f"{name}: {', '.join(optional)} in another order than {', '.join(in_order)}")
    if len(optional) > MOST_OPTIONAL_POSITIONAL and not process:
        found.append(f"{name}: {', '.join(optional)} can all be given by position; make most of them keyword-only")
    return found


def _returns(function: Callable[..., object]) -> bool:
    annotation = inspect.signature(function).return_annotation
    return annotation not in (None, "None", inspect.Signature.empty)


def docstring_problems(name: str, function: Callable[..., object], *, is_method: bool) -> list[str]:
    """Sections that a docstring lacks; what numpydoc checks already is left to it."""
    doc = get_doc_object(function)
    described = {part.strip(" *") for p in doc["Parameters"] for part in p.name.split(",")}
    missing = [p.name for p in parameters(function) if p.name not in described]
    found = [f"{name}: {', '.join(missing)} not under Parameters"] if missing else []
    if _returns(function) and not (doc["Returns"] or doc["Yields"]) and (not is_method or parameters(function)):
        found.append(f"{name}: no Returns")
    if not is_method and not (doc["Raises"] or doc["See Also"]):
        found.append(f"{name}: neither Raises nor See Also")
    return found


def estimator_problems() -> list[str]:
    """Methods and fitted attributes that every estimator has."""
    found = []
    for qualname, thing in public_objects():
        if not (inspect.isclass(thing) and hasattr(thing, "fit")):
            continue
        found += [f"{qualname}: no method {m}" for m in ("save", "load", "get_params") if not hasattr(thing, m)]
        documented = {n.strip() for a in get_doc_object(thing)["Attributes"] for n in a.name.split(",")}
        found += [f"{qualname}: {a} is not under Attributes" for a in ("n_iter_", "history_") if a not in documented]
        names = [p.name for p in parameters(thing.__init__)]
        found += [f"{qualname}: no option {o}" for o in ("callback", "verbose") if o not in names]
    return found


def all_problems() -> list[str]:
    """Everything that breaks a convention."""
    found = estimator_problems()
    classes = {q for q, t in public_objects() if inspect.isclass(t)}
    for name, function in callables():
        found += signature_problems(name, function)
        is_method = name.rpartition(".")[0] in classes
        if name not in classes:
            found += docstring_problems(name, function, is_method=is_method)
    return sorted(set(found))


def main() -> int:
    """Print every problem; the exit status says whether there is one."""
    found = all_problems()
    print("\n".join(found) or f"conventions: {sum(1 for _ in callables())} callables, all in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
