"""Dataclasses as JSON and back, with the type, the range and the length of every value checked.

A field's range is declared at the field, as in `epochs: Annotated[int, NonNegative]`, or by its
metadata, as (low, high) under "range". Every number must be finite and fit into 64 bits. A text has
at most `NAME` characters, or those of the `Length` at its field, and none that a terminal obeys.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from benchmarks.plugins.ranges import Range

NAME = 1_000
"""Most characters of a name, such as that of a data set."""
PROSE = 20_000
"""Most characters of a note, an error or a class name."""
DEPTH = 20
"""Most levels of mappings and lists in a field without a type of its own."""
_LARGEST_INT = 2**63
_PLAIN = {str, int, bool, types.NoneType}
"""Types whose values are JSON as they are."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tab and line ends, and halves of surrogate pairs."""


class JsonFormError(ValueError):
    """Data that are not what the dataclass declares; the message begins with the place."""


@dataclass(frozen=True)
class Length:
    """Most characters of a text, declared at its field."""

    limit: int


class _Wrong(Exception):
    """A wrong value; the caller adds the path of the field.

    Args:
        part: the value, if it is a part of a field of any JSON type, in a tuple.
        place: its place in the field.
    """

    def __init__(self, *part: Any, place: str = "") -> None:
        super().__init__()
        self.part = part
        self.place = place


Reader = Callable[[Any, str], Any]
"""Converts a JSON value to the value of a field; the text is the path of its part for messages."""
Check = Callable[[Any], bool]
"""Returns True for a value within the declared range."""


def build(cls: Any, data: Any, path: str) -> Any:
    """`cls(**data)` with every field checked; every list becomes a tuple.

    Args:
        cls: a dataclass.
        data: JSON types.
        path: the beginning of messages, for example "record.metrics".

    Raises:
        JsonFormError: fields are missing, unknown, of a wrong type or out of range.
    """
    if not isinstance(data, dict):
        raise JsonFormError(f"{path} is not a mapping")
    readers, required = _readers(cls)
    if not required <= data.keys() <= readers.keys():
        unknown, missing = sorted(data.keys() - readers.keys()), sorted(required - data.keys())
        raise JsonFormError(
            f"{path}: unknown fields {str(unknown)[:200]}, missing fields {missing}"
        )
    return cls(**_read(readers, data, path))


def check(cls: Any, values: Mapping[str, Any], path: str) -> None:
    """Check values of some fields of a dataclass, as `build` checks all of them.

    Args:
        cls: the dataclass.
        values: by the name of the field.
        path: the beginning of messages.

    Raises:
        JsonFormError: a value that `build` would refuse, or none of JSON.
    """
    _read(_readers(cls)[0], to_json(values), path)


def to_json(value: Any, path: str = "") -> Any:
    """The value as JSON types, with tuples as lists and dataclasses as mappings.

    Raises:
        JsonFormError: a NaN, an infinity or something that JSON cannot hold.
    """
    kind: type = type(value)
    if kind in _PLAIN:  # first, because most of the hundreds of values of a record are
        return value
    if _names(kind):
        value = values_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonFormError(f"{path} is {value}")
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_json(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kinds = set(map(type, value))  # one look at a thousand classes instead of a call for each
        if kinds <= _PLAIN or (kinds == {float} and all(map(math.isfinite, value))):
            return list(value)
        return [to_json(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise JsonFormError(f"{path} holds a {type(value).__name__}, which JSON cannot represent")


def values_of(part: Any) -> dict[str, Any]:
    """The values of a dataclass's fields by name, without the copies that `asdict` makes.

    Raises:
        TypeError: it is not a dataclass.
    """
    kind: type = type(part)
    names = _names(kind)
    if not names:
        raise TypeError(f"{kind.__name__} is not a dataclass")
    return {name: getattr(part, name) for name in names}


@functools.cache
def _names(cls: type) -> tuple[str, ...]:
    """The names of a dataclass's fields; none for another class."""
    return tuple(f.name for f in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()


def _read(readers: Mapping[str, Reader], data: Mapping[str, Any], path: str) -> dict[str, Any]:
    found = {}
    name, value = "", None
    try:  # around the loop, because there are dozens of fields in each of thousands of records
        for name, value in data.items():
            found[name] = readers[name](value, path)
    except _Wrong as wrong:
        shown = _cut(wrong.part[0] if wrong.part else value)
        place = f"{path}.{name}{wrong.place[:200]}"
        raise JsonFormError(f"{place} has a wrong type or value: {shown}") from None
    return found


def _cut(value: Any) -> str:
    try:
        shown = str(value)
    except ValueError:  # an integer of more digits than Python prints
        shown = "a number of thousands of digits"
    return f"{shown[:60]!r}"


# ---- readers -------------------------------------------------------------------------------------


@functools.cache
def _readers(cls: type) -> tuple[dict[str, Reader], set[str]]:
    """A reader for each field of a dataclass, and the names of the fields without a default."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = dataclasses.fields(cls)
    required = {
        f.name for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }  # fmt: skip
    return {f.name: _reader(hints[f.name], f) for f in fields}, required


def _reader(hint: Any, field: dataclasses.Field[Any]) -> Reader:
    """The reader of a field with an annotation."""
    hint, extras = _split(hint)
    name = field.name
    origin, arms = typing.get_origin(hint), _arms(hint)
    if dataclasses.is_dataclass(arms[0]):
        part, optional = arms[0], types.NoneType in arms
        return lambda value, path: (
            None if value is None and optional else build(part, value, f"{path}.{name}")
        )
    if origin is Literal:
        options = set(typing.get_args(hint))
        return lambda value, _: value if isinstance(value, str) and value in options else _wrong()
    if "range" in field.metadata:
        extras.append(Range(*field.metadata["range"]))
    if origin is tuple:
        return _reader_of_tuples(_types(typing.get_args(hint)[0]), extras)
    if origin is dict:
        return _reader_of_mappings(typing.get_args(hint)[1])
    allowed = _types(hint)
    inside = _inside(allowed, extras)

    def read(value: Any, _: str) -> Any:
        if type(value) in allowed and inside(value):
            return value
        raise _Wrong

    return read


def _reader_of_tuples(allowed: set[Any], extras: Iterable[Any]) -> Reader:
    known: dict[Any, Any] = {}
    inside = _all_inside(allowed, extras)

    def read(value: Any, _: str) -> Any:
        # Sets of types, because a thousand records may hold a thousand classes each.
        if not isinstance(value, list) or not set(map(type, value)) <= allowed:
            raise _Wrong
        found = tuple(value)
        if float in allowed:
            return found if inside(found) else _wrong()
        # Records of one data set have the same names and groups; keep one copy in memory.
        if found not in known:
            if not inside(found):
                raise _Wrong
            known[found] = found
        return known[found]

    return read


def _reader_of_mappings(item: Any) -> Reader:
    allowed = None if item is Any else _types(item)

    def read(value: Any, _: str) -> Any:
        if not isinstance(value, dict):
            raise _Wrong
        if allowed is not None and not set(map(type, value.values())) <= allowed:
            raise _Wrong
        return _free(value, DEPTH)

    return read


def _free(value: Any, depth: int) -> Any:
    """A value of any JSON type, checked, with lists as tuples at any depth: records are frozen."""
    kind = type(value)
    if kind is not list and kind is not dict:
        fits = _is_text(value, PROSE) if kind is str else _is_number(value)
        return value if fits else _wrong(value)
    if not depth:
        raise _Wrong(value)
    items: dict[Any, Any] = {}
    for place, item in value.items() if kind is dict else enumerate(value):
        try:
            items[place] = _free(item, depth - 1)
        except _Wrong as wrong:
            shown = f".{place}" if kind is dict else f"[{place}]"
            raise _Wrong(*wrong.part, place=shown + wrong.place) from None
    if kind is list:
        return tuple(items.values())
    return items if all(map(_is_text, items)) else _wrong(value)


def _wrong(*part: Any) -> Any:
    raise _Wrong(*part)


# ---- annotations and ranges ----------------------------------------------------------------------


def _split(hint: Any) -> tuple[Any, list[Any]]:
    """An annotation without its `Annotated`, and what that adds."""
    if typing.get_origin(hint) is Annotated:
        inner, *extras = typing.get_args(hint)
        return inner, extras
    return hint, []


def _arms(hint: Any) -> tuple[Any, ...]:
    """The members of a union; any other annotation alone."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if union else (hint,)


def _types(hint: Any) -> set[Any]:
    """Types that JSON may contain for a scalar annotated `hint`; an int is valid as a float."""
    arms = _arms(hint)
    return {*arms, int} if float in arms else set(arms)


def _inside(allowed: set[Any], extras: Iterable[Any]) -> Check:
    """The check of a scalar against its `Range` or `Length`, or what any scalar must satisfy."""
    if str in allowed:
        limit = next((extra.limit for extra in extras if isinstance(extra, Length)), NAME)
        return lambda value: (
            value is None
            or (len(value) <= limit and (value.isprintable() or _is_text(value, limit)))
        )
    bounds = _bounds(extras)
    if bounds is None:
        return _is_number
    low, high = bounds
    return lambda value: value is None or low <= value <= high


def _all_inside(allowed: set[Any], extras: Iterable[Any]) -> Check:
    """The check of all items of a tuple, which may be thousands."""
    bounds = _bounds(extras)
    if bounds is None:
        one = _inside(allowed, extras)
        return lambda found: all(map(one, found))
    low, high = bounds

    def check(found: Sequence[Any]) -> bool:
        numbers = [value for value in found if value is not None]
        # The last part is False if there is a NaN, which hides from `min` and `max`.
        return not numbers or (
            low <= min(numbers) and max(numbers) <= high and all(map(operator.eq, numbers, numbers))
        )

    return check


def _bounds(extras: Iterable[Any]) -> tuple[float, float] | None:
    """The ends of a `Range`; None if there is none."""
    for extra in extras:
        if isinstance(extra, Range):
            if extra.high is None or extra.open:
                raise TypeError(f"a field of a record needs a closed range, not {extra}")
            return extra.low, extra.high
    return None


def _is_text(value: str, limit: int = NAME) -> bool:
    """Return True for a text that may be stored."""
    return len(value) <= limit and (value.isprintable() or _UNPRINTABLE.search(value) is None)


def _is_number(value: Any) -> bool:
    """Return True for a number that may be stored, a truth value or None."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is not int or -_LARGEST_INT <= value < _LARGEST_INT
