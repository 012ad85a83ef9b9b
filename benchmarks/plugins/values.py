"""Typed values of fields: what a command line or a YAML file says, checked against annotations."""

from __future__ import annotations

import math
import types
import typing
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.fields import MISSING, Fields, fields_of
from benchmarks.protocol import GroupRule
from benchmarks.visible import one_visible_line

GROUP_RULES = ("auto", *typing.get_args(GroupRule))
"""Rules that divide classes into many, medium and few; `auto` takes the task's own."""


def apply_fields(kind: str, of: type | Fields, given: dict[str, Any]) -> dict[str, Any]:
    """The complete, checked configuration of a dataclass: its defaults, and `given` over them.

    Args:
        kind: what to call it in a message, for example "method lift".
        of: the dataclass or its fields.
        given: field name -> value, possibly strings from the command line.

    Raises:
        UserError: unknown field, wrong type or a number out of its field's range.
    """
    known = fields_of(of) if isinstance(of, type) else of
    values = {name: field.default for name, field in known.items()}
    for name, value in given.items():
        if name not in known:
            raise did_you_mean(f"field of {kind}", name, known)
        values[name] = coerce(value, known[name].hint, f"{kind}, field {name}")
        if wrong := known[name].complaint(values[name]):
            raise UserError(f"{kind}, field {name}: {value} is {wrong}.")
    for name, value in values.items():
        if value is MISSING:
            raise UserError(f"{kind}: field {name} has no default and is not set.")
    return values


def check_fields(kind: str, instance: Any) -> None:
    """Check the values of a dataclass that was built without `apply_fields`.

    Args:
        kind: what to call it in a message, for example "data set cifar10_lt".
        instance: the object.

    Raises:
        UserError: a wrong type or a number out of its field's range.
    """
    fields = fields_of(type(instance))
    apply_fields(kind, fields, {name: getattr(instance, name) for name in fields})


def coerce(value: Any, hint: Any, where: str) -> Any:
    """`value` as the annotated type; strings are read as the command line writes them.

    Raises:
        UserError: it does not fit; the line says what would.
    """
    origin = typing.get_origin(hint)
    said = one_visible_line(str(value), 200)
    if origin is typing.Literal:
        options = typing.get_args(hint)
        if value in options:
            return value
        raise UserError(f"{where}: '{said}' is not one of {', '.join(map(str, options))}.")
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        if value is None or value == "none":
            return None
        return coerce(value, inner[0], where)
    if hint is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise UserError(f"{where}: '{said}' is not true or false.")
    try:
        if hint is int and not isinstance(value, bool) and float(value) == int(float(value)):
            return int(float(value))
        if hint is float and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    if hint is str and isinstance(value, str):
        return value
    wanted = {int: "a whole number", float: "a number", str: "text"}.get(hint, str(hint))
    raise UserError(f"{where}: '{said}' is not {wanted}.")


def choices(hint: Any) -> list[str]:
    """Options of an annotation of literals, or of literals and None; empty for any other."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in inner]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = [value for part in inner for value in choices(part)]
        return [*found, "none"] if found and type(None) in inner else found
    return []
