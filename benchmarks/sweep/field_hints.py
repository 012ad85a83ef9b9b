"""Hints for a method's field or name where a flag or a key of a sweep is expected."""

from __future__ import annotations

from benchmarks.errors import OTHER_NAMES
from methods.registry import METHODS


def field_named(name: str) -> str:
    """Return the field of any method that a name means; empty if there is none.

    Args:
        name: as other code may call it, for example learning-rate.
    """
    plain = name.lower().replace("-", "_")
    field = OTHER_NAMES.get(plain, plain)
    methods = METHODS.entries(scan_only=True)
    return field if any(field in METHODS.fields(method) for method in methods) else ""


def flag_hint(flag: str) -> str:
    """Return what to type for a flag that is a method's field; empty if it is none."""
    field = field_named(flag.removeprefix("--").partition("=")[0])
    if not field:
        return ""
    return f"A field of a method is set with --set METHOD.{field}=VALUE."


def key_hint(key: str) -> str:
    """Return where a key of a sweep's file belongs that is a field or a method; else nothing."""
    if key in METHODS.entries(scan_only=True):
        return f"Fields of a method go below `set`: {{{key}: {{FIELD: VALUE}}}}."
    field = field_named(key)
    return f"A field goes below `set`: {{METHOD: {{{field}: VALUE}}}}." if field else ""
