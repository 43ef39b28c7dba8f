"""Hyperparameters of covariance kernels: one vector, named, bounded, fixed or free, stored and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self, TypeAlias

import numpy as np

from structkit._backend.namespace import as_array, get_namespace, is_torch
from structkit._core.errors import ShapeError
from structkit._core.types import Array

__all__ = ["Bounds", "Parameter", "Parametrised", "flat_numbers"]

Bounds: TypeAlias = tuple[float, float]

POSITIVE_BOUNDS: Bounds = (1e-8, 1e8)


class Parameter(NamedTuple):
    """Declaration of one hyperparameter of a kernel class.

    Attributes
    ----------
    name : str
        Name of the constructor argument and of the attribute.
    positive : bool
        Positive parameters are optimised on a log scale, others on a linear scale.
    vector : bool
        Whether the value is a one-dimensional array rather than a scalar.
    """

    name: str
    positive: bool = True
    vector: bool = False


def _checked(spec: Parameter, value: object, owner: str) -> object:
    """Validate one hyperparameter; returns a float, a read-only float64 vector, or the torch tensor unchanged."""
    host = value.detach().cpu().numpy() if is_torch(value) else value  # type: ignore[attr-defined]
    try:
        numbers = np.array(host, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise TypeError(f"{spec.name} of {owner} must be numeric; got {value!r}.") from err
    wanted = 1 if spec.vector else 0
    if numbers.ndim != wanted:
        kind = "one-dimensional sequence" if spec.vector else "scalar"
        raise ShapeError(f"{spec.name} of {owner} must be a {kind}; got shape {numbers.shape}.")
    if not np.all(np.isfinite(numbers)) or (spec.positive and not np.all(numbers > 0)):
        need = "positive and finite" if spec.positive else "finite"
        raise ValueError(f"{spec.name} of {owner} must be {need}; got {numbers.tolist()}.")
    if is_torch(value):
        return value
    if not spec.vector:
        return float(numbers)
    numbers.flags.writeable = False
    return numbers


def flat_numbers(value: object) -> np.ndarray:
    """One hyperparameter as a flat float64 array, off any graph."""
    host = value.detach().cpu().numpy() if is_torch(value) else value  # type: ignore[attr-defined]
    return np.asarray(host, dtype=np.float64).reshape(-1)


def _joined(parts: Sequence[object], xp: object) -> object:
    """Join scalars to a vector of their library."""
    tensors = [p for p in parts if is_torch(p)]
    if not tensors:
        return np.array(parts, dtype=np.float64)
    like = tensors[0]
    return xp.stack([p if is_torch(p) else xp.asarray(float(p), dtype=like.dtype, device=like.device) for p in parts])  # type: ignore


class Parametrised:
    """Immutable object whose free hyperparameters form one vector `theta`."""

    _specs: ClassVar[tuple[Parameter, ...]] = ()
    _config: ClassVar[tuple[str, ...]] = ()

    _fixed: frozenset[str] = frozenset()
    _limits: Mapping[str, Bounds] = {}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"Kernels are immutable; cannot set {name!r} of {type(self).__name__}. Build a new one, or use "
            "with_theta, fix, free or with_bounds, which return new kernels."
        )

    def _store(self, **values: object) -> None:
        """Validate and store hyperparameters (constructors and set_params only)."""
        for spec in self._specs:
            if spec.name in values:
                checked = _checked(spec, values[spec.name], type(self).__name__)
                object.__setattr__(self, spec.name, checked)

    def _copy(self, **private: object) -> Self:
        """Return a shallow copy with some attributes replaced, unchecked."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(private)
        return new

    # ---- hyperparameters ----------------------------------------------------------------------------------------

    def _children(self) -> tuple[Parametrised, ...]:
        return ()

    def _leaf_values(self) -> Iterator[object]:
        for spec in self._specs:
            yield getattr(self, spec.name)
        for child in self._children():
            yield from child._leaf_values()

    def _entries(self) -> list[tuple[str, Parameter, float]]:
        """Every scalar hyperparameter, fixed or free: name, declaration, value."""
        out = []
        for spec in self._specs:
            numbers = flat_numbers(getattr(self, spec.name))
            names = [f"{spec.name}[{q}]" for q in range(numbers.size)] if spec.vector else [spec.name]
            out += [(name, spec, float(v)) for name, v in zip(names, numbers, strict=True)]
        return out

    def _free_entries(self) -> list[tuple[str, Parameter, float]]:
        return [entry for entry in self._entries() if entry[0] not in self._fixed]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the free hyperparameters, in the order of `theta`."""
        return tuple(name for name, _, _ in self._free_entries())

    @property
    def theta(self) -> np.ndarray:
        """Free hyperparameters, float64, shape ``(p,)``; natural logarithm of the positive ones."""
        return np.array([math.log(v) if s.positive else v for _, s, v in self._free_entries()], dtype=np.float64)

    @property
    def bounds(self) -> np.ndarray:
        """Lower and upper limits of `theta`, shape ``(p, 2)``; default for positive hyperparameters: a factor 1e8
        beyond one and beyond the value."""
        rows = []
        for name, spec, value in self._free_entries():
            given = self._limits.get(name)
            low, high = given or (-math.inf, math.inf)
            if given is None and spec.positive:
                # As much room in units that make the value tiny or huge.
                low, high = (POSITIVE_BOUNDS[0] * min(value, 1.0), POSITIVE_BOUNDS[1] * max(value, 1.0))
            rows.append((math.log(low), math.log(high)) if spec.positive else (low, high))
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    def with_theta(self, theta: object) -> Self:
        """Return the kernel with other values of its free hyperparameters.

        Parameters
        ----------
        theta : array, shape ``(p,)``
            New values, as in `theta`. A torch tensor makes the hyperparameters torch scalars on its graph, so that
            gradients reach `theta`.

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().with_theta([0.0, 0.0])
        SquaredExponential(lengthscale=1.0, variance=1.0)
        """
        vector = as_array(theta, "theta")
        p = len(self.parameter_names)
        if tuple(vector.shape) != (p,):
            raise ShapeError(
                f"theta has shape {tuple(vector.shape)}; expected ({p},): one value for each free hyperparameter."
            )
        return self._with_theta(vector)

    def _with_theta(self, theta: Array) -> Self:
        xp = get_namespace(theta)
        position = {name: i for i, name in enumerate(self.parameter_names)}
        values: dict[str, object] = {}
        for spec in self._specs:
            old = getattr(self, spec.name)
            names = [f"{spec.name}[{q}]" for q in range(len(old))] if spec.vector else [spec.name]
            if not any(name in position for name in names):
                continue
            parts = []
            for q, name in enumerate(names):
                if name not in position:
                    parts.append(old[q] if spec.vector else old)
                else:
                    t = theta[position[name]]
                    parts.append(xp.exp(t) if spec.positive else t)
            values[spec.name] = _joined(parts, xp) if spec.vector else parts[0]
        new = self._copy()
        new._store(**values)
        return new

    def _selected(self, names: Sequence[str]) -> frozenset[str]:
        """Resolve names of hyperparameters: a scalar one, a whole vector, or one of its elements."""
        known = [name for name, _, _ in self._entries()]
        if not names:
            return frozenset(known)
        chosen: set[str] = set()
        for name in names:
            hits = [k for k in known if k == name or k.startswith(f"{name}[")]
            if not hits:
                raise ValueError(
                    f"{type(self).__name__} has no hyperparameter {name!r}; it has {', '.join(known) or 'none'}."
                )
            chosen.update(hits)
        return frozenset(chosen)

    def fix(self, *names: str) -> Self:
        """Return the kernel with some hyperparameters held constant.

        Parameters
        ----------
        *names : str
            Names as in `get_params`, such as ``"lengthscale"``, ``"frequencies"`` (all), ``"frequencies[0]"`` (one),
            ``"k1__lengthscale"`` or ``"k1"`` in sums and products. Without names, all are fixed.

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().fix("variance").parameter_names
        ('lengthscale',)
        """
        return self._copy(_fixed=self._fixed | self._selected(names))

    def free(self, *names: str) -> Self:
        """Return the kernel with some hyperparameters free to be learned again.

        Parameters
        ----------
        *names : str
            Names as in `fix`. Without names, all.

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.
        """
        return self._copy(_fixed=self._fixed - self._selected(names))

    def with_bounds(self, **limits: Bounds) -> Self:
        """Return the kernel with limits on hyperparameters.

        Parameters
        ----------
        **limits : tuple of two float
            ``name=(low, high)``, in natural units (not logarithms).

        Returns
        -------
        kernel : Kernel
            A copy; kernels are values.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().with_bounds(lengthscale=(0.1, 10.0)).bounds[0].round(3)
        array([-2.303,  2.303])
        """
        merged = dict(self._limits)
        positive = {name: spec.positive for name, spec, _ in self._entries()}
        for name, (low, high) in limits.items():
            for chosen in self._selected([name]):
                if not low < high or (positive[chosen] and low <= 0):
                    raise ValueError(
                        f"Bounds of {chosen} must be increasing, and positive on a log scale; got ({low}, {high})."
                    )
                merged[chosen] = (float(low), float(high))
        return self._copy(_limits=merged)

    def _restart(self, start: Mapping[str, object], limits: Mapping[str, Bounds]) -> Self:
        """Replace values and bounds of hyperparameters that are entirely free; bounds that were set stay and hold."""
        free = {s.name for s in self._specs if not self._selected([s.name]) & self._fixed}
        bounded = {name.partition("[")[0] for name in self._limits}
        new = self.with_bounds(**{k: v for k, v in limits.items() if k in free - bounded})
        for spec in self._specs:
            if spec.name in free & set(start):
                value = np.broadcast_to(np.asarray(start[spec.name], dtype=np.float64), (len(new._limits_of(spec)),))
                low, high = np.array(new._limits_of(spec)).T
                inside = np.clip(value, low, high)
                new._store(**{spec.name: inside if spec.vector else float(inside[0])})
        return new

    def _limits_of(self, spec: Parameter) -> list[Bounds]:
        """Bounds set for every element of one hyperparameter; infinite without."""
        names = [name for name, s, _ in self._entries() if s.name == spec.name]
        return [self._limits.get(name, (-math.inf, math.inf)) for name in names]

    # ---- comparison and storage -----------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the constructor's arguments by name, as in scikit-learn.

        Parameters
        ----------
        deep : bool, default True
            Add those of nested kernels (``k1__variance``).

        Returns
        -------
        params : dict
            Arguments by name.
        """
        out: dict[str, object] = {name: getattr(self, name) for name in (*self._config, *(s.name for s in self._specs))}
        return out

    def set_params(self, **params: object) -> Self:
        """Change hyperparameters in place and return the kernel: the only method that modifies a kernel.

        It exists for scikit-learn's nested parameters (``model.set_params(kernel__variance=2.0)``); prefer
        `with_theta`.

        Parameters
        ----------
        **params : object
            New values by name.

        Returns
        -------
        self : Kernel
            The same kernel, changed.
        """
        current = self.get_params(deep=False)
        unknown = sorted(set(params) - set(current))
        if unknown:
            raise ValueError(f"{type(self).__name__} has no parameter {unknown[0]!r}; it has {', '.join(current)}.")
        fresh = type(self)(**{**current, **params})
        object.__setattr__(self, "__dict__", {**self.__dict__, **fresh.__dict__})
        return self

    def __sklearn_clone__(self) -> Self:
        return self._copy()

    def to_dict(self) -> dict[str, object]:
        """Return plain Python data (JSON-able) from which `from_dict` rebuilds the kernel exactly.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().to_dict()
        {'kernel': 'SquaredExponential', 'lengthscale': 1.0, 'variance': 1.0}
        """
        out: dict[str, object] = {"kernel": type(self).__name__}
        out |= {name: getattr(self, name) for name in self._config}
        for spec in self._specs:
            numbers = flat_numbers(getattr(self, spec.name)).tolist()
            out[spec.name] = numbers if spec.vector else numbers[0]
        if self._fixed:
            out["fixed"] = sorted(self._fixed)
        if self._limits:
            out["bounds"] = {name: list(limit) for name, limit in sorted(self._limits.items())}
        return out

    @classmethod
    def _from_dict(cls, data: Mapping[str, object]) -> Self:
        arguments = {k: data[k] for k in (*cls._config, *(s.name for s in cls._specs))}
        limits: Mapping[str, Sequence[float]] = data.get("bounds", {})  # type: ignore[assignment]
        fixed: Sequence[str] = data.get("fixed", ())  # type: ignore[assignment]
        return cls(**arguments)._copy(
            _fixed=frozenset(fixed), _limits={name: (float(low), float(high)) for name, (low, high) in limits.items()}
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_dict() == other.to_dict()  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = []
        for name, value in self.get_params(deep=False).items():
            if not isinstance(value, str):
                numbers = flat_numbers(value)
                value = numbers.tolist() if getattr(value, "ndim", 0) else float(numbers[0])
            parts.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)}){self._suffix()}"

    def _suffix(self) -> str:
        """Calls that restore fixed hyperparameters and bounds in the representation."""
        out = ""
        if self._limits:
            # Names of vector elements are no Python identifiers, so the bounds go in as a mapping.
            out += f".with_bounds(**{dict(sorted(self._limits.items()))!r})"
        if self._fixed:
            out += f".fix({', '.join(repr(n) for n in sorted(self._fixed))})"
        return out
