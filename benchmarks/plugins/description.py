"""Plug-ins described in JSON, so that the process that keeps the labels never imports them.

A child process imports a plug-in, writes its entry and its fields down (`written`) and sends the
text. Nothing in that text is trusted: `read` checks every part of it. Types that the command line
can set survive; any other type keeps its name alone, for messages.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

from benchmarks.errors import UserError
from benchmarks.plugins import sources
from benchmarks.plugins.entries import LONGEST_NAME, Entry, check_name, first_line
from benchmarks.plugins.fields import MISSING, Field, Fields
from benchmarks.plugins.origins import Origin
from benchmarks.plugins.ranges import Range
from benchmarks.visible import one_visible_line

LARGEST = 2**20
"""Bytes of a description."""
LONGEST_TEXT = 10_000
"""Characters of a text that a plug-in declares."""

_SCALARS = (bool, int, float, str, types.NoneType)
_TYPES: dict[str, Any] = {kind.__name__: kind for kind in _SCALARS}


class _Named(type):
    """A type of which only the name is known."""

    def __repr__(cls) -> str:
        return cls.__name__


# ---- writing, in the process that imported the plug-in -------------------------------------------


def written(
    kind: str, entry: Entry, fields: Fields | None, attributes: dict[str, Any]
) -> dict[str, Any]:
    """Return a plug-in in types of JSON.

    Args:
        kind: of its catalog.
        entry: what its decorator declared.
        fields: of its class; None if the reader is going to import it.
        attributes: others of its class that somebody may ask for, in types of JSON.

    Raises:
        UserError: something has no form in JSON.
    """
    where = f"The {kind} '{entry.name}' ({entry.file})"
    options = {}
    for name, given in entry.options.items():
        value = dict(given) if isinstance(given, Mapping) else given
        options[name] = _plain(value, f"{where} declares {name}={_shown(value)}, which")
    return {
        "kind": kind,
        "name": entry.name,
        "file": str(entry.file),
        "class": entry.class_name,
        "summary": entry.summary,
        "options": options,
        "fields": None
        if fields is None
        else {name: _field(field, f"{where}: field {name}") for name, field in fields.items()},
        "attributes": attributes,
    }


def _field(field: Field, where: str) -> dict[str, Any]:
    data: dict[str, Any] = {"type": _hint(field.hint)}
    if field.default is not MISSING:
        shown = _shown(field.default)
        data["default"] = _plain(field.default, f"{where} has the default {shown}, which")
    if field.range is not None:
        if type(field.range) is not Range:
            raise UserError(f"{where} has a range of another class than benchmarks.plugins.ranges.")
        data["range"] = [field.range.low, field.range.high, field.range.open]
    return data


def _hint(hint: Any) -> Any:
    for name, kind in _TYPES.items():
        if hint is kind:
            return name
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal and all(type(part) in _SCALARS for part in parts):
        return {"literal": list(parts)}
    if origin in (Union, types.UnionType):
        return {"union": [_hint(part) for part in parts]}
    return {"other": str(hint)}


def _plain(value: Any, problem: str) -> Any:
    """Return a value in types of JSON; a tuple is a list with its name."""
    if type(value) is tuple:
        return {"tuple": [_plain(item, problem) for item in value]}
    if type(value) is list:
        return [_plain(item, problem) for item in value]
    if type(value) is dict:
        return {"mapping": [[_plain(k, problem), _plain(v, problem)] for k, v in value.items()]}
    if isinstance(value, float):  # also NumPy's
        if not math.isfinite(value):
            raise UserError(f"{problem} is not a finite number.")
        return float(value)
    # A member of an enumeration is a text or a number, too, but would come back as that alone.
    if type(value) not in _SCALARS:
        raise UserError(f"{problem} is neither a number, a text, true, false nor None.")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


# ---- reading, in the process that does not -------------------------------------------------------


def read(
    text: bytes, origin: Origin, complete: Callable[[Entry], Entry]
) -> list[tuple[str, Entry]]:
    """Return the kind and the entry of every plug-in in a description.

    Args:
        text: a JSON list of what `written` returns.
        origin: file or package that registered them.
        complete: checks options and attributes, which depend on the kind; called for kinds that
            have fields. It raises as the functions below do.

    Raises:
        UserError: the text is not a description of plug-ins.
    """
    try:
        if len(text) > LARGEST:
            raise UserError(f"it describes itself in {len(text):,} bytes; {LARGEST:,} are allowed.")
        found = [(text_in(one["kind"]), one) for one in items_in(json.loads(text))]
        return [(kind, _entry(kind, one, origin, complete)) for kind, one in found]
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        line = one_visible_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{origin} does not describe itself as plug-ins do ({line}).") from error


def _entry(kind: str, data: Any, origin: Origin, complete: Callable[[Entry], Entry]) -> Entry:
    name = data["name"]
    check_name(kind, name)
    file = Path(text_in(data["file"]))
    if not file.is_file():
        shown = one_visible_line(str(file))
        raise UserError(f"the {kind} '{name}' is defined in no file, but in '{shown}'.")
    entry = Entry(
        name,
        file,
        one_visible_line(first_line(text_in(data["summary"]))),
        {key: _value(value) for key, value in mapping_in(data["options"]).items()},
        class_name=text_in(data["class"]),
        origin=origin,
    )
    if data["fields"] is None:
        return entry
    # Every file that fingerprints cover is read once, so that one that cannot be is refused here.
    sources.closure([sources.Counted(file, origin.home)], suite=False)
    fields = {name: _read_field(name, field) for name, field in mapping_in(data["fields"]).items()}
    attributes = mapping_in(data["attributes"])
    return complete(dataclasses.replace(entry, fields=fields, attributes=attributes))


def _read_field(name: str, data: Any) -> Field:
    if not name.isidentifier() or len(name) > LONGEST_NAME:
        raise ValueError(f"a field is called {name[:LONGEST_NAME]!a}")
    default = _value(data["default"]) if "default" in data else MISSING
    limits = None
    if "range" in data:
        low, high, is_open = items_in(data["range"])
        limits = Range(_bound(low), None if high is None else _bound(high), is_open is True)
    field = Field(_read_hint(data["type"]), default, limits)
    if wrong := field.complaint(default):
        raise ValueError(f"the default {default} of field {name} is {wrong}")
    return field


def _bound(value: Any) -> float:
    """An end of a range, which may be infinite."""
    return value if value in (math.inf, -math.inf) else number_in(value)


def _read_hint(data: Any) -> Any:
    if isinstance(data, str):
        return _TYPES[data]
    ((form, inner),) = mapping_in(data).items()
    if form == "literal":
        return Literal[tuple(_value(part) for part in items_in(inner))]
    if form == "union":
        return Union[tuple(_read_hint(part) for part in items_in(inner))]  # noqa: UP007
    return _Named(one_visible_line(text_in(inner)), (), {})


def _value(data: Any) -> Any:
    if isinstance(data, list):
        return [_value(item) for item in data]
    if isinstance(data, dict):
        ((form, inner),) = data.items()
        if form == "tuple":
            return tuple(_value(item) for item in items_in(inner))
        return {_value(key): _value(value) for key, value in items_in(inner)}
    if isinstance(data, float):
        return number_in(data)
    return text_in(data) if isinstance(data, str) else data


def text_in(data: Any) -> str:
    """Return a text of JSON.

    Raises:
        ValueError: it is something else, too long, or holds half of a pair of surrogates.
    """
    if not isinstance(data, str):
        raise ValueError(f"{_shown(data)} is not a text")
    if len(data) > LONGEST_TEXT:
        raise ValueError(f"a text has {len(data):,} characters; {LONGEST_TEXT:,} are allowed")
    data.encode()  # raises for half a pair
    return data


def number_in(data: Any) -> float:
    """Return a number of JSON.

    Raises:
        ValueError: it is something else, or not finite.
    """
    if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
        raise ValueError(f"{_shown(data)} is not a finite number")
    return data


def items_in(data: Any) -> list[Any]:
    """Return a list of JSON.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(data, list):
        raise ValueError(f"{_shown(data)} is not a list")
    return data


def mapping_in(data: Any) -> dict[str, Any]:
    """Return an object of JSON.

    Raises:
        ValueError: it is something else, or a name in it is not a text as `text_in` demands.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{_shown(data)} is not an object")
    for name in data:
        text_in(name)
    return data
