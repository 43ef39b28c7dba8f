"""Models as JSON-able values and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from structkit.statespace.combine import ProductForm, SumForm
from structkit.statespace.forms import ConstantForm, Form, GeneralForm, MaternForm, PeriodicForm, System, WhiteForm
from structkit.statespace.sde import LinearSDE, from_form, known_form

__all__ = ["from_values", "to_values"]

_LEAVES = {form.__name__: form for form in (ConstantForm, MaternForm, PeriodicForm, WhiteForm)}
_PAIRS = {form.__name__: form for form in (ProductForm, SumForm)}


def to_values(sde: LinearSDE) -> dict[str, object]:
    """Return a model as JSON-able values; numbers keep all their digits."""
    return _stored(known_form(sde))


def from_values(values: Mapping[str, Any]) -> LinearSDE:
    """Return the model of what `to_values` made."""
    return from_form(_restored(values))


def _stored(form: Form) -> dict[str, object]:
    name = type(form).__name__
    if isinstance(form, (ProductForm, SumForm)):
        return {"form": name, "parts": [_stored(part) for part in form.parts]}
    if isinstance(form, GeneralForm):
        return {"form": name, "matrices": {k: m.tolist() for k, m in form.matrices._asdict().items()}}
    fields = {f.name: getattr(form, f.name) for f in dataclasses.fields(form)}  # type: ignore[arg-type]
    return {"form": name, **{k: int(v) if isinstance(v, int) else float(v) for k, v in fields.items()}}


def _restored(values: Mapping[str, Any]) -> Form:
    fields = dict(values)
    name = fields.pop("form")
    if name in _PAIRS:
        return _PAIRS[name](tuple(_restored(part) for part in fields["parts"]))
    if name == "GeneralForm":
        return GeneralForm(System(**{k: np.array(m) for k, m in fields["matrices"].items()}))
    return _LEAVES[name](**fields)
