"""Tables of rules: one function, one rule per operator type, looked up along the type's bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["BinaryRules", "Rules"]

T = TypeVar("T")
Rule = TypeVar("Rule", bound=Callable[..., object])


class Rules(Generic[T]):
    """Rules of a function of one operator, chosen by the operator's type.

    The rule of the nearest base class wins, so a family may share one rule and a member may refine it.

    Parameters
    ----------
    name : str
        Name of the function, for error messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules: dict[type, Callable[..., T]] = {}

    def register(self, *types: type) -> Callable[[Rule], Rule]:
        """Decorate the rule of one or more operator types."""

        def add(rule: Rule) -> Rule:
            for cls in types:
                self._rules[cls] = rule  # type: ignore[assignment]
            return rule

        return add

    def lookup(self, cls: type) -> Callable[..., T]:
        """Return the rule of `cls` or of its nearest base that has one."""
        for base in cls.__mro__:
            if base in self._rules:
                return self._rules[base]
        raise TypeError(f"{self.name} has no rule for {cls.__name__}; expected a LinearOperator.")

    def __call__(self, op: object, *args: object, **options: object) -> T:
        """Apply the rule of the type of `op`."""
        return self.lookup(type(op))(op, *args, **options)


class BinaryRules(Generic[T]):
    """Rules of a function of two operators, chosen by both types.

    Pairs are tried from the most to the least specific, the left type first. A rule that returns
    ``NotImplemented`` (same types, but blocks that do not fit) passes on to the next pair.

    Parameters
    ----------
    name : str
        Name of the function, for error messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules: dict[tuple[type, type], Callable[..., T]] = {}

    def register(self, left: type, right: type) -> Callable[[Rule], Rule]:
        """Decorate the rule of one pair of operator types."""

        def add(rule: Rule) -> Rule:
            self._rules[left, right] = rule  # type: ignore[assignment]
            return rule

        return add

    def __call__(self, a: object, b: object) -> T:
        """Apply the rule of the types of `a` and `b`."""
        for left in type(a).__mro__:
            for right in type(b).__mro__:
                rule = self._rules.get((left, right))
                if rule is not None and (out := rule(a, b)) is not NotImplemented:
                    return out
        raise TypeError(f"{self.name} has no rule for {type(a).__name__} and {type(b).__name__}.")
