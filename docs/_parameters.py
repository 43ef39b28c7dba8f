"""The page of parameter names: every name in a public signature, with the objects that use it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from _site import ORDER, write

SHARED = 3  # a name that so many objects use stands in the first table


def _public() -> Iterator[tuple[str, object]]:
    """Qualified name and object of every public function and class, once each."""
    seen: set[int] = set()
    for module_name in ORDER:
        module = importlib.import_module(f"structkit.{module_name}")
        for name in sorted(module.__all__, key=str.lower):
            thing = getattr(module, name)
            home = str(getattr(thing, "__module__", ""))
            known = inspect.isclass(thing) or inspect.isroutine(thing)
            if known and home.startswith("structkit") and id(thing) not in seen:
                seen.add(id(thing))
                yield f"structkit.{module_name}.{name}", thing


def _calls(thing: object, public: set[object]) -> Iterator[tuple[str, Callable[..., object]]]:
    """Constructor and methods of a class, or the function itself; what a public base defines is left to that base."""
    if not inspect.isclass(thing):
        yield "", thing  # type: ignore[misc]
        return
    if not (dataclasses.is_dataclass(thing) or issubclass(thing, (tuple, Exception))):
        yield "", thing.__init__
    parents = [base for base in thing.__mro__[1:] if base in public]
    for base in thing.__mro__:
        if not base.__module__.startswith("structkit") or any(issubclass(parent, base) for parent in parents):
            continue
        for name, member in vars(base).items():
            function = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            if not name.startswith("_") and inspect.isfunction(function):
                yield name, function


def _used() -> dict[str, tuple[dict[str, list[str]], set[str]]]:
    """For every parameter name: the objects with their methods, and the defaults."""
    used: dict[str, tuple[dict[str, list[str]], set[str]]] = defaultdict(lambda: (defaultdict(list), set()))
    public = dict(_public())
    for qualname, thing in public.items():
        for method, function in _calls(thing, set(public.values())):
            for p in inspect.signature(function).parameters.values():
                if p.name in ("self", "cls") or p.name.startswith("_"):
                    continue
                objects, defaults = used[p.name]
                if method not in objects[qualname]:
                    objects[qualname].append(method)
                if p.default is not p.empty:
                    defaults.add(_default(p.default))
    return used


def _default(value: object) -> str:
    text = value.__name__ if inspect.isclass(value) else repr(value)
    return f"``{text}``" if len(text) <= 24 else "..."


def _table(names: list[str], used: dict[str, tuple[dict[str, list[str]], set[str]]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 18 18 64", "   :class: parameters", ""]
    lines += ["   * - name", "     - default", "     - used by"]
    for name in names:
        objects, defaults = used[name]
        users = []
        for qualname, methods in objects.items():
            link = f"`{qualname.rpartition('.')[2]} <{qualname}>`"
            called = ", ".join(m or "constructor" for m in methods)
            users.append(link if methods == [""] else f"{link} ({called})")
        lines += [f"   * - ``{name}``", f"     - {', '.join(sorted(defaults))}".rstrip(), f"     - {', '.join(users)}"]
    return [*lines, ""]


def write_parameters(target: Path) -> None:
    """Two tables: names that several objects share, and names of one or two."""
    used = _used()
    shared = sorted((n for n in used if len(used[n][0]) >= SHARED), key=lambda n: (-len(used[n][0]), n.lower()))
    others = sorted((n for n in used if len(used[n][0]) < SHARED), key=str.lower)
    lines = ["Names that objects share", "------------------------", "", *_table(shared, used)]
    lines += ["All other names", "---------------", "", *_table(others, used)]
    write(target, "\n".join(lines))
