"""Fields of a plug-in's dataclass: the type, default and range of each."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Union

from benchmarks.plugins.ranges import Range

MISSING = dataclasses.MISSING


@dataclass(frozen=True)
class Field:
    """A field of a dataclass."""

    hint: Any
    """Its type, evaluated and without its range."""
    default: Any
    """MISSING if it has none."""
    range: Range | None = None
    """Range of its numbers; None if it takes any."""

    @classmethod
    def annotated(cls, annotation: Any, default: Any) -> Field:
        """The field with this annotation, evaluated, for example `Annotated[float, Positive]`.

        Raises:
            TypeError: `Annotated` with anything but one range, or with a range of no number.
            ValueError: the default is out of the range.
        """
        hint, extras = _split(annotation)
        if not extras:
            return cls(hint, default)
        if len(extras) > 1 or not isinstance(extras[0], Range):
            shown = ", ".join(map(repr, extras))
            raise TypeError(f"Annotated takes one range of benchmarks.plugins.ranges, not {shown}")
        if not any(part is int or part is float for part in (hint, *typing.get_args(hint))):
            raise TypeError(f"a range is for int or float, not for {hint}")
        field = cls(hint, default, extras[0])
        if wrong := field.complaint(default):
            raise ValueError(f"its default {default} is {wrong}")
        return field

    def complaint(self, value: Any) -> str | None:
        """The reason why a number is out of range; None if it is inside or not a number."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return self.range.complaint(value) if number and self.range is not None else None


Fields = dict[str, Field]
"""By name, in the order of the constructor's arguments."""


def fields_of(cls: type) -> Fields:
    """The fields of an imported dataclass, inherited ones included.

    Raises:
        NameError: an annotation names something that does not exist.
        TypeError: see `Field.annotated`.
        ValueError: see `Field.annotated`.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    found = {}
    for f in dataclasses.fields(cls):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        try:
            found[f.name] = Field.annotated(hints[f.name], default)
        except (TypeError, ValueError) as error:
            raise type(error)(f"field {f.name}: {error}") from None
    return found


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """A type, and what `Annotated` adds to it or to a member of its union."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        hint, extras = _split(args[0])
        return hint, [*extras, *args[1:]]
    if origin in (typing.Union, types.UnionType):
        parts = [_split(part) for part in args]
        if extras := [extra for _, more in parts for extra in more]:
            return Union[tuple(hint for hint, _ in parts)], extras  # noqa: UP007
    return annotation, []
