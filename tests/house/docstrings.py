"""Validate the docstrings and signatures of the public names: ``python -m tests.house.docstrings``.

Public is what some ``__all__`` of a public package names. numpydoc does the work; what is added here: examples are
required, except of records of results, whose fields stand under Attributes; and everything is annotated.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator

from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import structkit

# See numpydoc.validate.ERROR_MSGS. Left out on purpose: GL01 (text starts on the first line), ES01 (a long summary is
# not always needed), PR06 (prose in types is wanted), RT02 (so are named results), RT03 (a shape may say it all), SA01
# (not everything has a relative), SA03 (no capital needed).
CHECKS = {
    *("GL02", "GL03", "GL05", "GL06", "GL07", "GL08"),
    *("SS01", "SS02", "SS03", "SS04", "SS05", "SS06"),
    *("PR01", "PR02", "PR03", "PR04", "PR07", "PR08", "PR09", "PR10"),
    *("RT01", "RT04", "RT05", "SA02", "SA04", "EX01"),
}
PACKAGES = ("kron", "orthogonal", "statespace", "gp", "pde", "tucker", "sbl", "dictionary", "interop", "datasets")
MODULES = ("plotting", "io")


def public_modules() -> list[str]:
    """Importable public subpackages and modules."""
    existing = {m.name for m in pkgutil.iter_modules(structkit.__path__)}
    return [f"structkit.{name}" for name in (*PACKAGES, *MODULES) if name in existing]


def public_objects() -> Iterator[tuple[str, object]]:
    """Qualified name and object of everything that an ``__all__`` names and that has a docstring of its own."""
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                yield f"{module_name}.{name}", thing


def public_methods(cls: type) -> Iterator[tuple[str, object]]:
    """Methods and properties that a class defines itself."""
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if inspect.isfunction(member) or isinstance(member, property):
            yield name, member


def _is_record(cls: type) -> bool:
    """Whether instances only carry results: the function that returns them shows them."""
    return dataclasses.is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def problems_of(qualname: str, thing: object) -> list[str]:
    """What numpydoc and the house's own rules find."""
    skip = set()
    if inspect.isclass(thing):
        if issubclass(thing, Exception):
            skip |= {"EX01", "PR01"}
        if _is_record(thing) and get_doc_object(thing)["Attributes"]:
            skip |= {"PR01", "EX01"}
    doc = get_doc_object(thing)
    shaped = {n.strip() for p in doc["Parameters"] if "shape" in p.type for n in p.name.split(",")}
    found = []
    for code, text in validate(doc)["errors"]:
        if code == "PR07" and text.split('"')[1] in shaped:
            continue  # "op : LinearOperator, shape (N, N)" says it all
        if code in CHECKS - skip:
            found.append(f"{qualname}: {code} {text}")
    return found + unannotated(qualname, thing)


def method_problems(qualname: str, name: str, method: object) -> list[str]:
    """A method needs a summary, and sections for its parameters and result where it has several."""
    target = method.fget if isinstance(method, property) else method
    doc = inspect.getdoc(target)
    if not doc:
        return [f"{qualname}.{name}: GL08 The object does not have a docstring"]
    found = [] if doc.splitlines()[0].rstrip().endswith((".", ":")) else [f"{qualname}.{name}: SS03 no period"]
    return found + unannotated(f"{qualname}.{name}", target)


def unannotated(qualname: str, thing: object) -> list[str]:
    """Parameters and results without a type."""
    call = thing.__init__ if inspect.isclass(thing) else thing  # type: ignore[misc]
    if not inspect.isfunction(call):
        return []
    signature = inspect.signature(call)
    names = [n for n, p in signature.parameters.items() if p.annotation is p.empty and n not in ("self", "cls")]
    if signature.return_annotation is signature.empty and not inspect.isclass(thing):
        names.append("return")
    return [f"{qualname}: no type for {', '.join(names)}"] if names else []


def all_problems() -> list[str]:
    """Everything that is wrong, once per object even if several modules export it."""
    found: list[str] = []
    seen: set[int] = set()
    for qualname, thing in public_objects():
        if id(thing) in seen or not getattr(thing, "__module__", "").startswith("structkit"):
            continue
        seen.add(id(thing))
        found += problems_of(qualname, thing)
        if inspect.isclass(thing):
            for name, method in public_methods(thing):
                found += method_problems(qualname, name, method)
    return found


def main() -> int:
    """Print every problem; the exit status says whether there is one."""
    found = all_problems()
    print("\n".join(found) or f"docstrings: {sum(1 for _ in public_objects())} public names, all in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
